# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What forbids taking a connector offline. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal


def last_replica(serving: int, others: int | None) -> Refusal | None:
    """A tunnel keeps one healthy connector.

    ``serving``: connections that this one has and that carry requests, 0 where it serves nobody;
    ``others``: healthy connectors of the same tunnel elsewhere, None where nobody said.
    """
    if serving <= 0 or (others is not None and others > 0):
        return None
    if others is None:
        return Refusal(
            "last_replica",
            f"it serves its tunnel with {serving} connections, and it is not known whether another connector does",
            "give healthy_replicas (the role tunnel_reconnect counts them), or set replica_guard=off to accept the gap",
        )
    return Refusal(
        "last_replica",
        f"it is the last healthy connector of its tunnel ({serving} connections)",
        "bring back another connector first, or set replica_guard=off to accept the gap",
    )


def quick_tunnel(allowed: bool) -> Refusal | None:
    """The public name of a quick tunnel lasts as long as its process."""
    if allowed:
        return None
    return Refusal(
        "quick_tunnel",
        "it is a quick tunnel: its public name is lost, and a new start gets another one",
        "set may_change_name=true if nobody depends on the name, or give the tunnel an account and a name of its own",
    )


def own_tunnel(carries: bool | None, pid: int) -> Refusal | None:
    """A run must not cut its own connection.

    ``carries``: whether process ``pid`` carries it (None: it may not be seen).
    """
    if carries is False:
        return None
    if carries is None:
        message = f"it cannot be seen whether process {pid} carries the SSH connection of this run (become root)"
    else:
        message = f"process {pid} carries the SSH connection of this run"
    return Refusal(
        "own_tunnel",
        message,
        "let the host do it (state=reconnected or restarted with own_tunnel_action=hand_over), and run again after it; "
        "set own_tunnel=false if that is wrong",
    )
