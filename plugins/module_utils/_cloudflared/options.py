# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a connector.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

Spec = dict[str, dict[str, t.Any]]

# What belongs to one connector on its own host.
CONNECTOR_OPTIONS: Spec = {
    "metrics": {"type": "str"},
    "metrics_timeout": {"type": "float", "default": 3.0},
    "expected_connections": {"type": "int"},
    "min_connections": {"type": "int", "default": 1},
    "reconnect_grace": {"type": "float"},
    "tunnel_url": {"type": "str"},
    "tunnel_url_timeout": {"type": "float", "default": 10.0},
    "edge_lost": {"type": "list", "elements": "str", "default": []},
    "healthy_replicas": {"type": "int"},
    "replica_guard": {"type": "str", "choices": ["enforce", "off"], "default": "enforce"},
    "reservation": {"type": "str"},
    "may_change_name": {"type": "bool", "default": False},
    "own_tunnel": {"type": "bool"},
}
