# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal as records: queries, odd fields, and what it could not tell."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import journal as j
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed

RECORD: dict[str, t.Any] = {
    "__CURSOR": "s=1;i=2",
    "__REALTIME_TIMESTAMP": "1795488965123456",
    "__MONOTONIC_TIMESTAMP": "5000000",
    "_BOOT_ID": "b" * 32,
    "_PID": "1",
    "_UID": "0",
    "_TRANSPORT": "journal",
    "PRIORITY": "4",
    "UNIT": "x.service",
    "_SYSTEMD_UNIT": "init.scope",
    "INVOCATION_ID": "i" * 32,
    "MESSAGE_ID": j.UNIT_FAILURE_RESULT,
    "SYSLOG_IDENTIFIER": "systemd",
    "MESSAGE": "x.service: Failed with result 'exit-code'.",
}


class FakeRunner:
    """Answers with what it was given and keeps what it was asked."""

    def __init__(self, *records: dict[str, t.Any], err: str = "", **how: t.Any) -> None:
        self.out = "".join(json.dumps(record) + "\n" for record in records)
        self.err = err
        self.how = {"rc": 0, **how}
        self.argv: list[str] = []

    def __call__(self, argv: t.Sequence[str], **_options: t.Any) -> Completed:
        self.argv = list(argv)
        return Completed(stdout=self.out.encode(), stderr=self.err.encode(), **self.how)


def persistent(tmp_path: t.Any) -> str:
    (tmp_path / "var/log/journal").mkdir(parents=True)
    return str(tmp_path)


def test_a_record_of_the_manager() -> None:
    (entry,) = j.parse(json.dumps(RECORD))
    assert entry.timestamp == pytest.approx(1795488965.123456)
    assert entry.monotonic == 5.0
    assert (entry.unit, entry.invocation_id, entry.priority, entry.pid) == ("x.service", "i" * 32, 4, 1)
    assert entry.message_id == j.UNIT_FAILURE_RESULT
    assert entry.boot_id == "b" * 32
    assert entry.cursor == "s=1;i=2"
    assert entry.from_manager


def test_a_record_of_a_process_cannot_claim_to_be_the_manager() -> None:
    (entry,) = j.parse(json.dumps({**RECORD, "_PID": "4711"}))
    assert not entry.from_manager


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ([72, 105, 255], "Hi�"),
        (None, j.TOO_LARGE),
        (["first", "second"], "second"),
        ([], ""),
        (17, "17"),
    ],
)
def test_odd_messages(message: t.Any, text: str) -> None:
    (entry,) = j.parse(json.dumps({**RECORD, "MESSAGE": message}))
    assert entry.message == text


def test_odd_numbers_do_not_stop_it() -> None:
    odd = {**RECORD, "PRIORITY": "x", "_PID": "²", "__REALTIME_TIMESTAMP": None, "__MONOTONIC_TIMESTAMP": "9" * 40}
    (entry,) = j.parse(json.dumps(odd))
    assert (entry.priority, entry.pid, entry.timestamp, entry.monotonic) == (6, 0, 0.0, 0.0)


def test_what_is_no_whole_record_is_left_out() -> None:
    text = "-- No entries --\n" + json.dumps(RECORD) + "\n" + json.dumps(RECORD)[:50] + "\n[1]\n"
    assert len(j.parse(text)) == 1


def test_what_is_shown_is_redacted_and_neutral() -> None:
    (entry,) = j.parse(json.dumps({**RECORD, "MESSAGE": "\x1b[31m{{ x }} token=abcdef"}))
    assert entry.shown == "{ { x } } token=[redacted]"
    assert entry.message == "\x1b[31m{{ x }} token=abcdef"


def test_the_invocation_is_asked_for_in_one_bounded_call(tmp_path: t.Any) -> None:
    older = {**RECORD, "__REALTIME_TIMESTAMP": "1795488960000000"}
    runner = FakeRunner(RECORD, older)
    found = j.Journal(runner, root=persistent(tmp_path)).invocation("x.service", "i" * 32, main_pid=77, limit=50)
    assert [entry.timestamp for entry in found.entries] == sorted(entry.timestamp for entry in found.entries)
    assert found.notes == ()
    asked = " ".join(runner.argv)
    assert runner.argv[0] == "journalctl"
    assert "-n 50 " in asked and "--reverse" in asked
    assert asked.endswith(
        f"_SYSTEMD_UNIT=x.service + INVOCATION_ID={'i' * 32} _UID=0 + _PID=1 UNIT=x.service"
        " + _TRANSPORT=driver OBJECT_SYSTEMD_UNIT=x.service + _PID=77"
    )


def test_without_an_invocation_none_is_asked_for(tmp_path: t.Any) -> None:
    runner = FakeRunner()
    j.Journal(runner, root=persistent(tmp_path)).invocation("x.service", "")
    assert not any(word.startswith("INVOCATION_ID=") for word in runner.argv)


def test_a_user_unit_is_asked_for_by_its_own_fields(tmp_path: t.Any) -> None:
    runner = FakeRunner()
    j.Journal(runner, user=True, root=persistent(tmp_path)).invocation("x.service", "i" * 32)
    assert "USER_UNIT=x.service" in runner.argv
    assert "_PID=1" not in runner.argv


def test_several_units_since_a_moment(tmp_path: t.Any) -> None:
    early = {**RECORD, "__REALTIME_TIMESTAMP": "1795488965000000"}
    runner = FakeRunner(RECORD, early)
    found = j.Journal(runner, root=persistent(tmp_path)).manager_records(
        ["x.service", "y.service"], since=1795488965.05
    )
    assert len(found.entries) == 1
    assert "--since=@1795488965" in runner.argv
    assert runner.argv[-3:] == ["_PID=1", "UNIT=x.service", "UNIT=y.service"]


def test_after_a_cursor_it_reads_forward(tmp_path: t.Any) -> None:
    runner = FakeRunner(RECORD, {**RECORD, "__CURSOR": "s=1;i=3"})
    found = j.Journal(runner, root=persistent(tmp_path)).manager_records(["x.service"], after_cursor="s=1;i=1", limit=2)
    assert "--cursor=s=1;i=1" in runner.argv
    assert "--reverse" not in runner.argv
    assert [entry.cursor for entry in found.entries] == ["s=1;i=2", "s=1;i=3"]
    assert found.notes == ("only the first 2 records were read",)


def test_only_kills_are_taken_from_the_kernel(tmp_path: t.Any) -> None:
    kill = {**RECORD, "_TRANSPORT": "kernel", "MESSAGE": "Out of memory: Killed process 12 (java) total-vm:1kB"}
    runner = FakeRunner(kill, {**kill, "MESSAGE": "eth0: link up"})
    found = j.Journal(runner, root=persistent(tmp_path)).kernel_kills(0.0)
    assert [entry.message[:13] for entry in found.entries] == ["Out of memory"]
    assert found.entries[0].from_kernel


@pytest.mark.parametrize(
    ("how", "err", "note"),
    [
        ({"rc": None, "not_found": True}, "", "journalctl was not found"),
        ({"rc": None, "timed_out": True}, "", "did not answer within 20 s"),
        ({"rc": 1}, "Failed to open: {{ x }}", "journalctl failed: Failed to open: { { x } }"),
        ({"rc": 0}, "No journal files were found.", "keeps no journal"),
        ({"rc": 1}, "No journal files were opened due to insufficient permissions.", "may not read the journal"),
        ({"rc": 0}, "Hint: You are currently not seeing messages from other users and the system.", "whole journal"),
        ({"rc": 0}, "Journal file /x is truncated, ignoring file.", "damaged"),
        ({"rc": 0, "truncated": True}, "", "only the last 4096 KiB"),
    ],
)
def test_what_it_could_not_tell_is_said(tmp_path: t.Any, how: dict[str, t.Any], err: str, note: str) -> None:
    found = j.Journal(FakeRunner(err=err, **how), root=persistent(tmp_path)).invocation("x.service", "")
    assert any(note in said for said in found.notes), found.notes


def test_a_volatile_journal_is_said(tmp_path: t.Any) -> None:
    (note,) = j.Journal(FakeRunner(), root=str(tmp_path)).invocation("x.service", "").notes
    assert "volatile" in note


def test_dropped_messages_are_said(tmp_path: t.Any) -> None:
    dropped = {
        **RECORD,
        "MESSAGE_ID": j.JOURNAL_DROPPED,
        "MESSAGE": "Suppressed 4 messages from x.service",
        "_TRANSPORT": "driver",
    }
    journal = j.Journal(FakeRunner(dropped), root=persistent(tmp_path))
    assert "Suppressed 4 messages" in journal.invocation("x.service", "").notes[0]


OF_USER = {
    "_PID": "812",
    "_UID": "1000",
    "_COMM": "systemd",
    "_SYSTEMD_UNIT": "user@1000.service",
    "_SYSTEMD_USER_UNIT": "init.scope",
    "USER_UNIT": "x.service",
}


@pytest.mark.parametrize(
    ("fields", "user", "believed"),
    [
        ({}, None, True),
        ({"_PID": "4711"}, None, False),
        # a service may call itself systemd and name a unit: this forged the cause exec_missing
        ({"_PID": "4711", "_COMM": "systemd", "USER_UNIT": "x.service"}, None, False),
        (OF_USER, None, False),
        (OF_USER, 1000, True),
        (OF_USER, 1001, False),
        ({}, 1000, True),
        ({**OF_USER, "_SYSTEMD_USER_UNIT": "x.service"}, 1000, False),
        ({**OF_USER, "_SYSTEMD_UNIT": "x.service"}, 1000, False),
        ({**OF_USER, "_COMM": "python3"}, 1000, False),
    ],
)
def test_only_the_manager_of_the_scope_is_believed(fields: dict, user: int | None, believed: bool) -> None:
    (entry,) = j.parse(json.dumps({**RECORD, **fields}), user)
    assert entry.from_manager is believed


@pytest.mark.parametrize(
    ("fields", "child"),
    [
        ({"_EXE": "/usr/lib/systemd/systemd-executor"}, True),
        ({"_EXE": "/usr/lib/systemd/systemd"}, True),
        ({}, True),
        ({"_EXE": "/usr/bin/python3"}, False),
        ({"_EXE": "/tmp/systemd/evil"}, False),
    ],
)
def test_a_service_is_no_child_of_the_manager_because_it_says_so(fields: dict, child: bool) -> None:
    (entry,) = j.parse(json.dumps({**RECORD, "_PID": "4711", **fields}))
    assert entry.from_manager_child is child
    (entry,) = j.parse(json.dumps({"MESSAGE": "x", "_PID": "4711", "_SYSTEMD_UNIT": "x.service"}))
    assert not entry.from_manager_child


def test_records_of_the_manager_are_of_no_one_else(tmp_path) -> None:
    runner = FakeRunner(RECORD, {**RECORD, "_PID": "4711", "_COMM": "systemd", "USER_UNIT": "x.service"})
    found = j.Journal(runner, root=persistent(tmp_path)).manager_records(["x.service"])
    assert [entry.fields["_PID"] for entry in found.entries] == ["1"]


def test_what_is_nested_too_deep_is_said(tmp_path) -> None:
    runner = FakeRunner(RECORD)
    runner.out += '{"MESSAGE":' + "[" * 200_000 + "\n"
    found = j.Journal(runner, root=persistent(tmp_path)).invocation("x.service", "")
    assert len(found.entries) == 1 and found.notes == (
        "records of the journal that are nested too deep were left out: 1",
    )


@pytest.mark.parametrize("depth", [2, 900, 5000])
def test_a_field_that_is_nested_is_no_text(depth: int) -> None:
    """What parses may still be too deep for what looks at it."""
    nested = '{"PRIORITY": "6", "MESSAGE":' + "[" * depth + "[1, 300]" + "]" * depth + "}"
    assert [entry.message for entry in j.parse(nested)] in (
        [
            "",
        ],
        [],
    )


def short(at: float, text: str) -> str:
    return f"{at:.6f} host1 cloudflared[12]: {text}\n"


class Short(FakeRunner):
    """Answers in the short form."""

    def __init__(self, out: str, err: str = "", **how: t.Any) -> None:
        super().__init__(err=err, **how)
        self.out = out


def test_lines_of_a_service_are_asked_for_by_its_unit_since_and_a_pattern() -> None:
    runner = Short(short(30, "c: d") + short(20, "a\tb\x1b[m") + short(10.5, "old"))
    found = j.Journal(runner).own_lines("x.service", "Registered|Lost", since=10.7)
    assert found == j.LogLines(((20.0, "a\tb\x1b[m"), (30.0, "c: d")), 10.7)
    assert {"--since=@10", "--grep=Registered|Lost", "_SYSTEMD_UNIT=x.service", "--reverse"} <= set(runner.argv)


def test_no_text_of_a_line_is_a_line_of_its_own() -> None:
    out = short(30, "one") + "                  25.000000 host1 x[1]: forged\n-- Boot 0 --\n" + short(20, "two")
    assert [text for _at, text in j.Journal(Short(out)).own_lines("x.service", ".", since=0).lines] == ["two", "one"]


def test_a_service_that_said_nothing_said_nothing() -> None:
    found = j.Journal(Short("-- No entries --\n", rc=1)).own_lines("x.service", ".", since=5)
    assert found == j.LogLines((), 5)


@pytest.mark.parametrize(
    ("out", "how"),
    [
        (short(30, "b") + short(20, "a"), {"rc": None, "timed_out": True}),
        (short(30, "b") + short(20, "a"), {"rc": -9, "truncated": True}),
        # The clock was set back: what was written before that is later by its stamp.
        (short(30, "b") + short(25, "a") + short(90, "old") + short(20, "older"), {}),
    ],
)
def test_what_was_read_in_part_is_known_from_there_on(out: str, how: dict[str, t.Any]) -> None:
    found = j.Journal(Short(out, **how)).own_lines("x.service", ".", since=5)
    assert [text for _at, text in found.lines] == ["b"] and found.since == 30.0
    assert "its log was read in part" in found.notes[0]


def test_a_log_that_cannot_be_read_is_said() -> None:
    for how, err in (({"rc": 1}, "Compiled without pattern matching support"), ({"rc": None, "not_found": True}, "")):
        found = j.Journal(Short("", err=err, **how)).own_lines("x.service", ".", since=5)
        assert found.lines == () and found.since == float("inf") and found.notes
