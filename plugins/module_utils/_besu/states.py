# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states and transitions of a Besu node. Pure data.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.state_machine import (
    RUNNING,
    SERVICE,
    STARTING,
    Edge,
    State,
    make_machine,
    process_edges,
)

SYNCING = "syncing"
SYNCED = "synced"
CONSENSUS = "consensus"

STATES = (
    State(SYNCING, 10, STARTING, "behind the reference head", "minutes to days", "head below the reference"),
    State(SYNCED, 11, RUNNING, "at the head, not yet serving", "seconds", "lag within tolerance in two samples"),
    State(CONSENSUS, 12, RUNNING, "a validator that takes part", "-", "in the next set and recent proposer"),
)
BESU = make_machine(
    "besu",
    STATES,
    (
        Edge(STARTING, "initialized", SYNCING, SERVICE, progress=True),
        Edge(SYNCING, "caught_up", SYNCED, SERVICE, progress=True),
        Edge(SYNCED, "serving", RUNNING, SERVICE, progress=True),
        Edge(RUNNING, "takes_part", CONSENSUS, SERVICE, progress=True),
        Edge(CONSENSUS, "left_out", RUNNING, SERVICE),
        Edge(SYNCED, "fell_behind", SYNCING, SERVICE),
        Edge(RUNNING, "fell_behind", SYNCING, SERVICE),
        Edge(CONSENSUS, "fell_behind", SYNCING, SERVICE),
        *process_edges(SYNCING),
        *process_edges(SYNCED),
        *process_edges(CONSENSUS),
    ),
    {
        RUNNING: {RUNNING, CONSENSUS},
        "restarted": {RUNNING, CONSENSUS},
        SYNCED: {SYNCED, RUNNING, CONSENSUS},
        CONSENSUS: {CONSENSUS},
    },
)
