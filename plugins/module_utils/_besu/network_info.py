# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples many RPC endpoints at once: the state of each node, and of their networks.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Two rounds of one HTTP request for each endpoint. All of them wait side by
side, so that those that hang cost their time-out once. In the second round
every node is asked for one block that all of a network must have: a fork shows
whatever their heads are.
"""

from __future__ import annotations

import threading
import typing as t
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import chain_view as cv
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum as q
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.classify import classify
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.history import (
    APART,
    SampleHistory,
    append_sample,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import BesuLog
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import (
    LIVE,
    NodeSample,
    measured_period,
    past_block,
    read_sample,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import (
    Block,
    block,
    hex_number,
    syncing_of,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.rpc import RpcClient
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import (
    FUTURE,
    STALL_PERIODS,
    BesuVerdict,
    NodeOptions,
    NodeView,
    Reference,
    UnitStatus,
    timing,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock

_MAX_THREADS = 512
_STACK = 256 * 1024
# Nodes further behind than this are not asked for the block that all must have.
_NEAR = 64
_LIGHT = ("head", "eth_syncing", "net_peerCount")
# Seconds for which a head that is too old is watched at most: it stands, or the clock is wrong.
_LONGEST_WATCH = 120.0
_NO_QUORUM = "no quorum of validators decides on blocks here, and no quorum guard applies"


@dataclass
class Endpoint:
    """One node to sample, and its samples."""

    name: str
    client: RpcClient
    first: NodeSample | None = None
    last: NodeSample | None = None
    common: Block | None = None

    @property
    def key(self) -> str | None:
        """What distinguishes one network from another: block 0, or else the chain id."""
        sample = self.first
        if sample is None or sample.rpc != "ok":
            return None
        return sample.genesis or (f"chain id {sample.chain_id}" if sample.chain_id is not None else None)


def survey(
    endpoints: t.Sequence[Endpoint], options: NodeOptions, clock: Clock, interval: float = 1.0
) -> dict[str, t.Any]:
    """Sample all ``endpoints`` twice, ``interval`` seconds apart, and return the result. Fills them in."""
    with _threads(len(endpoints)) as pool:
        _two_samples(pool, endpoints, clock, max(interval, APART))
        _watch_old_heads(pool, endpoints, options, clock)
    for one in endpoints:
        one.client.close()
    networks = _by_network(_answered(endpoints))
    silent = [one for one in endpoints if one.key is None]
    return {
        "nodes": [_node(one, networks.get(one.key or "", []), options) for one in endpoints],
        "networks": [_network(key, members, silent, options) for key, members in sorted(networks.items())],
        "unobserved": [one.name for one in silent],
    }


def _two_samples(pool: ThreadPoolExecutor, endpoints: t.Sequence[Endpoint], clock: Clock, interval: float) -> None:
    first_samples = {pool.submit(_take_sample, one, clock): one for one in endpoints}
    began = clock.monotonic()
    done, slow = wait(first_samples, timeout=interval)
    clock.sleep(max(began + interval - clock.monotonic(), 0.0))
    common = _common_heights(_answered(first_samples[future] for future in done))
    # Nodes that answered are sampled again while the slow ones still have time.
    again = [
        pool.submit(_sample_again, one, common.get(one.key or ""), clock)
        for one in _answered(first_samples[future] for future in done)
    ]
    wait([*slow, *again])
    late = _answered(first_samples[future] for future in slow)
    if late:
        clock.sleep(APART)
        again += [pool.submit(_sample_again, one, common.get(one.key or ""), clock) for one in late]
    for future in (*first_samples, *again):
        future.result()


def _watch_old_heads(
    pool: ThreadPoolExecutor, endpoints: t.Sequence[Endpoint], options: NodeOptions, clock: Clock
) -> None:
    """Sample networks again whose head has no reliable age, until it moves or was watched for long enough."""
    began = clock.monotonic()
    while True:
        old = [
            (one, pace)
            for members in _by_network(_answered(endpoints)).values()
            for pace in [_pace(members, options)]
            if _is_old(members, pace)
            for one in members
        ]
        needed = max((_stall_watch(pace) for _one, pace in old), default=0.0)
        watched = min((_watched(one) for one, _pace_ in old), default=0.0)
        left = min(needed - watched, began + _LONGEST_WATCH - clock.monotonic())
        if not old or left <= 0:
            return
        clock.sleep(min(left, max(needed / 4, APART)))
        for future in [pool.submit(_sample_again, one, None, clock) for one, _pace_ in old]:
            future.result()


def _stall_watch(pace: q.ChainTiming) -> float:
    """For how many seconds a head that is too old has to stay before the chain is called stalled."""
    return min(STALL_PERIODS * max(pace.period, pace.quiet), _LONGEST_WATCH)


def _watched(one: Endpoint) -> float:
    return one.last.at - one.first.at if one.first and one.last else 0.0


def _is_old(members: t.Sequence[Endpoint], pace: q.ChainTiming) -> bool:
    view = cv.chain_view([(one.first, one.last) for one in members if one.first and one.last])
    return not view.moved and view.head_age is not None and not -FUTURE <= view.head_age <= pace.age_limit


@contextmanager
def _threads(count: int) -> t.Iterator[ThreadPoolExecutor]:
    """A thread for each endpoint, as they only wait; with small stacks, because there may be many."""
    before = threading.stack_size(_STACK)
    try:
        with ThreadPoolExecutor(max_workers=max(min(count, _MAX_THREADS), 1)) as pool:
            yield pool
    finally:
        threading.stack_size(before)


def _answered(endpoints: t.Iterable[Endpoint]) -> list[Endpoint]:
    return [one for one in endpoints if one.first is not None and one.first.rpc == "ok"]


def _take_sample(one: Endpoint, clock: Clock) -> None:
    at, wall = clock.monotonic(), clock.wall()
    one.first = one.last = read_sample(one.client, at=at, wall=wall)


def _sample_again(one: Endpoint, height: int | None, clock: Clock) -> None:
    """Only what changes, the block at ``height``, and one to measure the block period from where it is not told."""
    first = one.first
    calls = {label: LIVE[label] for label in _LIGHT}
    if height is not None:
        calls["common"] = ("eth_getBlockByNumber", (hex(height), False))
    past = past_block(first)
    if past is not None:
        calls["past"] = ("eth_getBlockByNumber", (hex(past), False))
    at, wall = clock.monotonic(), clock.wall()
    answers = dict(zip(calls, one.client.batch(list(calls.values()))))
    head = answers["head"]
    if first is None or head.outcome != "ok":
        one.last = NodeSample(at, wall, head.outcome, head.message, address=first.address if first else None)
        return
    found = {label: answer.result for label, answer in answers.items() if answer.outcome == "ok"}
    newest, syncing = block(head.result), found.get("eth_syncing")
    one.last = replace(
        first,
        at=at,
        wall=wall,
        head=newest,
        said_in_sync=None if syncing is None else syncing is False,
        syncing=syncing_of(syncing),
        peer_count=hex_number(found["net_peerCount"]) if "net_peerCount" in found else first.peer_count,
        measured_period=measured_period(newest, block(found.get("past"))) or first.measured_period,
    )
    if height is not None:
        one.common = block(found.get("common"))


def _common_heights(answered: t.Sequence[Endpoint]) -> dict[str, int]:
    """For each network a block that all of its nodes should have, but for those far behind."""
    heights: dict[str, list[int]] = {}
    for one in answered:
        if one.first is not None and one.first.number is not None and one.key is not None:
            heights.setdefault(one.key, []).append(one.first.number)
    return {key: min(n for n in found if n >= max(found) - _NEAR) for key, found in heights.items()}


def _by_network(answered: t.Sequence[Endpoint]) -> dict[str, list[Endpoint]]:
    networks: dict[str, list[Endpoint]] = {}
    for one in answered:
        if one.key is not None:
            networks.setdefault(one.key, []).append(one)
    return networks


def _track(one: Endpoint) -> SampleHistory:
    first = one.first or NodeSample(0.0, 0.0)
    track = append_sample(None, first, "")
    return append_sample(track, one.last, "") if one.last is not None and one.last is not first else track


def _best(members: t.Sequence[Endpoint]) -> NodeSample | None:
    """The sample with the highest head."""
    samples = [one.last for one in members if one.last is not None and one.last.number is not None]
    return max(samples, key=lambda sample: sample.number or 0) if samples else None


def _judged(one: Endpoint, members: t.Sequence[Endpoint], options: NodeOptions) -> BesuVerdict:
    best = _best(members)
    others = [Reference("the others", best.number)] if best is not None and len(members) > 1 else []
    tip = q.tip_of(one.last for one in members if one.last is not None)
    others += [Reference("the validators", tip.number, tip=True)] if tip is not None else []
    return classify(UnitStatus(), _track(one), options, others)


def _node(one: Endpoint, members: t.Sequence[Endpoint], options: NodeOptions) -> dict[str, t.Any]:
    verdict = _judged(one, members, options)
    return {
        "name": one.name,
        "url": one.client.url.safe,
        "state": verdict.state,
        "base_state": verdict.base_state,
        "cause": verdict.cause,
        "reasons": list(verdict.reasons),
        **{key: value for key, value in verdict.details.items() if key not in ("validators", "rounds")},
    }


def _network(
    key: str, members: t.Sequence[Endpoint], silent: t.Sequence[Endpoint], options: NodeOptions
) -> dict[str, t.Any]:
    # A node that does not answer may belong to any network.
    view = cv.chain_view([(one.first, one.last) for one in (*members, *silent) if one.first and one.last])
    pace = _pace(members, options)
    best = _best(members)
    return {
        "genesis": key if key.startswith("0x") else None,
        "nodes": [one.name for one in members],
        "block_period": options.block_period or (best.period if best else None),
        **_progress(members, view, pace),
        **_quorum(members, view, pace),
        **_differences(members, view, options.lag_blocks),
    }


def _progress(members: t.Sequence[Endpoint], view: cv.ChainView, pace: q.ChainTiming) -> dict[str, t.Any]:
    """Where the chain is, whether it advances, and whether it was watched for long enough to call it stalled."""
    best = _best(members)
    # An execution client gets its blocks from its consensus client: where that is silent the chain goes on elsewhere.
    driven = best is not None and best.is_execution_client
    return {
        "chain_id": view.chain_id,
        "head": view.head,
        "head_age": None if view.head_age is None else round(view.head_age, 1),
        "advances": view.moved,
        "stalled": not driven and _is_old(members, pace) and min(map(_watched, members)) >= _stall_watch(pace),
        "last_proposed": dict(view.last_proposed),
    }


def _quorum(members: t.Sequence[Endpoint], view: cv.ChainView, pace: q.ChainTiming) -> dict[str, t.Any]:
    """Which validators take part, and how many more may stop."""
    verdict, best = q.spare_validators(view, pace), _best(members)
    names = {one.first.address: one.name for one in members if one.first and one.first.address}
    nobody_votes = best is not None and best.has_no_quorum
    return {
        "has_quorum": not nobody_votes,
        "validators": list(view.next_validators or ()),
        "quorum": verdict.quorum,
        "may_be_down": q.may_be_down(verdict.members),
        "taking_part": [{"address": a, "node": names.get(a)} for a in verdict.taking_part],
        "missing": [{"address": a, "node": names.get(a), "why": why} for a, why in sorted(verdict.missing.items())],
        "may_stop": verdict.may_stop,
        "which": [names.get(a, a) for a in verdict.which],
        "arithmetic": "no quorum decides" if nobody_votes else verdict.arithmetic,
        "reason": _NO_QUORUM if nobody_votes else verdict.reason,
    }


def _differences(members: t.Sequence[Endpoint], view: cv.ChainView, tolerance: int) -> dict[str, t.Any]:
    """What the nodes differ in: blocks, heights, versions."""
    heads = {one.name: one.last.number for one in members if one.last and one.last.number is not None}
    best = view.head or 0
    return {
        "forks": _forks(members),
        "laggards": {name: best - number for name, number in heads.items() if best - number > tolerance},
        "versions": dict(Counter(one.first.version for one in members if one.first and one.first.version)),
        "incompatible_versions": q.incompatible(view.versions, view.next_validators or ()),
    }


def _pace(members: t.Sequence[Endpoint], options: NodeOptions) -> q.ChainTiming:
    best = _best(members)
    if best is None:
        return q.ChainTiming()
    return timing(
        options, best, NodeView(UnitStatus(), append_sample(None, best, ""), options, (), BesuLog()).age_limit
    )


def _forks(members: t.Sequence[Endpoint]) -> list[dict[str, t.Any]]:
    """Different blocks at one height: at the common one, and wherever heads are at the same height."""
    found: dict[int, dict[str, list[str]]] = {}
    for one in members:
        blocks = [one.common, one.last.head if one.last else None]
        for header in {b.number: b for b in blocks if b is not None and b.hash}.values():
            found.setdefault(header.number, {}).setdefault(header.hash, []).append(one.name)
    return [
        {"block": number, "hashes": [{"hash": h, "nodes": names} for h, names in sorted(hashes.items())]}
        for number, hashes in sorted(found.items())
        if len(hashes) > 1
    ]
