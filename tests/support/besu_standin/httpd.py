# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small HTTP/1.1 server: what clients of Besu can tell apart, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

_HEAD_LIMIT = 65536
_BODY_LIMIT = 5 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """One request. Header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        pairs = (part.partition("=") for part in self.target.partition("?")[2].split("&") if part)
        return {name: value for name, _equals, value in pairs}

    @property
    def host(self) -> str:
        """The host that the client meant, without the port, in lower case."""
        host = self.headers.get("host", "")
        return (host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]).lower()


@dataclass(frozen=True)
class Response:
    """One answer; ``reason`` only where it is not the usual one."""

    status: int
    body: bytes = b""
    type: str | None = None
    reason: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The bytes on the wire."""
        reason = self.reason or HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {reason}"]
        if self.type is not None:
            lines.append(f"content-type: {self.type}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


Handler = Callable[[Request], Awaitable["Response | None"]]


class Server:
    """Serves one port. A handler that returns ``None`` leaves the client without an answer."""

    def __init__(self, handler: Handler, limit: int = 80) -> None:
        self.handler = handler
        self._limit = limit
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    async def start(self, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        """Open the port."""
        self._server = await asyncio.start_server(
            self._connected, host, port, limit=_HEAD_LIMIT, ssl=context, reuse_address=True
        )

    def stop(self) -> None:
        """Close the port and all connections at once."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self.active >= self._limit:
            writer.close()
            return
        self._connections.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
                while await self._serve_one(reader, writer):
                    pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _version = head[0].split(" ")
        headers = {}
        for line in head[1:]:
            name, _colon, value = line.partition(":")
            if name:
                headers[name.strip().lower()] = value.strip()
        body = await self._body(reader, headers)
        response = await self.handler(Request(method, target, headers, body))
        if response is None:
            await reader.read()  # until the client gives up: a connection that is gone does not count
            return False
        writer.write(response.encode())
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    async def _body(self, reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
            return body
        size = int(headers.get("content-length", "0"))
        if size > _BODY_LIMIT:
            raise ValueError("the request is too large")
        return await reader.readexactly(size)
