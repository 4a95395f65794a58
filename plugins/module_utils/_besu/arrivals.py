# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether new blocks arrive at the pace of the chain: what a host's clock can prove even where it is wrong. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

The age of a block when it arrives is constant on a living chain, however wrong
the host's clock is. In a sync it shrinks by (pace - 1) seconds a second, where
pace is how much faster than the chain the node imports.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.history import Arrival, SampleHistory

# A node that gains or loses no more than this on the chain keeps its pace: seconds a second.
_CONSTANT = 0.03
# How far back arrivals are compared, in seconds and in block periods.
_WINDOW, _WINDOW_PERIODS = 60.0, 10.0
# The shortest watch that can prove a pace, in block periods.
_LEAST_PERIODS = 3.0
# The end of a fast sync: the age fell by so much in one step, and a step of more than three times the chain's pace.
_LEAP, _LEAP_PACE = 2.0, 3.0
# After a leap so many steps without a block, or seconds, end the sync.
_SILENT_STEPS, _SILENT = 3.0, 2.4


def catching_up(track: SampleHistory, period: float | None, limit: float) -> bool:
    """Whether blocks came faster than the chain makes them. ``limit``: how old the head of a living chain may be."""
    window = max(_WINDOW, _WINDOW_PERIODS * (period or 0.0))
    recent = [one for one in track.arrivals if track.last.at - one.at <= window]
    since = 0
    for index in range(1, len(recent)):
        if _leaps(recent[index - 1], recent[index], limit):
            since = index
    if since and since == len(recent) - 1:
        before, last = recent[-2:]
        step = (last.at - before.at) / max(last.number - before.number, 1)
        return track.last.at - last.at < max(_SILENT_STEPS * step, _SILENT)
    return _shrinks(recent[since:])


def _leaps(before: Arrival, after: Arrival, limit: float) -> bool:
    return before.low > limit and before.low - after.high > _LEAP_PACE * (after.at - before.at) + _LEAP


def _shrinks(arrivals: t.Sequence[Arrival]) -> bool:
    """Whether every one of the first quarter was older when it arrived than every one of the last quarter."""
    part = len(arrivals) // 4
    if part < 2:
        return False
    old, new = arrivals[:part], arrivals[-part:]
    gained = min(one.low - one.unseen for one in old) - max(one.high for one in new)
    return gained > _CONSTANT * (new[0].at - old[-1].at)


def keeps_pace(track: SampleHistory, period: float | None) -> bool:
    """Whether the age of arriving blocks was constant for long enough to tell a wrong clock from a slow sync."""
    if not track.arrivals:
        return False
    last = track.arrivals[-1]
    least = _LEAST_PERIODS * (period or 1.0)
    return any(_constant(one, last) for one in track.arrivals if last.at - one.at >= least)


def _constant(one: Arrival, last: Arrival) -> bool:
    most = _CONSTANT * (last.at - one.at)
    return one.high - last.low <= most and one.low - last.high >= -most and last.high - one.low <= most
