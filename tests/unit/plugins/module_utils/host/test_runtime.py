# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands end in time, with as much output as was asked for, and a user is told by the system and not by its variables."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import runtime
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError, run_command


def test_a_command_that_hangs_ends_in_time_with_all_its_children() -> None:
    began = time.monotonic()
    done = run_command(["sh", "-c", "echo said; sleep 1000 & sleep 1000"], timeout=0.5)
    assert done.timed_out and done.rc is None and done.out == "said\n"
    assert time.monotonic() - began < 10


def test_a_flood_ends_with_what_was_asked_for() -> None:
    began = time.monotonic()
    done = run_command(["yes", "x" * 1000], timeout=60, max_bytes=100_000)
    assert done.truncated and len(done.stdout) == 100_000
    assert time.monotonic() - began < 20


def test_a_process_that_no_signal_ends_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []

    def endless(self, timeout=None):
        waits.append(timeout)
        raise subprocess.TimeoutExpired("x", timeout or 0)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "wait", endless)
        done = run_command(["sleep", "0.2"], timeout=0.1)
    assert done.timed_out and None not in waits


def test_the_home_is_that_of_the_passwd_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """sudo keeps HOME where it is told to: root would write through a path that the user owns."""
    monkeypatch.setenv("HOME", "/srv/elsewhere")
    monkeypatch.setenv("XDG_STATE_HOME", "/srv/elsewhere/state")
    home = pwd.getpwuid(os.geteuid()).pw_dir
    assert runtime.state_dir(True) == f"{home}/.local/state/chainops-lifecycle"
    assert runtime.state_dir(False) == "/var/lib/chainops-lifecycle"


def test_a_uid_without_an_entry_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 3_999_999_999)
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999_999)
    monkeypatch.delenv("SUDO_USER", raising=False)
    with pytest.raises(LifecycleError, match=r"uid 3999999999 has no passwd entry.*become_user"):
        runtime.state_dir(True)
    assert runtime.requester().startswith("uid 3999999999")


NO_SSL = """
import sys
sys.modules["ssl"] = sys.modules["_ssl"] = None
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.parse import parse_probes
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.run import run_probe
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpClient
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import SystemClock, run_command
given = [{"kind": "http", "url": "https://127.0.0.1:9/"}, {"kind": "command", "argv": ["true"]}]
for probe in parse_probes(given):
    print(run_probe(probe, http=HttpClient(), runner=run_command, clock=SystemClock()))
"""


def test_a_python_without_tls_costs_the_probe_that_needs_it_and_no_other() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", NO_SSL], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    first, second = done.stdout.splitlines() or [done.stderr, ""]
    assert "unobservable" in first and "the Python of this host cannot do TLS" in first, done.stdout + done.stderr
    assert "'healthy'" in second
