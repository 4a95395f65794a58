# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind ``besu``: what the rest of the collection knows about a Hyperledger Besu node.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import fleet
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.options import NODE_OPTIONS, check_options
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.states import BESU
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import (
    CauseText,
    Environment,
    Kind,
    ServiceKind,
)

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.quorum_guard import QuorumGuard


def _make(environment: Environment, params: t.Mapping[str, t.Any]) -> Kind:
    """The kind that options describe. Raises LifecycleError naming the option that is wrong."""
    # Python compiles a module's code on each run: a run without a node does not load the code for one.
    from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import access
    from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node import BesuKind

    check_options(params)
    clock = environment.clock
    reader, others = access.NodeReader(params, clock), access.OtherNodes(params, clock)
    options = access.verdict_options(params)

    def guard() -> QuorumGuard:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.quorum_guard import QuorumGuard

        return QuorumGuard(
            clock,
            lambda: reader(None),
            lambda: others.samples(fresh=True),
            address=options.address,
            genesis=options.genesis,
            chain_id=options.chain_id,
            reservation=params["reservation"],
            quorum_lost=params["quorum_lost"],
        )

    guarded = params["quorum_guard"] == "enforce" and fleet.may_be_validator(params["validator"])
    return BesuKind(
        environment,
        options,
        reader,
        others if others.clients else None,
        guard if guarded else None,
        params["quorum_lost"] == "restart_all",
        reader.own_part,
        checks_config=not params.get("config_check"),
        p2p_port=params["p2p_port"],
    )


def _causes() -> t.Sequence[tuple[str, CauseText]]:
    """What the node answers, and what the log of a start that failed says."""
    from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.causes import START_RULES, TROUBLES

    return [*TROUBLES.items(), *((rule.cause, rule) for rule in START_RULES)]


KIND = ServiceKind(
    machine=BESU,
    options=NODE_OPTIONS,
    make=_make,
    module="besu_node",
    guards={
        "quorum": "The other validators that are proved to take part are still the quorum.",
        "reservation": "The reservation that is named is in force on this host.",
        "next_start": "The configuration file is valid. Checked before a running node is stopped.",
        "chain_stalled": "The chain is not stalled, or ``lifecycle_quorum_lost`` says what to do then.",
        "restart_all": "All validators of the chain can be restarted at the same time, if that is requested.",
    },
    causes=_causes,
    traits=fleet.TRAITS,
    network_fault="peers_cut",
)
