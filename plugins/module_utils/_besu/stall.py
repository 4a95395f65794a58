# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a stalled chain, and how long each way out takes. Pure.

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
    """A chain that stands still: who is missing, in which round the rest is, and what each way out takes, in seconds.

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
    """What is known of a stall. ``wall``: the time of ``view``; the log is that of one validator."""
    members = view.next_validators or ()
    moved = view.head is not None and view.first_head is not None and view.head > view.first_head
    if view.head is None or moved or view.head_age is None or view.head_age <= pace.age_limit:
        return Stall(False, "the head advances, or its age is within what is normal", members)
    heard = {r.address: r.number for r in log.rounds if r.address in members} if log.rounds_at else {}
    seen = set(heard) | {m for m in members if view.followers.get(m)} | (set(view.linked) & set(members))
    missing = tuple(member for member in members if member not in seen)
    number = log.round_since(wall - view.head_age)
    natural = later = None
    if number is not None:
        left = max(log.round_at + log.round_seconds - wall, 0.0)
        rounds = sorted((heard.get(member, 0) for member in seen), reverse=True)
        later = rounds_converge_in(pace.request_timeout, number, left)
        if len(seen) >= quorum(len(members)):
            natural = rounds_converge_in(pace.request_timeout, number, left, rounds[quorum(len(members)) - 1])
    restart = RESTART_SECONDS + pace.request_timeout + pace.period
    needed = quorum(len(members))
    said = f"block {view.head} is {view.head_age:.0f} s old; {len(seen)} of {len(members)} seen, quorum {needed}"
    advice = _advice(view, members, missing, natural, later, restart)
    return Stall(True, said, members, heard, missing, number, natural, restart, advice)


def _advice(
    view: ChainView,
    members: t.Sequence[str],
    missing: t.Sequence[str],
    natural: float | None,
    later: float | None,
    restart: float,
) -> str:
    if len(members) - len(missing) < quorum(len(members)):
        long = "an unknown time" if later is None else f"about {later:.0f} s"
        return (
            f"start the missing validators first: one of them may have block {(view.head or 0) + 1} "
            f"({', '.join(missing)}); then the rounds meet in {long}, or after a restart of all together "
            f"in about {restart:.0f} s (quorum_lost=restart_all)"
        )
    if natural is not None and natural <= restart:
        return f"wait: the rounds meet in about {natural:.0f} s"
    long = "an unknown time" if natural is None else f"about {natural:.0f} s"
    return f"waiting takes {long}, a restart of all validators together about {restart:.0f} s (quorum_lost=restart_all)"


def rounds_converge_in(request_timeout: float, others_round: int, left: float, begins: int = 0) -> float:
    """Seconds until a validator in round ``begins`` meets the others, who stay in ``others_round`` for ``left``.

    One that comes back begins in round 0. A round r lasts request_timeout *
    2**r. Measured 130 s after a stall of 100 s, with a time-out of 4 s.
    """
    if begins >= others_round:
        return left
    number, until = others_round, left
    while number < _MAX_ROUND:
        climb = request_timeout * (2.0**number - 2.0**begins)
        if climb <= until:
            return climb
        number += 1
        until += request_timeout * 2.0**number
    return request_timeout * 2.0**_MAX_ROUND
