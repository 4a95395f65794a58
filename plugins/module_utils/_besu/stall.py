# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports a stalled chain: the missing validators, and how long each way to recover it takes. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.chain_view import ChainView
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import BesuLog
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.quorum import ChainTiming, quorum

# Seconds that a start takes until consensus begins, as measured on a slow machine.
RESTART_SECONDS = 20.0
_MAX_ROUND = 64


@dataclass(frozen=True)
class Stall:
    """A chain that is stalled: who is missing, in which round the rest is, and what each way out takes, in seconds.

    ``natural`` None: it does not come back by itself, too few take part.
    """

    proved: bool
    why: str
    members: tuple[str, ...] = ()
    heard: t.Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    round: int | None = None
    natural: float | None = None
    restart: float = 0.0
    advice: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        seconds = None if self.natural is None else round(self.natural)
        return {
            "why": self.why,
            "quorum": quorum(len(self.members)),
            "missing": list(self.missing),
            "round": self.round,
            "rounds": dict(self.heard),
            "natural": seconds,
            "restart": round(self.restart),
            "advice": self.advice,
        }


def stall_report(view: ChainView, log: BesuLog, pace: ChainTiming, *, wall: float) -> Stall:
    """The report of a stall. ``wall``: the time of ``view``; the log is that of one validator."""
    members = view.next_validators or ()
    if view.moved or view.head_age is None or view.head_age <= pace.age_limit:
        return Stall(False, "the head advances, or its age is within what is normal", members)
    heard = {r.address: r.number for r in log.rounds if r.address in members}
    # One that was asked and does not answer may still be listed as a peer.
    reachable = tuple(m for m in members if m in heard or view.followers.get(m, m in view.linked))
    missing = tuple(member for member in members if member not in reachable)
    needed = quorum(len(members))
    head_time = wall - view.head_age
    number = log.round_since(head_time)
    number = max(heard.values(), default=None) if number is None else number
    natural = later = None
    if number is not None:
        clocks = _clocks(reachable, log, pace.request_timeout, wall, head_time)
        newcomers = [Place(0, pace.request_timeout)] * max(needed - len(reachable), 0)
        natural = rounds_converge_in(pace.request_timeout, needed, clocks)
        later = rounds_converge_in(pace.request_timeout, needed, [*clocks, *newcomers])
    restart = RESTART_SECONDS + pace.request_timeout + pace.period
    head = f"block {view.head} is {view.head_age:.0f} s old" if view.head else "the chain has not begun: block 0"
    message = f"{head}; {len(reachable)} of {len(members)} seen, quorum {needed}"
    advice = _advice(view, members, missing, natural, later, restart)
    return Stall(True, message, members, heard, missing, number, natural, restart, advice)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 3600 else f"{seconds / 3600:.1f} hours"


class Place(t.NamedTuple):
    """Where a validator is: in which round, and how many seconds this round lasts from now."""

    round: int
    left: float


def _clocks(reachable: t.Sequence[str], log: BesuLog, timeout: float, wall: float, head_time: float) -> list[Place]:
    """Where each validator is now. One of which no round was heard has just come back, and is in round 0."""
    heard = {one.address: one for one in log.rounds}
    own = log.round_since(head_time)
    places: list[Place] = []
    for member in reachable:
        one = heard.get(member)
        if one is None:
            places.append(Place(0, timeout))
        elif one.local and own is not None:
            places.append(_after(Place(own, log.round_seconds), timeout, wall - log.round_at))
        else:
            since = one.since or log.rounds_at
            places.append(_after(Place(one.number, timeout * 2.0**one.number), timeout, wall - since))
    return places


def _after(place: Place, timeout: float, seconds: float) -> Place:
    """Where a validator is ``seconds`` later: each round lasts twice as long as the one before."""
    number, left = place.round, place.left - max(seconds, 0.0)
    while left < 0 and number < _MAX_ROUND:
        number += 1
        left += timeout * 2.0**number
    return Place(number, max(left, 0.0))


def _advice(
    view: ChainView,
    members: t.Sequence[str],
    missing: t.Sequence[str],
    natural: float | None,
    later: float | None,
    restart: float,
) -> str:
    if len(members) - len(missing) < quorum(len(members)):
        long = "an unknown time" if later is None else f"about {_span(later)}"
        return (
            f"start the missing validators first: one of them may have block {(view.head or 0) + 1} "
            f"({', '.join(missing)}); then the rounds converge in {long}, or after a restart of all validators at "
            f"the same time in about {restart:.0f} s (quorum_lost=restart_all)"
        )
    if natural is not None and natural <= restart:
        return f"wait: the rounds converge in about {_span(natural)}"
    long = "an unknown time" if natural is None else f"about {_span(natural)}"
    all_at_once = f"a restart of all validators at the same time about {restart:.0f} s (quorum_lost=restart_all)"
    return f"waiting takes {long}, {all_at_once}"


def rounds_converge_in(request_timeout: float, needed: int, places: t.Sequence[Place]) -> float | None:
    """Seconds until ``needed`` validators are in one round that they did not share before; None with fewer of them.

    A round r lasts request_timeout * 2**r, and nobody waits for the others: one
    that comes back begins in round 0 and climbs. Measured 130 s after a stall
    of 100 s, with a time-out of 4 s.
    """
    if len(places) < needed:
        return None
    found: list[float] = []
    for number in range(min(place.round for place in places), _MAX_ROUND + 1):
        stays = sorted(_stay(place, number, request_timeout) for place in places if place.round <= number)
        for began, _left in stays:
            together = [stay for stay in stays if stay[0] <= began <= stay[1]]
            if began > 0 and len(together) >= needed:
                found.append(began)
                break
        if found and min(found) <= min(_stay(place, number, request_timeout)[1] for place in places):
            break
    return min(found, default=request_timeout * 2.0**_MAX_ROUND)


def _stay(place: Place, number: int, timeout: float) -> tuple[float, float]:
    """From when to when, in seconds from now, a validator is in a round that it is in or has yet to reach."""
    if number == place.round:
        return 0.0, place.left
    began = place.left + timeout * (2.0**number - 2.0 ** (place.round + 1))
    return began, began + timeout * 2.0**number
