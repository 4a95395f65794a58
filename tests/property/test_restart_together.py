# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of a restart of all: simulated hosts that go through the stages in step, as the role has them do."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.quorum import quorum
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._restart_together import stage

GENESIS = "0x" + "a" * 64
HEAD, LIMIT, NEVER = 7, 60.0, 1e9
# Seconds that the tasks of one round take at least.
ROUND = 4.0


@dataclass
class Node:
    """A validator: since when it is level, answers and is shown to vote (seconds after the starts)."""

    name: str
    down: bool
    answers: float
    level: float
    votes: float
    comes_up: bool = True
    refuses: str = ""
    lost_at: float = NEVER
    facts: dict[str, t.Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"0x{self.name}"

    def is_up(self) -> bool:
        return not self.down or self.comes_up


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


class Run:
    """One run of the playbook, with all hosts in step."""

    def __init__(self, nodes: list[Node], regains: float) -> None:
        self.nodes, self.regains = nodes, regains
        self.now, self.round = 0.0, 0
        self.votes: dict[str, dict[str, t.Any]] = {}
        self.restarted: list[Node] = []
        self.reasons: set[str] = set()
        self.looked: float = 0.0

    def reached(self) -> list[Node]:
        return [node for node in self.nodes if self.now < node.lost_at]

    def look(self, own: Node) -> dict[str, t.Any]:
        answering = [one for one in [own, *(n for n in self.nodes if n is not own)] if self.answers(one)]
        rows = [{"name": own.name, "address": own.address}] if not self.answers(own) else []
        rows += [
            {"name": one.name, "address": one.address, "head": HEAD if self.now >= one.level else HEAD - 2}
            for one in answering
        ]
        network = {
            "genesis": GENESIS, "stalled": self.now < self.regains, "advances": self.now >= self.regains, "forks": [],
            "quorum": quorum(len(self.nodes)), "validators": [n.address for n in self.nodes],
            "nodes": [n.name for n in answering],
        }  # fmt: skip
        return {"nodes": rows, "networks": [network] if answering else []}

    def answers(self, node: Node) -> bool:
        return node.is_up() and self.now >= node.answers

    def stage_of(self, node: Node, facts: dict[str, t.Any]) -> dict[str, t.Any]:
        start = {"reached": node.comes_up, "msg": "exit 1", "transitions": []} if node.down else {}
        seen = {"kind": "besu", "state": "error", "cause": "exit_code" if node.down else "chain_stalled"}
        service = {"name": "besu", "seen": {**seen, "besu": {"genesis": GENESIS, "address": node.address}}}
        so_far = {
            "start": start, "turn": "besu", "round": self.round, "host": node.name, "obstacle": "", "limit": LIMIT,
            "elapsed": self.now, "vote": self.votes.get(node.name, {}),
            "votes": [self.votes[one.name] for one in self.reached() if one.name in self.votes], **facts,
        }  # fmt: skip
        return stage(facts.get("look", self.look(node)), service, so_far)

    def play(self) -> None:
        looks = {node.name: self.look(node) for node in self.nodes}
        going = self.reached()
        while going:
            self.round += 1
            facts = {node.name: self.observe(node, looks[node.name]) for node in going}
            self.now += ROUND
            self.looked = self.now
            looks = {node.name: self.look(node) for node in going}
            for node in going:
                told = self.stage_of(node, {**facts[node.name], "look": looks[node.name]})["vote"]
                self.votes[node.name] = told
            stages = {node.name: self.stage_of(node, {"look": looks[node.name]}) for node in going}
            waiting = {found["waits"] for found in stages.values()}
            assert len(waiting) == 1, "all hosts go on, or none"
            if waiting == {False}:
                self.restarted = [node for node in going if stages[node.name]["restart"]]
                self.reasons = {found["reason"] for found in stages.values() if found["reason"]}
                return
            going = self.reached()
            assert self.now <= LIMIT + 3 * ROUND, "the time has an end"

    def observe(self, node: Node, looked: dict[str, t.Any]) -> dict[str, t.Any]:
        found = self.stage_of(node, {"look": looked})
        facts: dict[str, t.Any] = {"observed": {}, "asked": {}}
        if found["observe"]:
            besu = {"voted": self.now >= node.votes, "process_age": self.now}
            facts["observed"] = {"services": [{"name": "besu", "kind": "besu", "besu": besu}]}
        if found["ask"]:
            blocks = [{"guard": node.refuses, "reason": "no", "hint": ""}] if node.refuses else []
            facts["asked"] = {"reached": not node.refuses, "msg": "no", "blocked_by": blocks}
        return facts


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
