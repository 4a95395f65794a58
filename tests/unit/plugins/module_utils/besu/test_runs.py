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
SAMPLES = 11


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
            peers=tuple(Peer(None, number - 1, "26.8.0") for _peer in range(3)),
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
        for _sample in range(SAMPLES):
            sample = chain.sample(at)
            if track is not None and sample.bft is None:
                sample = replace(sample, measured_period=float(chain.period))  # by two samples
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


@pytest.mark.parametrize("skew", [0, -3600])
@pytest.mark.parametrize(("period", "interval"), [(60, 31.0), (30, 29.0), (15, 14.0), (12, 10.0), (5, 6.0)])
def test_a_head_that_is_a_bit_younger_in_each_run_is_not_that_of_a_sync(
    period: int, interval: float, skew: int
) -> None:
    """The interval and the block period drift against each other."""
    found = [verdict.state for verdict in runs(Chain(period, skew=skew), interval, 80)]
    assert set(found[30:]) == {"consensus"}


@pytest.mark.parametrize(("period", "interval"), [(60, 30.0), (60, 31.0), (15, 30.0), (2, 30.0)])
def test_a_node_that_does_not_report_its_block_period(period: int, interval: float) -> None:
    """How old a head may be is known once the period was measured."""

    class Untold(Chain):
        def sample(self, at: float) -> NodeSample:
            return replace(super().sample(at), bft=None)

    found = [(verdict.state, verdict.cause) for verdict in runs(Untold(period), interval, 40)]
    assert set(found[2:]) == {("consensus", None)}


@pytest.mark.parametrize(("period", "interval"), [(15, 30.0), (2, 5.0), (5, 12.0)])
def test_a_dead_proposer_and_a_wrong_clock_make_no_stall(period: int, interval: float) -> None:
    """Each fourth block comes after a time-out of two periods."""

    class DeadProposer(Chain):
        def sample(self, at: float) -> NodeSample:
            whole, rest = divmod(at, 6 * self.period)
            number = 500 + int(whole) * 4 + (0 if rest < 3 * self.period else int(rest // self.period) - 2)
            minted = whole * 6 * self.period + (0 if rest < 3 * self.period else rest // self.period * self.period)
            head = Block(number, EPOCH + int(minted), f"0x{number:064x}", MEMBERS[number % 4])
            peers = tuple(Peer(None, number - 1, "26.8.0") for _peer in range(3))
            made = {member: number - 1 - place for place, member in enumerate(MEMBERS)}
            return replace(super().sample(at), head=head, peers=peers, last_proposed=made)

    found = [verdict.cause for verdict in runs(DeadProposer(period, skew=3600), interval, 120)]
    assert "chain_stalled" not in found[20:]


def test_a_node_whose_peers_are_back_reports_the_stall() -> None:
    class Lonely(Chain):
        def sample(self, at: float) -> NodeSample:
            alone = 130.0 < at < 190.0
            sample = super().sample(at)
            return replace(sample, peers=() if alone else sample.peers, peer_count=0 if alone else 3)

    found = [verdict.cause for verdict in runs(Lonely(2, stalls_at=100.0), 30.0, 12)]
    assert found[5:7] == ["no_peers"] * 2 and found[7:] == ["chain_stalled"] * 5


def test_a_run_whose_first_request_is_not_answered() -> None:
    """The head is a newer one than in the run before, as of the second answer."""

    class SlowOnce(Chain):
        def sample(self, at: float) -> NodeSample:
            sample = super().sample(at)
            return NodeSample(at, sample.wall, "hang") if at == 7.3 + 600.0 * 4 else sample

    found = [(verdict.state, verdict.cause) for verdict in runs(SlowOnce(2, stalls_at=2100.0), 600.0, 8)]
    assert set(found[:4]) == {("consensus", None)} and set(found[4:]) == {("error", "chain_stalled")}


def test_rpc_that_is_closed_for_a_moment_is_given_its_grace_in_each_run() -> None:
    class Closing(Chain):
        def sample(self, at: float) -> NodeSample:
            sample = super().sample(at)
            closed = 600.0 <= at < 602.0 or at >= 900.0
            return NodeSample(at, sample.wall, "refused") if closed else sample

    found = [(verdict.state, verdict.reasons[0]) for verdict in runs(Closing(2), 30.0, 36)]
    states = [state for state, _reason in found]
    assert states[:30] == ["consensus"] * 30 and set(states[32:]) == {"error"}
    assert "closed now, for 2" in found[31][1] or "closed now, for 1" in found[31][1]
