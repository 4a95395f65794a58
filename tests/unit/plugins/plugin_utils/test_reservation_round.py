# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A validator goes offline only with the grants of more than half of its set."""

from __future__ import annotations

import itertools
import random

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._besu_networks import reservation
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._reservation_round import (
    HOLDER,
    asks,
    asks_next,
    reservation_round,
)

IN_A_SLICE = (
    "; the inventory of this run has hosts of 2 of them only: give it all hosts of the chain with their "
    "lifecycle_services, and no slice of these"
)
OTHER = {"owner": "somebody else", "left": 170}


def answers(*said, needed=3, validators=1):
    """Items of the loop: ``+`` granted, ``-`` granted to another owner, ``?`` no answer, ``.`` not asked."""
    shapes = {
        "+": {"granted": True, "holder": {"owner": "me"}},
        "-": {"granted": False, "holder": OTHER, "reason": "taken"},
        "?": {"unreachable": True, "msg": "no route"},
        ".": {"skipped": True},
    }
    return [
        {**shapes[one], HOLDER: {"host": f"h{i}", "validators": validators, "needed": needed, "owner": "me"}}
        for i, one in enumerate(said, 1)
    ]


@pytest.mark.parametrize(
    ("said", "held", "granted", "refusal"),
    [
        ("", False, [], ""),
        ("+++", True, ["h1", "h2", "h3"], ""),
        ("++?+", True, ["h1", "h2", "h4"], ""),
        ("++", False, ["h1", "h2"], f"hosts of 2 validators have granted, 3 are needed{IN_A_SLICE}"),
        ("+?+?", False, ["h1", "h3"], "hosts of 2 validators have granted, 3 are needed (h2: no route; h4: no route)"),
        ("?..", False, [], "h1: no route"),
        ("-..", False, [], "h1: taken"),
        ("++-.", False, ["h1", "h2"], "h3: taken"),
        ("++-+", False, ["h1", "h2", "h4"], "h3: taken"),
    ],
)
def test_a_round(said, held, granted, refusal):
    found = reservation_round(answers(*said), "h1")
    assert (found["held"], [one["host"] for one in found["granted"]], found["refusal"]) == (held, granted, refusal)
    assert found["owner"] == ("me" if held else "")


def test_whatever_is_answered_nothing_is_held_without_more_than_half_and_its_own_host():
    for said in itertools.product("+-?.", repeat=5):
        found = reservation_round(answers(*said), "h1")
        grants = said.count("+")
        assert found["held"] == (said[0] == "+" and grants >= 3 and "-" not in said)
        assert len(found["granted"]) == grants, "what was granted is known, to be given back"


def test_two_validators_on_one_host_count_as_two():
    assert reservation_round(answers("+", "+", needed=4, validators=2), "h1")["held"]


@pytest.mark.parametrize(
    ("run", "state", "release"),
    [
        ({}, "running", True),
        ({"changed": False, "reached": False}, "running", True),
        ({"changed": True, "reached": True}, "running", True),
        ({"changed": True, "reached": True}, "stopped", False),
        ({"changed": True, "reached": False}, "running", False),
        ({"changed": False, "unreachable": True}, "running", False),
        ({"reached": False}, "running", False),
    ],
)
def test_a_validator_that_is_not_back_keeps_its_grants(run, state, release):
    assert reservation_round(answers(*"+++"), "h1", run, state)["release"] is release


@pytest.mark.parametrize(
    ("previous", "goes_on"),
    [
        ({}, True),
        ({"results": answers("+", "-")}, True),
        ({"results": [], "skipped": True}, True),
        (answers("+")[0], True),
        (answers("+", "?")[1], True),
        (answers("?")[0], False),
        (answers("+", "-")[1], False),
        (answers("+", ".")[1], False),
    ],
)
def test_a_round_ends_with_the_first_host_that_decides_it(previous, goes_on):
    assert asks_next(previous, "h1") is goes_on


def plan(*validators, needed):
    holders = [{"host": f"h{i}", "validators": count} for i, count in enumerate(validators, 1)]
    return {"network": "0xa", "address": "0xb", "holders": holders, "needed": needed}


def test_the_first_round_asks_no_more_than_are_needed_and_the_next_asks_all():
    first, second = (asks(plan(1, 1, 1, 1, needed=3), "ann", "h1", number, 2) for number in range(2))
    assert [one["host"] for one in first] == ["h1", "h2", "h3"]
    assert [one["host"] for one in second] == ["h1", "h2", "h3", "h4"]
    owner = first[0]["owner"]
    assert second[0]["owner"] != owner and owner.startswith("ann for h1 ")
    assert first[0] == {
        "host": "h1", "validators": 1, "owner": owner, "network": "0xa", "target": "0xb", "needed": 3, "round": 0,
        "last": False,
    }  # fmt: skip


def test_what_cannot_be_reserved_is_not_asked_for():
    assert asks(plan(needed=0), "", "h1", 0, 3) == []
    assert asks(plan(1, needed=1), "", "h1", 0, 0) == [], "no round at all"
    assert len(asks(plan(1, 1, needed=3), "", "h1", 0, 1)) == 2, "all that there are"


def test_a_round_that_holds_nothing_is_followed_by_another_while_there_are_tries_left():
    said, numbers = "-", []
    found = reservation_round([], "h1")
    while not numbers or found["again"]:
        numbers.append(found["next"])
        (asked,) = asks(plan(1, needed=1), "ann", "h1", found["next"], 3)
        found = reservation_round([{**answers(said)[0], HOLDER: asked}], "h1")
    assert numbers == [0, 1, 2] and found["next"] == 0 and found["refusal"] == "h1: taken"
    (asked,) = asks(plan(1, needed=1), "ann", "h1", 0, 3)
    assert not reservation_round([{**answers("+")[0], HOLDER: asked}], "h1")["again"], "it is held"


@pytest.mark.parametrize("size", range(1, 9))
def test_of_slices_that_run_at_once_one_at_most_takes_a_validator_offline(size):
    """Each run knows the hosts of its part alone, and all of them ask at the same time, in every order."""
    chain = [f"0x{number}" for number in range(size)]
    chance = random.Random(size)
    for _case in range(200):
        part_of = {one: chance.randrange(3) for one in chain}
        network = {"genesis": "0xa", "validators": chain}
        grants: dict[str, dict] = {}
        asking, done = [], []
        for target in chain:
            nodes = [{"address": one, "name": f"h{one}/besu"} for one in chain if part_of[one] == part_of[target]]
            look = {"networks": [network], "nodes": nodes}
            made = reservation(look, f"h{target}", "0xa", target)
            asking.append((made, asks(made, "ann", f"h{target}", 1, 2)))
            assert {one["host"] for one in asking[-1][1]} == {node["name"].partition("/")[0] for node in nodes}
        answers: dict[str, list] = {made["address"]: [] for made, _holders in asking}
        steps = [made["address"] for made, holders in asking for _one in holders]
        chance.shuffle(steps)
        for target in steps:
            made, holders = next(one for one in asking if one[0]["address"] == target)
            said = answers[target]
            if not asks_next(said[-1] if said else {}, f"h{target}"):
                continue
            holder = holders[len(said)]
            free = grants.setdefault(holder["host"], target) == target
            taken = {} if free else {"holder": OTHER, "reason": "taken"}
            said.append({"granted": free, HOLDER: holder, **taken})
        for target, said in answers.items():
            found = reservation_round(said, f"h{target}")
            part = sum(part_of[one] == part_of[target] for one in chain)
            done += [target] if found["held"] else []
            assert not found["held"] or part > size / 2
            everybody = len(said) == part and all(one["granted"] for one in said)
            assert ("no slice of these" in found["refusal"]) == (everybody and part <= size / 2), (said, found)
        assert len(done) <= 1
