# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many endpoints and their networks, without a network."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import network_info as network
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import survey
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.rpc_answers import RpcAnswer
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import NodeOptions
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import parse_url
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock

WALL = 1_795_000_000.0
# Public keys and the addresses that follow from them.
KEYS = {
    "26ce7196045763d94f1f936d80902d885ea4bd8aa81301593ef2308a39409ece"
    "5e92a9277d4dc5381991e35e91abd4af52b5c9894305a73d5f228661702d9a44": "0x73bf4ea1ca3143f3a8cde418781db81bfe1a8ab9",
    "fb3752d48efe4886aa1e05bbfa6ea22de697404e99918ca461295f7f33a6d945"
    "a12faaff1e91b60238540c0437c196539b7b46ad86154dc73d0a6c8761d64d81": "0x9bb2c4c8bf5b2e3c3a415c1e95ea543c6a0d15d0",
    "30baf55363d3582599a7157fad188e211166ed581cfa70f63c9e4a9ccd8ba29e"
    "7e12b4bc4dbbb85f316912dc21b80d7934e9813409cf391ff31763dc8e89666c": "0x76514c72210c678add0840cbb03806261df4dd8b",
    "fd7e3c202f5182be88d28f97f319848469f8596b67d773102cb7a105738cf5cd"
    "48eb81b1b4fe8b2ca1dfeb29302513c7184c12437737407d6affccaeb458273c": "0x88e290d1f9e07b9b1baca6e1f0f52ff76a7b9457",
}
MEMBERS = sorted(KEYS.values())


class Node:
    """A validator that answers as a healthy one does, changed as told."""

    def __init__(self, clock, key=None, behind=0, genesis="a", fork="", outcome=None, version="26.8.0"):
        self.clock, self.key, self.behind, self.genesis = clock, key, behind, genesis
        self.fork, self.outcome, self.version = fork, outcome, version
        self.url = parse_url("http://user:secret@10.0.0.1:8545/?key=secret")
        self.asked = []
        self.closed = False

    def close(self):
        self.closed = True

    def height(self):
        return 1000 + int((self.clock.now - 1000.0) / 2) - self.behind

    def block(self, number):
        digit = self.fork or "b"
        return {
            "number": hex(number),
            "timestamp": hex(int(WALL + 1000 + 2 * (number - 1000))),
            "hash": "0x" + digit * 8 + f"{number:056x}",
            "miner": MEMBERS[number % 4],
        }

    def answer(self, method, params):
        number = self.height()
        if method == "eth_getBlockByNumber":
            if params[0] == "0x0":
                return {**self.block(0), "number": "0x0", "timestamp": "0x0", "hash": "0x" + self.genesis * 64}
            return self.block(number if params[0] == "latest" else int(params[0], 16))
        known = {
            "eth_syncing": False,
            "eth_getBalance": "0x0",
            "eth_chainId": "0x539",
            "net_version": "1337",
            "net_peerCount": "0x3",
            "net_enode": f"enode://{self.key}@10.0.0.1:30303" if self.key else None,
            "web3_clientVersion": f"besu/v{self.version}/linux-x86_64/openjdk-java-25",
            "admin_peers": [
                {"id": "0x" + key, "name": f"besu/v{self.version}/x", "protocols": {"eth": {"latestBlock": number}}}
                for key in KEYS
                if key != self.key
            ],
            "admin_nodeInfo": {
                "protocols": {"eth": {"config": {"qbft": {"blockPeriodSeconds": 2, "requestTimeoutSeconds": 4}}}}
            },
            "qbft_getValidatorsByBlockNumber": MEMBERS,
            "qbft_getSignerMetrics": [
                {
                    "address": a,
                    "proposedBlockCount": "0x5",
                    "lastProposedBlockNumber": hex(number - 1 - (number - 1 - i) % 4),
                }
                for i, a in enumerate(MEMBERS)
            ],
        }
        return known.get(method)

    def batch(self, calls):
        self.asked.append(calls)
        if self.outcome:
            return [RpcAnswer(self.outcome)] * len(calls)
        return [RpcAnswer("ok", self.answer(method, params)) for method, params in calls]


def look(*nodes, clock, options=None):
    endpoints = [network.Endpoint(f"n{i}", node) for i, node in enumerate(nodes)]
    return network.survey(endpoints, options or NodeOptions(), clock, 2.0)


@pytest.fixture
def clock():
    return VirtualClock(1000.0, WALL + 1000.0)


def four(clock, **more):
    return [Node(clock, key, **more) for key in KEYS]


def test_an_idle_chain_whose_period_is_told(clock):
    nodes = four(clock)
    for node in nodes:
        node.height = lambda: 1000
    (told,) = look(*nodes, clock=clock, options=NodeOptions(empty_block_period=300.0))["networks"]
    assert (told["may_stop"], told["advances"], told["reason"]) == (1, False, "")
    (untold,) = look(*nodes, clock=clock)["networks"]
    assert untold["may_stop"] == 0 and "did not advance" in untold["reason"]


@pytest.mark.parametrize("ahead", [100.0, 3600.0, -3600.0])
def test_a_clock_that_is_wrong_is_no_stall(clock, ahead):
    """A quorum of the validators is level, and so nobody has a newer block."""
    clock.wall = lambda: WALL + clock.now + ahead
    seen = look(*four(clock), clock=clock)
    assert {(node["state"], node["cause"]) for node in seen["nodes"]} == {("consensus", "clock_skew")}
    (net,) = seen["networks"]
    assert (net["advances"], net["stalled"], net["may_stop"]) == (True, False, 1)


@pytest.mark.parametrize("ahead", [0.0, 3600.0, -3600.0])
@pytest.mark.parametrize("period", [2, 12])
def test_a_stall_is_watched_before_it_is_told(clock, period, ahead):
    clock.wall = lambda: WALL + clock.now + ahead
    nodes = four(clock)
    config = {"qbft": {"blockPeriodSeconds": period, "requestTimeoutSeconds": 2 * period}}
    height = 1000 + int((clock.now - 1000.0) / 2)
    for node in nodes:
        node.height = lambda: height
        told = node.answer
        node.answer = lambda method, params, told=told: (
            {"protocols": {"eth": {"config": config}}} if method == "admin_nodeInfo" else told(method, params)
        )
    clock.sleep(200.0)
    began = clock.now
    seen = look(*nodes, clock=clock)
    assert {node["cause"] for node in seen["nodes"]} == {"chain_stalled"}
    assert seen["networks"][0]["stalled"] and 2 * period <= clock.now - began < 2 * period + 4


class ExecutionClient(Node):
    """One of mainnet: blocks without a difficulty, a genesis file with proof of work, no consensus API."""

    def block(self, number):
        return {**super().block(number), "difficulty": "0x0", "miner": "0x" + "f" * 40}

    def answer(self, method, params):
        config: dict[str, t.Any] = {"ethash": {}}
        mainnet = {"protocols": {"eth": {"config": config}}}
        return mainnet if method == "admin_nodeInfo" else super().answer(method, params)

    def batch(self, calls):
        off = RpcAnswer("not_enabled")
        return [
            off if call[0].startswith(("qbft", "ibft")) else told for call, told in zip(calls, super().batch(calls))
        ]


@pytest.mark.parametrize(("silent", "cause"), [(False, None), (True, "consensus_client_unreachable")])
def test_execution_clients_have_no_quorum_and_their_chain_is_not_stalled(clock, silent, cause):
    nodes = [ExecutionClient(clock, key) for key in KEYS]
    if silent:
        height = nodes[0].height()
        for node in nodes:
            node.height = lambda: height
        clock.sleep(200.0)
    seen = look(*nodes, clock=clock)
    assert {node["cause"] for node in seen["nodes"]} == {cause}
    (net,) = seen["networks"]
    assert (net["has_quorum"], net["stalled"], net["may_stop"]) == (False, False, 0)
    assert "no quorum guard applies" in net["reason"] and net["arithmetic"] == "no quorum decides"


def test_a_healthy_network(clock):
    nodes = four(clock)
    seen = look(*nodes, clock=clock)
    assert [node["state"] for node in seen["nodes"]] == ["consensus"] * 4
    (net,) = seen["networks"]
    assert (net["quorum"], net["may_be_down"], net["may_stop"], net["advances"]) == (3, 1, 1, True)
    assert sorted(net["which"]) == ["n0", "n1", "n2", "n3"] and net["reason"] == "" and net["has_quorum"]
    assert net["forks"] == [] and net["laggards"] == {} and net["versions"] == {"26.8.0": 4}
    assert all(len(node.asked) == 2 and node.closed for node in nodes)
    assert "secret" not in str(seen)


def test_one_that_hangs_is_missing_and_nobody_else_may_stop(clock):
    seen = look(*four(clock)[:3], Node(clock, outcome="hang"), clock=clock)
    assert seen["nodes"][3]["state"] == "unknown" and seen["unobserved"] == ["n3"]
    (net,) = seen["networks"]
    # It is still a peer of the others; that proves nothing about one that does not answer.
    assert net["may_stop"] == 0


def test_a_laggard(clock):
    seen = look(*four(clock)[:3], Node(clock, list(KEYS)[3], behind=40), clock=clock)
    assert seen["nodes"][3]["state"] == "syncing" and seen["nodes"][3]["lag"] == 40
    assert seen["networks"][0]["laggards"] == {"n3": 40}
    assert seen["networks"][0]["may_stop"] == 0


def test_a_fork_shows_at_the_common_block(clock):
    nodes = [*four(clock)[:3], Node(clock, list(KEYS)[3], behind=1, fork="f")]
    (net,) = look(*nodes, clock=clock)["networks"]
    assert [fork["block"] for fork in net["forks"]] == [999, 1000] or net["forks"][0]["block"] == 999
    assert {tuple(h["nodes"]) for h in net["forks"][0]["hashes"]} == {("n0", "n1", "n2"), ("n3",)}


def test_two_networks(clock):
    seen = look(*four(clock)[:2], *four(clock, genesis="c")[2:], clock=clock)
    assert [net["nodes"] for net in seen["networks"]] == [["n0", "n1"], ["n2", "n3"]]


def test_mixed_versions(clock):
    nodes = [*four(clock)[:3], Node(clock, list(KEYS)[3], version="25.7.0")]
    (net,) = look(*nodes, clock=clock)["networks"]
    assert net["versions"] == {"26.8.0": 3, "25.7.0": 1}
    assert "25.7.0" in net["incompatible_versions"] and net["may_stop"] == 0


def test_nobody_answers(clock):
    seen = look(Node(clock, outcome="refused"), Node(clock, outcome="unauthorized"), clock=clock)
    assert seen["networks"] == [] and seen["unobserved"] == ["n0", "n1"]
    assert [(n["state"], n["cause"]) for n in seen["nodes"]] == [("unknown", "refused"), ("unknown", "unauthorized")]


def test_no_endpoints(clock):
    assert look(clock=clock) == {"nodes": [], "networks": [], "unobserved": []}


BASE = {
    "rpc_username": None,
    "rpc_password": None,
    "rpc_token": None,
    "rpc_timeout": 1.5,
    "rpc_connect_timeout": 1.0,
    "validate_certs": True,
    "ca_path": None,
    "client_cert": None,
    "client_key": None,
    "fingerprint_sha256": None,
    "server_hostname": None,
}


def test_endpoints_by_url_and_by_description():
    given = [
        "http://10.0.0.1:8545",
        {"url": "https://10.0.0.2", "name": "two", "rpc_username": "u", "rpc_password": "word"},
    ]
    found = survey.describe({**BASE, "endpoints": given})
    assert [one.name for one in found] == ["http://10.0.0.1:8545/", "two"]


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        (5, "endpoints[0]"),
        ({}, "url"),
        ({"url": 5}, "url"),
        ("not a url", "endpoints[0].url"),
        ({"url": "http://x", "colour": 1}, "colour"),
        ({"url": "http://x", "rpc_timeout": "soon"}, "rpc_timeout"),
        ({"url": "http://x", "rpc_timeout": -1}, "rpc_timeout"),
        ({"url": "http://x", "rpc_password": "p"}, "rpc_password"),
    ],
)
def test_wrong_endpoints_are_named(entry, word):
    with pytest.raises(LifecycleError) as caught:
        survey.describe({**BASE, "endpoints": [entry]})
    assert word in caught.value.msg
