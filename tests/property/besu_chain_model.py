# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of a QBFT network, its hosts, its faults and its controllers, for the simulation of the quorum guard.

The guard and the reservation are the collection's own; everything else here is
the world that they meet: blocks by proposers in turn, rounds that double when
one is missing, peers that are listed for a while after they vanished, commands
that take a moment, controllers that die.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import chain_view as cv
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum as q
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import reservation as r
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import Block, Peer

LISTED = 30.0
FAULTS = ("crash", "vanish", "cut", "halt")


@dataclass
class Node:
    """A validator and its host. Moments are seconds of the simulation; ``faults``: kind -> since when."""

    address: str
    up: bool = True
    ready_at: float = -1000.0
    faults: dict[str, float] = field(default_factory=dict)
    stopped_by: str | None = None
    head: int = 0
    clock_offset: float = 0.0
    grant: r.Grant | None = None

    def reachable(self) -> bool:
        """Whether a controller gets to its host."""
        return "vanish" not in self.faults

    def answers(self, now: float) -> bool:
        return self.up and now >= self.ready_at and not {"crash", "vanish"} & set(self.faults)

    def follows(self, now: float) -> bool:
        return self.answers(now) and "cut" not in self.faults

    def takes_part(self, now: float) -> bool:
        return self.follows(now) and "halt" not in self.faults


@dataclass
class Tally:
    """What happened in all networks."""

    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)


class World:
    """One network for a while."""

    def __init__(self, rng: random.Random, tally: Tally, *, reserve: bool, seed: int) -> None:
        self.rng, self.tally, self.reserve, self.seed = rng, tally, reserve, seed
        n = rng.choices((1, 2, 3, 4, 5, 6, 7, 9, 10), (1, 1, 2, 8, 3, 3, 6, 2, 2))[0]
        self.nodes = [Node(f"0x{i:040x}", clock_offset=rng.uniform(0, 1e6)) for i in range(1, n + 1)]
        self.peers = {node.address: Peer(node.address, None, "26.8.0") for node in self.nodes}
        self.by_address = {node.address: node for node in self.nodes}
        self.members = [node.address for node in self.nodes]
        self.next_members = list(self.members)
        self.period = rng.choice((1.0, 2.0, 2.0, 5.0))
        self.timeout = self.period * rng.choice((1.0, 2.0, 2.0))
        self.pace = q.ChainTiming(self.period, self.timeout, self.period + 7 * self.timeout + 3.0)
        self.direct = rng.random() < 0.75
        self.now = 0.0
        self.block = Block(1000, 0, "", self.members[-1])
        self.turn = 0
        self.skipped = False
        self.times: list[float] = [0.0]
        self.proposed = {address: 1000 - n + 1 + i for i, address in enumerate(self.members)}
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        for node in self.nodes:
            node.head = 1000

    def at(self, delay: float, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self.events, (self.now + delay, self._sequence, action))

    def run(self, seconds: float) -> None:
        self.at(self.period, self.make_block)
        while self.events and self.events[0][0] <= seconds:
            self.now, _sequence, action = heapq.heappop(self.events)
            action()

    def spawn(self, steps: Iterator[float]) -> None:
        def go() -> None:
            delay = next(steps, None)
            if delay is not None:
                self.at(delay, go)

        go()

    def participants(self) -> list[str]:
        return [a for a in self.members if self.by_address[a].takes_part(self.now)]

    def make_block(self) -> None:
        part = set(self.participants())
        if len(part) < q.quorum(len(self.members)):
            self.at(1.0, self.make_block)
            return
        order = [self.members[(self.turn + i) % len(self.members)] for i in range(len(self.members))]
        missed = next(i for i, address in enumerate(order) if address in part)
        if missed and not self.skipped:
            self.skipped = True
            self.at(self.timeout * (2.0**missed - 1), self.make_block)
            return
        self.skipped = False
        proposer = order[missed]
        self.block = Block(self.block.number + 1, int(self.now), "", proposer)
        self.times.append(self.now)
        self.proposed[proposer] = self.block.number
        self.members = list(self.next_members)
        self.turn = (self.members.index(proposer) + 1) % len(self.members) if proposer in self.members else 0
        for node in self.nodes:
            if node.follows(self.now):
                node.head = self.block.number
        self.at(self.period, self.make_block)

    def look(self, node: Node) -> NodeSample:
        """What this node's RPC says now."""
        if not node.answers(self.now):
            return NodeSample(self.now, self.now, "unreachable" if "vanish" in node.faults else "refused")
        return NodeSample(
            self.now,
            self.now,
            "ok",
            head=Block(node.head, int(self.times[node.head - 1000])),
            peers=tuple(
                self.peers[other.address] for other in self.nodes if other is not node and self.lists(node, other)
            ),
            address=node.address,
            version="26.8.0",
            validators=tuple(self.members),
            next_validators=tuple(self.next_members),
            last_proposed=dict(self.proposed),
            proposed_to=self.block.number,
        )

    def lists(self, node: Node, other: Node) -> bool:
        """Whether ``other`` is in the list of peers: those that vanished without a word stay for a while."""
        cut = max([f.faults[k] for f in (node, other) for k in ("cut", "vanish") if k in f.faults], default=None)
        if cut is not None:
            return self.now - cut < LISTED
        return other.answers(self.now)

    def view(self, first: dict[str, NodeSample]) -> cv.ChainView:
        return cv.chain_view([(look, self.look(self.by_address[address])) for address, look in first.items()])

    def fault(self) -> None:
        node = self.rng.choice(self.nodes)
        kind = self.rng.choice(FAULTS)
        if kind not in node.faults:
            node.faults[kind] = self.now
            self.tally.counts[f"fault: {kind}"] += 1
            self.at(self.rng.uniform(10, 150), lambda: self.heal(node, kind))

    def heal(self, node: Node, kind: str) -> None:
        since = node.faults.pop(kind, self.now)
        if kind in ("crash", "vanish"):
            node.ready_at = self.now + self.rng.uniform(4, 20)
            if kind == "vanish" and self.now - since > 5:
                node.grant = None  # the host was booted: /run is empty, and it is young
                node.clock_offset = -self.now
        if node.follows(self.now):
            node.head = self.block.number

    def vote(self) -> None:
        """A member is voted out, or all are in again, with the block after next."""
        if len(self.next_members) > 3 and self.rng.random() < 0.7:
            self.next_members.remove(self.rng.choice(self.next_members))
        else:
            self.next_members = [node.address for node in self.nodes]

    def unseeable(self, node: Node, looked: float) -> bool:
        """Whether the newest fault of a member is one that no look at that moment could have shown."""

        def since(blocks: int) -> float:
            return looked - (self.times[-blocks - 1] if len(self.times) > blocks else 0.0)

        rotation = since(len(self.members) + 1)
        stale = rotation if self.direct else max(LISTED, rotation)
        bounds = {
            "crash": 0.0 if self.direct else stale,
            "vanish": 0.0 if self.direct else stale,
            "cut": min(since(3), stale) if self.direct else stale,
            "halt": rotation,
        }
        return any(moment > looked - bounds[kind] - 0.001 for kind, moment in node.faults.items())


def controller(world: World, name: str) -> Iterator[float]:
    """Somebody who restarts and stops validators, with the guard and the reservation. Yields how long it waits."""
    rng = world.rng
    yield rng.uniform(0, 5)
    for attempt in range(rng.randint(2, 6)):
        target = rng.choice(world.nodes)
        action = rng.choices(("restart", "stop"), (4, 1))[0]
        if not target.up:
            target.up, target.stopped_by, target.ready_at = True, None, world.now + rng.uniform(4, 20)
            yield rng.uniform(1, 10)
            continue
        yield from attempt_step(world, f"{name}/{attempt}", target, action)
        if rng.random() < 0.03:
            return  # the controller dies for good
        yield rng.uniform(0, 15)


def attempt_step(world: World, owner: str, target: Node, action: str) -> Iterator[float]:
    rng, tally = world.rng, world.tally
    if world.reserve:
        granted = yield from reserve(world, owner, target)
        if not r.enough(granted, world.next_members):
            tally.counts["not reserved"] += 1
            release(world, owner)
            return
    watched = world.nodes if world.direct else [target]
    first = {node.address: world.look(node) for node in watched}
    for _look in range(4):
        yield world.period + rng.uniform(0.2, 1.0)
        view = world.view(first)
        if (view.head or 0) > (view.first_head or 0):
            break
    looked = world.now
    verdict = q.may_stop(view, target.address, world.pace, target_runs=target.up)
    count_judgement(world, target, verdict)
    if verdict.safe:
        yield rng.uniform(0.05, 2.0)
        host_now = world.now + target.clock_offset
        if not world.reserve or not r.usable(target.grant, owner, target.address, host_now):
            if target.reachable() and target.up:
                take_away(world, target, action, looked)
                if rng.random() < 0.05:
                    return  # the controller dies right after the step: the grants end by themselves
                yield rng.uniform(10, 40)
        else:
            tally.counts["grant too old"] += 1
    release(world, owner)


def reserve(world: World, owner: str, target: Node) -> Generator[float, None, list[str]]:
    """The target's host first, then the others until more than half of the set has granted."""
    granted: list[str] = []
    others = [node for node in world.nodes if node is not target]
    world.rng.shuffle(others)
    for node in [target, *others]:
        if r.enough(granted, world.next_members):
            break
        yield world.rng.uniform(0.01, 0.4)
        if not node.reachable():
            continue
        now = world.now + node.clock_offset
        age = now if node.clock_offset <= 0 else 1e6
        answer = r.decide(node.grant, owner, target.address, now=now, alive_for=age)
        node.grant = answer.grant
        if not answer.refused:
            granted.append(node.address)
        elif node is target:
            break
    return granted


def release(world: World, owner: str) -> None:
    for node in world.nodes:
        if node.grant is not None and node.grant.owner == owner and node.reachable():
            node.grant = None


def count_judgement(world: World, target: Node, verdict: q.QuorumVerdict) -> None:
    tally = world.tally
    tally.counts["judged"] += 1
    left = [a for a in world.participants() if a != target.address]
    safe = len(left) >= q.quorum(len(world.members)) or not target.takes_part(world.now)
    if verdict.safe:
        tally.counts["allowed"] += 1
    elif safe:
        tally.counts["refused though safe"] += 1
        tally.refusals[verdict.reason.split(":")[0]] += 1
    else:
        tally.counts["refused rightly"] += 1


def take_away(world: World, target: Node, action: str, looked: float) -> None:
    tally = world.tally
    before = world.participants()
    needed = q.quorum(len(world.members))
    tally.counts[action] += 1
    if target.address in before and len(before) >= needed > len(before) - 1:
        gone = [world.by_address[a] for a in world.members if a not in before]
        late = [n for n in gone if n.stopped_by is None and world.unseeable(n, looked)]
        if len(before) - 1 + len(late) >= needed:
            proof = "asked themselves" if world.direct else "seen as peers only"
            tally.counts[f"a fault in the same moment, validators {proof}"] += 1
        else:
            tally.broken.append(f"seed {world.seed}: n={len(world.members)}, direct={world.direct}, t={world.now:.1f}")
    target.head = world.block.number if target.follows(world.now) else target.head
    if action == "restart":
        target.ready_at = world.now + world.rng.uniform(4, 20)
        target.stopped_by = "restart"
        world.at(target.ready_at - world.now, lambda: setattr(target, "stopped_by", None))
    else:
        target.up, target.stopped_by = False, "stop"


def simulate(
    networks: int, *, reserve: bool = True, controllers: int = 2, seconds: float = 150.0, seed: int = 0
) -> Tally:
    tally = Tally()
    for number in range(networks):
        rng = random.Random(seed + number)
        world = World(rng, tally, reserve=reserve, seed=seed + number)
        for _fault in range(rng.choices((0, 1, 2, 4), (4, 3, 2, 1))[0]):
            world.at(rng.uniform(0, seconds), world.fault)
        if rng.random() < 0.1:
            world.at(rng.uniform(0, seconds), world.vote)
        for index in range(controllers):
            world.spawn(controller(world, f"controller {index}"))
        world.run(seconds)
        tally.counts["networks"] += 1
    return tally
