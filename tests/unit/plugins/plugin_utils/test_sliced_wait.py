# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of a wait in slices."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._sliced_wait import SlicedWait, seconds
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._sync_report import sync_summary


class Clock:
    now = 50.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def wait(clock):
    return SlicedWait("[n1] besu", 100.0, clock)


def observation(state, head=None, **more):
    details = {} if head is None else {"head": head, "lag": 100 - head}
    return {"state": state, "reasons": [f"it is {state}", "really"], "besu": details, **more}


def a_slice(state, head=None, *, waiting=True, **more):
    return {
        "changed": False,
        "reached": False,
        "state": state,
        "before": observation(state, head),
        "after": observation(state, head),
        "diff": {"before": {"state": state}, "after": {"state": state}},
        "transitions": [],
        "blocked_by": [],
        "duration": 10.0,
        **({"waiting": True} if waiting else {}),
        **more,
    }


BUSY = {"blocked_by": [{"guard": "busy", "reason": "locked by ann", "hint": "wait"}], "msg": "ann works on it"}


@pytest.mark.parametrize(
    ("value", "number"),
    [("7200", 7200.0), (5, 5.0), (0, None), (-1, None), ("soon", None), (None, None), ("inf", None), ("nan", None)],
)
def test_seconds(value, number):
    assert seconds(value) == number


def test_slices_become_one_result(wait, clock):
    assert wait.goes_on(a_slice("starting", changed=True, diagnosis={"causes": []}))
    assert wait.goes_on(a_slice("syncing", 40, diagnosis={"causes": [1]}))
    clock.now += 30
    last = a_slice("running", 100, waiting=False, reached=True, progress={"head": 100})
    assert not wait.goes_on(last)
    whole = wait.result(last)
    assert (whole["changed"], whole["reached"], whole["state"], whole["duration"]) == (True, True, "running", 30.0)
    assert whole["before"]["state"] == "starting" and whole["after"]["state"] == "running"
    assert whole["diff"] == {"before": {"state": "starting"}, "after": {"state": "running"}}
    assert whole["diagnosis"] == {"causes": [1]}
    assert whole["progress"]["imported"] == 60


def test_a_failure_ends_it_at_once(wait):
    assert wait.goes_on(a_slice("syncing", 40))
    last = a_slice("error", 40, waiting=False, failed=True, msg="stuck")
    assert not wait.goes_on(last)
    assert wait.result(last)["failed"] and not wait.result(last)["changed"]


def test_when_the_time_is_over_a_last_look_tells_how_it_ended(wait, clock):
    clock.now += 101
    assert wait.left == 0
    assert wait.goes_on(a_slice("syncing", 40))
    assert not wait.goes_on(a_slice("syncing", 40, waiting=False, **BUSY))


def test_an_option_that_is_refused_is_passed_on(wait):
    refusal = {"failed": True, "msg": "lag_blocks: -1 is negative"}
    assert not wait.goes_on(refusal)
    assert wait.result(refusal) == refusal


def test_who_is_busy_is_waited_for_only_in_the_middle(wait):
    refused = a_slice("syncing", 40, waiting=False, **BUSY)
    assert not wait.goes_on(refused)
    assert wait.goes_on(a_slice("syncing", 40))
    assert wait.goes_on(refused)
    assert "ann works on it" in wait.line(refused)


def test_a_module_that_is_cut_off_costs_a_slice(wait):
    cut = {"failed": True, "module_stdout": "", "module_stderr": "Terminated", "rc": 143, "msg": "MODULE FAILURE"}
    assert not wait.goes_on(cut), "at the beginning it is something else"
    assert wait.goes_on(a_slice("syncing", 40))
    assert wait.goes_on(cut)
    assert "the module was cut off, the wait continues" in wait.line(cut)
    assert wait.goes_on(a_slice("syncing", 40))
    assert wait.goes_on(cut)
    assert not wait.goes_on(cut), "and twice in a row"


def test_a_slice_that_was_lost_may_still_be_at_work(wait):
    said = wait.lost(OSError("Shared connection to 10.0.0.1\nclosed." + "x" * 999))
    assert said.startswith(
        "[n1] besu: the connection was lost, the wait continues: Shared connection to 10.0.0.1 closed."
    )
    assert len(said) < 400
    assert wait.goes_on(a_slice("syncing", 40, waiting=False, **BUSY))


def test_lines(wait, clock):
    clock.now += 30
    progress = {"head": 400, "reference": 10_000, "lag": 9600, "peers": 3, "rate": 141.26, "eta": 68}
    assert wait.line(a_slice("syncing", 40, progress=progress)) == (
        "[n1] besu: syncing at block 400 of 10000, 9600 behind, 141.3 blocks/s, about 68 s to go, 3 peers (30 of 100 s)"
    )
    nothing_known = {"head": 0, "reference": None, "lag": None, "peers": None, "rate": None, "eta": None}
    assert wait.line(a_slice("syncing", progress=nothing_known)) == "[n1] besu: syncing at block 0 (30 of 100 s)"
    assert wait.line(a_slice("starting")) == "[n1] besu: starting, it is starting (30 of 100 s)"
    hostile = a_slice("starting", after={"reasons": ["\x1b]0;owned\x07{{ 1 }}"]})
    assert "\x1b" not in wait.line(hostile) and "owned" not in wait.line(hostile)


def test_summary():
    good = a_slice("running", 100, waiting=False, reached=True, changed=True, progress={"imported": 100})
    stuck = a_slice("error", 40, waiting=False, msg="it is stuck")
    stuck["after"] = observation("error", 40, cause="stuck_sync")
    stuck["diagnosis"] = {"causes": [{"id": "stuck_sync", "next_step": "look at its log"}]}
    found = sync_summary(
        {
            "a/besu": good,
            "b/besu": stuck,
            "c/besu": {"unreachable": True, "msg": "no route"},
            "d/besu": a_slice("running", 100, waiting=False, reached=True),
            "e/besu": {**a_slice("syncing", 1, waiting=False, reached=True), "transitions": [{"applied": False}]},
            "f/besu": a_slice("error", waiting=False, **BUSY),
        }
    )
    assert found["outcome"]["counts"]["healthy"] == 1, "d"
    assert {one["host"]: (one["outcome"], one["guard"]) for one in found["outcome"]["entries"]} == {
        "a": ("synced", None),
        "b": ("failed", None),
        "c": ("unknown", None),
        "e": ("planned", None),
        "f": ("refused", "busy"),
    }
    assert found["failed"] == {
        "b": ["besu: stuck_sync: it is error; really"],
        "c": ["besu: unreachable: no route"],
        "f": ["besu: ann works on it"],
    }
    text = "\n".join(found["lines"])
    assert "10 s" in text and "10.0" in text
    assert "stuck_sync: it is error; really" in text
    assert "  next for b besu: look at its log" in found["lines"]
    assert "  next for f besu: wait" in found["lines"]


def test_what_is_behind_a_loop_of_restarts_is_named():
    looping = a_slice("restarting", waiting=False, msg="it does not start")
    looping["after"] = observation("restarting", cause="crash_loop")
    known = {
        "id": "config_invalid",
        "summary": "an option is wrong",
        "evidence": ["no-such-key"],
        "next_step": "fix it",
    }
    looping["diagnosis"] = {"causes": [known]}
    assert sync_summary({"a/besu": looping})["failed"] == {
        "a": ["besu: config_invalid: an option is wrong: no-such-key"]
    }


def test_summary_of_nothing():
    assert sync_summary({})["lines"] == ["", "Summary: no Besu node was found"]
