# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the looks at one process add up to: kept small, however long a wait takes. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample

# Two looks closer than this are one, in seconds.
APART = 0.8
_KEPT = 24
_RATE_SPAN = 120.0


@dataclass(frozen=True)
class SampleHistory:
    """Everything remembered of one process (one ``invocation`` of its unit). Moments are CLOCK_MONOTONIC.

    ``others_advanced``: how often the highest block that peers told was a higher one than before.
    ``earlier``: the newest look with a head that is at least APART older than ``last``.
    """

    invocation: str
    last: NodeSample
    recent: tuple[NodeSample, ...] = ()
    first_at: float = 0.0
    number: int | None = None
    first_number: int | None = None
    answered_at: float | None = None
    head_since: float | None = None
    advanced_at: float | None = None
    highest_known: int | None = None
    others_advanced: int = 0
    alone_since: float | None = None
    silent_since: float | None = None
    metrics_since: float | None = None
    points: tuple[tuple[float, int], ...] = ()

    @property
    def earlier(self) -> NodeSample | None:
        for sample in reversed(self.recent):
            if sample.number is not None and self.last.at - sample.at >= APART:
                return sample
        return None

    @property
    def rate(self) -> float | None:
        """Blocks a second over the last minutes; None where there is too little to tell."""
        if len(self.points) < 2:
            return None
        (began, first), (ended, last) = self.points[0], self.points[-1]
        return (last - first) / (ended - began) if ended - began >= APART else None


def fold(track: SampleHistory | None, sample: NodeSample, invocation: str) -> SampleHistory:
    """The track with one look more; a new process begins a new one."""
    if track is None or track.invocation != invocation:
        track = SampleHistory(invocation, sample, first_at=sample.at)
    number, now = sample.number, sample.at
    known = number is not None
    advanced = number is not None and track.number is not None and number > track.number
    best = sample.best_known
    heard = int(track.highest_known is not None and best is not None and best > track.highest_known)
    silent = sample.rpc == "hang"
    return replace(
        track,
        last=sample,
        recent=_recent(track.recent, sample) if known else track.recent,
        number=number if known else track.number,
        first_number=track.first_number if track.first_number is not None else number,
        answered_at=track.answered_at if track.answered_at is not None or sample.rpc != "ok" else now,
        head_since=now if known and number != track.number else track.head_since,
        advanced_at=now if advanced else track.advanced_at,
        highest_known=best if track.highest_known is None else max(track.highest_known, best or 0),
        others_advanced=track.others_advanced + heard,
        alone_since=None if sample.connected != 0 else track.alone_since if track.alone_since is not None else now,
        silent_since=None if not silent else track.silent_since if track.silent_since is not None else now,
        metrics_since=None if not sample.metrics else track.metrics_since if track.metrics_since is not None else now,
        points=_points(track.points, now, number),
    )


def _recent(kept: tuple[NodeSample, ...], sample: NodeSample) -> tuple[NodeSample, ...]:
    """The looks since the newest one that is APART or more old, that one included."""
    settled = [one for one in kept if sample.at - one.at >= APART]
    return (*settled[-1:], *[one for one in kept if sample.at - one.at < APART], sample)[-_KEPT:]


def _points(points: tuple[tuple[float, int], ...], now: float, number: int | None) -> tuple[tuple[float, int], ...]:
    """Heights to tell the rate from: one for each 1/_KEPT of the span, the newest always."""
    if number is None:
        return points
    kept = [point for point in points if now - point[0] <= _RATE_SPAN]
    if len(kept) > 1 and kept[-1][0] - kept[-2][0] < _RATE_SPAN / _KEPT:
        kept.pop()
    return (*kept, (now, number))


# Moments since which something lasts: time in which nobody watched does not count.
_LASTING = ("head_since", "alone_since", "silent_since", "metrics_since")
_CARRIED = (
    *("invocation", "first_at", "number", "first_number", "answered_at", "advanced_at"),
    *("highest_known", "others_advanced", *_LASTING),
)


def carried(track: SampleHistory) -> dict[str, t.Any]:
    """The track as plain JSON, for another run on the same host."""
    kept = {name: getattr(track, name) for name in _CARRIED}
    return {**kept, "points": [list(point) for point in track.points], "at": track.last.at}


def resumed(kept: t.Mapping[str, t.Any], sample: NodeSample, invocation: str) -> SampleHistory | None:
    """The track that was carried on to this look; None where the process is another one."""
    if not kept or kept["invocation"] != invocation:
        return None
    unwatched = sample.at - kept["at"]
    moments = {name: kept[name] + unwatched for name in _LASTING if kept[name] is not None}
    points = tuple((moment, number) for moment, number in kept["points"])
    return SampleHistory(**{**{name: kept[name] for name in _CARRIED}, **moments}, last=sample, points=points)
