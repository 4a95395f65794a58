# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From answers to a sample: what has the shape is used, everything else is nothing."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import responses as a
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import (
    LIVE,
    NodeSample,
    read_sample,
    sample_from,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.rpc_answers import RpcAnswer

KEY = "26ce7196045763d94f1f936d80902d885ea4bd8aa81301593ef2308a39409ece5e92a9277d4dc5381991e35e91abd4af52b5c9894305a73d5f228661702d9a44"
OWN = "0x73bf4ea1ca3143f3a8cde418781db81bfe1a8ab9"
BLOCK = {
    "number": "0x1d",
    "timestamp": "0x6b054b2e",
    "hash": "0x" + "AB" * 32,
    "miner": "0x76514C72210c678add0840cbb03806261df4dd8b",
}


def ok(value):
    return RpcAnswer("ok", value)


def sample(**given):
    return sample_from({label.replace("__", ":"): value for label, value in given.items()}, at=1.0, wall=2.0)


def test_a_block():
    assert a.block(BLOCK) == a.Block(29, 1795509038, "0x" + "ab" * 32, "0x76514c72210c678add0840cbb03806261df4dd8b")


@pytest.mark.parametrize(
    "wrong",
    [None, [], {}, {"number": "29", "timestamp": "0x1"}, {"number": 29, "timestamp": "0x1"}, {"number": "0x1"}],
)
def test_no_block(wrong):
    assert a.block(wrong) is None


@pytest.mark.parametrize("value", ["0x", "1a", "0xg", "0x" + "f" * 65, 26, None, True, ["0x1"], "0x1 "])
def test_no_quantity(value):
    assert a.hex_number(value) is None


@pytest.mark.parametrize(
    ("eth", "bft", "height"),
    [
        ({"latestBlock": 428, "difficulty": "0x1ac"}, True, 428),
        ({"latestBlock": 0, "difficulty": "0x0"}, True, 0),
        ({"difficulty": "0x1ad", "head": "0x1"}, True, 428),
        ({"difficulty": "0x1ad"}, False, None),
        ({"difficulty": "0x0"}, True, None),
        ({"difficulty": "0x" + "f" * 40}, True, None),
        ({"latestBlock": "428"}, True, None),
        ({"latestBlock": True}, True, None),
        ({"latestBlock": -1}, True, None),
        ({}, True, None),
        (None, True, None),
    ],
)
def test_height_of_a_peer_of_old_and_new_versions(eth, bft, height):
    peer = {"id": "0x" + KEY, "name": "besu/v26.8.0/linux-x86_64/openjdk-java-25", "protocols": {"eth": eth}}
    assert a.peers([peer], bft) == (a.Peer(OWN, height, "26.8.0"),)


def test_peers_that_are_none():
    assert a.peers("x", True) is None
    assert a.peers([None, 3, {}], True) == (a.Peer(None, None, None),) * 3
    assert len(a.peers([{}] * 5000, True)) == 2000


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("besu/v26.8.0/linux-x86_64/openjdk-java-25", "26.8.0"),
        ("besu/bank-7/v25.7.0/linux-x86_64/openjdk-java-21", "25.7.0"),
        ("besu/v26.3-develop-f2ec0fe/osx-aarch_64/oracle_openjdk-java-22", "26.3-develop-f2ec0fe"),
        ("Geth/thing", "Geth/thing"),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_version(name, version):
    assert a.version_of(name) == version


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"qbft": {"epochLength": 30000, "blockPeriodSeconds": 2, "requestTimeoutSeconds": 4}},
            a.BftConfig("qbft", 2.0, None, 4.0, 30000),
        ),
        (
            {"ibft2": {"blockperiodseconds": 5, "xemptyblockperiodseconds": 60}},
            a.BftConfig("ibft", 5.0, 60.0, None, None),
        ),
        (
            {"qbft": {"xblockperiodmilliseconds": 500, "blockPeriodSeconds": 1}},
            a.BftConfig("qbft", 0.5, None, None, None),
        ),
        ({"qbft": {"blockPeriodSeconds": "2", "requestTimeoutSeconds": True}}, a.BftConfig("qbft")),
        ({"qbft": {"blockPeriodSeconds": 1e-310, "requestTimeoutSeconds": 10**400}}, a.BftConfig("qbft")),
        ({"qbft": 3}, None),
        ({"ethash": {}}, None),
        (None, None),
    ],
)
def test_consensus_settings(config, expected):
    assert a.bft_config({"protocols": {"eth": {"config": config}}}) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"clique": {"blockPeriodSeconds": 15, "epochLength": 30000}}, a.NonBftConfig("Clique", 15.0)),
        ({"clique": {"blockperiodseconds": 0}}, a.NonBftConfig("Clique", None, True)),
        ({"clique": {"blockPeriodSeconds": 5, "createEmptyBlocks": False}}, a.NonBftConfig("Clique", 5.0, True)),
        ({"ethash": {"fixeddifficulty": 100}}, a.NonBftConfig("development", None, True)),
        ({"ethash": {}, "chainId": 11155111}, a.NonBftConfig("proof-of-work")),
        ({"qbft": {"blockPeriodSeconds": 2}}, None),
        ({"clique": "x"}, None),
        ("x", None),
    ],
)
def test_chains_on_whose_blocks_no_quorum_agrees(config, expected):
    assert a.non_bft_config({"protocols": {"eth": {"config": config}}}) == expected


def test_signers_leave_out_who_proposed_nothing():
    value = [
        {"address": OWN, "proposedBlockCount": "0x7", "lastProposedBlockNumber": "0x1c"},
        {"address": "0x" + "00" * 20, "proposedBlockCount": "0x1", "lastProposedBlockNumber": "0x0"},
        {"address": "0x" + "11" * 20, "proposedBlockCount": "0x0", "lastProposedBlockNumber": "0x0"},
        {"address": "x", "proposedBlockCount": "0x1", "lastProposedBlockNumber": "0x1"},
        None,
    ]
    assert a.signers(value) == {OWN: 28}
    assert a.signers(None) is None


def test_a_whole_sample():
    info = {"id": KEY, "name": "besu/v26.8.0/x", "protocols": {"eth": {"config": {"qbft": {"blockPeriodSeconds": 2}}}}}
    seen = sample(
        eth_syncing=ok({"startingBlock": "0x0", "currentBlock": "0x10", "highestBlock": "0x20"}),
        head=ok(BLOCK),
        net_peerCount=ok("0x4"),
        admin_peers=ok([]),
        admin_nodeInfo=ok(info),
        genesis=ok({**BLOCK, "number": "0x0"}),
        eth_chainId=ok("0x539"),
        net_version=ok("1337"),
        qbft__latest=ok([OWN]),
        qbft__pending=ok([OWN.upper().replace("0X", "0x")]),
        ibft__latest=RpcAnswer("not_enabled"),
    )
    assert (seen.rpc, seen.number, seen.address, seen.version) == ("ok", 29, OWN, "26.8.0")
    assert (seen.chain_id, seen.network_id, seen.genesis) == (1337, 1337, "0x" + "ab" * 32)
    assert (seen.connected, seen.best_known, seen.said_in_sync) == (4, 32, False)
    assert seen.group == "qbft" and seen.validators == seen.next_validators == (OWN,)
    assert seen.outcomes == {"ibft:latest": "not_enabled"}


@pytest.mark.parametrize(
    ("told", "genesis"),
    [
        ("0x" + "C" * 64, "0x" + "c" * 64),
        ("0x" + "c" * 63, "0x" + "ab" * 32),
        ({"a": 1}, "0x" + "ab" * 32),
        (["x"], "0x" + "ab" * 32),
        (7, "0x" + "ab" * 32),
        (None, "0x" + "ab" * 32),
    ],
)
def test_block_0_is_a_hash_or_that_of_another_answer(told, genesis):
    info = {"protocols": {"eth": {"genesis": told}}}
    assert sample(admin_nodeInfo=ok(info), genesis=ok({**BLOCK, "number": "0x0"})).genesis == genesis
    assert sample(admin_nodeInfo=ok(info)).genesis == (genesis if genesis.endswith("c") else None)


@pytest.mark.parametrize(
    ("given", "p2p"),
    [
        ({"net_enode": RpcAnswer("rpc_error", message="P2P network is not running")}, "starting"),
        ({"net_enode": RpcAnswer("rpc_error", message="the method is disabled by policy")}, None),
        (
            {
                "admin_nodeInfo": RpcAnswer(
                    "rpc_error", message="P2P has been disabled. This functionality is not available"
                )
            },
            "disabled",
        ),
        ({"net_enode": ok("enode://x@1.2.3.4:1")}, "running"),
        ({"net_enode": RpcAnswer("not_enabled")}, None),
        ({}, None),
    ],
)
def test_what_the_errors_say_of_the_network(given, p2p):
    assert sample(**given).p2p == p2p


def test_the_request_as_a_whole():
    assert sample(head=RpcAnswer("hang"), eth_syncing=RpcAnswer("hang")).rpc == "hang"
    assert sample(head=RpcAnswer("unauthorized"), eth_syncing=ok(False)).rpc == "ok"
    assert sample(head=RpcAnswer("not_enabled")).rpc == "ok"
    assert sample(head=RpcAnswer("not_enabled"), eth_syncing=RpcAnswer("unauthorized")).rpc == "unauthorized"
    assert sample().rpc == "refused"


def forbidden():
    raise AssertionError("not to be asked")


class Client:
    """Answers every call with an error, or with what it is given."""

    def __init__(self, known=None, outcome="refused"):
        self.known, self.outcome, self.asked, self.got = known or {}, outcome, [], []

    def batch(self, calls):
        self.asked.append([method for method, _params in calls])
        return [
            RpcAnswer("ok", self.known[method]) if method in self.known else RpcAnswer(self.outcome)
            for method, _params in calls
        ]

    def get(self, path):
        self.got.append(path)
        return "ok", 200, "ethereum_blockchain_height 7\n"


def test_one_request_for_a_look_and_fewer_calls_for_the_next():
    known = {
        "eth_getBlockByNumber": BLOCK,
        "web3_clientVersion": "besu/v26.8.0/x",
        "admin_nodeInfo": {"id": KEY, "protocols": {"eth": {"config": {"qbft": {}}}}},
        "qbft_getValidatorsByBlockNumber": [OWN],
    }
    client = Client(known, "not_enabled")
    first = read_sample(client, at=1.0, wall=2.0)
    second = read_sample(client, at=2.0, wall=3.0, before=first)
    assert len(client.asked) == 2
    assert "ibft_getValidatorsByBlockNumber" in client.asked[0] and "eth_chainId" in client.asked[0]
    assert len(client.asked[1]) == len(LIVE) + 4, "and a block to measure the block period from"
    assert (second.version, second.address, second.genesis) == ("26.8.0", OWN, first.genesis)


def test_the_last_block_of_its_own_is_asked_for_in_the_same_request():
    client = Client({"eth_getBlockByNumber": {**BLOCK, "miner": OWN}})
    first = read_sample(client, at=1.0, wall=2.0)
    second = read_sample(client, at=2.0, wall=3.0, before=first, own=OWN)
    assert first.made is None and second.made == first.head and len(client.asked) == 2
    assert read_sample(client, at=3.0, wall=4.0, before=first, own="0x" + "9" * 40).made is None


def test_metrics_and_port_are_asked_only_where_rpc_does_not_answer():
    metrics = Client()
    seen = read_sample(Client(), at=1.0, wall=2.0, metrics_client=metrics, p2p_probe=lambda: True)
    assert (seen.number, seen.p2p_open, seen.rpc) == (7, True, "refused")
    assert metrics.got == [""]
    metrics = Client()
    seen = read_sample(Client({"eth_syncing": False}), at=1.0, wall=2.0, metrics_client=metrics, p2p_probe=forbidden)
    assert metrics.got == [] and seen.p2p_open is None


def test_the_longer_list_of_peers_counts():
    seen = NodeSample(0, 0, "ok", peer_count=0, peers=(a.Peer(None, 5, None),))
    assert seen.connected == 1 and seen.best_known == 5


def test_the_block_period_is_measured_where_it_is_not_told():
    def header(number, seconds):
        return {"number": hex(number), "timestamp": hex(1000 + seconds), "hash": "0x" + "1" * 64, "miner": OWN}

    class Chain(Client):
        def batch(self, calls):
            self.asked.append([method for method, _params in calls])
            blocks = {"latest": header(100, 1200), hex(68): header(68, 816), "0x0": header(0, -1000)}
            return [
                RpcAnswer("ok", blocks[params[0]]) if method == "eth_getBlockByNumber" else RpcAnswer("not_enabled")
                for method, params in calls
            ]

    first = read_sample(Chain({}, ""), at=1.0, wall=2.0)
    second = read_sample(Chain({}, ""), at=2.0, wall=3.0, before=first)
    third = Chain({}, "")
    assert (first.period, second.period, read_sample(third, at=3.0, wall=4.0, before=second).period) == (
        None,
        12.0,
        12.0,
    )


def test_a_block_of_bft_is_never_one_of_an_execution_client():
    plain = {"number": "0x5", "timestamp": "0x5", "difficulty": "0x0"}
    assert a.block({**plain, "mixHash": "0x" + "3" * 64}).difficulty == 0
    mix = "0x" + b"ctical byzantine fault tolerance".hex()
    assert a.block({**plain, "mixHash": mix}).difficulty is None
