# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a diagnosis gathers from the host."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import gather as e
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.failed_run import (
    forgotten_run,
    last_failed_run,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.explain import explain
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import journal as j
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import listed, missing_dependencies
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.disk import disk_usage
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Journal
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd, UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.written_paths import written_paths
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock


def test_dependencies_that_are_missing() -> None:
    properties = {"Requires": "db.service sysinit.target system.slice", "BindsTo": "data.mount gone.service"}
    states = {
        "db.service": {"ActiveState": "failed", "LoadState": "loaded"},
        "data.mount": {"ActiveState": "active", "LoadState": "loaded"},
        "gone.service": {"ActiveState": "inactive", "LoadState": "not-found"},
    }
    asked: list[t.Sequence[str]] = []

    def show(units: t.Sequence[str]) -> t.Mapping[str, t.Mapping[str, str]]:
        asked.append(units)
        return states

    assert missing_dependencies(properties, show) == {"db.service": "failed", "gone.service": "not-found"}
    assert asked == [["db.service", "data.mount", "gone.service"]]
    assert missing_dependencies({"Requires": "sysinit.target"}, show) == {}
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("key", "more", "missing"),
    [
        ("Requires", {}, False),
        ("Requires", {"RemainAfterExit": "yes"}, True),
        ("Requires", {"ActiveState": "failed", "Result": "exit-code"}, True),
        ("Requires", {"Result": "exit-code"}, True),
        ("Requires", {"LoadState": "masked"}, True),
        ("Requires", {"Type": "simple"}, True),
        # systemd starts nothing for the sake of Requisite, and stops with it what is bound to it.
        ("Requisite", {}, True),
        ("BindsTo", {}, True),
    ],
)
def test_a_oneshot_that_has_done_its_work_is_not_missing(key: str, more: dict[str, str], missing: bool) -> None:
    done = {"ActiveState": "inactive", "LoadState": "loaded", "Type": "oneshot", "Result": "success", **more}
    found = missing_dependencies({key: "prepare.service"}, lambda units: {"prepare.service": done})
    assert bool(found) == missing


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("db.service sysinit.target", ["db.service", "sysinit.target"]),
        # systemd 252 to 262, for an instance of x-y@.service
        (r'"system-x\\x2dy.slice" sysinit.target', [r"system-x\x2dy.slice", "sysinit.target"]),
        ('a "/srv/two words"', ["a", "/srv/two words"]),
        ('a "cut', ["a", '"cut']),
    ],
)
def test_a_list_as_systemctl_prints_it(text: str, words: list[str]) -> None:
    assert listed(text) == words


def test_paths_that_it_writes_to(tmp_path: t.Any) -> None:
    properties = {"WorkingDirectory": "!/srv/x", "StateDirectory": "besu:link", "ReadWritePaths": "-/data +/more"}
    assert written_paths(properties, ["/extra"]) == ("/extra", "/var/lib/besu", "/srv/x", "/data", "/more")
    data, unit = tmp_path / "data", tmp_path / "x.service"
    data.mkdir()
    unit.write_text(f"[Service]\nExecStart=/bin/sleep --data-path={data}\nEnvironment=TMPDIR=/tmp\n")
    assert written_paths({"FragmentPath": str(unit)}) == (str(data), "/tmp")


def test_what_any_user_can_fill_is_no_concern_of_a_unit_that_does_not_name_it() -> None:
    assert "/tmp" not in written_paths({"StateDirectory": "x"})
    assert written_paths({}) == ("/",)


def test_disk_usage_of_what_does_not_exist_is_that_of_its_parent(tmp_path: t.Any) -> None:
    (disk,) = disk_usage([str(tmp_path / "a" / "b"), str(tmp_path)])
    assert disk.path == str(tmp_path)
    assert disk.free > 0 and disk.inodes > 0


def record(message: str, **fields: str) -> str:
    times = {"__REALTIME_TIMESTAMP": "1000000000", "__MONOTONIC_TIMESTAMP": "5000000"}
    return json.dumps({"MESSAGE": message, "INVOCATION_ID": "a" * 32, **times, **fields})


def test_a_kill_is_looked_up_in_the_kernels_log_and_nothing_else_is() -> None:
    calls: list[str] = []
    killed = record("x.service: Main process exited", _PID="1", UNIT="x.service")
    kernel = record("Out of memory: Killed process 77 (java) total-vm:1kB", _TRANSPORT="kernel")

    def runner(argv: t.Sequence[str], **_options: t.Any) -> Completed:
        calls.append(" ".join(argv))
        return Completed(0, (kernel if "_TRANSPORT=kernel" in argv else killed).encode(), b"")

    failed = {"Id": "x.service", "ActiveState": "failed", "InvocationID": "a" * 32, "ExecMainPID": "77"}
    signalled = {**failed, "Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "9"}
    found = e.examine(signalled, Journal(runner))
    assert found.primary is not None
    assert found.primary.id == "memory_killed"
    assert "Killed process 77 (java)" in found.primary.evidence[0]
    assert [call for call in calls if "_TRANSPORT=kernel" in call] == calls[-1:]

    calls.clear()
    e.examine({**failed, "Result": "exit-code", "ExecMainCode": "1", "ExecMainStatus": "1"}, Journal(runner))
    assert not [call for call in calls if "_TRANSPORT=kernel" in call]


@pytest.mark.parametrize("late", [True, False])
def test_last_words_that_journald_has_not_written_yet_are_waited_for(late: bool) -> None:
    """Those that are there cost one call."""
    calls: list[str] = []
    ended = record("x.service: Main process exited", _PID="1", UNIT="x.service")
    words = said("sh: 1: no-such-command: not found", "a" * 32)

    def runner(argv: t.Sequence[str], **_options: t.Any) -> Completed:
        calls.append(argv[1])
        written = not late or "--sync" in calls
        return Completed(0, "\n".join([words, ended] if written else [ended]).encode(), b"")

    failed = {"Id": "x.service", "ActiveState": "failed", "InvocationID": "a" * 32, "Result": "exit-code"}
    found = e.examine({**failed, "ExecMainCode": "1", "ExecMainStatus": "127"}, Journal(runner)).primary
    assert found is not None and (found.id, found.severity) == ("command_missing", "hard")
    assert calls == (["--no-pager", "--sync", "--no-pager"] if late else ["--no-pager"])


def said(message: str, run: str) -> str:
    fields = {"_SYSTEMD_UNIT": "x.service", "_SYSTEMD_INVOCATION_ID": run, "_TRANSPORT": "stdout"}
    times = {"__REALTIME_TIMESTAMP": "1000000000", "__MONOTONIC_TIMESTAMP": "5000000"}
    return json.dumps({"MESSAGE": message, **times, **fields})


@pytest.mark.parametrize(
    "phase", ["activating auto-restart", "activating start", "active running", "deactivating stop"]
)
def test_a_loop_has_the_cause_of_its_last_failed_run_in_each_of_its_phases(phase: str) -> None:
    active, sub = phase.split()
    old, new = "a" * 32, "b" * 32
    manager = {"_PID": "1", "UNIT": "x.service", "_TRANSPORT": "journal"}
    lines = [
        record("x.service: Started", MESSAGE_ID=j.UNIT_STARTED, **manager),
        said("Error: bind: address already in use", old),
        record("x: exited", MESSAGE_ID=j.UNIT_PROCESS_EXIT, EXIT_CODE="exited", EXIT_STATUS="3", COMMAND="ExecStart", **manager),
        record("x: failed", MESSAGE_ID=j.UNIT_FAILURE_RESULT, UNIT_RESULT="exit-code", **manager),
        record("x.service: Started", MESSAGE_ID=j.UNIT_STARTED, **{**manager, "INVOCATION_ID": new}),
        said("warming up", new),
    ]  # fmt: skip

    def runner(argv: t.Sequence[str], **_options: t.Any) -> Completed:
        return Completed(0, "\n".join(lines).encode(), b"")

    properties = {"Id": "x.service", "ActiveState": active, "SubState": sub, "InvocationID": new, "Result": "success"}
    journal = Journal(runner)
    failed = last_failed_run(journal, "x.service", 0.0)
    run = failed.properties
    assert (run["InvocationID"], failed.at) == (old, 1000.0)
    found = e.examine({**properties, **run}, journal, failing=True).primary
    assert found is not None and (found.id, found.severity) == ("address_in_use", "hard")
    assert found.evidence == ("Error: bind: address already in use",)


@pytest.mark.parametrize(
    ("result", "exits", "expected"),
    [
        # Of an exit with 0 there is no record.
        ("protocol", [], ("1", "0")),
        ("protocol", ["3"], ("0", None)),
        ("exit-code", [], ("0", None)),
    ],
)
def test_one_that_ended_well_before_it_was_ready_is_known_by_its_result(
    result: str, exits: list[str], expected: t.Any
) -> None:
    manager = {"_PID": "1", "UNIT": "x.service", "_TRANSPORT": "journal"}
    ended = [
        record("x: exited", MESSAGE_ID=j.UNIT_PROCESS_EXIT, EXIT_CODE="exited", EXIT_STATUS=status, **manager)
        for status in exits
    ]
    lines = [*ended, record("x: failed", MESSAGE_ID=j.UNIT_FAILURE_RESULT, UNIT_RESULT=result, **manager)]
    journal = Journal(lambda _argv, **_options: Completed(0, "\n".join(lines).encode(), b""))
    run = last_failed_run(journal, "x.service", 0.0).properties
    assert (run["ExecMainCode"], run.get("ExecMainStatus")) == expected


def run_of(*kinds: str, result: str = "success", **fields: str) -> list[str]:
    """The manager's records of one run, by their kinds."""
    ids = {"starting": j.UNIT_STARTING, "started": j.UNIT_STARTED, "stopping": j.UNIT_STOPPING, "ended": j.UNIT_SUCCESS,
           "failed": j.UNIT_FAILURE_RESULT}  # fmt: skip
    manager = {"_PID": "1", "UNIT": "x.service", "_TRANSPORT": "journal", "UNIT_RESULT": result, **fields}
    return [record(f"x.service: {kind}", MESSAGE_ID=ids[kind], **manager) for kind in kinds]


class Host(HostContext):
    """One whose journal has these lines. Its clock is that of their moments."""

    def __init__(self, lines: t.Sequence[str]) -> None:
        super().__init__("system", VirtualClock())
        self.clock.wall = self.clock.monotonic
        self.systemd = Systemd(lambda argv, **_options: Completed(0, b"", b""))
        self._lines = lines

    @property
    def journal(self) -> Journal:
        return Journal(lambda argv, **_options: Completed(0, "\n".join(reversed(self._lines)).encode(), b""))


FORGOTTEN = {"Id": "x.service", "LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead"}
FULL = said("ERROR cannot write: No space left on device", "a" * 32)


@pytest.mark.parametrize(
    ("lines", "causes", "summary"),
    [
        ([], ["unit_not_found"], ""),
        # Nobody asked for its end.
        ([*run_of("started"), FULL, *run_of("ended")], ["disk_full", "unit_not_found"], "by itself"),
        ([*run_of("started"), said("good bye", "a" * 32), *run_of("ended")], ["unit_not_found"], "said last: good bye"),
        ([*run_of("started", "ended")], ["unit_not_found"], "by itself"),
        ([*run_of("started"), FULL, *run_of("failed", result="exit-code")], ["disk_full", "unit_not_found"], "(exit-code)"),
        # Somebody stopped it; it ran to its end, as a oneshot does; it runs once more.
        ([*run_of("started"), FULL, *run_of("stopping", "ended")], ["unit_not_found"], ""),
        ([*run_of("starting"), FULL, *run_of("ended", "started")], ["unit_not_found"], ""),
        ([*run_of("started"), FULL, *run_of("ended"), *run_of("started", INVOCATION_ID="b" * 32)], ["unit_not_found"], ""),
    ],
)  # fmt: skip
def test_a_unit_that_systemd_has_forgotten_has_the_cause_of_its_last_run(
    lines: list[str], causes: list[str], summary: str
) -> None:
    def runner(argv: t.Sequence[str], **_options: t.Any) -> Completed:
        shown = lines if any(word.startswith("--since") for word in argv) or "_SYSTEMD_UNIT=x.service" in argv else []
        return Completed(0, "\n".join(shown if "--reverse" not in argv else shown[::-1]).encode(), b"")

    run = forgotten_run(Journal(runner), "x.service", 0.0)
    found = e.examine({**FORGOTTEN, **run.properties}, Journal(runner), failing=True)
    assert [cause.id for cause in found.causes if cause.id != "unknown"] == causes
    told = found.causes[-1].summary
    assert summary in told and bool(summary) == ("ended" in told), told


@pytest.mark.parametrize(("kinds", "cause"), [(("ended",), "disk_full"), (("stopping", "ended"), "unit_not_found")])
def test_what_is_left_of_a_forgotten_unit_counts_unless_it_was_stopped(kinds: tuple[str, ...], cause: str) -> None:
    """systemd may still know its last run, where another unit names it."""
    lines = [*run_of("started"), FULL, *run_of(*kinds)]

    facts = UnitFacts("x.service", {**FORGOTTEN, "InvocationID": "a" * 32})
    seen = Observation("x", "x.service", "generic", "error", "error", cause="unit_not_found", facts=facts)
    found = explain(Host(lines), MonitoredService("x", "x.service", Kind()), seen).primary
    assert found is not None and found.id == cause


@pytest.mark.parametrize("sub", ["auto-restart", "auto-restart-queued"])
def test_between_two_tries_a_run_failed_when_the_journal_says_so(sub: str) -> None:
    lines = [
        *run_of("started"),
        said("Error: bind: address already in use", "a" * 32),
        *run_of("failed", result="exit-code"),
    ]

    facts = {
        "Id": "x.service",
        "LoadState": "loaded",
        "ActiveState": "activating",
        "SubState": sub,
        "InvocationID": "a" * 32,
    }
    seen = Observation("x", "x.service", "generic", "restarting", "restarting", facts=UnitFacts("x.service", facts))
    found = explain(Host(lines), MonitoredService("x", "x.service", Kind()), seen)
    assert found.failed_at == 1000.0 and found.primary is not None and found.primary.id == "address_in_use"
