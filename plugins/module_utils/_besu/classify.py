# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Derives the state of a Besu node from its samples, with the reasons. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

What is not believed, because recordings show it lie: eth_syncing false,
/readiness and in_sync for the first seconds after RPC opens, during a whole
SNAP sync, when isolated and when the chain is stalled. What counts: the
height against the heights of others, the age of the head's own timestamp
against the pace of the chain, and whether both hold in two samples.
"""

from __future__ import annotations

import math
import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import arrivals
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.history import SampleHistory
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import BesuLog
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import LEAST_BLOCKS, last_proposed
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.rpc_answers import CANNOT_OBSERVE, OUTCOMES
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.states import BESU, CONSENSUS, SYNCED, SYNCING
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import (
    STALL_PERIODS,
    BesuVerdict,
    NodeOptions,
    NodeView,
    Reference,
    UnitStatus,
    since_start,
    with_details,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m

_RPC_CLOSE_GRACE = 15.0
# After so many seconds the log of a start is read: a shutdown under way looks the same from outside.
_SILENT_START = 5.0
_RPC_OFF = 15.0
_REFUSED_BLOCK = 20.0
# The progress lines of a SNAP sync may come a minute apart: it is stuck after so many of them are missing.
_MISSED_LINES, _LINE_EVERY = 3, 60.0


def classify(
    unit: UnitStatus,
    track: SampleHistory,
    options: NodeOptions | None = None,
    references: t.Sequence[Reference] = (),
    log: BesuLog | None = None,
) -> BesuVerdict:
    """The state of a node whose unit is up. First rule that says something wins, in the order below."""
    ours = _of_its_chain(references, track.last.genesis)
    view = NodeView(unit, track, options or NodeOptions(), ours, log or BesuLog())
    alive = (_crash_loop, _rpc_hangs, _closed, _unobservable, _not_ready)
    rules = (*alive, _wrong_chain, _consensus_halted, _undriven, _behind, _isolated, _chain_stalled)
    found = next((verdict for rule in rules for verdict in (rule(view),) if verdict is not None), None)
    return with_details(view, found or _at_head(view))


def _of_its_chain(references: t.Sequence[Reference], genesis: str | None) -> tuple[Reference, ...]:
    """Without those of other chains, where one at least is of the node's own.

    Several networks may have one chain id, and nodes of all of them be asked: block 0 tells whose node this is.
    """
    known = [r.genesis.lower() for r in references if r.genesis]
    if genesis is None or genesis not in known:
        return tuple(references)
    return tuple(r for r in references if not r.genesis or r.genesis.lower() == genesis)


def _verdict(state: str, *reasons: str, cause: str | None = None, **more: t.Any) -> BesuVerdict:
    return BesuVerdict(state, BESU.base(state), tuple(reason for reason in reasons if reason), cause, **more)


def _crash_loop(v: NodeView) -> BesuVerdict | None:
    if v.unit.recent_restarts < 2 or v.track.answered_at is not None or not v.young:
        return None
    message = f"systemd has restarted it {v.unit.recent_restarts} times recently, and it has not answered since"
    return _verdict(m.RESTARTING, message, cause="crash_loop", wants_log=True)


def _rpc_hangs(v: NodeView) -> BesuVerdict | None:
    """The port accepts and nothing answers: a stopped process, no memory, a full thread pool."""
    if v.track.silent_since is None:
        return None
    lasted = v.now.at - v.track.silent_since
    message = f"RPC accepts connections and does not answer, for {lasted:.0f} s now"
    if v.log.out_of_memory:
        return _verdict(m.ERROR, message, v.log.out_of_memory, cause="out_of_memory", wants_log=True)
    if lasted >= v.options.hang_timeout:
        return _verdict(m.ERROR, message, cause="unresponsive", wants_log=True)
    if v.track.answered_at is None and v.young:
        return _verdict(m.STARTING, message)
    # Nobody may act on what was not watched for long enough, so that observing such a node takes as long as that.
    return _verdict(m.UNKNOWN, message, cause="unresponsive", wants_log=True, settled=False)


def _closed(v: NodeView) -> BesuVerdict | None:
    if v.now.rpc not in ("refused", "reset"):
        return None
    if v.log.shutting_down:
        full = "disk_full" if "Disk full" in v.log.shutting_down else None
        return _verdict(m.STOPPING, "it is shutting down", v.log.shutting_down, cause=full)
    if _rpc_is_off(v):
        if v.now.metrics:
            return None  # judged by the metrics alone
        if v.now.rpc == "reset":
            return _verdict(
                m.UNKNOWN, "RPC closes connections unanswered: it has too many, or speaks TLS", cause="reset"
            )
        return _verdict(m.UNKNOWN, "RPC is off: set --rpc-http-enabled, or --metrics-enabled, to let it be observed")
    if v.track.answered_at is not None:
        gone = v.now.at - (v.track.closed_since or v.now.at)
        message = f"RPC answered in this run and is closed now, for {gone:.0f} s"
        return _verdict(
            m.ERROR if gone >= _RPC_CLOSE_GRACE else m.UNKNOWN,
            message,
            cause="rpc_down",
            wants_log=True,
            settled=gone >= _RPC_CLOSE_GRACE,
        )
    if v.age > v.options.start_timeout:
        if math.isinf(v.age):
            return _verdict(m.UNKNOWN, "nothing listens on the RPC port", cause="refused")
        message = f"RPC has not opened in {v.age:.0f} s, start_timeout={v.options.start_timeout:.0f} s"
        return _verdict(m.ERROR, message, cause="start_timeout", wants_log=True)
    return _verdict(m.STARTING, f"RPC is not open yet, {v.age:.0f} s after the start", wants_log=v.age > _SILENT_START)


def _rpc_is_off(v: NodeView) -> bool:
    """Whether RPC is switched off: metrics and p2p may open before it in a start, and are not waited for long."""
    if v.log.rpc_off or (v.now.p2p_open and v.now.rpc == "reset"):
        return True
    if v.track.answered_at is not None:
        return False
    others = [since for since in (v.track.metrics_since, v.track.p2p_since) if since is not None]
    return bool(others) and (v.now.at - min(others) >= _RPC_OFF or not v.young)


def _unobservable(v: NodeView) -> BesuVerdict | None:
    if v.now.rpc not in CANNOT_OBSERVE or v.now.metrics:
        return None
    why = OUTCOMES.get(v.now.rpc, v.now.rpc)
    return _verdict(m.UNKNOWN, f"RPC cannot be asked: {why}", v.now.rpc_message, cause=v.now.rpc)


def _not_ready(v: NodeView) -> BesuVerdict | None:
    if v.now.p2p == "starting":
        return _verdict(m.STARTING, "RPC is open, its network is not running yet")
    if v.now.number is None:
        off = v.now.outcomes.get("head") in ("not_enabled", "unknown_method", "unauthorized")
        message = "set --rpc-http-api=ETH,..." if off else "its answer has no head"
        return _verdict(m.UNKNOWN, f"it does not report its head; {message}")
    return None


def _wrong_chain(v: NodeView) -> BesuVerdict | None:
    """Another genesis or chain id than the others, or another block at the same height."""
    expected = [("the options", v.options.genesis, v.options.chain_id)]
    expected += [(r.name, r.genesis, r.chain_id) for r in v.references]
    for name, genesis, chain_id in expected:
        if chain_id is not None and v.now.chain_id is not None and chain_id != v.now.chain_id:
            message = f"chain id {v.now.chain_id}, while {name} has {chain_id}"
            return _verdict(m.ERROR, message, cause="wrong_chain")
        if genesis and v.now.genesis and genesis.lower() != v.now.genesis:
            message = f"block 0 is {v.now.genesis[:12]}, while {name} has {genesis[:12]}"
            return _verdict(m.ERROR, message, cause="wrong_chain")
    return _fork(v)


def _fork(v: NodeView) -> BesuVerdict | None:
    head = v.now.head
    for other in v.references:
        if head and head.hash and other.hash and other.number == head.number and other.hash.lower() != head.hash:
            message = f"block {head.number} is {head.hash[:12]}, while {other.name} has {other.hash[:12]}"
            return _verdict(m.ERROR, message, cause="fork")
    return None


def _consensus_halted(v: NodeView) -> BesuVerdict | None:
    # A validator without consensus goes on importing what the others make.
    if v.log.halted and (not v.moves or not _takes_part(v)):
        return _verdict(m.ERROR, v.log.halted, cause="consensus_halted")
    return None


def _refused_block(v: NodeView) -> BesuVerdict | None:
    """The log names a block that this node holds invalid, and nothing moves."""
    lasted = max(v.still_for, v.refusing_for)
    if not v.log.invalid_since or lasted < _REFUSED_BLOCK:
        return None
    if v.log.invalid_block is not None and v.now.number is not None and v.log.invalid_block <= v.now.number:
        return None
    block = f"block {v.log.invalid_block}" if v.log.invalid_block is not None else "a block"
    message = f"it holds {block} of its peers' chain invalid and stays at {v.now.number}, for {lasted:.0f} s now"
    return _verdict(m.ERROR, message, *v.log.invalid_lines, cause="stuck_sync", wants_log=True)


def _undriven(v: NodeView) -> BesuVerdict | None:
    """An execution client to which its consensus client does not talk: no block comes, and no restart here helps."""
    if v.moves or v.advances or not (v.now.is_execution_client or v.log.engine_silent):
        return None
    at = f"the head is {_head_text(v)}"
    needed = v.stall_watch
    if v.log.engine_silent or v.still_for >= needed:
        message = "its consensus client sends no blocks: it is stopped, not connected (engine API, JWT), or not in sync"
        return _verdict(m.ERROR, at, message, v.log.engine_silent, cause="consensus_client_unreachable", wants_log=True)
    message = f"watched for {v.still_for:.0f} s: {needed:.0f} s tell a silent consensus client from a wrong clock"
    left = min(max((needed - v.still_for) / 4, 1.0), _RPC_OFF)
    return _verdict(m.UNKNOWN, at, message, wants_log=True, settled=False, resample=left)


def _behind(v: NodeView) -> BesuVerdict | None:
    """Below what others have."""
    syncing = v.now.syncing
    gap = max(v.lag or 0, syncing.highest - syncing.current if syncing else 0)
    if gap <= v.tolerance:
        return None
    refused = _refused_block(v)
    if refused:
        return refused
    at = f"{gap} blocks behind, at {v.now.number} of {(v.now.number or 0) + gap}"
    # Of a node that was only just met nothing is known but its log.
    wants = v.still_for >= min(_REFUSED_BLOCK, v.options.stall_timeout) / 2 or (v.track.earlier is None and not _new(v))
    stalled = _no_progress(v)
    if v.has_no_peers and (stalled or v.without_peers_for >= v.options.peers_timeout or v.now.p2p == "disabled"):
        return _no_peers(v, at)
    if stalled:
        message = f"no block imported in {v.still_for:.0f} s, stall_timeout={v.options.stall_timeout:.0f} s"
        return _verdict(m.ERROR, message, at, cause="stuck_sync", wants_log=True)
    lie = "it says itself that it is in sync" if v.now.said_in_sync else ""
    return _verdict(SYNCING, at, _pace(v, gap), lie, wants_log=wants)


def _no_progress(v: NodeView) -> bool:
    """Neither a block nor, by the log, anything else for too long."""
    if v.still_for < v.options.stall_timeout:
        return False
    if not v.log.progress_at:
        return True
    return v.now.wall - v.log.progress_at >= max(v.options.stall_timeout, _longest_silence(v))


def _longest_silence(v: NodeView) -> float:
    """How long a sync that reports its progress may be silent: three of its lines, by the pace that they had."""
    if not v.log.progress_lines:
        return 0.0
    return _MISSED_LINES * max(v.log.progress_every, _LINE_EVERY)


def _new(v: NodeView) -> bool:
    return v.age < _REFUSED_BLOCK


def _pace(v: NodeView, gap: int) -> str:
    eta = eta_seconds(v.track.rate, gap, v.period)
    rate = v.track.rate
    if not rate:
        return ""
    return f"{rate:.1f} blocks/s" + (f", about {eta:.0f} s to go" if eta is not None else "")


def eta_seconds(rate: float | None, gap: int, period: float | None) -> float | None:
    """Seconds until the head is reached, the chain growing meanwhile; None where it never would."""
    closing = (rate or 0.0) - (1.0 / period if period else 0.0)
    return gap / closing if closing > 0 else None


def _isolated(v: NodeView) -> BesuVerdict | None:
    """No peers, and no new block without them."""
    if not v.has_no_peers or v.alone or v.moves:
        return None
    refused = _refused_block(v)
    if refused:
        return refused
    verdict = _no_peers(v, f"the head is {_head_text(v)}")
    if v.without_peers_for < v.options.peers_timeout and v.young and v.now.p2p != "disabled":
        return replace(verdict, state=SYNCING, base_state=BESU.base(SYNCING), wants_log=not _new(v))
    return verdict


def _no_peers(v: NodeView, where: str) -> BesuVerdict:
    disabled = v.now.p2p == "disabled"
    why = ": p2p is switched off (p2p-enabled=false)" if disabled else ""
    message = f"no peers for {v.without_peers_for:.0f} s{why}"
    # One that has peers again is watched until they stay: nothing else ends it where no block comes.
    return _verdict(m.ERROR, message, where, cause="no_peers", wants_log=not disabled, settled=not v.now.connected)


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    return (
        f"{seconds:.0f} s"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
        if seconds < 172800
        else f"{seconds / 86400:.0f} days"
    )


def _head_text(v: NodeView) -> str:
    if v.now.number == 0:
        return "block 0, the chain has not begun"
    if v.head_age is not None and v.came_early:
        return f"block {v.now.number}, which came {_span(v.still_for - v.head_age)} before its time"
    return f"block {v.now.number}, {_span(v.head_age)} old"


def _catching_up(v: NodeView) -> bool:
    return arrivals.catching_up(v.track, v.period, v.age_limit)


def _chain_stalled(v: NodeView) -> BesuVerdict | None:
    verdict = _old_head(v)
    # How old a head may be depends on the block period. A node that does not report it is asked for two blocks of its
    # past from the second sample on.
    measurable = v.period is None and v.track.earlier is None and (v.now.number or 0) >= LEAST_BLOCKS
    return replace(verdict, settled=False) if verdict is not None and measurable else verdict


def _old_head(v: NodeView) -> BesuVerdict | None:
    """Level with everybody it knows, and the head is too old: a stall, or all are behind, or the clock is wrong."""
    if v.head_age is None or (v.now.non_bft is not None and v.now.non_bft.on_demand):
        return None
    future = v.came_early
    if v.moves and not future:
        return None
    at = f"the head is {_head_text(v)}" + ("" if future else f", more than {v.age_limit:.0f} s")
    if v.advances:
        return _by_a_wrong_clock(v, at, "behind" if future else "ahead")
    if v.moves:
        return _unwatched(v, v.stall_watch, at)
    if v.alone:
        return _alone_and_silent(v, at)
    return _stands(v, at)


def _by_a_wrong_clock(v: NodeView, at: str, which: str) -> BesuVerdict:
    """A head that advances at an age that no living chain has: this host's clock is wrong, or all nodes are behind."""
    grows = v.lag is None or v.track.others_advanced >= 2
    paced = grows and arrivals.keeps_pace(v.track, v.period) and not _catching_up(v)
    if v.now.state_available is not False and (v.is_level or paced):
        skewed = _level(v)
        message = f"{at}, yet blocks arrive at the pace of the chain: this host's clock is {which}"
        return _verdict(skewed.state, message, *skewed.reasons, cause="clock_skew", settled=skewed.settled)
    pace = _pace(v, 0)
    message = (
        f"it advances with its peers: they are behind as well, or this host's clock is {which}; watch it for longer"
    )
    return _verdict(SYNCING, at, message, pace)


def _alone_and_silent(v: NodeView, at: str) -> BesuVerdict:
    peerless = v.log.looking_for_peers
    if v.young and not (peerless and v.age >= _REFUSED_BLOCK):  # the head is as old as the time for which it was down
        message = "it is the only validator, and has made no block yet; the process is young"
        return _verdict(SYNCING, at, message, wants_log=not _new(v))
    why = ", as it looks for peers that do not exist" if peerless else ""
    message = f"it is the only validator and makes no blocks{why}"
    return _verdict(m.ERROR, at, message, peerless, cause="not_proposing", wants_log=True)


def _stands(v: NodeView, at: str) -> BesuVerdict:
    """The head does not advance and no node has a newer one: a stall, if watched long enough or proved by rounds."""
    proof = v.log.round_since(v.now.head_time or 0.0)
    if v.lag is None and proof is None:
        return _incomparable(v, at)
    rounds = f"consensus is in round {proof}, which lasts {v.log.round_seconds:.0f} s" if proof is not None else ""
    if v.young:
        # A network that is started as a whole goes through rounds as well, until enough have come.
        return _verdict(SYNCING, at, "no peer has a newer block; the process is young", rounds, wants_log=True)
    level = "no node that it knows has a newer block" if v.lag is not None else ""
    needed = v.stall_watch
    watched = v.still_for >= needed
    if watched or proof is not None:
        settled = watched or v.lag is not None or v.still_for >= STALL_PERIODS * (v.period or STALL_PERIODS)
        return _verdict(m.ERROR, at, level, rounds, cause="chain_stalled", wants_log=True, settled=settled)
    return _unwatched(v, needed, at, level)


def _unwatched(v: NodeView, needed: float, *reasons: str) -> BesuVerdict:
    message = f"watched for {v.still_for:.0f} s: a stalled chain can be told from a wrong clock after {needed:.0f} s"
    left = min(max((needed - v.still_for) / 4, 1.0), _RPC_OFF)
    return _verdict(m.UNKNOWN, *reasons, message, wants_log=True, settled=False, resample=left)


def _incomparable(v: NodeView, at: str) -> BesuVerdict:
    """An old head, nobody's height and no rounds: a chain that is stalled looks like a node that is behind."""
    message = "no peer has reported its height yet" if v.now.peers is not None else "nothing to compare it with"
    futile = (
        f"its head has not changed in {v.still_for:.0f} s, and there is nothing to compare it with: add ADMIN to "
        "--rpc-http-api or give reference_urls, and block_period if blocks are seldom"
    )
    over = _no_progress(v) and not v.young
    return _verdict(SYNCING, at, message, wants_log=not _new(v), futile=futile if over else "")


def _at_head(v: NodeView) -> BesuVerdict:
    """Level with the others and recent, in one sample or in two."""
    if v.now.state_available is False:
        return _verdict(SYNCING, f"at block {v.now.number}, but its state is not there yet (SNAP sync)", wants_log=True)
    if v.track.earlier is None and v.young and not _takes_part(v):
        message = f"at block {v.now.number} in one sample: a node may report that too early after its start"
        return _verdict(m.STARTING if v.track.answered_at in (None, v.now.at) else SYNCING, message, settled=False)
    if _catching_up(v) and not v.is_level:
        message = "blocks arrive faster than the chain makes them: its peers are behind as well"
        return _verdict(SYNCING, f"at {_head_text(v)}", message, _pace(v, 0))
    return _level(v)


def _level(v: NodeView) -> BesuVerdict:
    """At the head of the chain: whether it serves, and takes part."""
    confirmed = v.track.earlier is not None
    at = f"at block {v.now.number}, {_lag_text(v)}, {_span(v.head_age)} old" + ("" if confirmed else " (one sample)")
    few = (v.now.connected or 0) < v.options.min_peers and not v.alone and v.now.connected is not None
    if few:
        message = f"{v.now.connected} peers, min_peers={v.options.min_peers}"
        return _verdict(SYNCED if confirmed else m.UNKNOWN, message, at, settled=confirmed)
    return _role(v, at, confirmed)


def _lag_text(v: NodeView) -> str:
    if v.lag is None:
        return "alone" if v.alone else "no height to compare with"
    return "level with the others" if v.lag == 0 else f"{v.lag} behind"


def _role(v: NodeView, at: str, confirmed: bool) -> BesuVerdict:
    """Validator or not, and whether it takes part."""
    if v.members is None or v.own is None:
        return _verdict(m.RUNNING, at, _cannot_know_role(v), settled=confirmed)
    if v.own not in v.members:
        return _verdict(m.RUNNING, at, f"no validator (the set has {len(v.members)})", settled=confirmed)
    last = last_proposed(v.now, v.own)
    number = v.now.number or 0
    rounds = 2 * len(v.members)
    if _takes_part(v):
        return _verdict(CONSENSUS, f"validator, proposed block {last}", at, settled=confirmed)
    blocks = number - (v.track.first_number if v.track.first_number is not None else number)
    silent = blocks >= rounds or (last is not None and number - last >= rounds and not v.young)
    message = f"validator of {len(v.members)}, " + (
        f"last proposed block {last}" if last is not None else "has proposed no block"
    )
    state = SYNCED if confirmed else m.UNKNOWN
    return _verdict(state, message, at, cause="not_proposing" if silent else None, settled=confirmed, wants_log=silent)


def _takes_part(v: NodeView) -> bool:
    """A member of the next set whose block, made by this process, is among the last 2n: one sample proves that."""
    if v.members is None or v.own is None or v.own not in v.members:
        return False
    last = last_proposed(v.now, v.own)
    recent = last is not None and (v.now.number or 0) - last < 2 * len(v.members)
    return recent and last is not None and since_start(v, last)


def _cannot_know_role(v: NodeView) -> str:
    if v.now.is_execution_client:
        return "an execution client: its consensus client decides on blocks, and no quorum guard applies"
    if v.now.non_bft is not None:
        quiet = "; it makes a block only where there is a transaction" if v.now.non_bft.on_demand else ""
        return f"a {v.now.non_bft.name} network: no quorum agrees on its blocks, and no quorum guard applies{quiet}"
    groups = [g for g in ("qbft", "ibft") if v.now.outcomes.get(f"{g}:latest") in ("not_enabled", "unauthorized")]
    if v.now.rpc != "ok":
        return "by the metrics alone: whether it is a validator cannot be known"
    if len(groups) == 2 or v.members is None:
        return "whether it takes part in consensus cannot be known: add QBFT (or IBFT) to --rpc-http-api"
    return "its own address is not known: add NET or ADMIN to --rpc-http-api, or give the option address"
