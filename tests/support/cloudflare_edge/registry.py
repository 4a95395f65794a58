# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is registered: tunnels, their connectors, and the connections of those."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .behaviour import UNAUTHORIZED, Selection
from .diary import Diary, timestamp
from .rpc import Register

TUNNEL_NOT_FOUND = "Unauthorized: Tunnel not found"


class Refused(Exception):
    """The edge does not register a connection."""

    def __init__(self, cause: str, retry: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(cause)
        self.cause, self.retry, self.retry_after = cause, retry, retry_after


@dataclass
class Connection:
    """A registered connection; with ``lost_at`` one that is gone and still listed (a ghost). Times in epoch seconds."""

    id: uuid.UUID
    tunnel: str
    connector: str
    index: int
    source: str
    port: int
    location: str
    opened_at: float
    lost_at: float | None = None

    @property
    def live(self) -> bool:
        return self.lost_at is None

    @property
    def subject(self) -> Selection:
        return Selection(self.tunnel, self.connector, self.source, self.port)

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "index": self.index,
            "source": self.source,
            "port": self.port,
            "location": self.location,
            "opened_at": timestamp(self.opened_at),
            "lost_at": timestamp(self.lost_at),
        }


@dataclass
class Connector:
    """A process of cloudflared, as it introduced itself."""

    id: str
    version: str
    arch: str
    features: tuple[str, ...]
    run_at: float
    connections: dict[int, Connection] = field(default_factory=dict)
    wanted: set[int] = field(default_factory=set)  # the indices it ever asked to register
    config_version: int = 0

    @property
    def live(self) -> list[Connection]:
        return [connection for _unused, connection in sorted(self.connections.items()) if connection.live]


@dataclass
class Tunnel:
    """``secret`` None takes that of the first connector. ``config_src`` is cloudflare or local."""

    id: str
    name: str
    account: str
    secret: bytes | None = field(default=None, repr=False)
    config_src: str = "cloudflare"
    config: dict[str, Any] = field(default_factory=lambda: {"ingress": [{"service": "http_status:200"}]})
    config_version: int = 1
    created_at: float = field(default_factory=time.time)
    deleted_at: float | None = None
    active_at: float | None = None
    inactive_at: float | None = None
    connectors: dict[str, Connector] = field(default_factory=dict)

    @property
    def live(self) -> list[Connection]:
        return [connection for connector in self.connectors.values() for connection in connector.live]

    @property
    def status(self) -> str:
        """inactive: never run. down: none left. degraded: some connection failed. healthy: all serve."""
        if not self.live:
            return "inactive" if self.active_at is None else "down"
        complete = all(len(connector.live) == len(connector.wanted) for connector in self.connectors.values())
        return "healthy" if complete else "degraded"


class Registry:
    """All tunnels. Times that a caller gives are in seconds."""

    def __init__(self, diary: Diary, *, location: str = "tst01", ghost_seconds: float = 60.0) -> None:
        self.diary = diary
        self.location = location
        self.ghost_seconds = ghost_seconds
        self.unknown_tunnels = True  # whether a tunnel that nobody declared may register
        self.tunnels: dict[str, Tunnel] = {}
        self._spoke_from: dict[str, set[str]] = {}

    def declare(self, tunnel: Tunnel) -> Tunnel:
        self.tunnels[tunnel.id] = tunnel
        return tunnel

    def sources(self) -> list[str]:
        """The addresses from which connectors have asked so far."""
        return list(self._spoke_from)

    def tunnels_of(self, source: str) -> set[str]:
        """The tunnels for which connectors at an address have asked so far."""
        return self._spoke_from.get(source, set())

    def connections(self, select: Selection | None = None) -> Iterator[Connection]:
        """Living connections."""
        for tunnel in list(self.tunnels.values()):
            for connection in tunnel.live:
                if select is None or select.covers(connection.subject):
                    yield connection

    # -- what connectors do --

    def admit(self, wish: Register, source: str) -> Tunnel:
        """The tunnel that a connector may serve. Raises Refused."""
        if not wish.tunnel or not wish.connector:
            raise Refused("the registration names no tunnel or no connector")
        self._spoke_from.setdefault(source, set()).add(wish.tunnel)
        tunnel = self.tunnels.get(wish.tunnel)
        if tunnel is None:
            if not self.unknown_tunnels:
                raise Refused(TUNNEL_NOT_FOUND)
            tunnel = self.declare(Tunnel(wish.tunnel, f"tunnel-{wish.tunnel[:8]}", wish.account))
        if tunnel.deleted_at is not None:
            raise Refused(TUNNEL_NOT_FOUND)
        if tunnel.secret is None:
            tunnel.secret = wish.secret
        if tunnel.secret != wish.secret or tunnel.account != wish.account:
            raise Refused(UNAUTHORIZED)
        connector = tunnel.connectors.get(wish.connector)
        if connector is not None:
            connector.wanted.add(wish.conn_index)
        return tunnel

    def register(self, tunnel: Tunnel, wish: Register, source: str, port: int) -> Connection:
        """Enter a connection; it takes the place of an older one of the same connector and index."""
        connector = tunnel.connectors.get(wish.connector)
        if connector is None:
            connector = Connector(wish.connector, wish.version, wish.arch, wish.features, time.time())
            tunnel.connectors[wish.connector] = connector
        connector.wanted.add(wish.conn_index)
        connection = Connection(
            uuid.uuid4(), tunnel.id, connector.id, wish.conn_index, source, port, self.location, time.time()
        )
        connector.connections[wish.conn_index] = connection
        if tunnel.active_at is None or tunnel.inactive_at is not None:
            tunnel.active_at, tunnel.inactive_at = time.time(), None
        self._note("registered", connection, previous_attempts=wish.previous_attempts)
        return connection

    def unregister(self, connection: Connection) -> None:
        """The connector said goodbye: no ghost."""
        if connection.live and self._entered(connection):
            self._note("unregistered", connection)
            self.tunnels[connection.tunnel].connectors[connection.connector].wanted.discard(connection.index)
            self._remove(connection)

    def lose(self, connection: Connection, reason: str) -> None:
        """The connection is gone without a goodbye; it stays listed as a ghost for a while."""
        if connection.live and self._entered(connection):
            connection.lost_at = time.time()
            self._note("lost", connection, reason=reason)
            self._quiet(self.tunnels[connection.tunnel])

    # -- what operators do --

    def forget(self, tunnel: Tunnel, connector_id: str | None) -> list[Connection]:
        """Remove a connector, or all of them; gives the connections that lived and have to be cut."""
        gone = [tunnel.connectors.pop(name) for name in list(tunnel.connectors) if connector_id in (None, name)]
        living = [connection for connector in gone for connection in connector.live]
        for connection in living:
            connection.lost_at = time.time()
            self._note("forgotten", connection)
        self._quiet(tunnel)
        return living

    def sweep(self) -> None:
        """Let ghosts go whose time is over."""
        now = time.time()
        for tunnel in self.tunnels.values():
            for connector in list(tunnel.connectors.values()):
                for connection in list(connector.connections.values()):
                    if connection.lost_at is not None and now - connection.lost_at >= self.ghost_seconds:
                        self._remove(connection)

    # -- inside --

    def _entered(self, connection: Connection) -> bool:
        connector = self.tunnels[connection.tunnel].connectors.get(connection.connector)
        return connector is not None and connector.connections.get(connection.index) is connection

    def _remove(self, connection: Connection) -> None:
        if not self._entered(connection):
            return
        tunnel = self.tunnels[connection.tunnel]
        connector = tunnel.connectors[connection.connector]
        del connector.connections[connection.index]
        if not connector.connections:
            del tunnel.connectors[connector.id]
        self._quiet(tunnel)

    def _quiet(self, tunnel: Tunnel) -> None:
        if not tunnel.live and tunnel.active_at is not None and tunnel.inactive_at is None:
            tunnel.inactive_at = time.time()

    def _note(self, event: str, connection: Connection, **details: Any) -> None:
        self.diary.write(
            event,
            tunnel=connection.tunnel,
            connector=connection.connector,
            index=connection.index,
            connection=str(connection.id),
            source=connection.source,
            port=connection.port,
            **details,
        )
