# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: tunnel_summary
short_description: Summarize a reconnect, tunnel by tunnel
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Summarizes which connectors came back, by themselves or after a restart, and which did not and why.
options:
  _input:
    description: The first plan, as P(chainops.lifecycle.tunnel_plan#filter) made it.
    type: dict
    required: true
  results:
    description: A dictionary from C(host/service) to what M(chainops.lifecycle.cloudflared_tunnel) returned.
    type: dict
    required: true
  after:
    description: A plan made from what was observed at the end.
    type: dict
    required: true
  edge:
    description: What M(chainops.lifecycle.cloudflare_tunnel_info) returned at the end, or its failure.
    type: dict
  check_mode:
    description: Whether this was a dry run.
    type: bool
    default: false
seealso:
  - plugin: chainops.lifecycle.tunnel_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show the summary
  chainops.lifecycle.show_report:
    lines: "{{ (observed_by_host | chainops.lifecycle.tunnel_plan
      | chainops.lifecycle.tunnel_summary(results_by_host,
      observed_at_the_end | chainops.lifecycle.tunnel_plan)).lines }}"
  run_once: true
  vars:
    observed_at_the_end: "{{ observed_by_host }}"
"""

RETURN = r"""
_value:
  description:
    - C(lines) is the summary as text, C(outcome) how each connector ended in the shape of C(lifecycle_outcome).
    - C(failed) has the connectors that are not back, and C(unserved) the tunnels without any connector. C(edge_problem)
      is what the edge reports to the contrary, and C(ghosts) has the replaced connectors that the edge still tracks.
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tunnel_report import tunnel_summary


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"tunnel_summary": from_hosts(tunnel_summary, "plan", "results", "after", "edge")}
