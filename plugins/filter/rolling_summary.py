# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rolling_summary
short_description: Summarize a rolling restart as text and as data
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Summarizes the results of the role P(chainops.lifecycle.rolling_restart#role).
options:
  _input:
    description: A dictionary from host to its C(rolling_restart_result). Hosts that were not touched are left out.
    type: dict
    required: true
  plan:
    description: The plan, as P(chainops.lifecycle.rolling_plan#filter) made it. By default there is none.
    type: dict
  check_mode:
    description: Whether this was a dry run.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Summarize the rolling restart
  chainops.lifecycle.show_report:
    lines: "{{ (results_by_host | chainops.lifecycle.rolling_summary(plan)).lines }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The summary.
  type: dict
  contains:
    lines:
      description: For each service what it was before, what was done and what it is now.
      type: list
      elements: str
    outcome:
      description: How each service ended, in the shape of the variable C(lifecycle_outcome).
      returned: when there is a plan
      type: dict
    bad:
      description: A dictionary from host to C(reason) and C(unreachable), for hosts that did not end well.
      returned: when there is a plan
      type: dict
    failed:
      description: The services that were not restarted although they should have been, as C(host/service).
      returned: when there is a plan
      type: list
      elements: str
    failure:
      description: Why services were not restarted, in one sentence. Empty if all were.
      type: str
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _rolling_report
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts


def _summary(results: t.Any, plan: t.Any = None, check_mode: bool = False) -> dict[str, t.Any]:
    if plan:
        return _rolling_report.rolling_summary(results, plan, check_mode)
    return _rolling_report.without_plan(results)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"rolling_summary": from_hosts(_summary, "results", "plan")}
