# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a node follows the chain: announced blocks, full sync, snap sync, and what it says of itself meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .block import Block
from .chain import Chain
from .faults import FaultFile
from .genesis import Genesis
from .logs import Log
from .p2p import Message, Network, Peer

_BATCH = 200
_PROPAGATION = 30
_RATE = 150.0
_STEP = 0.2


@dataclass(frozen=True)
class InvalidBlock(Exception):
    """A block that this node does not accept. ``number`` and ``hash`` name it; ``rule`` is the log's text."""

    number: int
    hash: str
    rule: str


@dataclass
class Status:
    """What ``eth_syncing`` shows while there is a sync target."""

    starting: int
    best: Callable[[], int]
    beaten: bool = False


class Validator:
    """The rules for blocks that are not just made."""

    def __init__(self, genesis: Genesis, scale: float, faults: FaultFile) -> None:
        self._genesis = genesis
        self.scale = scale
        self.faults = faults

    def check(self, parent: Block, block: Block) -> None:
        """``InvalidBlock`` when the block may not follow its parent."""
        if block.number == self.faults.current.invalid_block:
            raise InvalidBlock(block.number, block.hash, "")
        # Chains that run faster than their genesis file says have no such rule.
        least = self._genesis.period_at(block.number) if self.scale == 1.0 else 0
        newer = block.timestamp - parent.timestamp
        if newer < least:
            raise InvalidBlock(
                block.number, block.hash,
                f"Invalid block header: timestamp {block.timestamp} is only {newer} seconds newer than parent timestamp "
                f"{parent.timestamp}. Minimum {least} seconds",
            )  # fmt: skip


class Synchronizer:
    """Finds out who is ahead and imports what is missing.

    For five seconds after its start it looks for nobody, so that a node far behind has no sync target and says that
    it is in sync; during a snap sync it never has one.
    """

    def __init__(
        self, chain: Chain, network: Network, validator: Validator, log: Log, faults: FaultFile, scale: float,
        snap: bool, minimum_peers: int, rate: float | None,
    ) -> None:  # fmt: skip
        self.status: Status | None = None
        self.restarts = {"complete": 0, "error": 0}
        self.on_block: Callable[[Block, bool], bool] = lambda block, announce: True
        self.on_jump: Callable[[], None] = lambda: None
        self.on_target: Callable[[bool], None] = lambda target: None
        self.chain = chain
        self.network = network
        self._validator = validator
        self.log = log
        self.faults = faults
        self.scale = scale
        self._snap = snap
        self._minimum = minimum_peers
        self._rate = rate
        self._requests: dict[int, asyncio.Future[list[Block]]] = {}
        self._ids = itertools.count(1)
        self._wake = asyncio.Event()
        self._fetch: asyncio.Task[None] | None = None
        self._fetching = False
        self._out_of_sync = False

    def best_known(self) -> int:
        """The height of the best block that this node knows of."""
        return max([self.chain.head.number, *(peer.height for peer in self.network.peers.values())])

    def shown(self) -> dict[str, str] | bool:
        """The result of ``eth_syncing``."""
        if self.status is None:
            return False
        best = 0 if self.status.beaten else max(self.chain.head.number, self.status.best())
        return {
            "startingBlock": hex(self.status.starting),
            "currentBlock": hex(self.chain.head.number),
            "highestBlock": hex(best),
        }

    def behind(self) -> int | None:
        """Blocks behind the sync target, ``None`` without one."""
        return None if self.status is None else max(0, self.status.best() - self.chain.head.number)

    def peer_connected(self, peer: Peer) -> None:
        """A new peer may be ahead."""
        if peer.height > self.chain.head.number:
            self._wake.set()

    def best_peer(self) -> Peer | None:
        """The peer that has most."""
        return max(self.network.peers.values(), key=lambda peer: peer.height, default=None)

    def receive(self, peer: Peer, message: Message) -> None:
        """Handle a message about blocks."""
        if message["t"] == "new":
            self._announced(peer, Block.from_wire(message["block"]))
        elif message["t"] == "get":
            first, count = int(str(message["from"])), min(_BATCH, int(str(message["count"])))
            blocks = [b.wire() for b in self.chain.blocks[first : first + count]]
            self.network.send(peer, {"t": "blocks", "q": message["q"], "blocks": blocks})
        elif message["t"] == "blocks" and isinstance(message["blocks"], list):
            waiting = self._requests.pop(int(str(message["q"])), None)
            if waiting is not None and not waiting.done():
                waiting.set_result([Block.from_wire(fields) for fields in message["blocks"]])

    def _announced(self, peer: Peer, block: Block) -> None:
        # What a peer announces it has is taken for the parent of the block, so peers look one block behind.
        peer.announced = max(peer.announced, block.number)
        if block.number - 1 >= peer.height:
            peer.height, peer.head, peer.difficulty = block.number - 1, block.parent, block.number
        head = self.chain.head
        if block.number <= head.number or self._busy() or self.faults.current.stall_import:
            return
        if block.number == head.number + 1 and block.parent == head.hash:
            self._take([block])
        elif head.number + 1 < block.number <= head.number + _PROPAGATION and not self._fetching:
            self._say_saved(block)
            self._fetching = True
            self._fetch = asyncio.ensure_future(self._fetch_missing(peer, block))
        elif block.number > head.number + _PROPAGATION:
            self._wake.set()

    def _busy(self) -> bool:
        return self.status is not None or self._snap

    def _say_saved(self, block: Block) -> None:
        say, thread = "BlockPropagationManager", "nioEventLoopGroup-3-1"
        name = f"{block.number} ({block.hash})"
        self.log.note(say, f"Saved announced block for future import {name} - 1 saved block(s)", thread)
        self.log.note(say, f"Retrieving parent {block.parent} of block {name}", thread)

    async def _fetch_missing(self, peer: Peer, block: Block) -> None:
        try:
            first = self.chain.head.number + 1
            blocks = await self.ask(peer, first, block.number - first + 1)
            if not self._busy() and self._take(blocks):
                text = f"Imported 1 pending blocks: [{block.number}]"
                self.log.note("BlockPropagationManager", text, "EthScheduler-Workers-1")
        except TimeoutError:
            self._wake.set()
        finally:
            self._fetching = False

    def _take(self, blocks: Sequence[Block]) -> bool:
        began = time.monotonic()
        for block in blocks:
            head = self.chain.head
            if block.number != head.number + 1 or block.parent != head.hash:
                return False
            try:
                self._validator.check(head, block)
            except InvalidBlock as invalid:
                self._refuse(invalid)
                return False
            if not self.on_block(block, True):
                return False
            self.log.note(
                "PersistBlockTask",
                f"Imported empty block #{block.number:,} / 0 tx / 0 om / 0 (0.0%) gas / ({block.hash}) "
                f"in {time.monotonic() - began:.3f}s. Peers: {len(self.network.peers)}",
                f"EthScheduler-Workers-{block.number % 8}",
            )
        return bool(blocks)

    def _refuse(self, invalid: InvalidBlock) -> None:
        if invalid.rule:
            self.log.note("TimestampMoreRecentThanParent", invalid.rule, "EthScheduler-Services-3")
        name = f"Invalid block {invalid.number} ({invalid.hash})"
        self.log.note("MainnetBlockValidator", f"{name}: Optional[Header validation failed (FULL)]", "EthScheduler-0")

    async def ask(self, peer: Peer, first: int, count: int) -> list[Block]:
        """Blocks of a peer, from number ``first`` on. ``TimeoutError`` when it does not answer."""
        question = next(self._ids)
        answer: asyncio.Future[list[Block]] = asyncio.get_running_loop().create_future()
        self._requests[question] = answer
        self.network.send(peer, {"t": "get", "q": question, "from": first, "count": count})
        try:
            return await asyncio.wait_for(answer, 5 * self.scale + 1)
        finally:
            self._requests.pop(question, None)

    async def missing(self) -> list[Block]:
        """The blocks after the head that a peer has: an execution client asks for them when it is called again."""
        for peer in list(self.network.peers.values()):
            with contextlib.suppress(TimeoutError):
                blocks = await self.ask(peer, self.chain.head.number + 1, _BATCH)
                if blocks:
                    return blocks
        return []

    async def run(self) -> None:
        """Synchronise until cancelled."""
        if self._snap:
            from .snap import SnapSync

            await SnapSync(self).run()
            self._snap = False
        else:
            self.log.note("FullSyncDownloader", "Starting full sync.")
            self._say_waiting("main")
            await self._watch(5 * self.scale)
        while True:
            await self._full_sync()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 10 * self.scale)
            if not self.network.peers:
                self._say_waiting("ForkJoinPool.commonPool-delayScheduler")

    async def _watch(self, seconds: float) -> None:
        """Wait, and notice meanwhile that peers are ahead."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self._out_of_sync and self.best_known() > self.chain.head.number + _PROPAGATION:
                self._set_out_of_sync("EthScheduler-Services-0")
            await asyncio.sleep(min(0.2, seconds / 5))

    def _say_waiting(self, thread: str) -> None:
        self.log.note(
            "FullSyncTargetManager",
            f"Unable to find sync target. Waiting for {self._minimum} peers minimum. "
            f"Currently checking {len(self.network.peers)} peers for usefulness",
            thread,
        )

    def _set_out_of_sync(self, thread: str) -> None:
        self._out_of_sync = True
        self.log.note("TransactionPoolFactory", "Node out of sync, disabling transaction handling", thread)

    async def _full_sync(self) -> None:
        peer = self.best_peer()
        if peer is None or peer.height <= self.chain.head.number:
            return
        self._target()
        try:
            await self._import_from(peer)
            self.restarts["complete"] += 1
        except InvalidBlock as invalid:
            await self._give_up(invalid)
        except TimeoutError:
            self.restarts["error"] += 1
        await self._settle()

    def _target(self) -> None:
        self.status = Status(self.chain.head.number, self.best_known)
        if not self._out_of_sync:
            self._set_out_of_sync("EthScheduler-Services-0")
        self.on_target(True)

    async def _import_from(self, peer: Peer) -> None:
        """Import at the given rate until nobody has more. ``InvalidBlock``; ``TimeoutError`` when the peer is no use."""
        credit = 0.0
        ready: list[Block] = []
        while self.chain.head.number < self.best_known() and self.network.peers:
            faults = self.faults.current
            rate = faults.sync_rate or self._rate or _RATE
            if faults.stall_import or credit < 1:
                await asyncio.sleep(_STEP)
                credit = 0.0 if faults.stall_import else min(rate, credit + rate * _STEP)
                continue
            if not ready:
                ready = await self._next_batch(peer)
                if not ready:
                    peer = self.best_peer() or peer
                    await asyncio.sleep(_STEP)
                    continue
            now, ready = ready[: int(credit)], ready[int(credit) :]
            for block in now:
                self._import_one(block)
            credit -= len(now)

    async def _next_batch(self, peer: Peer) -> list[Block]:
        blocks = await self.ask(peer, self.chain.head.number + 1, _BATCH)
        if blocks and blocks[0].parent != self.chain.head.hash:
            # The other chain is not ours; the stand-in never gives up blocks that it has.
            self.network.drop(peer, "local", "USELESS_PEER", refuse_for=14 * self.scale)
            raise TimeoutError
        self._check_all(blocks)
        return blocks

    def _check_all(self, blocks: Sequence[Block]) -> None:
        parent = self.chain.head
        for block in blocks:
            self._validator.check(parent, block)
            parent = block

    def _import_one(self, block: Block) -> None:
        if self.on_block(block, False) and block.number % _BATCH == 0:
            self.log.note(
                "FullImportBlockStep",
                f"Import reached block {block.number} ({block.hash}), - Mg/s, Peers: {len(self.network.peers)}",
                "EthScheduler-Services-6 (importBlock)",
            )

    async def _give_up(self, invalid: InvalidBlock) -> None:
        from .texts import invalid_block_lines

        self.restarts["error"] += 1
        invalid_block_lines(self.log, invalid.number, invalid.hash, invalid.rule)
        if self.status is not None:
            self.status.beaten = True
        for peer in list(self.network.peers.values()):
            self.network.drop(peer, "local", "BREACH_OF_PROTOCOL", refuse_for=14 * self.scale)
        await asyncio.sleep(2 * self.scale)

    async def _settle(self) -> None:
        """The end of a sync. Blocks that came meanwhile make one more short target, which stays when they are there."""
        beaten = self.status is not None and self.status.beaten
        thread = "EthScheduler-Services-6 (importBlock)"
        self._out_of_sync = False
        self.log.note("TransactionPoolFactory", "Node is in sync, enabling transaction handling", thread)
        self._mine(thread)
        if not beaten:
            self._out_of_sync = True
            self._target()
            self._out_of_sync = False
            await self._catch_up()
            await asyncio.sleep(1.5 * self.scale)
            await self._catch_up()
            self._mine(thread)
        self.status = None
        self.on_target(False)

    def _mine(self, thread: str) -> None:
        self.log.note("BftMiningCoordinator", "Starting BFT mining coordinator following sync", thread)

    async def _catch_up(self) -> None:
        """Blocks that came while the target stayed."""
        peer = self.best_peer()
        if peer is not None and not self.faults.current.stall_import and peer.announced > self.chain.head.number:
            with contextlib.suppress(TimeoutError, InvalidBlock, ValueError):
                blocks = await self.ask(peer, self.chain.head.number + 1, _BATCH)
                self._check_all(blocks)
                for block in blocks:
                    self._import_one(block)
