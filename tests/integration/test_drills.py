# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills on real hosts: each fault is made, shown and undone, by the host itself where nobody else does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Host
from ansible_collections.chainops.lifecycle.tests.support.lab.host import until

from .conftest import service_suite

HERE = Path(__file__).parent
ENTRY = {"name": "drilled", "drill": True, "stable_for": 1}
# It listens, and ends where it could not write any more: to write itself would make room for what is to fill the disk.
PROGRAM = """
import os, socket, time
taken = socket.create_server(("", 8099))
while True:
    room = os.statvfs("/srv/drilled")
    if room.f_bavail * room.f_frsize < 2 ** 22:
        raise OSError(28, "No space left on device", "/srv/drilled/data")
    time.sleep(0.2)
"""
UNIT = "[Service]\nExecStart=/usr/bin/python3 /usr/local/lib/drilled.py\n"
Result = dict[str, t.Any]


class Drilled(t.NamedTuple):
    """A host with the service ``drilled``."""

    fleet: Fleet
    host: Host
    folder: Path

    def fault(self, **options: t.Any) -> Result:
        """Run the module on the host."""
        task = {"chainops.lifecycle.service_fault": {"service": ENTRY, "wait_timeout": 20, **options}}
        (self.folder / "play.yml").write_text(
            json.dumps([{"hosts": self.host.name, "gather_facts": False, "tasks": [{"name": "it", **task}]}])
        )
        results = self.folder / "results"
        results.unlink(missing_ok=True)
        more = {
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "write_results",
            "LIFECYCLE_RESULTS": str(results),
        }
        argv = ["ansible-playbook", "-i", str(self.fleet.inventory), str(self.folder / "play.yml")]
        env = {**os.environ, "ANSIBLE_PIPELINING": "1", "ANSIBLE_NOCOLOR": "1", **more}
        ended = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=300)
        assert results.exists(), ended.stdout + ended.stderr
        return t.cast("Result", json.loads(results.read_text().splitlines()[0])["result"])

    def playbook(self, fault: str, **given: t.Any) -> subprocess.Popen[str]:
        """Start the playbook, as the leader of a group of processes."""
        known = {
            "lifecycle_target": self.host.name,
            "lifecycle_services": [ENTRY],
            "lifecycle_drill_service": f"{self.host.name}/drilled",
            "lifecycle_drill_fault": fault,
            **given,
        }
        argv = [
            "ansible-playbook",
            "-i",
            str(self.fleet.inventory),
            "chainops.lifecycle.drill",
            "-e",
            json.dumps(known),
        ]
        env = {**os.environ, "ANSIBLE_PIPELINING": "1", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_SHOW_CUSTOM_STATS": "1"}
        return subprocess.Popen(
            argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    @property
    def kept(self) -> list[tuple[str, str]]:
        """The drills that the host keeps, each with its outcome."""
        text = self.host.run("cat", "/var/lib/chainops-lifecycle/drills/drilled.service.json").stdout
        return [(one["fault"], one["outcome"]) for one in json.loads(text)]

    def show(self, unit: str, name: str) -> str:
        return self.host.run("systemctl", "show", unit, "--value", "-p", name).stdout.strip()

    def is_armed(self) -> bool:
        return self.show("chainops-lifecycle-drill-undo.timer", "ActiveState") == "active"

    def main_state(self) -> str:
        """The state letter of its main process."""
        pid = self.show("drilled", "MainPID")
        return self.host.run("ps", "-o", "state=", "-p", pid, check=False).stdout.strip()

    def start(self) -> None:
        self.host.sh("systemctl reset-failed drilled 2>/dev/null || true; systemctl restart drilled")


@pytest.fixture
def drilled(fleet: Fleet, host: Host, tmp_path: Path) -> t.Iterator[Drilled]:
    yield from install(fleet, host, tmp_path)


@pytest.fixture
def drilled_once(fleet: Fleet, tmp_path: Path) -> t.Iterator[Drilled]:
    """On one host, for what is the controller's part."""
    yield from install(fleet, fleet[f"{service_suite()}1"], tmp_path)


def install(fleet: Fleet, host: Host, tmp_path: Path) -> t.Iterator[Drilled]:
    host.push_text("/usr/local/lib/drilled.py", PROGRAM)
    host.push_text("/etc/systemd/system/drilled.service", UNIT)
    host.sh("mkdir -p /srv/drilled; mount -t tmpfs -o size=16m tmpfs /srv/drilled; systemctl daemon-reload")
    one = Drilled(fleet, host, tmp_path)
    one.start()
    yield one
    host.sh(
        "systemctl stop chainops-lifecycle-drill-undo.timer chainops-lifecycle-drill-holder drilled 2>/dev/null || true;"
        "umount -l /srv/drilled; rm /etc/systemd/system/drilled.service; systemctl daemon-reload;"
        "rm -rf /var/lib/chainops-lifecycle /run/chainops-lifecycle"
    )


@pytest.mark.alike
def test_each_fault_shows_and_is_taken_away(drilled: Drilled) -> None:
    shown: dict[str, tuple[str, str]] = {}
    for fault, more in {
        "killed": {},
        "stopped": {},
        "hung": {},
        "port_taken": {"port": 8099},
        "disk_full": {"path": "/srv/drilled"},
    }.items():
        made = drilled.fault(fault=fault, **more)
        assert made["reached"] and made["changed"], made
        assert made["drill"]["detected_after"] is not None and drilled.is_armed(), made
        shown[fault] = (made["state"], made["drill"]["detected_as"])
        lifted = drilled.fault(state="lifted")
        assert lifted["changed"] and drilled.is_armed(), lifted
        assert drilled.show("chainops-lifecycle-drill-holder", "ActiveState") == "inactive"
        if fault != "hung":
            drilled.start()
        ended = drilled.fault(state="absent")
        assert ended["reached"] and ended["state"] == "running" and not drilled.is_armed(), ended
        assert ended["drill"]["outcome"] == "recovered" and ended["drill"]["lost"] > 0, ended
    assert [state for state, _shown in shown.values()] == ["error", "stopped", "error", "error", "error"], shown
    assert drilled.kept == [(fault, "recovered") for fault in shown]


@pytest.mark.alike
def test_the_host_undoes_what_nobody_ends(drilled: Drilled) -> None:
    """As where the controller is gone for good once the fault is there."""
    made = drilled.fault(fault="hung", undo_after=30)
    assert made["state"] == "error" and drilled.main_state() == "T", made
    until(lambda: drilled.main_state() == "S", 45, "the host lets the process go on")
    until(lambda: not drilled.is_armed(), 10, "the timer is gone")
    made = drilled.fault(fault="port_taken", port=8099, undo_after=30)
    assert made["state"] == "error" and drilled.show("drilled", "ActiveState") == "failed", made
    until(lambda: drilled.show("drilled", "ActiveState") == "active", 45, "the host frees the port and starts it")
    drilled.host.sh("sh /run/chainops-lifecycle/drill-undo; sh /run/chainops-lifecycle/drill-undo")
    assert drilled.show("drilled", "ActiveState") == "active"


@pytest.mark.alike
def test_what_the_guards_of_a_restart_refuse_no_drill_does(drilled: Drilled) -> None:
    refusals = []
    for options in (
        {"fault": "killed", "service": {"name": "drilled"}},
        {"fault": "disk_full", "path": "/var/lib"},
        {"fault": "port_taken", "port": 22},
    ):
        refused = drilled.fault(**options)
        assert refused["failed"] and not refused["reached"], refused
        refusals.append(refused["blocked_by"][0]["guard"])
    assert refusals == ["drill", "fault", "fault"]
    drilled.host.sh(
        "mkdir -p /var/lib/chainops-lifecycle/holds; chmod -R go= /var/lib/chainops-lifecycle;"
        'echo \'{"scope": "drilled.service", "owner": "ann", "reason": "she works on it", "since": 1.0}\''
        " >/var/lib/chainops-lifecycle/holds/drilled.service.json"
    )
    refused = drilled.fault(fault="killed")
    assert [one["guard"] for one in refused["blocked_by"]] == ["hold"], refused
    assert drilled.show("drilled", "ActiveState") == "active" and not drilled.is_armed()


def outcome_of(run: subprocess.Popen[str]) -> tuple[dict[str, t.Any], str]:
    output, _none = run.communicate(timeout=300)
    stats = re.search(r"RUN: (\{.*\})", output)
    assert stats, output
    return t.cast("dict[str, t.Any]", json.loads(stats[1])["lifecycle_outcome"]["entries"][0]), output


def test_the_playbook_recovers_and_a_controller_that_is_killed_leaves_nothing_behind(drilled_once: Drilled) -> None:
    drilled = drilled_once
    gone = drilled.playbook("hung", lifecycle_drill_undo_after=45, lifecycle_drill_detect_within=20)
    until(lambda: drilled.main_state() == "T", 120, "the process hangs")
    os.killpg(gone.pid, signal.SIGKILL)
    gone.communicate(timeout=60)
    assert drilled.main_state() == "T" and drilled.is_armed()
    until(lambda: drilled.main_state() == "S", 90, "the host lets the process go on")
    until(lambda: not drilled.is_armed(), 10, "the timer is gone")

    entry, output = outcome_of(drilled.playbook("killed"))
    assert entry["outcome"] == "recovered" and re.search(r"healthy again after \d+\.\d s", output), output
    entry, output = outcome_of(drilled.playbook("port_taken", lifecycle_drill_port=8099))
    assert entry["outcome"] == "recovered", output
    assert "recovery: not reached (cause): address_in_use" in output and "without the fault: reached" in output, output
    assert drilled.kept == [("hung", "abandoned"), ("killed", "recovered"), ("port_taken", "recovered")]
    assert not drilled.is_armed() and drilled.show("drilled", "ActiveState") == "active"
