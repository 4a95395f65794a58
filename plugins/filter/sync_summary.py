# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: sync_summary
short_description: Summarize a sync wait as text and as data
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Summarizes the results of the role P(chainops.lifecycle.besu_sync_wait#role).
options:
  _input:
    description: A dictionary from C(host/service) to what M(chainops.lifecycle.besu_node) returned there.
    type: dict
    required: true
  check_mode:
    description: Whether this was a dry run.
    type: bool
    default: false
  width:
    description: How many characters a line may have.
    type: int
    default: 100
"""

EXAMPLES = r"""
- name: Show the progress of the nodes
  chainops.lifecycle.show_report:
    lines: "{{ (results_by_node | chainops.lifecycle.sync_summary).lines }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The summary.
  type: dict
  contains:
    lines:
      description: A table with state, head, lag, time waited and blocks a second of each node, and why it failed.
      type: list
      elements: str
    outcome:
      description:
        - How each service ended, in the shape of the variable C(lifecycle_outcome) that all playbooks leave, small
          enough for an artifact of AWX.
      type: dict
    failed:
      description: A dictionary from host to the reason, for hosts whose nodes did not get in sync.
      type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._sync_report import sync_summary


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"sync_summary": from_hosts(sync_summary, "results")}
