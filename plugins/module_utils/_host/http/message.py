# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading one HTTP/1 answer from a peer that may lie about it. The client is in ``_http``.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Message rules: RFC 9112; where it lets a reader repair a wrong message, it is refused here.
"""

from __future__ import annotations

import json
import re
import socket
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.transport import (
    Deadline,
    HttpError,
    os_error,
    tls_error,
)

_MAX_HEAD = 65536
_MAX_FIELDS = 256
_MAX_CHUNK_LINE = 1024
_RECV = 65536

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (.*))?")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?")


@dataclass(frozen=True)
class Response:
    """A whole answer. ``headers`` have lower-case names; ``elapsed`` is in seconds from the call on."""

    status: int
    reason: str
    headers: t.Mapping[str, str]
    body: bytes
    elapsed: float

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> t.Any:
        """The body as JSON. :raises HttpError: ``not_json``, also for nesting that is too deep."""
        try:
            return json.loads(self.body.decode("utf-8"))
        except (ValueError, RecursionError) as exc:
            raise HttpError("not_json", f"the answer is not JSON: {str(exc)[:120]}", status=self.status) from exc


class Wire:
    """A socket and what was read from it but not yet used."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.sock = sock
        self.name = name
        self.buffer = bytearray()
        self.deadline = Deadline(0)
        self.status: int | None = None

    def _guard(self, action: t.Callable[[t.Any], t.Any], argument: t.Any) -> t.Any:
        left = self.deadline.left()
        try:
            if left <= 0:
                raise socket.timeout()
            self.sock.settimeout(left)
            return action(argument)
        except socket.timeout as exc:
            so_far = "no answer" if self.status is None else f"status {self.status}, but not the whole answer"
            raise self.error("timeout", f"{so_far} within {self.deadline.seconds:.3g} s") from exc
        except OSError as exc:
            is_tls = type(exc).__module__ == "ssl"  # told without importing ssl
            error = tls_error(exc, self.name) if is_tls else os_error(exc, self.name)
            error.status = self.status
            raise error from exc

    def error(self, kind: str, what: str) -> HttpError:
        return HttpError(kind, f"{self.name}: {what}", status=self.status)

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._guard(self.sock.send, view) :]

    def fill(self) -> bool:
        """Read once. False at the end of the stream."""
        data = self._guard(self.sock.recv, _RECV)
        self.buffer += data
        return bool(data)

    def line(self, limit: int) -> bytes:
        """The next line without its end, which together may have ``limit`` bytes."""
        searched = 0
        while True:
            end = self.buffer.find(b"\n", searched)
            if end >= limit or (end < 0 and len(self.buffer) >= limit):
                raise self.error("protocol", f"a header section or line is larger than allowed ({limit} bytes left)")
            if end >= 0:
                line = bytes(self.buffer[:end])
                del self.buffer[: end + 1]
                return line[:-1] if line.endswith(b"\r") else line
            searched = len(self.buffer)
            if not self.fill():
                if self.status is None and not self.buffer:
                    raise self.error("reset", "closed the connection without an answer")
                raise self.error("protocol", "the answer ends inside its headers")

    def take(self, size: int, into: bytearray) -> None:
        while size:
            if not self.buffer and not self.fill():
                raise self.error("protocol", f"the body is cut short: {size} bytes are missing")
            part = self.buffer[:size]
            into += part
            size -= len(part)
            del self.buffer[: len(part)]

    def stale(self) -> bool:
        """Whether a connection at rest was closed by the peer, or has bytes that nobody asked for."""
        if self.buffer:
            return True
        try:
            self.sock.settimeout(0)
            self.sock.recv(1)
        except OSError as exc:
            # Nothing to read is how a live connection looks.
            return not (isinstance(exc, BlockingIOError) or type(exc).__name__ == "SSLWantReadError")
        return True

    def close(self) -> None:
        try:
            self.sock.close()
        except OSError:
            pass  # it is gone either way


def _head(wire: Wire, left: int) -> tuple[dict[str, str], int]:
    headers: dict[str, str] = {}
    for _number in range(_MAX_FIELDS):
        line = wire.line(left)
        left -= len(line) + 1
        if not line:
            return headers, left
        name, colon, value = line.decode("latin-1").partition(":")
        value = value.strip(" \t")
        if not colon or not TOKEN.fullmatch(name) or "\0" in value or "\r" in value:
            raise wire.error("protocol", "a header line is malformed")
        key = name.lower()
        if key == "content-length" and headers.get(key, value) != value:
            raise wire.error("protocol", "two different values of Content-Length")
        headers[key] = f"{headers[key]}, {value}" if key in headers and key != "content-length" else value
    raise wire.error("protocol", f"more than {_MAX_FIELDS} header fields")


def _chunked(wire: Wire, max_bytes: int, left: int) -> bytes:
    body = bytearray()
    while True:
        match = _CHUNK_LINE.fullmatch(wire.line(_MAX_CHUNK_LINE))
        if match is None:
            raise wire.error("protocol", "the size of a chunk is malformed")
        size = int(match[1], 16)
        if size == 0:
            _head(wire, left)  # trailers, not used
            return bytes(body)
        if len(body) + size > max_bytes:
            raise wire.error("too_large", f"the body is larger than {max_bytes} bytes")
        wire.take(size, body)
        if wire.line(_MAX_CHUNK_LINE):
            raise wire.error("protocol", "a chunk is longer than its size says")


def _body(wire: Wire, headers: t.Mapping[str, str], max_bytes: int, left: int) -> tuple[bytes, bool]:
    """The body, and whether its end was marked, so that the connection may serve again."""
    coding = headers.get("content-encoding", "identity").lower()
    if coding not in ("", "identity"):
        raise wire.error("encoding", "the body is encoded although only identity was accepted")
    length = headers.get("content-length")
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"].lower() != "chunked" or length is not None:
            raise wire.error(
                "protocol", "Transfer-Encoding is not just chunked, or is sent together with Content-Length"
            )
        return _chunked(wire, max_bytes, left), True
    if length is not None:
        if not (length.isascii() and length.isdigit() and len(length) <= 19):
            raise wire.error("protocol", "Content-Length is not a number")
        if int(length) > max_bytes:
            raise wire.error("too_large", f"the body has {length} bytes, more than {max_bytes}")
        body = bytearray()
        wire.take(int(length), body)
        return bytes(body), True
    while wire.fill():
        if len(wire.buffer) > max_bytes:
            raise wire.error("too_large", f"the body is larger than {max_bytes} bytes")
    if len(wire.buffer) > max_bytes:
        raise wire.error("too_large", f"the body is larger than {max_bytes} bytes")
    return bytes(wire.buffer), False


def read_answer(wire: Wire, method: str, max_bytes: int) -> tuple[Response, bool]:
    left = _MAX_HEAD
    while True:
        line = wire.line(left)
        left -= len(line) + 1
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise wire.error("protocol", "the answer does not begin with an HTTP/1 status line")
        wire.status = int(match[2])
        headers, left = _head(wire, left)
        if wire.status == 101:
            raise wire.error("protocol", "the peer switched protocols unasked")
        if wire.status >= 200:
            break
    if method == "HEAD" or wire.status in (204, 304):
        body, marked = b"", True
    else:
        body, marked = _body(wire, headers, max_bytes, left)
    options = [option.strip().lower() for option in headers.get("connection", "").split(",")]
    keep = marked and match[1] == b"1" and "close" not in options
    reason = (match[3] or b"").decode("latin-1")
    return Response(wire.status, reason, headers, body, wire.deadline.elapsed()), keep
