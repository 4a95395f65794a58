# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind ``cloudflared``: what the rest of the collection knows about a connector of a Cloudflare tunnel.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.options import CONNECTOR_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import CLOUDFLARED
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import (
    CauseText,
    Details,
    Environment,
    FleetTraits,
    Kind,
    ServiceKind,
)


def _make(environment: Environment, params: t.Mapping[str, t.Any]) -> Kind:
    """The kind that options describe. Raises LifecycleError naming the option that is wrong."""
    # Python compiles a module's code on each run: a run without a connector does not load the code for one.
    from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import monitor
    from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.connector import CloudflaredKind

    monitor.check_options(params)
    return CloudflaredKind(environment, params, monitor.ConnectorMonitor(params, environment.clock))


def _causes() -> t.Sequence[tuple[str, CauseText]]:
    """What the connector says, how it ended, and what was seen of it."""
    from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import causes as known

    rules = (*known.RULES, *known.OBSERVED)
    return [(rule.cause, rule) for rule in rules if not rule.harmless and rule is not known.CLOCK_IS_BEHIND]


def _tunnel_of(details: Details) -> str | None:
    return details.get("tunnel_id") or None


KIND = ServiceKind(
    machine=CLOUDFLARED,
    options=CONNECTOR_OPTIONS,
    make=_make,
    module="cloudflared_tunnel",
    guards={
        "reservation": "The reservation that is named is in force on this host.",
        "last_replica": "Another connector of the tunnel is known to be healthy.",
        "next_start": "What the next start needs is there. Checked before a running connector is stopped.",
        "own_tunnel": "The connector does not carry Ansible's own connection.",
    },
    causes=_causes,
    traits=FleetTraits(replica_of=_tunnel_of),
    network_fault="edge_cut",
)
