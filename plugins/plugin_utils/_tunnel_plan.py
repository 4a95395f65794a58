# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on the controller which connectors of Cloudflare tunnels are brought back, and which are next.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import CONNECTED
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import Row, read_fleet
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import ObservationView, as_text
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import count

HEALTHY = "healthy"
NEEDS_RECOVERY = "needs_recovery"
SKIPPED = "skipped"
UNKNOWN = "unknown"

_SERVING = (CONNECTED, m.RUNNING)
# What is down already comes first; who still tries to connect uses the time of the others for that.
_RANK = {m.STOPPED: 0, m.ERROR: 1}
# A connector that has just registered may not be in the API's answer yet, in seconds.
_SETTLED = 60.0
NOT_KNOWN = "not known"
# Begins what stands for the tunnel of a connector that does not tell which one it is.
_OF = "of "
# The states of a tunnel in the API's words; ``connectors`` counts those that have connections.
EdgeView = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Replica:
    """One connector of one host. ``lost``: it says that it is connected, and the edge does not know it."""

    row: Row
    tunnel: str
    verdict: str
    lost: bool = False

    @property
    def key(self) -> str:
        return f"{self.row.host}/{self.row.service}"

    @property
    def details(self) -> t.Mapping[str, t.Any]:
        return self.row.observation.details

    @property
    def connector_id(self) -> str:
        return connector_id(self.row.observation)

    @property
    def identified(self) -> bool:
        """Whether its tunnel is known, so that the edge can be asked about it."""
        return not self.tunnel.startswith(_OF)

    @property
    def why(self) -> str:
        return "the edge no longer knows it" if self.lost else self.row.why

    @property
    def cause(self) -> str:
        return "half_open" if self.lost else self.row.cause


def tunnel_plan(
    observed: t.Mapping[str, t.Any],
    described: t.Mapping[str, t.Any] | None = None,
    edge: EdgeView | None = None,
    done: t.Sequence[str] = (),
    account: str = "",
) -> dict[str, t.Any]:
    """Which connectors are next: for each tunnel one that has no connection.

    ``observed``: host -> what service_info returned there; ``described``: host -> its services;
    ``edge``: what cloudflare_tunnel_info returned; ``done``: ``host/service`` that had their turn;
    ``account``: that which the edge is asked about.
    """
    replicas = _replicas(observed, described, edge or {})
    tunnels = [
        _tunnel(identity, replicas, edge or {}, account)
        for identity in dict.fromkeys(replica.tunnel for replica in replicas)
    ]
    queues = [_queue(tunnel["id"], replicas, done) for tunnel in tunnels]
    return {
        "tunnels": tunnels,
        "next": [_turn(queue[0], tunnel) for queue, tunnel in zip(queues, tunnels, strict=True) if queue],
        "rounds": max(map(len, queues), default=0),
        "due": _keys_with(NEEDS_RECOVERY, replicas),
        "unknown": _keys_with(UNKNOWN, replicas),
        **_questions(replicas, account),
        "account": account,
        "lines": _plan_lines(tunnels),
    }


def _queue(tunnel: str, replicas: t.Sequence[Replica], done: t.Container[str]) -> list[Replica]:
    """The connectors of a tunnel that wait for their turn."""
    return [replica for replica in _in_order(replicas) if replica.tunnel == tunnel and replica.key not in done]


def _keys_with(verdict: str, replicas: t.Sequence[Replica]) -> list[str]:
    return [replica.key for replica in replicas if replica.verdict == verdict]


def _questions(replicas: t.Sequence[Replica], account: str) -> dict[str, t.Any]:
    """What the edge is asked about: the tunnels, and the connectors that serve.

    One whose tunnel is not asked about would be missing from the answer, which proves nothing.
    """
    asked = [replica for replica in replicas if replica.identified and _of_account(replica, account)]
    serving = [replica for replica in asked if replica.connector_id and replica.row.state in _SERVING]
    return {
        "ids": list(dict.fromkeys(replica.tunnel for replica in asked)),
        "connectors": {replica.key: replica.connector_id for replica in serving},
        "connector_tunnels": {replica.key: replica.tunnel for replica in serving},
    }


def _of_account(replica: Replica, account: str) -> bool:
    """Whether its tunnel may be one of this account: a name alone does not show the account."""
    own = str(replica.details.get("account_id") or "")
    return not (own and account) or own.lower() == account.lower()


def _replicas(
    observed: t.Mapping[str, t.Any], described: t.Mapping[str, t.Any] | None, edge: EdgeView
) -> list[Replica]:
    asked = {
        host: result
        for host, result in observed.items()
        if not (isinstance(result, t.Mapping) and result.get("skipped"))
    }
    rows = [row for row in read_fleet(asked, described) if row.has_replicas or row.is_host]
    lost = {str(identity) for identity in edge.get("lost") or ()}
    ids = _ids_by_name(rows, edge)
    return [_replica(row, lost, ids) for row in rows]


def _ids_by_name(rows: t.Sequence[Row], edge: EdgeView) -> dict[str, str]:
    """The id of each tunnel whose name somebody knows together with its id; a name of two tunnels names none."""
    reported = [row.observation.details for row in rows]
    pairs = {(str(about["tunnel_name"]), str(about["tunnel_id"])) for about in reported if _named_and_known(about)}
    pairs |= {(str(view["name"]), str(view["id"])) for view in edge.get("tunnels") or () if view.get("name")}
    names = [name for name, _identity in pairs]
    return {name: identity for name, identity in pairs if names.count(name) == 1}


def _named_and_known(about: t.Mapping[str, t.Any]) -> bool:
    return bool(about.get("tunnel_name") and about.get("tunnel_id"))


def _replica(row: Row, lost: t.Container[str], ids: t.Mapping[str, str]) -> Replica:
    details = row.observation.details
    name = str(details.get("tunnel_name") or "")
    known = details.get("tunnel_id") or ids.get(name, name)
    tunnel = str(known) if known else f"{_OF}{row.host}/{row.service}"
    serving = row.state in _SERVING
    if serving and known and connector_id(row.observation) in lost and (row.age or 0.0) >= _SETTLED:
        return Replica(row, tunnel, SKIPPED if row.observation.hold else NEEDS_RECOVERY, lost=True)
    if row.state == m.UNKNOWN:
        return Replica(row, tunnel, UNKNOWN)
    if serving:
        return Replica(row, tunnel, HEALTHY)
    left = row.desired == m.STOPPED or row.observation.hold
    return Replica(row, tunnel, SKIPPED if left else NEEDS_RECOVERY)


def _in_order(replicas: t.Sequence[Replica]) -> list[Replica]:
    needy = [replica for replica in replicas if replica.verdict == NEEDS_RECOVERY]
    return sorted(needy, key=lambda replica: _RANK.get(replica.row.state, 2))


def _tunnel(identity: str, every: t.Sequence[Replica], edge: EdgeView, account: str) -> dict[str, t.Any]:
    replicas = [replica for replica in every if replica.tunnel == identity]
    ours = {replica.connector_id for replica in every}
    view: t.Mapping[str, t.Any] = next((row for row in edge.get("tunnels") or () if row.get("id") == identity), {})
    return {
        "id": identity,
        "name": str(view.get("name") or _name(identity, replicas)),
        "healthy": len(_keys_with(HEALTHY, replicas)),
        # Connectors that serve and are not of this inventory keep the tunnel up as well. One of ours that the hosts do
        # not call healthy is a stranger to the edge, and no help to its tunnel.
        "elsewhere": sum(1 for stranger in view.get("strangers") or () if stranger not in ours),
        "edge_status": view.get("status"),
        "edge_healthy": view.get("healthy_connectors"),
        "connectors": [_shown(replica, account) for replica in replicas],
    }


def _name(identity: str, replicas: t.Sequence[Replica]) -> str:
    """The name of a tunnel by what its hosts say, or its id."""
    named = next((str(r.details["tunnel_name"]) for r in replicas if r.details.get("tunnel_name")), "")
    return named or (NOT_KNOWN if identity.startswith(_OF) else identity)


def _shown(replica: Replica, account: str) -> dict[str, t.Any]:
    return {
        "key": replica.key,
        "host": replica.row.host,
        "service": replica.row.service,
        "state": replica.row.state,
        "verdict": replica.verdict,
        "cause": replica.cause,
        "why": replica.why,
        "connector_id": replica.connector_id,
        "connections": replica.details.get("connections"),
        "expected_connections": replica.details.get("expected_connections"),
        "tunnel": replica.tunnel,
        "not_asked": _not_asked(replica, account),
    }


def _not_asked(replica: Replica, account: str) -> str:
    """Why the edge cannot be asked about this connector; empty where it can."""
    if not replica.identified:
        problem = replica.details.get("identity_problem")
        source = replica.details.get("identity_source")
        why = f" ({problem}: {source})" if problem and source else f" ({problem})" if problem else ""
        return f"which tunnel it belongs to is not known{why}"
    if not _of_account(replica, account):
        return (
            f"its tunnel belongs to account {replica.details.get('account_id')}, "
            f"but the edge was asked about account {account}"
        )
    if not replica.connector_id:
        return "it does not report its connector id: update cloudflared (2022.6 or newer)"
    return ""


def _turn(replica: Replica, tunnel: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {
        "key": replica.key,
        "host": replica.row.host,
        "service": replica.row.service,
        "tunnel": replica.tunnel,
        "healthy_replicas": tunnel["healthy"] + tunnel["elsewhere"],
        "edge_lost": [replica.connector_id] if replica.lost else [],
        # What serves is taken offline only on a reservation. A half-open connector serves nobody.
        "serving": bool(replica.details.get("connections")) and not replica.lost,
    }


def _plan_lines(tunnels: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    lines: list[str] = []
    for tunnel in tunnels:
        lines.append(head(tunnel))
        for one in tunnel["connectors"]:
            why = f": {one['cause'] + ': ' if one['cause'] else ''}{one['why']}" if one["verdict"] != HEALTHY else ""
            lines.append(f"  {one['host']} {one['service']}: {one['state']}, {one['verdict'].replace('_', ' ')}{why}")
    return lines or ["no connector of a Cloudflare tunnel was found"]


def head(tunnel: t.Mapping[str, t.Any]) -> str:
    total = len(tunnel["connectors"])
    named = "" if tunnel["name"] in (tunnel["id"], NOT_KNOWN) else f" ({tunnel['id']})"
    edge = f", edge: {tunnel['edge_status']}, {tunnel['edge_healthy']} connectors" if tunnel["edge_status"] else ""
    more = f" and {tunnel['elsewhere']} elsewhere" if tunnel["elsewhere"] else ""
    return f"Tunnel {tunnel['name']}{named}: {tunnel['healthy']} of {count(total, 'connector')} healthy{more}{edge}"


def connector_id(observation: ObservationView | None) -> str:
    """Empty where it is not known; an old cloudflared does not tell it."""
    found = as_text(observation.details.get("connector_id")) if observation else ""
    return "" if found == "unsupported" else found
