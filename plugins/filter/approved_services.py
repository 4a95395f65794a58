# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: approved_services
short_description: Select the services of a host that an approved plan acts on
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Keeps the entries of services that the plan acts on. Each gets the state and the invocation that the plan is based
    on, so that the host refuses if these have changed.
options:
  _input:
    description: The C(lifecycle_services) of the host.
    type: list
    elements: raw
    required: true
  acts:
    description: The acts of the host, of the plan that P(chainops.lifecycle.recovery_plan#filter) made.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Name what was approved
  ansible.builtin.debug:
    msg: "{{ lifecycle_services | chainops.lifecycle.approved_services(plan.acts[inventory_hostname])
      | map(attribute='name') }}"
"""

RETURN = r"""
_value:
  description: The entries, with C(expected_state) and C(expected_invocation).
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._approved_plan import approved_services
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"approved_services": from_hosts(approved_services, "acts")}
