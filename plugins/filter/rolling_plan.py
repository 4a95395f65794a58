# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rolling_plan
short_description: Plan which services a rolling restart restarts, in which order, or refuse to act
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Plans from what M(chainops.lifecycle.service_info) returned on each host with
    O(chainops.lifecycle.service_info#module:staleness=true).
  - Hosts without a validator or a connector come first, then those with connectors, no two of the same tunnel at a
    time, then those with validators, one at a time.
  - It is made for the playbook C(chainops.lifecycle.rolling_restart).
options:
  _input:
    description: A dictionary from host to the registered result.
    type: dict
    required: true
  described:
    description: A dictionary from host to its C(lifecycle_services).
    type: dict
    required: true
  settings:
    description: The variables of the playbook, as M(chainops.lifecycle.check_variables) returned them.
    type: dict
    required: true
  now:
    description: When the run began, in seconds since the epoch, before the fleet was observed.
    type: float
    required: true
  dry_runs:
    description: A dictionary from host to the results of dry runs there.
    type: dict
  width:
    description: How many characters a line may have.
    type: int
    default: 100
  domains:
    description: A dictionary from host to variable to its failure domains.
    type: dict
  approved:
    description: The plan that was approved, as M(chainops.lifecycle.check_variables) returns it.
    type: dict
"""

EXAMPLES = r"""
- name: Plan
  ansible.builtin.set_fact:
    plan: "{{ observed_by_host | chainops.lifecycle.rolling_plan(services_by_host, settings, 1795952400) }}"
  run_once: true
  vars:
    settings: {lifecycle_only_stale: true, lifecycle_serial: [1, 30%]}
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    run:
      description: The name of the run, which is the moment at which it began.
      type: str
      sample: 20261129T114000Z
    continues:
      description: Whether it continues an interrupted run.
      type: bool
    hosts:
      description: The hosts with a service to restart, in order. Empty if the plan refuses.
      type: list
      elements: str
    batches:
      description: The sizes of the batches, in order.
      type: list
      elements: int
    services:
      description: A dictionary from host to the labels of the services to restart there.
      type: dict
    expected:
      description: With O(approved), a dictionary from host to label to the options that bind the restart to the plan.
      type: dict
    refusal:
      description: Why no host is touched, empty otherwise.
      type: str
    rows:
      description: One entry for each service of the selection.
      type: list
      elements: dict
    lines:
      description: The plan as text.
      type: list
      elements: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._approved_plan import ApprovedPlan
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._rolling_plan import rolling_plan
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import WIDTH


def _plan(
    observed: t.Any,
    described: t.Any,
    settings: t.Any,
    now: float,
    dry_runs: t.Any = None,
    width: int = WIDTH,
    domains: t.Any = None,
    approved: t.Any = None,
) -> dict[str, t.Any]:
    try:
        plan = ApprovedPlan.from_dict(approved) if approved else None
        return rolling_plan(observed, described, settings, float(now), dry_runs, width, domains, plan)
    except FleetError as exc:
        raise AnsibleFilterError(str(exc)) from None


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"rolling_plan": from_hosts(_plan, "observed", "dry_runs")}
