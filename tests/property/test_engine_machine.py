# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service, an operator, a second operator, systemd and time, in any order: what must hold all the same."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.actions import HostServices
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.engine import Engine
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Limits
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService, Observer
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Hold, Records
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Outcome, Request
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import (
    Unit,
    VirtualClock,
    World,
)

UNIT = "x.service"
TARGETS = st.sampled_from(["running", "stopped", "restarted", "reset"])
RECOVERIES = st.sampled_from(["never", "restart", "reset_start"])
MAX_ATTEMPTS = 3
WINDOW = 3600.0


@dataclass(frozen=True)
class SoftCause:
    id: str = "exit_code"
    severity: str = "soft"
    summary: str = "it exited"
    next_step: str = "look"
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    primary: SoftCause = SoftCause()
    failed_at: float | None = None
    ports: tuple[int, ...] = ()

    def as_dict(self) -> dict[str, object]:
        return {}


class Life(RuleBasedStateMachine):
    @initialize(
        type_=st.sampled_from(["simple", "notify"]),
        restart=st.sampled_from(["no", "on-failure", "always"]),
        restart_sec=st.sampled_from([0.1, 3.0]),
    )
    def begin(self, type_: str, restart: str, restart_sec: float) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="life-"))
        self.clock = VirtualClock()
        self.unit = Unit(UNIT, type=type_, restart=restart, restart_sec=restart_sec)
        self.world = World(self.clock, self.unit)
        self.ledger = Records(self.clock, str(self.folder / "state"), str(self.folder / "run"))
        self.recoveries: list[float] = []

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def run_engine(self, target: str, recovery: str, **options: object) -> Outcome:
        systemd = Systemd(self.world, cgroup_root="/nonexistent")
        observer = Observer(systemd, self.clock, lambda unit, window: None)
        request = Request(
            target=target, recovery=recovery, wait_timeout=60.0, max_attempts=MAX_ATTEMPTS, attempt_window=WINDOW,
            owner="test", **options,
        )  # fmt: skip
        watched = MonitoredService("x", UNIT, Kind(), Limits())
        tools = HostServices(systemd, self.ledger, self.clock, self.world)
        return Engine(watched, request, observer, tools, lambda seen: Diagnosis()).run()

    @rule(goal=TARGETS, recovery=RECOVERIES)
    def operator(self, goal: str, recovery: str) -> None:
        before = len(self.world.verbs)
        outcome = self.run_engine(goal, recovery)
        verbs = [verb for verb, _unit in self.world.verbs[before:]]
        assert outcome.changed == bool(verbs), "changed, if and only if something was done"
        if outcome.before.state == "unknown":
            assert not verbs, "nobody acts on what could not be observed"
        if outcome.before.state == "error" and recovery == "never":
            assert not [verb for verb in verbs if verb in ("start", "restart")]
        starts = [verb for verb in verbs if verb in ("start", "restart")]
        assert len(starts) <= 1, "one start a run"
        if outcome.before.state == "error" and starts:
            self.recoveries.append(self.clock.wall())
        if not outcome.failed:
            wanted = {"running": {"running"}, "restarted": {"running"}, "stopped": {"stopped"}}.get(goal)
            assert wanted is None or outcome.after.state in wanted
            again = self.run_engine(goal, recovery)
            if goal != "restarted" and not again.failed:
                assert not again.changed or again.before.state != outcome.after.state, "the second run changes nothing"
        lock = self.ledger.lock(UNIT, "next")
        assert lock.acquire() is None, "no lock is left"
        lock.release()

    @rule(goal=TARGETS, recovery=RECOVERIES)
    def dry_run(self, goal: str, recovery: str) -> None:
        before = (len(self.world.verbs), self.files())
        self.run_engine(goal, recovery, check_mode=True)
        assert (len(self.world.verbs), self.files()) == before, "a dry run touches nothing"

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.folder.rglob("*.json")}

    @rule(seconds=st.sampled_from([0.05, 1.0, 15.0, 700.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @rule()
    def it_crashes(self) -> None:
        self.unit.events.append((self.clock.now, "crash"))
        self.clock.sleep(0.0)

    @rule(broken=st.booleans())
    def its_configuration_changes(self, broken: bool) -> None:
        self.unit.start_fails = broken

    @rule(verb=st.sampled_from(["start", "stop", "restart"]))
    def another_operator(self, verb: str) -> None:
        self.world(("systemctl", verb, "--no-block", "--job-mode=fail", UNIT), timeout=1.0)
        self.world.verbs.pop()

    @rule()
    def systemd_does_not_answer(self) -> None:
        self.world.broken = True
        before = len(self.world.verbs)
        outcome = self.run_engine("running", "reset_start")
        assert outcome.failed and len(self.world.verbs) == before
        self.world.broken = False

    @rule(goal=TARGETS)
    def a_hold(self, goal: str) -> None:
        self.ledger.set_hold(Hold(UNIT, "ann", "work", self.clock.wall()))
        before = len(self.world.verbs)
        self.run_engine(goal, "reset_start")
        assert len(self.world.verbs) == before, "nothing is done to what is held"
        self.ledger.clear_hold(UNIT)

    @invariant()
    def the_budget_holds(self) -> None:
        if not hasattr(self, "recoveries"):
            return
        for at in self.recoveries:
            within = [other for other in self.recoveries if at <= other < at + 500]
            assert len(within) <= MAX_ATTEMPTS, "good running takes 600 s, so nothing is forgotten within 500"


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=300, stateful_step_count=25, deadline=None)
