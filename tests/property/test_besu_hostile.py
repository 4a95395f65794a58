# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a peer answers or a service logs: a sample, a state, no exception."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import metrics, quorum, rpc_answers
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.chain_view import ChainView
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.classify import classify
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.history import append_sample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import LogLine, read_log
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import (
    LIVE,
    STATIC,
    consensus_calls,
    sample_from,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import NodeOptions, UnitStatus

LABELS = [*LIVE, *STATIC, *consensus_calls("qbft")]
MEMBERS = tuple("0x" + digit * 40 for digit in "1234567")
NUMBERS = st.sampled_from(["0x0", "0x1", "0x1ff", "0x" + "f" * 64, "1", 1, -1, 1e300, 1e-310, True, None, ""])
WORDS = st.sampled_from(
    [
        "number",
        "timestamp",
        "hash",
        "miner",
        "protocols",
        "eth",
        "config",
        "qbft",
        "latestBlock",
        "id",
        "name",
        "address",
        "enode",
        "currentBlock",
        "highestBlock",
        "difficulty",
        "genesis",
        "blockPeriodSeconds",
        "requestTimeoutSeconds",
        "epochLength",
    ]
)
JSON = st.recursive(
    NUMBERS | st.text(max_size=8) | st.sampled_from(MEMBERS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=24,
)
# What random JSON seldom has: the way down to what is read of it.
NODE_INFOS = st.builds(
    lambda genesis, period: {
        "protocols": {"eth": {"genesis": genesis, "config": {"qbft": {"blockPeriodSeconds": period}}}}
    },
    JSON,
    JSON,
)
ANSWERS = st.one_of(
    st.builds(lambda value: rpc_answers.RpcAnswer("ok", value), JSON | NODE_INFOS),
    st.builds(
        lambda outcome: rpc_answers.RpcAnswer(outcome, message="P2P network is not running"),
        st.sampled_from(sorted(rpc_answers.OUTCOMES)),
    ),
)
STATES = {"starting", "syncing", "synced", "running", "consensus", "error", "restarting", "unknown"}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(LABELS), ANSWERS), min_size=1, max_size=4), st.booleans())
def test_any_answers_make_a_state(rounds: list[dict[str, rpc_answers.RpcAnswer]], local: bool) -> None:
    track = before = None
    for number, answers in enumerate(rounds):
        before = sample_from(answers, at=1000.0 + number, wall=1.795e9 + number, before=before)
        track = append_sample(track, before, "i")
    assert track is not None
    verdict = classify(UnitStatus(since=900.0 if local else None), track, NodeOptions(genesis="0x" + "a" * 64))
    assert verdict.state in STATES and verdict.reasons
    json.dumps(dict(verdict.details))
    if len(rounds) == 1:
        assert verdict.state != "synced"


@settings(max_examples=200, deadline=None)
@given(
    st.integers(100, 599),
    st.binary(max_size=200) | st.builds(lambda v: json.dumps(v).encode(), JSON),
    st.integers(1, 20),
)
def test_any_body_is_as_many_answers_as_calls(status: int, body: bytes, count: int) -> None:
    answers = rpc_answers.answers_of(status, body, count)
    assert len(answers) == count and all(answer.outcome in rpc_answers.OUTCOMES for answer in answers)


FRAGMENTS = st.sampled_from(
    [
        "Moved to round 2 which will expire in 16 seconds",
        "BFT round summary (quorum = 3)",
        f"Address: {MEMBERS[0]}  Round: 2 (Local node)",
        "Imported empty block #12 / ",
        "Invalid block 7 (0x",
        " | ",
        "\x1b[31m",
        "Round: 999999999",
        "Moved to round 2 which will expire in ,., seconds",
        "Moved to round 2 which will expire in 1.2.3 seconds",
        "#,,,",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(FRAGMENTS | st.text(max_size=10), max_size=4).map("".join), max_size=12))
def test_any_log_is_read(texts: list[str]) -> None:
    view = read_log([LogLine(float(index), text) for index, text in enumerate(texts)])
    assert view.lines == len(texts)
    assert all(shown.isprintable() for shown in (*view.evidence, *view.invalid_lines))


@given(
    st.text(max_size=400),
    st.lists(st.sampled_from(["ethereum_peer_count 1", "ethereum_blockchain_height x", "#", "\r\n"]), max_size=5),
)
def test_any_metrics_are_numbers(text: str, lines: list[str]) -> None:
    assert all(isinstance(value, float) for value in metrics.parse("\n".join([text, *lines])).values())


VIEWS: Any = st.builds(
    lambda n, gone, linked, silent, moved, change: (n, gone, linked, silent, moved, change),
    st.integers(1, 7),
    st.sets(st.integers(0, 6)),
    st.sets(st.integers(0, 6)),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=500, deadline=None)
@given(VIEWS, st.integers(0, 7), st.booleans())
def test_leave_is_given_only_with_a_quorum_of_proofs(given_view: Any, who: int, same_chain: bool) -> None:
    """Said a second time, in other words than the guard's own."""
    n, gone, linked, silent, moved, change = given_view
    members = MEMBERS[:n]
    view = ChainView(
        validators=members[1:] if change and n > 1 else members,
        next_validators=members,
        first_head=100 - moved,
        head=100,
        head_age=1.0,
        last_proposed={member: 100 - i for i, member in enumerate(members) if i not in gone},
        proposed_to=100,
        followers={member: True for i, member in enumerate(members) if i not in linked},
        witnessed=(frozenset(members),),
        doubtful=silent,
    )
    target = MEMBERS[who] if who < 7 else "0x" + "9" * 40
    verdict = quorum.may_stop(view, target, quorum.ChainTiming(), same_chain=same_chain)
    proved = [m for i, m in enumerate(members) if i not in gone and m != target]
    sure = len(proved) - min(silent, sum(1 for m in proved if m not in view.followers))
    if verdict.safe and target in members:
        assert moved and not (change and n > 1) and 3 * sure >= 2 * n
    if target not in members:
        assert verdict.safe is same_chain
    assert verdict.may_stop <= n - quorum.quorum(n)
