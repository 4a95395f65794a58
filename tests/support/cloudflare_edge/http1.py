# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small HTTP/1.1 server for the control interface and the API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

_HEAD_LIMIT = 65536
_BODY_LIMIT = 8 << 20


class BadRequest(ValueError):
    """The request cannot be understood; says why."""


@dataclass(frozen=True)
class Request:
    """Header names are in lower case, the path is decoded."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    source: str

    def json(self) -> dict[str, Any]:
        """The body as a JSON object, {} where there is none."""
        try:
            data = json.loads(self.body or b"{}")
        except ValueError as exc:
            raise BadRequest(f"the body is no JSON: {exc}") from exc
        if not isinstance(data, dict):
            raise BadRequest("the body is no JSON object")
        return data


@dataclass(frozen=True)
class Response:
    """``hang`` leaves the client without an answer; ``raw`` goes out as it is, instead of JSON."""

    status: int
    data: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hang: bool = False

    def encode(self) -> bytes:
        body = json.dumps(self.data).encode() if self.raw is None else self.raw
        kind = "application/json" if self.raw is None else "text/html"
        # Cloudflare has codes of its own, such as 530, that no standard names.
        phrase = HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else "Unnamed"
        lines = [f"HTTP/1.1 {self.status} {phrase}", f"content-type: {kind}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


Handler = Callable[[Request], Awaitable[Response]]


class Server:
    """One port."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.address: tuple[str, int] = ("", 0)

    async def start(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._connected, host, port, limit=_HEAD_LIMIT)
        self.address = self._server.sockets[0].getsockname()[:2]

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while await self._serve_one(reader, writer):
                    pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _unused, value in (line.partition(":") for line in head[1:])
        }
        keep = headers.get("connection", "").lower() != "close"
        try:
            method, target, _version = head[0].split(" ")
            body = await _body(reader, headers)
        except ValueError as exc:
            response, keep = Response(400, {"error": f"not understood: {exc}"}), False
        else:
            parts = urllib.parse.urlsplit(target)
            query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
            source = writer.get_extra_info("peername")[0]
            path = urllib.parse.unquote(parts.path)
            response = await self._handler(Request(method, path, query, headers, body, source))
        if response.hang:
            await reader.read()  # until the client has had enough
            return False
        writer.write(response.encode())
        await writer.drain()
        return keep


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "transfer-encoding" in headers:
        raise ValueError("a body in chunks; give its length")
    size = int(headers.get("content-length", "0"))
    if not 0 <= size <= _BODY_LIMIT:
        raise ValueError(f"a body of {size} bytes")
    return await reader.readexactly(size)
