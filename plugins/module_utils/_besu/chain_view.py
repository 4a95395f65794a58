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

# Nodes whose heads differ by so little report on the same chain at the same moment.
_LEVEL = 2
# A validator whose head is further behind than this does not vote on the next block.
_MAY_LAG = 1
# Seconds that may pass between the moments of which the answers to one round of requests tell.
_SPREAD = 0.3

_T = t.TypeVar("_T")
# An earlier and a later sample of one node.
Pair = tuple[NodeSample, NodeSample]


@dataclass(frozen=True)
class ChainView:
    """What two samples each of some nodes of one chain show together.

    ``genesis`` and ``chain_id``: of those that answered, where they agree.
    ``followers``: nodes that were asked themselves, by address -> whether they
    have the head that the others have and at least one peer.
    ``links``: of the followers that report their peers, by address: the
    addresses of these peers. ``witnessed``: the peers of each node that is
    level, whether its own address is known or not.
    ``hangers_on``: followers that have one peer and do not say which one.
    ``proposers``: who proposed a block since the first samples, with the version that it has in the last ones.
    ``doubtful``: how many nodes that are not known by address do not answer,
    lag or have no peers: each may be a validator that was not asked by address.
    """

    validators: tuple[str, ...] | None = None
    next_validators: tuple[str, ...] | None = None
    first_head: int | None = None
    head: int | None = None
    head_age: float | None = None
    last_proposed: t.Mapping[str, int] = field(default_factory=dict)
    proposed_to: int = 0
    followers: t.Mapping[str, bool] = field(default_factory=dict)
    links: t.Mapping[str, frozenset[str]] = field(default_factory=dict)
    witnessed: tuple[frozenset[str], ...] = ()
    hangers_on: frozenset[str] = frozenset()
    versions: t.Mapping[str, str] = field(default_factory=dict)
    proposers: frozenset[str] = frozenset()
    disagreement: str = ""
    observers: int = 0
    doubtful: int = 0
    genesis: str | None = None
    chain_id: int | None = None

    @property
    def linked(self) -> frozenset[str]:
        """All peers of the nodes that are level."""
        return frozenset().union(*self.witnessed)

    @property
    def moved(self) -> bool:
        """Whether the head was seen to advance."""
        return self.head is not None and self.first_head is not None and self.head > self.first_head


def chain_view(pairs: t.Sequence[Pair]) -> ChainView:
    """Put together what several nodes report; of each an earlier and a later sample."""
    asked = [pair for pair in pairs if _has_head(pair[1])]
    if not asked:
        return ChainView()
    lasts = _later(asked)
    best = _highest(lasts)
    top = [pair for pair in asked if _is_near(pair[1], best)]
    ends = _later(top)
    level = [last for last in ends if _follows(last, best)]
    teller = _set_from(ends)
    first_head, proposed = _first_head(asked), _last_proposed(_all_samples(top))
    return ChainView(
        validators=teller.validators,
        next_validators=teller.next_validators or teller.validators,
        first_head=first_head,
        head=best.number,
        head_age=_age(_highest(ends)),
        last_proposed=proposed,
        proposed_to=max(last.proposed_to or 0 for last in ends),
        followers=_followers(pairs, best),
        links=_links(level),
        witnessed=_witnessed(level),
        hangers_on=_hangers_on(level),
        versions=_versions(lasts),
        proposers=_proposers(asked, proposed, first_head),
        disagreement=_disagreement(_all_samples(pairs), ends),
        observers=len(asked),
        doubtful=_doubtful(pairs, best),
        genesis=_first_known(last.genesis for last in lasts),
        chain_id=_first_known(last.chain_id for last in lasts),
    )


def _later(pairs: t.Sequence[Pair]) -> list[NodeSample]:
    return [last for _first, last in pairs]


def _all_samples(pairs: t.Sequence[Pair]) -> list[NodeSample]:
    return [sample for pair in pairs for sample in pair]


def _witnessed(level: t.Sequence[NodeSample]) -> tuple[frozenset[str], ...]:
    return tuple(_peers_of(sample) for sample in level if sample.peers)


def _has_head(sample: NodeSample) -> bool:
    return sample.rpc == "ok" and sample.number is not None


def _is_near(sample: NodeSample, best: NodeSample) -> bool:
    return (sample.number or 0) >= (best.number or 0) - _LEVEL - _grown(sample, best)


def _first_head(asked: t.Sequence[Pair]) -> int | None:
    return max((first.number for first, _last in asked if first.number is not None), default=None)


def _links(level: t.Sequence[NodeSample]) -> dict[str, frozenset[str]]:
    return {one.address: _peers_of(one) for one in level if one.address and one.peers is not None}


def _hangers_on(level: t.Sequence[NodeSample]) -> frozenset[str]:
    named = {one.address for one in level if one.peers is not None}
    return frozenset(one.address for one in level if one.address and one.connected == 1 and one.address not in named)


def _doubtful(pairs: t.Sequence[Pair], best: NodeSample) -> int:
    return sum(1 for pair in pairs if not _address(pair) and not _follows(pair[1], best))


def _first_known(values: t.Iterable[_T | None]) -> _T | None:
    return next((value for value in values if value is not None), None)


def _follows(sample: NodeSample, best: NodeSample) -> bool:
    """Whether a node answers, has the head that the others have, and has anybody to talk to (or is the only node)."""
    if not _has_head(sample):
        return False
    if sample.connected == 0 and sample.next_validators != (sample.address,):
        return False
    return (sample.number or 0) >= (best.number or 0) - _MAY_LAG - _grown(sample, best)


def _grown(sample: NodeSample, best: NodeSample) -> int:
    """How many blocks the chain may have made between the answers of two nodes that were asked together."""
    period = best.period or sample.period
    return int((max(best.at - sample.at, 0.0) + _SPREAD) / period) if period else 0


def _peers_of(sample: NodeSample) -> frozenset[str]:
    return frozenset(peer.address for peer in sample.peers or () if peer.address)


def _address(pair: Pair) -> str | None:
    first, last = pair
    return last.address or first.address


def _highest(samples: t.Sequence[NodeSample]) -> NodeSample:
    return max(samples, key=lambda sample: sample.number or 0)


def _set_from(samples: t.Sequence[NodeSample]) -> NodeSample:
    """The highest node that reports the validator set: not every node has the QBFT or IBFT API."""
    informed = [sample for sample in samples if sample.next_validators or sample.validators]
    return _highest(informed or samples)


def _age(sample: NodeSample) -> float | None:
    return None if sample.head_time is None else sample.wall - sample.head_time


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


def _proposers(asked: t.Sequence[Pair], proposed: t.Mapping[str, int], first_head: int | None) -> frozenset[str]:
    """Whose last block is younger than the first samples; one of another version since then may have made it before."""
    then, now = _versions([first for first, _last in asked]), _versions([last for _first, last in asked])
    since = {node for node, number in proposed.items() if first_head is not None and number > first_head}
    return frozenset(node for node in since if node in now and then.get(node) == now[node])


def _versions(samples: t.Sequence[NodeSample]) -> dict[str, str]:
    """Address -> version; what a node reports of itself counts more than what its peers report."""
    found = {p.address: p.version for sample in samples for p in sample.peers or () if p.address and p.version}
    return {**found, **{sample.address: sample.version for sample in samples if sample.address and sample.version}}


def _followers(pairs: t.Sequence[Pair], best: NodeSample) -> dict[str, bool]:
    """A node that was asked by two URLs follows if either answer shows it: one URL may be closed."""
    found: dict[str, bool] = {}
    for pair in pairs:
        address = _address(pair)
        if address:
            found[address] = found.get(address, False) or _follows(pair[1], best)
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
