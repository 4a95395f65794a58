# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client for the tunnels of the Cloudflare API v4.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Shapes: cfapi/*.go of cloudflared and the public API reference. Error codes
come as numbers or text, and ``success: false`` may come with status 200, so
the HTTP status and ``success`` decide, never a code. For all its calls a
client has one deadline; it waits as long as ``retry-after`` asks, if that fits.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import (
    HttpClient,
    HttpError,
    Response,
    TlsSettings,
    parse_url,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, LifecycleError

BASE_URL = "https://api.cloudflare.com/client/v4"
_PER_PAGE = 100
_MAX_PAGES = 100
# Seconds before another call, however soon the API lets it come.
_LEAST_WAIT = 2.0
_MAX_BYTES = 16 * 1024 * 1024
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ACCOUNT = re.compile(r"[0-9a-f]{32}")
# What each kind of ApiError asks of a person.
KINDS: t.Mapping[str, str] = {
    "auth": "check the API token: it needs Account > Cloudflare Tunnel > Read (Edit to remove a connector)",
    "not_found": "check account_id and the tunnel",
    "rate_limited": "wait as long as the API asks, and ask less often",
    "unavailable": "the API has an internal error: try again later",
    "refused": "the API does not accept the call: see its message",
    "unreadable": "the answer is not that of the API: check base_url, and any proxy on the way",
    "network": "check the network, or base_url",
}


class ApiError(LifecycleError):
    """A call without a usable answer. ``kind``: one of KINDS; ``retry_after``: seconds, where the API said so."""

    def __init__(self, kind: str, what: str, message: str, retry_after: float | None = None, **details: t.Any) -> None:
        super().__init__(f"{what}: {message}; {KINDS[kind]}", kind=kind, retry_after=retry_after, **details)
        self.kind = kind
        self.retry_after = retry_after


@dataclass(frozen=True)
class ConnectorId:
    """The id of one connector. There is no empty one, so a call that needs it cannot mean all of them."""

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not _UUID.fullmatch(self.text):
            raise LifecycleError(
                f"connector_id: {sanitize(str(self.text), 60)!r} is not the id of a connector; "
                "give the UUID that cloudflare_tunnel_info returns"
            )


@dataclass(frozen=True)
class EdgeConnection:
    """One connection as the edge sees it. ``pending``: gone, and still tracked for some minutes."""

    colo: str
    pending: bool
    opened_at: str
    origin_ip: str

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "colo": self.colo,
            "pending_reconnect": self.pending,
            "opened_at": self.opened_at,
            "origin_ip": self.origin_ip,
        }


@dataclass(frozen=True)
class EdgeConnector:
    """One connector (a running cloudflared) as the edge sees it."""

    id: str
    version: str
    run_at: str
    config_version: int | None
    connections: tuple[EdgeConnection, ...]

    @property
    def live(self) -> int:
        return sum(1 for connection in self.connections if not connection.pending)

    @property
    def ghost(self) -> bool:
        """Whether it has no connection and the edge is about to forget it."""
        return self.live == 0

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "id": self.id,
            "version": self.version,
            "run_at": self.run_at,
            "config_version": self.config_version,
            "live": self.live,
            "ghost": self.ghost,
            "connections": [connection.as_dict() for connection in self.connections],
        }


@dataclass(frozen=True)
class Tunnel:
    """One tunnel. ``status`` is of the whole tunnel: one healthy replica hides all others."""

    id: str
    name: str
    status: str
    remote: bool
    created_at: str
    active_at: str
    inactive_at: str


class TunnelApi:
    """The tunnels of one account. ``seconds``: for all calls together."""

    def __init__(
        self,
        http: HttpClient,
        clock: Clock,
        *,
        account_id: str,
        token: str,
        base_url: str = BASE_URL,
        timeout: float = 15.0,
        seconds: float = 60.0,
        tls: TlsSettings | None = None,
    ) -> None:
        if not _ACCOUNT.fullmatch(account_id):
            raise LifecycleError(f"account_id: {sanitize(account_id, 60)!r} is not an account: 32 hexadecimal digits")
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise LifecycleError("api_token: it is empty, or has spaces or characters that no token has")
        try:
            url = parse_url(base_url)
        except HttpError as exc:
            raise LifecycleError(f"base_url: {exc.msg}") from exc
        if url.scheme == "http" and url.host not in ("127.0.0.1", "::1", "localhost"):
            raise LifecycleError(f"base_url: {url.safe} would send the token in clear; give an https URL")
        self._connection = http.connection(base_url, tls=tls)
        self._clock = clock
        self._base = f"{url.target.rstrip('/')}/accounts/{account_id}"
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._timeout = timeout
        self._end = clock.monotonic() + seconds
        self.calls = 0

    def tunnels(self, *, name: str = "") -> list[Tunnel]:
        """The tunnels that are not deleted, all pages of them; with ``name`` those called exactly so."""
        from urllib.parse import quote

        query = f"&name={quote(name, safe='')}" if name else ""
        rows: list[t.Any] = []
        for page in range(1, _MAX_PAGES + 1):
            target = f"cfd_tunnel?is_deleted=false{query}&page={page}&per_page={_PER_PAGE}"
            data = self._ask("GET", target, "list of tunnels")
            found = _rows(data, "list of tunnels")
            rows += found
            info = data.get("result_info")
            total = info.get("total_count") if isinstance(info, dict) else None
            if not found or (len(rows) >= total if isinstance(total, int) else len(found) < _PER_PAGE):
                break
        return [tunnel for tunnel in (_tunnel(row) for row in rows) if not name or tunnel.name == name]

    def tunnel(self, tunnel_id: str) -> Tunnel:
        """One tunnel. Raises ApiError: not_found."""
        what = f"tunnel {_tunnel_id(tunnel_id)}"
        return _tunnel(self._ask("GET", f"cfd_tunnel/{tunnel_id}", what).get("result"))

    def connectors(self, tunnel_id: str) -> list[EdgeConnector]:
        """The connectors that the edge knows of a tunnel, ghosts among them."""
        what = f"connectors of tunnel {_tunnel_id(tunnel_id)}"
        data = self._ask("GET", f"cfd_tunnel/{tunnel_id}/connections", what)
        return [_connector(row) for row in _rows(data, what)]

    def remove_connector(self, tunnel_id: str, connector: ConnectorId) -> None:
        """Make the edge forget one connector. Without its id the API would remove all of the tunnel's."""
        target = f"cfd_tunnel/{_tunnel_id(tunnel_id)}/connections?client_id={connector.text}"
        self._ask("DELETE", target, f"connector {connector.text}")

    def _ask(self, method: str, target: str, what: str) -> dict[str, t.Any]:
        while True:
            left = self._end - self._clock.monotonic()
            if left <= 0:
                raise ApiError("network", what, "the time for all calls together is over")
            self.calls += 1
            try:
                answer = self._connection.request(
                    method,
                    f"{self._base}/{target}",
                    headers=self._headers,
                    timeout=min(self._timeout, left),
                    max_bytes=_MAX_BYTES,
                )
            except HttpError as exc:
                raise ApiError("network", what, sanitize(exc.msg, 300), error=exc.kind) from exc
            if answer.status != 429:
                return _envelope(answer, what)
            wait = _retry_after(answer)
            if wait is None or wait >= self._end - self._clock.monotonic():
                message = "it gives no retry-after" if wait is None else f"it asks to wait {wait:.0f} s"
                raise ApiError("rate_limited", what, f"the API limits the rate (429), and {message}", wait)
            self._clock.sleep(max(wait, _LEAST_WAIT))


def _retry_after(answer: Response) -> float | None:
    text = answer.headers.get("retry-after", "").strip()
    return float(text) if re.fullmatch(r"\d{1,6}(?:\.\d{1,3})?", text) else None


def _envelope(answer: Response, what: str) -> dict[str, t.Any]:
    """The answer's data where it is a success. Raises ApiError."""
    try:
        data = answer.json()
    except HttpError:
        data = None
    status = answer.status
    if isinstance(data, dict) and 200 <= status < 300 and data.get("success") is True:
        return data
    message = f"status {status}"
    if isinstance(data, dict):
        message += "".join(f", {word}" for word in _errors(data))
    elif 200 <= status < 300:
        raise ApiError("unreadable", what, f"status {status}, and no JSON object")
    kinds = {401: "auth", 403: "auth", 404: "not_found"}
    kind = kinds.get(status) or (
        "unavailable" if status >= 500 else "refused" if isinstance(data, dict) else "unreadable"
    )
    raise ApiError(kind, what, message)


def _errors(data: t.Mapping[str, t.Any]) -> list[str]:
    """The errors in words, whichever form they have: ``errors`` with numbers or text, or a bare ``error``."""
    rows = data.get("errors")
    rows = rows if isinstance(rows, list) else [data.get("error")] if data.get("error") else []
    words: list[str] = []
    for row in rows[:5]:
        if isinstance(row, dict):
            words.append(sanitize(f"{row.get('message', '')} (code {row.get('code', '?')})", 200))
        elif isinstance(row, (str, int)):
            words.append(sanitize(str(row), 200))
    return words


def _rows(data: t.Mapping[str, t.Any], what: str) -> list[t.Any]:
    rows = data.get("result")
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise ApiError("unreadable", what, "result is no list")
    return rows


def _tunnel_id(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise LifecycleError(f"tunnel: {sanitize(text, 60)!r} is not the id of a tunnel")
    return text


def _text(row: t.Mapping[str, t.Any], key: str) -> str:
    value = row.get(key)
    return sanitize(value, 200) if isinstance(value, str) else ""


def _id(row: t.Any, what: str) -> str:
    text = row.get("id") if isinstance(row, dict) else None
    if not isinstance(text, str) or not _UUID.fullmatch(text.lower()):
        raise ApiError("unreadable", what, "an entry has no id")
    return text.lower()


def _tunnel(row: t.Any) -> Tunnel:
    identity = _id(row, "tunnel")
    remote = row.get("config_src") == "cloudflare" or row.get("remote_config") is True
    times = (_text(row, "created_at"), _text(row, "conns_active_at"), _text(row, "conns_inactive_at"))
    return Tunnel(identity, _text(row, "name"), _text(row, "status") or "unknown", remote, *times)


def _connector(row: t.Any) -> EdgeConnector:
    identity = _id(row, "connector")
    conns = row.get("conns")
    version = row.get("config_version")
    return EdgeConnector(
        identity,
        _text(row, "version"),
        _text(row, "run_at"),
        version if isinstance(version, int) and not isinstance(version, bool) else None,
        tuple(
            EdgeConnection(
                _text(one, "colo_name"),
                one.get("is_pending_reconnect") is True,
                _text(one, "opened_at"),
                _text(one, "origin_ip"),
            )
            for one in (conns if isinstance(conns, list) else [])
            if isinstance(one, dict)
        ),
    )


def assign(connectors: t.Sequence[EdgeConnector], hosts: t.Mapping[str, str]) -> dict[str, str | None]:
    """Connector id -> the host whose connector has it (None: no host that we know). ``hosts``: host -> connector id."""
    of = {identity.lower(): host for host, identity in hosts.items() if identity}
    return {connector.id: of.get(connector.id) for connector in connectors}


def lost(connectors: t.Sequence[EdgeConnector], hosts: t.Mapping[str, str]) -> list[str]:
    """The hosts whose connector the edge no longer knows, or only as a ghost."""
    alive = {connector.id for connector in connectors if not connector.ghost}
    return sorted(host for host, identity in hosts.items() if identity and identity.lower() not in alive)
