# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the manager's records prove, and whose records count."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import diagnose
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.explain import explain
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import (
    UNIT_OUT_OF_MEMORY,
    UNIT_PROCESS_EXIT,
    UNIT_STARTED,
    UNIT_STARTING,
    Journal,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd, UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.diagnosis.test_diagnose import (
    FAILED,
    entry,
    manager,
    primary,
)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("x.service: start operation timed out. Terminating.", "start_timeout"),
        ("x.service: start-pre operation timed out. Terminating.", "start_timeout"),
        ("x.service: State 'stop-sigterm' timed out. Killing.", "stop_timeout"),
    ],
)
def test_with_the_moments_of_an_earlier_run_the_managers_word_tells_a_start_from_a_stop(words: str, cause: str) -> None:
    """RestartMode=direct renews no InactiveExit: an ActiveEnter of hours ago is after it."""
    moments = {"InactiveExitTimestampMonotonic": "9", "ActiveEnterTimestampMonotonic": "10"}
    failed = {**FAILED, **moments, "Result": "timeout", "RestartMode": "direct", "NRestarts": "1"}
    assert primary(diagnose(failed, [manager(words)])) == cause


def test_a_loop_that_is_seen_in_the_middle_of_a_start_is_diagnosed_by_the_run_that_failed() -> None:
    """Its result is put in the place of that of the start under way."""
    starting = {**FAILED, "ActiveState": "activating", "SubState": "start"}
    found = diagnose(starting, [manager("", UNIT_STARTING), entry("ERROR db: connection refused")], failing=True)
    assert [cause.id for cause in found.causes] == ["peer_refused"]


RUNS = {**FAILED, "ActiveState": "active", "SubState": "running", "Result": "success"}


@pytest.mark.parametrize(
    ("line", "cause", "severity"),
    [
        ("client 192.0.2.9: GET /private: permission denied", "unknown", "soft"),
        ("GET /favicon.ico: no such file or directory", "unknown", "soft"),
        ("WARN GET /private: permission denied", "unknown", "soft"),
        ("ERROR open /etc/x.key: permission denied", "permission_denied", "hard"),
        ("db: connection refused", "peer_refused", "soft"),
    ],
)
def test_what_a_live_service_says_of_its_clients_is_no_hard_cause(line: str, cause: str, severity: str) -> None:
    found = diagnose(RUNS, [entry(line)], failing=True).primary
    assert found is not None and (found.id, found.severity) == (cause, severity)
    assert "failed (success)" not in found.summary


def test_a_crash_loop_that_is_seen_up_is_diagnosed_by_the_run_that_failed() -> None:
    looping = {**RUNS, "Result": "exit-code"}
    assert primary(diagnose(looping, [entry("open /etc/x: permission denied")], failing=True)) == "permission_denied"


@pytest.mark.parametrize(("cause", "causes"), [("probe_broken", []), ("unhealthy", ["unknown"])])
def test_a_broken_probe_is_no_reason_to_diagnose(cause: str, causes: list[str]) -> None:
    class Blank(HostContext):
        """A host without a journal and without a service manager."""

        journal = Journal(lambda argv, **_options: Completed(0, b"", b""))

        def __init__(self) -> None:
            super().__init__("system")
            self.systemd = Systemd(lambda argv, **_options: Completed(0, b"", b""))

    seen = Observation("x", "x.service", "generic", "unknown", "unknown", cause=cause, facts=UnitFacts("x", RUNS))
    diagnosis = explain(Blank(), MonitoredService("x", "x.service", Kind()), seen)
    assert [each.id for each in diagnosis.causes] == causes


@pytest.mark.parametrize(
    ("message_id", "fields"),
    [
        (UNIT_OUT_OF_MEMORY, {}),
        (UNIT_PROCESS_EXIT, {"EXIT_CODE": "killed", "EXIT_STATUS": "9", "COMMAND": "ExecStart"}),
        (UNIT_STARTED, {}),
    ],
)
def test_a_service_cannot_write_the_managers_records_of_itself(message_id: str, fields: dict[str, str]) -> None:
    """sd_journal_send takes any MESSAGE_ID and any UNIT: only _PID and _COMM are journald's own."""
    forged = entry("forged", 3.0, UNIT="x.service", MESSAGE_ID=message_id, _PID="7", _TRANSPORT="journal", **fields)
    ended = manager("", UNIT_PROCESS_EXIT, at=2.0, EXIT_CODE="exited", EXIT_STATUS="203", COMMAND="ExecStart")
    child = entry("Failed at step EXEC spawning /opt/x: No such file or directory", 1.5, 3, UNIT="x.service")
    honest = [manager("", UNIT_STARTING), child, ended]
    assert primary(diagnose(FAILED, honest)) == primary(diagnose(FAILED, [*honest, forged])) == "exec_missing"
