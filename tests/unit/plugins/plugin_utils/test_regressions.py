# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is worse after a wave than it was."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _reports
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._recovery_plan import recovery_plan
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._regressions import regressed_services


def seen(state, **more):
    return {"services": [{"name": "api", "kind": "generic", "state": state, "reasons": ["x"], **more}]}


LOST = {"unreachable": True, "msg": "no route"}
DONE = [{"name": "api", "kind": "generic", "reached": True, "changed": True}]
HOLD = {"owner": "ann", "reason": "disk"}
UP, DOWN = seen("running"), seen("error")


@pytest.mark.parametrize(
    ("before", "done", "after", "why"),
    [
        (UP, None, UP, None),
        (UP, None, DOWN, "it was healthy before wave 2, and after it is error: x"),
        (UP, None, seen("restarting"), None),
        (UP, None, seen("unknown"), "it was healthy before wave 2, and after it is unknown: x"),
        (UP, None, seen("stopped", hold=HOLD), None),
        (UP, None, LOST, "it can no longer be observed after wave 2: unreachable: no route"),
        (UP, None, {"skipped": True}, "it can no longer be observed after wave 2: no answer"),
        (DOWN, DONE, UP, None),
        (DOWN, DONE, DOWN, "it was recovered, and after wave 2 it is error: x"),
        (DOWN, DONE, seen("restarting"), "it was recovered, and after wave 2 it is restarting: x"),
        (DOWN, DONE, LOST, "it can no longer be observed after wave 2: unreachable: no route"),
        (DOWN, [{**DONE[0], "reached": False}], DOWN, None),
        (DOWN, [{**DONE[0], "transitions": [{"applied": False}]}], DOWN, None),
        (DOWN, None, DOWN, None),
        (LOST, None, LOST, None),
        (LOST, None, DOWN, None),
    ],
)
def test_what_counts_as_fallen(before, done, after, why):
    plan = recovery_plan({"h": before}, {}, "100%")
    found = regressed_services({"h": after}, {}, plan, {"h": done} if done else {}, 2)
    assert [one["reason"] for one in found] == ([why] if why else [])


def test_what_has_fallen_is_harm_and_the_end_of_the_service():
    plan = recovery_plan({"h": UP, "done": DOWN, "next": DOWN}, {}, "100%")
    results = {"done": DONE}
    regressions = regressed_services({"h": DOWN, "done": DOWN, "next": DOWN}, {}, plan, results, 1)
    harm = _reports.harm(results, plan, 0, regressions)
    assert harm["stops"] and harm["hosts"] == ["done", "h"] and "done/api, h/api" in harm["reason"]
    assert not _reports.harm(results, plan, 2, regressions)["stops"]
    entries = {entry.host: entry.outcome for entry in _reports.recovery_entries(results, plan, regressions)}
    assert entries == {"h": "failed", "done": "failed", "next": "not_attempted"}
    assert "h api: FAILED, it was healthy before wave 1, and after it is error: x" in _reports.summary_lines(
        results, plan, 100, regressions
    )


def test_a_host_that_is_lost_before_its_turn_has_not_recovered_by_itself():
    plan = recovery_plan({"h": DOWN}, {}, "100%")
    lost = [{"name": "-", "observed": False, "reached": False, "msg": "h cannot be reached: no route"}]
    entries = _reports.recovery_entries({"h": lost}, plan)
    assert [(one.service, one.outcome) for one in entries] == [("api", "unknown"), ("", "unknown")]
    assert [one.outcome for one in _reports.recovery_entries({"h": []}, plan)] == ["self_recovered"]


@pytest.mark.parametrize(
    ("done", "unreachable"),
    [
        ({"name": "-", "observed": False, "reached": False, "msg": "h cannot be reached: no route"}, True),
        ({"name": "api", "reached": False, "unreachable": True, "msg": "no route"}, True),
        ({"name": "api", "reached": False, "changed": True, "msg": "it did not come back"}, False),
    ],
    ids=["at its turn", "while it was worked on", "reached"],
)
def test_a_host_that_is_lost_is_blamed_as_unreachable(done, unreachable):
    plan = recovery_plan({"h": DOWN}, {}, "100%")
    bad = _reports.bad_hosts(_reports.recovery_entries({"h": [done]}, plan), plan)
    assert [(host, why["unreachable"]) for host, why in bad.items()] == [("h", unreachable)]


@pytest.mark.parametrize(
    ("now", "outcome"),
    [({"hold": {"owner": "bob", "reason": "work"}}, "skipped"), ({"state": "running"}, "self_recovered")],
)
def test_what_the_role_left_alone_at_its_turn_has_not_recovered_by_itself(now, outcome):
    plan = recovery_plan({"h": DOWN}, {}, "100%")
    at_its_turn = {"h": {"services": [{**DOWN["services"][0], **now}]}}
    assert [one.outcome for one in _reports.recovery_entries({"h": []}, plan, observed=at_its_turn)] == [outcome]
    said = _reports.summary_lines({"h": []}, plan, observed=at_its_turn)
    assert said[-1] == f"Summary: 1 {outcome.replace('_', ' ')}"
