# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: drive_calls
short_description: Make the options of service_drive_all for the services of a host that need recovery
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Makes O(chainops.lifecycle.service_drive_all#module:services) from the services that need recovery and can be driven
    side by side. Besu nodes, connectors, services with fixes, and services that depend on one of these are left out.
  - It is made for the role P(chainops.lifecycle.service_recovery#role).
options:
  _input:
    description: The services, as P(chainops.lifecycle.services_to_recover#filter) returns them.
    type: list
    elements: dict
    required: true
  settings:
    description: The settings of the role.
    type: dict
    required: true
  done:
    description: The C(label) of each service that is left out.
    type: list
    elements: str
    default: []
  dry_run:
    description: Whether the fixes have not been applied yet.
    type: bool
    default: false
  everyone:
    description: Whether no service is left out, for a dry run.
    type: bool
    default: false
  host:
    description: The host of the services.
    type: str
  described:
    description: A dictionary from host to its C(lifecycle_services).
    type: dict
  observed:
    description: A dictionary from host to what M(chainops.lifecycle.service_info) returned there.
    type: dict
  network_info:
    description: What M(chainops.lifecycle.besu_network_info) returned.
    type: dict
"""

EXAMPLES = r"""
- name: Show how services would be driven
  ansible.builtin.debug:
    msg: "{{ [need] | chainops.lifecycle.drive_calls({'depth': 'restart', 'accept_causes': []}) }}"
  vars:
    need: {name: api, label: api, kind: generic, entry: {name: api}}
"""

RETURN = r"""
_value:
  description: The services, each with C(service), C(override) and C(defaults).
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._parallel_recovery import drive_calls


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"drive_calls": from_hosts(drive_calls, "observed", "network_info")}
