# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the metrics server of a connector, and reads its answers.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

The address is never guessed silently: ``Endpoint.how`` says how it was found.
Endpoints and metrics are those of metrics/*.go of cloudflared; what an older
version does not have is said in a word (``unsupported``).
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.classify import (
    Metrics,
    MetricsEndpoint,
    Ready,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.settings import Settings
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import procfs as sockets
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import (
    HttpClient,
    HttpError,
    Response,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize

# Tried in this order by cloudflared since 2024.12.0 where no address is given (metrics/metrics.go).
KNOWN_PORTS = range(20241, 20246)
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
_DEFAULTS = ("", "localhost:0", "0.0.0.0:0", "localhost:")
_READY_BYTES, _METRICS_BYTES, _CONFIG_BYTES = 4096, 4 * 1024 * 1024, 2 * 1024 * 1024
_MAX_LINES = 100000
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]{0,199})(?:\{([^}]{0,2000})\})?[ \t]+([0-9.eE+-]{1,40})[ \t]*$")
_LABEL = re.compile(r'([a-zA-Z_]\w{0,99})="([^"\\]{0,500})"')
_WANTED = {
    "cloudflared_tunnel_tunnel_register_success": "",
    "cloudflared_tunnel_tunnel_register_fail": "error",
    "cloudflared_tunnel_total_requests": "",
    "cloudflared_tcp_total_sessions": "",
    "process_start_time_seconds": "",
    "build_info": "version",
}


def find(settings: Settings, pid: int, proc: str = "/proc", given: str = "") -> MetricsEndpoint:
    """Where the connector with process ``pid`` serves its metrics."""
    if given:
        return MetricsEndpoint(base_url(given), "option metrics")
    if not sockets.same_network(pid, proc):
        return MetricsEndpoint(
            problem=f"process {pid} has a network of its own; give metrics as an address seen from here"
        )
    asked = settings.text("metrics")
    open_at = sockets.listeners(pid, proc)
    if asked not in _DEFAULTS and not asked.endswith(":0"):
        source = settings.sources["metrics"]
        how = f"{source} --metrics" if source == "argument" else f"{source} of the connector"
        if open_at is not None and not _listens(asked, open_at):
            return MetricsEndpoint(
                problem=f"process {pid} does not listen on {sanitize(asked, 80)} ({how}) yet", pending=True
            )
        return MetricsEndpoint(base_url(asked), how)
    if open_at is None:
        return MetricsEndpoint(
            problem=f"the sockets of process {pid} may not be seen (become root), and no metrics is given"
        )
    return _found(open_at, pid)


def _found(open_at: t.Sequence[sockets.Address], pid: int) -> MetricsEndpoint:
    """The endpoint among the sockets that a process listens on."""
    known = [address for address in open_at if address[1] in KNOWN_PORTS]
    chosen = known or open_at
    if len(chosen) == 1 or known:
        return MetricsEndpoint(base_url(_join(chosen[0])), f"process {pid} listens there")
    if not chosen:
        return MetricsEndpoint(problem=f"process {pid} listens nowhere yet", pending=True)
    several = ", ".join(_join(address) for address in chosen[:5])
    return MetricsEndpoint(problem=f"process {pid} listens on {several}; give metrics")


def _listens(asked: str, open_at: t.Sequence[sockets.Address]) -> bool:
    port = asked.rpartition(":")[2]
    return any(str(address[1]) == port for address in open_at)


def _join(address: sockets.Address) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"


def base_url(address: str) -> str:
    """The URL of a metrics server that is written as cloudflared takes it (``host:port``), or is a URL already."""
    if "://" in address:
        return address.rstrip("/")
    host, _colon, port = address.rpartition(":")
    host = host.strip("[]")
    return f"http://{_join((_EVERYWHERE.get(host, host), int(port) if port.isdigit() else 0))}"


class Connector:
    """The metrics server of one connector, asked again and again over one connection. Raises HttpError: bad_url."""

    def __init__(self, http: HttpClient, url: str, timeout: float) -> None:
        self.url = url
        self._timeout = timeout
        self._connection = http.connection(url + "/")

    def _get(self, path: str, max_bytes: int) -> Response:
        return self._connection.request("GET", path, timeout=self._timeout, max_bytes=max_bytes)

    def ready(self) -> Ready:
        """Ask ``/ready``. Never raises: what went wrong is in ``problem``."""
        try:
            answer = self._get("/ready", _READY_BYTES)
            return read_ready(answer)
        except HttpError as exc:
            return Ready(problem=exc.kind, message=sanitize(exc.msg, 200))

    def metrics(self) -> Metrics:
        """Ask ``/metrics``. Never raises."""
        try:
            answer = self._get("/metrics", _METRICS_BYTES)
        except HttpError as exc:
            return Metrics(problem=exc.kind)
        if answer.status != 200:
            return Metrics(problem="unsupported" if answer.status == 404 else f"status_{answer.status}")
        return read_metrics(answer.text)

    def config_version(self) -> int | None:
        """The version of the configuration in force; -1: none received from the edge; None: it does not say."""
        try:
            answer = self._get("/config", _CONFIG_BYTES)
            data = answer.json() if answer.status == 200 else None
        except HttpError:
            return None
        version = data.get("version") if isinstance(data, dict) else None
        return version if isinstance(version, int) and not isinstance(version, bool) else None

    def close(self) -> None:
        self._connection.close()


def read_ready(answer: Response) -> Ready:
    """The meaning of an answer of ``/ready``. Raises HttpError: not_json."""
    if answer.status == 404:
        return Ready(problem="unsupported", message="this cloudflared has no /ready")
    if answer.status not in (200, 503):
        return Ready(problem="unexpected", message=f"/ready answered with status {answer.status}")
    data = answer.json()
    count = data.get("readyConnections") if isinstance(data, dict) else None
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= 255:
        return Ready(
            problem="unexpected", message="/ready has no readyConnections: it is not a cloudflared that answers"
        )
    if (count > 0) != (answer.status == 200):
        return Ready(
            problem="unexpected", message=f"/ready contradicts itself: status {answer.status}, {count} connections"
        )
    identity = data.get("connectorId")
    known = isinstance(identity, str) and _UUID.fullmatch(identity)
    return Ready(count, str(identity).lower() if known else "")


def read_metrics(text: str) -> Metrics:
    """The few metrics that can be believed, from a body that may be anything.

    ``ha_connections`` counts attempts, and ``server_locations`` is never
    taken back: neither says that anything is connected.
    """
    found: dict[tuple[str, str], float] = {}
    version = ""
    for line in text.split("\n", _MAX_LINES)[:_MAX_LINES]:
        name = line.partition("{")[0].partition(" ")[0]
        if name not in _WANTED:
            continue
        match = _LINE.match(line.rstrip("\r"))
        if match is None:
            continue
        labels = dict(_LABEL.findall(match[2] or ""))
        label = labels.get(_WANTED[name], "")
        if name == "build_info":
            version = sanitize(label, 60)
            continue
        try:
            found[name, label] = found.get((name, label), 0.0) + float(match[3])
        except ValueError:
            continue
    through = [
        found[name, ""]
        for name in ("cloudflared_tunnel_total_requests", "cloudflared_tcp_total_sessions")
        if (name, "") in found
    ]
    return Metrics(
        requests=_count(sum(through)) if through else None,
        registered=_count(found.get(("cloudflared_tunnel_tunnel_register_success", ""), 0.0)),
        refused=_count(found.get(("cloudflared_tunnel_tunnel_register_fail", "server_error"), 0.0)),
        duplicates=_count(found.get(("cloudflared_tunnel_tunnel_register_fail", "dup_edge_conn"), 0.0)),
        started=found.get(("process_start_time_seconds", "")),
        version=version,
        problem="" if ("process_start_time_seconds", "") in found or version else "unexpected",
    )


def _count(value: float) -> int:
    return int(value) if 0 <= value < 1e15 else 0
