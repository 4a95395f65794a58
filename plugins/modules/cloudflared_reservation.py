#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflared_reservation
short_description: Reserve the right to take a connector of a Cloudflare tunnel offline
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Prevents two runs from restarting the last connectors of a tunnel at the same time. Without it both would see
    another healthy connector, restart one each, and leave the tunnel with none. Each host grants one owner at a time
    for a tunnel, and only while a connector of that host keeps the tunnel up.
  - Run it on the host of the connector that is to be taken offline, with O(own=true), then on the hosts of its other
    replicas until one of them has granted. Then give the owner to M(chainops.lifecycle.cloudflared_tunnel) as
    O(chainops.lifecycle.cloudflared_tunnel#module:reservation). Release it when the connector is back.
  - A connector does not count if it has fewer connections than it needs, if the edge does not know it, or if another
    run works on it.
  - A grant expires after 120 seconds. A host grants nothing in the first 120 seconds after its boot. A connector
    is taken offline only while its own host's grant has 60 seconds left.
  - It does not bind anybody who does not request a reservation, such as an operator with C(systemctl).
  - The role P(chainops.lifecycle.tunnel_reconnect#role) and the playbook C(recover) make reservations by themselves.
requirements:
  - Python 3.9 or newer
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.actiongroup_lifecycle
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - The same reservation again is no change, and does not make it last longer.
  platform:
    platforms: linux
options:
  tunnel:
    description: The id of the tunnel.
    type: str
    required: true
  owner:
    description: Who reserves. It has to be new for each attempt, such as a name with a random part.
    type: str
    required: true
  target:
    description:
      - The connector that is to be taken offline, as C(host/service), where C(service) is its name on its own host.
      - Needed with O(state=present).
    type: str
  own:
    description:
      - Whether that connector is on this host. If so, the host grants even if none of O(services) keeps the tunnel up,
        because another host may have a connector that does.
    type: bool
    default: false
  own_host:
    description:
      - What the host of the connector has returned as RV(own_host). With it a host recognizes that it is that host
        under another name of the inventory. This works in check mode too, which leaves no grant.
    type: str
  services:
    description:
      - The connectors of this host that may keep the tunnel up, without the one that is to be taken offline. Each has
        C(name), and under C(cloudflared) the options of a connector.
    type: list
    elements: dict
    default: []
  edge_lost:
    description: Ids of connectors that the edge no longer knows.
    type: list
    elements: str
    default: []
  scope:
    description: The service manager that O(services) are of.
    type: str
    choices: [system, user]
    default: system
  state:
    description: V(present) requests the grant of this host, V(absent) releases it.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: chainops.lifecycle.cloudflared_tunnel
"""

EXAMPLES = r"""
- name: Reserve on the host of the connector first
  chainops.lifecycle.cloudflared_reservation:
    tunnel: 8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11
    owner: "{{ reservation_owner }}"
    target: "{{ inventory_hostname }}/cloudflared"
    own: true

- name: Reserve on the host of another replica
  chainops.lifecycle.cloudflared_reservation:
    tunnel: 8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11
    owner: "{{ reservation_owner }}"
    target: "{{ inventory_hostname }}/cloudflared"
    services:
      - name: cloudflared
  delegate_to: "{{ other_replica }}"
  register: grant
  failed_when: not grant.granted
"""

RETURN = r"""
granted:
  description: Whether the owner has the grant of this host.
  returned: always
  type: bool
observed:
  description: Whether the connectors of this host were observed. They are not if another owner has the grant.
  returned: always
  type: bool
healthy:
  description: The connectors of this host that keep the tunnel up.
  returned: always
  type: list
  elements: str
holder:
  description: Who has the grant of this host, with C(owner), C(target) and C(left) in seconds.
  returned: when somebody has it
  type: dict
own_host:
  description:
    - An identifier of the host of the connector, which is valid until its next boot. With O(own=true) it is that of
      this host, else O(own_host), so the result of each host has it for the next one.
  returned: with O(state=present)
  type: str
repeated:
  description:
    - Whether the owner already had the grant of this host, or O(own_host) shows that it is the host of the connector.
      As an owner is new for each attempt, V(true) means that the inventory has this host under two names.
  returned: when it is granted
  type: bool
reason:
  description: Why it was not granted.
  returned: always
  type: str
"""

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.connector_grant import reserve_replica


def main() -> None:
    reserve_replica(
        LifecycleModule(
            argument_spec={
                "tunnel": {"type": "str", "required": True},
                "owner": {"type": "str", "required": True},
                "target": {"type": "str"},
                "own": {"type": "bool", "default": False},
                "own_host": {"type": "str"},
                "services": {"type": "list", "elements": "dict", "default": []},
                "edge_lost": {"type": "list", "elements": "str", "default": []},
                "scope": {"type": "str", "choices": ["system", "user"], "default": "system"},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            },
            required_if=[("state", "present", ["target"])],
            supports_check_mode=True,
        )
    )


if __name__ == "__main__":
    main()
