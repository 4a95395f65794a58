# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounded history of the samples of one node process. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample

# Two samples closer than this are one, in seconds.
APART = 0.8
_KEPT = 24
_RATE_SPAN = 120.0
# A node that has peers again for so long is not alone any more: one that turns each peer down has one for a moment.
_COMPANY = 10.0
# How many seconds between two runs count for a head that is the same after them: less than the default of
# stall_timeout, as the process may have been frozen meanwhile.
_GAP = 45.0


class Arrival(t.NamedTuple):
    """A new head: when it was first seen, and between what ages it arrived, by this host's clock. All in seconds.

    ``unseen``: for how long nobody had watched when it was first seen. It may have been so much younger when it
    arrived.
    """

    at: float
    number: int
    low: float
    high: float
    unseen: float = 0.0


@dataclass(frozen=True)
class SampleHistory:
    """Everything remembered of one process (one ``invocation`` of its unit). Moments are CLOCK_MONOTONIC.

    ``others_advanced``: how often the highest block that peers told was a higher one than before.
    ``arrivals``: how old each new head was when it arrived: constant on a living chain, less and less in a sync.
    ``earlier``: the newest sample with a head that is at least APART older than ``last``.
    ``advanced_at``: when the head was seen to advance; after a time in which nobody watched, since when it may have.
    ``unwatched_since``: when an earlier run took its last sample; None once this run has seen a head.
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
    closed_since: float | None = None
    metrics_since: float | None = None
    p2p_since: float | None = None
    company_since: float | None = None
    arrivals: tuple[Arrival, ...] = ()
    points: tuple[tuple[float, int], ...] = ()
    unwatched_since: float | None = None

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


def append_sample(track: SampleHistory | None, sample: NodeSample, invocation: str) -> SampleHistory:
    """The history with one more sample; a new process begins a new history."""
    if track is None or track.invocation != invocation:
        track = SampleHistory(invocation, sample, first_at=sample.at)
    return replace(
        track,
        last=sample,
        unwatched_since=None if sample.number is not None else track.unwatched_since,
        recent=_recent(track.recent, sample) if sample.number is not None else track.recent,
        answered_at=sample.at if track.answered_at is None and sample.rpc == "ok" else track.answered_at,
        silent_since=_lasting(track.silent_since, sample.rpc == "hang", sample.at),
        closed_since=_lasting(track.closed_since, sample.rpc in ("refused", "reset"), sample.at),
        metrics_since=_lasting(track.metrics_since, bool(sample.metrics), sample.at),
        p2p_since=_lasting(track.p2p_since, bool(sample.p2p_open), sample.at),
        **_heights(track, sample),
        **_company(track, sample),
    )


def _lasting(since: float | None, holds: bool, now: float) -> float | None:
    """Since when something holds; None where it does not."""
    if not holds:
        return None
    return now if since is None else since


def _heights(track: SampleHistory, sample: NodeSample) -> dict[str, t.Any]:
    """The head of the node and those of others, updated with one sample."""
    number, now, best = sample.number, sample.at, sample.best_known
    known = track.highest_known
    found: dict[str, t.Any] = {"highest_known": best if known is None else max(known, best or 0)}
    if known is not None and best is not None and best > known:
        found["others_advanced"] = track.others_advanced + 1
    if number is None:
        return found
    found.update(number=number, points=_points(track.points, now, number))
    if track.first_number is None:
        found["first_number"] = number
    if number != track.number:
        found["head_since"] = now
    if track.number is not None and number > track.number:
        advanced_at = now if track.unwatched_since is None else track.unwatched_since
        found.update(advanced_at=advanced_at, arrivals=_arrivals(track, sample))
    return found


def _company(track: SampleHistory, sample: NodeSample) -> dict[str, t.Any]:
    """Since when the node is alone: as long as no peer stays and no block comes from one."""
    if sample.connected == 0:
        return {"alone_since": _lasting(track.alone_since, True, sample.at), "company_since": None}
    since = _lasting(track.company_since, True, sample.at)
    advanced = sample.number is not None and track.number is not None and sample.number > track.number
    stays = advanced or sample.connected is None or (since is not None and sample.at - since >= _COMPANY)
    return {"alone_since": None if stays else track.alone_since, "company_since": since}


def _arrivals(track: SampleHistory, sample: NodeSample) -> tuple[Arrival, ...]:
    """The arrivals with a new one: the last ones, and of those before each second, so that they reach back far."""
    if sample.head_time is None or sample.number is None:
        return track.arrivals
    # Where nobody watched when it arrived, the age that it has by now serves as well: how the age of the head changes
    # from one run to the next shows the pace of the node meanwhile.
    age = sample.wall - sample.head_time
    unseen = 0.0 if track.unwatched_since is None else sample.at - track.unwatched_since
    # Timestamps are whole seconds: of blocks that come more often, some are younger than they say.
    rounding = 1.0 if sample.period is None or sample.period % 1.0 else 0.0
    new = Arrival(sample.at, sample.number, age - (sample.at - track.last.at) - rounding, age, unseen)
    kept = (*track.arrivals, new)
    if len(kept) <= 2 * _KEPT:
        return kept
    return (*kept[:_KEPT:2], *kept[_KEPT:])


def _recent(kept: tuple[NodeSample, ...], sample: NodeSample) -> tuple[NodeSample, ...]:
    """The samples since the newest one that is at least APART old, that one included."""
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


# Moments since which something lasts: time in which nobody watched does not count, but for a head that is the same.
_LASTING = ("head_since", "alone_since", "silent_since", "closed_since", "metrics_since", "p2p_since", "company_since")
_CARRIED = (
    *("invocation", "first_at", "number", "first_number", "answered_at", "advanced_at"),
    *("highest_known", "others_advanced", *_LASTING),
)


def dump(track: SampleHistory) -> dict[str, t.Any]:
    """The history as plain JSON, for another run on the same host."""
    kept = {name: getattr(track, name) for name in _CARRIED}
    series = {"points": [list(point) for point in track.points], "arrivals": [list(one) for one in track.arrivals]}
    return {**kept, **series, "at": track.last.at}


def restore(kept: t.Mapping[str, t.Any], sample: NodeSample, invocation: str) -> SampleHistory | None:
    """The history that an earlier run saved; None if the process is another one."""
    if not kept or kept["invocation"] != invocation:
        return None
    unwatched = sample.at - kept["at"]
    moments = {name: kept[name] + unwatched for name in _LASTING if kept[name] is not None}
    if sample.number is not None and sample.number == kept["number"]:
        moments["head_since"] -= min(unwatched, _GAP)
    points = tuple((moment, number) for moment, number in kept["points"])
    arrivals = tuple(Arrival(*one) for one in kept["arrivals"])
    values = {**{name: kept[name] for name in _CARRIED}, **moments}
    return SampleHistory(**values, last=sample, points=points, arrivals=arrivals, unwatched_since=kept["at"])
