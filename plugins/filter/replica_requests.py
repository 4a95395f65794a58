# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: replica_requests
short_description: List the hosts to ask for a reservation before a connector is taken offline
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Lists the options of M(chainops.lifecycle.cloudflared_reservation) for each host to ask, in the order to ask them.
options:
  _input:
    description: Connectors to take offline, each with C(key), C(host), C(service) and C(tunnel).
    type: list
    elements: dict
    required: true
  described:
    description: A dictionary from each host of the inventory to its services.
    type: dict
    required: true
  plan:
    description: What P(chainops.lifecycle.tunnel_plan#filter) made from the hosts that were observed.
    type: dict
  owner:
    description: Who reserves. It has to be new for each attempt.
    type: str
    default: ansible
  observed:
    description:
      - A dictionary from host to what M(chainops.lifecycle.service_info) returned there. Hosts that serve the tunnel
        are asked first, and those whose connectors are all of other tunnels are not.
    type: dict
seealso:
  - plugin: chainops.lifecycle.reservation_result
    plugin_type: filter
  - module: chainops.lifecycle.cloudflared_reservation
"""

EXAMPLES = r"""
- name: Name the hosts
  ansible.builtin.debug:
    msg: "{{ turns | chainops.lifecycle.replica_requests(services_by_host) | map(attribute='host') }}"
"""

RETURN = r"""
_value:
  description:
    - The hosts to ask, each with C(key), C(host), C(tunnel), C(owner), C(target), C(own), C(scope) and C(services).
      C(second) marks the one that comes right after the connector's own host.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._replica_reservation import replica_requests


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"replica_requests": from_hosts(replica_requests, "turns", "plan")}
