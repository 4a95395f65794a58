# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a validator may be taken offline. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Quorum is ceil(2n/3) of the set on the chain (BftHelpers), not of an
inventory. A validator that cannot be shown to take part counts as missing,
and what cannot be known refuses.

A validator takes part if it

* proposed one of the last n blocks: every member proposes once in n;
* has the head that the others have, where it is asked itself, and is listed as
  a peer by a node that has that head, where it is not;
* belongs to the group that consensus messages reach. Only validators forward
  them (QbftController), so that a validator which is linked to nobody but
  observers, or to validators that are cut off as well, does not vote.

A peer that vanished is still listed for about 30 s and a block is proposed
once in n, so that a member that is only seen through others may have been gone
that long: its own RPC is the better proof.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.chain_view import ChainView
    from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample

# Besu 26.1.0 changed what validators send to each other (CHANGELOG): below and above do not understand each other.
_NEW_ENCODING = (26, 1)
# With a longer block period two samples need not see a new block.
_PATIENT_PERIOD = 20.0
# Networks so small have no quorum without every single validator.
_ALL_NEEDED = 2
# Seconds after which a block that was due counts as missing: a proposer may be down.
_OVERDUE = 3.0


def quorum(members: int) -> int:
    """How many of this number of validators have to agree on a block."""
    return -(-2 * members // 3)


def may_be_down(members: int) -> int:
    """How many of this number of validators may be down before the chain stalls."""
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
    """The members of the next set that are proved to take part."""
    members = view.next_validators or ()
    return connected_group(view, [member for member in members if not _own_inactivity(view, member)])


def inactivity_reason(view: ChainView, member: str) -> str:
    """Why a member is not proved to take part; empty if it is."""
    why = _own_inactivity(view, member)
    return why or ("" if member in active_validators(view) else "is cut off from the other validators")


def _own_inactivity(view: ChainView, member: str) -> str:
    """Why a member cannot take part, whatever its links to the others are."""
    members = view.next_validators or ()
    last = view.last_proposed.get(member)
    if last is None or view.proposed_to - last >= len(members):
        return f"proposed none of the last {len(members)} blocks"
    if member in view.followers:
        return "" if view.followers[member] else "does not have the head that the others have, or has no peers"
    return "" if member in view.linked else "none of the nodes that were asked is connected to it"


def connected_group(view: ChainView, members: t.Sequence[str]) -> tuple[str, ...]:
    """The largest group of ``members`` whose consensus messages reach each other without any other node."""
    groups: list[set[str]] = []
    for member in members:
        mine = {member}
        apart = []
        for group in groups:
            if any(_are_linked(view, member, other) for other in group):
                mine |= group
            else:
                apart.append(group)
        groups = [*apart, mine]
    largest = max(groups, key=len, default=set())
    return tuple(member for member in members if member in largest)


def is_cut_off(view: ChainView, node: str | None) -> bool:
    """Whether no node that is level has this one as a peer, and it does not follow them: it cannot vote."""
    return bool(view.witnessed) and node not in view.linked and not view.followers.get(node or "")


def _are_linked(view: ChainView, one: str, other: str) -> bool:
    """Whether two validators are each other's peers, by their own word or, for those that do not tell, by a witness."""
    answers = [peer in view.links[node] for node, peer in ((one, other), (other, one)) if node in view.links]
    if answers:
        return all(answers)
    if any({one, other} <= group for group in view.witnessed):
        return True
    # Two that answer, have peers and do not name them, of whom nobody else tells anything either.
    return all(view.followers.get(node) and node not in view.linked for node in (one, other))


def tip_of(samples: t.Iterable[NodeSample]) -> NodeSample | None:
    """The head of the chain, where a quorum of its validators was asked: no block that matters is above theirs."""
    reported = [sample for sample in samples if sample.rpc == "ok" and sample.number is not None]
    if not reported:
        return None
    best = max(reported, key=_height)
    members = best.next_validators or best.validators or ()
    ours = [sample for sample in reported if sample.address in members and sample.genesis == best.genesis]
    enough = members and len({sample.address for sample in ours}) >= quorum(len(members))
    return max(ours, key=_height) if enough else None


def _height(sample: NodeSample) -> int:
    return sample.number or 0


def only_one_left(view: ChainView) -> str | None:
    """The address of a node that does not report it, if it is the only validator not yet accounted for.

    None where all were: it may be one of them, asked by another URL.
    """
    left = [member for member in view.next_validators or () if member not in view.followers]
    return left[0] if len(left) == 1 else None


@dataclass(frozen=True)
class QuorumVerdict:
    """Whether the target may be taken offline. ``may_stop``: how many members may stop now; ``which``: any of these."""

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
    """How many members may stop now, whichever they are; ``safe``: one at least."""
    members = view.next_validators
    if not members:
        return QuorumVerdict(False, "the validator set is not known: a node with the QBFT or IBFT API is needed", "?")
    n, needed, part = len(members), quorum(len(members)), active_validators(view)
    missing = {member: inactivity_reason(view, member) for member in members if member not in part}
    arithmetic = f"{len(part)} of {n} take part, quorum ceil(2*{n}/3) = {needed}"
    obstacle = _obstacle(view, pace, members) or unproved_mix(view, part)
    doubtful = _doubtful(view, part)
    spare = 0 if obstacle else max(len(part) - doubtful - needed, 0)
    if spare and any(len(_left(view, part, member)) < needed for member in part):
        spare, obstacle = 0, "some validators are linked to the others through one validator only"
    reason = obstacle or ("" if spare else _none_left(len(part), needed, doubtful))
    return QuorumVerdict(spare > 0, reason, arithmetic, n, needed, part, missing, spare, part if spare else ())


def _left(view: ChainView, part: t.Sequence[str], target: str | None) -> tuple[str, ...]:
    """The validators that would take part without ``target``: those that it alone links are lost with it.

    One that has a single peer and does not name it may have the target, unless another names it.
    """
    of_others = frozenset().union(*(peers for node, peers in view.links.items() if node != target))
    lost = view.hangers_on - of_others if target in (view.next_validators or ()) else frozenset()
    return connected_group(view, [member for member in part if member != target and member not in lost])


def _doubtful(view: ChainView, part: t.Sequence[str]) -> int:
    """How many of ``part`` may be nodes that do not answer, lag or are isolated, and do not tell their address."""
    return min(view.doubtful, sum(1 for member in part if member not in view.followers))


def _none_left(part: int, needed: int, doubtful: int) -> str:
    if part < needed:
        return "quorum is lost"
    if part > needed and doubtful:
        return f"{doubtful} of them may be nodes that do not answer or lag, and do not count"
    return "only as many take part as the quorum needs"


def may_stop(
    view: ChainView, target: str | None, pace: ChainTiming, *, target_runs: bool = True, same_chain: bool = False
) -> QuorumVerdict:
    """May ``target`` (its address) be stopped now? Refuses whatever it cannot prove.

    ``target_runs`` False: its process is not there, so nothing is taken offline.
    ``same_chain``: the target is known to be on the chain of ``view``: outside of its set it is no validator.
    """
    whole = spare_validators(view, pace)
    members = view.next_validators
    if not members:
        return whole
    left = _left(view, whole.taking_part, target)
    counts = f"{len(whole.taking_part)} of {whole.members} take part, {len(left)} without it"
    whole = replace(whole, arithmetic=f"{counts}, quorum ceil(2*{whole.members}/3) = {whole.quorum}")
    if target is None:
        why = "the node's own address is not known: give the option address, or reference_urls of all other validators"
        return replace(whole, safe=False, reason=why)
    outside = target not in members and target not in (view.validators or ())
    free = _nothing_to_lose(view, outside and same_chain, target_runs)
    if free:
        return replace(whole, safe=True, reason=free)
    refused = _obstacle(view, pace, members) or (_UNKNOWN_CHAIN if outside else _too_few(view, left, whole.quorum))
    if refused:
        return replace(whole, safe=False, reason=refused)
    enough = target in whole.taking_part
    return replace(whole, safe=True, reason="enough are left" if enough else _NO_PART)


_UNKNOWN_CHAIN = (
    "it is in no validator set of the nodes that were asked, and its own block 0 is not known: "
    "give genesis_hash, or validator: false if it is none"
)
_NO_PART = "it does not take part: nothing is taken from the quorum"


def _nothing_to_lose(view: ChainView, no_validator: bool, target_runs: bool) -> str:
    """Why the stop takes no validator offline; empty where it may."""
    if no_validator and not view.disagreement:
        return "it is no validator: nothing is taken from the quorum"
    return "" if target_runs else "it does not run: nothing is taken from the quorum"


def _too_few(view: ChainView, left: t.Sequence[str], needed: int) -> str:
    """Why those that are left are no quorum; empty where they are."""
    if len(view.next_validators or ()) <= _ALL_NEEDED:
        return (
            f"the chain would stop: a network of {len(view.next_validators or ())} needs all of its validators; "
            "to stop it on purpose, set quorum_guard: off"
        )
    if len(left) < needed:
        return "the chain would stop: too few would be left"
    doubtful = _doubtful(view, left)
    if len(left) - doubtful < needed:
        return f"{doubtful} of those left may be nodes that do not answer or lag, and do not tell their address"
    mixed = unproved_mix(view, left)
    if mixed and max(_understanding(view.versions, left)) < needed:
        return mixed
    return ""


def _obstacle(view: ChainView, pace: ChainTiming, members: t.Sequence[str]) -> str:
    """What forbids every stop of a validator, whichever it is."""
    if view.disagreement:
        return view.disagreement
    if view.validators is not None and set(view.validators) != set(members):
        return "the validator set changes with the next block: run again after it"
    if view.head_age is None or view.head_age > pace.age_limit:
        if view.head_age is None or not (view.moved and _quorum_is_level(view, members)):
            old = "block 0, the chain has not begun" if view.head == 0 else f"{view.head_age or 0:.0f} s old"
            return f"the head is {old}, more than {pace.age_limit:.0f} s"
    if view.moved:
        return ""
    due = max(pace.period, pace.quiet)
    if due < _PATIENT_PERIOD:
        return f"the block height did not advance between two samples: it stays at {view.head}"
    late = max(_OVERDUE, due / 10)
    if view.head_age < -late:
        return f"the head is {-view.head_age:.0f} s in the future: correct the clock, which hides overdue blocks"
    if view.head_age > due + late:
        return f"the next block is overdue: the head is {view.head_age:.0f} s old, a block is due every {due:.0f} s"
    return ""


def _quorum_is_level(view: ChainView, members: t.Sequence[str]) -> bool:
    """Whether a quorum of the validators was asked and is level: no node has a higher block, whatever clocks say."""
    return sum(1 for member in members if view.followers.get(member)) >= quorum(len(members))


def _understanding(versions: t.Mapping[str, str], members: t.Collection[str]) -> tuple[int, int]:
    """How many understand the old encoding, and how many the new one; a version that is not known may be either."""
    old = sum(1 for m in members if (_release(versions.get(m, "")) or (0,)) < _NEW_ENCODING)
    new = sum(1 for m in members if (_release(versions.get(m, "")) or (99,)) >= _NEW_ENCODING)
    return old, new


def incompatible(versions: t.Mapping[str, str], members: t.Collection[str]) -> str:
    """Whether validators of versions that do not understand each other are mixed."""
    known = {versions[member] for member in members if member in versions and _release(versions[member])}
    old = sorted(version for version in known if (_release(version) or ()) < _NEW_ENCODING)
    new = sorted(known - set(old))
    if old and new:
        return f"validators run {', '.join(old)} and {', '.join(new)}, which do not understand each other"
    return ""


def unproved_mix(view: ChainView, members: t.Collection[str]) -> str:
    """Whether validators are mixed that may not understand each other, as in an upgrade from 25.x to 26.x.

    A block is there only if a quorum understood its proposer, and two quorums share validators. So all that were seen
    to propose use one encoding, which Besu 26.6 and newer may be told (Xbft-legacy-protocol-encoding).
    """
    return "" if set(members) <= view.proposers else incompatible(view.versions, members)


def _release(version: str) -> tuple[int, ...] | None:
    match = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    return (int(match[1]), int(match[2])) if match else None
