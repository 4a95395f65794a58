# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One connection that a connector made: from TLS over the registration to the last goodbye."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

from . import rpc
from .behaviour import DUPLICATE, Behaviour, Mode, Rules, Selection
from .capnp import CapnpError, Deframer
from .http2 import Link, StreamLost
from .registry import Connection, Refused, Registry, Tunnel
from .silence import drop_all, let_through

UPGRADE = "cf-cloudflared-proxy-connection-upgrade"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
_CONFIG_ANSWER_LIMIT = 65536

# Modes that came into play earlier where the tunnel was known then: nothing more is said, or the connection cut.
_SPEECHLESS = (Mode.NO_PREFACE, Mode.NO_CONTROL_STREAM, Mode.NO_ANSWER)
_CUT = (Mode.REFUSE, Mode.BAD_CERTIFICATE, Mode.CLOSE)


def reset(transport: asyncio.BaseTransport) -> None:
    """End a connection with a reset instead of an orderly goodbye."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()  # type: ignore[attr-defined]


class Session:
    """``run`` serves the connection until it ends."""

    def __init__(
        self,
        registry: Registry,
        rules: Rules,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        subject: Selection,
    ) -> None:
        self._registry, self._rules = registry, rules
        self._writer = writer
        self.link = Link(reader, writer)
        self.subject = subject  # source and port; tunnel and connector from the registration on
        self.connection: Connection | None = None
        self._why_lost = ""
        self._silence: asyncio.TimerHandle | None = None

    @property
    def behaviour(self) -> Behaviour:
        """What holds for this connection now."""
        return self._rules.of(self.subject)

    @property
    def usable(self) -> bool:
        """Whether requests can go through it."""
        return self.connection is not None and self.connection.live and not self.link.closed.is_set()

    async def run(self) -> None:
        behaviour = self.behaviour
        if behaviour.mode is Mode.NO_PREFACE:
            await self.link.ignore()
            return
        self.link.start()
        reason = "the edge failed"
        try:
            async with asyncio.TaskGroup() as tasks:
                talk = tasks.create_task(self._talk(behaviour, tasks))
                reason = await self.link.run()
                talk.cancel()
        finally:
            if self._silence is not None:
                self._silence.cancel()
            if self.connection is not None:
                self._registry.lose(self.connection, self._why_lost or reason)

    async def _talk(self, behaviour: Behaviour, tasks: asyncio.TaskGroup) -> None:
        if behaviour.mode is Mode.NO_CONTROL_STREAM:
            return
        await asyncio.sleep(behaviour.delay)
        try:
            await self._control(tasks)
        except StreamLost:
            return  # the connection is over, and run() knows
        except CapnpError as exc:
            self._note("malformed", detail=str(exc))
            self.cut("malformed message")
            return
        # The connector ended the control stream: it said goodbye, or took a refusal. Now it waits for us to hang up.
        await self.link.drained()
        self._writer.close()

    # -- the control stream --

    async def _control(self, tasks: asyncio.TaskGroup) -> None:
        stream = self.link.open([(UPGRADE, "control-stream")], method="POST")
        deframer = Deframer()
        while chunk := await stream.read():
            for message in deframer.feed(chunk):
                request = rpc.parse(message)
                answer = await self._answer(request)
                if answer:
                    await stream.send(answer)
                if isinstance(request, rpc.Register) and self.connection is not None:
                    tasks.create_task(self._first_configuration())

    async def _answer(self, request: rpc.Request | None) -> bytes:
        match request:
            case None:
                return b""
            case rpc.Bootstrap():
                return rpc.answer_bootstrap(request.question)
            case rpc.Register():
                return await self._register(request)
            case rpc.Unregister():
                if self.connection is not None:
                    self._registry.unregister(self.connection)
                return rpc.answer_empty(request.question)
            case rpc.LocalConfiguration():
                self._local_configuration(request)
                return rpc.answer_empty(request.question)
            case rpc.UnknownCall():
                return rpc.answer_unimplemented(request.question, f"no method {request.method} here")

    async def _register(self, wish: rpc.Register) -> bytes:
        self.subject = Selection(wish.tunnel, wish.connector, self.subject.source, self.subject.port)
        behaviour = self.behaviour
        self._note("asked", index=wish.conn_index, mode=behaviour.mode.value, version=wish.version)
        if behaviour.mode in _CUT:
            self.cut(behaviour.mode.value)
        if behaviour.mode is Mode.BLACK_HOLE:
            self.silence(True)
        if behaviour.mode in (*_CUT, *_SPEECHLESS, Mode.BLACK_HOLE):
            return b""
        await asyncio.sleep(behaviour.delay)
        source, port = self.subject.source or "", self.subject.port or 0
        try:
            tunnel = self._registry.admit(wish, source)
            if behaviour.mode is Mode.REJECT:
                raise Refused(behaviour.cause, behaviour.retry, behaviour.retry_after)
            self._check_limit(tunnel, wish, behaviour)
        except Refused as refused:
            self._note("refused", index=wish.conn_index, cause=refused.cause)
            return rpc.answer_refused(wish.question, refused.cause, refused.retry, refused.retry_after)
        self.connection = self._registry.register(tunnel, wish, source, port)
        managed = tunnel.config_src == "cloudflare"
        return rpc.answer_registered(wish.question, self.connection.id, self.connection.location, managed)

    def _check_limit(self, tunnel: Tunnel, wish: rpc.Register, behaviour: Behaviour) -> None:
        connector = tunnel.connectors.get(wish.connector)
        others = [one for one in connector.live if one.index != wish.conn_index] if connector else []
        if behaviour.max_connections is not None and len(others) >= behaviour.max_connections:
            raise Refused(behaviour.cause or DUPLICATE, True)

    # -- configuration --

    async def _first_configuration(self) -> None:
        tunnel = self._tunnel()
        if tunnel is not None and tunnel.config_src == "cloudflare":
            try:
                await self.push_configuration()
            except StreamLost as exc:
                self._note("configuration-lost", detail=str(exc))

    async def push_configuration(self) -> dict[str, Any]:
        """Give the connector the tunnel's configuration; its answer. StreamLost where it gives none."""
        tunnel = self._tunnel()
        if tunnel is None or self.connection is None:
            raise StreamLost("nothing is registered on this connection")
        body = json.dumps({"version": tunnel.config_version, "config": tunnel.config}).encode()
        stream = self.link.open([(UPGRADE, "update-configuration")], method="PUT")
        await stream.send(body, end=True)
        status, _headers = await stream.head()
        raw = await stream.read_all(_CONFIG_ANSWER_LIMIT)
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = {}
        if status != 200 or not isinstance(answer, dict):
            raise StreamLost(f"the configuration was answered with status {status}")
        connector = tunnel.connectors.get(self.connection.connector)
        if connector is not None and isinstance(answer.get("lastAppliedVersion"), int):
            connector.config_version = answer["lastAppliedVersion"]
        self._note("configured", version=answer.get("lastAppliedVersion"), error=answer.get("err"))
        return answer

    def _local_configuration(self, request: rpc.LocalConfiguration) -> None:
        tunnel = self._tunnel()
        try:
            config = json.loads(request.config)
        except ValueError:
            config = None
        if tunnel is not None and isinstance(config, dict):
            tunnel.config = config
        self._note("local-configuration", understood=isinstance(config, dict))

    def _tunnel(self) -> Tunnel | None:
        return self._registry.tunnels.get(self.subject.tunnel or "")

    # -- what the edge does to it --

    def cut(self, reason: str) -> None:
        """Reset the connection."""
        self._why_lost = reason
        reset(self._writer.transport)

    def silence(self, silent: bool, forget_after: float = 10.0) -> None:
        """Drop what arrives and send nothing, or stop doing so.

        After ``forget_after`` seconds the edge takes the connection for lost, and resets it when the silence is over.
        """
        sock = self._writer.get_extra_info("socket")
        if sock is None or silent == (self._silence is not None):
            return
        if silent:
            drop_all(sock)
            self.link.mute(True)
            self._silence = asyncio.get_running_loop().call_later(forget_after, self._forget)
            return
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        let_through(sock)
        if self.connection is not None and not self.connection.live:
            self.cut("forgotten in the silence")
        else:
            self.link.mute(False)

    def _forget(self) -> None:
        if self.connection is not None:
            self._registry.lose(self.connection, "nothing came for too long")

    def _note(self, event: str, **details: Any) -> None:
        self._registry.diary.write(event, **self.subject.as_dict(), **details)
