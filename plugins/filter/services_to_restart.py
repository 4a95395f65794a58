# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: services_to_restart
short_description: Select the services of a host that a rolling restart restarts
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Compares what M(chainops.lifecycle.service_info) observed with the entry of each service, and returns the selected
    services. A service that is not healthy is refused, with the reason.
  - It is made for the role P(chainops.lifecycle.rolling_restart#role).
options:
  _input:
    description: What M(chainops.lifecycle.service_info) returned.
    type: dict
    required: true
  described:
    description: The C(lifecycle_services) of the host.
    type: list
    elements: raw
    required: true
  labels:
    description: The services to select, as a list or as text with commas. By default all that are healthy.
    type: raw
  hooks:
    description: A dictionary with C(rolling_restart_before) and C(rolling_restart_after), as they are given.
    type: dict
  expected:
    description: A dictionary from label to the options that bind a restart to an approved plan.
    type: dict
"""

EXAMPLES = r"""
- name: Name the services that would be restarted
  ansible.builtin.debug:
    msg: "{{ observed | chainops.lifecycle.services_to_restart(lifecycle_services) | map(attribute='label') }}"
"""

RETURN = r"""
_value:
  description:
    - The entries of the services. Each has C(observation), C(label), a name that no other service of the host has,
      C(entry), the entry with the state V(restarted), C(hooks), and C(refusal), why it is not restarted.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._rolling_plan import services_to_restart


def _services(
    observed: t.Any, described: t.Any, labels: t.Any = None, hooks: t.Any = None, expected: t.Any = None
) -> list[dict[str, t.Any]]:
    if not isinstance(observed, t.Mapping) or "services" not in observed:
        return []
    try:
        return services_to_restart(observed, described, labels, hooks, expected)
    except FleetError as exc:
        raise AnsibleFilterError(str(exc)) from None


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"services_to_restart": from_hosts(_services, "observed")}
