# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine against a service manager in virtual time."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import resolved
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.actions import HostServices
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.engine import Engine
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import AUTO_RESTART, Limits
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService, Observer
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Hold, Records
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Request
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import (
    Unit,
    VirtualClock,
    World,
)

UNIT = "api.service"


@dataclass(frozen=True)
class Cause:
    id: str = "exit_code"
    severity: str = "soft"
    summary: str = "it exited"
    next_step: str = "look at its log"
    evidence: tuple = ()


@dataclass(frozen=True)
class Diagnosis:
    ports = ()
    primary: Cause
    failed_at: float | None = None

    def as_dict(self):
        return {"causes": [{"id": self.primary.id}]}


class Bench:
    """One host with one service, and a way to run the engine on it."""

    def __init__(self, tmp_path, unit=None, cause=None, others=()):
        self.folder = tmp_path
        self.clock = VirtualClock()
        self.unit = unit or Unit(UNIT)
        self.world = World(self.clock, self.unit, *others)
        self.ledger = Records(self.clock, str(tmp_path / "state"), str(tmp_path / "run"))
        self.cause = cause or Cause()
        self.diagnosed = []
        self.failed_at = None
        self.kind = Kind()
        self.health = None

    def run(self, target="running", limits=None, name=UNIT, **options):
        systemd = Systemd(self.world, cgroup_root="/nonexistent")
        observer = Observer(systemd, self.clock, lambda unit, window: None)
        watched = MonitoredService("api", name, self.kind, limits or Limits(), self.health)
        options.setdefault("owner", "test")
        request = Request(target=target, **options)
        return Engine(
            watched, request, observer, HostServices(systemd, self.ledger, self.clock, self.world), self._why
        ).run()

    def _why(self, observation):
        self.diagnosed.append(observation.state)
        last = observation.loops or (observation.facts is not None and observation.facts.sub in AUTO_RESTART)
        return Diagnosis(self.cause, self.failed_at if last else None)

    def wait_files(self):
        return sorted((self.folder / "run").glob("*.wait.*"))

    @property
    def verbs(self):
        return [verb for verb, _unit in self.world.verbs]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def started(bench):
    assert not bench.run().failed
    bench.world.verbs.clear()


def steps(outcome):
    return [(s.source, s.trigger, s.target) for s in outcome.transitions]


def guards(outcome):
    return [block.guard for block in outcome.blocked_by]


def test_start_from_stopped(bench):
    outcome = bench.run()
    assert (outcome.failed, outcome.changed, outcome.after.state) == (False, True, "running")
    assert bench.verbs == ["start"]
    assert steps(outcome) == [("stopped", "start", "starting"), ("starting", "initialized", "running")]


def test_second_run_changes_nothing(bench):
    started(bench)
    outcome = bench.run()
    assert (outcome.changed, outcome.failed, bench.verbs, steps(outcome)) == (False, False, [], [])


def test_restart_is_a_new_invocation(bench):
    started(bench)
    outcome = bench.run("restarted")
    assert not outcome.failed, outcome.msg
    assert bench.verbs == ["restart"]
    assert outcome.after.facts.invocation != outcome.before.facts.invocation
    assert steps(outcome)[0] == ("running", "restart", "restarting")


def test_stop(bench):
    started(bench)
    outcome = bench.run("stopped")
    assert (outcome.failed, outcome.changed, outcome.after.state, bench.verbs) == (False, True, "stopped", ["stop"])
    assert bench.run("stopped").changed is False


@pytest.mark.parametrize("recovery, verbs", [("restart", ["start"]), ("reset_start", ["reset-failed", "start"])])
def test_recover_from_error(bench, recovery, verbs):
    bench.unit.start_fails = True
    assert bench.run().failed
    bench.world.verbs.clear()
    bench.unit.start_fails = False
    bench.clock.sleep(60)
    outcome = bench.run(recovery=recovery)
    assert not outcome.failed, outcome.msg
    assert outcome.budget.used == 2, "a start that failed, and an attempt to recover"
    assert (bench.verbs, outcome.changed) == (verbs, True)
    assert outcome.before.state == "error"
    assert outcome.diagnosis is not None


def test_recovery_never_refuses_and_explains(bench):
    bench.unit.start_fails = True
    bench.run()
    bench.world.verbs.clear()
    outcome = bench.run(recovery="never")
    assert outcome.failed and not outcome.changed and bench.verbs == []
    assert guards(outcome) == ["edge"] and outcome.diagnosis is not None


def test_failed_start_ends_at_once(bench):
    bench.unit.start_fails = True
    before = bench.clock.now
    outcome = bench.run(wait_timeout=300)
    assert outcome.failed and outcome.after.state == "error" and outcome.after.cause == "exit_code"
    assert bench.clock.now - before < 1.0
    assert outcome.changed, "something was done, so it has to be said"


def test_simple_service_that_dies_after_start_is_not_running(tmp_path):
    bench = Bench(tmp_path, Unit(UNIT, type="simple", start_fails=True, start_takes=1.0))
    outcome = bench.run()
    assert outcome.failed and outcome.after.state == "error"


def test_stable_for_is_waited_for(tmp_path):
    bench = Bench(tmp_path, Unit(UNIT, type="simple"))
    before = bench.clock.now
    assert not bench.run(stable_for=7.0).failed
    assert 7.0 <= bench.clock.now - before < 9.0
    before = bench.clock.now
    assert not bench.run(stable_for=7.0).failed
    assert bench.clock.now - before < 0.2, "it has held that long already"


def test_crash_loop_is_an_error_and_is_recovered(tmp_path):
    bench = Bench(tmp_path, Unit(UNIT, type="simple", crash_after=0.5, restart="always", restart_sec=3.0))
    outcome = bench.run(wait_timeout=120)
    assert outcome.failed and outcome.after.cause == "crash_loop"
    bench.unit.crash_after = None
    bench.world.verbs.clear()
    bench.clock.sleep(2)
    outcome = bench.run(recovery="reset_start")
    assert not outcome.failed, outcome.msg
    assert (outcome.before.cause, bench.verbs) == ("crash_loop", ["restart"]), "no stop that others would feel"


def test_wait_for_a_start_that_somebody_else_made(bench):
    bench.unit.start_takes = 5.0
    bench.world(("systemctl", "start", "--no-block", "--job-mode=fail", UNIT), timeout=1)
    bench.clock.sleep(0.1)
    bench.world.verbs.clear()
    outcome = bench.run()
    assert (outcome.failed, outcome.changed, outcome.after.state, bench.verbs) == (False, False, "running", [])


def test_start_that_takes_too_long_is_recoverable(bench):
    bench.unit.start_takes = 10_000.0
    bench.world(("systemctl", "start", "--no-block", "--job-mode=fail", UNIT), timeout=1)
    bench.clock.sleep(700)
    bench.unit.start_takes = 0.2
    outcome = bench.run(recovery="reset_start")
    assert outcome.before.cause == "start_timeout"
    assert not outcome.failed, outcome.msg
    assert bench.verbs[-2:] == ["cancel", "restart"]


def test_stop_that_hangs_needs_leave_to_kill(bench):
    started(bench)
    bench.unit.ignores_term = True
    outcome = bench.run("stopped", limits=Limits(stop=5), wait_timeout=60)
    assert outcome.failed and guards(outcome) == ["force_stop"]
    outcome = bench.run("stopped", limits=Limits(stop=5), wait_timeout=60, force_stop=True)
    assert not outcome.failed, outcome.msg
    assert "kill" in bench.verbs and outcome.after.state == "stopped"


@pytest.mark.parametrize("force", [False, True])
def test_a_restart_whose_stop_hangs_needs_leave_to_kill_and_goes_on(bench, force):
    started(bench)
    bench.unit.ignores_term = True
    outcome = bench.run("restarted", limits=Limits(stop=5), wait_timeout=60, force_stop=force)
    assert (outcome.failed, outcome.duration < 7) == (not force, True), outcome.msg
    assert guards(outcome) == ([] if force else ["force_stop"])
    assert bench.verbs == (["restart", "kill"] if force else ["restart"])
    assert outcome.after.state == ("running" if force else "stopping")


def test_time_out_says_what_was_last_seen(bench):
    bench.unit.start_takes = 1000.0
    outcome = bench.run(wait_timeout=10)
    assert outcome.failed and "last seen starting" in outcome.msg
    assert 9.9 < outcome.duration < 11


def test_check_mode_plans_everything_and_touches_nothing(bench, tmp_path):
    bench.unit.start_fails = True
    bench.run()
    bench.world.verbs.clear()
    ledger_before = sorted((p.name, p.read_bytes()) for p in tmp_path.rglob("*.json"))
    bench.clock.sleep(60)
    outcome = bench.run(recovery="reset_start", check_mode=True)
    assert not outcome.failed, outcome.msg
    assert outcome.changed and bench.verbs == []
    assert [(s.action, s.applied) for s in outcome.transitions] == [("reset", False), ("start", False), ("wait", False)]
    assert sorted((p.name, p.read_bytes()) for p in tmp_path.rglob("*.json")) == ledger_before
    assert outcome.as_dict()["diff"] == {"before": {"state": "error"}, "after": {"state": "running"}}


def test_unknown_is_never_acted_on(bench):
    bench.world.broken = True
    outcome = bench.run()
    assert outcome.failed and outcome.after.state == "unknown" and guards(outcome) == ["edge"]
    assert bench.verbs == []


@pytest.mark.parametrize(
    "prepare, guard",
    [
        (lambda b: b.ledger.set_hold(Hold(UNIT, "ann", "disk swap", 0.0, None)), "hold"),
        (lambda b: b.ledger.set_hold(Hold("_host", "ann", "disk swap", 0.0, None)), "hold"),
        (lambda b: setattr(b.world, "system_state", "stopping"), "host_going_down"),
        (lambda b: setattr(b.unit, "load", "masked"), "unit"),
        (lambda b: setattr(b.unit, "load", "bad-setting"), "unit"),
        (lambda b: b.unit.extra.update(RefuseManualStart="yes"), "unit"),
        (lambda b: setattr(b.unit, "type", "oneshot"), "oneshot"),
        (lambda b: setattr(b.unit, "requires", ("db.service",)), "dependency"),
    ],
)
def test_guards_refuse_a_start(bench, prepare, guard):
    prepare(bench)
    outcome = bench.run(recovery="reset_start")
    assert outcome.failed and guard in guards(outcome), outcome.msg
    assert bench.verbs == [] and not outcome.changed
    assert all(block.hint for block in outcome.blocked_by)


def test_oneshot_runs_once_to_its_end(tmp_path):
    bench = Bench(tmp_path, Unit(UNIT, type="oneshot"))
    outcome = bench.run("restarted")
    assert not outcome.failed, outcome.msg
    assert outcome.changed and outcome.after.state == "stopped" and bench.verbs == ["start"]


def test_preconditions(bench):
    started(bench)
    invocation = bench.run().after.facts.invocation
    assert guards(bench.run("restarted", expected_state=("error",))) == ["precondition"]
    assert not bench.run("restarted", expected_invocation=invocation).failed
    assert guards(bench.run("restarted", expected_invocation=invocation)) == ["precondition"]


def test_failing_config_check_stops_a_restart_before_the_stop(bench):
    started(bench)
    bench.world.commands["/bin/check"] = Completed(1, b"", b"line 3: nonsense")
    outcome = bench.run("restarted", config_check=("/bin/check",))
    assert outcome.failed and guards(outcome) == ["config_check"] and bench.verbs == []
    assert "line 3" in outcome.blocked_by[0].reason


@pytest.mark.parametrize(
    "done, said",
    [
        (Completed(None, b"", b"[Errno 13] Permission denied"), "/bin/check could not be started: [Errno 13]"),
        (Completed(None, b"", b"", timed_out=True), "/bin/check did not end within 60 s"),
        (Completed(None, b"", b"", not_found=True), "/bin/check was not found"),
    ],
)
def test_a_config_check_that_cannot_be_made_says_so(bench, done, said):
    bench.world.commands["/bin/check"] = done
    outcome = bench.run(config_check=("/bin/check",))
    assert guards(outcome) == ["config_check"] and outcome.blocked_by[0].reason.startswith(said)


def test_hard_cause_is_not_retried_until_it_is_accepted(tmp_path):
    bench = Bench(tmp_path, cause=Cause("config_missing", "hard"))
    bench.unit.start_fails = True
    bench.run()
    bench.unit.start_fails = False
    bench.clock.sleep(60)
    for check_mode in (True, False):
        outcome = bench.run(recovery="reset_start", check_mode=check_mode)
        assert guards(outcome) == ["cause"] and not outcome.changed
    for check_mode in (True, False):
        options = {"accept_causes": ("config_missing",), "check_mode": check_mode}
        assert not bench.run(recovery="reset_start", **options).failed


def test_the_advice_for_a_hard_cause_is_for_one_run(tmp_path):
    bench = Bench(tmp_path, cause=Cause("config_missing", "hard"))
    bench.unit.start_fails = True
    bench.run()
    (block,) = bench.run(recovery="reset_start", check_mode=True).blocked_by
    asked = """--limit HOST -e '{"service_recovery_accept_causes": ["config_missing"]}'"""
    assert block.hint.endswith(asked) and "for one run only" in block.hint


def test_what_the_host_shows_to_be_gone_is_in_the_result(tmp_path, monkeypatch):
    shown = "port 80 is free now"
    monkeypatch.setattr(resolved, "resolution_of", lambda *_args: shown)
    bench = Bench(tmp_path, cause=Cause("address_in_use", "hard"))
    bench.unit.start_fails = True
    bench.run()
    bench.unit.start_fails = False
    bench.clock.sleep(60)
    planned = bench.run(recovery="reset_start", check_mode=True).as_dict()["resolved"]
    assert re.fullmatch(
        r"address_in_use was the cause at \d{4}(-\d\d){2} \d\d(:\d\d){2} UTC; port 80 is free now", planned
    )
    assert bench.run(recovery="reset_start").as_dict()["resolved"] == planned
    assert "resolved" not in bench.run().as_dict()


def test_stopping_a_failed_service_needs_no_cure(tmp_path):
    bench = Bench(tmp_path, cause=Cause("config_missing", "hard"))
    bench.unit.start_fails = True
    bench.run()
    outcome = bench.run("stopped")
    assert not outcome.failed and outcome.after.state == "stopped" and bench.verbs[-1] == "reset-failed"


def test_attempts_are_counted_and_back_off_grows(bench):
    bench.unit.start_fails = True
    waits = []
    for _attempt in range(3):
        before = bench.clock.now
        assert bench.run(recovery="reset_start", wait_timeout=100).failed
        waits.append(round(bench.clock.now - before))
    assert bench.verbs.count("start") == 3
    assert waits[0] == 0 and waits[1] in (9, 10) and waits[2] in (19, 20)
    outcome = bench.run(recovery="reset_start", wait_timeout=100)
    assert guards(outcome) == ["attempts"] and bench.verbs.count("start") == 3
    bench.unit.start_fails = False
    bench.clock.sleep(3700)
    assert not bench.run(recovery="reset_start").failed
    bench.clock.sleep(700)
    bench.run()
    assert bench.ledger.attempts(UNIT) == ()


def test_busy_names_the_holder_and_the_age(bench):
    lock = bench.ledger.lock(UNIT, "ann from 192.0.2.7")
    assert lock.acquire() is None
    bench.clock.sleep(12)
    outcome = bench.run()
    assert (
        outcome.failed and guards(outcome) == ["busy"] and "ann from 192.0.2.7" in outcome.msg and "12 s" in outcome.msg
    )
    lock.release()
    assert not bench.run().failed


def test_another_stop_job_is_waited_for_and_never_cancelled(bench):
    started(bench)
    bench.unit.stop_takes = 3.0
    bench.world(("systemctl", "stop", "--no-block", "--job-mode=fail", UNIT), timeout=1)
    outcome = bench.run()
    assert not outcome.failed, outcome.msg
    assert "cancel" not in bench.verbs and steps(outcome)[0] == ("stopping", "stopped", "stopped")
