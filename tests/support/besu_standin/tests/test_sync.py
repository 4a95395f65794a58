# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Following the chain: what a node says while it is behind, alone, on another chain, or stuck - and the lies in it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.conftest import MakeNetwork
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import Node, until
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.recorded import (
    all_recorded,
    comparable,
    events,
    recorded_lines,
)


@dataclass(frozen=True)
class Signs:
    """Everything that a node says of its sync, asked one after the other: a change may fall between two answers."""

    syncing: dict[str, int] | None
    height: int
    best_known: int
    in_sync: bool
    ready: bool
    ready_ten: bool
    peers: int

    @property
    def lies(self) -> bool:
        """All in sync, they say, far behind the best block that they know."""
        claims = self.syncing is None and self.in_sync and self.ready and self.ready_ten
        return claims and self.height + 10 < self.best_known


def signs(node: Node) -> Signs:
    """Ask all that may tell."""
    syncing = node.call("eth_syncing")
    values = dict(line.rsplit(" ", 1) for line in node.get("/metrics", 9545).text.splitlines() if line[0] != "#")
    return Signs(
        {key: int(value, 16) for key, value in syncing.items()} if isinstance(syncing, dict) else None,
        int(float(values["ethereum_blockchain_height"])),
        int(float(values["ethereum_best_known_block_number"])),
        values["besu_synchronizer_in_sync"] == "1.0",
        node.get("/readiness").status == 200,
        node.get("/readiness?minPeers=1&maxBlocksBehind=10").status == 200,
        node.peers,
    )


def watch(node: Node, done: int, timeout: float = 90) -> list[Signs]:
    """Signs from the first answer until the head is at ``done`` and nothing shows a sync any more."""
    until(lambda: node.height >= 0 and node.peers > 0)
    seen = [signs(node)]
    end = time.monotonic() + timeout
    while seen[-1].height < done or seen[-1].syncing is not None:
        assert time.monotonic() < end, f"still {seen[-1]}"
        time.sleep(0.05)
        seen.append(signs(node))
    return seen


def _source(make_network: MakeNetwork, blocks: int, scale: float = 0.1) -> tuple[Node, Node]:
    """A network of one validator that has blocks, and a node that has none."""
    nodes = make_network(1, 1, scale=scale, block_scale=0.5)
    nodes["b1"].seed(nodes["b1"].plan.history(blocks))
    nodes["b1"].start()
    until(lambda: nodes["b1"].height >= blocks)
    return nodes["b1"], nodes["b2"]


def _known(node: Node) -> None:
    """Every line is one that a real node wrote."""
    names = [(str(node.data), "/var/lib/besu"), (str(node.directory), "/etc/besu")]
    unknown = set(comparable(node.lines(), names)) - all_recorded()
    assert not unknown


def test_full_sync_lies_at_first_and_then_tells(make_network: MakeNetwork) -> None:
    _source_node, node = _source(make_network, 1572, scale=1.0)
    node.fault(sync_rate=200)
    node.start()
    seen = watch(node, 1572)
    assert seen[0].lies and seen[0].height == 0, "at first in sync, at block 0"
    begins = next(i for i, s in enumerate(seen) if s.syncing is not None)
    assert all(s.lies for s in seen[: begins - 1]), "the change may fall into the last"
    middle = [s for s in seen[begins:] if s.syncing is not None and s.height + 300 < s.best_known]
    assert len(middle) > 3
    for one in middle:
        assert one.syncing is not None
        assert not one.in_sync and not one.ready and not one.ready_ten
        assert list(one.syncing) == ["startingBlock", "currentBlock", "highestBlock"]
        assert one.syncing["startingBlock"] == 0
        assert one.syncing["highestBlock"] >= 1572
    heights = [s.height for s in middle]
    assert heights == sorted(heights) and len(set(heights)) > 2
    assert any(s.syncing is not None and s.syncing["currentBlock"] == s.syncing["highestBlock"] for s in seen), "lag 0"
    assert seen[-1].ready and seen[-1].in_sync
    imported = [line for line in comparable(node.lines()) if "Import reached" in line]
    assert len(imported) == 7, "each 200 blocks"
    say = ("TransactionPoolFactory", "BftMiningCoordinator", "FullImportBlockStep", "FullSyncDownloader")
    recorded = events(comparable(recorded_lines("full_sync_1600_blocks", "b6")), *say)
    assert events(comparable(node.lines()), *say) == recorded
    _known(node)


def test_snap_sync_lies_until_it_is_done(make_network: MakeNetwork) -> None:
    _source_node, node = _source(make_network, 600)
    node.options["sync-mode"] = "SNAP"
    node.fault(snap_rate=100, sync_rate=100)
    node.start()
    seen = watch(node, 600)
    behind = [s for s in seen if s.height == 0]
    assert len(behind) > 3
    assert all(s.lies for s in behind[:-1]), "the jump may fall into the last"
    jump = next(s for s in seen if s.height > 0)
    assert jump.height >= 550, "the chain comes all at once"
    assert seen[-1].ready and seen[-1].in_sync
    _known(node)


def test_a_node_a_few_blocks_behind_never_says_so(make_network: MakeNetwork) -> None:
    nodes = make_network(4, 1, scale=0.3, block_scale=0.25)
    for node in nodes.values():
        node.start()
    until(lambda: all(node.height >= 4 for node in nodes.values()))
    node = nodes["b5"]
    node.stop()
    height = nodes["b1"].height
    until(lambda: nodes["b1"].height > height + 5)
    node.start()
    seen = watch(node, height + 6)
    assert all(s.syncing is None and s.in_sync for s in seen)
    say = events(comparable(node.lines()), "BlockPropagationManager")
    assert say and set(say) <= set(events(comparable(recorded_lines("restart_validator", "b1"))))


def test_sync_that_stalls(make_network: MakeNetwork) -> None:
    _source_node, node = _source(make_network, 500)
    node.fault(sync_rate=50)
    node.start()
    until(lambda: node.height > 60)
    node.fault(stall_import=True)
    time.sleep(0.6)
    before = signs(node)
    time.sleep(1)
    after = signs(node)
    assert before.height == after.height < 500
    assert after.syncing is not None and not after.ready
    node.fault(sync_rate=800)
    watch(node, 500)


def test_sync_goes_on_after_a_restart(make_network: MakeNetwork) -> None:
    _source_node, node = _source(make_network, 600)
    node.fault(sync_rate=200)
    node.start()
    until(lambda: node.height > 100)
    assert node.stop() == 143
    node.start()
    until(lambda: node.height >= 0)
    assert node.height > 100, "what was imported stays"
    watch(node, 600)


def test_an_isolated_node_keeps_its_peers_for_a_while_and_looks_well(make_network: MakeNetwork) -> None:
    nodes = make_network(4, scale=0.1)
    for node in nodes.values():
        node.start()
    until(lambda: all(node.height >= 4 and node.peers == 3 for node in nodes.values()))
    node = nodes["b4"]
    node.fault(isolate=True)
    time.sleep(1)
    held = signs(node)
    assert held.peers == 3 and held.ready
    height = node.height
    until(lambda: node.peers == 0)
    alone = signs(node)
    assert not alone.ready and not alone.ready_ten
    assert alone.syncing is None and alone.in_sync
    assert alone.height == alone.best_known == height
    until(lambda: nodes["b1"].height > height + 4)
    until(lambda: nodes["b1"].peers == 2)
    node.fault()
    until(lambda: node.peers == 3)
    until(lambda: node.height >= nodes["b1"].height - 1)
    recorded = events(comparable(recorded_lines("validator_isolated_then_back", "b4")), "FullSyncTargetManager")
    assert set(events(comparable(node.lines()), "FullSyncTargetManager")) >= set(recorded)


def test_isolated_from_one_peer_alone(make_network: MakeNetwork) -> None:
    nodes = make_network(4, scale=0.05)
    for node in nodes.values():
        node.start()
    until(lambda: all(node.peers == 3 for node in nodes.values()))
    nodes["b4"].fault(isolate_from=[nodes["b1"].host])
    nodes["b1"].fault(isolate_from=[nodes["b4"].address])
    until(lambda: nodes["b4"].peers == 2 and nodes["b1"].peers == 2)
    assert nodes["b2"].peers == 3


@pytest.mark.parametrize("other", ["genesis", "network id"])
def test_nodes_of_another_network_never_become_peers(other: str, make_network: MakeNetwork) -> None:
    nodes = make_network(1, 1)
    nodes["b1"].start()
    node = nodes["b2"]
    file = node.directory / "genesis.json"
    if other == "genesis":
        file.write_text(json.dumps({**json.loads(file.read_text()), "timestamp": "0x1"}))
    else:
        node.options["network-id"] = 1338
    node.start()
    until(lambda: node.height == 0 and nodes["b1"].height > 1)
    time.sleep(1)
    assert (node.peers, nodes["b1"].peers) == (0, 0)
    assert not signs(node).ready and signs(node).syncing is None
    same = [n.call("eth_getBlockByNumber", "0x0", False)["hash"] for n in nodes.values()]
    assert (same[0] == same[1]) == (other == "network id")
    assert [n.call("net_version") for n in nodes.values()] == (
        ["1337", "1338"] if other == "network id" else ["1337"] * 2
    )
    _known(node)


def test_a_fork_is_told_by_hashes(make_network: MakeNetwork) -> None:
    """The same genesis, another block 1: peers, but no block of the others."""
    nodes = make_network(1, 1)
    first, second = nodes["b1"], nodes["b2"]
    first.seed(first.plan.history(5))
    second.seed(second.plan.history(3, branch="other"))
    for node in nodes.values():
        node.start()
    until(lambda: first.height >= 6 and second.height >= 0)
    time.sleep(1.5)
    assert second.height == 3
    hashes = [n.call("eth_getBlockByNumber", "0x1", False)["hash"] for n in nodes.values()]
    assert hashes[0] != hashes[1]
    assert second.process is not None and second.process.poll() is None
    assert "Traceback" not in second.log_path.read_text()


def test_stuck_on_a_block_that_it_holds_invalid(make_network: MakeNetwork) -> None:
    """Its genesis file schedules block periods differently; that is no part of the genesis block's hash."""
    nodes = make_network(1, 1, scale=0.3, block_scale=1.0, block_period=1)
    nodes["b1"].seed(nodes["b1"].plan.history(400))
    nodes["b1"].start()
    until(lambda: nodes["b1"].height >= 400)
    node = nodes["b2"]
    file = node.directory / "genesis.json"
    document = json.loads(file.read_text())
    document["config"]["transitions"] = {"qbft": [{"block": 200, "blockperiodseconds": 2}]}
    file.write_text(json.dumps(document))
    node.options["sync-min-peers"] = 1
    node.start()
    until(lambda: node.peers == 1)
    seen = []
    end = time.monotonic() + 25
    while time.monotonic() < end:
        seen.append(signs(node))
        time.sleep(0.03)
    assert {s.height for s in seen} <= {0}
    assert {s.peers for s in seen} == {0, 1}, "peers come and go"
    assert {s.ready for s in seen} == {True, False}
    assert {s.syncing is None for s in seen} == {True, False}
    say = ("PipelineChainDownloader", "TimestampMoreRecentThanParent", "FullSyncTargetManager")
    recorded = events(comparable(recorded_lines("sync_stuck_on_invalid_block", "b7")), *say)
    assert set(recorded) <= set(events(comparable(node.lines()), *say))
    assert any("Invalid block 200 (0x" in line for line in node.lines())
    _known(node)


def test_a_node_allowlist_keeps_others_away(make_network: MakeNetwork) -> None:
    nodes = make_network(2, 1)
    node = nodes["b3"]
    node.data.mkdir()
    only = str(node.plan.nodes["b1"].enode)
    (node.data / "permissions_config.toml").write_text(f'nodes-allowlist=["{only}"]\n')
    node.options.update({"permissions-nodes-config-file-enabled": True, "bootnodes": [only]})
    for one in nodes.values():
        one.start()
    until(lambda: [n.peers for n in nodes.values()] == [2, 1, 1])
    time.sleep(1)
    assert node.peers == 1
    assert node.call("perm_getNodesAllowlist") == [only]


def test_nodes_remember_one_that_has_no_bootnodes(make_network: MakeNetwork) -> None:
    nodes = make_network(1, 1)
    for node in nodes.values():
        node.start()
    until(lambda: nodes["b2"].peers == 1)
    nodes["b2"].stop()
    nodes["b2"].options["bootnodes"] = []
    nodes["b2"].start()
    until(lambda: nodes["b2"].peers == 1)


def test_unreachable_bootnodes(make_network: MakeNetwork) -> None:
    node = make_network(1, 1)["b2"].start()
    until(lambda: node.height == 0)

    def waiting() -> list[str]:
        return [line for line in comparable(node.lines()) if "Unable to find sync target" in line]

    until(lambda: len(waiting()) >= 2)
    alone = signs(node)
    assert alone.peers == 0 and not alone.ready and alone.syncing is None and alone.in_sync
    recorded = comparable(recorded_lines("bootnodes_unreachable", "b6"))
    assert set(waiting()) <= set(recorded)
    _known(node)
