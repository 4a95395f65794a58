# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a drill may begin, and what its steps come to."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _drills
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError

SETTINGS = {"lifecycle_drill_service": "a/api", "lifecycle_drill_fault": "hung", "lifecycle_drill_undo_after": 300.0}
ENTRIES = {"a": [{"name": "api", "drill": True}, "cron"], "b": [{"name": "api", "drill": "yes"}]}
DRILL = {"detected_after": 0.5, "detected_as": "error (hung)", "recovered_after": 4.0, "lost": 4.0, "blocks": None}
WELL = {"name": "api", "reached": True, "changed": True}


def row(name, state="running", **more):
    return {"name": name, "kind": "generic", "state": state, "reasons": ["x"], **more}


def seen(**states):
    found = {"a": ["api", "cron"], "b": ["api"]}
    return {
        host: {"services": [row(name, states.get(f"{host}_{name}", "running")) for name in names]}
        for host, names in found.items()
    }


@pytest.mark.parametrize(
    "states, lost, missing, guard, said",
    [
        ({}, (), (), "", ""),
        ({"b_api": "error"}, (), (), "fleet_not_healthy", "b/api is error"),
        ({"a_cron": "starting"}, (), (), "fleet_not_healthy", "a/cron is starting"),
        ({}, ("b",), (), "fleet_not_healthy", "b/- is unknown"),
        ({}, (), ("c",), "fleet_not_healthy", "does not observe c"),
    ],
)
def test_a_drill_begins_while_the_whole_fleet_is_healthy(states, lost, missing, guard, said):
    looked = {**seen(**states), **{host: {"unreachable": True, "msg": "gone"} for host in lost}}
    plan = _drills.drill_plan(looked, ENTRIES, SETTINGS, missing)
    assert plan["guard"] == guard and said in plan["refusal"]
    assert bool(plan["refusal"]) == any(line.startswith("REFUSED: ") for line in plan["lines"])


def test_only_a_service_that_is_marked_is_drilled():
    plan = _drills.drill_plan(seen(), ENTRIES, {**SETTINGS, "lifecycle_drill_service": "a/cron"})
    assert plan["guard"] == "drill" and "marked are a/api, b/api" in plan["refusal"]


@pytest.mark.parametrize("named", ["api", "a/", "a/apy", "z/api"])
def test_a_service_that_is_nowhere_is_named_with_those_that_are_marked(named):
    with pytest.raises(FleetError, match=r"^lifecycle_drill_service: .*a/api, b/api$"):
        _drills.drill_plan(seen(), ENTRIES, {**SETTINGS, "lifecycle_drill_service": named})


@pytest.mark.parametrize(
    "fault, recovery, ended, again, outcome",
    [
        ({"reached": True}, [WELL], {"reached": True, "drill": DRILL}, None, "recovered"),
        # systemd has started it again before anybody acted.
        ({"reached": True}, [], {"reached": True, "drill": DRILL}, None, "self_recovered"),
        ({"reached": True}, [{**WELL, "reached": False}], {"reached": True, "drill": DRILL}, [WELL], "recovered"),
        ({"reached": True}, [], {"reached": True, "drill": {**DRILL, "detected_after": None}}, None, "failed"),
        ({"reached": True}, [WELL], {"reached": False, "msg": "it is error"}, None, "failed"),
        ({"reached": True}, [WELL], {"unreachable": True, "msg": "gone"}, None, "failed"),
        ({"reached": False, "blocked_by": [{"guard": "hold", "reason": "held"}]}, [], {}, None, "refused"),
        ({"reached": False, "msg": "systemd-run ended with 1"}, [], {}, None, "failed"),
        ({"unreachable": True, "msg": "gone"}, [], {}, None, "failed"),
    ],
)
def test_how_a_drill_ends(fault, recovery, ended, again, outcome):
    result = _drills.drill_result(fault, recovery, ended, again)
    assert result["outcome"] == outcome
    summary = _drills.drill_summary(result, _drills.drill_plan(seen(), ENTRIES, SETTINGS))
    assert summary["outcome"]["entries"][0]["outcome"] == outcome and summary["outcome"]["counts"]["healthy"] == 2
    assert bool(summary["failure"]) == (outcome in ("failed", "refused"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "shown after 0.5 s as error (hung), healthy again after 4.0 s, 4.0 s lost"),
        ({"ended_by": "recovery"}, "healthy again after 4.0 s by recovery, 4.0 s lost"),
        ({"ended_by": "itself"}, "healthy again after 4.0 s by itself, 4.0 s lost"),
        ({"ended_by": "undo", "lifted_after": 3.0}, "fault removed after 3.0 s, healthy again after 4.0 s by the undo"),
        ({"ended_by": "{{ x }}"}, "healthy again after 4.0 s, 4.0 s lost"),
    ],
)
def test_what_has_ended_the_fault_is_told(given, said):
    result = _drills.drill_result({"reached": True}, [WELL], {"reached": True, "drill": {**DRILL, **given}})
    assert said in result["msg"]


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("guard", ["last_replica", "reservation"])
def test_a_drill_for_which_no_right_was_granted_says_what_the_hosts_answered(guard, check_mode):
    fault = {"reached": False, "msg": "no", "blocked_by": [{"guard": guard, "reason": "no", "hint": "x"}]}
    result = _drills.drill_result(fault, [], {}, None, check_mode, refused="b: it is stopped")
    assert f"  why    {guard}: no; b: it is stopped" in _drills.result_lines(result)


def test_what_was_cut_is_told():
    drill = {**DRILL, "target": "TCP and UDP to port 7844"}
    result = _drills.drill_result({"reached": True}, [WELL], {"reached": True, "drill": drill})
    assert "  of     TCP and UDP to port 7844" in _drills.result_lines(result)


@pytest.mark.parametrize(
    ("recovery", "said"),
    [
        ([WELL], "recovery: reached"),
        ([], "recovery: nothing, because the service was healthy or in transition by itself"),
    ],
)
def test_what_recovery_did_is_told_also_where_that_was_nothing(recovery, said):
    result = _drills.drill_result({"reached": True}, recovery, {"reached": True, "drill": DRILL})
    assert [line for line in _drills.result_lines(result) if "did" in line] == [f"  did    {said}"]
