# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine does to other units: what ran before runs afterwards."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Health
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Hold
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.lifecycle.test_engine import (
    UNIT,
    Bench,
    guards,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import Unit


class Sick:
    """Probes that fail until the service is started again."""

    def __init__(self, bench):
        self.bench, self.since = bench, bench.unit.invocation

    def check(self, active_since):
        return Health("unhealthy" if self.bench.unit.invocation == self.since else "healthy", ("GET /health",))

    def pending_time(self):
        return 0.0


@pytest.fixture
def bench(tmp_path):
    found = Bench(tmp_path, others=(Unit("web.service", requires=(UNIT,)),))
    found.web = found.world.units["web.service"]
    found.world(("systemctl", "start", "--no-block", "--job-mode=fail", "web.service"), timeout=1)
    found.clock.sleep(5)
    assert (found.unit.active, found.web.active) == ("active", "active")
    found.world.verbs.clear()
    return found


@pytest.mark.parametrize("recovery", ["restart", "reset_start"])
def test_what_depends_on_an_unhealthy_service_runs_afterwards(bench, recovery):
    bench.health = Sick(bench)
    outcome = bench.run(recovery=recovery)
    assert not outcome.failed, outcome.msg
    assert (bench.world.verbs, bench.web.active) == ([("restart", UNIT)], "active")
    assert outcome.also_stops == ("web.service",)


def test_the_plan_names_what_is_stopped_besides(bench):
    assert bench.run("stopped", check_mode=True).also_stops == ("web.service",)
    assert bench.run(check_mode=True).also_stops == ()


def test_a_dependant_that_systemd_does_not_bring_back_is_started(bench):
    bench.web.comes_back = False
    outcome = bench.run("restarted")
    assert not outcome.failed, outcome.msg
    assert bench.world.verbs == [("restart", UNIT), ("start", "web.service")]
    assert bench.web.active == "active"


def test_a_dependant_that_does_not_come_back_fails_the_run(bench):
    bench.web.comes_back, bench.web.start_fails = False, True
    outcome = bench.run("restarted")
    assert outcome.failed and "web.service was stopped with it and is failed" in outcome.msg
    assert bench.world.verbs == [("restart", UNIT), ("start", "web.service")], "once"


def test_a_later_run_brings_back_what_a_failed_attempt_took_along(bench):
    bench.unit.start_fails = True
    bench.web.comes_back = False
    assert bench.run("restarted").failed and bench.web.active == "inactive"
    bench.unit.start_fails = False
    outcome = bench.run(wait_timeout=600.0)
    assert not outcome.failed, outcome.msg
    assert bench.web.active == "active"
    bench.world.verbs.clear()
    assert not bench.run().changed and not bench.world.verbs


def test_a_held_dependant_refuses(bench):
    bench.ledger.set_hold(Hold("web.service", "ann", "work", bench.clock.wall()))
    for target in ("restarted", "stopped"):
        outcome = bench.run(target)
        assert (guards(outcome), bench.world.verbs) == (["dependants"], [])


def test_a_stop_leaves_the_dependants_stopped(bench):
    assert not bench.run("stopped").failed
    assert bench.web.active == "inactive"
    assert bench.run().also_starts == ()
    assert bench.web.active == "inactive"


def test_a_dependency_is_started_by_the_same_transaction(bench):
    bench.run("stopped")
    bench.world.verbs.clear()
    bench.unit, bench.db = bench.web, bench.unit
    outcome = bench.run(name="web.service")
    assert not outcome.failed, outcome.msg
    assert (bench.world.verbs, outcome.also_starts) == ([("start", "web.service")], (UNIT,))
    assert bench.db.active == "active"


def test_a_running_unit_in_conflict_refuses_unless_it_may_be_stopped(bench):
    bench.run("stopped")
    bench.world.verbs.clear()
    bench.unit.extra["ConflictedBy"] = "old.service"
    bench.world.units["old.service"] = Unit("old.service", active="active", sub="running")
    assert guards(bench.run()) == ["conflicts"] and not bench.world.verbs
    bench.world.units["cron.service"] = Unit("cron.service", active="active", sub="running", requires=("old.service",))
    outcome = bench.run(stop_conflicting=True, check_mode=True)
    assert outcome.also_stops == ("cron.service", "old.service")
    outcome = bench.run(stop_conflicting=True)
    assert outcome.failed and "and so is old.service, with which it conflicts" in outcome.msg
    assert bench.ledger.attempts(UNIT)[-1].took_along == [], "these would bring back the conflict"
