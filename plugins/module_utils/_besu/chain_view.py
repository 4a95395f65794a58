# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two samples each of some nodes of one chain show together. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample

# Heads that differ by so little at one moment are one.
_LEVEL = 2

# An earlier and a later sample of one node.
Pair = tuple[NodeSample, NodeSample]


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


def chain_view(looks: t.Sequence[Pair]) -> ChainView:
    """Put together what several nodes report; of each an earlier and a later sample."""
    asked = [pair for pair in looks if pair[1].rpc == "ok" and pair[1].number is not None]
    if not asked:
        return ChainView()
    lasts = [last for _first, last in asked]
    best = _highest(lasts).number or 0
    top = [pair for pair in asked if (pair[1].number or 0) >= best - _LEVEL]
    ends = [last for _first, last in top]
    teller = _set_from(ends)
    return ChainView(
        validators=teller.validators,
        next_validators=teller.next_validators or teller.validators,
        first_head=max((first.number for first, _last in asked if first.number is not None), default=None),
        head=best,
        head_age=_age(_highest(ends)),
        last_proposed=_last_proposed([sample for pair in top for sample in pair]),
        proposed_to=max(last.proposed_to or 0 for last in ends),
        followers=_followers(looks, best),
        silent=_unknown_silent(looks),
        linked=_linked(lasts),
        versions=_versions(lasts),
        disagreement=_disagreement([sample for pair in looks for sample in pair], ends),
        observers=len(asked),
        genesis=next((last.genesis for last in lasts if last.genesis), None),
        chain_id=next((last.chain_id for last in lasts if last.chain_id is not None), None),
    )


def _highest(samples: t.Sequence[NodeSample]) -> NodeSample:
    return max(samples, key=lambda sample: sample.number or 0)


def _set_from(samples: t.Sequence[NodeSample]) -> NodeSample:
    """The highest node that reports the validator set: not every node has the QBFT or IBFT API."""
    informed = [sample for sample in samples if sample.next_validators or sample.validators]
    return _highest(informed or samples)


def _age(sample: NodeSample) -> float | None:
    return None if sample.head_time is None else sample.wall - sample.head_time


def _unknown_silent(looks: t.Sequence[Pair]) -> int:
    """How many nodes did not answer, and are not known by address."""
    return sum(1 for first, last in looks if last.rpc != "ok" and not (last.address or first.address))


def _last_proposed(samples: t.Iterable[NodeSample]) -> dict[str, int]:
    """The last block of each proposer. The signer metrics leave out the head, whose proposer is in the block."""
    proposed: dict[str, int] = {}
    for sample in samples:
        made = dict(sample.last_proposed or {})
        if sample.head and sample.head.miner:
            made[sample.head.miner] = sample.head.number
        for address, number in made.items():
            proposed[address] = max(number, proposed.get(address, 0))
    return proposed


def _linked(samples: t.Iterable[NodeSample]) -> frozenset[str]:
    """Everybody whom one of these nodes has as a peer."""
    return frozenset(peer.address for sample in samples for peer in sample.peers or () if peer.address)


def _versions(samples: t.Sequence[NodeSample]) -> dict[str, str]:
    """Address -> version; what a node reports of itself counts more than what its peers report."""
    found = {p.address: p.version for sample in samples for p in sample.peers or () if p.address and p.version}
    return {**found, **{sample.address: sample.version for sample in samples if sample.address and sample.version}}


def _followers(looks: t.Sequence[Pair], best: int) -> dict[str, bool]:
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
    return _fork(samples)


def _fork(samples: t.Sequence[NodeSample]) -> str:
    hashes: dict[int, set[str]] = {}
    for sample in samples:
        if sample.head and sample.head.hash:
            hashes.setdefault(sample.head.number, set()).add(sample.head.hash)
    forked = [number for number, found in hashes.items() if len(found) > 1]
    return f"there are two blocks {forked[0]}" if forked else ""
