# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who validates which block: the genesis set, changed by votes in the headers."""

from __future__ import annotations

import bisect

from .block import Block
from .genesis import Genesis


class ValidatorSets:
    """The validator set of each block, and the votes that are open."""

    def __init__(self, genesis: Genesis) -> None:
        self._epoch = genesis.epoch_length
        self._starts = [0]
        self._sets: list[tuple[str, ...]] = [genesis.validators]
        self._votes: dict[tuple[str, bool], set[str]] = {}
        self._head = 0

    def at(self, number: int) -> tuple[str, ...]:
        """The set that is in the header of block ``number`` (the next block's may be asked for too)."""
        return self._sets[bisect.bisect_right(self._starts, number) - 1]

    @property
    def next(self) -> tuple[str, ...]:
        """The set that makes the next block."""
        return self._sets[-1]

    def add(self, block: Block) -> None:
        """Count the vote of the next block of the chain."""
        self._head = block.number
        if self._epoch and block.number % self._epoch == 0:
            self._votes.clear()
            return
        if block.vote is None:
            return
        subject, wanted = block.vote
        current = self._sets[-1]
        if (subject in current) == wanted:
            return
        voters = self._votes.setdefault((subject, wanted), set())
        voters.add(block.miner)
        self._votes.get((subject, not wanted), set()).discard(block.miner)
        if len(voters) > len(current) // 2:
            self._change(subject, wanted)

    def _change(self, subject: str, wanted: bool) -> None:
        current = set(self._sets[-1])
        changed = current | {subject} if wanted else current - {subject}
        self._starts.append(self._head + 1)
        self._sets.append(tuple(sorted(changed)))
        self._votes.pop((subject, wanted), None)
        for voters in self._votes.values():
            voters.discard(subject)
