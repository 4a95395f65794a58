# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program that runs for a moment every so often reports of a chain, as the metrics do. Times are seconds."""

from __future__ import annotations

import itertools
import json
import typing as t
from dataclasses import dataclass, replace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.classify import classify
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.history import append_sample, dump, restore
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import BftConfig, Block, Peer
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import (
    BesuVerdict,
    NodeOptions,
    UnitStatus,
)

EPOCH = 1_795_000_000
MEMBERS = tuple("0x" + digit * 40 for digit in "1234")
LONG_AGO = UnitStatus(since=-100_000.0)
ROUNDS = 10


@dataclass(frozen=True)
class Chain:
    """A chain with a block each ``period`` until it stalls. ``skew``: how far ahead the clock of the host is."""

    period: int
    stalls_at: float = float("inf")
    skew: int = 0

    def sample(self, at: float) -> NodeSample:
        number = 500 + int(min(at, self.stalls_at) // self.period)
        minted = EPOCH + (number - 500) * self.period
        return NodeSample(
            at,
            EPOCH + at + self.skew,
            "ok",
            head=Block(number, minted, f"0x{number:064x}", MEMBERS[number % 4]),
            genesis="0x" + "a" * 64,
            chain_id=1337,
            peer_count=3,
            peers=tuple(Peer(None, number - 1, "26.8.0") for _ in range(3)),
            said_in_sync=True,
            version="26.8.0",
            address=MEMBERS[0],
            p2p="running",
            bft=BftConfig("qbft", float(self.period), None, 2.0 * self.period, 30000),
            group="qbft",
            validators=MEMBERS,
            next_validators=MEMBERS,
            last_proposed={member: number - 1 - place for place, member in enumerate(MEMBERS)},
        )


class StuckChain(Chain):
    """The others have 300 blocks more."""

    def sample(self, at: float) -> NodeSample:
        return replace(super().sample(at), peers=(Peer(None, 800, "26.8.0"),) * 3)


def runs(chain: Chain, interval: float, count: int) -> t.Iterator[BesuVerdict]:
    """What each run reports; it takes more samples where one does not suffice."""
    kept: t.Mapping[str, t.Any] = {}
    for began in itertools.islice(itertools.count(7.3, interval), count):
        at, track = began, None
        for _ in range(ROUNDS):
            sample = chain.sample(at)
            track = append_sample(restore(kept, sample, "i") if track is None else track, sample, "i")
            verdict = classify(LONG_AGO, track, NodeOptions())
            if verdict.settled:
                break
            at += verdict.resample
        kept = json.loads(json.dumps(dump(track)))
        yield verdict


@pytest.mark.parametrize("interval", [5.0, 30.0, 3600.0])
@pytest.mark.parametrize("skew", [0, 3600, -3600])
@pytest.mark.parametrize("period", [2, 15])
class TestRuns:
    def test_a_living_chain(self, period: int, skew: int, interval: float) -> None:
        found = [(verdict.state, verdict.cause) for verdict in runs(Chain(period, skew=skew), interval, 30)]
        assert set(found[20:]) == {("consensus", "clock_skew" if skew else None)}

    def test_a_chain_that_stalls_between_two_runs(self, period: int, skew: int, interval: float) -> None:
        """The head is a newer one than in the run before, and stands all the same."""
        lives, runs_after = 12, 20
        chain = Chain(period, 7.3 + interval * (lives - 0.5), skew)
        found = list(runs(chain, interval, lives + runs_after))[lives:]
        limit = found[0].details["head_age_limit"] + period
        late = [(one.state, one.cause) for place, one in enumerate(found) if interval * (place + 0.5) > limit]
        assert set(late[1:]) == {("error", "chain_stalled")} and late[0][0] in ("error", "unknown")


def test_a_node_that_imports_nothing_is_stuck_although_each_run_is_short() -> None:
    """It is 300 blocks behind; its log tells of no progress."""
    behind = StuckChain(2, stalls_at=0.0)
    found = [verdict.cause for verdict in runs(behind, 30.0, 16)]
    timeout = NodeOptions().stall_timeout
    assert found == [None if 30.0 * place < timeout else "stuck_sync" for place in range(16)]
