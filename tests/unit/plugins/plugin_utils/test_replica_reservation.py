# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._replica_reservation import (
    replica_grants,
    replica_reasons,
    replica_requests,
)

TURN = {"key": "a/web", "host": "a", "service": "web", "tunnel": "t"}


def entry(name="web", **more):
    return {"name": name, "kind": "cloudflared", **more}


def test_its_own_host_first_then_healthy_replicas_then_hosts_that_nobody_saw():
    described = {
        "a": [entry(), entry("web-b", cloudflared={"metrics": "m", "tunnel_url": "https://user:pw@x"})],
        "b": [entry()],
        "c": [entry(scope="user")],
        "d": ["plain", {"name": "x", "kind": "besu"}],
        "e": [entry()],
    }
    rows = [
        {"host": host, "verdict": verdict}
        for host, verdict in (("a", "needs_recovery"), ("b", "unknown"), ("c", "healthy"))
    ]
    plan = {"tunnels": [{"id": "t", "connectors": rows}]}
    asks = replica_requests([TURN], described, plan, "ann 1")
    assert [(one["host"], one["own"], one["scope"], one["second"]) for one in asks] == [
        ("a", True, "system", False),
        ("c", False, "user", True),
        ("e", False, "system", False),
    ]
    assert asks[0]["services"] == [{"name": "web-b", "cloudflared": {"metrics": "m"}}]
    assert {one["owner"] for one in asks} == {"ann 1 for a/web"}


def looked(*tunnels, connections=4):
    rows = [{"kind": "cloudflared", "cloudflared": {"tunnel_id": one, "connections": connections}} for one in tunnels]
    return {"services": [{"kind": "generic"}, *rows]}


@pytest.mark.parametrize(
    ("seen", "hosts"),
    [
        ({}, "bcd"),
        # One that serves is asked first.
        ({"d": looked("t")}, "dbc"),
        # A host of other tunnels is not asked, unless one of its connectors does not tell its own.
        ({"b": looked("other"), "c": looked("other", None), "d": looked("t", connections=0)}, "cd"),
        ({"b": looked(), "c": {"unreachable": True}, "d": looked("other", "t")}, "dbc"),
    ],
)
def test_who_serves_other_tunnels_is_not_asked(seen, hosts):
    described = {"a": [entry()], "b": [entry()], "c": [entry(), entry("second")], "d": [entry()]}
    asks = replica_requests([TURN], described, observed=seen)
    assert "".join(one["host"] for one in asks) == f"a{hosts}"


def answer(host, granted, healthy=(), **more):
    ask = {"key": "a/web", "host": host, "own": host == "a", "owner": "o", "tunnel": "t", "scope": "system"}
    looked = granted is not None and "holder" not in more and "booted" not in more.get("reason", "")
    return {"ask": ask, "granted": granted, "observed": looked, "healthy": list(healthy), **more}


@pytest.mark.parametrize(
    ("answers", "held", "busy", "said"),
    [
        ([answer("a", True), answer("b", True, ["web"])], True, False, ""),
        ([answer("a", True, ["web-b"])], True, False, ""),
        ([answer("a", True), answer("b", False, reason="it is error")], False, False, "b: it is error"),
        ([answer("a", True), answer("b", False, reason="x has", holder={"owner": "x"})], False, True, "b: x has"),
        ([answer("a", False, reason="x has", holder={"owner": "x"})], False, True, "a: x has"),
        ([answer("a", True), {**answer("b", None), "unreachable": True, "msg": "no route"}], False, False, "b: no route"),
        ([answer("a", True)], False, False, "no other host of the inventory"),
        ([answer("a", True), answer("b", True, ["web"]), {"skipped": True, "ask": {}}], True, False, ""),
        # The host of the connector under another name: the replica that stays there is the connector itself.
        ([answer("a", True), answer("b", True, ["web"], repeated=True)], False, False, "under another name"),
        ([answer("a", True, ["web-b"]), answer("b", True, ["web"], repeated=True)], True, False, ""),
        ([answer("a", True), answer("b", True, ["web"], repeated=True), answer("c", True, ["web"])], True, False, ""),
        ([answer("a", True, ["web-b"], repeated=True)], True, False, ""),
        ([], False, False, ""),
    ],
)  # fmt: skip
def test_what_the_answers_come_to(answers, held, busy, said):
    found = replica_grants(answers, "ask", tries=2)
    assert found["held"] == ({"a/web": "o"} if held else {})
    assert found["again"] == (["a/web"] if busy else [])
    assert said in found["refused"].get("a/web", "") and bool(found["refused"]) == bool(said)
    assert [one["host"] for one in found["granted"]] == [one["ask"]["host"] for one in answers if one.get("granted")]


BUSY = [answer("a", False, reason="x has", holder={"owner": "x"})]


def test_another_run_is_waited_for_as_often_as_asked():
    first = replica_grants(BUSY, "ask", {}, 3)
    second = replica_grants(BUSY, "ask", first, 3)
    last = replica_grants(BUSY, "ask", second, 3)
    assert [one["attempt"] for one in (first, second, last)] == [1, 2, 3]
    assert [one["again"] for one in (first, second, last)] == [["a/web"], ["a/web"], []]
    assert last["busy"] == ["a/web"]


def test_attempts_are_counted_anew_for_another_connector_and_after_the_last():
    other = {**answer("b", False, reason="x has", holder={"owner": "x"})}
    other["ask"] = {**other["ask"], "key": "b/web"}
    first = replica_grants(BUSY, "ask", {}, 2)
    assert replica_grants([other], "ask", first, 2)["attempt"] == 1
    last = replica_grants(BUSY, "ask", first, 2)
    assert (last["attempt"], last["again"]) == (2, [])
    assert replica_grants(BUSY, "ask", last, 2)["again"] == ["a/web"]


@pytest.mark.parametrize(
    ("answers", "last"),
    [
        ([answer("a", True), answer("b", False, reason="it is error")], True),
        ([answer("a", True)], True),
        ([answer("a", True), answer("b", True, ["web"], repeated=True)], True),
        ([answer("a", True), answer("b", True, ["web"])], False),
        (BUSY, False),
        # One that did not answer may have a replica that stays.
        ([answer("a", True), {**answer("b", None), "unreachable": True, "msg": "no route"}], False),
        ([answer("a", False, reason="the host was booted 5 s ago")], False),
        ([], False),
    ],
)
def test_the_last_replica_is_one_of_which_every_host_says_that_no_other_stays(answers, last):
    assert replica_grants(answers, "ask")["last"] == (["a/web"] if last else [])


def test_without_another_run_nothing_waits():
    found = replica_grants([answer("a", True), answer("b", False, reason="it is error")], "ask", {}, 9)
    assert (found["again"], found["busy"]) == ([], [])


def test_only_what_was_refused_for_it_says_why_there_was_no_reservation():
    runs = {
        "a/web": {"msg": "no", "blocked_by": [{"guard": "reservation", "reason": "none"}]},
        "b/web": {"msg": "no", "blocked_by": []},
        "c/web": {"msg": "the last", "blocked_by": [{"guard": "last_replica", "reason": "the last"}]},
    }
    found = replica_reasons(runs, {"a/web": "b: x has", "b/web": "c", "c/web": "d: it is error"})
    assert [one["msg"] for one in found.values()] == ["no; b: x has", "no", "the last; d: it is error"]
    reasons = [[block["reason"] for block in one["blocked_by"]] for one in found.values()]
    assert reasons == [["none; b: x has"], [], ["the last; d: it is error"]]
