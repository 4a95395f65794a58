# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes a connector: its process, its endpoints, and whether it can reach the edge.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import endpoints as e
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.backoff import reconnect_grace
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.classify import (
    Metrics,
    MetricsEndpoint,
    Ready,
    Rules,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.settings import Process, Settings
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import RECONNECTING
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.tunnel_identity import Identity, identify
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import procfs as sockets
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import (
    HttpClient,
    HttpError,
    parse_url,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, LifecycleError

EDGE_PORT = 7844
_EDGE_TRY = 1.5
_EDGE_EVERY = 5.0
_METRICS_EVERY = 0.5
_URL_EVERY = 3.0
_URL_FAILURES = 2
# Cloudflare's own answer where no connector serves the tunnel (error 1033).
_NO_CONNECTOR = 530


def check_options(params: t.Mapping[str, t.Any]) -> None:
    """Refuse invalid values. Raises LifecycleError naming the option."""
    for option in ("metrics_timeout", "tunnel_url_timeout"):
        if not params[option] > 0:
            raise LifecycleError(f"{option}: {params[option]} is not above 0; give seconds")
    for option, least in (("expected_connections", 1), ("min_connections", 1), ("healthy_replicas", 0)):
        value = params[option]
        if value is not None and value < least:
            raise LifecycleError(f"{option}: {value} is less than {least}")
    if params["reconnect_grace"] is not None and not params["reconnect_grace"] >= 0:
        raise LifecycleError(f"reconnect_grace: {params['reconnect_grace']} is negative; give seconds")
    if params["expected_connections"] is not None and params["min_connections"] > params["expected_connections"]:
        raise LifecycleError("min_connections: it is more than expected_connections")
    for option in ("metrics", "tunnel_url"):
        value = params[option]
        if not value:
            continue
        try:
            parse_url(e.base_url(value) if option == "metrics" else value)
        except HttpError as exc:
            raise LifecycleError(f"{option}: {exc.msg}; give host:port or a URL") from exc


@dataclass
class ConnectorSnapshot:
    """What is known about one process of the connector, kept between samples.

    ``lost_at``: when an observation first found it without connections (seconds since the epoch);
    ``flaps_since``: since when it is known to lose all its connections again and again (seconds since the epoch);
    ``serves_nobody``: whether it is sure of its half-open connections that no request comes through them.
    """

    pid: int
    invocation: str
    process: Process
    settings: Settings
    identity: Identity
    others: tuple[int, ...] = ()
    connector: e.Connector | None = None
    endpoint: MetricsEndpoint = field(default_factory=MetricsEndpoint)
    ready: Ready = field(default_factory=Ready)
    metrics: Metrics = field(default_factory=Metrics)
    metrics_at: float = 0.0
    config_version: int | None = None
    had: bool = False
    lost_at: float | None = None
    flaps_since: float | None = None
    edge_open: bool | None = None
    edge_at: float = 0.0
    url_failures: int = 0
    url_at: float = 0.0
    url_said: str = ""
    url_sure: bool = False
    serves_nobody: bool = False

    @property
    def edge_port(self) -> int:
        return self.edge_ports[0]

    @property
    def edge_ports(self) -> tuple[int, ...]:
        """The ports of the edge, in the order in which it was told of them."""
        words = [place.rpartition(":")[2] for place in self.settings.text("edge").split(",")]
        ports = [int(port) for port in words if port.isascii() and port.isdigit() and len(port) <= 5]
        return tuple(dict.fromkeys(port for port in ports if 0 < port < 65536)) or (EDGE_PORT,)


class ConnectorMonitor:
    """Observes the connector of one unit."""

    def __init__(
        self, params: t.Mapping[str, t.Any], clock: Clock, http: HttpClient | None = None, proc: str = "/proc"
    ) -> None:
        self._params = params
        self._clock = clock
        self._http = http or HttpClient()
        self._proc = proc
        self._snapshot: ConnectorSnapshot | None = None

    def snapshot(self, pid: int, invocation: str, members: t.Callable[[], t.Sequence[int]]) -> ConnectorSnapshot:
        """The connector whose unit has the main process ``pid``. ``members``: all processes of the unit."""
        if self._snapshot is None or self._snapshot.invocation != invocation or not self._alive(self._snapshot.pid):
            own = self._connector_pid(pid, members)
            process = Process(own, self._proc)
            settings = process.settings()
            others = tuple(other for other in sockets.named("cloudflared", self._proc) if other != own)
            identity = identify(settings, process.read, settings.home)
            self._snapshot = ConnectorSnapshot(own, invocation, process, settings, identity, others)
        return self._snapshot

    def poll(self, snapshot: ConnectorSnapshot) -> None:
        """Ask ``/ready``, and what else this moment needs."""
        if snapshot.connector is None:
            snapshot.endpoint = e.find(snapshot.settings, snapshot.pid, self._proc, self._params["metrics"] or "")
            if not snapshot.endpoint.url:
                snapshot.ready = Ready()
                return
            snapshot.connector = e.Connector(self._http, snapshot.endpoint.url, self._params["metrics_timeout"])
        connector, rules, now = snapshot.connector, self.rules(snapshot), self._clock.monotonic()
        snapshot.ready = ready = connector.ready()
        count = ready.connections
        if ready.problem == "refused":
            snapshot.connector = None  # its port may be another one next time
        if count is None:
            return
        if not snapshot.metrics_at or (count < rules.expected and now - snapshot.metrics_at >= _METRICS_EVERY):
            snapshot.metrics, snapshot.metrics_at = connector.metrics(), now
        if count and snapshot.config_version in (None, -1) and rules.remote:
            snapshot.config_version = connector.config_version()
        snapshot.had = snapshot.had or count > 0
        if count >= rules.minimum:
            snapshot.lost_at = None
        elif snapshot.lost_at is None:
            snapshot.lost_at = self._clock.wall()

    def rules(self, snapshot: ConnectorSnapshot) -> Rules:
        expected = self._params["expected_connections"] or snapshot.settings.expected
        minimum = min(self._params["min_connections"], expected)
        return Rules(expected, minimum, snapshot.settings.protocol, snapshot.settings.remote)

    def budget(self, snapshot: ConnectorSnapshot, state: str) -> float:
        """Seconds that the connector may take to reconnect by itself. ``state``: the one it is in."""
        given = self._params["reconnect_grace"]
        registered = snapshot.had or bool(snapshot.metrics.registered) or state == RECONNECTING
        return reconnect_grace(snapshot.settings.retries, registered) if given is None else float(given)

    def try_edge(self, snapshot: ConnectorSnapshot, addresses: t.Sequence[tuple[str, int]]) -> None:
        """Whether TCP to what the connector could not reach works now; at most every five seconds."""
        now = self._clock.monotonic()
        if not addresses or (snapshot.edge_at and now - snapshot.edge_at < _EDGE_EVERY):
            return
        snapshot.edge_at, snapshot.edge_open = now, False
        for host, port in addresses[:2]:
            try:
                self._http.connect(host, port, timeout=_EDGE_TRY)
            except HttpError:
                continue
            snapshot.edge_open = True
            break

    def try_url(self, snapshot: ConnectorSnapshot) -> str:
        """Why a request through the tunnel shows that it is dead; empty where it does not, or is not asked for."""
        url = self._params["tunnel_url"]
        now = self._clock.monotonic()
        if not url:
            return ""
        if not snapshot.url_at or now - snapshot.url_at >= _URL_EVERY:
            snapshot.url_at = now
            snapshot.url_said, snapshot.url_sure = self._ask_url(url, snapshot)
            snapshot.url_failures = snapshot.url_failures + 1 if snapshot.url_said else 0
        return snapshot.url_said if snapshot.url_failures >= _URL_FAILURES else ""

    def url_pending(self, snapshot: ConnectorSnapshot | None) -> bool:
        """Whether one more request through the tunnel is needed before a verdict."""
        return snapshot is not None and 0 < snapshot.url_failures < _URL_FAILURES

    def _ask_url(self, url: str, snapshot: ConnectorSnapshot) -> tuple[str, bool]:
        """What a request shows against the tunnel, empty where nothing does, and whether that is sure."""
        before = self._requests(snapshot)
        try:
            answer = self._http.request("GET", url, timeout=self._params["tunnel_url_timeout"])
        except HttpError as exc:
            # Any answer at all, an error of the origin too, came through the tunnel.
            if exc.kind not in ("timeout", "reset", "protocol"):
                return "", False
            message, sure = f"a request through the tunnel failed: {sanitize(exc.msg, 200)}", False
        else:
            if answer.status != _NO_CONNECTOR:
                return "", False
            message, sure = f"a request through the tunnel got status {_NO_CONNECTOR}: no connector serves it", True
        after = self._requests(snapshot)
        counted = before is not None and after is not None
        if counted and after != before:
            return "", False  # it came through, and it is the origin that does not answer
        # What hangs in silence may be another replica, or the way to the edge.
        return message, sure or (counted and self._params["healthy_replicas"] == 0)

    def _requests(self, snapshot: ConnectorSnapshot) -> int | None:
        return None if snapshot.connector is None else snapshot.connector.metrics().requests

    def carries_own_connection(self, snapshot: ConnectorSnapshot) -> bool | None:
        """Whether this connector carries the SSH connection of this run."""
        given = self._params["own_tunnel"]
        if given is not None:
            return bool(given)
        return sockets.carries(snapshot.pid, sockets.ssh_connection(os.environ, self._proc), self._proc)

    def _alive(self, pid: int) -> bool:
        return os.path.isdir(f"{self._proc}/{pid}")

    def _connector_pid(self, pid: int, members: t.Callable[[], t.Sequence[int]]) -> int:
        """The main process, unless that is a wrapper around a cloudflared."""
        if self._is_connector(pid):
            return pid
        return next((member for member in members() if member != pid and self._is_connector(member)), pid)

    def _is_connector(self, pid: int) -> bool:
        argv = Process(pid, self._proc).argv()
        return bool(argv) and os.path.basename(argv[0]).startswith("cloudflared")
