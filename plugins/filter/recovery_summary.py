# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: recovery_summary
short_description: Summarize a recovery as text and as data
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Summarizes the results of the role P(chainops.lifecycle.service_recovery#role).
options:
  _input:
    description: A dictionary from host to its C(service_recovery_result). Hosts that were not touched are left out.
    type: dict
    required: true
  plan:
    description: The plan, as P(chainops.lifecycle.recovery_plan#filter) made it.
    type: dict
  check_mode:
    description: Whether this was a dry run.
    type: bool
    default: false
  regressions:
    description: What P(chainops.lifecycle.regressed_services#filter) found after the waves so far.
    type: list
    elements: dict
  width:
    description: How many characters a line may have.
    type: int
    default: 100
"""

EXAMPLES = r"""
- name: Summarize the recovery
  chainops.lifecycle.show_report:
    lines: "{{ (results_by_host | chainops.lifecycle.recovery_summary(plan)).lines }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The summary.
  type: dict
  contains:
    lines:
      description: For each service what was found, what was done and what proves the result.
      type: list
      elements: str
    outcome:
      description:
        - How each service ended, in the shape of the variable C(lifecycle_outcome) that all playbooks leave, small
          enough for an artifact of AWX.
      type: dict
    bad:
      description: A dictionary from host to C(reason) and C(unreachable), for hosts that did not end well.
      type: dict
    failure:
      description: Why services were not recovered, in one sentence. Empty if all were.
      type: str
    failed:
      description: The services that were refused or not recovered, as C(host/service).
      type: list
      elements: str
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _outcomes, _reports
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import WIDTH


def _summary(
    results: t.Any,
    plan: t.Any = None,
    check_mode: bool = False,
    width: int = WIDTH,
    regressions: t.Any = (),
    observed: t.Any = None,
) -> dict[str, t.Any]:
    plan = plan or {"due": [host for host, done in results.items() if done], "rows": []}
    entries = _reports.recovery_entries(results, plan, regressions, observed)
    return {
        "lines": _reports.summary_lines(results, plan, width, regressions, observed),
        "outcome": _outcomes.artifact("recover", entries, check_mode),
        "bad": _reports.bad_hosts(entries, plan),
        "failure": _reports.failure(results),
        "failed": [entry.key for entry in entries if entry.outcome in (_outcomes.REFUSED, _outcomes.FAILED)],
    }


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"recovery_summary": from_hosts(_summary, "results", "plan", "regressions", "observed")}
