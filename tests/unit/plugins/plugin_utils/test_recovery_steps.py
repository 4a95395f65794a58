# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role asks of the modules for one service, and what it keeps of their answers."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _recovery_steps as steps

SETTINGS = {"depth": "reset_start", "accept_causes": ["a"], "owner": "ann", "own_tunnel": False,
            "quorum_lost": "refuse", "reference_urls": ["http://b"]}  # fmt: skip


def service(entry=None, causes=(), state="error", allowed=(), hooks=(), **more):
    entry = {"name": "api", **(entry or {})}
    seen = {"name": "api", "kind": entry.get("kind", "generic"), "state": state}
    need = {
        "kind": "generic",
        **entry,
        "entry": entry,
        "observation": seen,
        "causes": list(causes),
        "label": "api",
        **more,
    }
    return {**need, "fixes": steps.fixes(need, allowed, hooks)}


ALL = ("start_dependency", "free_journal_space", "clear_start_limit", "restore_config")


@pytest.mark.parametrize(
    ("entry", "causes", "state", "wanted"),
    [
        ({}, [], "error", []),
        ({"depends_on": ["db"]}, ["peer_refused"], "error", ["start_dependency"]),
        ({"depends_on": ["db"]}, ["crashed"], "error", []),
        ({"depends_on": ["db"]}, [], "stopped", ["start_dependency"]),
        ({}, ["disk_full"], "error", ["free_journal_space"]),
        ({"known_good": {"/a": "/b"}}, ["file_missing"], "error", ["restore_config"]),
        ({"known_good": {"/a": "/b"}}, ["crashed"], "error", []),
        ({}, ["start_limit"], "error", ["clear_start_limit"]),
    ],
)
def test_which_fixes_a_cause_calls_for(entry, causes, state, wanted):
    found = service(entry, causes, state, ALL)["fixes"]
    assert [name for name in ALL if found[name]] == wanted and found["any"] is bool(wanted)
    assert not service(entry, causes, state)["fixes"]["any"], "only those that are allowed"


def test_a_hook_is_called_once_for_each_of_its_causes():
    assert service(causes=["disk_full", "crashed", "disk_full"], hooks=["disk_full", "x"])["fixes"]["hooks"] == [
        "disk_full"
    ]


def item(loop_var, value, **more):
    return {loop_var: value, **more}


def test_what_was_fixed_is_said_and_its_causes_are_accepted():
    need = service(
        {"depends_on": ["db", "mq"], "known_good": {"/a": "/b"}},
        ["file_missing", "disk_full"],
        "stopped",
        ALL,
        ["file_missing"],
    )
    done = {
        "dependencies": {"results": [
            item("__service_recovery_dependency", "db", reached=True, changed=True),
            item("__service_recovery_dependency", "mq", reached=True, changed=False),
        ]},
        "vacuum": {"changed": True},
        "copied": {"results": [item("__service_recovery_file", {"used": "/a", "good": "/b"}, changed=True)]},
    }  # fmt: skip
    found = steps.fixed(need["fixes"], done)
    assert found["made"] == ["hook for file_missing", "started db", "journal shrunk", "restored /a"]
    assert found["causes"] == ["file_missing", "disk_full", *steps.CONFIG_CAUSES]
    assert steps.drive_options(need, SETTINGS, done)["override"]["accept_causes"] == ["a", *found["causes"]]


def test_what_was_never_reached_was_not_fixed():
    need = service({}, ["disk_full"], allowed=ALL, hooks=["disk_full"])
    assert steps.fixed(need["fixes"], {}) == {"made": [], "causes": []}


@pytest.mark.parametrize(
    ("entry", "override", "defaults"),
    [
        ({}, {}, {"state": "running", "recovery": "reset_start"}),
        (
            {"kind": "cloudflared"},
            {"own_tunnel_action": "refuse"},
            {"state": "running", "recovery": "reset_start", "own_tunnel": False},
        ),
        (
            {"kind": "besu"},
            {"reference_urls": ["http://b"]},
            {"state": "running", "recovery": "reset_start", "quorum_lost": "refuse", "reservation": "nobody"},
        ),
        (
            {"kind": "besu", "besu": {"reference_urls": ["http://own"]}},
            {"reference_urls": ["http://own"]},
            {"state": "running", "recovery": "reset_start", "quorum_lost": "refuse", "reservation": "nobody"},
        ),
    ],
)
def test_the_options_of_each_kind(entry, override, defaults):
    reservation = {"reservation": "nobody"} if entry.get("kind") == "besu" else {}
    found = steps.drive_options(service(entry), SETTINGS, reservation=reservation)
    assert found == {
        "service": {"name": "api", **entry},
        "override": {"accept_causes": ["a"], "owner": "ann", **override},
        "defaults": defaults,
    }


def test_a_start_limit_that_may_be_cleared_is_cleared_by_the_recovery_itself():
    need = service({"recovery": "restart"}, ["start_limit"], allowed=["clear_start_limit"])
    assert steps.drive_options(need, SETTINGS)["override"]["recovery"] == "reset_start"
    reset = {"reached": True, "changed": True, "transitions": [{"trigger": "reset", "action": "x"}]}
    assert steps.recovery_result(need, reset)["fixes"] == ["start limit cleared"]


def test_the_neighbours_are_passed_on():
    found = steps.drive_options(service({}), {**SETTINGS, "neighbours": ["api", {"name": "n1", "kind": "besu"}]})
    assert found["defaults"]["neighbours"] == ["api", {"name": "n1", "kind": "besu"}]


def test_a_step_goes_before_all_others():
    found = steps.drive_options(service({"kind": "besu"}), SETTINGS, step={"state": "restarted", "recovery": "never"})
    assert (found["override"]["state"], found["override"]["recovery"]) == ("restarted", "never")


@pytest.mark.parametrize(("active", "state"), [("failed", "running"), ("active", "restarted")])
def test_a_node_of_a_stalled_chain_is_started_as_a_service_of_no_kind(active, state):
    need = service({"kind": "besu", "besu": {"rpc_url": "http://10.0.0.1:9545"}, "state": "synced", "wait_timeout": 5})
    need["observation"]["unit_facts"] = {"active_state": active, "sub_state": "x"}
    found = steps.drive_options(need, SETTINGS, step={"plain": True})
    assert found["service"] == {"name": "api", "wait_timeout": 5}
    assert found["override"]["state"] == state
    assert found["override"]["probes"] == [{"kind": "tcp", "host": "10.0.0.1", "port": 9545}]
    assert found["defaults"]["stop_timeout"] == 300 and found["defaults"]["wait_timeout"] == 600
    assert (found["override"]["max_attempts"], found["override"]["attempt_backoff"]) == (1000, 0)


def test_earlier_attempts_do_not_hold_up_a_restart_of_all():
    need = service({"kind": "besu", "max_attempts": 1})
    found = steps.drive_options(need, SETTINGS, step={"state": "restarted", "together": True})
    assert found["override"]["state"] == "restarted" and "together" not in found["override"]
    assert found["override"]["accept_causes"] == ["a", "no_peers", "stuck_sync"], "its peers restart as well"
    assert (found["override"]["max_attempts"], found["override"]["attempt_backoff"]) == (1000, 0)
    assert "max_attempts" not in steps.drive_options(need, SETTINGS, step={"state": "restarted"})["override"]


def test_a_node_that_was_started_in_vain_says_so_too():
    done = {"start": {**DONE}, "stage": {"reason": "not restarted: 2 of 4", "hint": "ansible-playbook again"}}
    found = steps.recovery_result(service({"kind": "besu"}), {}, done)
    assert not found["reached"] and found["changed"] and found["msg"] == "not restarted: 2 of 4"
    assert found["blocked_by"] == [
        {"guard": "restart_all", "reason": "not restarted: 2 of 4", "hint": "ansible-playbook again"}
    ]


@pytest.mark.parametrize(
    ("kind", "own", "told", "active", "offline"),
    [
        ("generic", {}, None, "active", False),
        ("besu", {}, None, "active", True),
        ("besu", {}, True, "active", True),
        ("besu", {}, False, "active", False),
        ("besu", {"validator": False}, None, "active", False),
        ("besu", {"quorum_guard": "off"}, True, "active", False),
        ("besu", {"reservation": "mine"}, True, "active", False),
        ("besu", {}, True, "failed", False),
    ],
)
def test_what_may_take_a_validator_offline(kind, own, told, active, offline):
    seen = {"kind": kind, "state": "error", "unit_facts": {"active_state": active}, "besu": {"validator": told}}
    assert steps.takes_offline({"kind": kind, "entry": {kind: own}, "observation": seen}) is offline


@pytest.mark.parametrize(
    ("kind", "own", "told", "serving"),
    [
        ("cloudflared", {}, {"connections": 4, "tunnel_id": "t"}, True),
        ("cloudflared", {}, {"connections": 0, "tunnel_id": "t"}, False),
        ("cloudflared", {}, {"connections": None, "tunnel_id": "t"}, False),
        ("cloudflared", {}, {"connections": 4, "tunnel_id": None}, False),
        ("cloudflared", {"replica_guard": "off"}, {"connections": 4, "tunnel_id": "t"}, False),
        ("cloudflared", {"replica_guard": False}, {"connections": 4, "tunnel_id": "t"}, False),
        ("cloudflared", {"reservation": "mine"}, {"connections": 4, "tunnel_id": "t"}, False),
        ("generic", {}, {"connections": 4, "tunnel_id": "t"}, False),
    ],
)
def test_what_serves_a_tunnel_and_needs_a_reservation(kind, own, told, serving):
    seen = {"kind": kind, "state": "connected", kind: told}
    assert steps.serves({"kind": kind, "entry": {kind: own}, "observation": seen}) is serving


DONE = {"reached": True, "changed": True, "state": "running", "transitions": [{"action": "start"}]}
NO = {"reached": False, "changed": False, "msg": "no", "blocked_by": [{"guard": "reservation"}]}


@pytest.mark.parametrize(
    ("result", "done", "network", "check", "expected"),
    [
        (DONE, {}, {}, False, {"reached": True, "changed": True, "failed": False}),
        ({"skipped": True}, {}, {}, False, {"reached": False, "failed": True}),
        (NO, {"refused": "h1: taken"}, {}, False, {"failed": True, "msg": "no; h1: taken"}),
        (NO | {"blocked_by": []}, {"refused": "h1: taken"}, {}, False, {"failed": True, "msg": "no"}),
        (
            NO | {"blocked_by": [{"guard": "last_replica", "reason": "the last", "hint": "x"}]},
            {"refused": "b: it is error"},
            {},
            False,
            {"blocked_by": [{"guard": "last_replica", "reason": "the last; b: it is error", "hint": "x"}]},
        ),
        (
            DONE,
            {},
            {"head": 7, "arithmetic": "3 of 4", "stalled": False},
            False,
            {"failed": False, "chain": "block 7, 3 of 4"},
        ),
        (DONE, {}, {"head": 7, "arithmetic": "2 of 4", "stalled": True}, False, {"failed": True, "changed": True}),
        (
            {},
            {"failure": {"task": "T", "result": {"msg": "boom"}}},
            {},
            False,
            {"failed": True, "msg": "a fix failed, so that it was left as it is: T: boom"},
        ),
        (
            {},
            {"together": {"reason": "too few forks", "hint": "more"}},
            {},
            False,
            {"failed": True, "msg": "too few forks"},
        ),
        (
            {},
            {"start": {"reached": False, "msg": "did not start", "changed": True}},
            {},
            False,
            {"failed": True, "msg": "did not start"},
        ),
        (
            DONE,
            {"start": {"reached": True, "transitions": [{"action": "restart"}]}},
            {},
            False,
            {"transitions": [{"action": "restart"}, {"action": "start"}]},
        ),
        (
            NO | {"blocked_by": []},
            {"stage": {"reason": "not restarted at the same time: 2 of 4"}},
            {},
            False,
            {"msg": "not restarted at the same time: 2 of 4"},
        ),
        ({}, {"asked": {"reached": True, "changed": True}}, {}, True, {"failed": False, "changed": True}),
        ({}, {}, {}, True, {"failed": False}),
    ],
)
def test_the_result_that_is_kept(result, done, network, check, expected):
    found = steps.recovery_result(service(), result, done, network, check)
    assert {key: found[key] for key in expected} == expected
    assert (found["name"], found["label"], found["kind"]) == ("api", "api", "generic")
    assert found["observation"] == service()["observation"]


def test_all_dependencies_that_did_not_start_are_named():
    result = {
        "msg": "One or more items failed",
        "results": [{"failed": True, "msg": "db: no"}, {"reached": True}, {"failed": True, "msg": "mq: no"}],
    }
    assert steps.failed_fix({"task": "Start", "result": result}).endswith("Start: db: no; mq: no")


def test_what_could_not_be_observed():
    assert steps.not_observed({"services": [{"name": "a", "state": "running"}]}, "h") == []
    (row,) = steps.not_observed({"services": [{"name": "a", "state": "unknown"}]}, "h")
    assert (row["name"], row["observed"], row["failed"]) == ("a", False, True)
    (row,) = steps.not_observed({"unreachable": True, "msg": "no route"}, "h")
    assert (row["name"], row["msg"]) == ("-", "h cannot be reached: no route")
