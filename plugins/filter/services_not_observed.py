# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: services_not_observed
short_description: List the services of a host that could not be observed
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Makes entries of C(service_recovery_result) for the services whose state is not known.
  - It is made for the role P(chainops.lifecycle.service_recovery#role).
options:
  _input:
    description: The result of M(chainops.lifecycle.service_info), or that the host was not reached.
    type: dict
    required: true
  host:
    description: The name of the host.
    type: str
    required: true
  described:
    description: Its C(lifecycle_services). Invalid entries could not be observed either.
    type: raw
"""

EXAMPLES = r"""
- name: Name the services that could not be observed
  ansible.builtin.debug:
    msg: "{{ observed | chainops.lifecycle.services_not_observed(inventory_hostname) | map(attribute='name') }}"
"""

RETURN = r"""
_value:
  description: The entries.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._recovery_steps import not_observed


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"services_not_observed": from_hosts(not_observed, "observed")}
