# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One sample of a Besu node, and how it is gathered: one HTTP request each.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

A value that could not be had is None and its outcome is in ``outcomes``;
what a peer sends is checked for type and size before it is believed.
Times: ``at`` is CLOCK_MONOTONIC, ``wall`` and block timestamps are seconds
since the epoch.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import metrics as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import (
    BftConfig,
    Block,
    NonBftConfig,
    Peer,
    Syncing,
    address_of,
    addresses,
    bft_config,
    block,
    count_of,
    decimal,
    get,
    hash_of,
    hex_number,
    non_bft_config,
    peers,
    signers,
    syncing_of,
    version_of,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.rpc_answers import (
    NOT_EXECUTED,
    Call,
    RpcAnswer,
    RpcEndpoint,
)

_NOBODY = "0x" + "00" * 20
# Over how many blocks the period is measured, and the fewest that tell it. Block 0 has any timestamp.
_MEASURED_BLOCKS, LEAST_BLOCKS = 32, 4
# How many blocks may be made between the answers to the calls of one batch.
_MADE_MEANWHILE = 100
# Seconds of a slot of mainnet and its test networks.
_SLOT = 12.0

# Label -> call. The labels of calls with one form are their methods.
LIVE: dict[str, Call] = {
    "eth_syncing": ("eth_syncing", ()),
    "head": ("eth_getBlockByNumber", ("latest", False)),
    "net_peerCount": ("net_peerCount", ()),
    "net_enode": ("net_enode", ()),
    "admin_peers": ("admin_peers", ()),
    "state": ("eth_getBalance", (_NOBODY, "latest")),
}
# What does not change while a process lives.
STATIC: dict[str, Call] = {
    "eth_chainId": ("eth_chainId", ()),
    "net_version": ("net_version", ()),
    "genesis": ("eth_getBlockByNumber", ("0x0", False)),
    "web3_clientVersion": ("web3_clientVersion", ()),
    "admin_nodeInfo": ("admin_nodeInfo", ()),
}
CONSENSUS_GROUPS = ("qbft", "ibft")


def consensus_calls(group: str) -> dict[str, Call]:
    """The calls of a consensus API group. Without parameters the metrics cover the last 100 blocks but the head."""
    return {
        f"{group}:latest": (f"{group}_getValidatorsByBlockNumber", ("latest",)),
        f"{group}:pending": (f"{group}_getValidatorsByBlockNumber", ("pending",)),
        f"{group}:signers": (f"{group}_getSignerMetrics", ()),
    }


@dataclass(frozen=True)
class NodeSample:
    """One sample. ``rpc``: the outcome of the request as a whole; ``outcomes``: of the calls that were not ok.

    ``proposed_to``: up to which block ``last_proposed`` and the head's miner know.
    ``made``: the block that it had proposed last at an earlier sample.
    ``measured_period``: seconds between blocks by their timestamps, where the node does not tell the block period.
    """

    at: float
    wall: float
    rpc: str = "refused"
    rpc_message: str = ""
    outcomes: t.Mapping[str, str] = field(default_factory=dict)
    head: Block | None = None
    genesis: str | None = None
    chain_id: int | None = None
    network_id: int | None = None
    peer_count: int | None = None
    peers: tuple[Peer, ...] | None = None
    said_in_sync: bool | None = None
    syncing: Syncing | None = None
    version: str | None = None
    address: str | None = None
    p2p: str | None = None
    bft: BftConfig | None = None
    non_bft: NonBftConfig | None = None
    group: str | None = None
    validators: tuple[str, ...] | None = None
    next_validators: tuple[str, ...] | None = None
    last_proposed: t.Mapping[str, int] | None = None
    proposed_to: int | None = None
    made: Block | None = None
    measured_period: float | None = None
    state_available: bool | None = None
    metrics: t.Mapping[str, float] | None = None
    metrics_outcome: str | None = None
    p2p_open: bool | None = None

    @property
    def number(self) -> int | None:
        """The height, from RPC or else from the metrics."""
        return self.head.number if self.head else _whole(self.metric(m.HEIGHT))

    @property
    def head_time(self) -> float | None:
        return float(self.head.timestamp) if self.head else self.metric(m.HEAD_TIMESTAMP)

    @property
    def period(self) -> float | None:
        """The block period as the node tells it, or else as its blocks show it."""
        config = self.bft or self.non_bft
        reported = (config.block_period if config else None) or self.measured_period
        return reported or (_SLOT if self.is_execution_client else None)

    @property
    def is_execution_client(self) -> bool:
        """Whether a consensus client drives it: blocks since the merge have no difficulty, others have one."""
        # Not what its genesis file names: that of mainnet still has proof of work, that of Linea has Clique.
        return self.group is None and self.head is not None and self.head.number > 0 and self.head.difficulty == 0

    @property
    def has_no_quorum(self) -> bool:
        """Whether no quorum of validators agrees on its blocks, so that there is none to protect."""
        return self.is_execution_client or self.non_bft is not None

    @property
    def connected(self) -> int | None:
        """How many peers: the longer list is the newer one, as net_peerCount and admin_peers differ for a moment."""
        known = [n for n in (self.peer_count, None if self.peers is None else len(self.peers)) if n is not None]
        return max(known) if known else _whole(self.metric(m.PEERS))

    @property
    def best_known(self) -> int | None:
        """The highest block that this node has heard of, its own included; None where nothing tells."""
        found = [peer.height for peer in self.peers or () if peer.height is not None]
        found += [self.syncing.highest] if self.syncing else []
        metric = _whole(self.metric(m.BEST_KNOWN))
        found += [metric] if metric is not None else []
        return max(found) if found else None

    def metric(self, name: str) -> float | None:
        return self.metrics.get(name) if self.metrics else None


def _whole(value: float | None) -> int | None:
    return int(value) if value is not None and 0 <= value < 2**63 else None


def read_sample(
    client: RpcEndpoint,
    *,
    at: float,
    wall: float,
    before: NodeSample | None = None,
    own: str | None = None,
    metrics_client: RpcEndpoint | None = None,
    p2p_probe: t.Callable[[], bool] | None = None,
) -> NodeSample:
    """Take one sample. ``before``: an earlier sample of the same process, whose unchanging answers are kept.

    ``own``: the node's address where that is known: when it last proposed a block is asked then.

    The metrics (at the client's own URL) are asked where RPC does not answer;
    the p2p port is tried there too, because it opens last: open, it means that
    RPC is switched off.
    """
    calls = _calls(before)
    past = past_block(before)
    if past is not None:
        calls["past"] = ("eth_getBlockByNumber", (hex(past), False))
    last = last_proposed(before, own) if before is not None and own else None
    if last is not None:
        calls["made"] = ("eth_getBlockByNumber", (hex(last), False))
    answers = dict(zip(calls, client.batch(list(calls.values()))))
    values: dict[str, t.Any] = {}
    if metrics_client is not None and not _any_ok(answers):
        outcome, status, text = metrics_client.get("")
        values["metrics_outcome"] = outcome
        values["metrics"] = m.parse(text) if outcome == "ok" and status == 200 else None
    if p2p_probe is not None and not _any_ok(answers):
        values["p2p_open"] = p2p_probe()
    return sample_from(answers, at=at, wall=wall, before=before, **values)


def last_proposed(sample: NodeSample, address: str) -> int | None:
    """The last block that ``address`` proposed. The metrics leave out the head."""
    if sample.head is not None and sample.head.miner == address:
        return sample.head.number
    return sample.last_proposed.get(address) if sample.last_proposed else None


def _calls(before: NodeSample | None) -> dict[str, Call]:
    calls = dict(LIVE)
    if before is None or before.genesis is None or before.version is None or before.bft is None:
        calls.update(STATIC)
    if before is not None and before.group:
        return {**calls, **consensus_calls(before.group)}
    for group in CONSENSUS_GROUPS:
        calls.update(consensus_calls(group))
    return calls


def past_block(before: NodeSample | None) -> int | None:
    """The block to measure the block period from, for a node that does not tell it."""
    if before is None or before.measured_period or (before.bft and before.bft.block_period):
        return None
    if before.number is None or before.number < LEAST_BLOCKS:
        return None
    return max(before.number - _MEASURED_BLOCKS, 1)


def measured_period(head: Block | None, past: Block | None) -> float | None:
    """Seconds between blocks by their timestamps; None where they are too few to tell."""
    if head is None or past is None or head.number - past.number < LEAST_BLOCKS - 1:
        return None
    return max(head.timestamp - past.timestamp, 0) / (head.number - past.number) or None


def _any_ok(answers: t.Mapping[str, RpcAnswer]) -> bool:
    return any(answer.outcome == "ok" for answer in answers.values())


def sample_from(
    answers: t.Mapping[str, RpcAnswer], *, at: float, wall: float, before: NodeSample | None = None, **values: t.Any
) -> NodeSample:
    """The sample that a set of answers makes. Pure."""
    results = {label: answer.result for label, answer in answers.items() if answer.outcome == "ok"}
    whole, message = _whole_outcome(answers)
    head = block(results.get("head"))
    bft = bft_config(results.get("admin_nodeInfo")) or _kept(before, "bft")
    group = _group(answers, bft) or _kept(before, "group")
    other = non_bft_config(results.get("admin_nodeInfo")) or _kept(before, "non_bft")
    return NodeSample(
        at=at,
        wall=wall,
        rpc=whole,
        rpc_message=message,
        outcomes={label: answer.outcome for label, answer in answers.items() if answer.outcome != "ok"},
        head=head,
        bft=bft,
        non_bft=None if group else other,  # the genesis file of a chain with validators may name another consensus, too
        made=block(results.get("made")),
        measured_period=measured_period(head, block(results.get("past"))) or _kept(before, "measured_period"),
        state_available=_state(answers.get("state")),
        p2p=_p2p(answers),
        **_identity(results, head, before),
        **_company(results),
        **_consensus(results, head, group, bft is not None),
        **values,
    )


def _identity(results: t.Mapping[str, t.Any], head: Block | None, before: NodeSample | None) -> dict[str, t.Any]:
    """Who the node is, and on which chain: what was told once is kept."""
    node_info = results.get("admin_nodeInfo")
    enode = results.get("net_enode") or get(node_info, "enode") or get(node_info, "id")
    version = version_of(results.get("web3_clientVersion")) or version_of(get(node_info, "name"))
    return {
        "genesis": _genesis(node_info, block(results.get("genesis")), head) or _kept(before, "genesis"),
        "chain_id": _first(hex_number(results.get("eth_chainId")), _kept(before, "chain_id")),
        "network_id": _first(decimal(results.get("net_version")), _kept(before, "network_id")),
        "version": version or _kept(before, "version"),
        "address": _first(address_of(enode) if isinstance(enode, str) else None, _kept(before, "address")),
    }


def _company(results: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """How many others it knows, and whether it says that it is behind them."""
    syncing = results.get("eth_syncing")
    return {
        "peer_count": count_of(results.get("net_peerCount")),
        "said_in_sync": None if syncing is None else syncing is False,
        "syncing": syncing_of(syncing),
    }


def _consensus(results: t.Mapping[str, t.Any], head: Block | None, group: str | None, bft: bool) -> dict[str, t.Any]:
    """The validators, and who of them proposed what. Heights of peers can be told from difficulties on such chains."""
    made = _believable(signers(results.get(f"{group}:signers")), head)
    return {
        "group": group,
        "peers": peers(results.get("admin_peers"), bft or group is not None),
        "validators": addresses(results.get(f"{group}:latest")),
        "next_validators": addresses(results.get(f"{group}:pending")),
        "last_proposed": made,
        "proposed_to": head.number if head is not None and made is not None else None,
    }


def _believable(made: dict[str, int] | None, head: Block | None) -> dict[str, int] | None:
    """The last blocks that were proposed, without those far above the head: no batch takes so many blocks."""
    if made is None or head is None:
        return made
    return {address: number for address, number in made.items() if number <= head.number + _MADE_MEANWHILE}


def _genesis(node_info: t.Any, genesis: Block | None, head: Block | None) -> str | None:
    """The hash of block 0."""
    reported = hash_of(get(get(get(node_info, "protocols"), "eth"), "genesis"))
    zero = genesis or _when_zero(head)
    return reported or (zero.hash if zero else None)


def _whole_outcome(answers: t.Mapping[str, RpcAnswer]) -> tuple[str, str]:
    """How the request as a whole went: ok as soon as one call was answered about the node.

    That a method is off is told to anybody, with a token that has died as well.
    """
    outcomes = [answer.outcome for answer in answers.values()]
    if not outcomes:
        return "refused", ""
    if "ok" in outcomes or "rpc_error" in outcomes:
        return "ok", ""
    unauthorized = next((answer for answer in answers.values() if answer.outcome == "unauthorized"), None)
    if unauthorized is None and ("not_enabled" in outcomes or "unknown_method" in outcomes):
        return "ok", ""
    first = unauthorized or next(iter(answers.values()))
    return first.outcome, first.message


def _group(answers: t.Mapping[str, RpcAnswer], bft: BftConfig | None) -> str | None:
    for group in CONSENSUS_GROUPS:
        answer = answers.get(f"{group}:latest")
        if answer is not None and answer.outcome == "ok":
            return group
    return bft.group if bft else None


def _when_zero(head: Block | None) -> Block | None:
    return head if head is not None and head.number == 0 else None


def _kept(before: NodeSample | None, name: str) -> t.Any:
    return getattr(before, name) if before is not None else None


def _first(*values: t.Any) -> t.Any:
    return next((value for value in values if value is not None), None)


def _p2p(answers: t.Mapping[str, RpcAnswer]) -> str | None:
    """``running``, ``starting`` or ``disabled``: net_enode and admin_nodeInfo say so by their errors."""
    for label in ("net_enode", "admin_nodeInfo"):
        answer = answers.get(label)
        if answer is not None and answer.outcome == "ok":
            return "running"
        if answer is not None and answer.outcome == "rpc_error":
            # What stands before a node may have disabled the method.
            if "p2p" in answer.message.lower() and "disabled" in answer.message:
                return "disabled"
            if "not running" in answer.message:
                return "starting"
    return None


def _state(answer: RpcAnswer | None) -> bool | None:
    """Whether the world state of the head is there; it is not before a SNAP sync ends."""
    if answer is None or answer.outcome not in ("ok", "rpc_error") or answer.code in NOT_EXECUTED:
        return None
    return answer.outcome == "ok" and answer.result is not None
