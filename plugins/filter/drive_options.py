# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: drive_options
short_description: Make the options of service_drive for a service that needs recovery
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Makes the options of M(chainops.lifecycle.service_drive) from a service and the settings of the role.
  - It is made for the role P(chainops.lifecycle.service_recovery#role).
options:
  _input:
    description: The service, as P(chainops.lifecycle.services_to_recover#filter) returns it.
    type: dict
    required: true
  settings:
    description: The settings of the role.
    type: dict
    required: true
  done:
    description: The results of fixes.
    type: dict
  step:
    description: Options of the module that override all others.
    type: dict
  dry_run:
    description: Whether the fixes have not been applied yet.
    type: bool
  reservation:
    description: What P(chainops.lifecycle.reservation_state#filter) has as C(options).
    type: dict
"""

EXAMPLES = r"""
- name: Show how a service would be driven
  ansible.builtin.debug:
    msg: "{{ {'kind': 'generic', 'entry': {'name': 'api'}}
      | chainops.lifecycle.drive_options({'depth': 'restart', 'accept_causes': []}) }}"
"""

RETURN = r"""
_value:
  description: The options C(service), C(override) and C(defaults).
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._recovery_steps import drive_options


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"drive_options": from_hosts(drive_options, "done", "reservation")}
