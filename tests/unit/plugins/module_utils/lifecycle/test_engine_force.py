# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL for a stop that hangs and for what a unit has left: when, and what is said of it."""

from __future__ import annotations

import os

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Hold
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.lifecycle.test_engine import (
    UNIT,
    Bench,
    guards,
    started,
    steps,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import Unit

PID = 4242
KILLED = "kill -KILL of left-over processes"


class Processes:
    """What is in the unit's cgroup, and who was killed. ``obeys``: whether a SIGKILL ends it."""

    def __init__(self):
        self.left = []
        self.killed = []
        self.obeys = True

    def kill(self, pid, _signal):
        self.killed.append(pid)
        if self.obeys:
            self.left.remove(pid)


@pytest.fixture
def processes(monkeypatch):
    processes = Processes()
    monkeypatch.setattr(Systemd, "processes", lambda self, group: tuple(processes.left))
    monkeypatch.setattr(os, "kill", processes.kill)
    return processes


@pytest.fixture
def bench(tmp_path, processes):
    return Bench(tmp_path)


def overdue(bench):
    started(bench)
    bench.unit.ignores_term = True
    bench.world._do_stop(["--no-block", "--job-mode=fail", UNIT])
    bench.clock.sleep(300.0)
    bench.world.verbs.clear()


def leaves(bench, processes, *, failed=False):
    started(bench)
    if failed:
        bench.world._on_crash(bench.unit)
    else:
        assert not bench.run("stopped").failed
    processes.left = [PID]
    bench.world.verbs.clear()


def did(outcome):
    return [step.action for step in outcome.transitions if step.action not in ("none", "wait")]


REFUSALS = [
    (lambda b: b.ledger.set_hold(Hold(UNIT, "dba", "flushing", 0.0, None)), {}, "hold"),
    (lambda b: setattr(b.world, "system_state", "stopping"), {}, "host_going_down"),
    (lambda b: None, {"expected_state": ("running",)}, "precondition"),
    (lambda b: None, {"expected_invocation": "another"}, "precondition"),
]


@pytest.mark.parametrize("prepare, options, guard", REFUSALS)
def test_no_stop_is_ended_by_force_that_a_guard_forbids(bench, prepare, options, guard):
    overdue(bench)
    prepare(bench)
    outcome = bench.run("stopped", force_stop=True, **options)
    assert (outcome.failed, outcome.changed, guards(outcome), bench.verbs) == (True, False, [guard], [])


@pytest.mark.parametrize("prepare, options, guard", REFUSALS)
def test_nothing_left_is_killed_that_a_guard_forbids(bench, processes, prepare, options, guard):
    leaves(bench, processes)
    prepare(bench)
    outcome = bench.run("stopped", force_stop=True, **options)
    assert (outcome.failed, outcome.changed, guards(outcome), processes.killed) == (True, False, [guard], [])


def test_an_overdue_stop_is_ended_by_force_although_its_unit_file_is_gone(bench):
    overdue(bench)
    bench.unit.load = "not-found"
    outcome = bench.run("stopped", force_stop=True, wait_timeout=5)
    assert bench.verbs == ["kill"] and steps(outcome)[0] == ("stopping", "force_stop", "stopped")


def test_what_is_left_is_killed_once_and_said_once(bench, processes):
    leaves(bench, processes)
    outcome = bench.run("stopped", force_stop=True)
    assert (outcome.failed, outcome.changed, did(outcome)) == (False, True, [KILLED])
    assert processes.killed == [PID] and bench.run("stopped").changed is False


@pytest.mark.parametrize("force", [True, False])
def test_a_wait_for_what_is_left_has_an_end(bench, processes, force):
    leaves(bench, processes)
    processes.obeys = False
    began = bench.clock.now
    outcome = bench.run("stopped", force_stop=force, wait_timeout=5)
    assert outcome.failed and guards(outcome) == ["leftovers"] and str(PID) in outcome.msg
    assert bench.clock.now - began < 6
    assert did(outcome) == ([KILLED] if force else []) and outcome.changed is force


def test_what_is_left_may_end_by_itself(bench, processes, monkeypatch):
    leaves(bench, processes)
    ends = bench.clock.now + 3
    monkeypatch.setattr(Systemd, "processes", lambda self, group: (PID,) if bench.clock.now < ends else ())
    outcome = bench.run("stopped", wait_timeout=5)
    assert (outcome.failed, outcome.changed) == (False, False), outcome.msg


def test_a_unit_that_is_started_while_its_left_overs_end_is_stopped_too(bench, processes):
    leaves(bench, processes)
    processes.obeys = False
    bench.world._later(bench.unit, 1.0, "begin")
    outcome = bench.run("stopped", wait_timeout=5, force_stop=True)
    assert (bench.verbs, did(outcome), outcome.after.state) == (["stop"], [KILLED, "systemctl stop"], "stopped")


@pytest.mark.parametrize("failed, recovery", [(False, "restart"), (True, "restart"), (True, "reset_start")])
def test_a_start_by_force_waits_until_nothing_is_left(bench, processes, failed, recovery):
    leaves(bench, processes, failed=failed)
    outcome = bench.run(recovery=recovery, force_stop=True)
    assert not outcome.failed, outcome.msg
    reset = ["systemctl reset-failed"] if recovery == "reset_start" else []
    assert did(outcome) == [KILLED, *reset, "systemctl start"] and processes.killed == [PID]


def test_no_start_is_made_over_what_cannot_be_killed(bench, processes):
    leaves(bench, processes)
    processes.obeys = False
    bench.world.commands["/bin/check"] = Completed(0, b"", b"")
    outcome = bench.run(force_stop=True, wait_timeout=5, config_check=("/bin/check",))
    assert outcome.failed and guards(outcome) == ["leftovers"] and outcome.changed
    assert (bench.verbs, did(outcome)) == ([], [KILLED])
    assert bench.world.calls == [("/bin/check",)], "it is not run in each round"


@pytest.mark.parametrize("failed, recovery", [(False, "restart"), (True, "restart"), (True, "reset_start")])
@pytest.mark.parametrize("check_mode", [True, False])
def test_a_start_over_left_overs_is_refused_before_the_evidence_is_cleared(
    bench, processes, failed, recovery, check_mode
):
    leaves(bench, processes, failed=failed)
    outcome = bench.run(recovery=recovery, check_mode=check_mode)
    assert (outcome.failed, outcome.changed, guards(outcome), bench.verbs) == (True, False, ["leftovers"], [])


def test_a_failed_oneshot_is_not_reset_for_a_start_that_is_refused(tmp_path):
    bench = Bench(tmp_path, Unit(UNIT, type="oneshot", start_fails=True))
    assert bench.run("restarted").failed
    bench.world.verbs.clear()
    bench.clock.sleep(60.0)
    outcome = bench.run(recovery="reset_start")
    assert (outcome.changed, guards(outcome), bench.verbs) == (False, ["oneshot"], [])


def planned(outcome):
    return [(step.source, step.trigger, step.target) for step in outcome.transitions if not step.applied]


def stop_overdue(bench, processes):
    overdue(bench)


@pytest.mark.parametrize(
    "prepare, plan",
    [
        (stop_overdue, [("stopping", "force_stop", "stopped")]),
        (leaves, [("stopped", "force_stop", "stopped")]),
    ],
)
def test_check_mode_shows_what_would_be_killed(bench, processes, prepare, plan):
    prepare(bench, processes)
    outcome = bench.run("stopped", force_stop=True, check_mode=True)
    assert (outcome.failed, outcome.changed, planned(outcome)) == (False, True, plan)
    assert (bench.verbs, processes.killed) == ([], [])
    real = bench.run("stopped", force_stop=True)
    assert not real.failed and steps(real) == plan


@pytest.mark.parametrize("prepare, guard", [(stop_overdue, "force_stop"), (leaves, "leftovers")])
@pytest.mark.parametrize("held", [True, False])
def test_check_mode_says_what_forbids_the_kill(bench, processes, prepare, guard, held):
    prepare(bench, processes)
    if held:
        bench.ledger.set_hold(Hold(UNIT, "dba", "flushing", 0.0, None))
    outcome = bench.run("stopped", force_stop=held, check_mode=True)
    assert (outcome.failed, outcome.changed, guards(outcome)) == (True, False, ["hold" if held else guard])
    real = bench.run("stopped", force_stop=held, wait_timeout=5)
    assert guards(real) == guards(outcome)


@pytest.mark.parametrize("failed, recovery", [(False, "restart"), (True, "restart"), (True, "reset_start")])
def test_check_mode_shows_the_kill_before_a_start(bench, processes, failed, recovery):
    leaves(bench, processes, failed=failed)
    plan = planned(bench.run(recovery=recovery, force_stop=True, check_mode=True))
    assert plan == steps(bench.run(recovery=recovery, force_stop=True)) and plan[0][1] == "force_stop"
