# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: drill_plan
short_description: Check whether a drill may begin
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Finds the service of a drill. Refuses the drill if the entry of the service does not allow it, if any service of
    the fleet is not in its desired state, or if a part of the fleet was not observed.
options:
  _input:
    description: A dictionary from host to what M(chainops.lifecycle.service_info) returned there.
    type: dict
    required: true
  described:
    description: A dictionary from host to its C(lifecycle_services).
    type: dict
    required: true
  settings:
    description: The variables of the playbook, as M(chainops.lifecycle.check_variables) returns them.
    type: dict
    required: true
  missing:
    description: Hosts of the fleet that the run does not observe.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: See whether the drill may begin
  ansible.builtin.set_fact:
    plan: "{{ observed_by_host | chainops.lifecycle.drill_plan(services_by_host, settings) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    host:
      description: The host of the service.
      type: str
    service:
      description: The service.
      type: str
    fault:
      description: The fault.
      type: str
    refusal:
      description: Why the drill may not begin. Empty if it may.
      type: str
    guard:
      description: V(drill) or V(fleet_not_healthy) if it may not begin.
      type: str
    lines:
      description: The plan as text.
      type: list
      elements: str
    rows:
      description: Every service of the fleet, with its verdict.
      type: list
      elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _drills
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts


def _plan(observed: t.Any, described: t.Any, settings: t.Any, missing: t.Any = ()) -> dict[str, t.Any]:
    try:
        return _drills.drill_plan(observed, described, settings, missing)
    except FleetError as exc:
        raise AnsibleFilterError(str(exc)) from None


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"drill_plan": from_hosts(_plan, "observed")}
