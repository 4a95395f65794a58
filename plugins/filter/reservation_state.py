# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: reservation_state
short_description: Get the state of the reservation of one service
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Returns whether a service needs a reservation to be taken offline, whether it has one, and the options that pass the
    reservation to the module that acts on the service.
  - It is made for the role P(chainops.lifecycle.service_reservation#role), and for those that use it.
options:
  _input:
    description:
      - What the role left in C(service_reservation_result). The answers for another service count as none.
    type: dict
    required: true
  service:
    description:
      - The service, as P(chainops.lifecycle.services_to_recover#filter) or
        P(chainops.lifecycle.services_to_restart#filter) returns it.
    type: dict
    required: true
  host:
    description: The host of the service.
    type: str
    required: true
  reserve:
    description: Whether reservations are made at all.
    type: raw
    default: true
  check_mode:
    description: Whether this is a dry run.
    type: bool
    default: false
  question:
    description:
      - Whether the hosts were only asked what they would grant. A grant that another run has then counts as granted,
        because the real run would wait for it.
    type: bool
    default: false
  run:
    description: The result of the action on the service.
    type: dict
seealso:
  - plugin: chainops.lifecycle.reservation_result
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show whether a service needs a reservation
  ansible.builtin.debug:
    msg: "{{ ({} | chainops.lifecycle.reservation_state(service, inventory_hostname)).needed }}"
  vars:
    service: {name: besu, kind: besu, takes_offline: true, serves: false}
"""

RETURN = r"""
_value:
  description: The state of the reservation.
  type: dict
  contains:
    needed:
      description: Whether the service needs one.
      type: bool
    held:
      description: Whether it has one.
      type: bool
    granted:
      description: Whether it has one, or with O(question) would get one.
      type: bool
    busy:
      description: Whether another run has the reservation.
      type: bool
    again:
      description: Whether another attempt follows.
      type: bool
    next:
      description: The number of the attempt that follows, from 0.
      type: int
    refusal:
      description: Why the hosts do not grant it.
      type: str
    grants:
      description: What the hosts have granted.
      type: list
      elements: dict
    options:
      description: Options of M(chainops.lifecycle.besu_node) or M(chainops.lifecycle.cloudflared_tunnel).
      type: dict
    release:
      description: Whether the reservation is released after O(run). Otherwise it expires by itself.
      type: bool
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._reservation import reservation_state


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"reservation_state": from_hosts(reservation_state, "result", "run")}
