# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: drill_result
short_description: Combine the results of a drill
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Combines the results of the steps of a drill. It is made for the role P(chainops.lifecycle.service_drill#role).
options:
  _input:
    description: What M(chainops.lifecycle.service_fault) returned for the fault.
    type: dict
    required: true
  recovery:
    description: The C(service_recovery_result) after the fault.
    type: list
    elements: dict
    required: true
  ended:
    description: What M(chainops.lifecycle.service_fault) returned for the end of the drill.
    type: dict
    required: true
  again:
    description: The C(service_recovery_result) after the fault was removed, if it had to be.
    type: list
    elements: dict
  check_mode:
    description: Whether this was a dry run.
    type: bool
    default: false
  refused:
    description: Why no host granted the right to take the service offline, if none did.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Keep the result of the drill
  ansible.builtin.set_fact:
    result: "{{ fault | chainops.lifecycle.drill_result(service_recovery_result, ended) }}"
"""

RETURN = r"""
_value:
  description: The result.
  type: dict
  contains:
    outcome:
      description: How it ended, one of the outcomes of C(lifecycle_outcome).
      type: str
    made:
      description: Whether the fault was injected.
      type: bool
    msg:
      description: The times in one sentence, or why there are none.
      type: str
    drill:
      description: The record of the drill on the host. See M(chainops.lifecycle.service_fault).
      type: dict
    recovery:
      description: The result of the recovery from the fault. Null if the service did not need recovery.
      type: dict
    recovery_without_fault:
      description: The result of the recovery once the fault was removed. Null if that was not needed.
      type: dict
    blocked_by:
      description: The guards that refused the fault.
      type: list
      elements: dict
    lines:
      description: The result as text.
      type: list
      elements: str
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _drills
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts


def _result(
    fault: t.Any, recovery: t.Any, ended: t.Any, again: t.Any = None, check_mode: bool = False, refused: str = ""
) -> t.Any:
    found = _drills.drill_result(fault, recovery, ended, again, check_mode, refused)
    return {**found, "lines": _drills.result_lines(found)}


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"drill_result": from_hosts(_result, "fault", "recovery", "ended", "again", "refused")}
