# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services of a host are driven in one task, and what is kept of their results."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._parallel_recovery import (
    drive_calls,
    parallel_needs,
    parallel_recovery_result,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._recovery_steps import fixes

SETTINGS = {"depth": "reset_start", "accept_causes": [], "owner": "ann"}


def need(name, kind="generic", causes=(), allowed=(), hooks=(), **entry):
    given = {"kind": kind, **entry, "name": name, "causes": list(causes), "observation": {"state": "stopped"}}
    whole = {**given, "label": name, "entry": {"name": name, **({"kind": kind} if kind != "generic" else {}), **entry}}
    return {**whole, "fixes": fixes(whole, allowed, hooks)}


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ([need("a"), need("b")], "ab"),
        ([need("a"), need("v", "besu"), need("t", "cloudflared")], "a"),
        # A start limit is cleared by the recovery itself; the other fixes are tasks.
        ([need("a", causes=["start_limit"], allowed=["clear_start_limit"])], "a"),
        ([need("a", causes=["disk_full"], allowed=["free_journal_space"]), need("b")], "b"),
        ([need("a", causes=["killed"], hooks=["killed"]), need("b")], "b"),
        ([need("a", depends_on=["x"], allowed=["start_dependency"]), need("b", depends_on=["x"])], "b"),
        # What depends on one with steps of its own comes after it.
        ([need("a", depends_on=["b"]), need("b", depends_on=["v"]), need("v", "besu"), need("c")], "c"),
    ],
)
def test_who_goes_together(needs, expected):
    assert "".join(one["name"] for one in parallel_needs(needs)) == expected


def test_what_is_asked_for_each():
    calls = drive_calls([need("a"), need("b"), need("v", "besu")], SETTINGS, done=["b"])
    (call,) = calls
    assert call["service"] == {"name": "a"} and call["override"]["owner"] == "ann"
    assert call["defaults"] == {"state": "running", "recovery": "reset_start"}
    assert len(drive_calls([need("a"), need("v", "besu")], SETTINGS, everyone=True, host="h")) == 2


def well(name):
    return {"name": name, "reached": True, "changed": True, "state": "running"}


def wants_another(name):
    return {"name": name, "reached": False, "changed": False, "blocked_by": [{"guard": "dependency", "reason": "r"}]}


def test_each_result_belongs_to_its_service():
    found = parallel_recovery_result([need("a"), need("v", "besu"), need("b")], {"results": [well("a"), well("b")]})
    assert [(one["name"], one["reached"]) for one in found["results"]] == [("a", True), ("b", True)]
    assert found["left"] == ["v"]


def test_who_waits_for_one_that_is_still_to_come_is_tried_again_after_it():
    needs = [need("a"), need("v", "besu")]
    assert parallel_recovery_result(needs, {"results": [wants_another("a")]})["left"] == ["v", "a"]
    alone = parallel_recovery_result([need("a")], {"results": [wants_another("a")]})
    assert alone["left"] == [] and alone["results"][0]["failed"]


def test_a_host_that_was_lost_has_a_result_for_each():
    run = {"unreachable": True, "msg": "no route to host"}
    results = parallel_recovery_result([need("a"), need("b")], run)["results"]
    assert [(one["name"], one["unreachable"], one["failed"]) for one in results] == [
        ("a", True, True),
        ("b", True, True),
    ]


def test_results_from_before_are_kept():
    before = [{"label": "b", "name": "b", "reached": True}]
    found = parallel_recovery_result([need("a"), need("b")], {"skipped": True}, done=before)
    assert found == {"results": before, "left": ["a"]}
