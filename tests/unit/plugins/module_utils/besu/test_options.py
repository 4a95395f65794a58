# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NodeOptions of a Besu that mean nothing are named."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import access
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.kind import KIND
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.options import NODE_OPTIONS, check_options
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError, SystemClock
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Environment

DEFAULTS = {name: spec.get("default") for name, spec in NODE_OPTIONS.items()}


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"rpc_timeout": 0}, "rpc_timeout"),
        ({"rpc_timeout": float("inf")}, "rpc_timeout"),
        ({"rpc_connect_timeout": 1e10}, "rpc_connect_timeout"),
        ({"lag_blocks": -1}, "lag_blocks"),
        ({"stall_timeout": float("nan")}, "stall_timeout"),
        ({"address": "0x12"}, "address"),
        ({"genesis_hash": "0x" + "g" * 64}, "genesis_hash"),
        ({"rpc_username": "u", "rpc_token": "t"}, "rpc_token"),
        ({"rpc_password": "p"}, "rpc_password"),
    ],
)
def test_options_that_mean_nothing_are_named(wrong, word):
    check_options(DEFAULTS)
    with pytest.raises(LifecycleError, match=word):
        check_options({**DEFAULTS, **wrong})


@pytest.mark.parametrize(
    ("option", "value"), [("rpc_url", "localhost"), ("metrics_url", "x"), ("reference_urls", ["http://a", "b"])]
)
def test_a_url_that_is_none_is_named(option, value):
    environment = Environment("besu", SystemClock(), None, None, None)
    with pytest.raises(LifecycleError, match=option):
        KIND.make(environment, {**DEFAULTS, "start_timeout": 600.0, option: value})


@pytest.mark.parametrize(
    ("held", "sample", "rpc", "p2p"),
    [
        ({}, {"rpc": "ok"}, "ok", None),
        ({8545: {"besu.service"}, 30303: {"besu.service"}}, {"rpc": "ok", "p2p_open": True}, "ok", True),
        ({8545: {"other.service"}}, {"rpc": "ok"}, "refused", None),
        ({8545: {"other.service", "besu.service"}}, {"rpc": "ok"}, "ok", None),
        ({30303: {"other.service"}}, {"rpc": "refused", "p2p_open": True}, "refused", False),
        ({30303: set()}, {"rpc": "refused", "p2p_open": True}, "refused", True),
    ],
)
def test_what_another_unit_answers_on_its_ports_is_not_the_nodes_own(monkeypatch, held, sample, rpc, p2p):
    monkeypatch.setattr(access, "listening_units", lambda ports: held)
    seen = access.NodeReader(DEFAULTS, SystemClock()).own_part(NodeSample(1.0, 2.0, **sample), "besu.service")
    assert (seen.rpc, seen.p2p_open) == (rpc, p2p)
