# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: replica_grants
short_description: What the answers of hosts to a reservation of a connector come to
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - A connector may be taken offline with the grant of its own host, and of one with a replica that stays.
options:
  _input:
    description: The results of the loop over what P(chainops.lifecycle.replica_asks#filter) returned.
    type: list
    elements: dict
    required: true
  item:
    description: The name of the variable of that loop.
    type: str
    required: true
  before:
    description: What this filter returned for the attempt before.
    type: dict
  tries:
    description: How many attempts in a row are made while another run has the right.
    type: int
    default: 1
seealso:
  - plugin: chainops.lifecycle.replica_asks
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Say what may be done
  ansible.builtin.debug:
    msg: "{{ (asked.results | chainops.lifecycle.replica_grants('item')).held }}"
"""

RETURN = r"""
_value:
  description:
    - C(held) has the owner of each connector that may be taken offline, C(refused) why another may not, C(again) those
      for which another run has the right and another attempt is left, C(granted) what has to be given back.
    - C(busy) has these whether or not another attempt is left.
    - C(last) has those for which every host has looked, and none has a replica that stays.
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._replica_reservation import replica_grants


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"replica_grants": from_hosts(replica_grants, "results", "before")}
