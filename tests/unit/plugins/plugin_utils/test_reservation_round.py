# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A validator goes offline only with the grants of more than half of its set."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._reservation_round import (
    HOLDER,
    asks_next,
    reservation_round,
    rounds,
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
        ("++", False, ["h1", "h2"], "hosts of 2 validators have granted, 3 are needed"),
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
    first, second = rounds(plan(1, 1, 1, 1, needed=3), "ann", "h1", 2)
    assert [one["host"] for one in first["holders"]] == ["h1", "h2", "h3"]
    assert [one["host"] for one in second["holders"]] == ["h1", "h2", "h3", "h4"]
    assert first["pause"] == 0 and 4 <= second["pause"] < 12
    assert first["owner"] != second["owner"] and first["owner"].startswith("ann for h1 ")
    assert first["holders"][0] == {
        "host": "h1", "validators": 1, "owner": first["owner"], "network": "0xa", "target": "0xb", "needed": 3,
    }  # fmt: skip


def test_what_cannot_be_reserved_is_not_asked_for():
    assert rounds(plan(needed=0), "", "h1", 3) == []
    assert [len(one["holders"]) for one in rounds(plan(1, 1, needed=3), "", "h1", 1)] == [2], "all that there are"
