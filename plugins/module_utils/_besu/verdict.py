# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Input of the rules of ``classify``: samples, options, heads of other nodes, and values derived from them. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.history import SampleHistory
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import BesuLog
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample, last_proposed
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.quorum import ChainTiming, quorum
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m

# A process that is younger may still be looking for its peers and its chain, in seconds.
YOUNG = 60.0
# A head that is so many seconds in the future tells that this host's clock is behind, and nothing of its age.
FUTURE = 15.0
# A stall is watched for so many block periods, where nothing but the head shows it; a period that is not known.
STALL_PERIODS, _UNKNOWN_PERIOD = 2.0, 15.0
_PACE_UNKNOWN = 30.0
_MAX_DEAD = 3
_SOME_PERIOD = 2.0


@dataclass(frozen=True)
class NodeOptions:
    """The user's options for the node and the chain. Times in seconds; None: as the node or the chain says."""

    lag_blocks: int = 2
    min_peers: int = 1
    block_period: float | None = None
    empty_block_period: float | None = None
    request_timeout: float | None = None
    head_age: float | None = None
    stall_timeout: float = 60.0
    peers_timeout: float = 20.0
    start_timeout: float = 600.0
    hang_timeout: float = 20.0
    single_node: bool = False
    address: str | None = None
    chain_id: int | None = None
    genesis: str | None = None


@dataclass(frozen=True)
class UnitStatus:
    """What is known about the process without asking it. ``since``: CLOCK_MONOTONIC, None if not observed."""

    up: bool = True
    since: float | None = None
    recent_restarts: int = 0


@dataclass(frozen=True)
class Reference:
    """The head of another node of the same chain, seen at the same time.

    ``tip``: a quorum of the validators have no higher head, so that nobody has a block that matters above it.
    """

    name: str
    number: int | None = None
    hash: str = ""
    timestamp: float | None = None
    genesis: str | None = None
    chain_id: int | None = None
    tip: bool = False


@dataclass(frozen=True)
class BesuVerdict:
    """The state, the reasons (the most telling first), the cause where something is wrong, what was measured.

    ``wants_log``: the log could tell more. ``settled`` False: another sample is wanted before this is told.
    ``futile``: why no wait changes it. ``resample``: after how many seconds, where not settled.
    ``lasted``: for how many seconds it has been so at most, by what was seen of the node itself.
    """

    state: str
    base_state: str
    reasons: tuple[str, ...]
    cause: str | None = None
    details: t.Mapping[str, t.Any] = field(default_factory=dict)
    wants_log: bool = False
    settled: bool = True
    futile: str = ""
    resample: float = 1.0
    lasted: float | None = None


@dataclass(frozen=True)
class NodeView:
    """All input of the rules, computed once."""

    unit: UnitStatus
    track: SampleHistory
    options: NodeOptions
    references: tuple[Reference, ...]
    log: BesuLog

    @property
    def now(self) -> NodeSample:
        return self.track.last

    @property
    def age(self) -> float:
        """Seconds that the process has lived; infinite where that is not known (asked from elsewhere)."""
        return math.inf if self.unit.since is None else max(self.now.at - self.unit.since, 0.0)

    @property
    def young(self) -> bool:
        return self.age < YOUNG

    @property
    def members(self) -> tuple[str, ...] | None:
        """The validators of the next block."""
        return self.now.next_validators or self.now.validators

    @property
    def own(self) -> str | None:
        """Its address: as it tells, as given, or as its log has it."""
        given = self.options.address
        return self.now.address or (given.lower() if given else self.log.node_address)

    @property
    def alone(self) -> bool:
        """Whether the node is its whole network: declared so, or its only validator."""
        return self.options.single_node or (self.own is not None and self.members == (self.own,))

    @property
    def period(self) -> float | None:
        """The block period: given, told by the node, or measured from the timestamps of its blocks."""
        return self.options.block_period or self.now.period

    @property
    def empty_period(self) -> float:
        """The block period of a chain without transactions, 0 where it is the same."""
        bft = self.now.bft
        return self.options.empty_block_period or (bft.empty_block_period if bft else None) or 0.0

    @property
    def stall_watch(self) -> float:
        """For how many seconds a head has to stand until the chain, and not a wrong clock, explains that."""
        return STALL_PERIODS * max(self.period or _UNKNOWN_PERIOD, self.empty_period)

    @property
    def age_limit(self) -> float:
        """How old the head of a living chain may be: the block period, and time-outs for dead proposers in a row."""
        if self.options.head_age is not None:
            return self.options.head_age
        bft = self.now.bft
        period = self.period
        if period is None:
            return _PACE_UNKNOWN
        timeout = self.options.request_timeout or (bft.request_timeout if bft else None) or (2 * period)
        dead = min(len(self.members) // 3, _MAX_DEAD) if self.members else 1
        return max(period, self.empty_period) + timeout * float(2**dead - 1) + max(3.0, period, timeout / 2)

    @property
    def head_age(self) -> float | None:
        return None if self.now.head_time is None else self.now.wall - self.now.head_time

    @property
    def moves(self) -> bool:
        """Whether the head is not too old. By a clock that is behind no age is: there counts what was watched."""
        if self.head_age is None or self.head_age > self.age_limit:
            return False
        return not self.came_early or self.still_for < self.stall_watch

    @property
    def came_early(self) -> bool:
        """Whether the head was in the future when it was first seen: the clock of this host is behind.

        Where blocks are seldom, less than a period makes no difference.
        """
        return self.head_age is not None and self.head_age - self.still_for < -max(FUTURE, self.period or 0.0)

    @property
    def reference(self) -> int | None:
        """The highest head of any other node."""
        own = self.now.number
        known = [r.number for r in self.references if r.number is not None]
        best = self.now.best_known
        # Its own height comes back as the best known block where no peer has said one.
        heard = any(peer.height is not None for peer in self.now.peers or ()) or (best or 0) > (own or 0)
        if best is not None and (heard or (self.now.peers is None and self.now.connected)):
            known.append(best)
        return max(known) if known else None

    @property
    def lag(self) -> int | None:
        if self.now.number is None or self.reference is None:
            return None
        return max(self.reference - self.now.number, 0)

    @property
    def tolerance(self) -> int:
        return max(self.options.lag_blocks, math.ceil(2.0 / self.period) if self.period else 0)

    @property
    def without_peers_for(self) -> float:
        """Seconds for which no peer has stayed, 0 where one does."""
        return self.now.at - self.track.alone_since if self.track.alone_since is not None else 0.0

    @property
    def has_no_peers(self) -> bool:
        return self.track.alone_since is not None

    @property
    def advances(self) -> bool:
        """Whether its head was seen to advance not longer ago than the chain's longest pace: it is not stalled."""
        if self.track.advanced_at is None:
            return False
        pace = max(self.age_limit, 2 * (self.period or 0.0))
        # After a time in which nobody watched, the head may have advanced at the beginning of it.
        return self.still_for <= pace and self.now.at - self.track.advanced_at <= 2 * pace

    @property
    def is_level(self) -> bool:
        """Whether the head is that of a quorum of the validators, and so of the chain, whatever the clock says."""
        tips = [one.number for one in self.references if one.tip and one.number is not None]
        return bool(tips) and (self.now.number or 0) >= max(tips) - self.tolerance

    @property
    def in_snap_sync(self) -> bool:
        """Whether it is in the middle of a SNAP sync: by its log, or as the state of its head is not there yet."""
        begun = self.log.progress_lines > 0 and (self.now.number == 0 or self.now.state_available is not True)
        return begun or self.now.state_available is False

    @property
    def still_for(self) -> float:
        """Seconds since the head last changed, as far as this was watched."""
        return self.now.at - self.track.head_since if self.track.head_since is not None else 0.0

    @property
    def refusing_for(self) -> float:
        """Seconds since it first called a block invalid, having imported none since; by the log."""
        return self.now.wall - self.log.invalid_since if self.log.invalid_since else 0.0


def timing(options: NodeOptions, sample: NodeSample | None, age_limit: float | None = None) -> ChainTiming:
    """The chain's settings: as the options say, as the node tells them, or as its blocks show them."""
    bft = sample.bft if sample else None
    period = options.block_period or (sample.period if sample else None) or _SOME_PERIOD
    timeout = options.request_timeout or (bft.request_timeout if bft else None) or 2 * period
    quiet = options.empty_block_period or (bft.empty_block_period if bft else None) or 0.0
    return ChainTiming(period, timeout, float(age_limit or max(period, quiet) + 3 * timeout), quiet)


def with_details(v: NodeView, verdict: BesuVerdict) -> BesuVerdict:
    now = v.now
    age = None if v.head_age is None or now.number == 0 else round(v.head_age, 1)
    shown: dict[str, t.Any] = {
        "head": now.number,
        "head_hash": now.head.hash if now.head else None,
        "head_age": age,
        "head_age_limit": round(v.age_limit, 1),
        "reference": v.reference,
        "lag": v.lag,
        "peers": now.connected,
        "rate": None if v.track.rate is None else round(v.track.rate, 3),
        "version": now.version,
        "chain_id": now.chain_id,
        "network_id": now.network_id,
        "genesis": now.genesis,
        "rpc": now.rpc,
        "missing": missing(now),
        **_membership(v),
        **_log_details(v, verdict),
    }
    kept = {key: value for key, value in shown.items() if value is not None}
    return replace(verdict, details=kept, lasted=_lasted(v, verdict))


def _membership(v: NodeView) -> dict[str, t.Any]:
    members, own = v.members, v.own
    return {
        "address": own,
        "validators": None if members is None else list(members),
        "validator": None if members is None or own is None else own in members,
        "last_proposed": last_proposed(v.now, own) if own else None,
        **_margin(v, members),
        "process_age": None if math.isinf(v.age) else round(v.age, 1),
        "voted": _voted(v),
    }


def _margin(v: NodeView, members: tuple[str, ...] | None) -> dict[str, t.Any]:
    """How many validators take part, and how many more may stop, as the blocks of this node alone show it.

    Each member proposes once in as many blocks as there are members: what has
    just ended still counts that long. The quorum guard asks the others, too.
    """
    sample, last = v.now, v.now.proposed_to
    if not members or last is None:
        return {}
    made = [last_proposed(sample, member) for member in members]
    part = sum(1 for block in made if block is not None and last - block < len(members)) if v.moves else 0
    return {"taking_part": part, "may_stop": max(part - quorum(len(members)), 0)}


def _voted(v: NodeView) -> bool | None:
    """Whether this process is shown to vote: it proposed a block, or sent a round of its own. None: it cannot be told.

    A validator that comes back with an empty data directory answers and is level after its sync, and may not vote.
    """
    if v.own is None or v.members is None or v.own not in v.members:
        return None
    last = last_proposed(v.now, v.own)
    if (last is not None and since_start(v, last)) or v.log.round is not None or any(r.local for r in v.log.rounds):
        return True
    return False if v.log.lines else None


def since_start(v: NodeView, last: int) -> bool:
    """Whether its block ``last`` was proposed by this process and not by one before it."""
    if math.isinf(v.age):
        return True
    began = v.now.wall - v.age
    for made in (v.now.head, v.now.made):
        if made is not None and made.miner == v.own and (made.number == last or began <= made.timestamp):
            return made.timestamp >= began
    # No later before the head than the chain's longest pace allows.
    return (v.now.head_time or 0.0) - ((v.now.number or 0) - last) * v.age_limit >= began


def _log_details(v: NodeView, verdict: BesuVerdict) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    if verdict.cause == "stuck_sync" and v.log.invalid_since:
        found["refused_block"] = v.log.invalid_block or -1
    if v.in_snap_sync:
        found["snap_sync"] = True
    if v.log.rounds:
        found["rounds"] = {one.address: one.number for one in v.log.rounds}
        others = [one for one in v.log.rounds if not one.local]
        found["heard"] = {one.address: round(v.now.wall - (one.since or v.log.rounds_at), 1) for one in others}
    return found


def _lasted(v: NodeView, verdict: BesuVerdict) -> float | None:
    """For how long a node has been in trouble or behind: since its last block, or since its RPC fell silent."""
    if verdict.base_state == m.RUNNING:
        return None
    if v.track.silent_since is not None:
        return v.now.at - v.track.silent_since
    return v.head_age if v.head_age is not None and v.head_age > 0 and v.now.number != 0 else None


# What is lost with an API group.
_GROUP_OF = {
    "admin_peers": "ADMIN",
    "admin_nodeInfo": "ADMIN",
    "net_peerCount": "NET",
    "net_enode": "NET",
    "head": "ETH",
}
_LOSS = {
    "ADMIN": "heights and versions of its peers, block period and request time-out",
    "NET": "the number of its peers, its own address",
    "ETH": "its head",
    "QBFT": "whether it takes part in consensus",
}


def missing(sample: NodeSample) -> list[str]:
    """What is not known about the node, and which API group would report it."""
    off = [label for label, outcome in sample.outcomes.items() if outcome in ("not_enabled", "unauthorized")]
    groups = {_GROUP_OF[label] for label in off if label in _GROUP_OF}
    if not sample.group and not sample.has_no_quorum and "qbft:latest" in off:
        groups.add("QBFT")
    return [f"{_LOSS[group]} (--rpc-http-api={group})" for group in sorted(groups)]
