# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: reservation_result
short_description: Evaluate the answers of hosts to a request for a reservation
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Evaluates the answers of M(chainops.lifecycle.besu_reservation) or M(chainops.lifecycle.cloudflared_reservation) in
    a loop over the hosts.
  - A validator may be taken offline with the grants of the hosts of more than half of its set, its own among them. A
    connector may be taken offline with the grants of its own host and of one with another healthy replica.
  - It is made for the role P(chainops.lifecycle.service_reservation#role).
options:
  _input:
    description: The items of the registered result.
    type: list
    elements: dict
    required: true
  keys:
    description: The services for which a reservation was requested, as C(host/service).
    type: list
    elements: str
    required: true
  before:
    description: What this filter returned for the previous attempt.
    type: dict
  tries:
    description: How many attempts in a row are made while another run has the right to a connector.
    type: int
    default: 1
seealso:
  - plugin: chainops.lifecycle.reservation_plan
    plugin_type: filter
  - plugin: chainops.lifecycle.replica_requests
    plugin_type: filter
  - plugin: chainops.lifecycle.reservation_state
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show which services may be taken offline
  ansible.builtin.debug:
    msg: "{{ (asked.results | chainops.lifecycle.reservation_result([inventory_hostname ~ '/besu'])).held }}"
"""

RETURN = r"""
_value:
  description:
    - C(held) has the owner of each service that may be taken offline, C(refused) why another service may not, and
      C(again) the services for which another attempt follows.
    - C(granted) has the grants to release afterwards, and C(release_now) those to release now.
    - C(busy) has the services that another run has reserved. C(attempt) counts the attempts.
    - C(last) has the connectors of which every host has reported that it has no other healthy replica.
    - C(keys) has the services for which a reservation was requested.
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._reservation import reservation_result


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"reservation_result": from_hosts(reservation_result, "results", "before")}
