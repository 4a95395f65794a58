# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: reservation_continues
short_description: Check whether another host is asked for a reservation
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Decides, within the loop over the hosts that are asked for a reservation, whether the loop continues.
  - It is made for the role P(chainops.lifecycle.service_reservation#role).
options:
  _input:
    description: The registered variable within the loop, which is the result of the previous item.
    type: dict
    required: true
  ask:
    description:
      - The item, as P(chainops.lifecycle.reservation_plan#filter) or P(chainops.lifecycle.replica_requests#filter) made
        it.
    type: dict
    required: true
  host:
    description: The host of the service.
    type: str
    required: true
seealso:
  - plugin: chainops.lifecycle.reservation_result
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show whether the second host is asked
  ansible.builtin.debug:
    msg: "{{ before | chainops.lifecycle.reservation_continues(ask, inventory_hostname) }}"
  vars:
    ask: {tunnel: t, own: false, second: true}
    before: {granted: true, healthy: []}
"""

RETURN = r"""
_value:
  description: Whether the host is asked.
  type: bool
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._reservation import continues


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"reservation_continues": from_hosts(continues, "previous")}
