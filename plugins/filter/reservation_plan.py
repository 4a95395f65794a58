# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: reservation_plan
short_description: List the hosts to ask for a reservation before a Besu validator is taken offline
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Finds the hosts of validators in what M(chainops.lifecycle.besu_network_info) returned for endpoints that are named
    after their hosts, as P(chainops.lifecycle.besu_endpoints#filter) does.
options:
  _input:
    description: The result of M(chainops.lifecycle.besu_network_info).
    type: dict
    required: true
  host:
    description: The host of the validator.
    type: str
    required: true
  genesis:
    description: The hash of block 0 of its network. May be empty if there is only one network.
    type: str
  address:
    description: The address of the validator.
    type: str
  owner:
    description: Who requests the reservation.
    type: str
  number:
    description: The number of the attempt, from 0.
    type: int
    default: 0
  tries:
    description: How many attempts there may be.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Name the hosts
  ansible.builtin.debug:
    msg: "{{ (network_info | chainops.lifecycle.reservation_plan(inventory_hostname, genesis, address)).holders }}"
"""

RETURN = r"""
_value:
  description: The hosts to ask.
  type: dict
  contains:
    network:
      description: The hash of block 0, none if nothing can be reserved.
      type: str
    address:
      description: The address of the validator.
      type: str
    holders:
      description: The hosts in the order to ask them, each with C(host) and the number of its C(validators).
      type: list
      elements: dict
    needed:
      description: The validators whose hosts have to grant, more than half of the set. 0 if nothing can be reserved.
      type: int
    requests:
      description:
        - The hosts to ask in this attempt, each with the options of M(chainops.lifecycle.besu_reservation). The
          C(owner) is new in each attempt.
      type: list
      elements: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._besu_networks import reservation
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._reservation_round import requests


def _plan(
    network_info: t.Any,
    host: str,
    genesis: str | None = None,
    address: str | None = None,
    owner: str = "",
    number: int = 0,
    tries: int = 0,
) -> dict[str, t.Any]:
    plan = reservation(network_info, host, genesis or None, address or None)
    return {**plan, "requests": requests(plan, owner, host, number, tries)}


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"reservation_plan": from_hosts(_plan, "network_info", "genesis", "address")}
