# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the counters say of trouble: it does not flap with a crash loop, and nobody's restart is one."""

from __future__ import annotations

import json

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import Record
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.counters import (
    Batch,
    Moment,
    ObservedState,
    ServiceCounters,
    Thrashing,
)

BOOT = "b" * 32
EPOCH = 1_000_000.0
BUDGET = Thrashing(5, 600.0)


class Watched:
    """A service whose records come one by one, and a program that runs now and then."""

    def __init__(self, limit=BUDGET):
        self.counters = ServiceCounters()
        self.limit = limit
        self.records = []
        self.run(0)

    def record(self, kind, when, **more):
        self.records.append(Record(kind, EPOCH + when, when, BOOT, **more))

    def run(self, when, state="running", base="", since=None, boot_step=0.0, unit=""):
        """One run of the program; it is killed and started anew each time."""
        moment = Moment(EPOCH + when + boot_step, when, BOOT)
        began = None if since is None else EPOCH + since + boot_step
        seen = ObservedState(state, base or state, began, None, unit or state)
        self.counters.advance(Batch(self.records), seen, moment, thrashing=self.limit)
        self.counters = ServiceCounters.load(json.loads(json.dumps(self.counters.dump())))
        self.records = []
        return self

    def loop(self, begin, times, every=3.0):
        """It crashes and is started again 1 s later, so often."""
        for number in range(times):
            at = begin + number * every
            self.record("failure", at, invocation=f"i{at}", result="exit-code")
            self.record("restart_scheduled", at + 0.5)
            self.record("started", at + 1, invocation=f"i{at + every}")

    def restart(self, at):
        self.record("stopping", at, job_type="restart")
        self.record("stopped", at + 1, job_type="restart")
        self.record("started", at + 2, invocation=f"r{at}")

    @property
    def trouble(self):
        return self.counters.trouble_since and self.counters.trouble_since - EPOCH

    @property
    def thrashing(self):
        return self.counters.thrashing_since and self.counters.thrashing_since - EPOCH


def test_a_crash_loop_of_3_seconds_that_runs_whenever_it_is_looked_at_is_one_trouble():
    service = Watched()
    seen = set()
    for minute in range(10):
        service.loop(100 + minute * 60, 20)
        service.run(160 + minute * 60 - 1, since=158 + minute * 60)
        seen.add((service.trouble, service.thrashing))
    assert seen == {(100.0, 112.0)}, "it began with the first failure, and the fifth one made it thrash"


def test_it_thrashes_with_the_last_failure_that_the_budget_allows():
    service = Watched()
    service.loop(100, 4)
    assert service.run(120).thrashing == 0.0
    service.loop(121, 1)
    assert service.run(125).thrashing == 121.0


def test_failures_before_the_window_do_not_count():
    service = Watched(Thrashing(5, 60.0))
    service.loop(100, 4, every=20)
    service.loop(240, 1)
    assert service.run(250).thrashing == 0.0


def test_a_loop_that_systemd_gives_up_is_the_same_trouble():
    service = Watched()
    service.loop(100, 5)
    service.run(120)
    service.record("failure", 121, invocation="last", result="exit-code")
    service.run(130, "error")
    service.run(5000, "error")
    assert (service.trouble, service.thrashing) == (100.0, 112.0), "the window is over, the trouble is not"


def test_a_restart_on_purpose_is_no_trouble_however_long_it_takes():
    service = Watched()
    service.record("stopping", 100, job_type="restart")
    service.record("stopped", 101, job_type="restart")
    assert service.run(2000, "restarting").trouble == 0.0
    assert service.thrashing == 0.0


def test_many_restarts_on_purpose_are_no_thrashing():
    service = Watched()
    for number in range(20):
        service.restart(100 + number * 5)
    assert service.run(210).thrashing == 0.0
    assert service.trouble == 0.0


def test_a_service_that_was_fixed_is_well_after_a_minute():
    service = Watched()
    service.loop(100, 6)
    service.run(125)
    service.restart(130)
    assert service.run(150, since=132).thrashing == 112.0, "nobody knows yet"
    assert service.run(193, since=132).trouble == 0.0
    assert service.thrashing == 0.0


def test_a_node_that_syncs_after_a_crash_is_not_in_trouble_for_hours():
    service = Watched()
    service.loop(100, 2)
    service.run(110, "syncing", base="starting", unit="running", since=105)
    assert service.trouble == 100.0
    assert service.run(200, "syncing", base="starting", unit="running", since=105).trouble == 0.0


def test_a_connector_that_loses_its_connections_again_and_again_thrashes():
    service = Watched()
    for number in range(5):
        service.run(100 + number * 20, "reconnecting", base="restarting", unit="running", since=100 + number * 20)
        service.run(110 + number * 20, "running", since=110 + number * 20)
    assert service.thrashing == 180.0


def test_a_step_of_the_clock_moves_the_beginning_of_a_trouble_with_it():
    service = Watched()
    service.loop(100, 6)
    service.run(120)
    service.run(125, boot_step=3600.0)
    assert (service.trouble, service.thrashing) == (3700.0, 3712.0)
