# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine where others act on the same service at the same time, or a run before it was killed."""

from __future__ import annotations

import os

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import private_files
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed, LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.actions import Actions, HostServices
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService, Observer
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Attempt, Hold, Lock, Records
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Request
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.lifecycle.test_engine import (
    UNIT,
    Bench,
    guards,
    started,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import Unit

ALIAS = "interface.service"


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_a_refused_start_uses_up_no_attempt(bench):
    started(bench)
    bench.unit.stop_takes = 30.0
    refuse = bench.world._do_restart

    def meets_another_job(args):
        bench.world._do_stop(["--no-block", "--job-mode=fail", UNIT])  # between our last look and our request
        return refuse(args)

    bench.world._do_restart = meets_another_job
    outcome = bench.run("restarted")
    assert guards(outcome) == ["busy"] and not outcome.changed
    assert [a.outcome for a in bench.ledger.attempts(UNIT)] == ["verified", "refused"]
    assert outcome.budget.used == 0


def test_an_attempt_of_a_killed_run_is_settled_by_what_is_seen(bench):
    started(bench)
    bench.ledger.begin(UNIT, Attempt(bench.clock.wall(), "restart", True, before="another"))
    held = bench.ledger.lock(UNIT, "ann")
    assert held.acquire() is None
    assert not bench.run().failed
    assert bench.ledger.attempts(UNIT)[-1].outcome == "open", "it may be the one of who holds the lock"
    held.release()
    outcome = bench.run()
    assert (outcome.failed, outcome.changed, bench.verbs) == (False, False, [])
    assert bench.ledger.attempts(UNIT)[-1].outcome == "verified"


def test_an_attempt_that_has_started_nothing_is_not_settled(bench):
    started(bench)
    now = bench.run().after.facts.invocation
    bench.ledger.begin(UNIT, Attempt(bench.clock.wall(), "restart", True, before=now))
    bench.run()
    assert bench.ledger.attempts(UNIT)[-1].outcome == "open"


def test_what_somebody_starts_again_is_not_stopped_twice(bench):
    started(bench)
    stopped = bench.world._on_stopped

    def somebody_starts_it(unit):
        stopped(unit)
        bench.world._do_start(["--no-block", "--job-mode=fail", UNIT])

    bench.world._on_stopped = somebody_starts_it
    outcome = bench.run("stopped")
    assert outcome.failed and "started it again" in outcome.msg
    assert bench.verbs.count("stop") == 1


@pytest.mark.parametrize(
    "name, group",
    [
        ("", f"system.slice/{UNIT}"),
        ("system.slice", f"system.slice/{UNIT}"),
        ("-.slice", UNIT),
        ("chain.slice", f"chain.slice/{UNIT}"),
        ("system-api.slice", f"system.slice/system-api.slice/{UNIT}"),
        (r"a-b-c\x2dd.slice", rf"a.slice/a-b.slice/a-b-c\x2dd.slice/{UNIT}"),
    ],
)
def test_left_overs_are_looked_for_in_the_slice_of_the_unit(bench, tmp_path, name, group):
    bench.unit.extra["Slice"] = name
    (tmp_path / "cgroup" / group).mkdir(parents=True)
    (tmp_path / "cgroup" / group / "cgroup.procs").write_text(f"{os.getpid()}\n")
    systemd = Systemd(bench.world, cgroup_root=str(tmp_path / "cgroup"))
    observation = Observer(systemd, bench.clock, lambda unit, window: None).observe(
        [MonitoredService("api", UNIT, Kind())]
    )[0]
    actor = Actions(UNIT, Request("running"), HostServices(systemd, bench.ledger, bench.clock, bench.world))
    assert actor.leftovers(observation) == (os.getpid(),)


@pytest.mark.parametrize("down", [True, False])
def test_what_was_started_in_between_is_no_left_over(bench, tmp_path, down):
    group = tmp_path / "cgroup" / "system.slice" / UNIT
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text(f"{os.getpid()}\n")
    systemd = Systemd(bench.world, cgroup_root=str(tmp_path / "cgroup"))
    actor = Actions(UNIT, Request("running"), HostServices(systemd, bench.ledger, bench.clock, bench.world))
    observation = Observer(systemd, bench.clock, lambda unit, window: None).observe(
        [MonitoredService("api", UNIT, Kind())]
    )[0]
    if not down:
        started(bench)
    assert actor.leftovers(observation) == ((os.getpid(),) if down else ())
    user = Systemd(bench.world, user=True, cgroup_root=str(tmp_path / "cgroup"))
    of_user = Actions(UNIT, Request("running"), HostServices(user, bench.ledger, bench.clock, bench.world))
    assert of_user.leftovers(observation) == (), "these are of the system's unit of the same name"


@pytest.mark.parametrize(
    "prepare, guard",
    [
        (lambda b: b.ledger.set_hold(Hold(UNIT, "ann", "disk swap", 0.0, None)), "hold"),
        (lambda b: vars(b.unit).update(job="stop", job_id=7), "busy"),
        (lambda b: b.ledger.begin(UNIT, Attempt(b.clock.wall(), "restart", True, before="x")), "attempts"),
    ],
)
def test_an_alias_evades_nothing_that_is_known_of_the_unit(tmp_path, prepare, guard):
    bench = Bench(tmp_path, Unit(UNIT, aliases=(ALIAS,)))
    started(bench)
    prepare(bench)
    outcome = bench.run("restarted", name=ALIAS, max_attempts=1, wait_timeout=5)
    assert outcome.failed and guards(outcome) == [guard] and bench.verbs == [], outcome.msg


def test_an_alias_is_locked_as_the_unit(tmp_path):
    bench = Bench(tmp_path, Unit(UNIT, aliases=(ALIAS,)))
    lock = bench.ledger.lock(UNIT, "ann")
    assert lock.acquire() is None
    outcome = bench.run(name=ALIAS)
    lock.release()
    assert outcome.failed and guards(outcome) == ["busy"] and bench.verbs == []


def test_what_is_kept_of_an_alias_is_kept_of_the_unit(tmp_path):
    bench = Bench(tmp_path, Unit(UNIT, aliases=(ALIAS,), start_takes=30.0))
    outcome = bench.run(name=ALIAS, wait_id="1", slice_length=10.0)
    assert outcome.waiting
    assert not bench.run(name=ALIAS, wait_id="1").failed
    assert bench.verbs == ["start"]
    assert {path.name.partition(".service")[0] for path in tmp_path.rglob("*.*") if path.is_file()} == {"api"}
    assert [attempt.outcome for attempt in bench.ledger.attempts(UNIT)] == ["verified"]
    assert outcome.after.unit == UNIT and outcome.after.name == "api"


def read_only(*_args):
    raise LifecycleError("cannot write: Read-only file system")


def test_what_may_not_be_written_is_left_where_nothing_was_to_be_done(bench, monkeypatch):
    started(bench)
    bench.ledger.begin(UNIT, Attempt(bench.clock.wall(), "restart", True, before="another"))
    bench.clock.sleep(700)
    for where, what in ((Lock, "acquire"), (Records, "_write"), (private_files, "remove")):
        with monkeypatch.context() as patch:
            patch.setattr(where, what, read_only)
            outcome = bench.run()
        assert (outcome.failed, outcome.changed) == (False, False), (what, outcome.msg)
    assert not bench.run().failed
    assert bench.ledger.attempts(UNIT) == ()


def unreadable(*_args, **_options):
    raise LifecycleError("the record of attempts is not readable")


@pytest.mark.parametrize("fails", [True, False])
def test_what_was_done_is_told_although_the_attempts_are_not_readable(bench, monkeypatch, fails):
    bench.unit.start_fails = fails
    ready = bench.world._on_ready if not fails else bench.world._on_crash

    def ends(unit):
        ready(unit)
        monkeypatch.setattr(Records, "attempts", unreadable)
        monkeypatch.setattr(Records, "budget", unreadable)

    monkeypatch.setattr(bench.world, "_on_crash" if fails else "_on_ready", ends)
    outcome = bench.run()
    assert outcome.failed and outcome.changed and bench.verbs == ["start"]
    assert (outcome.before.state, outcome.after.state) == ("stopped", "error" if fails else "running")
    assert outcome.transitions and outcome.budget is None
    assert outcome.msg.count("not readable") == 1 and ("was started, and is error" in outcome.msg) is fails


def test_what_was_done_is_told_although_there_is_no_diagnosis(bench, monkeypatch):
    bench.unit.start_fails = True
    monkeypatch.setattr(bench, "_why", unreadable)
    outcome = bench.run()
    assert outcome.failed and outcome.changed and outcome.diagnosis is None and outcome.transitions
    assert "was started, and is error" in outcome.msg and "not readable" in outcome.msg


@pytest.mark.parametrize(
    "said, guard", [(b"Transaction for api.service/stop is destructive", "busy"), (b"Operation refused", "unit")]
)
def test_a_refusal_of_systemd_is_told_as_what_it_is(bench, monkeypatch, said, guard):
    started(bench)
    monkeypatch.setattr(bench.world, "_do_stop", lambda args: Completed(4, b"", said))
    outcome = bench.run("stopped")
    assert guards(outcome) == [guard] and said.decode() in outcome.msg and not outcome.changed


@pytest.mark.parametrize("up, target", [(True, "reset"), (True, "running"), (False, "reset"), (False, "running")])
def test_a_unit_that_may_not_be_stopped_by_hand_is_cleared_only_where_it_is_down(bench, up, target):
    started(bench)
    bench.unit.extra["RefuseManualStop"] = "yes"
    if up:
        bench.unit.sub = "exited"  # its process is gone, and the unit still active
    else:
        bench.world._on_crash(bench.unit)
    outcome = bench.run(target, recovery="reset_start")
    assert outcome.before.state == "error"
    assert guards(outcome) == (["unit"] if up else []) and outcome.failed is up
    assert bool(bench.verbs) is not up


def slow_to_record(bench, monkeypatch, seconds, meanwhile):
    """The first attempt takes ``seconds`` to be recorded, as another process has locked the file."""
    record = bench.ledger.begin
    delays = [seconds]

    def begin(unit, attempt):
        if delays:
            bench.clock.sleep(delays.pop())
            meanwhile()
        record(unit, attempt)

    monkeypatch.setattr(bench.ledger, "begin", begin)


def test_a_hold_that_comes_while_a_record_is_written_is_kept(bench, monkeypatch):
    """A lock of another process made a module hang for a minute, which then acted past a hold."""
    hold = Hold(UNIT, "bob", "maintenance", bench.clock.wall())
    slow_to_record(bench, monkeypatch, 0.0, lambda: bench.ledger.set_hold(hold))
    outcome = bench.run()
    assert guards(outcome) == ["hold"] and "start" not in bench.verbs
    assert [row.outcome for row in bench.ledger.attempts(UNIT)] == ["refused"]


def test_after_a_wait_for_the_record_the_guards_are_asked_again(bench, monkeypatch):
    slow_to_record(bench, monkeypatch, 30.0, lambda: setattr(bench.world, "system_state", "stopping"))
    outcome = bench.run()
    assert guards(outcome) == ["host_going_down"] and "start" not in bench.verbs


def test_after_a_wait_for_the_record_it_goes_on_where_nothing_objects(bench, monkeypatch):
    slow_to_record(bench, monkeypatch, 30.0, lambda: None)
    assert not bench.run().failed
    assert bench.verbs.count("start") == 1
