#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: besu_reservation
short_description: Reserve the right to take a Besu validator offline
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Prevents two controllers from taking validators of a network offline at the same time. Without it both would see
    enough validators and stop one each. Each host of a validator grants one owner at a time, so only one owner can have
    the grants of more than half of the validators.
  - Run it on the host of the validator to be taken offline first, then on the hosts of other validators until more than
    half of the set has granted. Then give the owner to M(chainops.lifecycle.besu_node) as
    O(chainops.lifecycle.besu_node#module:reservation). Release it when the validator takes part again.
  - A grant expires after 180 seconds. A host grants nothing in the first 180 seconds after its boot. A validator
    is taken offline only while its own host's grant has 60 seconds left.
  - It does not bind anybody who does not request a reservation, such as an operator with C(systemctl).
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
  network:
    description: The hash of block 0 of the network.
    type: str
    required: true
  owner:
    description: Who reserves. It has to be new for each attempt, such as a name with a random part.
    type: str
    required: true
  target:
    description: The address of the validator to be taken offline. Needed with O(state=present).
    type: str
  state:
    description: V(present) requests the grant of this host, V(absent) releases it.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: chainops.lifecycle.besu_node
"""

EXAMPLES = r"""
- name: Reserve on the host itself first, then on the hosts of the other validators
  chainops.lifecycle.besu_reservation:
    network: "{{ genesis_hash }}"
    owner: "{{ reservation_owner }}"
    target: "{{ besu_address }}"
  delegate_to: "{{ item }}"
  loop: "{{ [inventory_hostname] + (groups.validators | difference([inventory_hostname])) }}"
  register: grants
"""

RETURN = r"""
granted:
  description: Whether the owner has the grant of this host.
  returned: always
  type: bool
holder:
  description: Who has the grant of this host, with C(owner), C(target) and C(left) in seconds.
  returned: when somebody has it
  type: dict
reason:
  description: Why it was not granted.
  returned: always
  type: str
"""

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.reservation import reserve
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule


def main() -> None:
    reserve(
        LifecycleModule(
            argument_spec={
                "network": {"type": "str", "required": True},
                "owner": {"type": "str", "required": True},
                "target": {"type": "str"},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            },
            required_if=[("state", "present", ["target"])],
            supports_check_mode=True,
        )
    )


if __name__ == "__main__":
    main()
