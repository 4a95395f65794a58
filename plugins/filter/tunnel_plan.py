# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: tunnel_plan
short_description: Plan which connectors of Cloudflare tunnels are brought back, and which of them are next
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Groups the connectors that M(chainops.lifecycle.service_info) observed on each host by their tunnels.
  - At most one connector of each tunnel is next. A connector that is stopped on purpose, is held by somebody or could
    not be observed is never next.
options:
  _input:
    description: A dictionary from host to the registered result.
    type: dict
    required: true
  described:
    description: A dictionary from host to its services, for the desired state of each.
    type: dict
  edge:
    description: What M(chainops.lifecycle.cloudflare_tunnel_info) returned for the same tunnels.
    type: dict
  done:
    description: The connectors that have been worked on, as C(host/service).
    type: list
    elements: str
    default: []
  account:
    description: The account that the edge is asked about. It is not asked about tunnels that are known to belong to
      another one.
    type: str
    default: ''
seealso:
  - plugin: chainops.lifecycle.tunnel_summary
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show which connectors need to be brought back
  chainops.lifecycle.show_report:
    lines: "{{ (observed_by_host | chainops.lifecycle.tunnel_plan).lines }}"
  run_once: true
"""

RETURN = r"""
_value:
  description:
    - The plan. C(tunnels) has each tunnel with C(id), C(name), C(healthy), C(elsewhere) and C(connectors).
    - C(next) has the connectors that are worked on next, with C(key), C(host), C(service), C(tunnel),
      C(healthy_replicas) and C(edge_lost), fit for M(chainops.lifecycle.cloudflared_tunnel), and C(serving), whether it
      needs a reservation.
    - C(rounds) is the number of rounds that the plan takes. C(due) and C(unknown) name the connectors that need to
      be brought back or could not be observed. C(lines) is the plan as text.
    - C(ids), C(connectors) and C(connector_tunnels) are the options C(tunnels), C(hosts) and C(host_tunnels) of
      M(chainops.lifecycle.cloudflare_tunnel_info).
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tunnel_plan import tunnel_plan


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"tunnel_plan": from_hosts(tunnel_plan, "observed", "edge", "done")}
