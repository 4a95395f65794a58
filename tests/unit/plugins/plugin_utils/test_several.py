# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several services driven in slices: what is left, what they came to, what is said of each."""

from __future__ import annotations

import json

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _several
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._several import SlicedServices

BUSY = {"failed": True, "blocked_by": [{"guard": "busy", "reason": "locked by ann", "hint": ""}], "duration": 1.0}
NOT_YET = {"begun": False, "waiting": True}


def waiting(seconds=10.0, **more):
    return {"begun": True, "waiting": True, "duration": seconds, "before": {"state": "error"}, **more}


def ended(seconds=2.0, **more):
    return {"begun": True, "reached": True, "changed": True, "duration": seconds, "before": {"state": "starting"},
            "after": {"state": "running"}, **more}  # fmt: skip


def test_who_has_ended_is_not_asked_again():
    waits = SlicedServices(["a", "b", "c"], [120, 120, 120])
    assert waits.take([0, 1, 2], [ended(), waiting(), NOT_YET]) == [0]
    assert (waits.open, waits.begun(1), waits.begun(2)) == ([1, 2], True, False)
    assert (waits.left(1), waits.left(2)) == (110, 120)
    assert waits.take([1, 2], [ended(), ended()]) == [1, 2] and waits.open == []


def test_the_result_is_that_of_the_whole_wait():
    waits = SlicedServices(["a"], [120])
    waits.take([0], [waiting(diagnosis={"causes": [{"id": "killed"}]})])
    waits.take([0], [ended()])
    (result,) = waits.results
    assert (result["before"]["state"], result["after"]["state"], result["duration"]) == ("error", "running", 12.0)
    assert result["diagnosis"]["causes"][0]["id"] == "killed" and result["changed"]


def test_a_lock_of_another_run_is_waited_for_between_slices_only():
    waits = SlicedServices(["a", "b"], [120, 120])
    assert waits.take([0, 1], [waiting(), {"begun": True, **BUSY}]) == [1]
    assert waits.take([0], [{"begun": True, **BUSY}]) == []
    assert waits.take([0], [{"begun": True, **BUSY, "duration": 200.0}]) == [0]


def test_a_lost_slice_may_have_begun_everything():
    waits = SlicedServices(["a", "b"], [20, 120])
    waits.lost(15)
    assert [waits.begun(0), waits.begun(1), waits.may_go_on] == [True, True, True]
    assert waits.take([0, 1], [{"begun": True, **BUSY}, waiting()]) == []
    waits.lost(110)
    assert waits.may_go_on is False
    assert waits.give_up("gone", unreachable=True) == [0, 1]
    assert [(one["name"], one["failed"], one["unreachable"]) for one in waits.results] == [
        ("a", True, True),
        ("b", True, True),
    ]


def test_what_a_slice_has_changed_is_not_forgotten_where_a_later_one_ends_badly():
    waits = SlicedServices(["lost", "failed"], [120, 120])
    waits.take([0, 1], [waiting(changed=True), waiting(changed=True)])
    waits.take([1], [{"begun": True, "failed": True, "reached": False, "changed": False, "duration": 1.0}])
    waits.give_up("the module was killed")
    assert {one["name"]: one["changed"] for one in waits.results} == {"lost": True, "failed": True}


def test_a_result_is_reduced_to_what_is_read_of_it():
    long = {
        "reasons": [f"reason {number}" for number in range(50)],
        "unit_facts": {"invocation_id": "i", "x": "y" * 999},
    }
    causes = [
        {"id": f"c{number}", "class": "soft", "summary": "s", "evidence": ["e" * 50] * 40} for number in range(20)
    ]
    whole = ended(before=long, after=long, diff={"before": {}}, diagnosis={"causes": causes, "lines": ["l"] * 500})
    small = _several.reduced({"name": "a", **whole})
    assert len(json.dumps(small)) < 2000 and "diff" not in small
    assert small["after"]["unit_facts"] == {"invocation_id": "i"} and len(small["diagnosis"]["causes"]) == 3


STEP = {"action": "systemctl start", "trigger": "start", "applied": True}


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (ended(name="api", transitions=[STEP], after={"name": "api", "state": "running",
                                                      "unit_facts": {"invocation_id": "0123456789"}}),
         "[h] api: recovered, running: systemctl start, invocation 01234567 (2 s)"),
        (ended(name="api", changed=False), "[h] api: self recovered, running: nothing to do (2 s)"),
        ({"name": "api", "failed": True, "reached": False, "blocked_by": [{"guard": "hold", "reason": "ann holds it"}]},
         "[h] api: refused (hold): ann holds it"),
        ({"name": "api", "failed": True, "changed": True, "reached": False, "msg": "did\nnot {{ come }}"},
         "[h] api: failed: did"),
    ],
)  # fmt: skip
def test_the_line_of_a_service(result, said):
    line = _several.line("h", result)
    assert line.startswith(said) and "\n" not in line
