# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twenty services of one host, three whose stop is stubborn and two whose start hangs: none waits for another."""

from __future__ import annotations

import json
import os
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host

from .conftest import FleetMaker, service_suite

TOOLS = Path(__file__).resolve().parents[2] / ".venvs/events/bin"
PARALLEL = 4
QUICK = [f"quick-{number}" for number in range(15)]
STUBBORN = [f"stubborn-{number}" for number in range(3)]
HANGING = [f"hanging-{number}" for number in range(2)]
PATIENCE = 40
# The time limit runs from the first look, a little before the start.
BEFORE_THE_START = 5
UNITS = {
    "quick": "Type=exec\nExecStart=/usr/bin/sleep infinity",
    "stubborn": "Type=exec\nTimeoutStopSec=8\nExecStart=/bin/sh -c \"trap '' TERM; while :; do sleep 1; done\"",
    "hanging": "Type=notify\nTimeoutStartSec=infinity\nExecStart=/usr/bin/sleep infinity",
}
# The first is described before what it requires, and that has failed as well.
FIRST, REQUIRED = QUICK[0], QUICK[14]
BREAK = """
for unit in $1; do systemctl start $unit; systemctl kill --signal=KILL $unit; done
for unit in $2; do systemctl start $unit; kill -STOP $(systemctl show -P MainPID $unit); done
for unit in $1; do until systemctl is-failed -q $unit; do sleep 0.1; done; done
"""


class Played(t.NamedTuple):
    seconds: float
    output: str
    results: dict[str, dict[str, t.Any]]

    def lines(self) -> list[str]:
        """The names of the services in the order in which the run has said how they ended."""
        said = [line for line in self.output.splitlines() if line.startswith("[s1] ")]
        return [line.split()[1].rstrip(":") for line in said]


@pytest.fixture(scope="module")
def fleet(make_fleet: FleetMaker) -> Fleet:
    fleet = make_fleet(Group("s", 1, service_suite()))
    host = fleet["s1"]
    for name in (*QUICK, *STUBBORN, *HANGING):
        unit = f"[Unit]\nRequires={REQUIRED}.service\n" if name == FIRST else ""
        host.push_text(f"/etc/systemd/system/{name}.service", f"{unit}[Service]\n{UNITS[name.partition('-')[0]]}\n")
    host.sh("systemctl daemon-reload")
    return fleet


def recover(fleet: Fleet, folder: Path, *options: str) -> Played:
    described = [
        *HANGING,
        *STUBBORN,
        *QUICK,
    ]
    services = [{"name": name, "wait_timeout": PATIENCE if name in HANGING else 120} for name in described]
    book = {
        "hosts": "all",
        "gather_facts": False,
        "vars": {"lifecycle_services": services, "service_recovery_fail": False, "service_recovery_report": False},
        "tasks": [
            {"include_role": {"name": "chainops.lifecycle.service_recovery"}},
            {
                "copy": {"content": "{{ service_recovery_result | to_json }}", "dest": str(folder / "result.json")},
                "delegate_to": "localhost",
                "check_mode": False,
                "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}", "ansible_connection": "local"},
            },
        ],
    }
    (folder / "book.yml").write_text(json.dumps([book]))
    argv = ["ansible-playbook", "-i", str(fleet.inventory), str(folder / "book.yml"), *options]
    environment = {**os.environ, "ANSIBLE_PIPELINING": "1", "ANSIBLE_NOCOLOR": "1"}
    began = time.monotonic()
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=500)
    took = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((folder / "result.json").read_text())
    return Played(took, done.stdout, {one["name"]: one for one in results})


def began(result: dict[str, t.Any]) -> float:
    return float(next(step["started"] for step in result["transitions"] if step["action"] != "none"))


def span(result: dict[str, t.Any]) -> tuple[float, float]:
    """From the first act to its end, on the host's clock: a start that hangs is waited for until its patience ends."""
    if not result["reached"]:
        return began(result), began(result) + PATIENCE - BEFORE_THE_START
    steps = [step for step in result["transitions"] if step.get("duration") is not None]
    return began(result), max(step["started"] + step["duration"] for step in steps)


def most_at_once(spans: t.Sequence[tuple[float, float]]) -> int:
    return max(sum(start <= moment < end for start, end in spans) for moment, _end in spans)


@pytest.fixture(scope="module")
def broken(fleet: Fleet) -> Host:
    host = fleet["s1"]
    host.sh(BREAK, " ".join(QUICK), " ".join(STUBBORN))
    return host


def test_check_mode_touches_nothing(fleet: Fleet, broken: Host, tmp_path: Path) -> None:
    before = broken.sh("systemctl show -p Id,ActiveState,InvocationID 'quick-*' 'stubborn-*' 'hanging-*'").stdout
    played = recover(fleet, tmp_path, "--check")
    assert (
        broken.sh("systemctl show -p Id,ActiveState,InvocationID 'quick-*' 'stubborn-*' 'hanging-*'").stdout == before
    )
    planned = {name for name, one in played.results.items() if one["reached"]}
    assert planned == {*QUICK, *STUBBORN, *HANGING} and played.lines() == []


def test_none_waits_for_another(fleet: Fleet, broken: Host, tmp_path: Path) -> None:
    played = recover(fleet, tmp_path)
    results = played.results
    assert {name for name, one in results.items() if not one["reached"]} == set(HANGING), played.output
    spans = {name: span(one) for name, one in results.items()}
    together = sum(one["duration"] for one in results.values())
    print(f"20 services, {PARALLEL} at a time: {played.seconds:.0f} s, one by one {together:.0f} s")
    # Whatever the machine's speed: services were at work beside each other all the time, and never too many.
    lasted = max(end for _start, end in spans.values()) - min(start for start, _end in spans.values())
    assert together > 2 * lasted, spans
    assert 3 <= most_at_once(list(spans.values())) <= PARALLEL
    # And it was said of each as it ended.
    lines = played.lines()
    assert sorted(lines) == sorted(results) and not set(lines[:8]) & set(HANGING), lines
    # Each as if it were alone: its dependencies, its attempts, its lock.
    assert began(results[REQUIRED]) < began(results[FIRST])
    attempts = json.loads(broken.read_text(f"/var/lib/chainops-lifecycle/attempts/{QUICK[3]}.service.json"))
    assert [attempt["outcome"] for attempt in attempts] == ["verified"]
    hung = json.loads(broken.read_text(f"/var/lib/chainops-lifecycle/attempts/{HANGING[0]}.service.json"))
    assert [attempt["outcome"] for attempt in hung] == ["failed"], "one start, however many slices"
    held = "for lock in /run/chainops-lifecycle/*.lock; do flock -n $lock true || echo $lock; done"
    assert broken.sh(held).stdout == ""
    up = broken.sh(f"systemctl is-active {' '.join((*QUICK, *STUBBORN))}").stdout.split()
    assert up == ["active"] * 18


# The tasks that a job has once, however many hosts it has.
ONCE = {"Check the variables before any host is touched", "Observe the networks of Besu", "Plan", "Show the summary"}


def kill(host: Host, names: t.Sequence[str]) -> None:
    host.sh(BREAK, " ".join(names), "")
    host.sh("rm -f /var/lib/chainops-lifecycle/attempts/quick-*")  # those of the tests before


def played(fleet: Fleet, folder: Path, services: t.Sequence[str]) -> tuple[list[str], list[dict[str, t.Any]]]:
    """What the playbook recover prints in a job with services of one host in need, and its events as AWX stores them."""
    (folder / "project").mkdir(parents=True)
    (folder / "project/book.yml").write_text(json.dumps([{"import_playbook": "chainops.lifecycle.recover"}]))
    (folder / "answers.json").write_text(
        json.dumps({"lifecycle_services": services, "lifecycle_max_unhealthy": "100%"})
    )
    argv = [TOOLS / "ansible-runner", "run", folder, "-p", "book.yml", "--inventory", fleet.inventory]
    done = subprocess.run(
        [*map(str, argv), "--cmdline", f"-e @{folder}/answers.json"],
        env={**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    paths = sorted(folder.glob("artifacts/*/job_events/*-*.json"), key=lambda path: int(path.name.partition("-")[0]))
    return done.stdout.splitlines(), [json.loads(path.read_text()) for path in paths]


def test_a_job_prints_few_lines_and_its_events_are_few(fleet: Fleet, tmp_path: Path) -> None:
    """8 services in need cost at most 5 lines each and 20 more; 4 of a host, at most 25 kB of events."""
    kill(fleet["s1"], QUICK[1:9])
    lines, _events = played(fleet, tmp_path / "lines", QUICK[1:9])
    assert "s1: 8 RECOVERED: quick-1, quick-2" in "\n".join(lines) and "{" not in "".join(lines)
    kill(fleet["s1"], QUICK[1:5])
    _lines, events = played(fleet, tmp_path / "events", QUICK[1:5])
    whole = sum(len(json.dumps(event)) for event in events)
    of_host = [event for event in events if event["event_data"].get("task") not in {None, *ONCE}]
    of_host = [event for event in of_host if event["event"].startswith("runner_") or event["event"] == "verbose"]
    size = sum(len(json.dumps(event)) for event in of_host)
    print(f"{len(lines)} lines for 8 services in need")
    print(
        f"{size} bytes of {len(of_host)} events for a host with 4 services in need; {whole} bytes for the whole job of one"
    )
    assert len(lines) <= 5 * 8 + 20, "\n".join(lines)
    assert size <= 25_000
