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
    continues,
    releases,
    requests,
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
    assert found["busy"] == ("-" in said)


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
    assert releases(run, state) is release


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
    assert continues(previous, "h1") is goes_on


def plan(*validators, needed):
    holders = [{"host": f"h{i}", "validators": count} for i, count in enumerate(validators, 1)]
    return {"network": "0xa", "address": "0xb", "holders": holders, "needed": needed}


def test_the_first_round_asks_no_more_than_are_needed_and_the_next_asks_all():
    first, second = (requests(plan(1, 1, 1, 1, needed=3), "ann", "h1", number, 2) for number in range(2))
    assert [one["host"] for one in first] == ["h1", "h2", "h3"]
    assert [one["host"] for one in second] == ["h1", "h2", "h3", "h4"]
    owner = first[0]["owner"]
    assert second[0]["owner"] != owner and owner.startswith("ann for h1 ")
    assert first[0] == {
        "host": "h1", "validators": 1, "owner": owner, "network": "0xa", "target": "0xb", "needed": 3, "round": 0,
        "last": False,
    }  # fmt: skip


def test_what_cannot_be_reserved_is_not_asked_for():
    assert requests(plan(needed=0), "", "h1", 0, 3) == []
    assert requests(plan(1, needed=1), "", "h1", 0, 0) == [], "no round at all"
    assert len(requests(plan(1, 1, needed=3), "", "h1", 0, 1)) == 2, "all that there are"


def test_a_round_that_holds_nothing_is_followed_by_another_while_there_are_tries_left():
    numbers: list[int] = []
    found = reservation_round([], "h1")
    while not numbers or found["again"]:
        numbers.append(found["next"])
        (asked,) = requests(plan(1, needed=1), "ann", "h1", found["next"], 3)
        found = reservation_round([{**answers("-")[0], HOLDER: asked}], "h1")
    assert numbers == [0, 1, 2] and found["next"] == 0 and found["refusal"] == "h1: taken"
    (asked,) = requests(plan(1, needed=1), "ann", "h1", 0, 3)
    assert not reservation_round([{**answers("+")[0], HOLDER: asked}], "h1")["again"], "it is held"


class Slice:
    """A run that wants one validator offline, and knows the hosts of its part of the chain alone."""

    def __init__(self, target, part, chain):
        self.host, self.part = f"h{target}", part
        nodes = [{"address": one, "name": f"h{one}/besu"} for one in part]
        look = {"networks": [{"genesis": "0xa", "validators": chain}], "nodes": nodes}
        self.asks = requests(reservation(look, self.host, "0xa", target), "ann", self.host, 1, 2)
        self.said: list[dict] = []
        assert {one["host"] for one in self.asks} == {f"h{one}" for one in part}

    def ask_next(self, grants):
        """``grants``: host -> the slice that has its grant."""
        if not continues(self.said[-1] if self.said else {}, self.host):
            return
        holder = self.asks[len(self.said)]
        free = grants.setdefault(holder["host"], self.host) == self.host
        taken = {} if free else {"holder": OTHER, "reason": "taken"}
        self.said.append({"granted": free, HOLDER: holder, **taken})

    @property
    def has_all_its_grants(self):
        return len(self.said) == len(self.part) and all(one["granted"] for one in self.said)


@pytest.mark.parametrize("size", range(1, 9))
def test_of_slices_that_run_at_once_one_at_most_takes_a_validator_offline(size):
    """All of them ask at the same time, in every order."""
    chain = [f"0x{number}" for number in range(size)]
    chance = random.Random(size)
    for _case in range(200):
        part_of = {one: chance.randrange(3) for one in chain}
        slices = [Slice(one, [other for other in chain if part_of[other] == part_of[one]], chain) for one in chain]
        steps = [one for one in slices for _ask in one.asks]
        chance.shuffle(steps)
        grants: dict[str, str] = {}
        for one in steps:
            one.ask_next(grants)
        found = [reservation_round(one.said, one.host) for one in slices]
        assert sum(one["held"] for one in found) <= 1
        for one, round_ in zip(slices, found, strict=True):
            is_small = len(one.part) <= size / 2
            assert not (round_["held"] and is_small)
            assert ("no slice of these" in round_["refusal"]) == (one.has_all_its_grants and is_small), round_
