# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of a QBFT network, its hosts, its faults and its controllers, for the simulation of the quorum guard.

The guard and the reservation are the collection's own; everything else here is
the world that they meet: blocks by proposers in turn, rounds that double when
one is missing, peers that are listed for a while after they vanished, nodes
that are cut off together, observers, nodes with some APIs only, nodes of
another chain with the same chain id, commands that take a moment, controllers
that die.
"""

from __future__ import annotations

import heapq
import random
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import chain_view as cv
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum as q
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum_guard as guard
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import reservation as r
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import BftConfig, Block, Peer

LISTED = 30.0
FAULTS = ("crash", "vanish", "cut", "halt")
PERIODS = (0.2, 1.0, 2.0, 5.0, 15.0, 60.0, 120.0)
GENESIS, OTHER_GENESIS = "0x" + "a" * 64, "0x" + "b" * 64
# Seconds by which the moments differ of which the answers to one round of requests tell.
SPREAD = 0.25


@dataclass
class Node:
    """A node and its host. Moments are seconds of the simulation; ``faults``: kind -> since when.

    ``side``: those that are cut off with the same number still reach each other.
    ``admin``, ``net``, ``bft``: the API groups that it has.
    """

    address: str
    admin: bool = True
    net: bool = True
    bft: bool = True
    side: int = 0
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
    """One network for a while. ``hub``: the only validator to which all others are linked, where there is one."""

    def __init__(self, rng: random.Random, tally: Tally, *, reserve: bool, seed: int) -> None:
        self.rng, self.tally, self.reserve, self.seed = rng, tally, reserve, seed
        n = rng.choices((1, 2, 3, 4, 5, 6, 7, 9, 10), (1, 1, 2, 8, 3, 3, 6, 2, 2))[0]
        self.nodes = [Node(f"0x{i:040x}", clock_offset=rng.uniform(0, 1e6)) for i in range(1, n + 1)]
        self.peers = {node.address: Peer(node.address, None, "26.8.0") for node in self.nodes}
        self.by_address = {node.address: node for node in self.nodes}
        self.members = [node.address for node in self.nodes]
        self.next_members = list(self.members)
        self.period = rng.choice(PERIODS)
        self.timeout = max(self.period, 1.0) * rng.choice((1.0, 2.0, 2.0))
        limit = self.period + self.timeout * (2 ** min(n // 3, 3) - 1) + max(3.0, self.period, self.timeout / 2)
        self.pace = q.ChainTiming(self.period, self.timeout, limit)
        self.observers = [Node(f"0x{i:040x}") for i in range(900, 900 + rng.choices((0, 1, 2), (3, 2, 1))[0])]
        self.peers.update({node.address: Peer(node.address, None, "26.8.0") for node in self.observers})
        self.foreign = rng.random() < 0.15
        self._choose_who_is_asked()
        star = random.Random(f"star {seed}")
        self.hub = star.choice(self.nodes) if self.direct and star.random() < 0.2 else None
        self.now = 0.0
        self.block = Block(1000, 0, "", self.members[-1])
        self.turn = 0
        self.skipped = False
        self.times: list[float] = [0.0]
        self.proposers = list(self.members)  # of block 1000 - n + 1 and those that follow
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        for node in (*self.nodes, *self.observers):
            node.head = 1000

    def _choose_who_is_asked(self) -> None:
        """All validators, some, or the target alone; and the APIs that everybody has, or some."""
        self.direct = self.rng.random() < 0.6
        share = self.rng.choice((0.0, 0.3, 0.7))
        self.asked = [node for node in self.nodes if self.direct or self.rng.random() < share]
        if self.rng.random() < 0.4:
            for node in (*self.nodes, *self.observers):
                node.admin, node.net = self.rng.random() < 0.6, self.rng.random() < 0.8
                node.bft = self.rng.random() < 0.8

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

    def participants(self, without: Node | None = None) -> list[str]:
        part = [
            a for a in self.members if self.by_address[a].takes_part(self.now) and self.by_address[a] is not without
        ]
        return part if self.hub is None or self.hub.address in part else part[:1]

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
        self.proposers.append(proposer)
        self.members = list(self.next_members)
        self.turn = (self.members.index(proposer) + 1) % len(self.members) if proposer in self.members else 0
        for node in (*self.nodes, *self.observers):
            if node.follows(self.now):
                node.head = self.block.number
        self.at(self.period, self.make_block)

    def look(self, node: Node) -> NodeSample:
        """What this node's RPC says now."""
        if not node.answers(self.now):
            return NodeSample(self.now, self.now, "unreachable" if "vanish" in node.faults else "refused")
        told = self.now - self.rng.uniform(0.0, SPREAD)
        number = node.head
        while number > 1000 and self.times[number - 1000] > told:
            number -= 1
        listed = [o for o in (*self.nodes, *self.observers) if o is not node and self.lists(node, o)]
        return NodeSample(
            self.now,
            self.now,
            "ok",
            head=Block(number, int(self.times[number - 1000])),
            genesis=GENESIS,
            chain_id=1337,
            peers=tuple(self.peers[other.address] for other in listed) if node.admin else None,
            peer_count=len(listed) if node.net else None,
            address=node.address if node.net or node.admin else None,
            version="26.8.0",
            bft=BftConfig("qbft", self.period, None, self.timeout, None) if node.admin else None,
            measured_period=self.period,
            validators=tuple(self.members) if node.bft else None,
            next_validators=tuple(self.next_members) if node.bft else None,
            last_proposed=self.proposals(number) if node.bft else None,
            proposed_to=number if node.bft else None,
        )

    def proposals(self, number: int) -> dict[str, int]:
        """Address -> the last block that it proposed, up to block ``number``."""
        made = self.proposers[: number - 1000 + len(self.nodes)]
        first = 1000 - len(self.nodes) + 1
        return {address: first + i for i, address in enumerate(made)}

    def strangers(self) -> list[NodeSample]:
        """Nodes of another chain with the same chain id, which is higher."""
        members = tuple(f"0x{i:040x}" for i in range(501, 505))
        number = 5000 + int(self.now)
        return [
            NodeSample(
                self.now,
                self.now,
                "ok",
                head=Block(number, int(self.now)),
                genesis=OTHER_GENESIS,
                chain_id=1337,
                peers=(),
                address=member,
                validators=members,
                next_validators=members,
                last_proposed={one: number - i for i, one in enumerate(members)},
                proposed_to=number,
            )
            for member in members
        ]

    def lists(self, node: Node, other: Node) -> bool:
        """Whether ``other`` is in the list of peers: those that vanished without a word stay for a while."""
        if self.hub is not None and self.hub not in (node, other):
            return False
        gone = [one.faults["vanish"] for one in (node, other) if "vanish" in one.faults]
        if node.side != other.side:
            gone += [one.faults["cut"] for one in (node, other) if "cut" in one.faults]
        if gone:
            return self.now - max(gone) < LISTED
        return other.answers(self.now)

    def targets(self, target: Node) -> list[Node]:
        """Whom the guard asks on behalf of ``target``: the node itself first."""
        return [target, *(node for node in (*self.asked, *self.observers) if node is not target)]

    def samples(self, target: Node) -> list[NodeSample]:
        found = [self.look(node) for node in self.targets(target)]
        return [*found, *self.strangers()] if self.foreign else found

    def fault(self) -> None:
        node = self.rng.choice(self.nodes)
        kind = self.rng.choice(FAULTS)
        if kind in node.faults:
            return
        hit = [node]
        if kind == "cut" and self.rng.random() < 0.5:  # a site: others, and observers, are cut off with it
            near = [one for one in (*self.nodes, *self.observers) if "cut" not in one.faults and one is not node]
            hit += self.rng.sample(near, self.rng.randint(0, min(len(near), len(self.nodes) // 3 + 1)))
        self._sequence += 1
        for one in hit:
            one.faults[kind] = self.now
            one.side = self._sequence if kind == "cut" else one.side
        self.tally.counts[f"fault: {kind}"] += 1
        longest = max(150.0, 8 * self.period)
        self.at(self.rng.uniform(10, longest), lambda: self._heal_all(hit, kind))

    def _heal_all(self, nodes: list[Node], kind: str) -> None:
        for node in nodes:
            self.heal(node, kind)

    def heal(self, node: Node, kind: str) -> None:
        since = node.faults.pop(kind, self.now)
        node.side = 0 if kind == "cut" else node.side
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

    def unseeable(self, node: Node, target: Node, looked: float) -> bool:
        """Whether a member is gone by a fault that no RPC that was asked could have shown at that moment."""
        asked = [one for one in self.targets(target) if one.reachable()]
        kind, since = max(node.faults.items(), key=lambda fault: fault[1])
        if kind == "halt":  # it goes on answering, and its turn to propose has not come
            return since > looked - self.lasted(len(self.members) + 1, looked)
        if since > looked:
            return True
        if node in self.targets(target):
            # Two blocks may be made between the answers of two nodes, where blocks are frequent.
            behind = self.lasted(3 + int(SPREAD / self.period), looked) + SPREAD
            if kind in ("crash", "vanish") or since < looked - behind:
                return False
        if looked - since < LISTED:
            return kind != "crash"
        # Lists of peers show it; where nobody that was asked tells any, a number of peers does not.
        return not any(one.admin for one in asked)

    def lasted(self, blocks: int, looked: float) -> float:
        """Seconds since so many blocks ago."""
        return looked - (self.times[-blocks - 1] if len(self.times) > blocks else 0.0)


def controller(world: World, name: str) -> Iterator[float]:
    """Somebody who restarts and stops validators, with the guard and the reservation. Yields how long it waits."""
    rng = world.rng
    yield rng.uniform(0, 5) if rng.random() < 0.5 else rng.uniform(0, 10 * world.period)
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
        yield rng.uniform(0, max(15.0, 3 * world.period))


def attempt_step(world: World, owner: str, target: Node, action: str) -> Iterator[float]:
    rng, tally = world.rng, world.tally
    if world.reserve:
        granted = yield from reserve(world, owner, target)
        if not r.enough(granted, world.next_members):
            tally.counts["not reserved"] += 1
            release(world, owner)
            return
    first = world.samples(target)
    for _look in range(4):
        yield world.period / 2 + rng.uniform(0.2, 1.0)
        pairs = list(zip(first, world.samples(target), strict=True))
        if cv.chain_view(guard.of_chain(pairs, pairs[0][1].genesis)).moved:
            break
    looked = world.now
    if pairs[0][1].rpc != "ok" and rng.random() < 0.5:  # the option genesis_hash
        pairs[0] = (pairs[0][0], replace(pairs[0][1], genesis=GENESIS))
    verdict = guard.judge(pairs, target.address if rng.random() < 0.5 else None, world.pace).verdict
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
    left = world.participants(target)
    safe = len(left) >= q.quorum(len(world.members)) or not target.takes_part(world.now)
    if verdict.safe:
        tally.counts["allowed"] += 1
    elif safe:
        tally.counts["refused though safe"] += 1
        tally.refusals[re.sub(r"\d+ s\b", "... s", verdict.reason.split(":")[0])] += 1
    else:
        tally.counts["refused rightly"] += 1


def take_away(world: World, target: Node, action: str, looked: float) -> None:
    tally = world.tally
    before = world.participants()
    needed = q.quorum(len(world.members))
    tally.counts[action] += 1
    if target.address in before and len(before) >= needed > len(world.participants(target)):
        gone = [world.by_address[a] for a in world.members if a not in before]
        late = [n for n in gone if n.stopped_by is None and n.faults and world.unseeable(n, target, looked)]
        if len(world.participants(target)) + len(late) >= needed:
            proof = "asked themselves" if world.direct else "not all asked"
            tally.counts[f"a fault in the same moment, validators {proof}"] += 1
        else:
            tally.broken.append(
                f"seed {world.seed}: n={len(world.members)}, period={world.period}, asked={len(world.asked)}, "
                f"t={world.now:.1f}, looked={looked:.1f}, {[(n.address[-2:], n.faults, n.admin, n.net) for n in gone]}"
            )
    target.head = world.block.number if target.follows(world.now) else target.head
    if action == "restart":
        target.ready_at = world.now + world.rng.uniform(4, 20)
        target.stopped_by = "restart"
        world.at(target.ready_at - world.now, lambda: setattr(target, "stopped_by", None))
    else:
        target.up, target.stopped_by = False, "stop"


def simulate(
    networks: int,
    *,
    reserve: bool = True,
    controllers: int = 2,
    seconds: float = 150.0,
    seed: int = 0,
    until_broken: bool = False,
) -> Tally:
    """Run this many networks, each for some seconds of its own; with ``until_broken`` the first that breaks is the last."""
    tally = Tally()
    for number in range(networks):
        rng = random.Random(seed + number)
        world = World(rng, tally, reserve=reserve, seed=seed + number)
        span = max(seconds, 16 * world.period)
        for _fault in range(rng.choices((0, 1, 2, 4), (4, 3, 2, 1))[0]):
            world.at(rng.uniform(0, span), world.fault)
        if rng.random() < 0.1:
            world.at(rng.uniform(0, span), world.vote)
        for index in range(controllers):
            world.spawn(controller(world, f"controller {index}"))
        world.run(span)
        tally.counts["networks"] += 1
        if until_broken and tally.broken:
            break
    return tally
