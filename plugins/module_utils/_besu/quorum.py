# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a validator may be taken away, and what a lost quorum needs. Pure.

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

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import BesuLog
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample

# Heads that differ by so little at one moment are one.
_LEVEL = 2
# Besu 26.1.0 changed what validators send to each other (CHANGELOG): below and above do not understand each other.
_NEW_ENCODING = (26, 1)
# With a longer block period two looks are not told to see a new block.
_PATIENT_PERIOD = 20.0
# Seconds that a start takes until consensus begins, as measured on a slow machine.
RESTART_SECONDS = 20.0
_MAX_ROUND = 64


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


@dataclass(frozen=True)
class ChainView:
    """What two looks at some nodes of one chain show together.

    ``genesis`` and ``chain_id``: of those that answered, where they agree.
    ``followers``: validators that were asked themselves -> whether they have
    the head that the others have. ``linked``: validators that an asked node
    has as a peer. ``silent``: how many nodes did not answer and are not known
    by address: each may be one of those that are seen as a peer only.
    """

    validators: tuple[str, ...] | None = None
    next_validators: tuple[str, ...] | None = None
    first_head: int | None = None
    head: int | None = None
    head_age: float | None = None
    last_proposed: t.Mapping[str, int] = field(default_factory=dict)
    proposed_to: int = 0
    followers: t.Mapping[str, bool] = field(default_factory=dict)
    linked: frozenset[str] = frozenset()
    versions: t.Mapping[str, str] = field(default_factory=dict)
    disagreement: str = ""
    observers: int = 0
    silent: int = 0
    genesis: str | None = None
    chain_id: int | None = None


def chain_view(looks: t.Sequence[tuple[NodeSample, NodeSample]]) -> ChainView:
    """Put together what several nodes say; of each an earlier and a later look."""
    asked = [(first, last) for first, last in looks if last.rpc == "ok" and last.number is not None]
    if not asked:
        return ChainView()
    best = max(last.number or 0 for _first, last in asked)
    top = [(first, last) for first, last in asked if (last.number or 0) >= best - _LEVEL]
    newest = max((last for _first, last in top), key=lambda sample: sample.number or 0)
    tell = [last for _first, last in top if last.next_validators or last.validators]
    teller = max(tell, key=lambda sample: sample.number or 0) if tell else newest
    versions: dict[str, str] = {}
    linked: set[str] = set()
    proposed: dict[str, int] = {}
    for _first, last in asked:
        versions.update({p.address: p.version for p in last.peers or () if p.address and p.version})
        linked.update(p.address for p in last.peers or () if p.address)
    for sample in (look for pair in top for look in pair):
        made = dict(sample.last_proposed or {})
        if sample.head and sample.head.miner:
            made[sample.head.miner] = sample.head.number
        for address, number in made.items():
            proposed[address] = max(number, proposed.get(address, 0))
    versions.update({last.address: last.version for _first, last in asked if last.address and last.version})
    firsts = [first.number for first, _last in asked if first.number is not None]
    return ChainView(
        validators=teller.validators,
        next_validators=teller.next_validators or teller.validators,
        first_head=max(firsts) if firsts else None,
        head=best,
        head_age=None if newest.head_time is None else newest.wall - newest.head_time,
        last_proposed=proposed,
        proposed_to=max((last.proposed_to or 0 for _first, last in top), default=0),
        followers=_followers(looks, best),
        silent=sum(1 for first, last in looks if last.rpc != "ok" and not (last.address or first.address)),
        linked=frozenset(linked),
        versions=versions,
        disagreement=_disagreement([look for pair in looks for look in pair], [last for _first, last in top]),
        observers=len(asked),
        genesis=next((last.genesis for _first, last in asked if last.genesis), None),
        chain_id=next((last.chain_id for _first, last in asked if last.chain_id is not None), None),
    )


def _followers(looks: t.Sequence[tuple[NodeSample, NodeSample]], best: int) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for first, last in looks:
        address = last.address or first.address
        if address:
            found[address] = last.rpc == "ok" and last.number is not None and last.number >= best - 1
    return found


def _disagreement(everyone: t.Sequence[NodeSample], samples: t.Sequence[NodeSample]) -> str:
    """What nodes of one chain must not differ in, whatever their heads, and what nodes with the same head must not."""
    for name, values in (
        ("genesis", {s.genesis.lower() for s in everyone if s.genesis}),
        ("chain id", {s.chain_id for s in everyone if s.chain_id is not None}),
        ("validator set", {tuple(sorted(s.next_validators)) for s in samples if s.next_validators}),
    ):
        if len(values) > 1:
            return f"the nodes that were asked differ in {name}"
    hashes: dict[int, set[str]] = {}
    for sample in samples:
        if sample.head and sample.head.hash:
            hashes.setdefault(sample.head.number, set()).add(sample.head.hash)
    forked = [number for number, found in hashes.items() if len(found) > 1]
    return f"there are two blocks {forked[0]}" if forked else ""


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
