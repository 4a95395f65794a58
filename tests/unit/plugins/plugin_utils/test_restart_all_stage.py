# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of a restart of all validators of a stalled chain, on one of its hosts."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._restart_all_stage import stage

GENESIS = "0x" + "a" * 64
ADDRESSES = ["0x1", "0x2", "0x3", "0x4"]
AGAIN = "ansible-playbook chainops.lifecycle.recover -e lifecycle_quorum_lost=restart_all"


def look(*heads, stalled=True, advances=False, forks=()):
    nodes = [{"name": f"n{i}", "address": f"0x{i}", "head": head} for i, head in enumerate(heads, 1)]
    network = {
        "genesis": GENESIS, "stalled": stalled, "advances": advances, "forks": list(forks), "quorum": 3,
        "validators": ADDRESSES, "nodes": [node["name"] for node in nodes],
    }  # fmt: skip
    return {"nodes": nodes, "networks": [network]}


def service(cause="chain_stalled", active="active", **besu):
    facts = {"active_state": active, "sub_state": "running"}
    seen = {"name": "besu", "kind": "besu", "state": "error", "cause": cause, "unit_facts": facts}
    return {"name": "besu", "observation": {**seen, "besu": {"genesis": GENESIS, **besu}}}


def vote(number, **more):
    """What a host tells of which nothing is to be said."""
    return {
        "host": f"n{number}", "unit": "besu", "turn": "besu", "round": 2, "genesis": GENESIS, "quorum": 3, "members": 4,
        "address": f"0x{number}", "validator": True, "may_vote": True, "head": 5, "forks": False, "stalled": True,
        "advances": False, "starting": False, "failed": "", "voted": True, "age": 90.0, "heard": {}, "limit": 300.0,
        "late": False, "asked": True, "agrees": True, "msg": "", "guard": "", "hint": "", "invocation": f"i{number}",
        **more,
    }  # fmt: skip


def at(looked, of=None, check_mode=False, **so_far):
    given = {"turn": "besu", "host": "n1", "obstacle": "", "elapsed": 1.0, "limit": 300.0, **so_far}
    return stage(looked, of or service(), given, check_mode)


def among(*votes, **own):
    """The stage of n1 after these votes of the others."""
    mine = vote(1, **own)
    return at(look(5, 5), vote=mine, votes=[mine, *votes])


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


STARTED = {"reached": True, "transitions": []}


@pytest.mark.parametrize(
    ("looked", "start", "starting", "observe"),
    [
        (look(5, 5), {}, False, True),
        (look(5, 5), STARTED, False, True),
        (look(None, 5), STARTED, True, False),
        ({"nodes": [], "networks": []}, STARTED, True, False),
        (look(None, 5), {"reached": False}, False, False),
        (look(5, 5), {"unreachable": True}, False, False),
    ],
)
def test_a_node_that_was_started_answers_first(looked, start, starting, observe):
    """Its port is open, its RPC hangs for the first seconds of a new JVM, and the heads of the others are equal."""
    found = at(looked, start=start)
    assert (found["vote"]["starting"], found["observe"]) == (starting, observe)


@pytest.mark.parametrize(
    ("votes", "start", "check_mode", "ask"),
    [
        ([1, 2, 3], {}, False, True),
        ([1, 2, 3], {"skipped": True}, False, True),
        ([1, 2, 3], STARTED, False, True),
        ([1, 2], {}, False, False),
        ([], {}, True, True),
        ([], STARTED, True, False),
        ([1, 2, 3], {"reached": False}, False, False),
        ([1, 2, 3], {"unreachable": True}, False, False),
    ],
)
def test_a_validator_is_asked_once_enough_are_shown_to_vote(votes, start, check_mode, ask):
    told = [vote(number, asked=False, agrees=False) for number in votes]
    found = at(look(5, 5), start=start, check_mode=check_mode, votes=told, vote=told[0] if told else {})
    assert found["ask"] is ask and not found["restart"]


def test_only_a_validator_of_a_stalled_chain_is_asked():
    told = {"votes": [vote(1), vote(2), vote(3)], "vote": vote(1)}
    assert not at(look(5, 5, stalled=False), **told)["ask"]
    nobody = look(5)
    nobody["nodes"][0]["address"] = "0x9"
    assert not at(nobody, **told)["ask"]
    nobody["nodes"][0]["address"] = None
    assert at(nobody, service(address="0x2"), **told)["ask"], "as the host itself says"


def test_a_vote_of_an_earlier_turn_counts_for_nothing():
    earlier = vote(1, turn="earlier", round=7)
    found = at(look(5, 5), vote=earlier, votes=[earlier, vote(2), vote(3)])
    assert not found["ask"] and not found["restart"]
    assert (found["vote"]["round"], found["interval"]) == (1, 3), "the rounds begin anew"
    own = vote(1, round=7)
    assert (at(look(5, 5), vote=own)["vote"]["round"], at(look(5, 5), vote=own)["interval"]) == (8, 10)


def test_what_a_host_tells_the_others():
    asked = {"reached": True, "after": {"name": "besu", "unit_facts": {"invocation_id": "abc"}}}
    besu = {"voted": True, "process_age": 12.0, "heard": {"0x2": 3.0}}
    observed = {"services": [{"name": "besu", "kind": "besu", "besu": besu}]}
    told = at(look(5, 5), asked=asked, observed=observed, elapsed=300.0)["vote"]
    assert (told["agrees"], told["invocation"], told["turn"], told["genesis"]) == (True, "abc", "besu", GENESIS)
    assert (told["voted"], told["age"], told["heard"], told["late"]) == (True, 12.0, {"0x2": 3.0}, True)
    assert (told["quorum"], told["members"], told["head"], told["address"]) == (3, 4, 5, "0x1")
    silent = at(look(5, 5), asked={"skipped": True}, observed={"skipped": True})["vote"]
    assert (silent["asked"], silent["voted"], silent["late"]) == (False, False, False)
    held = {"reached": False, "msg": "held", "blocked_by": [{"guard": "hold", "reason": "held", "hint": "release it"}]}
    told = at(look(5, 5), asked=held)["vote"]
    assert (told["asked"], told["agrees"], told["guard"], told["hint"]) == (True, False, "hold", "release it")


EMPTY = {"voted": False, "age": 20.0}  # it was started 20 s ago, and says nothing of rounds


@pytest.mark.parametrize(
    ("own", "others", "reason"),
    [
        ({}, [vote(2), vote(3)], ""),
        ({}, [vote(2), vote(3), vote(4)], ""),
        ({}, [vote(2), vote(3), vote(4, **EMPTY)], ""),
        ({}, [vote(2), vote(3, **EMPTY, ), vote(4, **EMPTY)], "2 of 4 validators are shown to vote, quorum 3"),
        ({}, [vote(2, heard={"0x3": 5.0}), vote(3, **EMPTY)], ""),
        ({}, [vote(2, heard={"0x3": 50.0}), vote(3, **EMPTY), vote(4, **EMPTY)], "n3: it answers, and has sent no round"),
        ({}, [vote(2), vote(3, head=4), vote(4, head=4)], "n3: at block 4, while others have block 5"),
        ({}, [vote(2), vote(3, forks=True)], "2 of 4"),
        ({}, [vote(2), vote(3, stalled=False)], "n3: the chain was not seen to be stalled"),
        ({}, [vote(2), vote(3, failed="exit 1", agrees=False, asked=False)], "n3: exit 1"),
        ({}, [vote(2), vote(3, genesis="", starting=True, head=None, validator=False)], "n3: its RPC does not answer"),
        ({}, [vote(2), vote(3), vote(4, agrees=False, msg="held by ann", guard="hold")], "n4: held by ann"),
        ({"agrees": False, "msg": "held", "guard": "hold"}, [vote(2), vote(3), vote(4)], "n1: held"),
        ({}, [vote(2), vote(3, turn="earlier")], "2 of 4"),
        ({}, [vote(2), vote(3, round=1)], "2 of 4"),
        ({}, [vote(2), vote(3, genesis="0xb", quorum=1)], "2 of 4"),
        ({}, [vote(2), vote(2)], "2 of 4"),
        ({}, [], "1 of 4"),
    ],
)  # fmt: skip
def test_as_many_as_the_quorum_vote_and_agree_and_nobody_is_against_it(own, others, reason):
    found = among(*[{**one, "late": True} for one in others], **own, late=True)
    restart = {"state": "restarted", "quorum_guard": "off", "together": True, "expected_invocation": "i1"}
    assert (found["restart"], found["waits"]) == (not reason, False)
    assert reason or found["step"] == restart
    assert reason in found["reason"] and bool(found["reason"]) is bool(reason)
    assert not found["verify"], "a refusal is told as it is"
    assert not reason or AGAIN in found["hint"]


@pytest.mark.parametrize(
    ("others", "waits"),
    [
        ([vote(2), vote(3)], False),
        ([vote(2), vote(3, **EMPTY)], True),
        ([vote(2), vote(3, starting=True, head=None, genesis="", validator=False)], True),
        ([vote(2), vote(3), vote(4, starting=True, head=None, genesis="", validator=False)], True),
        ([vote(2), vote(3), vote(4, starting=True, head=None, genesis="", validator=False, may_vote=False)], False),
        ([vote(2), vote(3), vote(4, head=4)], True),
        ([vote(2), vote(3), vote(4, head=4, validator=False)], False),
        ([vote(2), vote(3), vote(4, failed="exit 1", head=None, asked=False, agrees=False)], False),
        ([vote(2), vote(3, asked=False, agrees=False)], True),
        ([vote(2), vote(3), vote(4, agrees=False, guard="quorum")], True),
        ([vote(2), vote(3), vote(4, agrees=False, guard="hold")], False),
        ([vote(2)], False),
        ([vote(2), vote(3), vote(9, genesis="0xb", quorum=2, voted=False), vote(8, genesis="0xb", quorum=2)], True),
    ],
)
def test_what_another_round_may_change_is_waited_for(others, waits):
    found = among(*others)
    assert found["waits"] is waits
    assert not (waits and (found["restart"] or found["reason"]))
    over = [{**one, "late": True} for one in others]
    assert not among(*over, late=True)["waits"] or not any(one["asked"] for one in over)


def test_those_who_are_ready_late_are_asked_once_more():
    silent = {"asked": False, "agrees": False, "late": True}
    lost = vote(4, **{**silent, "starting": True, "head": None, "genesis": "", "validator": False})
    found = among(vote(2, **silent), vote(3, **silent), lost, **silent)
    assert found["ask"] and found["waits"] and not found["reason"]
    asked = {**silent, "asked": True, "agrees": True}
    found = among(vote(2, **asked), vote(3, **asked), lost, **asked)
    assert found["restart"] and not found["waits"]


def test_a_chain_that_advances_by_itself_is_left_alone():
    found = among(vote(2), vote(3), vote(4, advances=True, stalled=False))
    assert (found["restart"], found["verify"], found["waits"], found["reason"]) == (False, True, False, "")


@pytest.mark.parametrize(
    ("own", "others", "hint"),
    [
        ({}, [vote(2), vote(3, failed="exit 1", asked=False)], f"repair n3; then: {AGAIN}"),
        ({}, [vote(2)], f"bring back the hosts of the other validators; then: {AGAIN}"),
        ({"agrees": False, "guard": "hold", "hint": "release it"}, [vote(2), vote(3)], f"release it; then: {AGAIN}"),
        ({}, [vote(2), vote(3, **EMPTY), vote(4, **EMPTY)],
         f"give them more time: {AGAIN} -e lifecycle_quorum_lost_timeout=600; or restart them by hand: ansible "
         "n1,n2,n3,n4 --become --forks 4 -m ansible.builtin.systemd_service -a "
         """'{"name": "besu", "state": "restarted"}'"""),
        ({}, [vote(2), vote(3, **EMPTY), vote(4, unit="b4", **EMPTY)],
         f"give them more time: {AGAIN} -e lifecycle_quorum_lost_timeout=600"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_run_next(own, others, hint):
    assert among(*[{**one, "late": True} for one in others], **own, late=True)["hint"] == hint


def test_a_node_without_a_vote_is_only_seen_to_be_back():
    mine = vote(1, validator=False, asked=False, agrees=False, address="0x9")
    found = at(look(5, 5), vote=mine, votes=[mine, vote(2), vote(3), vote(4)])
    assert (found["restart"], found["verify"], found["reason"]) == (False, True, "")


def test_a_dry_run_waits_for_nothing():
    mine = vote(1, voted=False)
    found = at(look(5, 5), check_mode=True, vote=mine, votes=[mine])
    assert (found["waits"], found["restart"], found["verify"], found["reason"]) == (False, False, False, "")
