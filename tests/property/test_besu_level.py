# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node is called level only where it is: over how fast it imports, how wrong the host's clock is, block periods, lag.

The node and all its peers import together, so that no peer has a higher block.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.classify import classify
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.history import SampleHistory, append_sample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import BesuLog
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import BftConfig, Block, Peer
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import (
    BesuVerdict,
    NodeOptions,
    NodeView,
    UnitStatus,
)

EPOCH = 1_795_000_000.0
LEVEL = {"synced", "running", "consensus"}
PERIODS = (0.2, 1.0, 2.0, 15.0, 60.0, 600.0)
LOOKS = 160


class Case:
    """One node that begins ``behind`` seconds below the chain; ``error``: by how much its clock is ahead."""

    def __init__(self, period: float, pace: float, behind: float, error: float) -> None:
        self.period, self.pace, self.behind, self.error = period, pace, behind, error
        self.track: SampleHistory | None = None

    def look(self, at: float) -> NodeSample:
        time = min(100_000.0 + at, 100_000.0 + at * self.pace - self.behind)
        number = int(time / self.period)
        return NodeSample(
            1000.0 + at,
            EPOCH + 100_000.0 + at + self.error,
            "ok",
            head=Block(number, int(EPOCH + number * self.period), f"0x{number:064x}", ""),
            peers=(Peer(None, number + (self.behind > 0 and at > 0), "26.8.0"),),
            peer_count=1,
            p2p="running",
            bft=BftConfig("qbft", self.period, None, 2 * self.period, None),
        )

    def lag(self, at: float) -> float:
        """How far the node really is behind the chain."""
        return max(self.behind - at * (self.pace - 1.0), 0.0)

    def told(self) -> Iterator[tuple[float, BesuVerdict, float]]:
        """When, what was told, and how old a living chain's head may be."""
        for index in range(LOOKS):
            at = index * max(1.0, self.period / 8)
            self.track = append_sample(self.track, self.look(at), "run")
            unit = UnitStatus(since=-100_000.0)
            view = NodeView(unit, self.track, NodeOptions(), (), BesuLog())
            yield at, classify(unit, self.track), view.age_limit


@pytest.mark.parametrize("period", PERIODS)
def test_no_node_that_is_behind_is_called_level(period: float) -> None:
    lies = []
    for pace, behind, error in itertools.product(
        (1.2, 1.5, 3.0, 50.0), (60.0, 3600.0, 36000.0), (-36000.0, -3600.0, -60.0, 0.0, 60.0, 3600.0)
    ):
        case = Case(period, pace, behind, error)
        for at, verdict, limit in case.told():
            # A clock that is wrong by just as much as the node is behind shows itself by the pace alone.
            hidden = at < max(60.0, 10 * period) and abs(case.lag(0.0) + error) < limit + 40.0
            if verdict.state in LEVEL and case.lag(at) > limit + period and not hidden:
                lies.append((pace, behind, error, at, verdict.reasons))
    assert lies == []


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("error", [-3600.0, 0.0, 3600.0])
def test_a_node_that_is_level_is_called_so(period: float, error: float) -> None:
    """At once where the clock is right, and after some block periods where it is wrong."""
    states = [(at, verdict.state, verdict.cause) for at, verdict, _limit in Case(period, 1.0, 0.0, error).told()]
    level = [(at, cause) for at, state, cause in states if state in LEVEL]
    assert level and (level[-1][0] == states[-1][0]), states[-1]
    assert level[0][0] <= (2.0 if error == 0.0 else max(150.0, 12 * period))
    assert {cause for _at, cause in level} == {"clock_skew" if error else None}


@pytest.mark.parametrize("period", [1.0, 2.0, 15.0])
@pytest.mark.parametrize("pace", [3.0, 50.0, 1000.0])
def test_a_sync_that_ends_is_told_soon(period: float, pace: float) -> None:
    case = Case(period, pace, 100.0, 0.0)
    over = 100.0 / (pace - 1.0)
    first = next(at for at, verdict, _limit in case.told() if verdict.state in LEVEL)
    assert first <= over + max(60.0, 8 * period)
