# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_status
short_description: Show the services of a fleet as a table
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Makes a table as text from what M(chainops.lifecycle.service_info) returned on each host, the worst services first.
options:
  _input:
    description: A dictionary from host to the registered result.
    type: dict
    required: true
  described:
    description: A dictionary from host to its C(lifecycle_services), for the desired state of each service.
    type: dict
  network_info:
    description: What M(chainops.lifecycle.besu_network_info) returned for the Besu nodes of the fleet.
    type: dict
  width:
    description: How many characters a line may have.
    type: int
    default: 100
seealso:
  - plugin: chainops.lifecycle.recovery_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show the fleet
  chainops.lifecycle.show_report:
    lines: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'observed')))
      | chainops.lifecycle.fleet_status }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: Lines of text.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._chain_report import chain_lines
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import read_fleet
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._reports import status_lines
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import WIDTH


def _status(observed: t.Any, described: t.Any = None, network_info: t.Any = None, width: int = WIDTH) -> list[str]:
    chain = chain_lines(read_fleet(observed, described), network_info or {})
    return status_lines(observed, described, width) + (["", *chain] if chain else [])


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"fleet_status": from_hosts(_status, "observed", "network_info")}
