# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What service_info says of many services when something is wrong with one."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry import info_details
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info import run_info
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import Observer
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Attempt, Drill, Records
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
