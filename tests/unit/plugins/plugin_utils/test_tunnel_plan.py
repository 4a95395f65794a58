# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tunnel_plan import tunnel_plan
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tunnel_report import tunnel_summary

WEB, API = "8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11", "11111111-3c1d-4f5f-9c36-2f1f4a7d0c11"


def connector(state, *, tunnel=WEB, number=1, age=600.0, name="cloudflared", cause=None, hold=None):
    serving = {"running": 4, "connected": 2}.get(state, 0)
    return {
        "name": name,
        "kind": "cloudflared",
        "state": state,
        "age": age,
        "cause": cause,
        "reasons": [f"it is {state}"],
        "hold": hold,
        "cloudflared": {
            "tunnel_id": tunnel,
            "connector_id": identity(number) if number and state != "stopped" else None,
            "connections": serving,
            "expected_connections": 4,
        },
    }


def identity(number):
    return f"{number:08d}-0000-4000-8000-000000000000"


def fleet(**states):
    return {
        host: {"services": [connector(state, number=number)]} for number, (host, state) in enumerate(states.items(), 1)
    }


def turns(plan):
    return [(turn["host"], turn["healthy_replicas"]) for turn in plan["next"]]


@pytest.mark.parametrize(
    ("states", "expected", "rounds"),
    [
        ({"a": "running", "b": "connected"}, [], 0),
        ({"a": "running", "b": "reconnecting", "c": "running"}, [("b", 2)], 1),
        ({"a": "reconnecting", "b": "error", "c": "stopped"}, [("c", 0)], 3),
        ({"a": "connecting", "b": "restarting", "c": "running"}, [("a", 1)], 2),
        ({"a": "unknown", "b": "running"}, [], 0),
        ({"a": "unknown", "b": "starting"}, [("b", 0)], 1),
    ],
)
def test_one_connector_of_a_tunnel_has_its_turn(states, expected, rounds):
    plan = tunnel_plan(fleet(**states))
    assert (turns(plan), plan["rounds"]) == (expected, rounds)


def test_each_tunnel_has_a_turn_of_its_own_and_two_on_one_host_are_told_apart():
    seen = {
        "a": {"services": [connector("error"), connector("error", tunnel=API, name="cloudflared-api")]},
        "b": {"services": [connector("error"), connector("running", tunnel=API, name="cloudflared-api")]},
    }
    plan = tunnel_plan(seen)
    assert [(turn["host"], turn["service"], turn["healthy_replicas"]) for turn in plan["next"]] == [
        ("a", "cloudflared", 0),
        ("a", "cloudflared-api", 1),
    ]
    again = tunnel_plan(seen, done=["a/cloudflared", "a/cloudflared-api"])
    assert [(turn["host"], turn["service"]) for turn in again["next"]] == [("b", "cloudflared")]
    assert tunnel_plan(seen, done=plan["due"])["next"] == []
    assert plan["ids"] == [WEB, API]


def test_connectors_whose_tunnel_is_not_known_are_never_counted_as_replicas_of_each_other():
    seen = {
        "a": {"services": [connector("error", tunnel=None)]},
        "b": {"services": [connector("running", tunnel=None)]},
    }
    plan = tunnel_plan(seen)
    assert turns(plan) == [("a", 0)]
    assert plan["ids"] == []


def named(host, state, number, **about):
    one = connector(state, number=number)
    one["cloudflared"].update(about)
    return {host: {"services": [one]}}


@pytest.mark.parametrize("by", ["a host", "the edge"])
def test_a_tunnel_that_one_host_knows_by_its_id_and_one_by_its_name_is_one_tunnel(by):
    first = named("a", "running", 1, tunnel_name="web" if by == "a host" else None)
    seen = {**first, **named("b", "error", 2, tunnel_id=None, tunnel_name="web")}
    plan = tunnel_plan(seen, edge=view() if by == "the edge" else None)
    assert turns(plan) == [("b", 1)] and plan["ids"] == [WEB]
    assert "web (8ff4db4e" in plan["lines"][0] and "1 of 2 connectors healthy" in plan["lines"][0]


def test_a_name_that_two_tunnels_have_stands_for_itself():
    """Two accounts may each have a tunnel of this name."""
    seen = {
        **named("a", "running", 1, tunnel_name="web"),
        **named("b", "running", 2, tunnel_id=API, tunnel_name="web"),
        **named("c", "error", 3, tunnel_id=None, tunnel_name="web"),
    }
    plan = tunnel_plan(seen)
    assert turns(plan) == [("c", 0)] and plan["ids"] == [WEB, API, "web"]


def test_what_is_held_or_stopped_on_purpose_is_left_alone():
    seen = fleet(a="stopped", b="error")
    seen["b"]["services"][0]["hold"] = {"owner": "ann", "reason": "moving house"}
    plan = tunnel_plan(seen, {"a": [{"name": "cloudflared", "kind": "cloudflared", "state": "stopped"}]})
    assert plan["next"] == [] and plan["due"] == []
    assert "held by ann" in "\n".join(plan["lines"])


@pytest.mark.parametrize("result", [None, {"unreachable": True, "msg": "no route"}, {"failed": True, "msg": "boom"}])
def test_a_host_that_was_not_seen_is_unknown_and_has_no_turn(result):
    plan = tunnel_plan({**fleet(a="running"), "b": result})
    assert plan["unknown"] == ["b/-"] and plan["next"] == []


def test_hosts_without_a_connector_and_other_kinds_are_no_part_of_it():
    seen = {"a": {"skipped": True}, "b": {"services": [{"name": "x", "kind": "generic", "state": "error"}]}}
    assert tunnel_plan(seen)["tunnels"] == []


def view(lost=(), strangers=()):
    return {
        "tunnels": [
            {"id": WEB, "name": "web", "status": "degraded", "healthy_connectors": 1, "strangers": list(strangers)}
        ],
        "lost": list(lost),
        "lost_hosts": [],
    }


def test_the_edge_is_asked_only_about_connectors_whose_tunnel_and_id_are_known():
    seen = {
        "a": {"services": [connector("running")]},
        "b": {"services": [connector("running", tunnel=None, number=2)]},
        "c": {"services": [connector("running", number=3)]},
        "d": {"services": [connector("reconnecting", number=4)]},
    }
    seen["c"]["services"][0]["cloudflared"]["connector_id"] = "unsupported"
    assert tunnel_plan(seen)["connectors"] == {"a/cloudflared": identity(1)}


def test_the_edge_of_one_account_is_not_asked_about_the_tunnels_of_another():
    seen = {
        **named("a", "running", 1, account_id="a" * 32),
        **named("b", "running", 2, account_id="B" * 32, tunnel_id=API),
        **named("c", "running", 3, tunnel_id=None, tunnel_name="mail"),
    }
    plan = tunnel_plan(seen, account="b" * 32)
    assert plan["ids"] == [API, "mail"]
    assert plan["connectors"] == {"b/cloudflared": identity(2), "c/cloudflared": identity(3)}
    assert plan["connector_tunnels"] == {"b/cloudflared": API, "c/cloudflared": "mail"}
    assert tunnel_plan(seen)["ids"] == [WEB, API, "mail"]


@pytest.mark.parametrize(("age", "expected"), [(600.0, [("a", 1)]), (5.0, [])])
def test_a_connector_that_the_edge_does_not_know_has_its_turn_unless_it_has_just_registered(age, expected):
    seen = {"a": {"services": [connector("running", age=age)]}, "b": {"services": [connector("running", number=2)]}}
    plan = tunnel_plan(seen, edge=view(lost=[identity(1)]))
    assert turns(plan) == expected
    assert [turn["edge_lost"] for turn in plan["next"]] == [[identity(1)] for _turn in expected]


def test_connectors_elsewhere_keep_a_tunnel_up():
    plan = tunnel_plan(fleet(a="error"), edge=view(strangers=[identity(9)]))
    assert turns(plan) == [("a", 1)]
    assert "Tunnel web (8ff4db4e" in plan["lines"][0] and "1 elsewhere" in plan["lines"][0]


def test_no_connector_of_this_inventory_counts_as_one_elsewhere():
    """The edge may still show connections of the one whose turn it is, or of a neighbour that is not well either."""
    edge = view(strangers=[identity(1), identity(2), identity(9)])
    plan = tunnel_plan(fleet(a="reconnecting", b="connecting"), edge=edge)
    assert turns(plan) == [("a", 1)]
    assert turns(tunnel_plan(fleet(a="reconnecting"), edge=view(strangers=[identity(1)]))) == [("a", 0)]


def result(number, **more):
    after = connector("running", number=number)
    return {
        "changed": True,
        "reached": True,
        "before": connector("reconnecting"),
        "after": after,
        "duration": 8.2,
        **more,
    }


def outcomes(found):
    """Outcome -> the connectors that had it, but for the healthy ones."""
    by_word: dict[str, list[str]] = {}
    for entry in found["outcome"]["entries"]:
        by_word.setdefault(entry["outcome"], []).append(f"{entry['host']}/{entry['service']}")
    return by_word


REFUSED = {
    "failed": True,
    "changed": False,
    "msg": "unauthorized",
    "blocked_by": [{"guard": "cause", "reason": "unauthorized", "hint": "write the token"}],
}


@pytest.mark.parametrize(
    ("done", "end", "word", "said"),
    [
        (result(7), "running", "recovered", f"connector {identity(1)} -> {identity(7)}"),
        (result(1, changed=False), "running", "self_recovered", "4 of 4"),
        (result(7, changed=False, handover={"outcome": "verified"}), "running", "recovered", identity(7)),
        (result(7, handover={"outcome": "pending"}), "reconnecting", "restart_scheduled", "run again"),
        (result(7, handover={"outcome": "failed"}), "error", "failed", "did not bring it back"),
        (REFUSED, "error", "refused", "unauthorized"),
        ({"failed": True, "changed": True, "msg": "no edge"}, "connecting", "failed", "no edge"),
        ({"unreachable": True, "msg": "gone"}, "unknown", "unknown", "gone"),
        (
            {"changed": True, "reached": True, "transitions": [{"action": "restart", "applied": False}]},
            "reconnecting",
            "planned",
            "restart",
        ),
        (
            {"changed": False, "reached": True, "transitions": [{"action": "wait", "applied": False}]},
            "error",
            "planned",
            "wait for it",
        ),
        (result(7), "error", "failed", "it was back, and then error"),
        (result(7), "unknown", "unknown", "it was back, and then unknown"),
        (None, "running", "self_recovered", "4 of 4"),
        (None, "reconnecting", "not_attempted", "reconnecting"),
    ],
)
def test_the_summary_has_one_word_for_each_connector(done, end, word, said):
    plan = tunnel_plan(fleet(a="reconnecting", b="running"))
    results = {} if done is None else {"a/cloudflared": done}
    found = tunnel_summary(plan, results, tunnel_plan(fleet(a=end, b="running")))
    assert outcomes(found) == {word: ["a/cloudflared"]} and found["outcome"]["counts"]["healthy"] == 1
    assert any(said in line and word.upper().replace("_", " ") in line for line in found["lines"])
    assert found["failed"] == (["a/cloudflared"] if word in ("refused", "failed", "unknown", "not_attempted") else [])
    assert ("    next: write the token" in found["lines"]) == (word == "refused")
    assert found["unserved"] == []


@pytest.mark.parametrize(
    ("end", "word", "said"),
    [
        ("running", "healthy", "b cloudflared: HEALTHY"),
        ("error", "failed", "it was healthy, and then error"),
        ("unknown", "unknown", "it was healthy, and then unknown"),
        (None, "unknown", "it was healthy, and then unknown, unreachable: no route"),
    ],
)
def test_what_was_healthy_at_first_and_is_not_at_the_end_is_no_success(end, word, said):
    plan = tunnel_plan(fleet(a="reconnecting", b="running"))
    after = fleet(a="running", b=end)
    after["b"] = after["b"] if end else {"unreachable": True, "msg": "no route"}
    found = tunnel_summary(plan, {"a/cloudflared": result(7)}, tunnel_plan(after))
    healthy = {} if word == "healthy" else {word: ["b/cloudflared"]}
    assert outcomes(found) == {"recovered": ["a/cloudflared"], **healthy}
    assert found["failed"] == ([] if word == "healthy" else ["b/cloudflared"])
    assert any(said in line for line in found["lines"]), found["lines"]


def test_a_tunnel_without_any_connector_is_named():
    plan = tunnel_plan(fleet(a="reconnecting"))
    found = tunnel_summary(plan, {"a/cloudflared": REFUSED}, plan)
    assert found["unserved"] == [WEB]


@pytest.mark.parametrize("how", ["failed", "unreachable"])
def test_an_edge_that_could_not_be_asked_is_named(how):
    plan = tunnel_plan(fleet(a="running"))
    found = tunnel_summary(plan, {}, plan, {how: True, "msg": "429"})
    assert "Edge side: could not be asked: 429" in found["lines"]
    assert outcomes(found) == {"unknown": ["a/cloudflared"]} and found["failed"] == ["a/cloudflared"]
    assert any("UNKNOWN" in line and "could not be asked: 429" in line for line in found["lines"])


@pytest.mark.parametrize("more", [{}, {"failed": True, "attempts": 6}])
def test_what_the_edge_does_not_know_at_the_end_is_a_problem(more):
    """Ansible calls the last of several tries a failure, and it has an answer all the same."""
    plan = tunnel_plan(fleet(a="running"))
    found = tunnel_summary(plan, {}, plan, {**view(), "lost_hosts": ["a/cloudflared"], **more})
    assert found["failed"] == ["a/cloudflared"]
    assert found["edge_problem"] == "does not know the connectors of a/cloudflared"


def test_a_tunnel_that_the_account_does_not_have_is_named():
    seen = {**fleet(a="running"), "b": {"services": [connector("running", tunnel=API, number=2)]}}
    plan = tunnel_plan(seen)
    found = tunnel_summary(plan, {}, plan, {**view(), "not_found": [API]})
    assert found["failed"] == ["b/cloudflared"]
    assert outcomes(found) == {"unknown": ["b/cloudflared"]}
    assert found["edge_problem"] == f"does not know the tunnels {API} in this account"


def test_only_the_ghosts_of_replaced_connectors_are_for_removal():
    plan = tunnel_plan(fleet(a="reconnecting"))
    edge = {**view(), "tunnels": [{"id": WEB, "ghosts": [identity(1), identity(5)]}]}
    found = tunnel_summary(plan, {"a/cloudflared": result(7)}, tunnel_plan(fleet(a="running")), edge)
    assert found["ghosts"] == [{"tunnel_id": WEB, "connector_id": identity(1)}]
    assert tunnel_summary(plan, {}, plan, edge)["ghosts"] == []


@pytest.mark.parametrize("after", [connector("running"), connector("unknown", number=None), None])
def test_a_connector_that_was_not_seen_to_be_replaced_is_never_for_removal(after):
    plan = tunnel_plan(fleet(a="reconnecting"))
    edge = {**view(), "tunnels": [{"id": WEB, "ghosts": [identity(1)]}]}
    found = tunnel_summary(plan, {"a/cloudflared": {**result(1), "after": after}}, plan, edge)
    assert found["ghosts"] == []


@pytest.mark.parametrize("done", [None, result(7)])
def test_a_host_that_is_lost_at_the_end_is_unknown_whatever_was_seen_of_it_before(done):
    plan = tunnel_plan(fleet(a="reconnecting", b="running"))
    results = {} if done is None else {"a/cloudflared": done}
    gone = {"a": {"unreachable": True, "msg": "no route"}, "b": fleet(a="x", b="running")["b"]}
    found = tunnel_summary(plan, results, tunnel_plan(gone))
    assert outcomes(found) == {"unknown": ["a/cloudflared"]}
    assert found["failed"] == ["a/cloudflared"]
    assert any("no route" in line for line in found["lines"])


@pytest.mark.parametrize(
    ("about", "edge", "said"),
    [
        ({"tunnel_id": None, "identity_problem": "token_unreadable", "identity_source": "token file"},
         view(), "which tunnel it belongs to is not known (token_unreadable: token file)"),
        ({"tunnel_id": None}, {"skipped": True}, "which tunnel it belongs to is not known"),
        ({"account_id": "b" * 32}, view(), f"its tunnel belongs to account {'b' * 32}, but the edge was asked about account"),
        ({"connector_id": "unsupported"}, view(), "it does not report its connector id"),
        ({}, {"failed": True, "msg": "status 403"}, "could not be asked: status 403"),
        ({}, {"skipped": True}, "it gave no answer"),
        ({}, {**view(), "not_found": [WEB]}, f"the account has no tunnel {WEB}"),
        ({}, {**view(), "lost_hosts": ["a/cloudflared"]}, f"it does not know connector {identity(1)}"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("done", [None, result(1)])
def test_with_an_account_nothing_is_a_success_that_the_edge_does_not_confirm(about, edge, said, done):
    seen = named("a", "running", 1, **about)
    before = named("a", "reconnecting", 1, **about)
    account = "a" * 32
    plan = tunnel_plan(seen if done is None else before, account=account)
    found = tunnel_summary(
        plan, {} if done is None else {"a/cloudflared": done}, tunnel_plan(seen, account=account), edge
    )
    assert outcomes(found) == {"unknown": ["a/cloudflared"]} and found["failed"] == ["a/cloudflared"]
    assert any("UNKNOWN" in line and said in line for line in found["lines"]), found["lines"]
    assert "0 of 1 connector healthy" in found["lines"][0]


@pytest.mark.parametrize(("edge", "said"), [({}, "because no account is given"), (view(), "what the edge knows")])
def test_every_summary_says_which_proof_was_used(edge, said):
    plan = tunnel_plan(fleet(a="running"))
    found = tunnel_summary(plan, {}, plan, edge)
    assert found["failed"] == []
    assert [said in line for line in found["lines"] if line.startswith("Proof: ")] == [True]


def test_a_dry_run_of_a_half_open_connector_that_it_would_reconnect_is_no_failure():
    """The edge still does not know it at the end: nothing was done."""
    edge = {**view(lost=[identity(1)]), "lost_hosts": ["a/cloudflared"]}
    plan = tunnel_plan(fleet(a="running", b="running"), edge=edge)
    planned = {"changed": True, "reached": True, "transitions": [{"action": "restart", "applied": False}]}
    found = tunnel_summary(plan, {"a/cloudflared": planned}, plan, edge)
    assert outcomes(found) == {"planned": ["a/cloudflared"]}
    assert found["failed"] == []


def test_the_counts_of_a_tunnel_are_those_of_its_rows_when_a_host_is_lost():
    plan = tunnel_plan(fleet(a="running", b="running", c="running"))
    after = {**fleet(a="running", b="running"), "c": {"unreachable": True, "msg": "no route"}}
    found = tunnel_summary(plan, {}, tunnel_plan(after))
    assert "2 of 3 connectors healthy" in found["lines"][0]
    assert found["lines"][-1] == "Summary: 2 healthy, 1 unknown"
