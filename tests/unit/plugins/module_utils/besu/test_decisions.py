# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The turning points of the classification: on each side of a limit, and with each condition alone.

Every row was a mutation of ``classify`` that no other test noticed.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import metrics as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import BftConfig, Peer
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import NodeOptions, UnitStatus
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.besu.test_classify import (
    NOW,
    OLD,
    OWN,
    YOUNG,
    closed,
    gone,
    lines,
    lived,
    look,
    slots,
    steady,
    tell,
    told,
)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(29.9, ("unknown", "unresponsive")), (30.0, ("error", "unresponsive"))]
)
def test_a_silence_counts_from_hang_timeout_on(seconds, expected):
    options = NodeOptions(hang_timeout=30.0)
    silent = [gone(1001.0, "hang"), gone(1001.0 + seconds, "hang")]
    assert told(look(), *silent, options=options) == expected


@pytest.mark.parametrize(
    ("unit", "answered", "state"),
    [
        (YOUNG, False, "starting"),
        (YOUNG, True, "unknown"),  # it answered in this run
        (OLD, False, "unknown"),  # a start does not take that long
    ],
)
def test_what_hangs_in_its_start_is_starting(unit, answered, state):
    before = [look(at=5.0)] if answered else []
    silent = [gone(6.0, "hang"), gone(8.0, "hang")]
    assert told(*before, *silent, unit=unit)[0] == state


@pytest.mark.parametrize(("age", "expected"), [(300.0, ("starting", None)), (300.1, ("error", "start_timeout"))])
def test_a_start_may_take_start_timeout(age, expected):
    unit, options = UnitStatus(since=1000.0 - age), NodeOptions(start_timeout=300.0)
    assert told(closed(1000.0), unit=unit, options=options) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(19.0, ("syncing", None)), (20.0, ("error", "stuck_sync"))])
def test_a_block_that_is_called_invalid_once_is_no_stuck_sync_yet(seconds, expected):
    log = lines("x | WARN | Invalid block 501 (0xab)", at=NOW + 1000.0)
    behind = {"number": 500, "peers": (900,), "age": 900.0}
    looks = look(**behind), look(at=1000.0 + seconds, **{**behind, "age": 900.0 + seconds})
    assert told(*looks, log=log) == expected


@pytest.mark.parametrize(("last", "expected"), [(48, "unknown"), (54, "error")])
def test_a_consensus_client_is_silent_after_two_slots(last, expected):
    """Slots of 12 s: 24 s without a block."""
    first, _between = slots(40, 52)
    second = replace(first, at=first.at + last - 30, wall=first.wall + last - 30)
    assert told(first, second)[0] == expected


@pytest.mark.parametrize(("seconds", "cause"), [(59.0, None), (60.0, "no_peers")])
def test_a_node_that_is_behind_may_look_for_peers_for_peers_timeout(seconds, cause):
    options = NodeOptions(peers_timeout=60.0, stall_timeout=600.0)
    metrics = {m.BEST_KNOWN: 900.0}
    behind = {"number": 500, "peers": (), "age": 900.0, "metrics": metrics}
    looks = look(**behind), look(at=1000.0 + seconds, **{**behind, "age": 900.0 + seconds})
    assert told(*looks, options=options)[1] == cause


def test_a_head_without_a_time_is_not_called_old():
    """By the metrics alone, of a version that does not tell it."""
    figures = {m.HEIGHT: 500.0, m.PEERS: 3.0, m.BEST_KNOWN: 500.0}
    looks = [gone(at, metrics=figures, p2p_open=True) for at in (1000.0, 1060.0)]
    assert told(*looks) == ("running", None)


@pytest.mark.parametrize(("age", "cause"), [(-15.0, None), (-16.0, "clock_skew")])
def test_a_head_may_come_15_seconds_before_its_time(age, cause):
    assert told(*lived(age=age)) == ("consensus", cause)


@pytest.mark.parametrize(
    ("height", "expected"),
    [
        (None, ("consensus", "clock_skew")),  # no peer tells one: the pace of the own head is all there is
        (400, ("syncing", None)),  # they tell one that never grows
    ],
)
def test_whose_pace_shows_a_wrong_clock(height, expected):
    looks = [replace(one, peers=(Peer(None, height, "26.8.0"),)) for one in lived(age=100.0)]
    assert told(*looks) == expected


@pytest.mark.parametrize(("last", "unit", "cause"), [
    (400, OLD, "not_proposing"),
    (400, YOUNG, None),  # it was down meanwhile
    (493, OLD, "not_proposing"),
    (494, OLD, None),
])  # fmt: skip
def test_who_proposes_nothing_is_told_after_two_rounds_of_a_process_that_is_old(last, unit, cause):
    pair = look(at=30.0, last_proposed={OWN: last}), look(at=32.0, number=501, last_proposed={OWN: last})
    assert tell(*pair, unit=unit).cause == cause


def test_a_process_of_a_slow_chain_has_its_turn_first():
    """Blocks of a minute: a process of two minutes has not missed two rounds of four."""
    slow = {"bft": BftConfig("qbft", 60.0, None, 60.0, 30000), "last_proposed": {OWN: 497}, "age": 5.0}
    unit = UnitStatus(since=880.0)
    assert told(*steady(**slow), unit=unit) == ("synced", None)


@pytest.mark.parametrize(("seconds", "expected"), [(3.9, ("unknown", None)), (4.0, ("error", "chain_stalled"))])
def test_a_stall_is_watched_for_two_periods(seconds, expected):
    old = {"age": 100.0, "peers": (500,)}
    assert told(look(**old), look(at=1000.0 + seconds, **{**old, "age": 100.0 + seconds})) == expected


@pytest.mark.parametrize("outcome", ["unauthorized", "tls", "protocol"])
@pytest.mark.parametrize(("figures", "state"), [({m.HEIGHT: 500.0, m.PEERS: 3.0}, "running"), (None, "unknown")])
def test_what_cannot_be_asked_is_judged_by_its_metrics(outcome, figures, state):
    looks = [gone(at, outcome, metrics=figures) for at in (1000.0, 1060.0)]
    assert told(*looks)[0] == state
