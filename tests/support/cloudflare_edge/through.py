# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes through a tunnel: requests as a browser makes them, and TCP streams to a place the connector reaches."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import itertools
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .behaviour import ScriptError
from .edge import Address, Edge
from .http2 import Headers, Stream, StreamLost
from .session import Session

_BODY_LIMIT = 8 << 20
_CHUNK = 65536
_TCP_SOURCE = "cf-cloudflared-proxy-src"
_ORIGIN_HEADERS = "cf-cloudflared-response-headers"
# A connection's own matters, which HTTP/2 has no place for.
_NOT_SENT = {"connection", "host", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"}
_NAME, _VALUE = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+"), re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


@dataclass(frozen=True)
class Answer:
    """The origin's answer, and the connection it came over."""

    status: int
    headers: dict[str, str]
    body: bytes
    connector: str
    index: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "headers": self.headers,
            "body": self.body.decode("utf-8", "replace"),
            "connector": self.connector,
            "index": self.index,
            "seconds": round(self.seconds, 4),
        }


def _unpad(text: str) -> str:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode("utf-8", "replace")


def origin_headers(headers: Headers) -> dict[str, str]:
    """The origin's headers out of those of the tunnel: pairs in base64 without padding, joined by ; and :."""
    packed = next((value for name, value in headers if name == _ORIGIN_HEADERS), "")
    found = {}
    for pair in filter(None, packed.split(";")):
        name, _unused, value = pair.partition(":")
        try:
            found[_unpad(name).lower()] = _unpad(value)
        except binascii.Error as exc:
            raise StreamLost(f"headers of the origin that cannot be read: {pair[:100]!r}") from exc
    return found


def _to_send(headers: Mapping[str, str]) -> Headers:
    """ScriptError for what is no header: once the HTTP/2 library has refused one, the whole connection is spoilt."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name.lower()) or not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ScriptError(f"headers: {name!r}: {value!r} is no header")
    return [(name.lower(), value.strip()) for name, value in headers.items() if name.lower() not in _NOT_SENT]


async def request(
    session: Session,
    *,
    method: str = "GET",
    path: str = "/",
    host: str = "app.example.com",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """A request through one connection. StreamLost where the connection ends first."""
    began = time.monotonic()
    await asyncio.sleep(session.behaviour.delay)
    stream = session.link.open(_to_send(headers or {}), method=method, path=path, authority=host, end=not body)
    try:
        if body:
            # An origin may answer without taking the whole body. Where there is no answer either, head() says so.
            with contextlib.suppress(StreamLost):
                await stream.send(body, end=True)
        status, answered = await stream.head()
        content = await stream.read_all(_BODY_LIMIT)
        return Answer(
            status,
            origin_headers(answered),
            content,
            session.subject.connector or "",
            session.connection.index if session.connection else -1,
            time.monotonic() - began,
        )
    finally:
        session.link.reset_stream(stream)


class Forward:
    """A TCP port on the edge's side; each connection to it goes through the tunnel to ``target``."""

    def __init__(self, edge: Edge, number: int, tunnel: str, target: str, connector: str | None) -> None:
        self.id = str(number)
        self.tunnel, self.target, self.connector = tunnel, target, connector
        self._edge = edge
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.address: Address = ("", 0)

    async def start(self, listen: Address) -> None:
        self._server = await asyncio.start_server(self._connected, *listen)
        self.address = self._server.sockets[0].getsockname()[:2]

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()

    def as_dict(self) -> dict[str, Any]:
        listen = "{}:{}".format(*self.address)
        return {"id": self.id, "tunnel": self.tunnel, "target": self.target, "listen": listen, "open": len(self._open)}

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        source = writer.get_extra_info("peername")[0]
        try:
            session = self._edge.session(self.tunnel, self.connector)
            await asyncio.sleep(session.behaviour.delay)
            stream = session.link.open([(_TCP_SOURCE, source)], method="GET", authority=self.target)
            status, _headers = await stream.head()
            if status == 200:
                await _join(stream, reader, writer)
            else:
                self._note(f"the connector answered with status {status}")
        except (ScriptError, OSError) as exc:
            self._note(str(exc))
        finally:
            writer.close()

    def _note(self, detail: str) -> None:
        self._edge.registry.diary.write("forward-failed", tunnel=self.tunnel, target=self.target, detail=detail)


async def _join(stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until the origin has said its last; each side's end is passed on."""

    async def outward() -> None:
        try:
            while chunk := await reader.read(_CHUNK):
                await stream.send(chunk)
            await stream.send(b"", end=True)
        except OSError:
            stream.reset()

    sending = asyncio.create_task(outward())
    try:
        while chunk := await stream.read():
            writer.write(chunk)
            await writer.drain()
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        stream.reset()


class Forwards:
    """The forwarded ports of an edge."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._numbers = itertools.count(1)
        self._open: dict[str, Forward] = {}

    async def add(self, tunnel: str, target: str, listen: Address, connector: str | None = None) -> Forward:
        """Open a port (0: any that is free). OSError where it is taken."""
        forward = Forward(self._edge, next(self._numbers), tunnel, target, connector)
        await forward.start(listen)
        self._open[forward.id] = forward
        return forward

    def remove(self, number: str) -> None:
        """Close a port and what goes through it. ScriptError where there is none of that number."""
        if number not in self._open:
            raise ScriptError(f"there is no forward {number}")
        self._open.pop(number).stop()

    def stop(self) -> None:
        for number in list(self._open):
            self.remove(number)

    def as_list(self) -> list[dict[str, Any]]:
        return [forward.as_dict() for forward in self._open.values()]
