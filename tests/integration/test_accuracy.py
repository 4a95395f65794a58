# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy is measured: what we say of twelve kinds of unit under random operations, beside what systemd says.

No sample may claim running or stopped where systemd shows otherwise for
longer than 200 ms around it, nor anything else than what systemd showed
without a change in all of that time.
"""

from __future__ import annotations

import typing as t
from itertools import count, pairwise

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host
from ansible_collections.chainops.lifecycle.tests.support.lab.faults import install_fault_units

from .conftest import chosen_suites
from .shipping import run_driver, ship

KINDS = (
    "simple", "exec", "notify", "forking", "oneshot", "oneshot-remain", "idle", "flapper", "always", "template",
    "java-undeclared", "slow-stop",
)  # fmt: skip
SEED = 20261124
OPERATIONS = 2000
TOLERANCE = 0.2
ENOUGH = 1000  # samples

Look = tuple[float, float, list[list[t.Any]]]


@pytest.fixture(scope="module")
def measured(make_fleet: t.Callable[..., Fleet]) -> dict[str, dict[str, t.Any]]:
    """suite -> what the driver wrote there. The hosts work at the same time."""
    fleet = make_fleet(*(Group(suite, 1, suite) for suite in chosen_suites()))
    done = fleet.each(_measure, at_once=4)
    for name, rows in done.items():
        if judge(rows)[1] <= ENOUGH:  # other programs took the cores
            done[name] = _measure(fleet[name])
    return {fleet[name].suite: rows for name, rows in done.items()}


def _measure(host: Host) -> dict[str, t.Any]:
    ship(host, "accuracy_driver.py", "bus_reader.py")
    units = install_fault_units(host, KINDS)
    # Units in /etc can only be masked by removing them.
    host.sh("mkdir -p /usr/local/lib/systemd/system; mv /etc/systemd/system/fault-* /usr/local/lib/systemd/system")
    host.sh("systemctl daemon-reload")
    return t.cast(
        "dict[str, t.Any]", run_driver(host, "accuracy_driver.py", str(SEED), str(OPERATIONS), *units, timeout=1800)
    )


def allowed(unit: str, poll: list[t.Any]) -> set[str]:
    """The states that one look of systemd's own allows."""
    load, active, sub, held = poll
    loops = {"error"} if unit in ("fault-flapper", "fault-always") else set()  # once it has come too often
    if sub.startswith("auto-restart") or sub.endswith("before-auto-restart"):
        return {"restarting"} | loops
    if active in ("active", "reloading", "refreshing"):
        if sub in ("start-pre", "start", "start-post", "condition"):
            return {"starting", "restarting"}
        return {"error"} if held else {"running"} | loops
    if active == "failed":
        return {"stopped", "error"} if unit == "fault-java-undeclared" else {"error"}
    return {
        "activating": {"starting", "restarting"} | loops,
        "deactivating": {"stopping", "restarting"} | loops,
        "inactive": {"stopped"} if load in ("loaded", "masked") else {"error"},
    }.get(active, {"unknown"})


def judge(rows: dict[str, t.Any]) -> tuple[int, int, int, list[str], list[str]]:
    """(agreeing at the same moment, judged, without enough polls nearby, false claims, claims of one sample alone).

    A state that lasted for less than the time between two polls is seen by
    one sample of ours and by no poll. So a claim is false when two samples in
    a row make it and no poll around either of them agrees.
    """
    agreeing = judged = blind = 0
    false: list[str] = []
    alone: list[str] = []
    before: dict[str, str] = {}
    polls: list[Look] = rows["theirs"]
    first = 0
    for began, ended, states in rows["ours"]:
        while first < len(polls) and polls[first][1] < began - TOLERANCE:
            first += 1
        near = [poll for poll in polls[first : first + 400] if poll[0] <= ended + TOLERANCE]
        moments = [began - TOLERANCE, *(poll[0] for poll in near), ended + TOLERANCE]
        if max(later - sooner for sooner, later in pairwise(moments)) > TOLERANCE / 2:
            blind += len(states)  # the machine did not let us look closely enough to say anything
            continue
        doubtful: dict[str, str] = {}
        closest = min(near, key=lambda poll: abs(poll[0] + poll[1] - began - ended))
        for unit, (state, cause), index in zip(rows["units"], states, count()):
            judged += 1
            agreeing += state in allowed(unit, closest[2][index])
            seen = sorted({" ".join(map(str, poll[2][index])) for poll in near})
            never = not any(state in allowed(unit, poll[2][index]) for poll in near)
            if never and (state in ("running", "stopped") or len(seen) == 1):  # the other states may be short
                doubtful[unit] = state
                told = false if before.get(unit) == state else alone
                told.append(f"{unit} at {began:.3f}: {state} ({cause}), systemd had {seen}")
        before = doubtful
    return agreeing, judged, blind, false, alone


# The journal's stamp of a change and the moment at which a poll sees it differ by a little, in seconds.
LAG = 0.03


def by_systemd(poll: list[t.Any]) -> set[str]:
    """The state that one poll proves. What the journal cannot know (a stopped process, a removed file) is left out."""
    _load, active, sub, _held = poll
    if sub.startswith("auto-restart") or sub.endswith("before-auto-restart"):
        return {"restarting"}
    return {
        "active": {"starting", "restarting"}
        if sub in ("start-pre", "start", "start-post", "condition")
        else {"running"},
        "reloading": {"running"},
        "refreshing": {"running"},
        "failed": {"error"},
        "activating": {"starting", "restarting"},
        "deactivating": {"stopping", "restarting"},
        "inactive": {"stopped"},
    }.get(active, set())


def judge_history(rows: dict[str, t.Any]) -> tuple[int, int, list[str]]:
    """(samples that agree with the decoded timeline, samples judged, the others)."""
    agreeing = judged = 0
    wrong: list[str] = []
    for index, unit in enumerate(rows["units"]):
        changes = rows["history"][unit]
        resets = [moment for moment, of in rows["resets"] if of == unit]
        for began, ended, polls in rows["theirs"]:
            proved = by_systemd(polls[index])
            told = states_between(changes, began - LAG, ended + LAG)
            if not proved or told & {None, "unknown"}:
                continue
            judged += 1
            # reset-failed leaves no record: what was an error before it is stopped after it.
            error_at = max((at for at, state, _who in changes if state == "error" and at <= ended), default=None)
            reset = error_at is not None and any(error_at - LAG <= moment <= ended for moment in resets)
            # Between the stop and the start of a restart job the unit is inactive.
            between = (
                "restarting" in told
                and proved == {"stopped"}
                and not states_between(changes, began - 1, ended + 1) <= {"restarting"}
            )
            if told & proved or between or (reset and "error" in told and proved == {"stopped"}):
                agreeing += 1
            else:
                wrong.append(f"{unit} at {began:.3f}: decoded {sorted(told)}, systemd had {polls[index]}")
    return agreeing, judged, wrong


def states_between(changes: list[list[t.Any]], begin: float, end: float) -> set[t.Any]:
    """The states that a timeline passes through from ``begin`` to ``end``."""
    before = [state for at, state, _who in changes if at <= begin]
    return {*before[-1:], *(state for at, state, _who in changes if begin < at <= end)}


def test_the_history_decoded_from_the_journal_is_what_was_polled(
    measured: dict[str, dict[str, t.Any]], suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = measured[suite]
    agreeing, judged, wrong = judge_history(rows)
    changes = sum(len(found) - 1 for found in rows["history"].values())
    with capsys.disabled():
        print(
            f"\n{suite}: {changes} transitions decoded; {agreeing / judged:.3%} of {judged} polls agree",
            *wrong[:20],
            sep="\n  ",
        )
    assert judged > 20 * ENOUGH and changes > ENOUGH
    assert agreeing / judged >= 0.998


def test_no_false_claim_of_running_or_stopped(
    measured: dict[str, dict[str, t.Any]], suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = measured[suite]
    agreeing, judged, blind, false, alone = judge(rows)
    operations = sum(rows["operations"].values())
    with capsys.disabled():
        print(
            f"\n{suite}: {operations} operations (seed {SEED}) on {len(rows['units'])} units, {judged} samples judged, "
            f"{agreeing / judged:.2%} agree with the nearest poll, {blind} without enough polls; "
            f"false claims: {len(false)}, in one sample alone: {len(alone)}",
            *alone,
            sep="\n  ",
        )
    assert operations >= 2000 and len(rows["units"]) >= 12
    assert min(rows["operations"].values()) > 0, rows["operations"]
    polled = {poll[0] for _b, _e, polls in rows["theirs"] for poll in polls}
    assert polled >= {"loaded", "masked"}, polled
    assert any(poll[3] for _b, _e, polls in rows["theirs"] for poll in polls), "nothing was seen stopped by SIGSTOP"
    assert {state for _b, _e, states in rows["ours"] for state, _c in states} >= {
        "running", "stopped", "starting", "stopping", "error", "restarting",
    }  # fmt: skip
    assert false == []
    assert len(alone) <= judged / 200
    assert judged > ENOUGH, "the machine is too busy to look closely"
