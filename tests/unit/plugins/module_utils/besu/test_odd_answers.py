# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Odd answers of a node, of a proxy before it or of its metrics: what is told, and whether a validator may be stopped."""

from __future__ import annotations

import json

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import metrics, quorum_guard
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.classify import classify
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.history import append_sample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.keccak import address_from_public_key
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import (
    LIVE,
    STATIC,
    consensus_calls,
    sample_from,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.quorum import ChainTiming
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.rpc_answers import RpcAnswer, answers_of
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import NodeOptions, UnitStatus

NOW, HEAD = 1_795_000_000, 500
CALLS = [*LIVE, *STATIC, *consensus_calls("qbft")]
KEYS = [digit * 128 for digit in "1234"]
MEMBERS = [str(address_from_public_key(key)) for key in KEYS]


def node_info(own, **config):
    config = config or {"qbft": {"blockperiodseconds": 2, "requesttimeoutseconds": 4}}
    genesis = "0x" + "a" * 64
    return {
        "enode": f"enode://{KEYS[own]}@10.0.0.1:30303",
        "protocols": {"eth": {"genesis": genesis, "config": config}},
    }


def healthy(own, head):
    """What a validator of four answers, label -> result."""
    others = [KEYS[other] for other in range(4) if other != own]
    block = {"number": hex(head), "timestamp": hex(NOW + 2 * (head - HEAD)), "hash": "0x" + f"{head:064x}"}
    made = [{"address": one, "proposedBlockCount": "0x9", "lastProposedBlockNumber": hex(head - 1 - number)}
            for number, one in enumerate(MEMBERS)]  # fmt: skip
    return {
        "eth_syncing": False,
        "head": {**block, "miner": MEMBERS[3], "difficulty": "0x1"},
        "net_peerCount": "0x3",
        "net_enode": f"enode://{KEYS[own]}@10.0.0.1:30303",
        "admin_peers": [{"id": key, "name": "besu/v26.8.0/x", "protocols": {"eth": {"latestBlock": head}}}
                        for key in others],
        "state": "0x0",
        "eth_chainId": "0x539",
        "net_version": "1337",
        "genesis": {"number": "0x0", "timestamp": "0x0", "hash": "0x" + "a" * 64},
        "web3_clientVersion": "besu/v26.8.0/linux-x86_64/openjdk-java-25",
        "admin_nodeInfo": node_info(own),
        "qbft:latest": MEMBERS,
        "qbft:pending": MEMBERS,
        "qbft:signers": made,
    }  # fmt: skip


def looks(own, changes=None, metrics_text=None):
    """Two looks at a validator, with ``changes`` to its answers: results, or error objects under ``error``."""
    found, before = [], None
    for at, head in ((1000.0, HEAD), (1002.0, HEAD + 1)):
        results = healthy(own, head)
        given = changes(head) if callable(changes) else changes or {}
        body = []
        for number, label in enumerate(CALLS):
            value = given.get(label, results[label])
            error = isinstance(value, dict) and "error" in value
            body.append({"jsonrpc": "2.0", "id": number, **(value if error else {"result": value})})
        answers = dict(zip(CALLS, answers_of(200, json.dumps(body).encode(), len(CALLS))))
        before = sample_from(answers, at=at, wall=NOW + 2.0 * (head - HEAD) + 1, before=before)
        found.append(before)
    return found


def tell(first, last):
    verdict = classify(UnitStatus(since=0.0), append_sample(append_sample(None, first, "i"), last, "i"), NodeOptions())
    json.dumps(dict(verdict.details), allow_nan=False)
    return verdict


def judged(changes=None, other=None):
    """May the first of four be stopped? ``other``: changes to the answers of the last of the others."""
    pairs = [tuple(looks(0, changes)), *(tuple(looks(own, other if own == 3 else None)) for own in (1, 2, 3))]
    return quorum_guard.judge(pairs, None, ChainTiming(2.0, 4.0, 15.0)).verdict


def error(code, message):
    return {"error": {"code": code, "message": message}}


def test_what_is_not_odd():
    verdict = tell(*looks(0))
    assert (verdict.state, verdict.cause) == ("consensus", None)
    assert judged().safe


HUGE = "0x" + "f" * 64
SAME = ("consensus", None)
ODD = {
    "a validator set without members is none": ({"qbft:latest": [], "qbft:pending": []}, ("running", None)),
    "a pending set without members is that of the head": ({"qbft:pending": []}, SAME),
    "members in capital letters": (
        lambda _head: {"qbft:pending": [one.upper().replace("0X", "0x") for one in MEMBERS]},
        SAME,
    ),
    "a member twice": ({"qbft:pending": [*MEMBERS, MEMBERS[0]]}, SAME),
    "Clique named beside QBFT": (
        {"admin_nodeInfo": node_info(0, qbft={"blockperiodseconds": 2}, clique={"blockperiodseconds": 2})},
        SAME,
    ),
    "proof of work named beside QBFT": (
        {"admin_nodeInfo": node_info(0, ethash={}, qbft={"blockperiodseconds": 2})},
        SAME,
    ),
    "a period that is a text": ({"admin_nodeInfo": node_info(0, qbft={"blockperiodseconds": "2"})}, SAME),
    "a block number beyond all chains": ({"head": {"number": HUGE, "timestamp": "0x1"}}, ("unknown", None)),
    "a time beyond all clocks": (lambda head: {"head": {"number": hex(head), "timestamp": HUGE}}, ("unknown", None)),
    "no head": ({"head": None}, ("unknown", None)),
    "heights of peers beyond all chains": (
        {"admin_peers": [{"id": KEYS[1], "protocols": {"eth": {"latestBlock": 2**70}}}]},
        SAME,
    ),
    "a sync towards a block beyond all chains": ({"eth_syncing": {"currentBlock": "0x1", "highestBlock": HUGE}}, SAME),
    "a sync target below the head": ({"eth_syncing": {"currentBlock": "0x1f5", "highestBlock": "0x10"}}, SAME),
    "a peer count beyond all": ({"net_peerCount": HUGE}, SAME),
    "an enode that is none": ({"net_enode": "enode://unknown@10.0.0.1:0"}, ("running", None)),
    "a method that a proxy has disabled": (
        {
            "admin_nodeInfo": error(-32000, "method disabled"),
            "net_enode": error(-32000, "method disabled"),
            "net_peerCount": "0x0",
            "admin_peers": [],
        },
        ("synced", None),
    ),
    "a state that nobody was asked for": ({"state": error(-32005, "rate limit exceeded")}, SAME),
    "a state that is not there": ({"state": error(-32000, "World state unavailable")}, ("syncing", None)),
    "signers that proposed what is yet to come": (
        lambda head: {
            "qbft:signers": [
                {"address": MEMBERS[0], "proposedBlockCount": "0x1", "lastProposedBlockNumber": hex(head + 10**6)}
            ]
        },
        ("synced", None),
    ),
    "signers beyond all chains": (
        {"qbft:signers": [{"address": MEMBERS[0], "proposedBlockCount": HUGE, "lastProposedBlockNumber": HUGE}]},
        ("synced", None),
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_told_of(name):
    changes, expected = ODD[name]
    verdict = tell(*looks(0, changes))
    assert (verdict.state, verdict.cause) == expected, verdict


@pytest.mark.parametrize("name", ODD)
def test_no_oddity_takes_a_quorum(name):
    """Of four validators one is down, so that none may go: no answer of the target or of another changes that."""
    down = sample_from({label: RpcAnswer("refused") for label in CALLS}, at=1000.0, wall=float(NOW))
    idle = MEMBERS[2]

    def quiet(own, changes=None):
        """The look of one to which the validator that is down is no peer and no proposer."""

        def change(head):
            results = healthy(own, head)
            gone = {"qbft:signers": [one for one in results["qbft:signers"] if one["address"] != idle],
                    "admin_peers": [one for one in results["admin_peers"] if one["id"] != KEYS[2]]}  # fmt: skip
            return {**gone, **(changes(head) if callable(changes) else changes or {})}

        return tuple(looks(own, change))

    changes = ODD[name][0]
    for odd in (0, 3):
        pairs = [
            quiet(0, changes if odd == 0 else None),
            quiet(1),
            (down, down),
            quiet(3, changes if odd == 3 else None),
        ]
        own = pairs[0][1]
        verdict = quorum_guard.judge(pairs, MEMBERS[0], ChainTiming(2.0, 4.0, 15.0)).verdict
        assert not verdict.safe, (odd, verdict)
        assert not own.has_no_quorum, "the guard applies"
        shown = tell(*pairs[0]).details.get("validator")
        assert shown is not False, "it is not passed over as no validator"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, '{"id":null,"error":{"code":-32005,"message":"Number of requests exceeds max batch size"}}', "max batch size"),
        (400, '{"id":null,"error":{"code":-32600,"message":"batches are not supported"}}', "batches are not supported"),
        (429, "slow down", "HTTP status 429"),
        (502, "<html>Bad Gateway</html>", "HTTP status 502"),
        (200, "[" + "1" * 5000 + "]", "no JSON"),
    ],
)  # fmt: skip
def test_what_answers_no_call_is_no_node_without_a_head(status, body, said):
    answers = dict(zip(CALLS, answers_of(status, body.encode(), len(CALLS))))
    last = sample_from(answers, at=1000.0, wall=float(NOW))
    verdict = tell(last, last)
    assert verdict.state == "unknown" and said in " ".join(verdict.reasons), verdict
    assert "--rpc-http-api" not in " ".join(verdict.reasons)


@pytest.mark.parametrize("value", ["1e400", "-1e400", "NaN", "+Inf", "1e5e5", ""])
def test_a_metric_that_is_no_number_is_none(value):
    assert metrics.parse(f"{metrics.HEAD_TIMESTAMP} {value}\n{metrics.PEERS} 3") == {metrics.PEERS: 3.0}


def test_an_enode_that_is_none_takes_no_address_away():
    first, _last = looks(0)
    later = sample_from(
        {"net_enode": RpcAnswer("ok", "enode://unknown@10.0.0.1:0")}, at=1002.0, wall=NOW + 2.0, before=first
    )
    assert later.address == MEMBERS[0]
