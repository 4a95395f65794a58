# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: recovery_plan
short_description: Plan which hosts are recovered, in which order, or refuse to act
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Plans from what M(chainops.lifecycle.service_info) returned on each host. Hosts that are already down come first,
    then those that are no validators, validators last.
  - Refuses if more hosts need recovery than O(max_unhealthy) allows. A host that could not be observed counts as
    unhealthy.
options:
  _input:
    description: A dictionary from host to the registered result.
    type: dict
    required: true
  described:
    description: A dictionary from host to its C(lifecycle_services).
    type: dict
    required: true
  max_unhealthy:
    description: A number of hosts, or a share of them such as V(50%), which is rounded up to at least one.
    type: str
    default: 50%
  network_info:
    description: What M(chainops.lifecycle.besu_network_info) returned for the Besu nodes of the fleet.
    type: dict
  quorum_lost:
    description:
      - V(refuse) acts on no host while a chain of Besu is stalled. V(restart_all) plans to restart its validators
        at the same time, in RV(_value.restart_all).
    type: str
    choices: [refuse, restart_all]
    default: refuse
  serial:
    description:
      - How many hosts at a time, as in a play, all in one wave. It overrides O(waves).
      - Fewer hosts are recovered at a time if they share a chain of Besu, a tunnel or a failure domain.
    type: raw
  waves:
    description: The sizes of the waves, as numbers of hosts or shares of those in need. The rest is the last wave.
    type: list
    elements: raw
    default: [1, 10%, 50%]
  domains:
    description: A dictionary from host to its failure domains, as M(chainops.lifecycle.check_variables) returns it.
    type: dict
  soak:
    description: How many seconds pass after a wave before the fleet is observed again. With V(0) it is not observed.
    type: float
    default: 0
  approved:
    description: The plan that was approved, as M(chainops.lifecycle.check_variables) returns it.
    type: dict
  dry_runs:
    description: A dictionary from host to the results of dry runs of M(chainops.lifecycle.service_drive) there.
    type: dict
  has_fixes:
    description:
      - Whether a host may have fixes or hooks, as the role P(chainops.lifecycle.service_recovery#role) takes them.
      - If it has none, and all its services that need recovery are of kind generic, a turn right after an observation
        uses that one instead of making a second.
    type: bool
    default: true
  width:
    description: How many characters a line may have.
    type: int
    default: 100
"""

EXAMPLES = r"""
- name: Plan
  ansible.builtin.set_fact:
    plan: "{{ observed_by_host | chainops.lifecycle.recovery_plan(services_by_host, '30%') }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    hosts:
      description: The hosts to recover, in order. Empty if the plan refuses.
      type: list
      elements: str
    batches:
      description: The sizes of the batches, in order.
      type: list
      elements: int
    waves:
      description: One for each wave, with its C(hosts), C(batches), and whether the fleet is observed after it
        (C(observe_after)).
      type: list
      elements: dict
    turns:
      description: The turns, one after the other. Each has its C(number), its C(title), the C(tasks) of the playbook,
        and C(on_host), the tasks of each of its hosts.
      type: list
      elements: dict
    turn_hosts:
      description: The hosts of each of the C(turns).
      type: list
      elements: list
    acts:
      description: With O(approved), a dictionary from host to the rows that may be acted on there.
      type: dict
    obsolete:
      description: With O(approved), the acts that are no longer needed, with their outcome.
      type: list
      elements: dict
    restart_all:
      description: The hosts of stalled chains, if their validators are to be restarted at the same time.
      type: list
      elements: str
    due:
      description: The hosts that need recovery, in the same order.
      type: list
      elements: str
    stalled:
      description: The hosts of stalled chains.
      type: list
      elements: str
    guard:
      description: The guard that refused the plan, empty otherwise.
      type: str
    unknown:
      description: The hosts with services that could not be observed.
      type: list
      elements: str
    refusal:
      description: Why no host is touched, empty otherwise.
      type: str
    rows:
      description: One entry for each service of each host.
      type: list
      elements: dict
    lines:
      description: The plan as text.
      type: list
      elements: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _recovery_plan
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._approved_plan import ApprovedPlan
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import WIDTH


def _make_plan(
    observed: t.Any,
    described: t.Any,
    max_unhealthy: t.Any = "50%",
    network_info: t.Any = None,
    quorum_lost: str = "refuse",
    dry_runs: t.Any = None,
    width: int = WIDTH,
    approved: t.Any = None,
    has_fixes: bool = True,
    **pacing: t.Any,
) -> dict[str, t.Any]:
    plan = ApprovedPlan.from_dict(approved) if approved else None
    try:
        return _recovery_plan.recovery_plan(
            observed,
            described,
            max_unhealthy,
            network_info,
            quorum_lost,
            dry_runs,
            width,
            _recovery_plan.Pacing(**pacing),
            plan,
            has_fixes,
        )
    except FleetError as exc:
        raise AnsibleFilterError(str(exc)) from exc


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"recovery_plan": from_hosts(_make_plan, "observed", "network_info", "dry_runs")}
