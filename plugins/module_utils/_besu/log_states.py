# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states that the log of a node proves: it syncs, it imports what the chain makes, it makes blocks itself. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Patterns are of the message alone, so that they hold for every log format. What
a node says of itself in words ("in sync") is not believed, only what it does. A
line says nothing for long: where no block and no progress follows, the state is unknown.
"""

from __future__ import annotations

import re

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.states import CONSENSUS, SYNCING
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.log_states import Moment, Moments, Stretch

# A message begins with its line, after the bar of the plain format or the colour behind it, or as a value of JSON.
_BEGINS = r"(?:^|\| |\"|\x1b\[[0-9;]{0,9}m)"
_STARTS = re.compile(_BEGINS + r"Starting Besu\b")
_IS_UP = re.compile(_BEGINS + r"Ethereum main loop is up")
_BLOCK = re.compile(_BEGINS + r"(Produced|Imported)(?: empty)?(?: block)? #([\d,]{1,15})\b")
_PROGRESS = re.compile(
    _BEGINS + r"(?:Import reached block|(?:Block|Header) import progress|Downloading world state|Backward sync phase)"
)
# It holds itself for behind: true, but no progress, which one that holds a block of the others invalid makes none of.
_BEHIND = re.compile(
    _BEGINS + r"(?:Stopping BFT mining coordinator while we are sync|Node out of sync|Starting pivot-based sync)"
)
_REFUSES = re.compile(_BEGINS + r"Invalid block ")
TELLING = (
    "Starting Besu|Ethereum main loop is up|(Produced|Imported)( empty)?( block)? #[0-9]|Import reached block"
    "|import progress|while we are syncing|Node out of sync|Starting pivot-based sync|Downloading world state"
    "|Backward sync phase|Invalid block "
)
# A start may take so long, in seconds, and so long what comes after it until a block or a sync shows.
_START, _FIRST_SIGN = 300.0, 10.0
# The progress lines of a SNAP sync may come a minute apart.
_SYNC = 180.0
_PACE = 60.0
# A validator is the proposer once in each round of them all. Before its turns tell how many there are:
_TURN = 100


class NodeLogStates:
    """``age_limit``: how old the head of the living chain may be, in seconds."""

    pattern = TELLING

    def __init__(self, age_limit: float = 0.0) -> None:
        self._pace = max(_PACE, 2 * age_limit)
        self.lead = self._pace

    def states(self, stretch: Stretch) -> list[Moment]:
        """Each change of state that the lines prove."""
        follow = _Follow(stretch, self._pace)
        for at, text in stretch.lines:
            follow.line(at, text)
        return follow.end(stretch.end)


class _Follow:
    """Follows one node through its lines."""

    def __init__(self, stretch: Stretch, pace: float) -> None:
        state = m.STARTING if stretch.fresh else m.UNKNOWN
        self._moments = Moments(stretch.since, state, stretch.begin + _START if stretch.fresh else None)
        self._pace = pace
        self._produced: int | None = None
        self._turn = _TURN
        self._refuses = False

    def line(self, at: float, text: str) -> None:
        if self._moments.expire(at):
            self._produced = None
        block = _BLOCK.search(text)
        if block:
            self._block(at, block[1] == "Produced", int(block[2].replace(",", "") or 0))
        elif _PROGRESS.search(text):
            self._sync(at, _SYNC)
        elif _BEHIND.search(text) and not self._refuses:
            self._sync(at, self._pace)
        elif _REFUSES.search(text) and self._moments.state == SYNCING:
            self._refuses = True
            self._moments.prove(at, m.UNKNOWN)
        else:
            self._start(at, text)

    def _start(self, at: float, text: str) -> None:
        if _STARTS.search(text):
            self._produced, self._turn, self._refuses = None, _TURN, False
            self._moments.prove(at, m.STARTING, at + _START)
        elif _IS_UP.search(text) and self._moments.state == m.STARTING:
            self._moments.prove(at, m.STARTING, at + _FIRST_SIGN)

    def _sync(self, at: float, seconds: float) -> None:
        self._produced, self._refuses = None, False
        self._moments.prove(at, SYNCING, at + seconds)

    def _block(self, at: float, own: bool, number: int) -> None:
        if own:
            if self._produced is not None and number > self._produced:
                self._turn = number - self._produced
            self._produced = number
        # It may miss a turn; one that misses two is no proposer any more.
        elif self._produced is not None and number - self._produced > 2 * self._turn + 1:
            self._produced = None
        self._refuses = False
        self._moments.prove(at, m.RUNNING if self._produced is None else CONSENSUS, at + self._pace)

    def end(self, at: float) -> list[Moment]:
        self._moments.expire(at)
        return self._moments.found
