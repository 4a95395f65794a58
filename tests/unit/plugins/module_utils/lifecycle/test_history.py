# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history over a window: what counts, what is not covered, and who caused what."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.history import parse_window
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import journal as j
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.history import (
    History,
    Present,
    build_history,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Attempt
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import Boot

BOOT = "b" * 32
BOOTS = (Boot(BOOT, 0.0, 10_000.0),)


def entries(*rows: tuple[float, str, dict[str, str]], steps: float = 0.0) -> tuple[j.Entry, ...]:
    """Records of the manager at these moments; from 500 s on the realtime clock is ``steps`` ahead."""
    lines = []
    for at, message_id, more in rows:
        wall = at + (steps if at >= 500 else 0)
        record = {
            "__REALTIME_TIMESTAMP": str(int(wall * 1e6)),
            "__MONOTONIC_TIMESTAMP": str(int(at * 1e6)),
            "_BOOT_ID": BOOT,
            "_PID": "1",
            "MESSAGE_ID": message_id,
            **more,
        }
        lines.append(json.dumps(record))
    return j.parse("\n".join(lines))


def started(at: float, invocation: str = "i1") -> tuple[float, str, dict[str, str]]:
    return at, j.UNIT_STARTED, {"INVOCATION_ID": invocation, "JOB_TYPE": "start"}


def crashed(at: float, invocation: str = "i1") -> tuple[float, str, dict[str, str]]:
    return at, j.UNIT_FAILURE_RESULT, {"INVOCATION_ID": invocation, "UNIT_RESULT": "exit-code"}


def again(at: float) -> tuple[float, str, dict[str, str]]:
    return at, j.UNIT_RESTART_SCHEDULED, {}


def build(*rows: t.Any, state: str = "running", since: float | None = None, **more: t.Any) -> History:
    given = {"begin": 100.0, "present": Present(state, since, 1000.0), "boots": BOOTS, "restarts": True, **more}
    return build_history(entries(*rows), given.pop("earlier", ()), **given)


def test_seconds_errors_and_the_longest_error() -> None:
    earlier = entries(started(50))
    found = build(crashed(200), again(201), started(210, "i2"), crashed(300, "i2"), earlier=earlier, state="error")
    assert found.first == "running"
    assert found.seconds() == {"error": 700.0, "restarting": 10.0, "running": 190.0}
    assert found.errors() == {"exit_code": 2} and found.longest_error() == 700.0
    assert found.as_dict()["coverage"]["complete"] is True


def test_a_service_that_no_record_tells_of_is_known_from_what_systemd_shows() -> None:
    assert build(state="running", since=40.0).seconds() == {"running": 900.0}
    later = build(state="running", since=400.0)
    assert later.first is None and later.seconds() == {"running": 600.0, "unrecorded": 300.0}
    assert later.as_dict()["coverage"]["complete"] is False


def test_the_time_before_the_journal_begins_is_not_counted() -> None:
    found = build(started(600), boots=(Boot(BOOT, 400.0, 1000.0),))
    assert found.seconds() == {"running": 400.0, "stopped": 200.0, "unrecorded": 300.0}
    assert [gap.reason for gap in found.gaps] == ["the journal does not reach back so far"]


def test_a_unit_whose_records_are_not_logged_has_no_history() -> None:
    found = build(silent=True)
    assert found.seconds() == {"unrecorded": 900.0} and "LogLevelMax" in found.notes[0]


def test_reset_failed_leaves_no_record_so_that_the_observation_ends_the_timeline() -> None:
    found = build(started(150), crashed(200), state="stopped", since=None)
    last = found.transitions[-1]
    assert (last.before, last.after, last.trigger) == ("error", "stopped", "unrecorded")
    assert [tuple(gap)[:2] for gap in found.gaps] == [(200.0, 1000.0)]
    known = build(started(150), crashed(200), state="stopped", since=700.0)
    assert known.transitions[-1].at == 700.0 and known.gaps == ()


def test_a_crash_loop_is_in_trouble_since_its_first_failure() -> None:
    loop = [
        row
        for n in range(20)
        for row in (crashed(200 + 10 * n, f"i{n}"), again(201 + 10 * n), started(203 + 10 * n, f"i{n + 1}"))
    ]
    found = build(started(150, "i0"), *loop, earlier=())
    assert found.trouble_since() is None, "it has run well since"
    found = build(started(150, "i0"), *loop, crashed(420, "i20"), state="error", earlier=())
    assert found.trouble_since() == 200.0


def test_a_run_of_this_collection_is_named_as_the_trigger() -> None:
    attempt = Attempt(at=299.8, action="restart", recovery=True, before="error", owner="ann", outcome="verified")
    found = build(started(150), crashed(200), started(300, "i2"), attempts=(attempt,))
    assert [(c.trigger, c.owner) for c in found.transitions] == [
        ("operator", ""),
        ("service", ""),
        ("collection", "ann"),
    ]
    assert found.as_dict()["attempts"][0]["outcome"] == "verified"


def test_a_step_of_the_clock_shifts_no_duration() -> None:
    step: tuple[float, str, dict[str, str]] = (500, j.TIME_CHANGE, {})
    found = build_history(
        entries(started(150), step, crashed(600), steps=3600.0),
        (),
        begin=3700.0,
        present=Present("error", 4200.0, 4600.0),
        boots=(Boot(BOOT, 3600.0, 4600.0),),
        restarts=False,
    )
    assert [(c.at, c.after) for c in found.transitions] == [(3750.0, "running"), (4200.0, "error")]
    assert found.clock_steps == 1


def test_messages_that_the_journal_lost_are_reported() -> None:
    found = build(started(150), (300, j.JOURNAL_DROPPED, {"_TRANSPORT": "driver"}))
    assert found.notes == ("the journal lost messages in this window",)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("never", 0), ("90s", 90), ("15m", 900), ("15min", 900), ("24h", 86400), ("7d", 604800), ("2w", 1209600)],
)
def test_a_window_is_a_duration(text: str, seconds: float) -> None:
    assert parse_window(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "0h", "-1h", "1 day", "24H", "15mi", "0min", "٣h", "99999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(LifecycleError, match=r"^history: .*give never"):
        parse_window(text)
