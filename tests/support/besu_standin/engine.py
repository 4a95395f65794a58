# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Besu as an execution client: the blocks that a consensus client hands to it through the engine API, one in each slot.

All nodes of a network get the same block in a slot, as their consensus clients agree. The stand-in plays the consensus
client itself, until the fault ``no_consensus_client`` takes it away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from .block import Block, hash_of
from .chain import Chain
from .faults import FaultFile
from .logs import Log

# Seconds without a call after which Besu says so (EngineQosTimer), and again after each such time.
SILENCE = 120.0
_FEE_RECIPIENT = "0x" + "fe" * 20


class Engine:
    """Takes a block in each slot. ``scale``: of the slot's seconds and of the silence.

    ``missing``: the blocks that peers have and this node has not, which it asks for when it is called again.
    """

    def __init__(
        self,
        chain: Chain,
        version: str,
        scale: float,
        log: Log,
        faults: FaultFile,
        take: Callable[[Block], bool],
        missing: Callable[[], Awaitable[Sequence[Block]]],
    ) -> None:
        self._chain = chain
        self._version = version
        self._scale = scale
        self._log = log
        self._faults = faults
        self._take = take
        self._missing = missing

    async def run(self) -> None:
        """Until cancelled. Slots begin at whole multiples of their length since the epoch, so for all nodes at once."""
        slot = self._chain.genesis.block_period * self._scale
        called, behind = time.monotonic(), True
        while True:
            await asyncio.sleep(slot - time.time() % slot)
            if not self._faults.current.no_consensus_client:
                if behind:
                    for block in await self._missing():
                        self._import(block)
                self._import(self._payload(int(round(time.time() / slot) * slot)))
                called, behind = time.monotonic(), False
            elif time.monotonic() - called >= SILENCE * self._scale:
                called, behind = time.monotonic(), True
                self._log.caution(
                    "EngineQosTimer",
                    f"Execution engine not called in {SILENCE:.0f} seconds, consensus client may not be connected",
                    "vert.x-eventloop-thread-4",
                )
            else:
                behind = True

    def _payload(self, timestamp: int) -> Block:
        head = self._chain.head
        bare = Block(head.number + 1, "", head.hash, timestamp, _FEE_RECIPIENT, client=self._version)
        return replace(bare, hash=hash_of(bare, (), self._chain.genesis.constants))

    def _import(self, block: Block) -> None:
        """A new payload, and the fork choice that makes it the head."""
        head = self._chain.head
        if block.parent != head.hash or block.timestamp <= head.timestamp or not self._take(block):
            return
        self._log.note(
            "AbstractEngineNewPayload",
            f"Imported #{block.number:,} ({block.hash[:8]}.....{block.hash[-6:]})|  0 tx|  0 ws|  7 base fee|  "
            "0 (0.0%) gas used| 0.001s exec| 0 peers",
            "vertx-worker-3",
        )
