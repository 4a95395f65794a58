#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_tunnel_connector
short_description: Make Cloudflare's edge forget one connector of a tunnel
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Removes one connector that no longer runs from the edge. The edge does so by itself after some minutes.
  - It always names one connector. The API call without one would remove all connectors of the tunnel, and this module
    cannot make that call.
  - A connector that still has connections is not removed, unless O(force) is set. It would connect again anyway.
requirements:
  - Python 3.9 or newer
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.actiongroup_lifecycle
  - chainops.lifecycle._cloudflared
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    platforms: posix
options:
  tunnel_id:
    description: The tunnel.
    type: str
    required: true
  connector_id:
    description: The connector.
    type: str
    required: true
  state:
    description: The edge shall not know the connector.
    type: str
    choices: [absent]
    default: absent
  force:
    description: Whether a connector that has connections is removed too.
    type: bool
    default: false
seealso:
  - module: chainops.lifecycle.cloudflare_tunnel_info
"""

EXAMPLES = r"""
- name: Remove the connector of a host that was decommissioned
  chainops.lifecycle.cloudflare_tunnel_connector:
    account_id: 0123456789abcdef0123456789abcdef
    tunnel_id: 8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11
    connector_id: 19dfd5eb-87fc-4f30-ad94-bc189e47f0bc
  delegate_to: localhost
"""

RETURN = r"""
connector:
  description: The connector as the edge knew it. V(null) if the edge did not know it.
  returned: always
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.api_modules import API_OPTIONS, run_forget
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule


def main() -> None:
    argument_spec: dict[str, t.Any] = {
        **API_OPTIONS,
        "tunnel_id": {"type": "str", "required": True},
        "connector_id": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["absent"], "default": "absent"},
        "force": {"type": "bool", "default": False},
    }
    run_forget(LifecycleModule(argument_spec=argument_spec, supports_check_mode=True))


if __name__ == "__main__":
    main()
