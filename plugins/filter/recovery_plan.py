# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: recovery_plan
short_description: Who needs recovery, in which order, or why nobody is touched
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Plans over what M(chainops.lifecycle.service_info) returned on each host. Hosts that are down already come first,
    then those that are no validators, validators last.
  - Refuses when more hosts are in need than O(max_unhealthy) allows. A host that could not be observed counts as
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
  look:
    description: What M(chainops.lifecycle.besu_network_info) returned for the Besu nodes of the fleet.
    type: dict
  quorum_lost:
    description:
      - V(refuse) touches nobody while a chain of Besu is stalled. V(restart_all) plans to restart its validators
        together, in RV(_value.restart_all).
    type: str
    choices: [refuse, restart_all]
    default: refuse
  serial:
    description:
      - How many hosts at a time, as in a play, all in one wave. It goes before O(waves) where it is given.
      - Fewer go at a time where they share a chain of Besu, a tunnel or a failure domain.
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
    description: How many seconds pass after a wave before the fleet is looked at again. V(0) is no look.
    type: float
    default: 0
  approved:
    description: The plan that was approved, as M(chainops.lifecycle.check_variables) returns it.
    type: dict
  foreseen:
    description: A dictionary from host to the results of dry runs of M(chainops.lifecycle.service_drive) there.
    type: dict
  has_fixes:
    description:
      - Whether a host may have fixes or hooks, as the role P(chainops.lifecycle.service_recovery#role) takes them.
      - Where it has none, and all its services in need are of kind generic, a turn right after a look does without a
        second one.
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
    plan: "{{ seen_by_host | chainops.lifecycle.recovery_plan(services_by_host, '30%') }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    hosts:
      description: The hosts to recover, in order. Empty where the plan refuses.
      type: list
      elements: str
    batches:
      description: How many of the hosts at a time.
      type: list
      elements: int
    waves:
      description: One for each wave, with its C(hosts), C(batches), and whether to C(look) at the fleet after it.
      type: list
      elements: dict
    turns:
      description: What is done one after the other, each with its C(number), C(title), the C(tasks) of
        the playbook, and C(on_host), those of each of its hosts.
      type: list
      elements: dict
    turn_hosts:
      description: The hosts of each of the C(turns).
      type: list
      elements: list
    acts:
      description: With O(approved), a dictionary from host to the rows that may be acted on there.
      type: dict
    gone:
      description: With O(approved), the acts for which there is nothing to do any more, with their outcome.
      type: list
      elements: dict
    restart_all:
      description: The hosts of chains that are stalled, if these are to be restarted together.
      type: list
      elements: str
    in_need:
      description: The hosts in need, in the same order.
      type: list
      elements: str
    stalled:
      description: The hosts of chains that are stalled.
      type: list
      elements: str
    guard:
      description: What refused the plan, empty otherwise.
      type: str
    unknown:
      description: The hosts of which something could not be observed.
      type: list
      elements: str
    refusal:
      description: Why nobody is touched, empty otherwise.
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
    seen: t.Any,
    described: t.Any,
    max_unhealthy: t.Any = "50%",
    look: t.Any = None,
    quorum_lost: str = "refuse",
    foreseen: t.Any = None,
    width: int = WIDTH,
    approved: t.Any = None,
    has_fixes: bool = True,
    **pacing: t.Any,
) -> dict[str, t.Any]:
    plan = ApprovedPlan.from_dict(approved) if approved else None
    try:
        return _recovery_plan.recovery_plan(
            seen,
            described,
            max_unhealthy,
            look,
            quorum_lost,
            foreseen,
            width,
            _recovery_plan.Pacing(**pacing),
            plan,
            has_fixes,
        )
    except FleetError as exc:
        raise AnsibleFilterError(str(exc)) from exc


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"recovery_plan": from_hosts(_make_plan, "seen", "look", "foreseen")}
