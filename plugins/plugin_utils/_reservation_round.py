# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rounds in which a validator reserves the right to go offline, on the hosts of more than half of its set. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

A round asks the hosts one after the other, the validator's own first and the
others in the order of the set, which is the same for every controller. It ends
where its own host does not grant, or where a host has granted to another
owner: of two controllers that ask at the same time the first one that both ask
decides. A round that holds nothing is followed by another, while there are
tries left. Invariant: more than half of the set has granted before anything goes
offline, and what a failed round was granted is given back before the next.
"""

from __future__ import annotations

import secrets
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    ServiceResult,
    as_mapping,
    as_mappings,
    as_text,
)

# The loop variable of the task that asks.
HOLDER = "__service_reservation_ask"


@dataclass(frozen=True)
class ReservationAnswer:
    """The answer of one host. ``taken``: another owner has its grant."""

    holder: t.Mapping[str, t.Any]
    granted: bool = False
    taken: bool = False
    reason: str = ""

    @property
    def host(self) -> str:
        return as_text(self.holder.get("host"))

    @property
    def validators(self) -> int:
        count = self.holder.get("validators")
        return count if isinstance(count, int) else 0

    @property
    def number(self) -> int:
        """The number of the round, from 0."""
        number = self.holder.get("round")
        return number if isinstance(number, int) else 0

    @property
    def is_last(self) -> bool:
        return self.holder.get("last") is not False

    @classmethod
    def from_dict(cls, data: t.Mapping[str, t.Any]) -> ReservationAnswer | None:
        """The answer in an item of the task that asks; None for one that was not asked."""
        asked = as_mapping(data.get(HOLDER))
        if data.get("skipped") or not asked:
            return None
        return cls(
            holder=asked,
            granted=data.get("granted") is True,
            taken="holder" in data and data.get("granted") is not True,
            reason=as_text(data.get("reason")) or as_text(data.get("msg")) or "no answer",
        )

    def ends_round(self, own_host: str) -> bool:
        return not self.granted and (self.taken or self.host == own_host)


@dataclass(frozen=True)
class ReservationRound:
    """A round so far. ``is_held``: enough have granted; ``refusal``: why it ended without that.

    ``is_busy``: another owner has the grant of a host. ``number``: that of the round, from 0; ``is_last``: no other
    follows it.
    """

    granted: tuple[ReservationAnswer, ...] = ()
    is_held: bool = False
    is_busy: bool = False
    refusal: str = ""
    number: int = 0
    is_last: bool = True

    @property
    def goes_on(self) -> bool:
        return not self.is_held and not self.is_last

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "held": self.is_held,
            "busy": self.is_busy,
            "owner": as_text(self.granted[0].holder.get("owner")) if self.is_held else "",
            "granted": [dict(answer.holder) for answer in self.granted],
            "refusal": self.refusal,
            "again": self.goes_on,
            "next": self.number + 1 if self.goes_on else 0,
        }


def assess(answers: t.Sequence[ReservationAnswer], own_host: str, last: bool = True) -> ReservationRound:
    """The round after these answers; ``last``: no host is left to ask."""
    if not answers:
        return ReservationRound()
    granted = tuple(answer for answer in answers if answer.granted)
    end = next((answer for answer in answers if answer.ends_round(own_host)), None)
    if end:
        return ReservationRound(granted, is_busy=end.taken, refusal=f"{end.host}: {end.reason}")
    needed = answers[0].holder.get("needed")
    count = sum(answer.validators for answer in granted)
    own = any(answer.host == own_host for answer in granted)
    if own and isinstance(needed, int) and 0 < needed <= count:
        return ReservationRound(granted, is_held=True)
    if not last:
        return ReservationRound(granted)
    reason = f"hosts of {count} validators have granted, {needed} are needed"
    return ReservationRound(granted, refusal=reason + _silent(answers) + _too_few(answers, needed))


def _silent(answers: t.Sequence[ReservationAnswer]) -> str:
    """Who did not grant, and why, as the end of a sentence."""
    reasons = [f"{answer.host}: {answer.reason}" for answer in answers if not answer.granted]
    return f" ({'; '.join(reasons)})" if reasons else ""


def _too_few(answers: t.Sequence[ReservationAnswer], needed: t.Any) -> str:
    """That the inventory of this run can never do, as the end of a sentence.

    The set is that of the chain, whatever the inventory has: two slices of a job never both have more than half.
    """
    known = sum(answer.validators for answer in answers)
    if not isinstance(needed, int) or known >= needed:
        return ""
    return (
        f"; the inventory of this run has hosts of {known} of them only: give it all hosts of the chain with their "
        f"lifecycle_services, and no slice of these"
    )


def reservation_round(results: t.Any, host: str) -> dict[str, t.Any]:
    """The round that ``results``, the items of the task that asks, make on ``host``; ``again``: ``next`` follows."""
    answers = [answer for answer in map(ReservationAnswer.from_dict, as_mappings(results)) if answer]
    found = assess(answers, host)
    if answers:
        found = replace(found, number=answers[0].number, is_last=answers[0].is_last)
    return found.as_dict()


def continues(previous: t.Any, host: str) -> bool:
    """Whether the loop that asks continues after ``previous``, the registered variable within the loop.

    That is the result of the item before, or what the task left before this loop.
    """
    given = as_mapping(previous)
    if not given or "results" in given:
        return True
    answer = ReservationAnswer.from_dict(given)
    return answer is not None and not answer.ends_round(host)


def releases(run: t.Any, state: str) -> bool:
    """Whether a validator's reservation is given back after this result of reaching ``state``.

    One that was taken offline and is not back, or of which that is not known,
    keeps its grants until they end: by then everybody's guard counts it.
    """
    given = as_mapping(run)
    if not given:
        return True
    result = ServiceResult.from_dict(given)
    untouched = not (given.get("changed", True) or result.unreachable)
    return untouched or (result.reached and state != "stopped")


def requests(plan: t.Mapping[str, t.Any], owner: str, host: str, number: int, tries: int) -> list[dict[str, t.Any]]:
    """Whom the round ``number`` of ``tries`` asks, with the options of besu_reservation; from 0.

    Nobody where nothing is to be reserved. ``plan``: see _besu_networks.reservation. ``owner`` is new in each round.
    The first asks no more hosts than are needed, the others all of them, as one of the first may not have answered.
    """
    needed, holders = plan["needed"], plan["holders"]
    if needed <= 0 or number >= tries:
        return []
    enough = next((i for i in range(len(holders) + 1) if _validators(holders[:i]) >= needed), len(holders))
    more = {
        "owner": f"{owner or 'ansible'} for {host} {secrets.token_hex(5)}",
        "network": plan["network"],
        "target": plan["address"],
        "needed": needed,
        "round": number,
        "last": number + 1 >= tries,
    }
    return [{**holder, **more} for holder in (holders if number else holders[:enough])]


def _validators(holders: t.Sequence[t.Mapping[str, t.Any]]) -> int:
    return sum(holder["validators"] for holder in holders)
