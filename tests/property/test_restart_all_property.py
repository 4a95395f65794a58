# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of a restart of all: simulated hosts that go through the stages in step, as the role has them do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.quorum import quorum
from ansible_collections.chainops.lifecycle.tests.property.restart_all_model import (
    LIMIT,
    NEVER,
    ROUND,
    TASKS,
    Node,
    Run,
    by_restart,
    natural_regain,
    network,
)

moments = st.floats(0, 40) | st.just(NEVER)


@st.composite
def networks(draw: st.DrawFn) -> list[Node]:
    size = draw(st.integers(1, 7))
    nodes = []
    for number in range(size):
        down = draw(st.booleans())
        answers = draw(moments) if down else 0.0
        level = max(answers, draw(st.floats(0, 40))) if down else 0.0
        nodes.append(
            Node(
                f"n{number}", down, answers, level,
                votes=max(level, draw(moments)) if down else 0.0,
                comes_up=not down or draw(st.booleans() | st.just(True)),
                refuses=draw(st.sampled_from(["", "", "", "", "hold", "quorum"])),
                lost_at=draw(st.just(NEVER) | st.floats(0, 30)),
            )
        )  # fmt: skip
    return nodes


@settings(max_examples=150, deadline=None)
@given(networks(), st.floats(0, 80) | st.just(NEVER))
def test_validators_are_restarted_together_or_not_at_all(nodes: list[Node], regains: float) -> None:
    run = Run(nodes, regains)
    run.play()
    if run.restarted:
        voting = [one for one in run.restarted if one.votes <= run.looked and one.level <= run.looked]
        assert len(voting) >= quorum(len(nodes)), "those who are restarted are the quorum, and vote"
        assert run.looked < regains, "a chain that advances is left alone"
        asked = {name for name, told in run.votes.items() if told["round"] == run.round and told["asked"]}
        assert not any(one.refuses for one in nodes if one.name in asked)
        assert not run.reasons


@settings(max_examples=80, deadline=None)
@given(networks())
def test_what_can_be_restarted_is(nodes: list[Node]) -> None:
    for node in nodes:
        node.refuses, node.lost_at = "", NEVER
    able = [one for one in nodes if one.is_up() and max(one.answers, one.level, one.votes) + 2 * ROUND < LIMIT]
    run = Run(nodes, NEVER)
    run.play()
    if len(able) >= quorum(len(nodes)):
        assert {one.name for one in able} <= {one.name for one in run.restarted}
    else:
        assert not run.restarted and run.reasons


@pytest.mark.parametrize(
    ("members", "down", "silent", "restarted"),
    [
        (4, 2, 0, 4),
        (7, 3, 0, 7),
        # Back with an empty data directory: level after a sync, and without a vote. Those who vote are the quorum.
        (4, 2, 1, 4),
        (7, 3, 1, 7),
        (7, 3, 2, 7),
        # Fewer than the quorum vote.
        (4, 2, 2, 0),
        (7, 3, 3, 0),
        (7, 4, 3, 0),
    ],
)
def test_nodes_that_answer_late_are_waited_for(members: int, down: int, silent: int, restarted: int) -> None:
    run = Run(network(members, down, silent=silent), NEVER, TASKS)
    run.play()
    assert len(run.restarted) == restarted
    if not restarted:
        assert f"{members - silent} of {members} validators are shown to vote, quorum {quorum(members)}" in next(
            iter(run.reasons)
        )


@pytest.mark.parametrize(("members", "down"), [(4, 2), (7, 3)])
@pytest.mark.parametrize("stalled_for", [100.0, 600.0, 3600.0])
def test_a_restart_of_all_is_sooner_than_the_rounds_meet(members: int, down: int, stalled_for: float) -> None:
    run = Run(network(members, down), NEVER, TASKS)
    run.play()
    assert by_restart(run) < natural_regain(members, down, stalled_for)
