# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards that protect other units, the unit itself and the host: tables of what they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.neighbours import Neighbour
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import guards as g
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Attempt, Hold, owed
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.surroundings import Surroundings

UP, DOWN, FAILED = "active", "inactive", "failed"
START = m.Step(m.STOPPED, "start", m.STARTING)
RECOVER = m.Step(m.ERROR, "restart", m.STARTING)
RESTART = m.Step(m.RUNNING, "restart", m.RESTARTING)
RESET = m.Step(m.ERROR, "reset", m.STOPPED)
STOP = m.Step(m.RUNNING, "stop", m.STOPPING)
KILL = m.Step(m.STOPPING, "force_stop", m.STOPPED)
STEPS = {"start": START, "recover": RECOVER, "restart": RESTART, "reset": RESET, "stop": STOP, "kill": KILL}


def situation(step, active=UP, target=m.RUNNING, around=None, **changes):
    facts = UnitFacts("db.service", {"Id": "db.service", "LoadState": "loaded", "ActiveState": active})
    seen = Observation("db", "db.service", "generic", step.source, step.source, facts=facts)
    return g.GuardContext(step, seen, target=target, surroundings=around or Surroundings(), **changes)


def neighbour(name, relation="RequiredBy", **properties):
    return Neighbour(f"{name}.service", relation, "db.service", {"ActiveState": "active", **properties})


HELD = {"api.service": Hold("api.service", "ann", "swapping the disk", 0.0)}
QUORUM = {"api.service": (Refusal("quorum", "3 of 4 take part, 3 are needed", "wait for n4"),)}


@pytest.mark.parametrize(
    "around, said",
    [
        (Surroundings(also_stops=(neighbour("api"),)), None),
        (Surroundings(also_stops=(neighbour("api"),), holds=HELD), "it would also stop api.service, which ann holds"),
        (Surroundings(conflicting=(neighbour("api"),), holds=HELD), "it would also stop api.service, which ann holds"),
        (Surroundings(also_stops=(neighbour("api"),), refusals=QUORUM), "also stop api.service: quorum: 3 of 4"),
        (Surroundings(also_stops=(neighbour("web"),), holds=HELD, refusals=QUORUM), None),
    ],
)
def test_dependants(around, said):
    refused = g.dependants(situation(RESTART, around=around))
    assert (refused and said in refused.reason) if said else refused is None


def test_what_a_dry_run_has_found_to_come_before_is_not_missing():
    around = Surroundings(missing={"db.service": "failed"})
    asked = situation(START, DOWN, around=around)
    assert g.dependency(replace(asked, promised=("db.service",))) is None
    assert g.dependency(replace(asked, promised=("api.service",)))


@pytest.mark.parametrize(
    "step, may, refuses",
    [
        ("start", False, True),
        ("start", True, False),
        ("recover", False, True),
        ("reset", False, True),
        ("stop", False, False),
        ("kill", False, False),
    ],
)
def test_conflicts(step, may, refuses):
    around = Surroundings(conflicting=(neighbour("ntp", "ConflictedBy"),))
    target = m.STOPPED if step in ("stop", "kill") else m.RUNNING
    refused = g.conflicts(situation(STEPS[step], target=target, around=around, may_stop_conflicting=may))
    assert bool(refused) == refuses
    if refused:
        assert "ntp.service (ConflictedBy of db.service)" in refused.reason


@pytest.mark.parametrize(
    "step, active, own, starts, said",
    [
        ("start", DOWN, {"StartLimitAction": "reboot"}, 1, None),
        ("start", DOWN, {"StartLimitAction": "reboot"}, 2, "StartLimitAction=reboot"),
        ("start", DOWN, {"StartLimitAction": "reboot-force"}, 9, "StartLimitAction=reboot-force"),
        ("start", DOWN, {"StartLimitAction": "none"}, 9, None),
        ("start", DOWN, {"StartLimitAction": "reboot", "StartLimitBurst": "0"}, 9, None),
        ("start", DOWN, {"StartLimitAction": "reboot", "StartLimitIntervalUSec": "0"}, 9, None),
        ("restart", UP, {"StartLimitAction": "poweroff"}, 2, "StartLimitAction=poweroff"),
        ("recover", FAILED, {"StartLimitAction": "reboot"}, 2, "StartLimitAction=reboot"),
        ("reset", FAILED, {"StartLimitAction": "reboot"}, 2, None),
        ("stop", UP, {"StartLimitAction": "reboot"}, 2, None),
        ("recover", FAILED, {"FailureAction": "reboot"}, 0, "FailureAction=reboot"),
        ("reset", FAILED, {"FailureAction": "poweroff"}, 0, "FailureAction=poweroff"),
        ("start", DOWN, {"FailureAction": "reboot"}, 0, None),
        ("kill", "deactivating", {"FailureAction": "reboot"}, 0, "FailureAction=reboot"),
        ("restart", UP, {"SuccessAction": "exit"}, 0, "SuccessAction=exit"),
        ("stop", UP, {"SuccessAction": "poweroff"}, 0, "SuccessAction=poweroff"),
        ("start", DOWN, {"SuccessAction": "poweroff"}, 0, None),
        ("recover", FAILED, {"JobTimeoutAction": "reboot", "JobTimeoutUSec": "5min"}, 0, "JobTimeoutAction=reboot"),
        ("recover", FAILED, {"JobTimeoutAction": "reboot", "JobTimeoutUSec": "infinity"}, 0, None),
    ],
)
def test_host_action(step, active, own, starts, said):
    own = {"StartLimitBurst": "2", "StartLimitIntervalUSec": "1h", **own}
    refused = g.host_action(situation(STEPS[step], active, around=Surroundings(own=own), recent_starts=starts))
    assert (refused and said in refused.reason) if said else refused is None, refused


def test_the_end_of_a_dependant_may_end_the_host():
    around = Surroundings(also_stops=(neighbour("installer", SuccessAction="reboot"),))
    assert "installer.service has SuccessAction=reboot" in g.host_action(situation(RESTART, around=around)).reason


@pytest.mark.parametrize(
    "step, target, refuses",
    [
        ("reset", "reset", True),
        ("reset", m.STOPPED, True),
        ("restart", m.RUNNING, False),
        ("recover", m.RUNNING, False),
        ("stop", m.STOPPED, False),
    ],
)
def test_a_unit_that_would_be_forgotten_is_not_reset(step, target, refuses):
    refused = g.unit(situation(STEPS[step], target=target, forgotten="the unit is transient"))
    assert bool(refused) == refuses


def test_a_unit_that_nothing_needs_is_not_started():
    assert "StopWhenUnneeded" in g.unit(situation(START, DOWN, around=Surroundings(needed=False))).reason


@pytest.mark.parametrize(
    "around, said",
    [
        (Surroundings(missing={"db.service": "failed"}), "requires are not active: db.service is failed"),
        (Surroundings(also_starts=(neighbour("api"),)), None),
        (Surroundings(also_starts=(neighbour("api"),), holds=HELD), "would start api.service with it, which ann holds"),
    ],
)
def test_dependency(around, said):
    refused = g.dependency(situation(START, DOWN, around=around))
    assert (refused and said in refused.reason) if said else refused is None


def test_an_unmet_condition_is_named():
    refused = g.condition(situation(START, DOWN, unmet_conditions=("ConditionPathExists=/no/such",)))
    assert refused.reason == "systemd would skip the start: ConditionPathExists=/no/such"


def attempt(at, outcome, *took):
    return Attempt(at, "restart", True, "", outcome=outcome, took_along=took)


@pytest.mark.parametrize(
    "attempts, names",
    [
        ([], ()),
        ([attempt(10, "open", "a")], ("a",)),
        ([attempt(10, "failed", "a"), attempt(20, "open", "b")], ("b", "a")),
        ([attempt(10, "failed", "a"), attempt(20, "verified", "b")], ()),
        ([attempt(10, "failed", "a"), attempt(20, "verified"), attempt(30, "failed", "c")], ("c",)),
        ([attempt(10, "refused", "a")], ()),
        ([attempt(-9999, "failed", "a")], ()),
    ],
)
def test_what_attempts_owe(attempts, names):
    assert owed(attempts, wall=100.0, window=3600.0) == names
