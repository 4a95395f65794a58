#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_tunnel_info
short_description: Get the tunnels of an account as Cloudflare's edge sees them
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Asks the Cloudflare API for tunnels, their connectors and connections, and maps connectors to hosts by their ids.
  - The status of a tunnel summarizes all its connectors, so one healthy connector hides those that are down. See
    C(connectors) for each of them.
  - Run it once on the controller (C(delegate_to) and C(run_once)) and not on each host. The API allows 1200 calls in
    five minutes. Each tunnel in O(tunnels) takes two calls. All tunnels of an account take one call for each, and one
    for every hundred of them.
requirements:
  - Python 3.9 or newer
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.info_module
  - chainops.lifecycle._attributes.actiongroup_lifecycle
  - chainops.lifecycle._cloudflared
attributes:
  platform:
    platforms: posix
options:
  tunnels:
    description:
      - The tunnels to ask for, by id or name. By default all of the account that are not deleted.
      - A tunnel that the account does not have is in RV(not_found). If the account has none of them, the module fails.
    type: list
    elements: str
    default: []
  hosts:
    description:
      - The id of the connector of each host, as C(cloudflared.connector_id) in an observation has it.
    type: dict
    default: {}
  host_tunnels:
    description:
      - The tunnel of each host in O(hosts), as O(tunnels) has it. With it, no connector of a tunnel that was not found
        is in RV(lost).
    type: dict
    default: {}
seealso:
  - module: chainops.lifecycle.cloudflared_tunnel
  - module: chainops.lifecycle.cloudflare_tunnel_connector
"""

EXAMPLES = r"""
- name: See which connectors of a tunnel the edge knows
  chainops.lifecycle.cloudflare_tunnel_info:
    account_id: 0123456789abcdef0123456789abcdef
    tunnels: [web]
    hosts:
      edge1: 19dfd5eb-87fc-4f30-ad94-bc189e47f0bc
  delegate_to: localhost
  run_once: true
  register: observed
"""

RETURN = r"""
tunnels:
  description: The tunnels.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: The id.
      type: str
    name:
      description: The name.
      type: str
    status:
      description: V(healthy), V(degraded), V(down) or V(inactive), for all connectors together.
      type: str
    remote_config:
      description: Whether its rules of ingress come from Cloudflare.
      type: bool
    created_at:
      description: When it was created, as the API reports it.
      type: str
    active_at:
      description: When the oldest of its current connections was made. Empty if it has none.
      type: str
    inactive_at:
      description: When it lost its last connection. Empty if it has connections.
      type: str
    healthy_connectors:
      description: How many connectors have a connection.
      type: int
    connectors:
      description:
        - The connectors, each with C(id), C(host) (if O(hosts) names it), C(version), C(run_at), C(config_version),
          C(live) (the number of its connections), C(ghost) (whether it has no connection and the edge is about to
          forget it) and C(connections).
      type: list
      elements: dict
    ghosts:
      description: The ids of connectors that no longer have a connection, which the edge tracks for some minutes more.
      type: list
      elements: str
    strangers:
      description: The ids of connectors with connections that no host of O(hosts) has.
      type: list
      elements: str
not_found:
  description: Those of O(tunnels) that the account does not have.
  returned: always
  type: list
  elements: str
lost:
  description: The connector ids of O(hosts) that none of these tunnels has, or only as a ghost.
  returned: always
  type: list
  elements: str
lost_hosts:
  description: The hosts of the connectors in RV(lost).
  returned: always
  type: list
  elements: str
calls:
  description: How many calls of the API were made.
  returned: always
  type: int
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.api_modules import API_OPTIONS, run_info
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule


def main() -> None:
    argument_spec: dict[str, t.Any] = {
        **API_OPTIONS,
        "tunnels": {"type": "list", "elements": "str", "default": []},
        "hosts": {"type": "dict", "default": {}},
        "host_tunnels": {"type": "dict", "default": {}},
    }
    run_info(LifecycleModule(argument_spec=argument_spec, supports_check_mode=True))


if __name__ == "__main__":
    main()
