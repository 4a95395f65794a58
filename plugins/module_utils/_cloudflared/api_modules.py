# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the modules that use the Cloudflare API: from their options to a client and back to a result.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
import typing as t

from ansible.module_utils.common.parameters import env_fallback

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import api as a
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpClient, TlsSettings
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError, SystemClock

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

Spec = dict[str, dict[str, t.Any]]

# How the API is reached.
API_OPTIONS: Spec = {
    "account_id": {"type": "str", "required": True},
    "api_token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["CLOUDFLARE_API_TOKEN"])},
    "base_url": {"type": "str", "default": a.BASE_URL},
    "ca_path": {"type": "path"},
    "timeout": {"type": "float", "default": 15.0},
    "deadline": {"type": "float", "default": 60.0},
}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def client(params: t.Mapping[str, t.Any]) -> a.TunnelApi:
    """The client that options describe. Raises LifecycleError naming the option that is wrong."""
    for option in ("timeout", "deadline"):
        if not params[option] > 0:
            raise LifecycleError(f"{option}: {params[option]} is not above 0; give seconds")
    if not params["api_token"]:
        raise LifecycleError("api_token: it is not given, and CLOUDFLARE_API_TOKEN is not set")
    return a.TunnelApi(
        HttpClient(),
        SystemClock(),
        account_id=params["account_id"].lower(),
        token=params["api_token"],
        base_url=params["base_url"],
        timeout=params["timeout"],
        seconds=params["deadline"],
        tls=TlsSettings(ca_path=params["ca_path"]),
    )


# Tunnels by their id, each with its connectors.
TunnelsById = dict[str, tuple[a.Tunnel, list[a.EdgeConnector]]]


def run_info(module: AnsibleModule) -> None:
    """Run the module and return the tunnels."""
    try:
        given = module.params
        result = tunnel_report(client(given), given["tunnels"], given["hosts"], given["host_tunnels"])
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    module.exit_json(changed=False, **result)


def tunnel_report(
    api: a.TunnelApi,
    wanted: t.Sequence[str],
    hosts: t.Mapping[str, t.Any],
    host_tunnels: t.Mapping[str, t.Any] | None = None,
) -> dict[str, t.Any]:
    """The tunnels that ``wanted`` names (all, if it is empty) with their connectors, mapped to hosts.

    ``host_tunnels``: the tunnel of a host, where it is known. Of a tunnel that was not found nothing is lost.
    Raises LifecycleError where none of them was found: then it is the account that is wrong.
    """
    known = {host: str(identity).lower() for host, identity in hosts.items() if identity}
    found, missing = _asked_for(api, wanted) if wanted else (_all_of(api), {})
    if missing and not found:
        raise next(iter(missing.values()))
    every = [connector for row in found.values() for connector in row[1]]
    of = host_tunnels or {}
    lost_hosts = [host for host in a.lost(every, known) if _lowered(of.get(host)) not in missing]
    return {
        "tunnels": [_tunnel(tunnel, connectors, known) for tunnel, connectors in found.values()],
        "not_found": list(missing),
        "lost": sorted({known[host] for host in lost_hosts}),
        "lost_hosts": lost_hosts,
        "calls": api.calls,
    }


def _all_of(api: a.TunnelApi) -> TunnelsById:
    return {tunnel.id: (tunnel, api.connectors(tunnel.id)) for tunnel in api.tunnels()}


def _asked_for(api: a.TunnelApi, wanted: t.Sequence[str]) -> tuple[TunnelsById, dict[str, LifecycleError]]:
    """The tunnels of these ids and names, and those that the account does not have. Raises LifecycleError."""
    found: TunnelsById = {}
    missing: dict[str, LifecycleError] = {}
    for name in dict.fromkeys(_lowered(text) for text in wanted):
        try:
            tunnel = _named(api, name)
            found.setdefault(tunnel.id, (tunnel, api.connectors(tunnel.id)))
        except a.ApiError as exc:
            if exc.kind != "not_found":
                raise
            missing[name] = exc
    return found, missing


def _is_id(text: str) -> bool:
    return bool(_UUID.fullmatch(text.lower()))


def _lowered(tunnel: t.Any) -> str:
    text = str(tunnel or "")
    return text.lower() if _is_id(text) else text


def _named(api: a.TunnelApi, name: str) -> a.Tunnel:
    """The tunnel with this id or name. Raises ApiError: not_found."""
    if _is_id(name):
        return api.tunnel(name)
    found = api.tunnels(name=name)
    if not found:
        raise a.ApiError("not_found", f"tunnel {sanitize(name, 60)!r}", "there is none of this name")
    if len(found) > 1:
        raise LifecycleError(f"tunnels: there are {len(found)} tunnels called {name!r}; give the id of one")
    return found[0]


def _tunnel(tunnel: a.Tunnel, connectors: t.Sequence[a.EdgeConnector], hosts: t.Mapping[str, str]) -> dict[str, t.Any]:
    of = a.assign(connectors, hosts)
    return {
        "id": tunnel.id,
        "name": tunnel.name,
        "status": tunnel.status,
        "remote_config": tunnel.remote,
        "created_at": tunnel.created_at,
        "active_at": tunnel.active_at,
        "inactive_at": tunnel.inactive_at,
        "healthy_connectors": sum(1 for connector in connectors if not connector.ghost),
        "connectors": [{**connector.as_dict(), "host": of[connector.id]} for connector in connectors],
        "ghosts": [connector.id for connector in connectors if connector.ghost],
        "strangers": [one.id for one in connectors if not one.ghost and of[one.id] is None],
    }


def run_forget(module: AnsibleModule) -> None:
    """Make the edge forget one connector, and end the module."""
    try:
        known, changed = remove(client(module.params), module.params, module.check_mode)
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    shown = known.as_dict() if known is not None else None
    module.exit_json(changed=changed, connector=shown, diff={"before": shown or {}, "after": {}})


def remove(api: a.TunnelApi, params: t.Mapping[str, t.Any], check_mode: bool) -> tuple[a.EdgeConnector | None, bool]:
    """The connector as it was known, and whether it is (or would be) forgotten. Raises LifecycleError."""
    identity = a.ConnectorId(params["connector_id"].lower())
    tunnel = params["tunnel_id"].lower()
    known = next((one for one in api.connectors(tunnel) if one.id == identity.text), None)
    if known is None:
        return None, False
    if known.live and not params["force"]:
        raise LifecycleError(
            f"connector_id: {identity.text} has {known.live} connections; stop it on its host, or set force=true"
        )
    if not check_mode:
        api.remove_connector(tunnel, identity)
    return known, True
