# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snap sync: nothing shows that the node is behind until it is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .block import Block
    from .p2p import Peer
    from .sync import Synchronizer

_PIVOT_DISTANCE = 50
_SNAP_RATE = 700.0
_ASK = 200


class SnapSync:
    """Downloads all blocks up to a pivot and only then lets the chain have them."""

    def __init__(self, sync: Synchronizer) -> None:
        self._sync = sync
        self._log = sync.log

    async def run(self) -> None:
        """Return when the pivot is the head."""
        sync, log = self._sync, self._log
        log.note("SnapSyncDownloader", "Starting pivot-based sync")
        log.note(
            "PivotSelectorFromPeers",
            "Waiting for valid peers with chain height information.  0 / 1 required peers currently available.",
        )
        await asyncio.sleep(5 * sync.scale)
        while (peer := sync.best_peer()) is None or peer.height <= _PIVOT_DISTANCE:
            if peer is not None and peer.height <= _PIVOT_DISTANCE:
                return
            await asyncio.sleep(0.2 * sync.scale + 0.05)
        pivot = peer.height - _PIVOT_DISTANCE
        self._say_pivot(pivot, peer)
        await self._wait(pivot)
        await self._download(pivot)

    def _say_pivot(self, pivot: int, peer: Peer) -> None:
        timer = "EthScheduler-Timer-0"
        self._log.note("PivotSelectorFromPeers", f"Selecting block number {pivot} as fast sync pivot block.", timer)
        self._log.note(
            "PivotBlockRetriever", "Retrieve a pivot block that can be confirmed by at least 1 peers.", timer
        )
        self._log.note("PivotBlockConfirmer", f"Confirm pivot block {pivot} with at least 1 peers.", timer)
        services = "EthScheduler-Services-0"
        self._log.note("PivotBlockConfirmer", f"Confirmed pivot block at {pivot}: {peer.head}", services)
        self._log.note(
            "SnapSyncChainDownloader",
            f"Starting two-stage fast sync chain download from pivot block {peer.head}, {pivot}, and checkpoint block 0.",
            services,
        )

    async def _wait(self, pivot: int) -> None:
        """The time that headers and bodies take."""
        done = 0.0
        thread = "EthScheduler-Services-40 (importHeadersStep)"
        self._log.note("BackwardHeaderDriver", "Header import progress 2.93%", thread)
        while done < pivot:
            await asyncio.sleep(0.2)
            faults = self._sync.faults.current
            done += 0.0 if faults.stall_import else 0.2 * (faults.snap_rate or _SNAP_RATE)
        self._log.note("BackwardHeaderDriver", "Header import progress 100.00%", thread)

    async def _download(self, pivot: int) -> None:
        chain = self._sync.chain
        thread = "EthScheduler-Services-42 (importBlocks)"
        blocks: list[Block] = []
        while len(blocks) < pivot:
            peer = self._sync.best_peer()
            if peer is None:
                await asyncio.sleep(0.2)
                continue
            try:
                blocks += await self._sync.ask(peer, len(blocks) + 1, min(_ASK, pivot - len(blocks)))
            except TimeoutError:
                continue
        self._log.note(
            "ImportSyncBlocksStep",
            f"Block import progress: {min(128, pivot)} of {pivot} ({128 * 100 // pivot}%), "
            f"Peer count: {len(self._sync.network.peers)}",
            thread,
        )
        chain.extend(blocks)
        self._sync.on_jump()
