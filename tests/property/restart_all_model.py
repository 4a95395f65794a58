# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of a restart of all: simulated hosts that go through the stages in step, as the role has them do.

Time is virtual. What a start, a round of consensus and the next block take is
what was measured on real networks (``_besu/stall.py``).
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import stall
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.quorum import quorum
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._restart_all_stage import stage

GENESIS = "0x" + "a" * 64
HEAD, LIMIT, NEVER = 7, 60.0, 1e9
# Seconds that the tasks of one round take at least.
ROUND = 4.0
# Seconds that they take beside the look at the chain, whose length the stage says.
TASKS = 3.0
# Seconds of the network of which the facts tell: its block period, and the time-out of round 0.
PERIOD, TIMEOUT = 2.0, 4.0
# After so many seconds a new JVM that listens already begins to answer.
SILENCE = (5.0, 15.0, 9.0, 12.0)


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


class Run:
    """One run of the playbook, with all hosts in step."""

    def __init__(self, nodes: list[Node], regains: float, tasks: float | None = None) -> None:
        """``tasks``: seconds that the tasks of a round take beside its look; None: ROUND is a whole one."""
        self.nodes, self.regains, self.tasks = nodes, regains, tasks
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
        service = {"name": "besu", "observation": {**seen, "besu": {"genesis": GENESIS, "address": node.address}}}
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
            self.now += ROUND if self.tasks is None else self.tasks + self.interval()
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

    def interval(self) -> float:
        """Seconds between the two looks of this round."""
        return float(self.stage_of(self.nodes[0], {"look": {}})["interval"])

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


def network(members: int, down: int, *, silent: int = 0) -> list[Node]:
    """Validators of which the last ones are down, and answer late once started; ``silent`` of them never vote."""
    nodes = [Node(f"n{number}", False, 0.0, 0.0, 0.0) for number in range(members - down)]
    for number in range(down):
        answers = SILENCE[number % len(SILENCE)]
        votes = NEVER if number < silent else answers + TIMEOUT
        nodes.append(Node(f"n{members - down + number}", True, answers, answers, votes))
    return nodes


def natural_regain(members: int, down: int, stalled_for: float) -> float:
    """Seconds from the start of those that are down to a block, where nothing is restarted."""
    up = stall._after(stall.Place(0, TIMEOUT), TIMEOUT, stalled_for + stall.RESTART_SECONDS)
    places = [up] * (members - down) + [stall.Place(0, TIMEOUT)] * down
    return stall.RESTART_SECONDS + (stall.rounds_converge_in(TIMEOUT, quorum(members), places) or NEVER)


def by_restart(run: Run) -> float:
    """Seconds from the same moment to a block, where ``run`` restarts them; NEVER where it refuses."""
    return run.now + stall.RESTART_SECONDS + TIMEOUT + PERIOD if run.restarted else NEVER
