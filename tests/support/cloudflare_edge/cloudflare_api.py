# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cloudflare's v4 API for tunnels, out of what the edge really sees, with faults that can be scripted."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .behaviour import ScriptError
from .diary import timestamp
from .edge import Edge
from .http1 import Request, Response
from .registry import Connection, Connector, Tunnel

BASE = "/client/v4"
_PATH = re.compile(rf"{BASE}/accounts/(?P<account>[^/]+)/cfd_tunnel(?:/(?P<tunnel>[^/]+)(?:/(?P<what>.+))?)?$")
_DEFAULT_PAGE, _LARGEST_PAGE = 20, 1000
_FAULTS = {"rate_limit", "status", "hang", "not_json", "refused", "bare_error"}


def envelope(result: Any, **more: Any) -> dict[str, Any]:
    return {"success": True, "errors": [], "messages": [], "result": result, **more}


def failure(status: int, code: int | str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """The usual envelope of an error."""
    errors = [{"code": code, "message": message}]
    data = {"success": False, "errors": errors, "messages": [], "result": None}
    return Response(status, data, headers or {})


@dataclass
class Fault:
    """``kind``: rate_limit (429), status, hang, not_json, refused (success false with status 200), bare_error
    (the other envelope: ``{"error": TEXT}``). It holds for ``count`` calls whose path holds ``path``."""

    kind: str
    count: int = 1
    status: int = 500
    retry_after: float | None = 1
    path: str = ""

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Fault:
        if data.get("kind") not in _FAULTS:
            raise ScriptError(f"api fault: no kind {data.get('kind')!r}; there are {', '.join(sorted(_FAULTS))}")
        try:
            fault = cls(**data)
        except TypeError as exc:
            raise ScriptError(f"api fault: {exc}") from exc
        if type(fault.count) is not int or fault.count < 0:
            raise ScriptError(f"api fault: count is {fault.count!r}; give a number from 0 up")
        if type(fault.status) is not int or not 200 <= fault.status <= 599:
            raise ScriptError(f"api fault: status is {fault.status!r}; give a number from 200 to 599")
        if fault.retry_after is not None and type(fault.retry_after) not in (int, float):
            raise ScriptError(f"api fault: retry_after is {fault.retry_after!r}; give seconds, or null for no header")
        if not isinstance(fault.path, str):
            raise ScriptError(f"api fault: path is {fault.path!r}; give a part of the path")
        return fault

    def answer(self) -> Response:
        match self.kind:
            case "rate_limit":
                wait = {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}
                limits = {"Ratelimit": '"default";r=0;t=30', "Ratelimit-Policy": '"default";q=1200;w=300'}
                return failure(429, 971, "Please wait and consider throttling your request speed", {**limits, **wait})
            case "hang":
                return Response(200, hang=True)
            case "not_json":
                return Response(self.status, raw=b"<html><body>error code: 502</body></html>")
            case "refused":
                return failure(200, "1000", "the request could not be carried out")
            case "bare_error":
                return Response(self.status, {"error": "the request could not be carried out"})
            case _:
                return failure(self.status, 1000, "internal error")


class CloudflareApi:
    """``tokens`` are those that are taken, with the account each may see (None: all) and whether it may write."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self.tokens: dict[str, tuple[str | None, bool]] = {}
        self.faults: list[Fault] = []
        self.calls: list[dict[str, Any]] = []
        self._budget = 1200

    async def __call__(self, request: Request) -> Response:
        response = self._answer(request)
        call = {"number": len(self.calls) + 1, "time": timestamp(time.time()), "method": request.method}
        status = None if response.hang else response.status
        self.calls.append({**call, "path": request.path, "query": dict(request.query), "status": status})
        return response

    def _answer(self, request: Request) -> Response:
        for fault in self.faults:
            if fault.count > 0 and fault.path in request.path:
                fault.count -= 1
                return fault.answer()
        found = _PATH.match(request.path)
        if found is None:
            return failure(404, 7003, f"Could not route to {request.path}, perhaps your object identifier is invalid?")
        refusal = self._refusal(request, found["account"])
        if refusal is not None:
            return refusal
        self._budget = max(self._budget - 1, 0)
        limits = {"Ratelimit": f'"default";r={self._budget};t=300', "Ratelimit-Policy": '"default";q=1200;w=300'}
        answer = self._route(request, found["account"], found["tunnel"], found["what"])
        return Response(answer.status, answer.data, {**limits, **answer.headers})

    def _refusal(self, request: Request, account: str) -> Response | None:
        word, _unused, token = request.headers.get("authorization", "").partition(" ")
        if word.lower() != "bearer" or not token:
            return failure(401, 10000, "Authentication error")
        if token not in self.tokens:
            return failure(401, 1000, "Invalid API Token")
        allowed, write = self.tokens[token]
        if allowed not in (None, account) or (request.method != "GET" and not write):
            return failure(403, 10000, "Authentication error")
        return None

    def _route(self, request: Request, account: str, tunnel_id: str | None, what: str | None) -> Response:
        if tunnel_id is None:
            return self._list(request, account) if request.method == "GET" else _not_allowed()
        tunnel = self._edge.registry.tunnels.get(tunnel_id.lower())
        if tunnel is None or tunnel.account != account:
            return failure(404, 1003, "Tunnel not found")
        match request.method, (what or "").split("/"):
            case "GET", [""]:
                return Response(200, envelope(tunnel_row(tunnel)))
            case "GET", ["connections"]:
                return Response(200, envelope([connector_row(one) for one in tunnel.connectors.values()]))
            case "GET", ["connectors", name]:
                connector = tunnel.connectors.get(name.lower())
                missing = failure(404, 1003, "Connector not found")
                return missing if connector is None else Response(200, envelope(connector_row(connector)))
            case "GET", ["configurations"]:
                source = {"tunnel_id": tunnel.id, "version": tunnel.config_version, "source": tunnel.config_src}
                return Response(200, envelope({**source, "config": tunnel.config}))
            case "DELETE", ["connections"]:
                self._edge.forget(tunnel, request.query.get("client_id") or None)
                return Response(200, envelope(None))
        return _not_allowed()

    def _list(self, request: Request, account: str) -> Response:
        try:
            page = int(request.query.get("page", "1"))
            size = int(request.query.get("per_page", str(_DEFAULT_PAGE)))
        except ValueError:
            return failure(400, 1001, "page and per_page must be numbers")
        if page < 1 or not 1 <= size <= _LARGEST_PAGE:
            return failure(400, 1001, f"page must be at least 1, per_page from 1 to {_LARGEST_PAGE}")
        mine = [one for one in self._edge.registry.tunnels.values() if one.account == account]
        chosen = sorted((one for one in mine if _wanted(one, request.query)), key=lambda one: -one.created_at)
        rows = [tunnel_row(one) for one in chosen[(page - 1) * size : page * size]]
        info = {"page": page, "per_page": size, "count": len(rows), "total_count": len(chosen)}
        return Response(200, envelope(rows, result_info=info))


def _not_allowed() -> Response:
    return failure(405, 10405, "Method not allowed for this authentication scheme")


def _wanted(tunnel: Tunnel, query: Mapping[str, str]) -> bool:
    deleted = query.get("is_deleted")
    checks = [
        deleted is None or (deleted == "true") == (tunnel.deleted_at is not None),
        query.get("name") in (None, tunnel.name),
        query.get("uuid", "").lower() in ("", tunnel.id),
        query.get("status") in (None, tunnel.status),
        tunnel.name.startswith(query.get("include_prefix", "")),
        not query.get("exclude_prefix") or not tunnel.name.startswith(query["exclude_prefix"]),
    ]
    return all(checks)


def tunnel_row(tunnel: Tunnel) -> dict[str, Any]:
    """A tunnel as the API shows it."""
    rows = [connection_row(one, two) for one in tunnel.connectors.values() for two in one.connections.values()]
    return {
        "id": tunnel.id,
        "account_tag": tunnel.account,
        "created_at": timestamp(tunnel.created_at),
        "deleted_at": timestamp(tunnel.deleted_at),
        "name": tunnel.name,
        "connections": rows,
        "conns_active_at": timestamp(tunnel.active_at) if tunnel.live else None,
        "conns_inactive_at": timestamp(tunnel.inactive_at),
        "tun_type": "cfd_tunnel",
        "metadata": {},
        "status": tunnel.status,
        "remote_config": tunnel.config_src == "cloudflare",
        "config_src": tunnel.config_src,
    }


def connector_row(connector: Connector) -> dict[str, Any]:
    """A connector as the API shows it."""
    rows = [connection_row(connector, one) for _unused, one in sorted(connector.connections.items())]
    return {
        "id": connector.id,
        "features": list(connector.features),
        "version": connector.version,
        "arch": connector.arch,
        "run_at": timestamp(connector.run_at),
        "config_version": connector.config_version,
        "conns": rows,
    }


def connection_row(connector: Connector, connection: Connection) -> dict[str, Any]:
    """A connection as the API shows it."""
    return {
        "id": str(connection.id),
        "uuid": str(connection.id),
        "client_id": connector.id,
        "client_version": connector.version,
        "colo_name": connection.location,
        "is_pending_reconnect": not connection.live,
        "opened_at": timestamp(connection.opened_at),
        "origin_ip": connection.source,
    }
