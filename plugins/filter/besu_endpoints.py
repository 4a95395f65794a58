# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: besu_endpoints
short_description: List the RPC endpoints of the Besu nodes that an inventory describes
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Makes O(chainops.lifecycle.besu_network_info#module:endpoints) of the C(lifecycle_services) of the hosts. A node
    counts if other hosts can reach its C(rpc_url). One on the loopback interface does not count.
  - With O(host) and O(service) that node comes first, with its own URL. Only nodes that may be of its chain follow,
    according to their chain ids, as far as these are given in C(chain_id) or were observed.
options:
  _input:
    description: A dictionary from host to its C(lifecycle_services).
    type: dict
    required: true
  observed:
    description: A dictionary from host to what M(chainops.lifecycle.service_info) returned there.
    type: dict
    default: {}
  host:
    description: The host of the node that comes first.
    type: str
    default: ""
  service:
    description: The name of its service.
    type: str
    default: ""
  network_info:
    description: What M(chainops.lifecycle.besu_network_info) returned for such endpoints. It has chain ids, too.
    type: dict
    default: {}
  certain:
    description: Whether to return only the first node if its chain is not known and the others are of several chains.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Observe all Besu nodes of the inventory
  chainops.lifecycle.besu_network_info:
    endpoints: "{{ services_by_host | chainops.lifecycle.besu_endpoints }}"
"""

RETURN = r"""
_value:
  description: The endpoints, each with C(url), C(name) and its access options.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._besu_networks import endpoints
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"besu_endpoints": from_hosts(endpoints, "observed", "network_info")}
