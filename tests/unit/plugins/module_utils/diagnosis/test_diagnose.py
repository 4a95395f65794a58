# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes from evidence: which words prove what, which prove nothing, and what comes first.

The laboratory makes the same faults for real (test_diagnosis_faults.py).
"""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import HostFacts, Rule
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import Diagnosis, diagnose
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.rules import GENERIC_RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import journal as j
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.disk import Disk

RUN = "a" * 32
FAILED = {
    "Id": "x.service",
    "LoadState": "loaded",
    "ActiveState": "failed",
    "SubState": "failed",
    "Result": "exit-code",
    "InvocationID": RUN,
    "ExecMainCode": "1",
    "ExecMainStatus": "1",
    "Restart": "no",
}


def entry(message: str, at: float = 0.0, priority: int = 6, run: str = RUN, **fields: str) -> j.Entry:
    return j.Entry(
        timestamp=1000.0 + at,
        monotonic=at,
        boot_id="b",
        invocation_id=run,
        priority=priority,
        message=message,
        unit="x.service",
        identifier="x",
        pid=7,
        message_id=fields.pop("MESSAGE_ID", ""),
        cursor="",
        fields={"_TRANSPORT": "stdout", **fields},
    )


def manager(message: str, message_id: str = "", at: float = 1.0, run: str = RUN, **fields: str) -> j.Entry:
    return entry(message, at, 4, run, MESSAGE_ID=message_id, _PID="1", UNIT="x.service", _TRANSPORT="journal", **fields)


def said(*messages: str, **properties: str) -> Diagnosis:
    lines = [entry(message, at=index / 10) for index, message in enumerate(messages)]
    return diagnose({**FAILED, **properties}, lines)


def primary(diagnosis: Diagnosis) -> str:
    return diagnosis.primary.id if diagnosis.primary else "none"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("bind: Address already in use", "address_in_use"),
        ("java.net.BindException: Address already in use", "address_in_use"),
        ("listen tcp 127.0.0.1:20241: bind: address already in use", "address_in_use"),
        ("Port(s) '[8545]' already in use. Check for other processes using the port(s).", "address_in_use"),
        ("write /data/x: no space left on device", "disk_full"),
        ("Disk full detected: /data", "disk_full"),
        ("touch: cannot touch '/srv/x': Read-only file system", "read_only_filesystem"),
        ("accept4: too many open files", "descriptors_exhausted"),
        ("OSError: [Errno 24] Too many open files", "descriptors_exhausted"),
        ("java.lang.OutOfMemoryError: unable to create native thread", "processes_exhausted"),
        ("sh: 0: Cannot fork", "processes_exhausted"),
        ("fork: retry: Resource temporarily unavailable", "processes_exhausted"),
        ("java.lang.OutOfMemoryError: Java heap space", "memory_exhausted"),
        ("error while loading shared libraries: libjemalloc.so: cannot open shared object file", "library_missing"),
        ("java.lang.UnsupportedClassVersionError: org/x has been compiled by a more recent version", "library_missing"),
        ("/bin/sh: 1: besu: not found", "command_missing"),
        ("getaddrinfo: Name or service not known", "host_not_resolved"),
        ("java.net.UnknownHostException: peer.example", "host_not_resolved"),
        ("dial tcp: lookup region1.example on 127.0.0.53:53: no such host", "host_not_resolved"),
        ("dial tcp: lookup region1.example on 192.0.2.53:53: read udp 10.0.0.1:4: i/o timeout", "host_not_resolved"),
        ("dial tcp 192.0.2.1:7844: i/o timeout", "network_timeout"),
        ("dial tcp 192.0.2.1:7844: connect: connection refused", "peer_refused"),
        ("java.net.ConnectException: Connection refused", "peer_refused"),
        ("dial tcp 192.0.2.1:7844: connect: no route to host", "no_route"),
        ("dial tcp 192.0.2.1:7844: connect: network is unreachable", "no_route"),
        ("Get https://x: context deadline exceeded", "network_timeout"),
        ("java.net.SocketTimeoutException: connect timed out", "network_timeout"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "tls_failed"),
        ("sun.security.validator.ValidatorException: PKIX path building failed", "tls_failed"),
        ("unknown option '--rpc-http-enable'", "bad_option"),
        ("Incorrect Usage: flag provided but not defined: -metrics", "bad_option"),
        ("open /etc/x.yml: no such file or directory", "file_missing"),
        ("java.nio.file.NoSuchFileException: /etc/x", "file_missing"),
        ("open /etc/x.key: permission denied", "permission_denied"),
        ("java.nio.file.AccessDeniedException: /data/x", "permission_denied"),
        ("yaml: line 4: mapping values are not allowed in this context", "config_parse_error"),
        ("json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)", "config_parse_error"),
        ("failed to parse config file: toml", "config_parse_error"),
        ("panic: runtime error: index out of range", "panic"),
    ],
)
def test_a_line_proves_one_cause(line: str, cause: str) -> None:
    diagnosis = said("starting", line)
    assert [found.id for found in diagnosis.causes] == [cause]
    assert diagnosis.primary is not None
    assert diagnosis.primary.evidence == (line,)


@pytest.mark.parametrize(
    "line",
    [
        "timeout=30 retries=5",
        "connection timeout set to 30",
        "INFO connection refused by policy is retried",
        "2026-01-01 | main | INFO  | Besu | no such file or directory, using defaults",
        '{"level":"info","message":"dial tcp 192.0.2.1:7844: connect: connection refused"}',
        'level=debug msg="permission denied"',
        "[info] address already in use: reusing",
        "info: unknown option is ignored",
        "2026-08-14T12:00:00Z INF context deadline exceeded",
        "tls: enabled",
        "certificate valid until 2030",
        "no errors in config",
        "0 syntax warnings",
        "port 8545",
        "loaded configuration from /etc/x.yml",
    ],
)
def test_what_proves_nothing(line: str) -> None:
    assert primary(said(line)) == "unknown"


def test_an_error_weighs_more_than_a_later_warning() -> None:
    diagnosis = said("ERROR open x: permission denied", "WARN peer: connection refused")
    assert [cause.id for cause in diagnosis.causes] == ["permission_denied", "peer_refused"]


def test_of_equal_errors_the_last_comes_first() -> None:
    diagnosis = said("ERROR peer: connection refused", "ERROR write: no space left on device")
    assert [cause.id for cause in diagnosis.causes] == ["disk_full", "peer_refused"]


def test_words_long_before_the_end_prove_nothing() -> None:
    old = [entry("ERROR peer: connection refused", at=0.0)]
    calm = [entry(f"block {number}", at=3600.0 + number) for number in range(20)]
    assert primary(diagnose(FAILED, old + calm)) == "unknown"


def test_words_of_another_run_prove_nothing() -> None:
    other = entry("ERROR peer: connection refused", run="f" * 32)
    assert primary(diagnose(FAILED, [other, entry("block 1", at=1)])) == "unknown"


def test_words_without_an_invocation_count_from_the_run_on() -> None:
    before, after = (entry("ERROR open x: permission denied", at=at, run="") for at in (0.0, 2.0))
    started = manager("Started x.", j.UNIT_STARTED)
    assert primary(diagnose(FAILED, [before, started])) == "unknown"
    assert primary(diagnose(FAILED, [started, after])) == "permission_denied"
    stray = replace(after, unit="")
    assert primary(diagnose(FAILED, [started, stray])) == "unknown"
    assert primary(diagnose({**FAILED, "ExecMainPID": "7"}, [started, stray])) == "permission_denied"


def exit_record(status: str, how: str = "exited", command: str = "ExecStart") -> j.Entry:
    return manager(
        "x.service: Main process exited",
        j.UNIT_PROCESS_EXIT,
        EXIT_CODE=how,
        EXIT_STATUS=status,
        COMMAND=command,
    )


def child(message: str) -> j.Entry:
    return entry(message, 0.5, 3, UNIT="x.service", MESSAGE_ID=j.SPAWN_FAILED, _TRANSPORT="journal")


@pytest.mark.parametrize(
    ("status", "words", "cause"),
    [
        ("203", "Failed at step EXEC spawning /opt/x: No such file or directory", "exec_missing"),
        ("203", "Failed at step EXEC spawning /opt/x: Permission denied", "exec_not_permitted"),
        ("203", "Failed at step EXEC spawning /opt/x: Exec format error", "exec_format"),
        ("217", "Failed at step USER spawning /opt/x: No such process", "user_missing"),
        ("216", "Failed at step GROUP spawning /opt/x: No such process", "group_missing"),
        ("200", "Failed at step CHDIR spawning /opt/x: No such file or directory", "working_directory_missing"),
        ("226", "Failed at step NAMESPACE spawning /opt/x: No such file or directory", "namespace_failed"),
        ("238", "Failed at step STATE_DIRECTORY spawning /opt/x: File exists", "directory_not_prepared"),
        ("209", "Failed at step STDOUT spawning /opt/x: No such file or directory", "output_not_opened"),
        ("243", "Failed at step CREDENTIALS spawning /opt/x: No such file or directory", "credentials_missing"),
        ("224", "Failed at step PAM spawning /opt/x: Operation not permitted", "setup_failed"),
    ],
)
@pytest.mark.parametrize("command", ["ExecStart", "ExecStartPre"])
def test_a_step_before_the_program_ran(status: str, words: str, cause: str, command: str) -> None:
    found = diagnose(FAILED, [child(words), manager("", j.UNIT_STARTED), exit_record(status, command=command)])
    assert found.primary is not None
    assert [each.id for each in found.causes] == [cause]
    assert found.primary.severity == "hard"
    assert words in found.primary.evidence
    assert f"{command} exited with status {status}" in found.primary.evidence


def test_a_program_may_exit_with_a_number_of_systemds() -> None:
    found = diagnose(FAILED, [manager("", j.UNIT_STARTED), entry("done", at=1.1), exit_record("203")])
    assert primary(found) == "unknown"


@pytest.mark.parametrize(
    ("properties", "cause", "severity"),
    [
        ({"LoadState": "masked", "ActiveState": "inactive"}, "unit_masked", "fatal"),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, "unit_not_found", "hard"),
        ({"LoadState": "bad-setting", "ActiveState": "inactive"}, "unit_bad_setting", "hard"),
        ({"LoadState": "error", "ActiveState": "inactive"}, "unit_bad_setting", "hard"),
        ({"Result": "watchdog", "ExecMainCode": "2", "ExecMainStatus": "6"}, "watchdog", "soft"),
        ({"Result": "oom-kill", "ExecMainCode": "2", "ExecMainStatus": "9"}, "memory_killed", "soft"),
        ({"Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "9"}, "killed", "soft"),
        ({"Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "31"}, "syscall_blocked", "hard"),
        ({"Result": "core-dump", "ExecMainCode": "3", "ExecMainStatus": "11"}, "crashed", "soft"),
        ({"Result": "core-dump", "ExecMainCode": "3", "ExecMainStatus": "6"}, "aborted", "soft"),
        ({"Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "12"}, "signal", "soft"),
        ({"ExecMainStatus": "137"}, "killed", "soft"),
        ({"ExecMainStatus": "139"}, "crashed", "soft"),
        ({"ExecMainStatus": "134"}, "aborted", "soft"),
        ({"ExecMainStatus": "143"}, "terminated", "soft"),
        ({"ExecMainStatus": "130"}, "terminated", "soft"),
        ({"Result": "protocol", "ExecMainStatus": "0"}, "not_ready", "soft"),
        ({"Result": "resources", "ExecMainCode": "0"}, "start_resources", "soft"),
        ({"Result": "start-limit-hit"}, "start_limit", "soft"),
        ({"Restart": "on-failure", "NRestarts": "5", "StartLimitBurst": "5"}, "start_limit", "soft"),
        ({"Result": "timeout", "InactiveExitTimestampMonotonic": "9"}, "start_timeout", "soft"),
        (
            {"Result": "timeout", "InactiveExitTimestampMonotonic": "9", "ActiveEnterTimestampMonotonic": "9"},
            "stop_timeout",
            "soft",
        ),
    ],
)
def test_what_systemd_knows(properties: dict[str, str], cause: str, severity: str) -> None:
    found = diagnose({**FAILED, **properties}).primary
    assert found is not None
    assert (found.id, found.severity) == (cause, severity)
    assert found.evidence and found.next_step and found.summary


@pytest.mark.parametrize(
    "properties",
    [
        {"ActiveState": "active", "SubState": "running", "Result": "success"},
        {
            "ActiveState": "inactive",
            "SubState": "dead",
            "Result": "success",
            "ConditionResult": "no",
            "AssertResult": "no",
        },
        {"ActiveState": "active", "LoadState": "not-found", "Result": "success"},
        {"ActiveState": "active", "LoadState": "masked", "Result": "success"},
        {"ActiveState": "activating", "SubState": "start", "Result": "success"},
        {"ActiveState": "inactive", "Result": "exec-condition"},
    ],
)
def test_a_unit_that_has_not_failed_has_no_cause(properties: dict[str, str]) -> None:
    lines = [entry("ERROR peer: connection refused")]
    assert diagnose({**FAILED, **properties}, lines).causes == ()


def test_a_unit_called_failing_by_its_probes_is_diagnosed_by_its_words() -> None:
    running = {**FAILED, "ActiveState": "active", "SubState": "running", "Result": "success"}
    assert primary(diagnose(running, [entry("ERROR db: connection refused")], failing=True)) == "peer_refused"
    starting = {**running, "ActiveState": "activating", "SubState": "start"}
    assert primary(diagnose(starting, failing=True)) == "start_timeout"


@pytest.mark.parametrize("cause", ["suspended", "frozen"])
def test_what_a_process_said_before_it_was_paused_is_no_cause(cause: str) -> None:
    lives = {**FAILED, "ActiveState": "active", "SubState": "running", "Result": "success"}
    lines = [entry("ERROR dial tcp 10.0.0.1:443: connect: connection refused", priority=3)]
    found = diagnose(lives, lines, host=HostFacts(paused=cause), failing=True)
    assert [(one.id, one.severity) for one in found.causes] == [(cause, "soft")]
    assert found.lines, "they are shown all the same"
    runs = diagnose(lives, lines, host=HostFacts(), failing=True)
    assert [one.id for one in runs.causes] == ["peer_refused"]


def test_a_kill_comes_before_what_was_said() -> None:
    killed = {"Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "9"}
    assert [cause.id for cause in said("ERROR peer: connection refused", **killed).causes] == ["killed", "peer_refused"]


def test_the_start_limit_comes_behind_what_made_it_fail() -> None:
    limit = manager("x.service: Start request repeated too quickly.", at=3)
    lines = [manager("", j.UNIT_STARTED), entry("open /etc/x: permission denied", at=2), limit]
    assert [cause.id for cause in diagnose(FAILED, lines).causes] == ["permission_denied", "start_limit"]


def test_a_failed_dependency_is_named() -> None:
    idle = {**FAILED, "ActiveState": "inactive", "SubState": "dead", "Result": "success", "InvocationID": ""}
    record = manager("Dependency failed for x.", j.UNIT_JOB_FAILED, run="", JOB_RESULT="dependency")
    host = HostFacts(dependencies={"db.service": "failed"})
    (cause,) = diagnose(idle, [record], host=host).causes
    assert (cause.id, cause.category, cause.severity) == ("dependency_failed", "dependency", "soft")
    assert cause.summary.endswith("db.service is failed")


def test_a_dependency_that_failed_before_the_last_good_start_is_history() -> None:
    idle = {**FAILED, "ActiveState": "inactive", "Result": "success"}
    records = [
        manager("Dependency failed for x.", j.UNIT_JOB_FAILED, at=1, run="", JOB_RESULT="dependency"),
        manager("Started x.", j.UNIT_STARTED, at=2, JOB_TYPE="start"),
        manager("Stopped x.", j.UNIT_STOPPED, at=3, JOB_TYPE="stop"),
    ]
    assert diagnose(idle, records).causes == ()


def test_memory_kill_is_read_from_the_manager_and_the_kernel() -> None:
    killed = {**FAILED, "Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "9", "ExecMainPID": "77"}
    record = manager("x.service: A process of this unit has been killed by the OOM killer.", j.UNIT_OUT_OF_MEMORY)
    assert primary(diagnose({**killed, "MemoryMax": "25165824"}, [record])) == "memory_killed"
    kernel = (entry("Out of memory: Killed process 77 (java) total-vm:1kB", run="", _TRANSPORT="kernel"),)
    assert primary(diagnose(killed, host=HostFacts(kernel=kernel))) == "memory_killed"
    other = (entry("Out of memory: Killed process 78 (java)", run="", _TRANSPORT="kernel"),)
    assert primary(diagnose(killed, host=HostFacts(kernel=other))) == "killed"


def test_the_holder_of_the_port_is_named() -> None:
    lines = [entry("ERROR bind 127.0.0.1:8545: address already in use")]
    cause = diagnose(FAILED, lines, host=HostFacts(listeners={8545: "nginx (pid 9, nginx.service)"})).primary
    assert cause is not None
    assert cause.summary.endswith("port 8545 is held by nginx (pid 9, nginx.service)")


def test_a_full_disk_is_a_cause_only_where_nothing_says_more() -> None:
    host = HostFacts(disks=(Disk("/data", 0, 100),))
    assert primary(diagnose(FAILED, [entry("boom")], host=host)) == "disk_full"
    assert primary(diagnose(FAILED, [entry("open x: permission denied")], host=host)) == "permission_denied"
    assert primary(diagnose(FAILED, [entry("boom")], host=HostFacts(disks=(Disk("/data", 1 << 30, 9),)))) == "unknown"


def test_everything_that_leaves_is_redacted_neutral_and_bounded() -> None:
    hostile = "\x1b[31m{{ 7*7 }} token=Zx9Qw7Lm3Kp1 connection refused " + "x" * 5000
    status = {"StatusText": "{% x %}\u202e", "ExecMainStatus": "1"}
    found = said(*[f"{hostile}{index}" for index in range(100)], **status)
    shown = str(found.as_dict())
    assert "Zx9Qw7Lm3Kp1" not in shown
    assert "{{" not in shown and "{%" not in shown and "\x1b" not in shown and "\u202e" not in shown
    assert len(shown) < 20_000


def test_rules_of_a_kind_come_first_and_may_hold_while_it_runs() -> None:
    rule = Rule(
        "unauthorized",
        "configuration",
        "fatal",
        "the token is not valid",
        "get one",
        pattern="Unauthorized",
        running=True,
    )
    running = {**FAILED, "ActiveState": "active", "Result": "success"}
    lines = [entry('ERR Register tunnel error error="Unauthorized: connection refused"')]
    assert primary(diagnose(running, lines, rules=(rule, *GENERIC_RULES))) == "unauthorized"


def test_coverage_is_stated() -> None:
    notes = diagnose(
        {**FAILED, "LogLevelMax": "4", "StandardOutput": "file:/x", "LogNamespace": "n"}, notes=("one",)
    ).notes
    assert notes[0] == "one"
    expected = ("one", "LogLevelMax=4", "StandardOutput=file:/x", "namespace n", "holds nothing")
    assert all(word in note for word, note in zip(expected, notes))
    assert len(notes) == len(expected)


def test_every_rule_is_complete() -> None:
    for rule in GENERIC_RULES:
        assert rule.pattern or rule.manager or rule.facts, rule.cause
        assert rule.severity in ("soft", "hard", "fatal")
        assert rule.category in ("configuration", "dependency", "resource", "network", "crash", "start_limit")
        assert rule.summary and rule.next_step
        assert not rule.pattern or 55 <= rule.rank <= 60, rule.cause


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["loading", "ERROR the moon is not where it was", "bye"], "ERROR the moon is not where it was"),
        (["loading", "the moon is gone"], "the moon is gone"),
        (["[info] loading", "[info] giving up: no moon"], "[info] giving up: no moon"),
    ],
)
@pytest.mark.parametrize(
    "ended", [FAILED, {**FAILED, "ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}]
)
def test_where_no_rule_knows_its_last_words_are_shown(lines: list[str], words: str, ended: dict[str, str]) -> None:
    found = diagnose(ended, [entry(line, at=index / 10) for index, line in enumerate(lines)], failing=True).primary
    assert found is not None and found.id == "unknown"
    assert words in found.summary and words in found.evidence
    if ended["Result"] == "success":
        assert "it ended by itself" in found.summary


def test_a_command_before_the_program_is_named() -> None:
    ended = exit_record("4", command="ExecStartPre")
    assert primary(diagnose(FAILED, [ended])) == "pre_start_failed"
    assert primary(diagnose(FAILED, [entry("ERROR open /etc/x: permission denied"), ended])) == "permission_denied"


def test_what_runs_after_the_end_did_not_bring_it_about() -> None:
    records = [exit_record("9", "killed"), exit_record("4", command="ExecStopPost")]
    assert primary(diagnose({**FAILED, "Result": "signal"}, records)) == "killed"


def test_supplementary_groups_are_named_where_they_are_missing() -> None:
    properties = {**FAILED, "ExecMainStatus": "216", "Group": "daemon", "SupplementaryGroups": "ghosts"}
    found = diagnose(properties, [child("Failed to determine supplementary groups: No such process")]).primary
    assert found is not None and found.id == "group_missing"
    assert "SupplementaryGroups=ghosts" in found.summary


def test_a_port_that_nobody_holds_any_more_is_told_in_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    lines = [entry("ERROR bind 127.0.0.1:8545: address already in use")]
    free = diagnose(FAILED, lines, host=HostFacts(ports=(8545,))).primary
    assert free is not None and free.summary.endswith("port 8545 was in use at 00:16:40; free now")
    unnamed = diagnose(
        FAILED, [entry("ERROR Address already in use")], host=HostFacts(ports=(80,), listeners={80: "nginx"})
    )
    assert unnamed.primary is not None and unnamed.primary.summary.endswith("port 80 is held by nginx")
    assert unnamed.ports == (80,)
