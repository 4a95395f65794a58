# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restart of all validators of a stalled chain at the same time: the stages, and the vote on it. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

Start the missing nodes, wait until all heads are equal, ask every validator,
restart those that agreed, see that each node is back. Invariant: the validators
are restarted only if as many agree as the quorum has, and nobody is against it.
Otherwise a chain that has just begun to advance would be stopped again.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._besu_networks import find_network
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    ObservationView,
    ServiceResult,
    as_mapping,
    as_mappings,
    as_number,
    as_text,
    as_texts,
)

# A node with one of these runs, and a start of it alone helps nobody.
_OF_THE_CHAIN = ("chain_stalled", "no_peers")


@dataclass(frozen=True)
class Stage:
    """Where the restart of a chain has come to on one host, and what follows."""

    stalled: bool
    start: bool
    settled: bool
    ask: bool
    vote: t.Mapping[str, t.Any]
    restart: bool
    verify: bool
    step: t.Mapping[str, t.Any]
    reason: str

    def as_dict(self) -> dict[str, t.Any]:
        return {**vars(self)}


def has_run(result: t.Any) -> bool:
    """Whether a task was executed: its registered result is neither empty nor that of a skipped one."""
    given = as_mapping(result)
    return bool(given) and not given.get("skipped")


def stage(
    look: t.Mapping[str, t.Any], service: t.Mapping[str, t.Any], so_far: t.Mapping[str, t.Any], check_mode: bool = False
) -> dict[str, t.Any]:
    """The stage after ``look``, the newest one that besu_network_info returned; its first node is the host's own.

    ``so_far``: the registered results ``start`` and ``asked``, the ``votes``
    of all hosts, and the ``turn``, the ``host`` and the ``obstacle`` that
    restart_all_check found, if any.
    """
    seen = ObservationView.from_dict(service.get("seen"))
    network = find_network(look, as_text(seen.details.get("genesis")) or None) or {}
    obstacle = as_text(so_far.get("obstacle"))
    start, asked = as_mapping(so_far.get("start")), as_mapping(so_far.get("asked"))
    # In check mode nothing has been started, so that nothing follows.
    came_up = not has_run(start) or (bool(start.get("reached")) and not check_mode)
    known_stalled = bool(network.get("stalled"))
    agreed, reason = _decision(so_far, network)
    vote = _vote(asked, network, so_far) if has_run(asked) else {}
    own = as_mapping(so_far.get("vote"))
    acts = not obstacle and came_up and not check_mode
    return Stage(
        # Where nobody answers nothing can be taken offline: the chain counts as stalled.
        stalled=known_stalled if network else not as_mappings(look.get("networks")),
        start=not obstacle and seen.cause not in _OF_THE_CHAIN and (known_stalled or seen.process_is_down),
        settled=check_mode or bool(network.get("advances")) or (_is_level(look, network) and _answers(look, start)),
        ask=not obstacle and came_up and known_stalled and _votes(look, seen, network),
        vote=vote,
        restart=acts and bool(own) and agreed,
        verify=acts and not (own and agreed),
        step=_restart(own),
        reason=reason if own else "",
    ).as_dict()


def _restart(vote: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {"state": "restarted", "quorum_guard": "off", "expected_invocation": as_text(vote.get("invocation"))}


def _votes(look: t.Mapping[str, t.Any], seen: ObservationView, network: t.Mapping[str, t.Any]) -> bool:
    """Whether this node is one of the validators."""
    nodes = as_mappings(look.get("nodes"))
    address = (as_text(nodes[0].get("address")) if nodes else "") or as_text(seen.details.get("address"))
    return address in as_texts(network.get("validators"))


def _is_level(look: t.Mapping[str, t.Any], network: t.Mapping[str, t.Any]) -> bool:
    """Whether all nodes of the network that answer have the same head."""
    names = as_texts(network.get("nodes"))
    heads = {as_number(node.get("head")) for node in as_mappings(look.get("nodes")) if node.get("name") in names}
    return bool(network) and not network.get("forks") and len(heads) == 1


def _answers(look: t.Mapping[str, t.Any], start: t.Mapping[str, t.Any]) -> bool:
    """Whether the node that this run started tells its head: a new JVM listens long before it answers."""
    if not (has_run(start) and start.get("reached")):
        return True
    nodes = as_mappings(look.get("nodes"))
    return bool(nodes) and as_number(nodes[0].get("head")) is not None


def _vote(
    asked: t.Mapping[str, t.Any], network: t.Mapping[str, t.Any], so_far: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """What the dry run of this validator's restart says."""
    run = ServiceResult.from_dict(asked)
    return {
        "host": so_far.get("host"),
        "turn": so_far.get("turn"),
        "genesis": as_text(network.get("genesis")),
        "agrees": run.reached,
        "msg": run.msg or "no answer",
        "invocation": run.after.invocation if run.after else "",
    }


def _decision(so_far: t.Mapping[str, t.Any], network: t.Mapping[str, t.Any]) -> tuple[bool, str]:
    """Whether the validators are restarted, and why not. Votes of other chains and of earlier turns do not count."""
    genesis, quorum = as_text(network.get("genesis")), as_number(network.get("quorum")) or 0
    key = (genesis, so_far.get("turn"))
    cast = [one for one in as_mappings(so_far.get("votes")) if genesis and (one.get("genesis"), one.get("turn")) == key]
    yes = sum(one.get("agrees") is True for one in cast)
    against = [f"{one.get('host')}: {one.get('msg')}" for one in cast if one.get("agrees") is not True]
    if 0 < quorum <= yes and not against:
        return True, ""
    total = len(as_texts(network.get("validators")))
    counted = f"not restarted at the same time: {yes} of {total} validators can take part in it, quorum {quorum:.0f}"
    return False, "; ".join([counted, *against])
