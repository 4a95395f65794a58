# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.chainops.lifecycle.plugins.filter.filters import FilterModule
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import (
    _fleet,
    _outcomes,
    _recovery_plan,
    _reports,
    _tables,
    _waves,
)

FILTERS = FilterModule().filters()
services_to_recover, plan_filter = FILTERS["services_to_recover"], FILTERS["recovery_plan"]


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
        ("running", "stopped", None, _fleet.NEEDS_RECOVERY),
        ("stopped", "running", None, _fleet.NEEDS_RECOVERY),
        ("error", "running", None, _fleet.NEEDS_RECOVERY),
        ("starting", "running", None, _fleet.TRANSITIONING),
        ("restarting", "running", None, _fleet.TRANSITIONING),
        ("stopping", "stopped", None, _fleet.TRANSITIONING),
        ("error", "running", HOLD, _fleet.HELD),
        ("running", "running", HOLD, _fleet.OK),
        ("unknown", "running", HOLD, _fleet.UNKNOWN),
    ],
)
def test_the_verdict_on_a_service(state, wanted, hold, verdict):
    (row,) = _fleet.read_fleet({"h": {"services": [seen(state, hold=hold)]}}, {"h": [{"name": "api", "state": wanted}]})
    assert row.verdict == verdict


@pytest.mark.parametrize("state", ["starting", "restarting", "running", "stopping"])
@pytest.mark.parametrize(
    ("wanted", "hold", "verdict"),
    [
        ("running", None, _fleet.NEEDS_RECOVERY),
        ("running", HOLD, _fleet.HELD),
        ("restarted", None, _fleet.NEEDS_RECOVERY),
    ],
)
def test_what_systemd_tries_again_in_vain_is_in_need_in_each_phase(state, wanted, hold, verdict):
    one = {**seen(state, hold=hold, causes=["config_invalid"]), "flags": ["retrying"]}
    (row,) = _fleet.read_fleet({"h": {"services": [one]}}, {"h": [{"name": "api", "state": wanted}]})
    assert row.verdict == verdict


def test_what_is_to_be_stopped_is_well_once_it_is_on_its_way_there():
    one = {**seen("stopping", causes=["config_invalid"]), "flags": ["retrying"]}
    (row,) = _fleet.read_fleet({"h": {"services": [one]}}, {"h": [{"name": "api", "state": "stopped"}]})
    assert row.verdict == _fleet.TRANSITIONING


@pytest.mark.parametrize(
    "services",
    [
        [{}],
        ["x"],
        "x",
        5,
        [seen("nonsense")],
        [{**seen("running"), "hold": {"x": 1}}],
        [{**seen("running"), "diagnosis": {"causes": [{}]}}],
        [{**seen("running"), "reasons": 5}],
    ],
)
def test_an_answer_that_is_none_costs_its_host_and_not_the_fleet(services):
    rows = _fleet.read_fleet({"evil": {"services": services}, "well": {"services": [seen("running")]}}, {})
    assert (rows[-1].host, rows[-1].verdict) == ("well", _fleet.OK)
    assert all(row.host == "evil" for row in rows[:-1])


@pytest.mark.parametrize(
    ("limit", "hosts", "allowed"),
    [(3, 10, 3), ("0", 10, 0), ("50%", 3, 2), ("1%", 10, 1), ("0%", 10, 1), ("100%", 7, 7), (" 2 ", 4, 2)],
)
def test_how_many_may_be_in_need(limit, hosts, allowed):
    assert _waves.allowed_unhealthy(limit, hosts) == allowed


@pytest.mark.parametrize("limit", ["many", "-1", "101%", "1.5", "", None, "50 %"])
def test_a_threshold_that_means_nothing_names_the_option(limit):
    with pytest.raises(AnsibleFilterError, match="max_unhealthy"):
        plan_filter(fleet(a="error"), {}, limit)


def test_who_is_down_already_comes_first_and_who_cannot_be_seen_is_left_alone():
    plan = _recovery_plan.recovery_plan({**fleet(a="error", b="running", c="stopped"), "d": LOST}, {}, "100%")
    assert (plan["hosts"], plan["unknown"], plan["refusal"]) == (["c", "a"], ["d"], "")


def test_hosts_that_cannot_be_seen_count_as_unhealthy():
    plan = _recovery_plan.recovery_plan({**fleet(a="error", b="running"), "c": LOST}, {}, 1)
    assert (plan["hosts"], plan["due"]) == ([], ["a"])
    assert "2 of 3 hosts" in plan["refusal"] and any("REFUSED" in line for line in plan["lines"])


def test_a_fleet_without_services_is_told_so():
    for lines in (
        _recovery_plan.recovery_plan({"a": {"services": []}}, {})["lines"],
        _reports.status_lines({"a": {"services": []}}),
    ):
        assert any("lifecycle_services" in line for line in lines)


def test_the_alerts_stand_below_the_fleet_the_gravest_first():
    loud = {**seen("error"), "alerts": [{"id": "attempts_exhausted"}, {"id": "in_error", "summary": "<b>trust me</b>"}]}
    lines = _reports.status_lines({"h1": {"services": [loud, {**seen("running"), "alerts": [{"id": "made up"}]}]}})
    shown = lines[lines.index("2 alerts:") :]
    assert shown[1].split() == "critical h1 api: in_error, the service has been unhealthy for too long".split()
    assert "attempts_exhausted" in shown[2] and shown[3].startswith("  next for in_error: see what recovery would do")
    assert not any("trust me" in line or "made up" in line for line in lines)


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
    assert [(e["label"], e["observation"]["state"]) for e in found] == [
        ("api", "error"),
        ("api of the user", "stopped"),
    ]


def test_a_name_in_both_scopes_has_a_verdict_in_each():
    observed = {"h": {"services": [seen("running"), seen("stopped")]}}
    described = {"h": ["api", {"name": "api", "scope": "user", "state": "stopped"}]}
    rows = _fleet.read_fleet(observed, described)
    assert [(row.label, row.desired, row.verdict) for row in rows] == [
        ("api", "running", _fleet.OK),
        ("api of the user", "stopped", _fleet.OK),
    ]
    assert sum("api of the user" in line for line in _reports.status_lines(observed, described)) == 1
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
        "reached": not more.get("failed"),
        "transitions": [{"action": "start", "applied": True}],
        **more,
    }


IDLE = {"changed": False, "transitions": []}


@pytest.mark.parametrize(
    ("given", "outcome", "guard"),
    [
        (result(), "recovered", None),
        (result(**IDLE), "self_recovered", None),
        (result(changed=False, transitions=[{"action": "start", "applied": False}]), "planned", None),
        (result(failed=True, **IDLE, blocked_by=[{"guard": "cause", "reason": "no", "hint": "x"}]), "refused", "cause"),
        (result(failed=True, blocked_by=[{"guard": "cause", "reason": "no", "hint": "x"}]), "failed", "cause"),
        (result(failed=True, **IDLE, msg="no"), "failed", None),
        (result(failed=True, **IDLE, observed=False, msg="no"), "unknown", None),
    ],
)
def test_the_outcome_of_a_service(given, outcome, guard):
    plan = _recovery_plan.recovery_plan({**fleet(a="error", b="error", d="running"), "c": LOST}, {}, "100%")
    entries = [entry.as_dict() for entry in _reports.recovery_entries({"a": [given]}, plan)]
    assert [(one["host"], one["service"], one["outcome"], one["guard"]) for one in entries] == [
        ("a", "api", outcome, guard),
        ("b", "api", "not_attempted", None),
        ("d", "api", "healthy", None),
        ("c", None, "unknown", None),
    ]


@pytest.mark.parametrize(
    ("seen_now", "outcome"), [(seen("error", hold=HOLD), "skipped"), (seen("starting"), "transitioning")]
)
def test_what_is_not_acted_on_has_an_outcome(seen_now, outcome):
    plan = _recovery_plan.recovery_plan({"a": {"services": [seen_now]}}, {})
    (entry,) = _reports.recovery_entries({}, plan)
    assert entry.outcome == outcome and entry.reason


def test_a_plan_that_is_refused_refuses_every_service_in_need():
    plan = _recovery_plan.recovery_plan(fleet(a="error", b="error", c="running"), {}, 1)
    entries = _reports.recovery_entries({}, plan)
    assert [(entry.outcome, entry.guard) for entry in entries] == [
        ("refused", "max_unhealthy"),
        ("refused", "max_unhealthy"),
        ("healthy", ""),
    ]


def test_what_was_found_in_need_later_is_counted_too():
    plan = _recovery_plan.recovery_plan(fleet(a="running"), {})
    entries = _reports.recovery_entries({"a": [result(name="db")]}, plan)
    assert [(entry.service, entry.outcome) for entry in entries] == [("api", "healthy"), ("db", "recovered")]
    assert _outcomes.counted(entries) == "1 recovered, 1 healthy"


def test_the_summary_says_what_the_role_saw_before_it_fixed_anything():
    given = result(
        observation=seen("error", causes=("start_limit",)), before=seen("stopped"), fixes=["start limit cleared"]
    )
    lines = _reports.summary_lines({"a": [given]}, {"due": ["a"], "rows": []})
    assert lines[1:4] == [
        "  saw    error, start_limit: sum start_limit",
        "         line start_limit",
        "  did    start limit cleared; start",
    ]


def test_a_stop_by_force_is_not_shown_as_the_cause_of_the_stop():
    given = result(observation=seen("running"), diagnosis=seen("error", causes=("killed",))["diagnosis"])
    summary = _reports.summary_lines({"a": [given]}, {"due": ["a"], "rows": []})
    assert summary[0].startswith("a api: RECOVERED from running") and "killed" not in summary[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "a api: RECOVERED from error (killed; the port is free now) by start: running, invocation 76e7bc52"),
        (
            {"changed": False, "transitions": []},
            "a api: SELF RECOVERED from error (killed; the port is free now): running, invocation 76e7bc52",
        ),
        (
            {"transitions": [{"action": "start", "applied": False}]},
            "a api: PLANNED from error (killed; the port is free now) by start",
        ),
    ],
)
def test_what_ended_well_is_a_sentence_within_the_width(given, said):
    after = {**seen("running"), "unit_facts": {"active_state": "active", "invocation_id": "76e7bc52" * 4}}
    known = {"observation": seen("error", causes=("killed",)), "after": after, "resolved": "the port is free now"}
    done, plan = {"a": [result(**{**known, **given})]}, {"due": ["a"], "rows": []}
    assert _reports.summary_lines(done, plan, 200)[:2] == [said, ""]
    for width in (80, 100):
        lines = _reports.summary_lines(done, plan, width)[:-2]
        assert " ".join(line.strip() for line in lines) == said and all(len(line) <= width for line in lines)


@pytest.mark.parametrize("width", [80, 100])
def test_many_that_were_recovered_have_one_line(width):
    """Each had a line of its own as it ended; what did not end well keeps its block."""
    names = [f"app{number}" for number in range(12)]
    done = [result(name=name) for name in names]
    lines = _reports.summary_lines({"a": done[:3]}, {"due": ["a"], "rows": []}, width)
    assert [line.partition(":")[0] for line in lines[:3]] == ["a app0", "a app1", "a app2"]
    told = [*done, result(name="fixed", resolved="it is there now"), result(name="bad", reached=False, msg="is down")]
    lines = _reports.summary_lines({"a": told}, {"due": ["a"], "rows": []}, width)
    said = " ".join(line.strip() for line in lines)
    assert f"a: 12 RECOVERED: {', '.join(names)}" in said and "a bad: FAILED" in said and "a fixed: RECOVERED" in said
    assert lines[-1].startswith("Summary: 13 recovered") and max(map(len, lines)) <= width


def test_one_line_that_counts_them_all_is_not_counted_again():
    names = [f"app{number}" for number in range(8)]
    done = [result(name=name) for name in names]
    plan = {"due": ["a"], "rows": []}
    assert _reports.summary_lines({"a": done}, plan, 200) == [f"a: 8 RECOVERED: {', '.join(names)}"]
    two = _reports.summary_lines({"a": done, "b": done}, {**plan, "due": ["a", "b"]}, 200)
    assert two[2:] == ["", "Summary: 16 recovered"]
    for other in (result(name="bad", reached=False, msg="is down"), result(name="fixed", resolved="it is there now")):
        assert _reports.summary_lines({"a": [*done, other]}, plan, 200)[-1].startswith("Summary: ")
    rest = {**plan, "due": ["a", "c"]}
    assert _reports.summary_lines({"a": done}, rest, 200)[-1].startswith("Summary: ")


def test_a_host_that_was_lost_has_a_summary():
    lost = {"name": "-", "observed": False, "reached": False, "changed": False, "msg": "a cannot be reached: no route"}
    lines = _reports.summary_lines({"a": [lost]}, {"due": ["a"], "rows": []})
    assert lines[:2] == ["a -: UNKNOWN", "  saw    unknown"] and any("cannot be reached" in line for line in lines)


@pytest.mark.parametrize(
    ("age", "text"), [(None, "-"), (0, "0 s"), (61, "1 min 1 s"), (90000, "1 d 1 h"), (3600, "1 h")]
)
def test_a_length_of_time(age, text):
    assert _tables.duration(age) == text


@pytest.mark.parametrize(
    ("state", "flags", "verdict"),
    [
        ("stopped", [], "ok"),
        ("stopped", ["no_next_run"], "needs_recovery"),
        ("starting", [], "transitioning"),
        ("error", [], "needs_recovery"),
    ],
)
def test_a_service_that_runs_to_its_end(state, flags, verdict):
    seen = {"name": "backup", "kind": "generic", "state": state, "flags": flags}
    (row,) = _fleet.read_fleet({"h1": {"services": [seen]}}, {"h1": [{"name": "backup", "state": "succeeded"}]})
    assert (
        row.verdict
        == {"ok": _fleet.OK, "needs_recovery": _fleet.NEEDS_RECOVERY, "transitioning": _fleet.TRANSITIONING}[verdict]
    )


@pytest.mark.parametrize(("outcome", "number"), [("open", 1), ("verified", 0), ("failed", 0)])
def test_a_recovery_takes_up_a_start_of_which_no_run_saw_the_end(outcome, number):
    starting = {**seen("starting"), "last_start": {"owner": "ann", "outcome": outcome}}
    assert len(services_to_recover([starting], ["api"])) == number
    assert _fleet.read_fleet({"h": {"services": [starting]}}, {"h": ["api"]})[0].verdict == "transitioning"
