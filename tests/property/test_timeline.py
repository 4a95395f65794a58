# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service manager's records tell: each row is a sequence as systemd writes it, and the states that follow."""

from __future__ import annotations

import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import journal as j
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import timeline as tl

BOOT = "b" * 32
BOOTS = (tl.Boot(BOOT, 0.0, 10_000.0),)


def record(kind: str, at: float, **more: str) -> tl.Record:
    return tl.Record(kind, at, at, more.pop("boot", BOOT), **more)


def run(*records: tl.Record, restarts: bool = True, boots: t.Sequence[tl.Boot] = BOOTS) -> list[tuple[t.Any, ...]]:
    """(at, state, trigger, cause) of each transition, from a unit that was stopped."""
    decoder = tl.Decoder(restarts, boots)
    decoder.settle(m.STOPPED)
    return [(c.at, c.after, c.trigger, c.cause) for c in (*decoder.feed(records), *decoder.flush())]


START = (record("starting", 1, job_type="start", invocation="i1"), record("started", 2, invocation="i1"))
STOP = (
    record("stopping", 3, job_type="stop"),
    record("success", 4, invocation="i1"),
    record("stopped", 4.1, job_type="stop"),
)
CRASH = record("failure", 5, invocation="i1", result="exit-code")
AGAIN = record("restart_scheduled", 5.2)

ROWS: dict[str, tuple[tuple[tl.Record, ...], list[tuple[t.Any, ...]]]] = {
    "a start that takes its time": (START, [(1, "starting", "operator", None), (2, "running", "service", None)]),
    "Type=simple logs the end of its start only": (START[1:], [(2, "running", "operator", None)]),
    "a clean stop": (
        (*START, *STOP),
        [(1, "starting", "operator", None), (2, "running", "service", None), (3, "stopping", "operator", None),
         (4.1, "stopped", "operator", None)],
    ),
    "a restart job": (
        (*START, STOP[0], STOP[1], record("stopped", 4.1, job_type="restart"), record("started", 6, invocation="i2")),
        [(1, "starting", "operator", None), (2, "running", "service", None), (3, "stopping", "operator", None),
         (4.1, "restarting", "operator", None), (6, "running", "operator", None)],
    ),
    "a failure for good": (
        (*START[1:], CRASH), [(2, "running", "operator", None), (5, "error", "service", "exit_code")],
    ),
    "a failure that systemd restarts": (
        (*START[1:], CRASH, AGAIN, record("started", 5.4, invocation="i2")),
        [(2, "running", "operator", None), (5, "restarting", "service", "exit_code"), (5.4, "running", "service", None)],
    ),
    "before systemd 254 the restart is logged as a stop": (
        (*START[1:], CRASH, record("stopped", 5.1, job_type="restart"), record("started", 5.4, invocation="i2")),
        [(2, "running", "operator", None), (5, "restarting", "service", "exit_code"), (5.4, "running", "service", None)],
    ),
    "an operator stops what waits for its restart": (
        (*START[1:], CRASH, AGAIN, record("stopped", 6, job_type="stop")),
        [(2, "running", "operator", None), (5, "restarting", "service", "exit_code"), (6, "stopped", "operator", None)],
    ),
    "a exit that nobody asked for": (
        (*START[1:], record("success", 5, invocation="i1")),
        [(2, "running", "operator", None), (5, "stopped", "service", None)],
    ),
    "the main process ends before its unit does": (
        (*START[1:], record("process_exit", 5, command="ExecStart"), record("failure", 6, result="signal")),
        [(2, "running", "operator", None), (5, "stopping", "service", None), (6, "error", "service", "signal")],
    ),
    "a stop that had to be killed": (
        (*START[1:], STOP[0], record("failure", 5, result="timeout"), record("stopped", 5.1, job_type="stop")),
        [(2, "running", "operator", None), (3, "stopping", "operator", None), (5, "error", "service", "timeout")],
    ),
    "a oneshot is reported as started after its success": (
        (START[0], record("success", 2, invocation="i1"), record("started", 2.1, invocation="i1")),
        [(1, "starting", "operator", None), (2, "stopped", "service", None)],
    ),
    "a start that a condition skips": ((record("started", 2, job_type="start"),), []),
    "a start job that fails": (
        (START[0], record("failure", 2, result="exit-code"), record("job_failed", 2.1, job_result="failed")),
        [(1, "starting", "operator", None), (2, "error", "service", "exit_code")],
    ),
    "a start whose dependency fails changes nothing": ((record("job_failed", 2, job_result="dependency"),), []),
}  # fmt: skip


@pytest.mark.parametrize(("records", "expected"), ROWS.values(), ids=ROWS)
def test_states_follow_from_records(records: tuple[tl.Record, ...], expected: list[tuple[t.Any, ...]]) -> None:
    assert run(*records) == expected


def test_what_ran_when_the_host_went_down_has_stopped() -> None:
    boots = (tl.Boot(BOOT, 0, 50), tl.Boot("c" * 32, 70, 100))
    found = run(*START[1:], record("started", 80, invocation="i2", boot="c" * 32), boots=boots)
    assert found == [
        (2, "running", "operator", None),
        (50, "stopped", "host", "reboot"),
        (80, "running", "operator", None),
    ]


KINDS = st.sampled_from(sorted({*tl._KINDS.values()}))
STREAMS = st.lists(
    st.builds(
        lambda kind, job, invocation, boot: (kind, job, invocation, boot),
        KINDS, st.sampled_from(["", "start", "stop", "restart"]), st.sampled_from(["", "i1", "i2"]), st.integers(0, 9),
    ),
    max_size=30,
)  # fmt: skip


def stream(rows: list[tuple[str, str, str, int]]) -> list[tl.Record]:
    boot = 0
    found = []
    for number, (kind, job, invocation, chance) in enumerate(rows):
        boot += chance == 0
        found.append(record(kind, float(number), job_type=job, invocation=invocation, boot=f"boot{boot}"))
    return found


@given(STREAMS, st.integers(0, 30), st.booleans())
def test_decoding_in_two_runs_is_decoding_in_one(
    rows: list[tuple[str, str, str, int]], cut: int, restarts: bool
) -> None:
    records = stream(rows)
    whole = tl.Decoder(restarts)
    at_once = [*whole.feed(records), *whole.flush()]
    first = tl.Decoder(restarts)
    parts = first.feed(records[:cut])
    second = tl.Decoder(restarts)
    second.load(json.loads(json.dumps(first.dump())))
    assert [*parts, *second.feed(records[cut:]), *second.flush()] == at_once


@given(STREAMS)
def test_each_transition_begins_where_the_last_one_ended(rows: list[tuple[str, str, str, int]]) -> None:
    decoder = tl.Decoder()
    state = m.UNKNOWN
    for change in (*decoder.feed(stream(rows)), *decoder.flush()):
        assert change.before == state != change.after
        assert change.after in m.GENERIC.states and change.trigger in tl.TRIGGERS
        state = change.after


def test_what_another_process_wrote_is_no_record() -> None:
    entry = {"__REALTIME_TIMESTAMP": "1", "MESSAGE_ID": j.UNIT_FAILURE_RESULT, "UNIT": "x.service", "_PID": "812"}
    forged, real = j.parse("\n".join(json.dumps({**entry, "_PID": pid}) for pid in ("812", "1")))
    assert len(tl.read_records([forged])) == 0 and len(tl.read_records([real])) == 1


@pytest.mark.parametrize("saved", [{}, {"state": "asleep"}, {"state": 3, "boot_id": ""}])
def test_a_damaged_state_is_refused(saved: dict[str, t.Any]) -> None:
    with pytest.raises((KeyError, ValueError, TypeError)):
        tl.Decoder().load(saved)
