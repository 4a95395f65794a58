# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of a connector that mean nothing are named."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.monitor import check_options
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.options import CONNECTOR_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError

DEFAULTS = {name: spec.get("default") for name, spec in CONNECTOR_OPTIONS.items()}


@pytest.mark.parametrize(
    ("params", "option"),
    [
        ({"metrics_timeout": 0}, "metrics_timeout"),
        ({"expected_connections": 0}, "expected_connections"),
        ({"min_connections": 0}, "min_connections"),
        ({"min_connections": 3, "expected_connections": 2}, "min_connections"),
        ({"healthy_replicas": -1}, "healthy_replicas"),
        ({"reconnect_grace": -1}, "reconnect_grace"),
        ({"metrics": "nowhere"}, "metrics"),
        ({"metrics": "a b:1"}, "metrics"),
        ({"tunnel_url": "app.example.com"}, "tunnel_url"),
    ],
)
def test_wrong_options_are_named(params, option):
    with pytest.raises(LifecycleError, match=option):
        check_options({**DEFAULTS, **params})
