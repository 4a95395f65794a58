# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What shows that a person has been at the cause of a failure."""

from __future__ import annotations

import fcntl
import os
import socket
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import resolved as r
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import Cause
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.resolved import resolution_of
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.rules import GENERIC_RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.disk import Disk

HOUR = 3600.0
NOW = time.time()


def cause(name: str, *evidence: str) -> Cause:
    return Cause(name, "configuration", "hard", "x", evidence or ("no words",), "correct it")


def unit(folder: Path, *settings: str) -> dict[str, str]:
    """The properties of a unit that was written long before it failed."""
    path = folder / "x.service"
    path.write_text("[Service]\n" + "\n".join(settings) + "\n")
    return {"FragmentPath": str(path)}


def later() -> float:
    """A moment of failure after everything that the test has made so far."""
    return time.time() + HOUR


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("FragmentPath", "{}"),
        ("DropInPaths", "/none.conf {}"),
        ("EnvironmentFiles", "{} (ignore_errors=no)"),
        ("EnvironmentFiles", "/none (ignore_errors=yes) {} (ignore_errors=yes)"),
    ],
)
@pytest.mark.parametrize(("failed_ago", "changed"), [(HOUR, True), (-HOUR, False)])
def test_a_change_of_what_the_unit_reads_is_worth_an_attempt(tmp_path, key, value, failed_ago, changed):
    path = tmp_path / "read"
    path.write_text("x")
    refused = Cause("unauthorized", "configuration", "hard", "refused", ("token (environment)",), "write it anew")
    found = resolution_of(refused, {key: value.format(path)}, time.time() - failed_ago)
    assert found == (f"{path} was changed since it failed" if changed else None)


def test_a_changed_unit_that_systemd_has_not_read_is_no_sign(tmp_path):
    properties = unit(tmp_path, "User=x")
    assert resolution_of(cause("bad_option"), properties, NOW - HOUR)
    assert resolution_of(cause("bad_option"), {**properties, "NeedDaemonReload": "yes"}, NOW - HOUR) is None


def test_a_file_on_the_command_line_is_a_sign_although_no_line_names_it(tmp_path):
    config = tmp_path / "app.toml"
    config.write_text("x")
    properties = unit(tmp_path, f"ExecStart=/bin/sleep --config={config}")
    os.utime(tmp_path / "x.service")
    found = resolution_of(cause("config_parse_error", "line 3: unexpected token"), properties, NOW - HOUR)
    assert found
    assert resolution_of(cause("config_parse_error", "line 3: unexpected token"), properties, later()) is None


# cause, settings of the unit, evidence; "{}" is a path that is made when the person comes
OBJECTS: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("exec_missing", ("ExecStart={} --x",), ()),
    ("exec_missing", ("ExecStart=/bin/sleep 9",), ("Failed to execute {}: No such file or directory",)),
    ("credentials_missing", ("LoadCredential=key:{}",), ("Failed to set up credentials: No such file",)),
    ("namespace_failed", ("BindPaths={}:/opt/b",), ("Failed to set up mount namespacing",)),
    ("namespace_failed", ("ReadWritePaths=-/none {}",), ("Failed to set up mount namespacing",)),
    ("working_directory_missing", ("WorkingDirectory={}/",), ()),
    ("output_not_opened", ("StandardOutput=append:{}/out.log",), ("Failed to set up standard output",)),
    ("output_not_opened", ("StandardInput=file:{}",), ("Failed to set up standard input",)),
    ("setup_failed", ("NetworkNamespacePath={}",), ("Failed to set up network namespacing",)),
    ("file_missing", (), ("open {}: no such file or directory",)),
    ("file_missing", ("PIDFile={}/app.pid",), ("open {}/app.pid: no such file or directory",)),
    ("assert_failed", ("AssertPathExists={}",), ("AssertResult=no",)),
    ("condition_unmet", ("ConditionPathExists={}",), ("ConditionResult=no",)),
]


@pytest.mark.parametrize(("name", "settings", "evidence"), OBJECTS)
def test_the_object_of_a_cause_is_there_now(tmp_path, name, settings, evidence):
    thing = tmp_path / "deep" / "thing"
    properties = unit(tmp_path, *(text.format(thing) for text in settings))
    found = cause(name, *(text.format(thing) for text in evidence))
    moment = later()
    assert resolution_of(found, properties, moment) is None
    thing.mkdir(parents=True)
    assert resolution_of(found, properties, moment)


@pytest.mark.parametrize(
    ("setting", "shown"), [("StandardOutput=append:{}/a.log", "append"), ("StandardInput=file:{}", "file")]
)
def test_systemctl_does_not_show_the_file_of_a_stream(tmp_path, setting, shown):
    thing = tmp_path / "deep" / "thing"
    properties = {**unit(tmp_path, setting.format(thing)), setting.partition("=")[0]: shown}
    assert resolution_of(cause("output_not_opened", "step STDOUT"), properties, later()) is None
    thing.mkdir(parents=True)
    assert resolution_of(cause("output_not_opened", "step STDOUT"), properties, later())


def test_an_environment_file_is_there_now(tmp_path):
    path = tmp_path / "env"
    properties = {"EnvironmentFiles": f"{path} (ignore_errors=no) /none (ignore_errors=yes)"}
    assert resolution_of(cause("environment_file_missing"), properties, later()) is None
    path.write_text("")
    assert resolution_of(cause("environment_file_missing"), properties, later())


@pytest.mark.parametrize(
    ("name", "properties", "there"),
    [
        ("user_missing", {"User": "root"}, True),
        ("user_missing", {"User": "no-such-user"}, False),
        ("user_missing", {"User": "4294967"}, True),
        ("group_missing", {"Group": "root"}, True),
        ("group_missing", {"Group": "root", "SupplementaryGroups": "root no-such-group"}, False),
        ("group_missing", {"SupplementaryGroups": "root"}, True),
        ("group_missing", {}, False),
    ],
)
def test_accounts(name, properties, there):
    assert bool(resolution_of(cause(name), properties, later())) is there


def test_a_user_of_a_configuration_is_not_the_user_of_the_unit():
    found = cause("user_missing", 'nginx: [emerg] getpwnam("www-dat") failed in /none:1')
    assert resolution_of(found, {"User": "root"}, later()) is None
    assert resolution_of(cause("user_missing", 'getpwnam("root") failed in /none:1'), {}, later())


def test_a_directory_of_the_unit_can_be_made_now(tmp_path, monkeypatch):
    monkeypatch.setattr(r, "_DIRECTORIES", {"StateDirectory": str(tmp_path)})
    (tmp_path / "app").write_text("in the way")
    properties = {"StateDirectory": "app/below"}
    assert resolution_of(cause("directory_not_prepared"), properties, time.time() - HOUR) is None
    (tmp_path / "app").unlink()
    assert resolution_of(cause("directory_not_prepared"), properties, time.time() - HOUR)


def test_a_program_may_be_executed_now(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    properties, moment = unit(tmp_path, f"ExecStart={program}"), later()
    assert resolution_of(cause("exec_not_permitted"), properties, moment) is None
    program.chmod(0o755)
    assert resolution_of(cause("exec_not_permitted"), properties, moment)


@pytest.fixture
def listener() -> t.Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


@pytest.mark.parametrize("source", ["log", "command", "probe"])
def test_a_port_is_free_now(tmp_path, listener, source):
    port = listener.getsockname()[1]
    evidence = f"bind: 127.0.0.1:{port}: address already in use" if source == "log" else "Address already in use"
    properties = unit(tmp_path, f"ExecStart=/bin/app --port {port}" if source == "command" else "ExecStart=/bin/app")
    ports, moment = [port] if source == "probe" else [], later()
    assert resolution_of(cause("address_in_use", evidence), properties, moment, ports=ports) is None
    listener.close()
    assert (
        resolution_of(cause("address_in_use", evidence), properties, moment, ports=ports) == f"port {port} is free now"
    )


def test_a_port_that_nothing_names_stays_in_use(tmp_path):
    assert resolution_of(cause("address_in_use", "Address already in use"), unit(tmp_path), later()) is None


@pytest.mark.parametrize(("address", "ours"), [("127.0.0.1", True), ("192.0.2.77", False)])
def test_an_address_is_this_hosts_now(address, ours):
    evidence = f"listen tcp {address}:80: bind: cannot assign requested address"
    assert bool(resolution_of(cause("address_not_available", evidence), {}, later())) is ours


def test_nobody_holds_the_lock_now(tmp_path):
    path = tmp_path / "LOCK"
    path.write_text("")
    found = cause("database_locked", f"While lock file: {path}: Resource temporarily unavailable")
    with path.open("r+") as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX)
        assert resolution_of(found, {}, later()) is None
    assert resolution_of(found, {}, later()) == f"nobody holds {path} now"


def test_the_process_of_a_pid_file_has_ended():
    said = "FATAL: lock file already exists; is another postmaster (PID {}) running?"
    assert resolution_of(cause("lock_held", said.format(os.getpid())), {}, later()) is None
    assert resolution_of(cause("lock_held", said.format(4194304999)), {}, later()) == "process 4194304999 has ended"


@pytest.mark.parametrize(("name", "there"), [("sh", True), ("no-such-command", False)])
def test_a_command_is_there_now(name, there):
    assert bool(resolution_of(cause("command_missing", f"/bin/sh: 1: {name}: not found"), {}, later())) is there


@pytest.mark.parametrize(("year", "valid"), [("2020", True), ("2990", False)])
def test_a_certificate_is_valid_by_the_clock_of_now(year, valid):
    said = f"x509: certificate has expired or is not yet valid: current time 1970-01-01T00:00:09Z is before {year}-01-01T00:00:00Z"
    assert bool(resolution_of(cause("tls_failed", said), {}, later())) is valid


def test_a_full_disk_has_room_now(tmp_path):
    found = cause("disk_full", f"write {tmp_path}/x: no space left on device")
    assert resolution_of(found, {}, later(), [Disk("/data", 0, 10)], 1) is None
    assert resolution_of(found, {}, later(), [Disk("/data", 1 << 30, 0)], 1) is None
    assert resolution_of(found, {}, later(), [Disk("/data", 1 << 30, 10)], 1) == "there is room now"


def test_every_check_belongs_to_a_cause():
    known = {rule.cause for rule in GENERIC_RULES} | {"config_missing", "token_unreadable", "edge_certificate"}
    assert set(r.CHECKS) <= known
