# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of a restart of all validators of a stalled chain, on one of its hosts."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._restart_together import stage

GENESIS = "0x" + "a" * 64
ADDRESSES = ["0x1", "0x2", "0x3", "0x4"]


def look(*heads, stalled=True, advances=False, forks=()):
    nodes = [{"name": f"n{i}", "address": f"0x{i}", "head": head} for i, head in enumerate(heads, 1)]
    network = {
        "genesis": GENESIS, "stalled": stalled, "advances": advances, "forks": list(forks), "quorum": 3,
        "validators": ADDRESSES, "nodes": [node["name"] for node in nodes],
    }  # fmt: skip
    return {"nodes": nodes, "networks": [network]}


def service(cause="chain_stalled", active="active", **besu):
    facts = {"active_state": active, "sub_state": "running"}
    return {"seen": {"name": "besu", "kind": "besu", "state": "error", "cause": cause, "unit_facts": facts,
                     "besu": {"genesis": GENESIS, **besu}}}  # fmt: skip


def vote(host, agrees=True, **more):
    return {"host": host, "agrees": agrees, "genesis": GENESIS, "turn": "besu", "msg": "no", "invocation": host, **more}


def at(looked, of=None, check_mode=False, **so_far):
    return stage(looked, of or service(), {"turn": "besu", "host": "n1", "obstacle": "", **so_far}, check_mode)


@pytest.mark.parametrize(
    ("looked", "stalled"),
    [
        (look(5, 5), True),
        (look(5, 5, stalled=False, advances=True), False),
        (look(5, 5, stalled=False), False),
        ({"nodes": [], "networks": []}, True),
        ({"failed": True, "msg": "no answer"}, True),
    ],
)
def test_nobody_who_answers_counts_as_stalled(looked, stalled):
    assert at(looked)["stalled"] is stalled


@pytest.mark.parametrize(
    ("of", "looked", "obstacle", "start"),
    [
        (service(), look(5), "", False),
        (service("no_peers"), look(5), "", False),
        (service("exit_code", "failed"), look(5), "", True),
        (service("exit_code", "failed"), {"networks": []}, "", True),
        (service("unresponsive"), look(5), "", True),
        (service("unresponsive"), {"networks": []}, "", False),
        (service("exit_code", "failed"), look(5), "too few forks", False),
    ],
)
def test_which_node_is_started_first(of, looked, obstacle, start):
    assert at(looked, of, obstacle=obstacle)["start"] is start


@pytest.mark.parametrize(
    ("looked", "settled"),
    [
        (look(5, 5), True),
        (look(5, 6), False),
        (look(5, 5, forks=[{}]), False),
        (look(5, 6, advances=True), True),
        ({"networks": []}, False),
    ],
)
def test_the_heads_have_to_be_equal(looked, settled):
    assert at(looked)["settled"] is settled
    assert at(looked, check_mode=True)["settled"], "a dry run waits for nothing"


def test_the_node_that_this_run_started_has_to_answer_first():
    """Its port is open, its RPC hangs for the first seconds of a new JVM, and the heads of the others are equal."""
    silent = look(None, 5, 5)
    silent["nodes"][0].pop("head")
    silent["networks"][0]["nodes"] = ["n2", "n3"]
    started = {"reached": True, "transitions": []}
    assert at(silent)["settled"] and not at(silent, start=started)["settled"]
    assert at(look(5, 5, 5), start=started)["settled"]
    assert at(silent, start={"reached": False, "transitions": []})["settled"], "it did not come up: nobody waits for it"


@pytest.mark.parametrize(
    ("start", "check_mode", "ask"),
    [
        ({}, False, True),
        ({"skipped": True}, False, True),
        ({"reached": True, "transitions": []}, False, True),
        ({"reached": True, "transitions": []}, True, False),
        ({"reached": False}, False, False),
        ({"unreachable": True}, False, False),
    ],
)
def test_who_did_not_come_up_does_not_vote(start, check_mode, ask):
    found = at(look(5, 5), start=start, check_mode=check_mode)
    assert found["ask"] is ask
    assert found["verify"] is (ask and not check_mode) and not found["restart"]


def test_only_a_validator_of_a_stalled_chain_is_asked():
    assert not at(look(5, 5, stalled=False))["ask"]
    nobody = look(5)
    nobody["nodes"][0]["address"] = "0x9"
    assert not at(nobody)["ask"]
    nobody["nodes"][0]["address"] = None
    assert at(nobody, service(address="0x2"))["ask"], "as the host itself says"


def test_the_vote_is_what_the_dry_run_says():
    asked = {"reached": True, "after": {"name": "besu", "unit_facts": {"invocation_id": "abc"}}}
    found = at(look(5, 5), asked=asked)["vote"]
    assert (found["agrees"], found["invocation"], found["turn"], found["genesis"]) == (True, "abc", "besu", GENESIS)
    assert at(look(5, 5), asked={"skipped": True})["vote"] == {}
    assert at(look(5, 5), asked={"reached": False, "msg": "held"})["vote"]["agrees"] is False


@pytest.mark.parametrize(
    ("others", "agreed", "reason"),
    [
        ([vote("n2"), vote("n3")], True, ""),
        ([vote("n2")], False, "2 of 4 validators can take part in it, quorum 3"),
        ([vote("n2"), vote("n3"), vote("n4", agrees=False, msg="held by ann")], False, "n4: held by ann"),
        ([vote("n2"), vote("n3", turn="earlier")], False, "2 of 4"),
        ([vote("n2"), vote("n3", genesis="0xb")], False, "2 of 4"),
    ],
)
def test_as_many_as_the_quorum_have_to_agree_and_nobody_may_be_against_it(others, agreed, reason):
    mine = vote("n1")
    found = at(look(5, 5), vote=mine, votes=[mine, *others])
    restart = {"state": "restarted", "quorum_guard": "off", "expected_invocation": "n1"}
    assert (found["restart"], found["verify"]) == (agreed, not agreed)
    assert not agreed or found["step"] == restart
    assert reason in found["reason"] and bool(found["reason"]) is not agreed


def test_a_node_without_a_vote_is_only_seen_to_be_back():
    found = at(look(5, 5), votes=[vote("n2"), vote("n3"), vote("n4")])
    assert (found["restart"], found["verify"], found["reason"]) == (False, True, "")
