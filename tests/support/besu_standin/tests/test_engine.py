# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Besu as an execution client: blocks in slots, the same for all, and a consensus client that is gone."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import access, network_info, options, survey
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import SystemClock
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.conftest import MakeNetwork
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import Node, until

SILENT = "Execution engine not called in 120 seconds, consensus client may not be connected"


def test_two_execution_clients(make_network: MakeNetwork) -> None:
    nodes = make_network(0, 2, block_scale=0.1, consensus="engine")
    one, other = nodes.values()
    one.start()
    other.start()
    until(lambda: min(one.height, other.height) >= 3)
    assert one.peers == 1
    third = one.call("eth_getBlockByNumber", "0x3", False)
    assert third == other.call("eth_getBlockByNumber", "0x3", False)
    assert third["difficulty"] == "0x0" and one.call("eth_getBlockByNumber", "0x0", False)["difficulty"] == "0x1"
    assert one.call("qbft_getValidatorsByBlockNumber", "latest")["code"] == -32604
    assert one.call("admin_nodeInfo")["protocols"]["eth"]["config"]["ethash"] == {}

    one.fault(no_consensus_client=True)
    until(lambda: SILENT in "\n".join(one.lines()))
    assert other.height - one.height > 5 and one.call("eth_syncing") is False
    one.fault()
    until(lambda: one.height == other.height)
    head = one.call("eth_blockNumber")
    assert one.call("eth_getBlockByNumber", head, False) == other.call("eth_getBlockByNumber", head, False)


def looked_at(nodes: dict[str, Node]) -> dict[str, Any]:
    """What besu_network_info returns."""
    known = {**options.ACCESS_OPTIONS, **options.NODE_OPTIONS}
    params = {name: spec.get("default") for name, spec in known.items()}
    params["endpoints"] = [{"name": name, "url": f"http://{node.host}:8545"} for name, node in nodes.items()]
    return network_info.survey(survey.describe(params), access.verdict_options(params), SystemClock(), 1.5)


def test_what_is_told_of_execution_clients(make_network: MakeNetwork) -> None:
    """Slots of 2.4 seconds: two that are missed are nothing, and one after the other is the consensus client's trouble."""
    nodes = make_network(0, 2, block_scale=0.2, consensus="engine")
    for node in nodes.values():
        node.start()
    first = next(iter(nodes.values()))
    until(lambda: min(node.height for node in nodes.values()) >= 4)

    def told(causes: set[str | None]) -> None:
        seen = looked_at(nodes)
        assert {node["cause"] for node in seen["nodes"]} == causes, seen
        (chain,) = seen["networks"]
        assert (chain["has_quorum"], chain["stalled"], chain["may_stop"]) == (False, False, 0)
        assert "no quorum guard applies" in chain["reason"] and "QBFT" not in str(seen)

    def head_age() -> float:
        return time.time() - int(first.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    told({None})
    for node in nodes.values():
        node.fault(no_consensus_client=True)
    until(lambda: head_age() > 2 * 2.4)
    told({None})
    until(lambda: head_age() > 24)
    told({"consensus_client_unreachable"})
