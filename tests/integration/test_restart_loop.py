# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that systemd starts again in vain, or has forgotten: the plan, check mode and the run say the same of them."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, until

from .recovery_runs import Run, deployed, recover

FILE = "/etc/loop.conf"
# Each try takes a while and the next one comes after a while, so that looks fall into all phases.
UNIT = f"""[Unit]
StartLimitIntervalSec=0
[Service]
Restart=on-failure
RestartSec=2
ExecStart=/bin/sh -c 'sleep 1; test -e {FILE} || {{ echo "ERROR open {FILE}: no such file or directory"; exit 1; }}; exec sleep inf'
"""
ENTRY = {"name": "loop", "thrash_restarts": 1000, "stable_for": 3}


@pytest.fixture(scope="module")
def hosts(fleet: Fleet) -> t.Iterator[Fleet]:
    """On each host the service ``loop``, which needs a file that is not there."""
    with deployed(fleet, "loop", UNIT, f"rm -f {FILE}; systemctl start loop"):
        yield fleet


def tried(fleet: Fleet) -> dict[str, int]:
    said = fleet.each(lambda host: host.run("systemctl", "show", "-P", "NRestarts", "loop").stdout)
    return {name: int(count) for name, count in said.items()}


def looked(hosts: Fleet, folder: Path, *options: str) -> Run:
    return recover(hosts, folder, *options, lifecycle_services=[ENTRY])


def test_what_no_restart_corrects_is_refused_in_each_phase_until_it_was_corrected(hosts: Fleet, tmp_path: Path) -> None:
    until(lambda: min(tried(hosts).values()) > 0, 30, "systemd tries again")
    for options in (("--check",), (), ("--check",), ()):
        run = looked(hosts, tmp_path, *options)
        assert run.outcomes == dict.fromkeys(hosts.hosts, "refused") and run.code == 2, run.output
        assert run.output.count("refuse (cause)") == len(hosts.hosts), run.output
        assert "file_missing" in run.output and "changed=0" in run.output
    hosts.each(lambda host: host.sh(f"touch {FILE}"))
    run = looked(hosts, tmp_path)
    assert run.code == 0 and set(run.outcomes.values()) <= {"self_recovered"}, run.output
    assert "changed=0" in run.output, "systemd has started it"


def test_a_transient_unit_that_is_gone_has_the_cause_of_its_end(hosts: Fleet, tmp_path: Path) -> None:
    said = "ERROR cannot write: No space left on device"
    hosts.each(lambda host: host.run("systemd-run", "--unit=gone", "/bin/sh", "-c", f"sleep 1; echo '{said}'"))
    state = ("systemctl", "show", "-P", "LoadState", "gone")
    until(
        lambda: set(hosts.each(lambda host: host.run(*state).stdout.strip()).values()) == {"not-found"},
        30,
        "systemd has forgotten it",
    )
    argv = ["ansible-playbook", "-i", str(hosts.inventory), "chainops.lifecycle.status"]
    given = json.dumps({"lifecycle_services": ["gone"]})
    shown = subprocess.run(
        [*argv, "-e", given], cwd=tmp_path, env={**os.environ, "ANSIBLE_NOCOLOR": "1"}, capture_output=True, text=True,
        check=False, timeout=300,
    ).stdout  # fmt: skip
    assert shown.count("disk_full") == len(hosts.hosts), shown
