# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters over many runs of the program: nothing is missed, nothing is counted twice, whenever it runs."""

from __future__ import annotations

import json
import random
import typing as t

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import Boot, Record
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.counters import (
    Batch,
    Moment,
    ObservedState,
    ServiceCounters,
)

BOOT = "b" * 32
EPOCH = 1_000_000.0


def at(seconds: float, boot: str = BOOT, offset: float = EPOCH) -> Moment:
    return Moment(offset + seconds, seconds, boot)


def record(kind: str, when: float, **more: str) -> Record:
    return Record(kind, EPOCH + when, when, more.pop("boot", BOOT), **more)


def seen(
    state: str, since: float | None = None, cause: str | None = None, base: str = "", unit: str = "", **more: t.Any
) -> ObservedState:
    return ObservedState(
        state, base or state, None if since is None else EPOCH + since, cause, unit or base or state, **more
    )


def advance(counters: ServiceCounters, records: t.Sequence[Record], *more: t.Any) -> None:
    counters.advance(Batch(records), *more)


def crash(when: float, run: int, *, again: bool = True) -> list[Record]:
    """A failed run, which systemd starts again 1 s later, or not."""
    failed = record("failure", when, invocation=f"i{run}", result="exit-code")
    if not again:
        return [failed]
    return [failed, record("restart_scheduled", when + 0.5), record("started", when + 1, invocation=f"i{run + 1}")]


def test_what_happened_between_two_runs_is_counted() -> None:
    counters = ServiceCounters()
    advance(counters, [], seen("running", 0), at(100))
    advance(counters, [*crash(110, 1), *crash(120, 2)], seen("running", 121), at(160))
    assert counters.errors == {"exit_code": 2} and counters.automatic_restarts == 2
    assert counters.transitions == {("running", "restarting", "service"): 2, ("restarting", "running", "service"): 2}
    assert counters.seconds == pytest.approx({"running": 58.0, "restarting": 2.0})


@example(pauses=[1.0, 1.0, 1.0, 1.0, 1.0, 11.0], runs={1, 35}, chance=random.Random(1))
@given(st.lists(st.floats(0.1, 50), min_size=1, max_size=8), st.sets(st.integers(1, 399), max_size=12), st.randoms())
def test_it_does_not_matter_when_the_program_runs(pauses: list[float], runs: set[int], chance: t.Any) -> None:
    """A unit that crashes now and then; the program runs at other moments, and is killed before some of its saves."""
    records: list[Record] = []
    moment = 10.0
    for number, pause in enumerate(pauses):
        moment += pause + 1.5
        records += crash(moment, number)
    end = 500.0

    def state_at(when: float) -> ObservedState:
        past = [one for one in records if one.monotonic <= when]
        if past and past[-1].kind != "started":
            return seen("restarting", past[-1].monotonic)
        return seen("running", past[-1].monotonic if past else 0)

    def after(moments: t.Iterable[float]) -> ServiceCounters:
        counters = ServiceCounters()
        advance(counters, [], state_at(0), at(0))
        saved = json.dumps(counters.dump())
        position = 0.0
        for when in moments:
            counters = ServiceCounters.load(json.loads(saved))
            advance(counters, [one for one in records if position < one.monotonic <= when], state_at(when), at(when))
            if chance.random() < 0.3 and when != end:
                continue  # killed before it was saved
            saved, position = json.dumps(counters.dump()), when
        return counters

    once, often = after([end]), after([*sorted(float(run) for run in runs), end])
    assert often.transitions == once.transitions and often.errors == once.errors
    assert often.automatic_restarts == once.automatic_restarts == len(pauses)
    assert sum(often.seconds.values()) == pytest.approx(end)
    for state, seconds in once.seconds.items():
        assert often.seconds[state] == pytest.approx(seconds, abs=1e-3)


def test_records_that_are_shown_again_count_once() -> None:
    counters = ServiceCounters()
    advance(counters, [], seen("running", 0), at(100))
    for _run in range(3):
        advance(counters, crash(110, 1), seen("running", 111), at(160 + _run))
    assert counters.errors == {"exit_code": 1}


def test_a_crash_loop_is_in_trouble_since_its_first_failure_until_it_runs_for_a_minute() -> None:
    counters = ServiceCounters()
    advance(counters, [], seen("running", 0), at(100))
    for run in range(20):
        advance(counters, crash(110 + 3 * run, run), seen("running", 111 + 3 * run), at(112 + 3 * run))
        assert counters.trouble_since == pytest.approx(EPOCH + 110)
    advance(counters, [], seen("running", 168), at(200))
    assert counters.trouble_since == pytest.approx(EPOCH + 110)
    advance(counters, [], seen("running", 168), at(168 + 61))
    assert counters.trouble_since == 0


def test_what_systemd_does_not_log_is_taken_from_the_observation() -> None:
    counters = ServiceCounters()
    advance(counters, [], seen("running", 0), at(100))
    advance(counters, crash(110, 1, again=False), seen("error", 110, "exit_code"), at(120))
    advance(counters, [], seen("stopped", None), at(140))
    assert counters.transitions[("error", "stopped", "unrecorded")] == 1 and counters.state == "stopped"
    advance(counters, [record("started", 150, invocation="i9")], seen("running", 150), at(160))
    assert counters.transitions[("stopped", "running", "operator")] == 1


def test_a_state_of_its_kind_is_counted_when_it_is_observed() -> None:
    counters = ServiceCounters()
    advance(counters, [], seen("consensus", 0, base="running"), at(100))
    advance(counters, [], seen("syncing", 110, base="starting", unit="running"), at(120))
    advance(counters, [], seen("consensus", 130, base="running"), at(140))
    assert counters.seconds == pytest.approx({"consensus": 20.0, "syncing": 20.0})
    assert counters.transitions == {("consensus", "syncing", "service"): 1, ("syncing", "consensus", "service"): 1}


def test_the_health_of_probes_makes_an_error_once() -> None:
    counters = ServiceCounters()
    advance(counters, [], seen("running", 0), at(100))
    for moment in (120, 140, 160):
        advance(counters, [], seen("error", 0, "unhealthy", unit="running"), at(moment))
    assert counters.errors == {"unhealthy": 1} and counters.trouble_since == pytest.approx(EPOCH + 100)


def test_a_reboot_ends_what_ran() -> None:
    counters = ServiceCounters()
    boots = [Boot(BOOT, EPOCH, EPOCH + 150), Boot("c" * 32, EPOCH + 180, EPOCH + 300)]
    advance(counters, [], seen("running", 0), at(100), boots)
    advance(
        counters,
        [record("failure", 120, invocation="i1", result="signal")],
        seen("error", 120, "signal"),
        at(130),
        boots,
    )
    now = Moment(EPOCH + 300, 120, "c" * 32)
    up = Record("started", EPOCH + 200, 20, "c" * 32, invocation="i2")
    advance(counters, [up], seen("running", 200), now, boots)
    assert counters.transitions[("error", "stopped", "host")] == 1
    assert counters.seconds == pytest.approx({"running": 120.0, "error": 30.0, "stopped": 50.0})


def test_a_step_of_the_clock_adds_no_time() -> None:
    counters = ServiceCounters()
    advance(counters, [], seen("running", 0), at(100))
    advance(counters, [], seen("running", 3600), at(110, offset=EPOCH + 3600))
    advance(counters, [record("stopping", 115)], seen("stopping", None), at(120, offset=EPOCH + 3600))
    assert counters.seconds == pytest.approx({"running": 15.0, "stopping": 5.0})


@pytest.mark.parametrize("saved", [{}, {"seconds": 5}, {"seconds": {}, "transitions": [["a"]]}])
def test_damaged_counters_are_refused(saved: dict[str, t.Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        ServiceCounters.load(saved)
