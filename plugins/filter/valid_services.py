# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: valid_services
short_description: Select the valid entries of lifecycle_services
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Leaves out invalid entries, so that one of them does not keep the host from being observed. Reports name them.
options:
  _input:
    description: The entries.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Observe the services with valid entries
  chainops.lifecycle.service_info:
    services: "{{ lifecycle_services | chainops.lifecycle.valid_services }}"
"""

RETURN = r"""
_value:
  description: The entries.
  type: list
  elements: raw
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._service_entry import split_entries


def _valid(described: t.Any) -> list[t.Any]:
    return split_entries(described)[0]


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"valid_services": from_hosts(_valid)}
