# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.chainops.lifecycle.plugins.filter.recovery_plan import FilterModule as PlanFilter
from ansible_collections.chainops.lifecycle.plugins.filter.services_to_recover import FilterModule as NeedFilter
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _fleet, _recovery_plan

services_to_recover = NeedFilter().filters()["services_to_recover"]
plan_filter = PlanFilter().filters()["recovery_plan"]


def seen(state, *, name="api", kind="generic", hold=None, causes=(), cause=None):
    observation = {
        "name": name,
        "kind": kind,
        "state": state,
        "reasons": [f"it is {state}"],
        "hold": hold,
        "cause": cause,
        "age": 5.0,
    }
    if causes:
        observation["diagnosis"] = {
            "causes": [
                {"id": c, "summary": f"sum {c}", "evidence": [f"line {c}"], "next_step": f"do {c}"} for c in causes
            ]
        }
    return observation


def fleet(**states):
    return {host: {"services": [seen(state)]} for host, state in states.items()}


LOST = {"unreachable": True, "msg": "no route"}
HOLD = {"owner": "ann", "reason": "a copy"}


@pytest.mark.parametrize(
    ("state", "wanted", "hold", "verdict"),
    [
        ("running", "running", None, _fleet.OK),
        ("stopped", "stopped", None, _fleet.OK),
        ("running", "stopped", None, _fleet.IN_NEED),
        ("stopped", "running", None, _fleet.IN_NEED),
        ("error", "running", None, _fleet.IN_NEED),
        ("starting", "running", None, _fleet.ON_ITS_WAY),
        ("restarting", "running", None, _fleet.ON_ITS_WAY),
        ("stopping", "stopped", None, _fleet.ON_ITS_WAY),
        ("error", "running", HOLD, _fleet.HELD),
        ("running", "running", HOLD, _fleet.OK),
        ("unknown", "running", HOLD, _fleet.UNKNOWN),
    ],
)
def test_the_verdict_on_a_service(state, wanted, hold, verdict):
    (row,) = _fleet.read_fleet({"h": {"services": [seen(state, hold=hold)]}}, {"h": [{"name": "api", "state": wanted}]})
    assert row.verdict == verdict


@pytest.mark.parametrize(
    ("limit", "hosts", "allowed"),
    [(3, 10, 3), ("0", 10, 0), ("50%", 3, 2), ("1%", 10, 1), ("0%", 10, 1), ("100%", 7, 7), (" 2 ", 4, 2)],
)
def test_how_many_may_be_in_need(limit, hosts, allowed):
    assert _recovery_plan.allowed_in_need(limit, hosts) == allowed


@pytest.mark.parametrize("limit", ["many", "-1", "101%", "1.5", "", None, "50 %"])
def test_a_threshold_that_means_nothing_names_the_option(limit):
    with pytest.raises(AnsibleFilterError, match="max_unhealthy"):
        plan_filter(fleet(a="error"), {}, limit)


def test_who_is_down_already_comes_first_and_who_cannot_be_seen_is_left_alone():
    plan = _recovery_plan.recovery_plan({**fleet(a="error", b="running", c="stopped"), "d": LOST}, {}, "100%")
    assert (plan["hosts"], plan["unknown"], plan["refusal"]) == (["c", "a"], ["d"], "")


def test_hosts_that_cannot_be_seen_count_as_unhealthy():
    plan = _recovery_plan.recovery_plan({**fleet(a="error", b="running"), "c": LOST}, {}, 1)
    assert (plan["hosts"], plan["in_need"]) == ([], ["a"])
    assert "2 of 3 hosts" in plan["refusal"] and any("REFUSED" in line for line in plan["lines"])


def test_a_fleet_without_services_is_told_so():
    for lines in (
        _recovery_plan.recovery_plan({"a": {"services": []}}, {})["lines"],
        _fleet.status_lines({"a": {"services": []}}),
    ):
        assert any("lifecycle_services" in line for line in lines)


def test_services_in_need_keep_their_description_and_their_causes():
    found = services_to_recover(
        [seen("running"), seen("error", name="db", causes=("file_missing", "start_limit"), cause="exit_code")],
        ["api", {"name": "db", "known_good": {"/a": "/b"}}],
    )
    assert [(e["name"], e["label"], e["causes"], e["known_good"]) for e in found] == [
        ("db", "db", ["file_missing", "start_limit", "exit_code"], {"/a": "/b"})
    ]


def test_a_name_in_both_scopes_is_two_services():
    found = services_to_recover([seen("error"), seen("stopped")], ["api", {"name": "api", "scope": "user"}])
    assert [(e["label"], e["seen"]["state"]) for e in found] == [("api", "error"), ("api of the user", "stopped")]


def test_a_name_in_both_scopes_has_a_verdict_in_each():
    observed = {"h": {"services": [seen("running"), seen("stopped")]}}
    described = {"h": ["api", {"name": "api", "scope": "user", "state": "stopped"}]}
    rows = _fleet.read_fleet(observed, described)
    assert [(row.label, row.wanted, row.verdict) for row in rows] == [
        ("api", "running", _fleet.OK),
        ("api of the user", "stopped", _fleet.OK),
    ]
    assert sum("api of the user" in line for line in _fleet.status_lines(observed, described)) == 1
    (row,) = _fleet.read_fleet(
        {"h": {"services": [seen("stopped")]}}, {"h": ["db", {"name": "api", "state": "stopped"}]}
    )
    assert row.verdict == _fleet.OK, "fewer were looked at than are described"


def test_other_services_than_those_described_are_refused():
    with pytest.raises(AnsibleFilterError, match="observe the same"):
        services_to_recover([seen("error")], ["db"])


def result(**more):
    return {
        "name": "api",
        "changed": True,
        "failed": False,
        "transitions": [{"action": "start", "applied": True}],
        **more,
    }


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (result(), "recovered"),
        (result(changed=False, transitions=[]), "well by itself"),
        (result(transitions=[{"action": "start", "applied": False}]), "planned"),
        (result(failed=True, changed=False, blocked_by=[{"guard": "cause", "hint": "x"}]), "refused"),
        (result(failed=True, blocked_by=[{"guard": "cause", "hint": "x"}]), "failed"),
        (result(failed=True, changed=False, msg="no"), "failed"),
    ],
)
def test_the_outcome_of_a_service(given, word):
    plan = {"in_need": ["a", "b"], "unknown": ["c"]}
    found = _fleet.summary({"a": [given]}, plan)
    assert {k: v for k, v in found.items() if v} == {word: ["a/api"], "not touched": ["b"], "unknown": ["c"]}


def test_the_summary_says_what_the_role_saw_before_it_mended_anything():
    given = result(seen=seen("error", causes=("start_limit",)), before=seen("stopped"), fixes=["start limit cleared"])
    lines = _fleet.summary_lines({"a": [given]}, {"in_need": ["a"], "unknown": []})
    assert lines[1:4] == [
        "  saw    error, start_limit: sum start_limit",
        "         line start_limit",
        "  did    start limit cleared; start",
    ]


def test_a_stop_by_force_is_not_shown_as_the_cause_of_the_stop():
    given = result(seen=seen("running"), diagnosis=seen("error", causes=("killed",))["diagnosis"])
    assert (
        _fleet.summary_lines({"a": [given]}, {"in_need": ["a"], "unknown": []})[1] == "  saw    running, it is running"
    )


def test_a_host_that_was_lost_has_a_summary():
    lost = {"name": "-", "failed": True, "changed": False, "msg": "a cannot be reached: no route"}
    lines = _fleet.summary_lines({"a": [lost]}, {"in_need": ["a"], "unknown": []})
    assert lines[:2] == ["a -: FAILED", "  saw    unknown"] and any("cannot be reached" in line for line in lines)


@pytest.mark.parametrize(
    ("age", "text"), [(None, "-"), (0, "0 s"), (61, "1 min 1 s"), (90000, "1 d 1 h"), (3600, "1 h")]
)
def test_a_length_of_time(age, text):
    assert _fleet.duration(age) == text
