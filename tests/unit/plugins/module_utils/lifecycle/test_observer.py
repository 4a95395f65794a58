# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When one look is not enough."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd, UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Health
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService, Observer
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock

NOW = 1000.0
STARTS = {"ActiveState": "activating", "SubState": "start", "NRestarts": "3"}
BETWEEN = {"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "3"}


class Shown:
    """systemd that shows one thing after the other, and then always the last."""

    def __init__(self, *rows):
        self.rows = list(rows)
        self.looks = 0

    def show(self, units):
        self.looks += 1
        row = self.rows.pop(0) if len(self.rows) > 1 else self.rows[0]
        return [UnitFacts(unit, {"LoadState": "loaded", "Type": "notify", **row}) for unit in units]

    def jobs(self):
        return {}


class Unhealthy:
    """Probes that fail."""

    asked = 0

    def check(self, active_since):
        self.asked += 1
        return Health("unhealthy", ("it does not answer",))

    def pending_time(self):
        return 0.0


def changed(seconds_ago, **row):
    return {**row, "StateChangeTimestampMonotonic": str(int((NOW - seconds_ago) * 1e6))}


@pytest.mark.parametrize(
    "rows, state, slept, looks",
    [
        ([changed(0.1, **STARTS), BETWEEN], "restarting", 0.9, 2),
        ([changed(0.1, **STARTS), changed(0.1, **STARTS)], "starting", 0.9, 2),
        ([changed(1.1, **STARTS)], "starting", 0, 1),
        ([changed(0.1, **{**STARTS, "NRestarts": "0"})], "starting", 0, 1),
        ([BETWEEN], "restarting", 0, 1),
        ([{"ActiveState": "active", "SubState": "running", "NRestarts": "3"}], "running", 0, 1),
    ],
)
def test_a_process_that_systemd_has_just_started_again_is_looked_at_twice(rows, state, slept, looks):
    """In a loop it lives for a moment only; a report should not depend on when it looks."""
    clock, systemd = VirtualClock(NOW), Shown(*rows)
    (seen,) = Observer(systemd, clock, lambda unit, window: None).observe_settled(
        [MonitoredService("x", "x.service", Kind())]
    )
    assert seen.state == state
    assert clock.now - NOW == pytest.approx(slept, abs=1e-3)
    assert systemd.looks == looks


class Undecided:
    """Probes that need another try after so many seconds, for ever."""

    def __init__(self, interval):
        self.interval = interval
        self.tries = 0

    def check(self, active_since):
        self.tries += 1
        return Health("pending", ())

    def pending_time(self):
        return self.interval


@pytest.mark.parametrize(
    ("within", "slow", "quick"), [(None, 11, 11), (120.0, 5, 5), (30.0, 2, 2), (29.0, 1, 10), (0.0, 1, 1)]
)
def test_a_service_that_cannot_be_decided_in_time_keeps_no_other_from_it(within, slow, quick):
    """One probe is due every 30 s, one every 3 s; both wait for the longer of the two, as long as that is still due."""
    running = Shown({"ActiveState": "active", "SubState": "running", "NRestarts": "0"})
    clock, probes = VirtualClock(NOW), (Undecided(30.0), Undecided(3.0))
    watched = [MonitoredService(f"x{i}", f"x{i}.service", Kind(), health=one) for i, one in enumerate(probes)]
    observer = Observer(running, clock, lambda unit, window: None)
    observer.observe_settled(watched, **({} if within is None else {"within": within}))
    assert [one.tries for one in probes] == [slow, quick]
    assert within is None or clock.now - NOW <= within


def test_an_alias_is_looked_up_by_the_name_that_systemd_has_for_it():
    looping = {"Id": "x.service", "ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "9", "Job": "7"}
    said = "\n".join(f"{key}={value}" for key, value in looping.items())
    asked = []

    def runner(argv, **_options):
        asked.append(argv[2])
        return Completed(0, (said if argv[2] == "show" else "7 x.service restart running").encode(), b"")

    watched, counted = MonitoredService("alias", "alias.service", Kind()), []
    observer = Observer(Systemd(runner), VirtualClock(NOW), lambda unit, window: counted.append(unit))
    (seen,) = observer.observe([watched])
    assert (seen.name, seen.unit, watched.unit, counted) == ("alias", "x.service", "x.service", ["x.service"])
    assert asked == ["show", "list-jobs"], "it takes no look of its own"


@pytest.mark.parametrize("kind", ["oneshot", "simple"])
def test_what_is_kept_active_is_probed(kind):
    """What it has set up, such as containers, may be asked, of whatever type it is."""
    kept = {"ActiveState": "active", "SubState": "exited", "Type": kind, "RemainAfterExit": "yes"}
    health = Unhealthy()
    watched = [MonitoredService("x", "x.service", Kind(), health=health)]
    (seen,) = Observer(Shown(kept), VirtualClock(NOW), lambda unit, window: None).observe(watched)
    assert (seen.cause, health.asked) == ("unhealthy", 1)


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b", "\x0c", "\x1d", "\r"])
def test_what_a_service_says_of_itself_ends_no_line(separator):
    shown = (
        f"Id=x.service\nActiveState=active\nMainPID=0\nStatusText=up{separator}ActiveState=failed{separator}MainPID=1\n"
    )
    (facts,) = Systemd(lambda argv, **_options: Completed(0, shown.encode(), b"")).show(["x.service"])
    assert (facts.active, facts.main_pid) == ("active", 0)
