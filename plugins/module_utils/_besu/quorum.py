# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a validator may be taken away. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Quorum is ceil(2n/3) of the set on the chain (BftHelpers), not of an
inventory. Whoever cannot be shown to take part counts as missing, and what
cannot be known refuses.

What "takes part" asks for: one of the last n blocks (every member proposes
once in n), and to be seen right now, by its own RPC with the head that the
others have, or else as a connected peer. A peer that vanished is still listed
for about 30 s and a block is proposed once in n, so that a member that is only
seen through others may have been gone that long: own RPC is the better proof.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.chain_view import ChainView

# Besu 26.1.0 changed what validators send to each other (CHANGELOG): below and above do not understand each other.
_NEW_ENCODING = (26, 1)
# With a longer block period two looks are not told to see a new block.
_PATIENT_PERIOD = 20.0


def quorum(members: int) -> int:
    """How many of so many validators have to agree on a block."""
    return -(-2 * members // 3)


def may_be_down(members: int) -> int:
    """How many of so many validators the chain can miss."""
    return members - quorum(members)


@dataclass(frozen=True)
class ChainTiming:
    """The chain's settings in seconds.

    ``age_limit``: how old the head of a living chain may be; ``quiet``: the block period without transactions.
    """

    period: float = 2.0
    request_timeout: float = 4.0
    age_limit: float = 15.0
    quiet: float = 0.0


def active_validators(view: ChainView) -> tuple[str, ...]:
    """The members of the next set that are shown to take part."""
    members = view.next_validators or ()
    return tuple(member for member in members if not inactivity_reason(view, member))


def inactivity_reason(view: ChainView, member: str) -> str:
    """Why a member is not shown to take part; empty where it is."""
    members = view.next_validators or ()
    last = view.last_proposed.get(member)
    if last is None or view.proposed_to - last >= len(members):
        return f"proposed none of the last {len(members)} blocks"
    if member in view.followers:
        return "" if view.followers[member] else "does not have the head that the others have"
    return "" if member in view.linked else "nobody that was asked is connected to it"


def only_one_left(view: ChainView) -> str | None:
    """Who a node is that does not tell its address, if all members of the set but one were asked themselves.

    None where all were: it may be one of them, asked by another URL.
    """
    left = [member for member in view.next_validators or () if member not in view.followers]
    return left[0] if len(left) == 1 else None


@dataclass(frozen=True)
class QuorumVerdict:
    """Whether the target may be taken away. ``may_stop``: how many members may stop now; ``which``: any of these."""

    safe: bool
    reason: str
    arithmetic: str
    members: int = 0
    quorum: int = 0
    taking_part: tuple[str, ...] = ()
    missing: t.Mapping[str, str] = field(default_factory=dict)
    may_stop: int = 0
    which: tuple[str, ...] = ()


def spare_validators(view: ChainView, pace: ChainTiming) -> QuorumVerdict:
    """How many members may stop now, whoever they are; ``safe``: one at least."""
    members = view.next_validators
    if not members:
        return QuorumVerdict(False, "the validator set is not known: a node with the QBFT or IBFT API is needed", "?")
    n, needed, part = len(members), quorum(len(members)), active_validators(view)
    missing = {member: inactivity_reason(view, member) for member in members if member not in part}
    arithmetic = f"{len(part)} of {n} take part, quorum ceil(2*{n}/3) = {needed}"
    obstacle = _obstacle(view, pace, members)
    doubtful = min(view.silent, sum(1 for member in part if member not in view.followers))
    spare = 0 if obstacle else max(len(part) - doubtful - needed, 0)
    reason = obstacle or ("" if spare else _none_left(len(part), needed, doubtful))
    return QuorumVerdict(spare > 0, reason, arithmetic, n, needed, part, missing, spare, part if spare else ())


def _none_left(part: int, needed: int, doubtful: int) -> str:
    if part < needed:
        return "quorum is lost"
    if part > needed and doubtful:
        return f"{doubtful} of them did not answer themselves and are not counted on"
    return "no more take part than are needed"


def may_stop(
    view: ChainView, target: str | None, pace: ChainTiming, *, target_runs: bool = True, same_chain: bool = False
) -> QuorumVerdict:
    """May ``target`` (its address) be stopped now? Refuses whatever it cannot prove.

    ``target_runs`` False: its process is not there, so nothing is taken away.
    ``same_chain``: the target is known to be on the chain of ``view``: outside of its set it is no validator.
    """
    whole = spare_validators(view, pace)
    members = view.next_validators
    if not members:
        return whole
    left = [member for member in whole.taking_part if member != target]
    counts = f"{len(whole.taking_part)} of {whole.members} take part, {len(left)} without it"
    arithmetic = f"{counts}, quorum ceil(2*{whole.members}/3) = {whole.quorum}"

    def say(safe: bool, reason: str) -> QuorumVerdict:
        return replace(whole, safe=safe, reason=reason, arithmetic=arithmetic)

    if target is None:
        return say(
            False,
            "the node's own address is not known: give the option address, or reference_urls of all other validators",
        )
    outside = target not in members and target not in (view.validators or ())
    if outside and same_chain and not view.disagreement:
        return say(True, "it is no validator: nothing is taken from the quorum")
    if not target_runs:
        return say(True, "it does not run: nothing is taken from the quorum")
    obstacle = _obstacle(view, pace, members)
    if obstacle:
        return say(False, obstacle)
    if outside:
        return say(
            False,
            "it is in no validator set of the nodes that were asked, and its own chain is not known: "
            "give genesis_hash or chain_id, or validator: false if it is none",
        )
    if len(left) < whole.quorum:
        return say(False, "the chain would stop: too few would be left")
    doubtful = min(view.silent, sum(1 for member in left if member not in view.followers))
    if len(left) - doubtful < whole.quorum:
        return say(False, f"{view.silent} of the nodes that were asked do not answer and may be among those left")
    if target not in whole.taking_part:
        return say(True, "it does not take part: nothing is taken from the quorum")
    return say(True, "enough are left")


def _obstacle(view: ChainView, pace: ChainTiming, members: t.Sequence[str]) -> str:
    """What forbids every stop of a validator, whichever it is."""
    if view.disagreement:
        return view.disagreement
    if view.validators is not None and set(view.validators) != set(members):
        return "the validator set changes with the next block: look again then"
    moved = view.head is not None and view.first_head is not None and view.head > view.first_head
    fresh = view.head_age is not None and view.head_age <= pace.age_limit
    if not moved and not (fresh and max(pace.period, pace.quiet) >= _PATIENT_PERIOD):
        return f"the head did not advance between two looks: it stays at {view.head}"
    if not fresh:
        return f"the head is {view.head_age or 0:.0f} s old, more than {pace.age_limit:.0f} s"
    return incompatible(view.versions, members)


def incompatible(versions: t.Mapping[str, str], members: t.Collection[str]) -> str:
    """Whether validators of versions that do not understand each other are mixed."""
    old = sorted({versions[m] for m in members if m in versions and (_release(versions[m]) or (99,)) < _NEW_ENCODING})
    new = sorted({versions[m] for m in members if m in versions and (_release(versions[m]) or (0,)) >= _NEW_ENCODING})
    if old and new:
        return f"validators run {', '.join(old)} and {', '.join(new)}, which do not understand each other"
    return ""


def _release(version: str) -> tuple[int, ...] | None:
    match = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    return (int(match[1]), int(match[2])) if match else None
