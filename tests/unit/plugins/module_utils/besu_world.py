# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An invented chain and a host of it, to try the kind and its guard with."""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum_guard as guarding
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node import BesuKind
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import BftConfig, Block, Peer
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import NodeOptions
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Entry, JournalRecords
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Context, classify
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Environment
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock

WALL = 1_795_000_000.0
MEMBERS = tuple("0x" + digit * 40 for digit in "1234")


class Chain:
    """Four validators that propose in turn, a block every two seconds while ``alive``."""

    def __init__(self, clock):
        self.clock, self.stands_at, self.down = clock, None, set()

    def look(self, who=0, before=None):
        if who in self.down:
            return NodeSample(self.clock.now, self.clock.wall(), "refused", p2p_open=False)
        made = self.clock.now if self.stands_at is None else self.stands_at
        number = int(made // 2)
        return NodeSample(
            self.clock.now,
            self.clock.wall(),
            "ok",
            head=Block(number, int(WALL) + 2 * number, f"0x{number:064x}", MEMBERS[number % 4]),
            genesis="0x" + "a" * 64,
            chain_id=1337,
            peers=tuple(Peer(MEMBERS[i], number, "26.8.0") for i in range(4) if i != who and i not in self.down),
            address=MEMBERS[who],
            bft=BftConfig("qbft", 2.0, None, 4.0, None),
            group="qbft",
            validators=MEMBERS,
            next_validators=MEMBERS,
            last_proposed={MEMBERS[i]: number - 1 - (number - 1 - i) % 4 for i in range(4)},
            proposed_to=number,
            version="26.8.0",
        )


class Journal:
    def __init__(self, *entries):
        self.entries, self.asked = entries, 0

    def invocation(self, unit, invocation, limit=300):
        self.asked += 1
        return JournalRecords(tuple(self.entries))

    def manager_records(self, units, since=None, **more):
        self.asked += 1
        return JournalRecords(tuple(self.entries))


def entry(text, message_id="", pid="77"):
    fields = {"_PID": pid, "_TRANSPORT": "stdout"}
    return Entry(WALL, 0.0, "", "run", 6, text, "besu.service", "besu", 7, message_id, "", fields)


RESTART = entry("Scheduled restart job", "5eb03494b6584870a536b337290809b3", "1")
UP = {
    "ActiveState": "active",
    "SubState": "running",
    "Type": "simple",
    "InvocationID": "run",
    "ActiveEnterTimestampMonotonic": "1000000000",
    "StateChangeTimestampMonotonic": "1000000000",
}
FAILED = {
    **UP,
    "ActiveState": "failed",
    "SubState": "failed",
    "Result": "exit-code",
    "ExecMainCode": "1",
    "ExecMainStatus": "2",
    "InactiveEnterTimestampMonotonic": "1003000000",
}


class World:
    def __init__(self, *entries, others=(1, 2, 3), **options):
        self.clock = VirtualClock(5000.0, WALL + 5000.0)
        self.chain = Chain(self.clock)
        self.journal: t.Any = Journal(*entries)
        environment = Environment("besu", self.clock, None, None, lambda: self.journal)
        self.guard_options = options
        self.others = others
        self.kind: t.Any = BesuKind(
            environment, NodeOptions(), lambda before: self.chain.look(0, before), None, self.guard
        )

    def guard(self):
        return guarding.QuorumGuard(
            self.clock,
            lambda: self.chain.look(0),
            lambda: [self.chain.look(i) for i in self.others],
            **self.guard_options,
        )

    def see(self, wait=2.0, **properties):
        self.clock.sleep(wait)
        facts = UnitFacts("besu.service", {**UP, **properties})
        return self.kind.classify(classify("besu", facts, Context(self.clock.now, self.clock.wall()), "besu"))
