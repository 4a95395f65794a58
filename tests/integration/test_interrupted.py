# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Killed at any step, rebooted, powered off, cut off: the same task again converges and acts within its budget."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host, until
from ansible_collections.chainops.lifecycle.tests.support.lab.faults import FaultUnit, install_fault_units

from .conftest import selected_suites
from .shipping import REMOTE, run_driver, ship

DRIVERS = ("engine_on_host.py", "interrupted_driver.py")
KINDS = ("java", "always", "stubborn", "leftover", "slow-start")
REACHED = {
    "start": "running", "restart": "running", "stop": "stopped", "recover": "running", "reset and start": "running",
    "reset": "stopped", "end a crash loop": "running", "stop by force": "stopped", "end what is left": "stopped",
}  # fmt: skip
ACTIVE = {"running": "active", "stopped": "inactive"}
SLOW = {"name": "fault-slow-start", "state": "running", "attempt_backoff": 0.1, "wait_timeout": 30}

Case = dict[str, t.Any]


@pytest.fixture(scope="module")
def hosts(make_fleet: t.Callable[..., Fleet], request: pytest.FixtureRequest) -> Fleet:
    """Hosts of their own: they get rebooted."""
    fleet = make_fleet(*(Group(suite, 1, suite) for suite in selected_suites(request)))
    fleet.each(_equip)
    return fleet


def _equip(host: Host) -> None:
    ship(host, *DRIVERS)
    install_fault_units(host, KINDS)


@pytest.fixture(scope="module")
def cases(hosts: Fleet) -> dict[str, list[Case]]:
    """suite -> every scenario killed at every moment. The hosts work at the same time."""
    done = hosts.each(lambda host: run_driver(host, "interrupted_driver.py", timeout=1800))
    return {hosts[name].suite: rows for name, rows in done.items()}


@pytest.mark.alike
def test_killed_at_each_effect(cases: dict[str, list[Case]], suite: str, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for case in cases[suite]:
        wrong += [f"{case['scenario']} killed at {case['deadly']}: {what}" for what in faults_of(case)]
    killed = sum(case["killed"] for case in cases[suite])
    with capsys.disabled():
        print(
            f"\n{suite}: killed {killed} times in {len(REACHED)} scenarios, {len(wrong)} did not converge as they must"
        )
    assert wrong == []
    assert {case["scenario"] for case in cases[suite]} == REACHED.keys()


def faults_of(case: Case) -> t.Iterator[str]:
    """What is wrong with a case."""
    wanted, second = REACHED[case["scenario"]], case["second"]
    if second is None or not second["reached"] or second["state"] != wanted:
        yield f"the second run ended with {case['msg']} {second}"
    if not case["killed"] and (case["status"] != 0 or not case["first"]["reached"]):
        yield f"undisturbed it ended with {case['status']}: {case['first']}"
    if not case["killed"] and second and second["changed"] and case["scenario"] != "restart":
        yield "after an undisturbed run the second one acted"
    if case["shown"]["ActiveState"] != ACTIVE[wanted] or case["shown"]["Job"] not in ("", "0"):
        yield f"systemd shows {case['shown']}"
    if len(case["starts"]) > case["may_start"]:
        yield f"{len(case['starts'])} starts, allowed are {case['may_start']}"
    if case["locks"]:
        yield f"locks are left: {case['locks']}"
    for name, record in case["records"].items():
        if not isinstance(record, list) or len(record) > 3:
            yield f"the ledger has {name}: {record}"
        elif wanted == "running" and record[-1]["outcome"] != "verified":
            yield f"it runs, proved by a run, and the ledger says {record[-1]}"


@pytest.mark.alike
def test_every_moment_was_tried(cases: dict[str, list[Case]], suite: str) -> None:
    for name in REACHED:
        last = [case for case in cases[suite] if case["scenario"] == name][-1]
        # A look more or less at left-over processes makes a moment more or less.
        assert last["moments"] is not None and 0 <= last["deadly"] - len(last["moments"]) - 1 <= 2, last
    tried = {moment for case in cases[suite] if case["moments"] for moment in case["moments"]}
    verbs = ("systemctl start", "systemctl stop", "systemctl restart", "systemctl reset-failed", "systemctl kill")
    assert tried >= {f"{when} {what}" for when in ("before", "after") for what in (*verbs, "os.replace", "os.kill")}


@pytest.mark.parametrize("how", ["reboot", "power cut"])
def test_the_host_goes_away_in_the_middle(hosts: Fleet, how: str) -> None:
    def interrupt(host: Host) -> tuple[Case, int]:
        unit = FaultUnit(host, "fault-slow-start")
        unit.systemctl("stop")
        host.sh("rm -rf /var/lib/chainops-lifecycle /var/lib/faultd/fault-slow-start.events")
        run = host.popen("python3", f"{REMOTE}/engine_on_host.py", json.dumps(SLOW), stdout=subprocess.PIPE)
        until(lambda: unit.events("start"), 30, "the engine has asked for a start")
        if how == "reboot":
            host.reboot()
        else:
            host.power_cut()
        run.wait(timeout=60)
        again = host.run("python3", f"{REMOTE}/engine_on_host.py", json.dumps(SLOW)).stdout
        return json.loads(again), len(unit.events("start"))

    for name, (result, starts) in hosts.each(interrupt).items():
        assert (result["reached"], result["state"], result["changed"]) == (True, "running", True), (name, result)
        assert starts == 2, (name, "one before it went away and one after", starts)
        assert result["attempts"]["used"] <= 2, (name, result["attempts"])


def test_the_connection_is_lost_in_the_middle(hosts: Fleet, tmp_path: Path) -> None:
    for host in hosts.hosts.values():
        host.sh(
            "systemctl stop fault-slow-start; rm -rf /var/lib/chainops-lifecycle /var/lib/faultd/*slow-start.events"
        )
    units = [FaultUnit(host, "fault-slow-start") for host in hosts.hosts.values()]
    argv = ["ansible", "all", "-i", str(hosts.inventory), "-m", "chainops.lifecycle.service", "-a", json.dumps(SLOW)]
    first = subprocess.Popen(
        argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    until(lambda: all(unit.events("start") for unit in units), 60, "every host has begun to start it")
    for host in hosts.hosts.values():
        host.unplug()  # nothing can say goodbye
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    for host in hosts.hosts.values():
        host.unplug(False)
        host.drop_connections()
    deadline = time.monotonic() + 60
    while True:
        again = subprocess.run([*argv, "--one-line"], cwd=tmp_path, capture_output=True, text=True, check=False)
        if again.returncode == 0 or time.monotonic() > deadline:
            break
        assert re.search("is locked by|UNREACHABLE", again.stdout), again.stdout + again.stderr
    assert again.returncode == 0, again.stdout + again.stderr
    for unit in units:
        assert unit.show("ActiveState")["ActiveState"] == "active"
        assert len(unit.events("start")) == 1, (unit, "the start that was under way was not made twice")
