# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Besu as an execution client: blocks in slots, the same for all, and a consensus client that is gone."""

from __future__ import annotations

from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.conftest import MakeNetwork
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import until

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
