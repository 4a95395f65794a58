# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule that protects the quorum, and the guard that applies it on a host.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

A validator may be stopped or restarted if either nothing is taken offline:

1. No process of the node is there: ``systemd.no_process_is_there``.
2. The node is known to be no validator: ``fleet.may_be_validator``.

or the chain can do without the node for a while:

3. The options ``address`` and ``genesis_hash`` are the node's own: ``BesuKind.guards``, ``QuorumGuard.check``.
4. All samples count for the chain that the node is on, by its block 0: ``judge``, ``of_chain``.
5. The chain advances, and its set of validators is known and stable: ``QuorumGuard._samples``, ``quorum.may_stop``.
6. The validators that are shown to take part without it are the quorum: ``quorum.may_stop``, ``active_validators``.
7. If a reservation is named, it is in force on this host: ``reservation.usable``.

or the chain has lost its quorum, and a person asked for ``quorum_lost=restart_all``:

8. The stall is proved, and the node is a member of the set: ``stall.stall_report``, ``QuorumGuard._stalled``.

On the controller, two more keep hosts from acting on the same samples:

9. Hosts of one play act one after another: ``_play_lock.in_turn``.
10. A recovery takes the validators of one chain one at a time: ``_waves.in_batches``, ``_waves.in_series``.

The guards of every service (hold, attempts, cause, ...) come before: ``_lifecycle/guards.py``.
The guard changes nothing, so it runs in check mode as well.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import chain_view as cv
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum as q
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import reservation as r
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import stall
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import BesuLog
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal

_MAX_WAIT = 60.0
# How long validators of versions that may not understand each other are watched, in seconds.
_MAX_PROOF = 120.0
# A node that answers, or hangs, does so by any URL: none of those that tell an address is the node itself.
_ONE_PROCESS = ("ok", "hang")
_OBSERVE_FIRST = "observe the network with besu_network_info, fix what is missing, then run again"

Others = t.Callable[[], t.Sequence[NodeSample]]


class Judgement(t.NamedTuple):
    """What the samples say of the node: ``address`` is the node's own, where that could be found out."""

    view: cv.ChainView
    address: str | None
    verdict: q.QuorumVerdict


def judge(pairs: t.Sequence[cv.Pair], address: str | None, pace: q.ChainTiming) -> Judgement:
    """May the node of the first pair be stopped? Pure. The others are asked of the chain that it is on.

    Chain ids are not unique: block 0 decides which nodes are of its chain, and whether it is on theirs.
    """
    own = pairs[0][1]
    view = cv.chain_view(of_chain(pairs, own.genesis))
    address = address or own.address
    if address is None and own.rpc in _ONE_PROCESS:
        address = q.only_one_left(view)
    same = own.genesis is not None and own.genesis == view.genesis
    return Judgement(view, address, q.may_stop(view, address, pace, same_chain=same))


def of_chain(pairs: t.Sequence[cv.Pair], genesis: str | None) -> list[cv.Pair]:
    """Those that are not known to be on another chain than one with this block 0."""
    reported = [(pair, pair[1].genesis or pair[0].genesis) for pair in pairs]
    return [pair for pair, mine in reported if genesis is None or mine is None or mine == genesis]


class QuorumGuard:
    """Whether this host's validator may be taken offline now.

    ``read`` samples the node itself, ``others`` all nodes of reference_urls.
    """

    def __init__(
        self,
        clock: Clock,
        read: t.Callable[[], NodeSample],
        others: Others,
        *,
        address: str | None = None,
        genesis: str | None = None,
        chain_id: int | None = None,
        reservation: str | None = None,
        quorum_lost: str = "refuse",
        store: t.Callable[[str], r.Store] = r.Store,
    ) -> None:
        self._clock = clock
        self._read = read
        self._others = others
        self._address = address.lower() if address else None
        self._genesis = genesis.lower() if genesis else None
        self._chain_id = chain_id
        self._reservation = reservation
        self._quorum_lost = quorum_lost
        self._store = store

    def check(
        self, own: NodeSample | None, pace: q.ChainTiming, log: t.Callable[[], BesuLog]
    ) -> tuple[Refusal | None, t.Any]:
        """What forbids taking the node offline, and what was observed. ``own``: its newest sample, if there is one."""
        if self._genesis and own is not None and own.genesis and own.genesis != self._genesis:
            message = f"genesis_hash: {self._genesis} is not the node's block 0, which is {own.genesis}"
            return Refusal("quorum", message, "correct the option, or the node's genesis file and data"), None
        address = self._address or (own.address if own else None) or log().node_address
        pairs = self._samples(pace, address, own)
        view, address, verdict = judge(pairs, address, pace)
        if verdict.safe:
            return self._reserved(verdict, address, view.genesis), verdict
        stalled = stall.stall_report(view, log(), pace, wall=self._clock.wall())
        if stalled.proved:
            return self._stalled(view, stalled, address), stalled
        message = f"{verdict.reason}; {verdict.arithmetic}"
        return Refusal("quorum", message, self._hint(verdict)), verdict

    def _samples(self, pace: q.ChainTiming, address: str | None, observed: NodeSample | None) -> list[cv.Pair]:
        """Two samples each, the later ones after the head moved, or as late as a living chain would have moved it."""
        genesis = self._genesis or (observed.genesis if observed else None)
        chain_id = self._chain_id if self._chain_id is not None or observed is None else observed.chain_id

        def own() -> NodeSample:
            sample = self._read()
            return replace(
                sample,
                address=sample.address or address,
                genesis=sample.genesis or genesis,
                chain_id=chain_id if sample.chain_id is None else sample.chain_id,
            )

        first = [own(), *self._others()]
        began = self._clock.monotonic()
        limit, proof = min(pace.age_limit + pace.period, _MAX_WAIT), 0.0
        while True:
            self._clock.sleep(min(max(pace.period / 2, 0.5), limit))
            # One that hangs is not waited for a second time: it is the target, the others count.
            last = [first[0] if first[0].rpc == "hang" else own(), *self._others()]
            pairs = list(zip(first, last))
            view = cv.chain_view(of_chain(pairs, last[0].genesis))
            part = q.active_validators(view)
            if view.moved and q.unproved_mix(view, part):
                # Each has its turn within as many blocks as there are validators.
                proof = min((len(part) + 2) * max(pace.period, 1.0) + pace.request_timeout, _MAX_PROOF)
            elif view.moved or view.head is None:
                return pairs
            if self._clock.monotonic() - began >= max(limit, proof):
                return pairs

    def _reserved(self, verdict: q.QuorumVerdict, address: str | None, network: str | None) -> Refusal | None:
        if self._reservation is None or address is None or address not in verdict.taking_part:
            return None
        if network is None:
            return Refusal(
                "quorum", "the hash of block 0 is not known, so no reservation can be checked", _OBSERVE_FIRST
            )
        why = r.usable(self._store(network).held(), self._reservation, address, r.clock())
        return (
            Refusal("reservation", why, "reserve with besu_reservation on more than half of the hosts") if why else None
        )

    def _stalled(self, view: cv.ChainView, stalled: stall.Stall, address: str | None) -> Refusal | None:
        inside = address in stalled.members and not view.disagreement
        # A validator that nobody hears of takes nothing offline, and has to come back before the chain can go on.
        if inside and q.is_cut_off(view, address):
            return None
        enough = len(stalled.members) - len(stalled.missing) >= q.quorum(len(stalled.members))
        if self._quorum_lost == "restart_all" and inside and (enough or address in stalled.missing):
            return None
        return Refusal("chain_stalled", stalled.why, stalled.advice)

    @staticmethod
    def _hint(verdict: q.QuorumVerdict) -> str:
        if not verdict.missing:
            return _OBSERVE_FIRST
        named = "; ".join(f"{address} {why}" for address, why in sorted(verdict.missing.items())[:4])
        return f"start the missing validators first: {named}"
