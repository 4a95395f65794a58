# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states and transitions of a cloudflared connector. Pure data.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.state_machine import (
    RESTARTING,
    RUNNING,
    SERVICE,
    STARTING,
    Edge,
    State,
    make_machine,
    process_edges,
)

CONNECTING = "connecting"
CONNECTED = "connected"
RECONNECTING = "reconnecting"

STATES = (
    State(CONNECTING, 20, STARTING, "no connection registered yet", "2 s", "/ready 503, no registration so far"),
    State(CONNECTED, 21, RUNNING, "some of the expected connections", "seconds", "/ready 200, fewer than expected"),
    State(
        RECONNECTING,
        22,
        RESTARTING,
        "had connections, has none or loses all again and again",
        "seconds to minutes",
        "/ready 503 after success",
    ),
)  # fmt: skip
CLOUDFLARED = make_machine(
    "cloudflared",
    STATES,
    (
        Edge(STARTING, "initialized", CONNECTING, SERVICE, progress=True),
        Edge(CONNECTING, "registered", CONNECTED, SERVICE, progress=True),
        Edge(CONNECTED, "all_registered", RUNNING, SERVICE, progress=True),
        Edge(RUNNING, "lost_some", CONNECTED, SERVICE),
        Edge(RUNNING, "lost_all", RECONNECTING, SERVICE),
        Edge(CONNECTED, "lost_all", RECONNECTING, SERVICE),
        Edge(RECONNECTING, "registered", CONNECTED, SERVICE, progress=True),
        *process_edges(CONNECTING),
        *process_edges(CONNECTED),
        *process_edges(RECONNECTING),
    ),
    {
        RUNNING: {RUNNING},
        "restarted": {CONNECTED, RUNNING},
        CONNECTED: {CONNECTED, RUNNING},
        "reconnected": {CONNECTED, RUNNING},
    },
)
