# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller has to know about Besu nodes: which may vote, and which chain each belongs to. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Details, FleetTraits


def may_be_validator(reported: bool | None, observed: bool | None = None) -> bool:
    """Whether a node may be a validator: what was observed counts, else what its option says, else it may be one."""
    known = reported if observed is None else observed
    return True if known is None else bool(known)


def _may_vote(details: Details, options: Details) -> bool:
    return may_be_validator(options.get("validator"), details.get("validator"))


def _network_of(details: Details, options: Details) -> str | None:
    """The hash of block 0: what the node says goes before what it is described to have, which one that is down has."""
    reported = (details.get("genesis"), options.get("genesis_hash"))
    return next((genesis.lower() for genesis in reported if isinstance(genesis, str) and genesis), None)


TRAITS = FleetTraits(may_vote=_may_vote, network_of=_network_of, stall_cause="chain_stalled")
