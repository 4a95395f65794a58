# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What service_info says of many services when something is wrong with one."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import Cause
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import Diagnosis
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry import info_details
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info import run_info
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import Observer
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Attempt, Drill, Records
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import NEEDS_RECOVERY, make_row
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import ObservationView
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import (
    Unit,
    VirtualClock,
    World,
)


class Ended(Exception):
    """The module has ended."""


class Module:
    """What service_info needs of an AnsibleModule."""

    def __init__(self, *services):
        self.params = {"services": list(services), "diagnose": "always", "history": "never"}
        self.result = {}

    def exit_json(self, **result):
        self.result = result
        raise Ended

    def fail_json(self, **result):
        raise AssertionError(result)


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """The rows of two services: the records of the one are broken, and of the other the reason cannot be found out."""
    clock = VirtualClock()
    world = World(clock, Unit("a.service"), Unit("b.service"))
    records = tmp_path / "state" / "attempts"
    records.mkdir(parents=True)
    (records / "a.service.json").write_text("{")

    class Host(HostContext):
        def __init__(self, scope):
            super().__init__(scope, clock)
            self.systemd = Systemd(world)
            self.observer = Observer(self.systemd, clock, lambda unit, window: None)

        ledger = property(lambda _self: Records(clock, str(tmp_path / "state"), str(tmp_path / "run")))

        def has_records(self):
            return True

    def explain(host, watched, observation):
        raise LifecycleError("systemctl did not answer within 20 s")

    module = Module("a", "b")
    monkeypatch.setattr(info_details, "explain", explain)
    with pytest.raises(Ended):
        run_info(module, KINDS, Host, info_details.requested_details)
    return module.result["services"]


def test_what_is_wrong_with_one_is_a_note_and_takes_no_other_row(rows):
    assert [(row["name"], row["state"]) for row in rows] == [("a", "stopped"), ("b", "stopped")]
    assert "a.service.json is no record of this collection" in rows[0]["reasons"][-1] and rows[0]["attempts"] == {}
    assert not any("records" in reason for reason in rows[1]["reasons"]) and rows[1]["attempts"]["used"] == 0
    assert rows[1]["diagnosis"]["notes"] == ["systemctl did not answer within 20 s"]


def test_the_drills_of_the_window_are_told(tmp_path):
    clock = VirtualClock()
    records = Records(clock, str(tmp_path / "state"), str(tmp_path / "run"))
    for hours in (30, 2):
        at = clock.wall() - hours * 3600
        records.begin_drill("a.service", Drill(at, "killed", "ann", at + 300, outcome="recovered", lost=hours))

    class Host:
        ledger = records

        def has_records(self):
            return True

    Host.clock = clock
    seen = Observation("a", "a.service", "generic", "running", "running")
    drills = info_details._drills(Host(), seen, 24 * 3600.0)
    assert drills is not None
    (drill,) = drills
    assert (drill["fault"], drill["lost"], drill["outcome"]) == ("killed", 2, "recovered")
    (tmp_path / "state/drills/a.service.json").write_text("{")
    assert info_details._drills(Host(), seen, 24 * 3600.0) is None


def test_a_service_that_is_starting_says_who_began_it_and_whether_that_ended(tmp_path):
    clock = VirtualClock()
    begun = Unit("a.service", active="activating", sub="start", pid=7, invocation=1)
    world = World(clock, begun, Unit("b.service", active="active", sub="running", pid=8, invocation=1))
    records = Records(clock, str(tmp_path / "state"), str(tmp_path / "run"))
    for name in ("a.service", "b.service"):
        records.begin(name, Attempt(clock.wall(), "start", True, "", owner="AWX job 35"))
    clock.sleep(12)

    class Host(HostContext):
        def __init__(self, scope):
            super().__init__(scope, clock)
            self.systemd = Systemd(world)
            self.observer = Observer(self.systemd, clock, lambda unit, window: None)

        ledger = property(lambda _self: records)

        def has_records(self):
            return True

    module = Module("a", "b")
    module.params["diagnose"] = "never"
    with pytest.raises(Ended):
        run_info(module, KINDS, Host, info_details.requested_details)
    first, second = module.result["services"]
    assert (first["state"], first["last_start"]["owner"], first["last_start"]["outcome"]) == (
        "starting",
        "AWX job 35",
        "open",
    )
    assert second["state"] == "running" and "last_start" not in second


def diagnosed_row(clock, world):
    """What service_info says of the service a, with a diagnosis where there is something to diagnose."""

    class Host(HostContext):
        def __init__(self, scope):
            super().__init__(scope, clock)
            self.systemd = Systemd(world)
            self.observer = Observer(self.systemd, clock, lambda unit, window: None)

        def has_records(self):
            return False

    module = Module("a")
    module.params["diagnose"] = "errors"
    with pytest.raises(Ended):
        run_info(module, KINDS, Host, info_details.requested_details)
    (row,) = module.result["services"]
    return row


HARD_CAUSE = Cause("config_invalid", "configuration", "hard", "its configuration is wrong", ("line 3",), "correct it")
MOMENTS = 10


@pytest.mark.parametrize("type_", ["notify", "simple"])
@pytest.mark.parametrize("severity", ["hard", "soft"])
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_what_no_restart_corrects_is_in_need_at_every_moment_of_a_loop(tmp_path, monkeypatch, moment, severity, type_):
    """Below the thrash budget, between two tries of systemd's and within one."""
    clock, period, takes = VirtualClock(), 5.0, 1.9
    unit = Unit(
        "a.service", type=type_, start_fails=True, start_takes=takes, restart="on-failure", restart_sec=period - takes
    )
    unit.burst = 1000
    world = World(clock, unit)
    world(("systemctl", "start", "--no-block", "--job-mode=fail", "a.service"), timeout=1)
    clock.sleep(2 * period + moment * period / MOMENTS + 0.03)

    cause = HARD_CAUSE._replace(severity=severity)
    monkeypatch.setattr(info_details, "explain", lambda *_given: Diagnosis((cause,), failed_at=clock.wall() - 1))
    row = diagnosed_row(clock, world)
    assert row["state"] != "error"
    found = make_row("h", ObservationView.from_dict(row), {"name": "a"})
    assert (found.verdict == NEEDS_RECOVERY) is (severity == "hard"), row
    if severity == "hard":
        assert (row["cause"], row["flags"]) == ("config_invalid", ["retrying"]) and found.cause == "config_invalid"


@pytest.mark.parametrize(("restarts", "after"), [(0, 0.5), (2, 30.0)])
def test_what_runs_is_not_judged_by_the_run_before_it(tmp_path, monkeypatch, restarts, after):
    """Neither one that a person has started, nor one that has proved itself since."""
    clock = VirtualClock()
    unit = Unit("a.service", type="simple", active="active", sub="running", pid=7, invocation=1, restarts=restarts)
    unit.times = {"StateChange": clock.now, "ActiveEnter": clock.now}
    world = World(clock, unit)
    clock.sleep(after)

    monkeypatch.setattr(info_details, "explain", lambda *_given: pytest.fail("nothing is to be explained"))
    row = diagnosed_row(clock, world)
    assert (row["state"], row["cause"]) == ("running", None)
