# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quorum guard at work on a host: looks until the head moves, then asks ``quorum`` and the reservation.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

It changes nothing, and so it runs in check mode as well.
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
# A node that answers, or hangs, does so by any URL: none of those that tell an address is the node itself.
_ONE_PROCESS = ("ok", "hang")
_LOOK_AGAIN = "look at the network with besu_network_info, mend what is missing, then run again"

Others = t.Callable[[], t.Sequence[NodeSample]]


class QuorumGuard:
    """Whether this host's validator may be taken away now.

    ``read`` looks at the node itself, ``others`` at all nodes of reference_urls.
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
        """What forbids taking the node away, and what was seen. ``own``: the newest look at it, if there was any."""
        address = self._address or (own.address if own else None) or log().node_address
        view, newest, others = self._look(pace, address, own)
        address = address or newest.address
        if address is None and newest.rpc in _ONE_PROCESS:
            address = q.only_one_left(view)
        same = newest.genesis is not None and newest.genesis == view.genesis
        same = same or (newest.chain_id is not None and newest.chain_id == view.chain_id)
        verdict = q.may_stop(view, address, pace, same_chain=same)
        if verdict.safe:
            network = next((sample.genesis for sample in (newest, *others) if sample.genesis), None)
            return self._reserved(verdict, address, network), verdict
        stalled = stall.stall_report(view, log(), pace, wall=self._clock.wall())
        if stalled.proved:
            return self._stalled(view, stalled, address), stalled
        said = f"{verdict.reason}; {verdict.arithmetic}"
        return Refusal("quorum", said, self._hint(verdict)), verdict

    def _look(
        self, pace: q.ChainTiming, address: str | None, seen: NodeSample | None
    ) -> tuple[cv.ChainView, NodeSample, t.Sequence[NodeSample]]:
        """Two looks, the later one after the head moved, or as late as a living chain would have moved it."""
        genesis = self._genesis or (seen.genesis if seen else None)
        chain_id = self._chain_id if self._chain_id is not None or seen is None else seen.chain_id

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
        limit = min(pace.age_limit + pace.period, _MAX_WAIT)
        while True:
            self._clock.sleep(min(max(pace.period / 2, 0.5), limit))
            # One that hangs is not waited for a second time: it is the target, the others count.
            last = [first[0] if first[0].rpc == "hang" else own(), *self._others()]
            view = cv.chain_view(list(zip(first, last)))
            moved = view.head is not None and view.first_head is not None and view.head > view.first_head
            if moved or view.head is None or self._clock.monotonic() - began >= limit:
                return view, last[0], last[1:]

    def _reserved(self, verdict: q.QuorumVerdict, address: str | None, network: str | None) -> Refusal | None:
        if self._reservation is None or address is None or address not in verdict.taking_part:
            return None
        if network is None:
            return Refusal("quorum", "the hash of block 0 is not known, so no reservation can be checked", _LOOK_AGAIN)
        why = r.usable(self._store(network).held(), self._reservation, address, r.clock())
        return (
            Refusal("reservation", why, "reserve with besu_reservation on more than half of the hosts") if why else None
        )

    def _stalled(self, view: cv.ChainView, stalled: stall.Stall, address: str | None) -> Refusal | None:
        enough = len(stalled.members) - len(stalled.missing) >= q.quorum(len(stalled.members))
        # One that nobody hears of takes nothing away, and has to come back before the others can do without rounds.
        absent = address in stalled.missing
        inside = address in stalled.members
        if self._quorum_lost == "restart_all" and inside and (enough or absent) and not view.disagreement:
            return None
        return Refusal("chain_stalled", stalled.why, stalled.advice)

    @staticmethod
    def _hint(verdict: q.QuorumVerdict) -> str:
        if not verdict.missing:
            return _LOOK_AGAIN
        named = "; ".join(f"{address} {why}" for address, why in sorted(verdict.missing.items())[:4])
        return f"bring back who is missing first: {named}"
