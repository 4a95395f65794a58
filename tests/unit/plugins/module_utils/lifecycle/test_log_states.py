# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a service's log in its history: systemd tells when there is a process, the log what it does."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import STATES
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import log_states as ls
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.history import History
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.log_states import Moment, Moments, Stretch
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.state_machine import make_machine
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import Transition

MACHINE = make_machine("worker", STATES, (), {})


class Words:
    """A log whose lines are the states themselves."""

    pattern = "."
    lead = 0.0
    seen: t.ClassVar[list[Stretch]] = []

    def states(self, stretch: Stretch) -> list[Moment]:
        self.seen.append(stretch)
        moments = Moments(stretch.since, "starting" if stretch.fresh else "unknown")
        for at, state in stretch.lines:
            moments.prove(at, state)
        return moments.found


def changes(*rows: tuple[float, str, str]) -> tuple[Transition, ...]:
    """(at, state, trigger) of systemd's own transitions."""
    before = ["running", *(row[1] for row in rows)]
    return tuple(Transition(at, old, new, trigger) for old, (at, new, trigger) in zip(before, rows))


def told(
    *lines: tuple[float, str],
    first: str | None = "running",
    base: tuple[Transition, ...] = (),
    seen: tuple[str, float | None] = ("unknown", None),
    since: float = 0.0,
    drops: tuple[float, ...] = (),
    stepped_at: float | None = None,
) -> History:
    history = History(0.0, 100.0, first, base, stepped_at=stepped_at)
    return ls.with_log_states(history, Words(), ls.Reading(lines, since, drops=drops), ls.LastObserved(*seen), MACHINE)


def rows(history: History) -> list[tuple[float, str, str]]:
    return [(change.at, change.after, change.trigger) for change in history.transitions]


def test_what_the_log_says_stands_where_systemd_knows_a_process() -> None:
    found = told((0.0, "running"), (40.0, "reconnecting"), (50.0, "running"))
    assert (found.first, rows(found)) == ("running", [(40.0, "reconnecting", "log"), (50.0, "running", "log")])
    assert found.seconds() == {"reconnecting": 10.0, "running": 90.0} and found.longest_error() == 10.0
    assert found.notes == () and found.as_dict()["coverage"]["complete"] is True
    assert found.as_dict()["transitions"][0]["trigger"] == "log"


STOP_AND_START = changes((30.0, "stopping", "operator"), (31.0, "stopped", "operator"), (60.0, "running", "operator"))


def test_no_state_of_a_process_outlives_it() -> None:
    found = told(
        (0.0, "running"), (30.5, "reconnecting"), (59.99, "starting"), (62.0, "connected"), base=STOP_AND_START
    )
    assert rows(found) == [
        (30.0, "stopping", "operator"), (31.0, "stopped", "operator"), (60.0, "starting", "operator"),
        (62.0, "connected", "log"),
    ]  # fmt: skip


def test_a_stretch_has_the_lines_of_its_process_alone() -> None:
    Words.seen.clear()
    told((1.0, "running"), (30.5, "last words"), (31.2, "first words"), (62.0, "connected"), base=STOP_AND_START)
    assert [(s.begin, s.end, s.fresh, s.last) for s in Words.seen] == [
        (0.0, 30.0, False, False),
        (60.0, 100.0, True, True),
    ]
    assert [[text for _at, text in s.lines] for s in Words.seen] == [
        ["running", "last words"],
        ["first words", "connected"],
    ]


def test_a_start_that_takes_its_time_has_states_of_the_kind_too() -> None:
    base = changes((30.0, "stopped", "service"), (40.0, "starting", "service"), (45.0, "running", "service"))
    found = told((41.0, "connecting"), (44.9, "connected"), (47.0, "running"), base=base)
    assert rows(found)[1:] == [
        (40.0, "starting", "service"), (41.0, "connecting", "log"), (44.9, "connected", "log"), (47.0, "running", "log"),
    ]  # fmt: skip


def test_what_the_log_does_not_tell_is_unknown_and_said() -> None:
    found = told((70.0, "running"))
    assert (found.first, rows(found)) == ("unknown", [(70.0, "running", "log")])
    assert found.seconds() == {"running": 30.0, "unknown": 70.0} and found.notes == (ls.NOT_TOLD,)
    assert found.as_dict()["coverage"]["complete"] is False


def test_an_unknown_state_hides_no_trouble_and_makes_none() -> None:
    """That systemd saw it run for a minute ends a crash loop, whatever its log tells of it."""
    base = changes((5.0, "error", "service"), (10.0, "running", "operator"), (90.0, "error", "service"))
    assert told((20.0, "unknown"), base=base).trouble_since() == 90.0
    assert told((20.0, "reconnecting"), base=base).trouble_since() == 5.0
    assert told((20.0, "running"), (85.0, "reconnecting"), base=base[:2]).trouble_since() == 85.0


def test_one_that_runs_now_with_some_and_now_with_all_connections_runs() -> None:
    base = changes((5.0, "error", "service"), (10.0, "running", "operator"))
    lines = [(float(at), ("running", "connected")[at // 20 % 2]) for at in range(20, 100, 20)]
    assert told(*lines, base=base).trouble_since() is None


@pytest.mark.parametrize(
    ("seen", "last"),
    [
        (("running", 50.0), (70.0, "running", "log")),
        (("unknown", None), (70.0, "running", "log")),
        (("error", 80.0), (80.0, "error", "unrecorded")),
        (("error", 10.0), (100.0, "error", "unrecorded")),
        (("connected", None), (100.0, "connected", "unrecorded")),
    ],
)
def test_the_observation_ends_it(seen: tuple[str, float | None], last: tuple[float, str, str]) -> None:
    assert rows(told((70.0, "running"), seen=seen))[-1] == last


def test_before_the_lines_that_were_read_it_is_unknown() -> None:
    found = told((10.0, "connected"), (70.0, "running"), since=60.0)
    assert rows(found) == [(70.0, "running", "log")] and found.first == "unknown"
    nothing = told(since=200.0)
    assert nothing.seconds() == {"unknown": 100.0}


def test_after_messages_were_dropped_it_is_unknown() -> None:
    found = told((1.0, "running"), (20.0, "connected"), (95.0, "running"), drops=(90.0,))
    assert rows(found) == [
        (1.0, "running", "log"), (20.0, "connected", "log"), (30.0, "unknown", "log"), (95.0, "running", "log"),
    ]  # fmt: skip


def test_lines_of_another_clock_are_left_out() -> None:
    found = told((10.0, "running"), (50.0, "connected"), stepped_at=40.0)
    assert rows(found) == [(50.0, "connected", "log")] and ls.CLOCK_SET in found.notes


def test_of_very_many_changes_the_last_ones_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ls, "MOST_CHANGES", 4)
    found = told(*((float(n), ("running", "connected")[n % 2]) for n in range(1, 50)))
    assert [row[0] for row in rows(found)] == [46.0, 47.0, 48.0, 49.0] and found.first == "unknown"
    assert ls.TOO_MANY in found.notes


def test_a_service_that_did_not_run_has_no_log_to_read() -> None:
    assert not ls.has_lived(History(0.0, 100.0, "stopped", ()))
    assert not ls.has_lived(History(0.0, 100.0, None, ()))
    assert ls.has_lived(History(0.0, 100.0, "stopped", changes((99.0, "starting", "operator"))))
