# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine waits for, and for how long: a look that failed, a target that has to hold, another's job."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Health
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.lifecycle.test_engine import (
    UNIT,
    Bench,
    Cause,
    guards,
    started,
    steps,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import Unit


class Probes:
    """Probes whose verdict depends on the time since the bench was set up."""

    def __init__(self, clock, *, good_after=0.0, blind=(0.0, 0.0)):
        self.clock, self.began = clock, clock.now
        self.good_after, self.blind = good_after, blind

    def check(self, active_since):
        at = self.clock.now - self.began
        if self.blind[0] <= at < self.blind[1]:
            return Health("unobservable", ("no route to the probe's host",))
        return Health("healthy", ("ok",)) if at >= self.good_after else Health("pending", ("not yet",))

    def pending_time(self):
        return 0.0


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_a_look_that_fails_in_between_ends_no_wait(bench):
    bench.health = Probes(bench.clock, good_after=60.0, blind=(20.0, 40.0))
    outcome = bench.run()
    assert not outcome.failed, outcome.msg
    assert bench.verbs == ["start"] and bench.clock.now - bench.health.began < 62


def test_a_wait_that_sees_nothing_more_ends_soon_and_says_why(bench):
    bench.health = Probes(bench.clock, good_after=60.0, blind=(20.0, 1000.0))
    outcome = bench.run(wait_timeout=600)
    assert outcome.failed and guards(outcome) == ["edge"] and "no route to the probe's host" in outcome.msg
    assert bench.verbs == ["start"] and 49 <= bench.clock.now - bench.health.began < 51


@pytest.mark.parametrize("blind_until, failed", [(24.0, False), (1000.0, True)])
def test_a_slice_that_begins_blind_goes_on_with_the_wait(bench, blind_until, failed):
    bench.health = Probes(bench.clock, good_after=40.0, blind=(9.0, blind_until))
    outcome = bench.run(wait_id="w", slice_length=10.0)
    while outcome.waiting:
        bench.clock.sleep(1.0)
        outcome = bench.run(wait_id="w", slice_length=10.0)
    assert outcome.failed is failed, outcome.msg
    assert bench.verbs == ["start"] and bench.clock.now - bench.health.began < 45


def test_what_was_never_seen_is_not_waited_for(bench):
    started(bench)
    bench.health = Probes(bench.clock, blind=(0.0, 1000.0))
    before = bench.clock.now
    outcome = bench.run()
    assert guards(outcome) == ["edge"] and "no route" in outcome.msg and bench.clock.now - before < 1


def test_the_target_has_to_hold_from_when_it_is_seen(bench):
    bench.health = Probes(bench.clock, good_after=25.0)
    assert not bench.run(stable_for=20.0).failed
    assert 45 <= bench.clock.now - bench.health.began < 47


def test_a_process_that_lives_long_enough_does_not_have_to_prove_it_again(tmp_path):
    bench = Bench(tmp_path, Unit(UNIT, type="simple"))
    bench.health = Probes(bench.clock, good_after=25.0)
    assert not bench.run().failed
    assert 25 <= bench.clock.now - bench.health.began < 26


@pytest.mark.parametrize("length", [10.0, 30.0])
def test_the_target_may_have_to_hold_for_longer_than_a_slice(bench, length):
    bench.health = Probes(bench.clock, good_after=25.0)
    outcome = bench.run(wait_id="w", slice_length=length, stable_for=20.0)
    while outcome.waiting:
        outcome = bench.run(wait_id="w", slice_length=length, stable_for=20.0)
    assert not outcome.failed, outcome.msg
    assert 45 <= bench.clock.now - bench.health.began < 48


def test_what_holds_already_needs_no_more(tmp_path):
    bench = Bench(tmp_path, Unit(UNIT, type="simple"))
    started(bench)
    bench.clock.sleep(60.0)
    before = bench.clock.now
    assert not bench.run(stable_for=50.0).failed
    assert bench.clock.now - before < 1


class Patient(Kind):
    """It comes back by itself."""

    def grace_period(self, observation, target):
        return 1.0 if observation.state == "error" else None


def test_check_mode_plans_a_wait_where_a_run_would_wait(bench):
    started(bench)
    bench.kind = Patient()
    bench.world._on_crash(bench.unit)
    outcome = bench.run(recovery="reset_start", check_mode=True)
    assert (outcome.failed, outcome.changed) == (False, False)
    assert steps(outcome) == [("error", "observed", "running")]
    assert bench.run(recovery="reset_start", wait_timeout=5).failed and bench.verbs == []
    assert not bench.run("stopped").failed, "patience is for who wants it to run"


@pytest.mark.parametrize("job", ["stop", "reload"])
def test_a_job_is_waited_for_in_check_mode_as_well(bench, job):
    started(bench)
    vars(bench.unit).update(job=job, job_id=7)
    outcome = bench.run("restarted", check_mode=True)
    assert (outcome.failed, outcome.changed, steps(outcome)[0][1]) == (False, True, "restart")
    refused = bench.run("restarted", wait_timeout=5)
    assert guards(refused) == ["busy"] and "job for the unit" in refused.msg and bench.verbs == []


@pytest.mark.parametrize("severity", ["hard", "fatal"])
def test_a_lasting_cause_ends_a_wait_while_systemd_tries_again(tmp_path, severity):
    """No minutes are waited for what only a person can end, whichever cause and kind it is."""
    unit = Unit(UNIT, start_fails=True, restart="on-failure", restart_sec=5.0)
    bench = Bench(tmp_path, unit, cause=Cause("command_missing", severity, "its program is not there"))
    outcome = bench.run(wait_timeout=600)
    assert outcome.failed and "command_missing, which no restart corrects" in outcome.msg, outcome.msg
    assert outcome.duration < 10 and bench.verbs == ["start"]
    assert guards(outcome) == [], "it was acted on: it failed, and was not refused"


@pytest.mark.parametrize("recovery", ["restart", "reset_start"])
@pytest.mark.parametrize(("looping", "kind"), [(True, Kind), (True, Patient), (False, Kind)])
def test_a_lasting_cause_is_refused_by_plan_and_run_alike(tmp_path, looping, kind, recovery):
    """While systemd tries again, where a run waits or starts it itself, and when systemd has given up."""
    unit = Unit(UNIT, start_fails=True, restart="on-failure" if looping else "no", restart_sec=5.0)
    bench = Bench(tmp_path, unit, cause=Cause("command_missing", "hard", "its program is not there"))
    bench.run(wait_timeout=600)
    bench.world.verbs.clear()
    bench.kind = kind()
    told = [bench.run(recovery=recovery, wait_timeout=600, check_mode=check) for check in (True, False)]
    assert [guards(outcome) for outcome in told] == [["cause"], ["cause"]]
    assert all(outcome.failed and not outcome.changed and "command_missing" in outcome.msg for outcome in told)
    assert bench.verbs == [] and all(outcome.duration < 10 for outcome in told)


@pytest.mark.parametrize(("severity", "accepted"), [("soft", []), ("hard", ["command_missing"])])
def test_a_cause_that_may_go_away_is_waited_for(tmp_path, severity, accepted):
    unit = Unit(UNIT, start_fails=True, restart="on-failure", restart_sec=5.0)
    bench = Bench(tmp_path, unit, cause=Cause("command_missing", severity, "its program is not there"))
    outcome = bench.run(wait_timeout=25, accept_causes=tuple(accepted))
    assert outcome.failed and outcome.duration >= 25


class Knowing(Kind):
    """It knows itself why its starts fail, as that of Besu does."""

    def __init__(self, cause):
        self.cause = cause

    def lasting_cause(self, observation, target):
        return self.cause if observation.state == "restarting" else None


@pytest.mark.parametrize("dealt_with", ["not", "accepted", "resolved"])
@pytest.mark.parametrize("check", [True, False])
def test_a_cause_that_a_kind_knows_is_refused_until_it_was_dealt_with(tmp_path, dealt_with, check):
    unit = Unit(UNIT, start_fails=True, restart="on-failure", restart_sec=5.0)
    bench = Bench(tmp_path, unit)
    assert bench.run(wait_timeout=3).failed
    bench.world.verbs.clear()
    file = "/etc/passwd" if dealt_with == "resolved" else "/srv/genesis.json"
    bench.kind = Knowing(Cause("file_missing", "hard", "a file is missing", evidence=(f"{file}: no such file",)))
    accepted = ("file_missing",) if dealt_with == "accepted" else ()
    outcome = bench.run(wait_timeout=25, accept_causes=accepted, check_mode=check)
    if dealt_with == "not":
        assert guards(outcome) == ["cause"] and outcome.duration < 10
        assert "service_recovery_accept_causes" in outcome.blocked_by[0].hint and bench.verbs == []
    else:
        assert guards(outcome) == [] and (check or outcome.duration >= 25), outcome.msg


MOMENTS = 10


@pytest.mark.parametrize("recovery", ["restart", "reset_start"])
@pytest.mark.parametrize("tries", [1, 3, 8])
@pytest.mark.parametrize("type_", ["notify", "simple"])
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_plan_and_run_say_the_same_at_every_moment_of_a_loop(tmp_path, moment, type_, tries, recovery):
    """Between two tries and within one, whether systemd has tried once or more often than the thrash budget allows."""
    period, takes = 5.0, 1.9
    unit = Unit(UNIT, type=type_, start_fails=True, start_takes=takes, restart="on-failure", restart_sec=period - takes)
    unit.burst = 1000
    bench = Bench(tmp_path, unit, cause=Cause("command_missing", "hard", "its program is not there"))
    bench.world(("systemctl", "start", "--no-block", "--job-mode=fail", UNIT), timeout=1)
    bench.world.verbs.clear()
    bench.clock.sleep(tries * period + moment * period / MOMENTS + 0.03)
    assert unit.restarts >= tries - 1
    told = [bench.run(recovery=recovery, wait_timeout=600, check_mode=check) for check in (True, False)]
    assert [guards(outcome) for outcome in told] == [["cause"], ["cause"]], [outcome.msg for outcome in told]
    assert all(outcome.failed and not outcome.changed and "command_missing" in outcome.msg for outcome in told)
    assert bench.verbs == [] and all(outcome.duration < 2 for outcome in told)


def looping(tmp_path, cause, **phase):
    """A service of which systemd makes its third try. ``phase``: what the unit is at this moment."""
    unit = Unit(UNIT, type="simple", restart="on-failure", restart_sec=5.0, restarts=3, invocation=4)
    bench = Bench(tmp_path, unit, cause=cause)
    vars(unit).update(phase, times={"StateChange": bench.clock.now, "ActiveEnter": bench.clock.now})
    return bench


PHASES = {
    "condition": {"active": "activating", "sub": "condition"},
    "start-pre": {"active": "activating", "sub": "start-pre"},
    "start": {"active": "activating", "sub": "start"},
    "start-post": {"active": "activating", "sub": "start-post"},
    "running for a moment": {"active": "active", "sub": "running"},
    "stop-post": {"active": "deactivating", "sub": "stop-post", "result": "exit-code"},
    "auto-restart": {"active": "activating", "sub": "auto-restart", "result": "exit-code"},
    "auto-restart-queued": {"active": "activating", "sub": "auto-restart-queued", "result": "exit-code"},
}
HARD = Cause("config_invalid", "hard", "its configuration is wrong", evidence=("/etc/passwd: bad line",))


@pytest.mark.parametrize("target", ["running", "restarted"])
@pytest.mark.parametrize("phase", PHASES)
def test_each_phase_of_a_try_has_the_cause_of_the_run_before_it(tmp_path, phase, target):
    bench = looping(tmp_path, replace(HARD, evidence=()), **PHASES[phase])
    told = [bench.run(target, wait_timeout=600, check_mode=check) for check in (True, False)]
    assert [guards(outcome) for outcome in told] == [["cause"], ["cause"]], [outcome.msg for outcome in told]
    assert bench.verbs == []


@pytest.mark.parametrize(
    ("phase", "changes"),
    [
        ("running for a moment", {"restarts": 0}),  # started by hand
        ("start", {"restarts": 0}),
        ("stop-post", {"job": "stop", "job_id": 7}),  # somebody stops it
    ],
)
def test_what_is_no_try_of_systemds_own_is_not_judged_by_an_earlier_run(tmp_path, phase, changes):
    bench = looping(tmp_path, replace(HARD, evidence=()), **PHASES[phase], **changes)
    assert guards(bench.run(check_mode=True)) == []


def test_a_process_that_has_proved_itself_is_not_judged_by_an_earlier_run(tmp_path):
    bench = looping(tmp_path, replace(HARD, evidence=()), **PHASES["running for a moment"])
    bench.clock.sleep(3.0)
    for check in (True, False):
        assert not bench.run(check_mode=check).failed
    assert bench.diagnosed == []


@pytest.mark.parametrize("knowing", [False, True])
@pytest.mark.parametrize(("failed_in", "refused"), [(3600.0, ["cause"]), (-3600.0, [])])
@pytest.mark.parametrize("phase", PHASES)
def test_a_file_counts_as_corrected_since_the_run_that_failed_and_not_since_the_try(
    tmp_path, phase, failed_in, refused, knowing
):
    """Each phase of a try renews the moment since when systemd has it: a file that was corrected just before is older."""
    file = tmp_path / "api.conf"
    file.write_text("corrected")
    cause = replace(HARD, evidence=(f"{file}: bad line",))
    bench = looping(tmp_path, cause, **PHASES[phase])
    bench.failed_at = file.stat().st_ctime + failed_in
    phase_since = file.stat().st_ctime - failed_in  # which says the opposite
    bench.clock.wall = lambda: phase_since
    if knowing:
        bench.kind = Knowing(cause)
    assert guards(bench.run(check_mode=True)) == refused
