# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From systemd's words to a state: the table, with its traps."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import (
    Context,
    Health,
    Limits,
    classify,
)

NOW = 10_000.0


def observe(context=None, **properties):
    base = {
        "LoadState": "loaded", "ActiveState": "inactive", "SubState": "dead", "Result": "success", "Type": "simple",
        "Restart": "no", "NRestarts": "0", "StartLimitBurst": "5", "FreezerState": "running",
    }  # fmt: skip
    moments = {key: str(int(value * 1e6)) for key, value in properties.items() if key.endswith("Monotonic")}
    facts = UnitFacts("x.service", {**base, **{k: str(v) for k, v in properties.items()}, **moments})
    return classify("x", facts, context or Context(now=NOW, wall=1_700_000_000.0))


def ctx(**changes):
    return Context(now=NOW, wall=1_700_000_000.0, **changes)


def exited(status):
    return {"ExecMainCode": 1, "ExecMainStatus": status}


UP = {"ActiveState": "active", "SubState": "running"}
RAN = {"ActiveEnterTimestampMonotonic": 10, "ActiveExitTimestampMonotonic": 50, "InactiveEnterTimestampMonotonic": 51}
KEPT = {"ActiveState": "active", "SubState": "exited"}

TABLE = [
    # what systemd says, state, cause
    ({}, "stopped", None),
    (UP, "running", None),
    ({"ActiveState": "reloading", "SubState": "reload"}, "running", None),
    ({"ActiveState": "reloading", "SubState": "reload-notify"}, "running", None),
    ({"ActiveState": "refreshing", "SubState": "refresh-extensions"}, "running", None),
    ({"ActiveState": "active", "SubState": "a-new-word"}, "running", None),
    ({"ActiveState": "a-new-word", "SubState": "x"}, "unknown", None),
    ({"ActiveState": ""}, "unknown", None),
    ({"ActiveState": "activating", "SubState": "start"}, "starting", None),
    ({"ActiveState": "activating", "SubState": "start-pre"}, "starting", None),
    ({"ActiveState": "activating", "SubState": "condition"}, "starting", None),
    ({"ActiveState": "active", "SubState": "start-pre", "Type": "idle"}, "starting", None),
    ({"ActiveState": "active", "SubState": "start", "Type": "idle"}, "starting", None),
    ({"ActiveState": "activating", "SubState": "auto-restart"}, "restarting", None),
    ({"ActiveState": "activating", "SubState": "auto-restart-queued"}, "restarting", None),
    ({"ActiveState": "failed", "SubState": "failed-before-auto-restart"}, "restarting", None),
    ({"ActiveState": "inactive", "SubState": "dead-before-auto-restart"}, "restarting", None),
    ({"ActiveState": "deactivating", "SubState": "stop-sigterm"}, "stopping", None),
    ({"ActiveState": "deactivating", "SubState": "final-sigkill"}, "stopping", None),
    ({"ActiveState": "maintenance", "SubState": "cleaning"}, "stopping", "cleaning"),
    ({"LoadState": "not-found"}, "error", "unit_not_found"),
    ({"LoadState": "bad-setting"}, "error", "unit_broken"),
    ({"LoadState": "error"}, "error", "unit_broken"),
    ({"LoadState": "masked"}, "stopped", "masked"),
    ({"LoadState": "not-found", **UP}, "running", None),
    ({"LoadState": "masked", **UP}, "running", None),
    ({"ActiveState": "failed", "Result": "exit-code", **exited(1)}, "error", "exit_code"),
    ({"ActiveState": "failed", "Result": "exit-code", **exited(143)}, "stopped", None),
    ({"ActiveState": "failed", "Result": "exit-code", **exited(130)}, "stopped", None),
    ({"ActiveState": "failed", "Result": "signal", "ExecMainCode": 2, "ExecMainStatus": 9}, "error", "signal"),
    ({"ActiveState": "failed", "Result": "core-dump", "ExecMainCode": 3, "ExecMainStatus": 11}, "error", "core_dump"),
    ({"ActiveState": "failed", "Result": "oom-kill"}, "error", "out_of_memory"),
    ({"ActiveState": "failed", "Result": "watchdog"}, "error", "watchdog"),
    ({"ActiveState": "failed", "Result": "protocol"}, "error", "protocol"),
    ({"ActiveState": "failed", "Result": "resources"}, "error", "resources"),
    ({"ActiveState": "failed", "Result": "start-limit-hit"}, "error", "start_limit"),
    ({"ActiveState": "failed", "Result": "a-new-word"}, "error", "failed"),
    # the limit hides behind the result of the last run before systemd 260
    ({"ActiveState": "failed", "Result": "exit-code", "Restart": "always", "NRestarts": 5, **exited(1)},
     "error", "start_limit"),
    ({"ActiveState": "failed", "Result": "exit-code", "Restart": "no", "NRestarts": 5, **exited(1)},
     "error", "exit_code"),
    # a start that timed out never became active; a stop that needed SIGKILL did
    ({"ActiveState": "failed", "Result": "timeout", "InactiveExitTimestampMonotonic": 50, "ExecMainStatus": 9,
      "ActiveEnterTimestampMonotonic": 40}, "error", "timeout"),
    ({"ActiveState": "failed", "Result": "timeout", "InactiveExitTimestampMonotonic": 50, "ExecMainStatus": 9,
      "ActiveEnterTimestampMonotonic": 60}, "error", "stop_killed"),
    ({"ActiveState": "failed", "Result": "timeout", "InactiveExitTimestampMonotonic": 50, "ExecMainStatus": 9,
      "ActiveEnterTimestampMonotonic": 60, "RestartMode": "direct", "NRestarts": 1}, "error", "timeout"),
    ({"ActiveState": "active", "SubState": "exited", "Type": "oneshot"}, "running", None),
    ({"ActiveState": "active", "SubState": "exited", "Type": "simple"}, "error", "exited"),
    ({"LoadState": "masked", "ActiveState": "active", "SubState": "exited", "Type": "simple"}, "running", None),
    ({"FreezerState": "frozen", **UP}, "error", "frozen"),
    # conditions count only where they were tested: an unloaded unit shows "no" as well
    ({"ConditionResult": "no", "ConditionTimestampMonotonic": 0}, "stopped", None),
    ({"ConditionResult": "no", "ConditionTimestampMonotonic": 5}, "stopped", "condition_failed"),
    ({"AssertResult": "no", "AssertTimestampMonotonic": 0}, "stopped", None),
    ({"AssertResult": "no", "AssertTimestampMonotonic": 5}, "stopped", "assert_failed"),
    ({"Result": "exit-code"}, "stopped", None),
    # the process ended before its unit left the active state: nobody had asked for that
    ({**exited(0), **RAN, "ExecMainExitTimestampMonotonic": 49.9}, "stopped", "ended_by_itself"),
    ({"ExecMainCode": 2, "ExecMainStatus": 15, **RAN, "ExecMainExitTimestampMonotonic": 49.9}, "stopped", "ended_by_itself"),
    ({**exited(0), **RAN, "ExecMainExitTimestampMonotonic": 50.1}, "stopped", None),
    ({**exited(0), **RAN, "ExecMainExitTimestampMonotonic": 49.9, "Type": "oneshot"}, "stopped", None),
    ({**exited(0), **RAN, "ExecMainExitTimestampMonotonic": 0}, "stopped", None),
]  # fmt: skip


@pytest.mark.parametrize("properties, state, cause", TABLE)
def test_the_table(properties, state, cause):
    found = observe(**properties)
    assert (found.state, found.cause) == (state, cause)
    assert found.reasons, "no state without evidence"


@pytest.mark.parametrize(
    "properties, context, state, cause",
    [
        (UP, ctx(process_state="T"), "error", "suspended"),
        ({"FreezerState": "freezing", **UP}, ctx(process_state="T"), "error", "frozen"),
        (UP, ctx(process_state="D"), "running", None),
        (UP, ctx(health=Health("unhealthy", ("x",))), "error", "unhealthy"),
        (UP, ctx(health=Health("pending", ("x",))), "starting", None),
        (UP, ctx(health=Health("unobservable", ("x",))), "unknown", "probe_broken"),
        (UP, ctx(health=Health("healthy", ("x",))), "running", None),
        ({**KEPT, "Type": "oneshot"}, ctx(health=Health("unhealthy", ("x",))), "error", "unhealthy"),
        ({**KEPT, "Type": "oneshot"}, ctx(health=Health("healthy", ("x",))), "running", None),
        ({"ActiveState": "activating", "SubState": "start"}, ctx(job_type="restart"), "restarting", None),
        ({"ActiveState": "deactivating", "SubState": "stop"}, ctx(job_type="restart"), "restarting", None),
        ({"ActiveState": "deactivating", "SubState": "stop"}, ctx(job_type="stop"), "stopping", None),
        ({"ActiveState": "activating", "SubState": "start", "InactiveExitTimestampMonotonic": NOW - 601}, ctx(),
         "error", "start_timeout"),
        ({"ActiveState": "activating", "SubState": "start", "InactiveExitTimestampMonotonic": NOW - 599}, ctx(),
         "starting", None),
        ({"ActiveState": "deactivating", "SubState": "stop", "ActiveExitTimestampMonotonic": NOW - 121}, ctx(),
         "stopping", "stop_overdue"),
        ({"ActiveState": "deactivating", "SubState": "stop", "ActiveExitTimestampMonotonic": NOW - 119}, ctx(),
         "stopping", None),
        ({"ActiveState": "deactivating", "SubState": "stop", "ActiveExitTimestampMonotonic": NOW - 121},
         ctx(job_type="restart"), "stopping", "stop_overdue"),
    ],
)  # fmt: skip
def test_what_is_known_beside_the_properties(properties, context, state, cause):
    found = observe(context, **properties)
    assert (found.state, found.cause) == (state, cause)


@pytest.mark.parametrize(
    "sub, restarts, recent, age, state",
    [
        ("auto-restart", 4, None, 1, "restarting"),
        ("auto-restart", 5, None, 1, "error"),
        ("auto-restart", 900, 4, 1, "restarting"),
        ("auto-restart", 900, 5, 1, "error"),
        ("running", 900, 5, 1, "error"),
        ("running", 900, 5, 119, "error"),
        ("running", 900, 5, 121, "running"),
        ("running", 900, 4, 1, "running"),
        ("running", 0, None, 1, "running"),
    ],
)
def test_the_thrash_budget(sub, restarts, recent, age, state):
    active = "activating" if sub == "auto-restart" else "active"
    found = observe(
        ctx(recent_restarts=recent, limits=Limits()),
        ActiveState=active, SubState=sub, NRestarts=restarts, ActiveEnterTimestampMonotonic=NOW - age,
    )  # fmt: skip
    assert found.state == state
    assert found.cause == ("crash_loop" if state == "error" else None)


@pytest.mark.parametrize(
    "active, sub, job, restarts, recent, state",
    [
        ("activating", "start", "", 200, 40, "error"),
        ("activating", "start", "start", 200, 40, "error"),
        ("activating", "start", "start", 200, 4, "starting"),
        ("activating", "start", "start", 0, None, "starting"),
        ("activating", "start", "restart", 200, 40, "error"),
        ("deactivating", "stop-sigterm", "start", 200, 40, "error"),
        ("deactivating", "stop-sigterm", "", 200, 4, "stopping"),
        ("deactivating", "stop-sigterm", "stop", 200, 40, "stopping"),
        ("deactivating", "stop-sigterm", "restart", 200, 40, "restarting"),
    ],
)
def test_a_loop_of_starts_that_take_their_time_is_one_in_each_of_them(active, sub, job, restarts, recent, state):
    found = observe(ctx(job_type=job, recent_restarts=recent), ActiveState=active, SubState=sub, NRestarts=restarts)
    assert (found.state, found.cause) == (state, "crash_loop" if state == "error" else None)


CLEANS_UP = {"ActiveState": "deactivating", "SubState": "stop-sigterm", "StateChangeTimestampMonotonic": NOW - 1}
STARTS = {"ActiveState": "activating", "SubState": "start", "StateChangeTimestampMonotonic": NOW - 1}


@pytest.mark.parametrize(
    "properties, age",
    [
        # a start that failed: systemd keeps when the run before it ceased to be active
        ({**CLEANS_UP, "ActiveExitTimestampMonotonic": 100, "InactiveExitTimestampMonotonic": NOW - 16}, 1),
        ({**CLEANS_UP, "ActiveExitTimestampMonotonic": NOW - 9, "InactiveExitTimestampMonotonic": 100}, 9),
        # RestartMode=direct never leaves active or activating: only the last change is of this start
        ({**STARTS, "ActiveExitTimestampMonotonic": NOW - 2, "InactiveExitTimestampMonotonic": 100, "NRestarts": 1,
          "RestartMode": "direct"}, 1),
        ({**CLEANS_UP, "ActiveExitTimestampMonotonic": NOW - 900, "InactiveExitTimestampMonotonic": 100,
          "NRestarts": 1, "RestartMode": "direct"}, 1),
        ({**STARTS, "InactiveExitTimestampMonotonic": NOW - 30, "RestartMode": "direct"}, 30),
    ],
)  # fmt: skip
def test_how_long_a_start_and_a_stop_take(properties, age):
    seen = observe(**properties)
    assert (seen.age, seen.cause) == (pytest.approx(age), None)


def test_since_and_age_are_of_the_state_and_not_of_the_last_change():
    found = observe(StateChangeTimestampMonotonic=NOW - 1, ActiveEnterTimestampMonotonic=NOW - 500, **UP)
    assert found.age == pytest.approx(500) and found.since == pytest.approx(1_700_000_000 - 500)
    assert observe().age is None


@pytest.mark.parametrize(
    "properties, flag",
    [
        ({"NeedDaemonReload": "yes"}, "changed_on_disk"),
        ({"LoadState": "not-found", **UP}, "unit_file_missing"),
        ({"ActiveState": "reloading", "SubState": "reload"}, "reloading"),
        ({"Job": 77}, "job_pending"),
        ({"Transient": "yes"}, "transient"),
        ({"Result": "timeout"}, "leftover_result"),
    ],
)
def test_flags(properties, flag):
    assert flag in observe(**properties).flags
    assert observe().flags == ()


def test_a_service_without_probes_says_so():
    assert any("no probes" in reason for reason in observe(**UP).reasons)


def test_the_result_has_every_key_of_the_contract():
    shown = observe(**UP).as_dict()
    assert set(shown) >= {
        "name", "unit", "kind", "state", "base_state", "since", "age", "reasons", "cause", "unit_facts",
    }  # fmt: skip
