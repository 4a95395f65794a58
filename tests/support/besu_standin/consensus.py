# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Consensus of one validator: rounds, proposals, round changes.

Each process decides by what its peers tell it. There is no prepare phase: a validator that has committed to a block
says so in its round change, and the next proposer proposes that block again. This keeps two blocks of one height from
both reaching a quorum as long as validators only crash, and the timing is that of the real protocol.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .block import Block, Vote, hash_of
from .chain import Chain
from .faults import FaultFile
from .logs import Log
from .p2p import Message, Network, Peer

_THREAD = "BftProcessorExecutor-QBFT-0"
_FUTURE_LIMIT = 500


def quorum(validators: int) -> int:
    """How many of ``validators`` must agree: two thirds, rounded up."""
    return -(-2 * validators // 3)


@dataclass
class Height:
    """What is known about the block that is being made."""

    number: int
    validators: tuple[str, ...]
    round: int = 0
    begun: bool = False
    locked: tuple[int, Block] | None = None
    proposals: dict[int, Block] = field(default_factory=dict)
    commits: dict[tuple[int, str], set[str]] = field(default_factory=dict)
    changes: dict[int, dict[str, tuple[int, Block] | None]] = field(default_factory=dict)
    summary: dict[str, int] = field(default_factory=dict)
    proposed: set[int] = field(default_factory=set)


class Consensus:
    """The BFT mining coordinator. Timers run only between ``start`` and ``stop``."""

    def __init__(
        self, chain: Chain, network: Network, address: str, version: str, scale: float, log: Log, faults: FaultFile
    ) -> None:
        self.chain = chain
        self.address = address
        self.votes: dict[str, bool] = {}
        self.active = False
        self.halted = False
        self.on_block: Callable[[Block], bool] = lambda block: True
        self._network = network
        self._version = version
        self._scale = scale
        self._log = log
        self._faults = faults
        self._height: Height | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._future: list[tuple[Peer, Message]] = []
        self._last_import = 0.0
        self._last_set: tuple[str, ...] = chain.sets.next

    def clock(self) -> float:
        """This node's idea of the time, in Unix seconds."""
        return time.time() + self._faults.current.clock_skew

    def start(self) -> None:
        """Begin with the next block, at round 0."""
        if self._faults.current.no_consensus:
            return
        self.active = True
        self._begin_height()

    def stop(self) -> None:
        """Forget the rounds."""
        self.active = False
        self._cancel()
        self._height = None

    def halt(self) -> None:
        """The mining thread dies; the process lives on."""
        if self.halted:
            return
        self.halted = True
        self.stop()
        self._log.failure(
            "BftProcessor", "BFT Mining thread has suffered a fatal error, mining has been halted", _THREAD
        )

    def head_changed(self) -> None:
        """The chain has a new head, from wherever."""
        self._last_import = time.monotonic()
        current = self.chain.sets.next
        if current != self._last_set and self.active:
            number = self.chain.head.number
            self._log.note(
                "QbftBlockHeightManager",
                f"QBFT Validator list change. Previous chain height {number}: [{', '.join(self._last_set)}]. "
                f"Current chain height {number + 1}: [{', '.join(current)}].",
                _THREAD,
            )
        self._last_set = current
        if self.active:
            self._begin_height()

    def receive(self, peer: Peer, message: Message) -> None:
        """A consensus message of a peer. Messages between the wire formats of 25.x and 26.x are not understood."""
        if not self.active or self.halted or peer.encoding != self._network.identity.encoding:
            return
        number = int(str(message["h"]))
        if number > self.chain.head.number + 1:
            self._future = [*self._future[-_FUTURE_LIMIT:], (peer, message)]
        elif self._height is not None and number == self._height.number and peer.address in self._height.validators:
            self._handle(peer.address, message, self._height)

    def _handle(self, sender: str, message: Message, height: Height) -> None:
        round_ = int(str(message["r"]))
        if message["t"] == "proposal":
            self._on_proposal(sender, round_, Block.from_wire(message["block"]), height)
        elif message["t"] == "commit":
            self._on_commit(sender, round_, str(message["hash"]), height)
        elif message["t"] == "change":
            locked = message["locked"]
            prepared = (int(locked[0]), Block.from_wire(locked[1])) if isinstance(locked, list) else None
            self._on_change(sender, round_, prepared, height)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), call)

    def _begin_height(self) -> None:
        self._cancel()
        self._height = None
        validators = self.chain.sets.next
        if self.halted or self.address not in validators:
            self._future = []
            return
        self._height = Height(self.chain.head.number + 1, validators)
        self._later(self._until_block(), self._begin_round_zero)
        waiting, self._future = self._future, []
        for peer, message in waiting:
            self.receive(peer, message)

    def _until_block(self) -> float:
        head = self.chain.head
        period = self.chain.genesis.interval_at(head.number + 1)
        if self._scale == 1.0:
            # The real node's rule. Times of blocks are whole seconds, so shorter periods count from the import.
            return head.timestamp + period - self.clock()
        return self._last_import + period * self._scale - time.monotonic()

    def _round_seconds(self, round_: int) -> int:
        return self.chain.genesis.request_timeout << round_

    def _begin_round_zero(self) -> None:
        if self._height is not None and not self._height.begun:
            self._enter(0, self._height)

    def _enter(self, round_: int, height: Height) -> None:
        height.round = round_
        height.begun = True
        self._later(self._round_seconds(round_) * self._scale, self._expire)
        if round_ == 0 and self.proposer(0, height) == self.address:
            self._propose(0, height)

    def proposer(self, round_: int, height: Height) -> str:
        """Round robin over the sorted set, from the proposer of the block before."""
        order = sorted(height.validators)
        previous = self.chain.head.miner
        after = [i for i, v in enumerate(order) if v > previous]
        first = after[0] if after else 0
        return order[(first + round_) % len(order)]

    def _expire(self) -> None:
        height = self._height
        if height is None:
            return
        if self._faults.current.halt_mining:
            self.halt()
            return
        round_ = height.round + 1
        self._enter(round_, height)
        if round_ >= 2:
            seconds = self._round_seconds(round_)
            self._log.note("RoundTimer", f"Moved to round {round_} which will expire in {seconds} seconds", _THREAD)
        locked = [height.locked[0], height.locked[1].wire()] if height.locked else None
        self._tell({"t": "change", "h": height.number, "r": round_, "locked": locked}, height)
        self._on_change(self.address, round_, height.locked, height)

    def _tell(self, message: Message, height: Height) -> None:
        self._network.broadcast(message, set(height.validators) - {self.address})

    def _on_change(self, sender: str, round_: int, prepared: tuple[int, Block] | None, height: Height) -> None:
        height.summary[sender] = max(round_, height.summary.get(sender, 0))
        height.summary.setdefault(self.address, height.round)
        if sender != self.address and max(height.round, round_) >= 2:
            self._log_summary(height)
        if round_ < height.round:
            return
        bucket = height.changes.setdefault(round_, {})
        bucket[sender] = prepared
        if len(bucket) < quorum(len(height.validators)):
            return
        if round_ > height.round:
            self._enter(round_, height)
        if self.proposer(round_, height) == self.address:
            self._propose(round_, height)

    def _log_summary(self, height: Height) -> None:
        say = "RoundChangeManager"
        self._log.note(say, f"BFT round summary (quorum = {quorum(len(height.validators))})", _THREAD)
        height.summary[self.address] = height.round
        for address, round_ in height.summary.items():
            local = " (Local node)" if address == self.address else ""
            self._log.note(say, f"Address: {address}  Round: {round_}{local}", _THREAD)

    def _propose(self, round_: int, height: Height) -> None:
        if self._faults.current.halt_mining:
            self.halt()
            return
        if round_ in height.proposed:
            return
        height.proposed.add(round_)
        prepared = self._prepared(round_, height)
        block = replace(prepared, round=round_) if prepared is not None else self._new_block(round_, height)
        self._tell({"t": "proposal", "h": height.number, "r": round_, "block": block.wire()}, height)
        self._on_proposal(self.address, round_, block, height)

    def _prepared(self, round_: int, height: Height) -> Block | None:
        """The block that others may have decided on: it is proposed again.

        A block that this node cannot accept is proposed again only when so many hold it that it may be decided.
        """
        held = [p for p in height.changes.get(round_, {}).values() if p is not None]
        size = len(height.validators)
        for _round, block in sorted(held, key=lambda p: p[0], reverse=True):
            holders = sum(other.hash == block.hash for _r, other in held)
            if self._acceptable(block, height) or holders >= 2 * quorum(size) - size:
                return block
        return None

    def _new_block(self, round_: int, height: Height) -> Block:
        head = self.chain.head
        period = self.chain.genesis.interval_at(height.number) if self._scale == 1.0 else 0
        timestamp = max(head.timestamp + period, int(self.clock()))
        vote = self._vote(height)
        sealers = quorum(len(height.validators))
        bare = Block(height.number, "", head.hash, timestamp, self.address, round_, vote, sealers, self._version)
        return replace(bare, hash=hash_of(bare, height.validators, self.chain.genesis.constants))

    def _vote(self, height: Height) -> Vote | None:
        epoch = self.chain.genesis.epoch_length
        if epoch and height.number % epoch == 0:
            return None
        open_votes = [(a, add) for a, add in sorted(self.votes.items()) if (a in height.validators) != add]
        return open_votes[height.number % len(open_votes)] if open_votes else None

    def _acceptable(self, block: Block, height: Height) -> bool:
        head = self.chain.head
        margin = 1 if self._scale == 1.0 else 2
        in_time = block.timestamp <= self.clock() + margin
        return block.number == height.number and block.parent == head.hash and in_time

    def _on_proposal(self, sender: str, round_: int, block: Block, height: Height) -> None:
        if round_ < height.round or round_ in height.proposals or sender != self.proposer(round_, height):
            return
        if not self._acceptable(block, height) or self._faults.current.stall_import:
            return
        if round_ > height.round or not height.begun:
            self._enter(round_, height)
        height.proposals[round_] = block
        height.locked = (round_, block)
        self._tell({"t": "commit", "h": height.number, "r": round_, "hash": block.hash}, height)
        self._on_commit(self.address, round_, block.hash, height)

    def _on_commit(self, sender: str, round_: int, block_hash: str, height: Height) -> None:
        committed = height.commits.setdefault((round_, block_hash), set())
        committed.add(sender)
        block = height.proposals.get(round_)
        if block is None or block.hash != block_hash or len(committed) < quorum(len(height.validators)):
            return
        if self._height is not height:
            return
        self._height = None
        self._cancel()
        self._import(block)

    def _import(self, block: Block) -> None:
        if block.round > 0:
            self._log.note(
                "QbftRound",
                "Importing proposed block to chain. "
                f"round=ConsensusRoundIdentifier{{Sequence={block.number}, Round={block.round}}}, hash={block.hash}",
                _THREAD,
            )
        done = "Produced" if block.miner == self.address else "Imported"
        if not self.on_block(block):
            return
        self._log.note(
            "QbftBesuControllerBuilder",
            f"{done} empty block #{block.number:,} / 0 tx / 0 pending / 0 (0.0%) gas / ({block.hash})",
            _THREAD,
        )
