# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: besu_network
short_description: Find the network of one Besu node
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Picks the network of a node from what M(chainops.lifecycle.besu_network_info) returned.
options:
  _input:
    description: The result of M(chainops.lifecycle.besu_network_info).
    type: dict
    required: true
  genesis:
    description: The hash of block 0. May be empty if there is only one network.
    type: str
"""

EXAMPLES = r"""
- name: Say how many more validators may stop
  ansible.builtin.debug:
    msg: "{{ (network_info | chainops.lifecycle.besu_network).may_stop | default('unknown') }}"
"""

RETURN = r"""
_value:
  description: The entry of RV(chainops.lifecycle.besu_network_info#module:networks), empty if there is none.
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._besu_networks import find_network
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts


def _network(network_info: t.Any, genesis: str | None = None) -> dict[str, t.Any]:
    return dict(find_network(network_info, genesis) or {})


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"besu_network": from_hosts(_network, "network_info", "genesis")}
