# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON-RPC, health and metrics: the same statuses, types, keys, errors as recorded, for each recorded request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.conftest import MakeNetwork
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import Answer, Node, until
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.recorded import (
    folded,
    keys_in_order,
    recording,
    shape,
)

VERSIONS = {"26.8.0": "consensus_validator", "25.7.0": "consensus_validator_v25_7"}
# What no chain and no host changes: the same to the byte, but for addresses of hosts.
EXACT = (
    "eth_syncing", "eth_chainId", "web3_clientVersion", "net_version", "net_listening", "net_services", "rpc_modules",
    "qbft_getPendingVotes", "qbft_getRequestTimeoutSeconds", "txpool_besuStatistics", "plugins_reloadPluginConfig",
    "eth_mining", "eth_getBlockByNumber 0xffffff False",
)  # fmt: skip
HOST = re.compile(r"\d+\.\d+\.\d+\.\d+\"")
# Compared on their own below.
APART = ("metrics in full", "debug_metrics")


@pytest.fixture(scope="module", params=VERSIONS)
def network(request: pytest.FixtureRequest, make_shared_network: MakeNetwork) -> Iterator[tuple[str, dict[str, Node]]]:
    """Four validators and one that is none, of each version, a few blocks old."""
    nodes = make_shared_network(4, 1, version=request.param)
    for node in nodes.values():
        node.start()
    until(lambda: all(node.height >= 6 and node.peers >= 3 for node in nodes.values()))
    yield VERSIONS[request.param], nodes


def _ask(node: Node, label: str) -> Answer:
    if label.startswith("GET "):
        return node.get(label.removeprefix("GET "))
    method, *words = label.split(" ")
    parameters = [{"False": False, "True": True}.get(word, word) for word in words]
    return node.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})


def _same(label: str, ours: Answer, theirs: dict[str, object]) -> None:
    assert ours.status == theirs["status"], label
    assert ours.type == theirs.get("type"), label
    assert ours.reason == theirs.get("reason", ours.reason), label
    body = str(theirs["body"])
    if not body.startswith(("{", "[")):
        assert ours.text == body, label
        return
    expected = json.loads(body)
    if label in EXACT:
        assert HOST.sub("", ours.text) == HOST.sub("", body), label
        return
    if "error" in expected or label.startswith("GET "):
        assert ours.text == body, label
        return
    assert shape(_plain(ours.json)) == shape(_plain(expected)), label
    assert keys_in_order(ours.json) == keys_in_order(expected), label
    assert (": " in body) == (": " in ours.text), f"{label}: white space"


def _plain(document: object) -> object:
    """With entries of lists in an order of their own: real nodes list peers and signers as their hash maps do."""
    text = json.dumps(document)
    # Which of two nodes dialled the other, and which block has been announced, is chance.
    text = re.sub(r"\?discport=0", "", text)
    text = re.sub(r'"inbound": (true|false)', '"inbound": true', text)
    return json.loads(text)


def test_every_recorded_request(network: tuple[str, dict[str, Node]]) -> None:
    name, nodes = network
    answers = recording(name)["surface"]
    for host, node in (("b1", nodes["b1"]), ("b5", nodes["b5"])):
        for label, theirs in answers.get(host, {}).items():
            if label not in APART:
                _same(label, _ask(node, label), theirs)


def test_every_sampled_answer(network: tuple[str, dict[str, Node]]) -> None:
    name, nodes = network
    for label, theirs in folded(name, "b1", 5).items():
        if label in ("metrics", "systemd") or label.startswith("port "):
            continue
        parameters = {"eth_getBlockByNumber": " latest False", "qbft_getValidatorsByBlockNumber": " latest"}
        ours = _ask(nodes["b1"], label + parameters.get(label, ""))
        assert ours.status == theirs["status"]
        result = ours.json
        assert isinstance(result, dict)
        result.get("result", {}).pop("logsBloom", None) if isinstance(result.get("result"), dict) else None
        assert shape(_plain(result)) == shape(_plain(theirs["body"])), label


def test_metrics(network: tuple[str, dict[str, Node]]) -> None:
    name, nodes = network
    recorded = recording(name)["surface"]["b1"]["metrics in full"]
    ours = nodes["b1"].get("/metrics", 9545)
    assert (ours.status, ours.type) == (recorded["status"], recorded["type"])
    timings = re.compile(
        r"^(# \w+ )?besu_(rpc_request_time|peers_request_time|rpc_errors_count|peers_disconnected_total)"
    )

    def page(text: str) -> list[str]:
        names = [line.rpartition(" ")[0] if line[0] != "#" else line for line in text.splitlines()]
        return [line for line in names if not timings.match(line)]

    assert page(ours.text) == page(recorded["body"])
    values = dict(line.rsplit(" ", 1) for line in ours.text.splitlines() if line[0] != "#")
    assert re.fullmatch(r"\d+\.0", values["ethereum_blockchain_height"])
    assert re.fullmatch(r"1\.\d+E9", values["besu_blockchain_chain_head_timestamp"])
    assert values["besu_synchronizer_in_sync"] == "1.0"
    assert float(values["ethereum_blockchain_height"]) >= 6


def test_debug_metrics_has_the_categories_that_tell_the_state(network: tuple[str, dict[str, Node]]) -> None:
    name, nodes = network
    theirs = json.loads(recording(name)["surface"]["b1"]["debug_metrics"]["body"].partition("(cut)")[0])["result"]
    ours = nodes["b1"].call("debug_metrics")
    assert isinstance(ours, dict)
    for category in ("ethereum", "blockchain", "synchronizer"):
        plain = {key for key, value in theirs[category].items() if isinstance(value, float)}
        assert plain - {f"{k}_total" for k in plain} <= {k.removesuffix("_total") for k in ours[category]} | set(
            ours[category]
        )


def test_values_fit_together(network: tuple[str, dict[str, Node]]) -> None:
    """Peers look one block behind, the head is left out of signer metrics, and identities agree everywhere."""
    _name, nodes = network
    node = nodes["b1"]
    assert node.call("admin_nodeInfo")["id"] == node.plan.nodes["b1"].enode.id
    validators = node.call("qbft_getValidatorsByBlockNumber", "latest")
    assert validators == sorted(n.address for n in node.plan.validators)
    height = node.height
    signers = node.call("qbft_getSignerMetrics", "0x1", hex(height))
    assert isinstance(signers, list)
    assert max(int(s["lastProposedBlockNumber"], 16) for s in signers) == height - 1
    assert sum(int(s["proposedBlockCount"], 16) for s in signers) == height - 1

    def told() -> list[dict[str, Any]]:
        peers = node.call("admin_peers")
        assert isinstance(peers, list)
        return [peer["protocols"]["eth"] for peer in peers]

    until(lambda: all(int(eth["difficulty"], 16) >= height for eth in told()))
    for eth in told():
        assert int(eth["difficulty"], 16) <= node.height + 1
        if "latestBlock" in eth:
            assert eth["latestBlock"] == int(eth["difficulty"], 16) - 1
    block = node.call("eth_getBlockByNumber", "latest", False)
    assert isinstance(block, dict)
    assert block["miner"] in validators
    assert node.call("eth_getBlockByHash", block["hash"], False) == block
    assert int(block["totalDifficulty"], 16) == int(block["number"], 16) + 1
