# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reservations to take a connector that serves offline, granted by the hosts of its other replicas.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Two controllers that observe at the same time both see another healthy replica,
and take one each. So who wants to take a connector offline needs

1. the grant of its own host, and
2. the grant of a host on which another connector of the tunnel is healthy,
   which that host itself observes while it grants.

A host grants one owner at a time for a tunnel, and a connector is taken
offline only on the grant of its own host. So while it is down, the replica
that stays cannot be taken by anybody else who keeps to this, and two owners
never rely on each other's replica. A replica that is being worked on, or has
fewer connections than it needs, is not healthy and does not count.

A grant ends by itself after ``TTL``, and the step is made while ``LEFT`` is
left of it. By then a connector that was taken offline is seen to be down, and
no host counts it as the one that stays. Connectors on hosts that the inventory
does not know cannot grant anything, so they do not count either.
"""

from __future__ import annotations

import os
import re

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log_patterns import HARD
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import CONNECTED
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.grants import (
    FOLDER,
    Grant,
    GrantStore,
    usable,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal

TTL = 120.0
LEFT = 60.0
_TUNNEL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HINT = "let the role tunnel_reconnect reserve it, or ask the hosts of its replicas with cloudflared_reservation"


def store_of(tunnel: str, user: bool) -> GrantStore:
    """The grant of this host for one tunnel, by its id. Raises LifecycleError."""
    name = tunnel.lower()
    if not _TUNNEL.fullmatch(name):
        raise LifecycleError(f"tunnel: {sanitize(tunnel, 60)!r} is not the id of a tunnel")
    folder = f"/run/user/{os.getuid()}/chainops-lifecycle" if user else FOLDER
    return GrantStore(f"tunnel-{name}", folder, TTL)


def doubt(observed: Observation, tunnel: str, worked_on: str) -> str:
    """Why a connector cannot be relied on to keep the tunnel up; empty where it can. Pure.

    ``worked_on``: who works on it, empty if nobody does.
    """
    if observed.details.get("tunnel_id") != tunnel.lower():
        return "it belongs to another tunnel" if observed.details.get("tunnel_id") else "its tunnel is not known"
    if observed.state not in (CONNECTED, m.RUNNING):
        return f"it is {observed.state}: {'; '.join(observed.reasons[:1])}"
    if observed.cause in HARD:
        return f"it does not regain the connections that it loses: {observed.cause}"
    if worked_on:
        return f"{worked_on} works on it"
    if observed.facts is not None and observed.facts.job:
        return "systemd has a job for it"
    return ""


def not_reserved(held: Grant | None, owner: str, service: str, tunnel: str, now: float) -> Refusal | None:
    """What forbids to take ``service`` offline that the grant of its own host does not cover. Pure."""
    if not tunnel:
        return Refusal("reservation", "the id of its tunnel is not known, so no reservation can be checked", _HINT)
    granted = held.target if held is not None else ""
    own = granted if _bare(granted.rpartition("/")[2]) == _bare(service) else service
    why = usable(held, owner, own, now, LEFT)
    return Refusal("reservation", why, _HINT) if why else None


def _bare(service: str) -> str:
    return service[: -len(".service")] if service.endswith(".service") else service
