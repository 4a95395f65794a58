# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts that systemd would skip, files that it has not read, services that run to their end, what starts again."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import SKIPPED
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd, UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import (
    Context,
    Health,
    classify,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.lifecycle.test_engine import (
    UNIT,
    Bench,
    Cause,
    guards,
    started,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import Unit

# What systemd-analyze of 252, 257 and 262 says.
ANALYZED = """p1.service: AssertPathExists=/no/assert failed.
Asserts failed.
p1.service: ConditionPathExists=/no/such failed.
p1.service: ConditionPathExists=/etc/hosts succeeded.
Conditions failed.
"""


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.mark.parametrize(
    "rc, said, unmet",
    [
        (1, ANALYZED, ("AssertPathExists=/no/assert", "ConditionPathExists=/no/such")),
        (1, "Failed to load unit file: No such file", ()),
        (1, "Unknown command verb condition.", ()),
        (0, "ConditionPathExists=|/no/such failed.\nConditions succeeded.", ()),
        (None, "", ()),
    ],
)
def test_unmet_conditions(rc, said, unmet):
    asked = []

    def runner(argv, **_options):
        asked.append(argv)
        return Completed(rc, b"", said.encode())

    assert Systemd(runner).unmet_conditions("p1.service") == unmet
    assert asked == [["systemd-analyze", "condition", "--unit=p1.service"]]


@pytest.mark.parametrize(
    "message, condition",
    [
        ("a was skipped because of an unmet condition check (ConditionPathExists=/no/such).", "ConditionPathExists=/no/such"),
        ("a was skipped because of a failed condition check (ConditionHost=x).", "ConditionHost=x"),
        ("a skipped, unmet condition check ConditionPathExists=/no/such", "ConditionPathExists=/no/such"),
        ("a.service: Skipped due to 'exec-condition'.", "exec-condition"),
        ("Started a.service - A.", None),
        ("Starting a.service...", None),
    ],
)  # fmt: skip
def test_what_systemd_says_of_a_skipped_start(message, condition):
    found = SKIPPED.search(message)
    assert (found and (found[1] or found[2])) == condition


def test_a_start_that_would_be_skipped_is_refused_and_costs_nothing(bench):
    bench.world.commands["systemd-analyze"] = Completed(1, b"", ANALYZED.encode())
    for _run in range(2):
        outcome = bench.run()
        assert (guards(outcome), outcome.changed, bench.verbs) == (["condition"], False, [])
        assert "ConditionPathExists=/no/such" in outcome.msg
        assert outcome.budget.used == 0


def test_a_start_that_was_skipped_is_no_change_and_no_attempt(bench):
    """systemd before 250 tells only afterwards, and of an ExecCondition nobody can tell before."""
    bench.unit.start_takes, bench.unit.type, bench.unit.extra["Result"] = 0.1, "oneshot", "exec-condition"
    for _run in range(2):
        outcome = bench.run("restarted")
        assert (outcome.failed, outcome.changed, guards(outcome)) == (True, False, ["condition"])
        assert "was not started" in outcome.msg and "was started" not in outcome.msg
        assert outcome.budget.used == 0


def test_files_that_systemd_has_not_read(bench):
    started(bench)
    bench.unit.extra["NeedDaemonReload"] = "yes"
    assert "daemon-reload" in bench.run().after.reasons[-1]
    outcome = bench.run("restarted")
    assert (guards(outcome), bench.verbs) == (["unit"], [])
    assert "daemon_reload" in bench.run("restarted", daemon_reload=True, check_mode=True).msg and not bench.verbs
    outcome = bench.run("restarted", daemon_reload=True)
    assert not outcome.failed, outcome.msg
    assert bench.verbs == ["daemon-reload", "restart"]


def test_a_correction_that_systemd_has_not_read_does_not_count(tmp_path):
    bench = Bench(tmp_path, cause=Cause("exec_missing", "hard", "/opt/app is not there"))
    bench.unit.start_fails = True
    assert bench.run().failed
    bench.clock.sleep(60)
    bench.unit.extra["NeedDaemonReload"], bench.unit.start_fails = "yes", False
    assert "cause" in guards(bench.run())
    outcome = bench.run(daemon_reload=True, accept_causes=("exec_missing",))
    assert not outcome.failed, outcome.msg


@pytest.fixture
def backup(tmp_path):
    """A service that ran to its end, and failed."""
    bench = Bench(tmp_path, Unit(UNIT, type="oneshot", start_fails=True))
    assert bench.run("restarted").failed
    assert bench.unit.active == "failed"
    bench.clock.sleep(60)
    bench.world.verbs.clear()
    return bench


@pytest.mark.parametrize("recovery", ["restart", "reset_start"])
def test_a_run_that_failed_succeeds_by_another_run(backup, recovery):
    assert backup.run("succeeded", recovery=recovery).failed
    assert backup.verbs == ["start"], "run again, and not wiped"
    backup.unit.start_fails = False
    backup.clock.sleep(600)
    outcome = backup.run("succeeded", recovery=recovery)
    assert (outcome.failed, outcome.changed, backup.unit.result) == (False, True, "success"), outcome.msg
    assert not backup.run("succeeded", recovery=recovery).changed


def test_a_run_that_failed_is_not_wiped(backup):
    assert guards(backup.run("stopped")) == ["oneshot"]
    assert backup.run("succeeded", recovery="never").failed
    assert backup.verbs == []
    assert not backup.run("reset").failed and backup.verbs == ["reset-failed"]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("active", [True, False])
def test_a_next_run_has_to_be_planned(bench, active, known):
    bench.unit.type = "oneshot"
    bench.unit.extra["TriggeredBy"] = "api.timer" if known else ""
    bench.world.units["api.timer"] = Unit("api.timer", active="active" if active else "inactive")
    outcome = bench.run("succeeded")
    assert outcome.failed is not active
    assert active or "no next run is planned: api.timer is not active" in outcome.msg


def test_a_oneshot_without_a_timer_needs_none(bench):
    bench.unit.type = "oneshot"
    assert not bench.run("succeeded").failed


def test_what_is_stopped_and_starts_again_is_told(bench):
    bench.unit.extra["TriggeredBy"] = "api.socket"
    bench.world.units["api.socket"] = Unit("api.socket", active="active")
    started(bench)
    outcome = bench.run("stopped")
    assert not outcome.failed and "api.socket is active and starts it again" in outcome.msg
    assert "triggered" in outcome.after.flags


@pytest.mark.parametrize(
    "has_process, health, state",
    [
        (True, Health(), "error"),
        (False, Health(), "running"),
        (True, Health("healthy", ("http[0]",)), "running"),
        (True, Health("unhealthy", ("http[0]",)), "error"),
        (False, Health("unhealthy", ("http[0]",)), "error"),
    ],
)
@pytest.mark.parametrize("type_", ["simple", "forking", "exec"])
def test_a_wrapper_whose_process_has_ended(type_, has_process, health, state):
    kept = {"LoadState": "loaded", "ActiveState": "active", "SubState": "exited", "Type": type_}
    seen = classify("x", UnitFacts("x.service", kept), Context(10.0, 10.0, health=health, has_process=has_process))
    assert seen.state == state
    if state == "error" and health.verdict == "none":
        assert seen.cause == "exited" and "has_process" in seen.reasons[0]
