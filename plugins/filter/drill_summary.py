# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: drill_summary
short_description: Summarize a drill as text and as data
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Summarizes a run of the playbook C(chainops.lifecycle.drill).
options:
  _input:
    description: The C(service_drill_result) of the host. Empty if the role did not run.
    type: dict
    required: true
  plan:
    description: The plan, as P(chainops.lifecycle.drill_plan#filter) made it.
    type: dict
    required: true
  check_mode:
    description: Whether this was a dry run.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Summarize the drill
  chainops.lifecycle.show_report:
    lines: "{{ (service_drill_result | chainops.lifecycle.drill_summary(plan)).lines }}"
"""

RETURN = r"""
_value:
  description: The summary.
  type: dict
  contains:
    lines:
      description: The fault, what was done, and the times.
      type: list
      elements: str
    outcome:
      description: How each service ended, in the shape of the variable C(lifecycle_outcome).
      type: dict
    failure:
      description: Why the drill was refused or failed. Empty if it was not.
      type: str
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _drills
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"drill_summary": from_hosts(_drills.drill_summary, "result", "plan")}
