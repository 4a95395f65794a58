# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edge as a whole: its ports, the connections on them, and what is done to all or some of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any

from . import silence
from .behaviour import Behaviour, Mode, Rules, ScriptError, Selection
from .http2 import StreamLost
from .registry import Registry, Tunnel
from .session import RESET_ON_CLOSE, Session

_HANDSHAKE_SECONDS = 10.0
_SWEEP_SECONDS = 0.5
_EVERYBODY = Selection()

Address = tuple[str, int]


class Edge:
    """Listens on ``addresses``; certificates as contexts: the good one, and one of a CA that nobody trusts."""

    def __init__(
        self, registry: Registry, addresses: Sequence[Address], good: ssl.SSLContext, bad: ssl.SSLContext
    ) -> None:
        self.registry = registry
        self.rules = Rules()
        self.addresses = list(addresses)
        self._contexts = {True: good, False: bad}
        self._listeners: dict[Address, socket.socket] = {}
        self._accepting: dict[Address, asyncio.Task[None]] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self.sessions: set[Session] = set()
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def listening(self) -> list[str]:
        """The ports that are open now."""
        return [f"{host}:{port}" for host, port in self._listeners]

    # -- up and down --

    async def start(self) -> None:
        """Open the ports. OSError where one is taken."""
        self._sweeper = asyncio.create_task(self._sweep())
        self._open_ports()

    async def stop(self) -> None:
        self._close_ports()
        tasks = [*self._serving, *([self._sweeper] if self._sweeper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _open_ports(self) -> None:
        for place, address in enumerate(self.addresses):
            if address in self._listeners:
                continue
            listener = socket.create_server(address, backlog=256)
            listener.setblocking(False)
            # A port that was chosen by the kernel stays the same when it is opened again.
            self.addresses[place] = listener.getsockname()[:2]
            self._listeners[self.addresses[place]] = listener
            self._accepting[self.addresses[place]] = asyncio.create_task(self._accept(listener))

    def _close_ports(self) -> None:
        for task in self._accepting.values():
            task.cancel()
        for listener in self._listeners.values():
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        self._accepting.clear()
        self._listeners.clear()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.registry.sweep()

    # -- connections --

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, (source, *_rest) = await loop.sock_accept(listener)
            subject = self._arrived(source, listener.getsockname()[1])
            task = asyncio.create_task(self._serve(sock, subject))
            self._serving.add(task)
            task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.registry.diary.write("error", detail=repr(error))

    def _arrived(self, source: str, port: int) -> Selection:
        """What is known of a connection before it says anything: its tunnel, where its host serves only one."""
        tunnels = self.registry.tunnels_of(source)
        return Selection(next(iter(tunnels)) if len(tunnels) == 1 else None, None, source, port)

    async def _serve(self, sock: socket.socket, subject: Selection) -> None:
        loop = asyncio.get_running_loop()
        behaviour = self.rules.of(subject)
        sock.setblocking(False)
        if behaviour.mode is Mode.BLACK_HOLE:
            await self._hold(sock, subject)
            return
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        if behaviour.mode is Mode.REFUSE:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            sock.close()
            return
        try:
            transport, _unused = await loop.connect_accepted_socket(
                lambda: protocol,
                sock,
                ssl=self._contexts[behaviour.mode is not Mode.BAD_CERTIFICATE],
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=1.0,
            )
        except (OSError, ssl.SSLError):
            sock.close()
            return  # a probe, or a connector that does not trust the certificate
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        if behaviour.mode is Mode.CLOSE:
            writer.close()
            return
        await self._run(Session(self.registry, self.rules, reader, writer, subject), writer)

    async def _run(self, session: Session, writer: asyncio.StreamWriter) -> None:
        self.sessions.add(session)
        try:
            await session.run()
        finally:
            self.sessions.discard(session)
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    async def _hold(self, sock: socket.socket, subject: Selection) -> None:
        """Keep a connection that slipped in while its packets should be dropped; it ends with the silence."""
        silence.drop_all(sock)
        while self.rules.of(subject).mode is Mode.BLACK_HOLE:
            await asyncio.sleep(_SWEEP_SECONDS)
        silence.let_through(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        sock.close()

    # -- the script --

    def behave(self, select: Selection, behaviour: Behaviour) -> None:
        """Set a rule; it holds for what comes, and a black hole for what is there."""
        self.rules.set(select, behaviour)
        self.registry.diary.write("scripted", select=select.as_dict(), **behaviour.as_dict())
        self._apply()

    def forget_rules(self, select: Selection | None = None) -> None:
        """Remove one rule, or all."""
        self.rules.clear(select)
        self.registry.diary.write("unscripted", select=select.as_dict() if select else None)
        self._apply()

    def _apply(self) -> None:
        if self.rules.of(_EVERYBODY).mode is Mode.REFUSE:
            self._close_ports()
        else:
            self._open_ports()
        for (_host, port), listener in self._listeners.items():
            self._filter(listener, port)
        for session in self.sessions:
            session.silence(session.behaviour.mode is Mode.BLACK_HOLE)

    def _filter(self, listener: socket.socket, port: int) -> None:
        """Drop the first packets of those for whom a black hole is set."""
        chosen = self.rules.selections(Mode.BLACK_HOLE)
        everybody = self.rules.of(Selection(port=port)).mode is Mode.BLACK_HOLE
        sources = {source for select in chosen for source in self._sources(select)}
        if everybody:
            silence.drop_all(listener)
        elif sources:
            silence.drop_from(listener, sources)
        else:
            silence.let_through(listener)

    def _sources(self, select: Selection) -> set[str]:
        """The hosts that a selection means as a whole."""
        if select.source is not None:
            return {select.source} if select.size == 1 else set()
        if select.tunnel is None or select.size > 1:
            return set()
        return {source for source in self.registry.sources() if self.registry.tunnels_of(source) == {select.tunnel}}

    def reset(self, select: Selection) -> int:
        """Cut all connections that are chosen; how many."""
        chosen = [session for session in self.sessions if select.covers(session.subject)]
        for session in chosen:
            session.cut("reset by the edge")
        return len(chosen)

    def forget(self, tunnel: Tunnel, connector: str | None) -> None:
        """Remove a connector of a tunnel (all of them for None) and cut what it holds; a living one comes back."""
        gone = {connection.id for connection in self.registry.forget(tunnel, connector)}
        for session in list(self.sessions):
            if session.connection is not None and session.connection.id in gone:
                session.cut("removed by the API")

    # -- through the tunnel --

    def session(self, tunnel: str, connector: str | None = None, index: int | None = None) -> Session:
        """A connection that requests can go through. ScriptError where there is none."""
        for session in self._usable(Selection(tunnel, connector)):
            if index is None or (session.connection and session.connection.index == index):
                return session
        raise ScriptError(f"tunnel {tunnel} has no such living connection (connector {connector}, index {index})")

    def _usable(self, select: Selection) -> Iterator[Session]:
        chosen = [one for one in self.sessions if one.usable and select.covers(one.subject)]
        yield from sorted(chosen, key=lambda one: one.connection.index if one.connection else 0)

    async def configure(self, tunnel: str, config: dict[str, Any]) -> list[dict[str, Any]]:
        """Give a tunnel a new configuration and push it to its connectors; their answers."""
        found = self.registry.tunnels.get(tunnel)
        if found is None:
            raise ScriptError(f"there is no tunnel {tunnel}")
        found.config, found.config_version = config, found.config_version + 1
        answers = []
        for session in list(self._usable(Selection(tunnel))):
            about = {"connector": session.subject.connector, "index": session.connection and session.connection.index}
            try:
                answers.append({**about, **await asyncio.wait_for(session.push_configuration(), 5.0)})
            except (StreamLost, TimeoutError) as exc:
                answers.append({**about, "err": str(exc) or "no answer in 5 s"})
        return answers
