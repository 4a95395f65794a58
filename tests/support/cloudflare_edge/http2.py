# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP/2 with reversed roles: the connector dials, and the edge is the client on that connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events
import h2.exceptions

Headers = list[tuple[str, str]]
_CHUNK = 65536
_WINDOW = 1 << 20


class StreamLost(ConnectionError):
    """The stream, or the connection below it, ended before its time."""


class Stream:
    """One request of the edge to the connector."""

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self.number = number
        self._head: asyncio.Future[tuple[int, Headers]] = asyncio.get_running_loop().create_future()
        self._chunks: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue()
        self._lost = ""
        self._ended = False
        self.done = asyncio.Event()

    # -- what the caller does --

    async def send(self, data: bytes, end: bool = False) -> None:
        """Send a part of the request's body. StreamLost where the stream is gone."""
        await self._link.send(self, data, end)

    async def head(self) -> tuple[int, Headers]:
        """Status and headers of the answer. StreamLost where none comes any more."""
        return await asyncio.shield(self._head)

    async def read(self) -> bytes:
        """The next part of the answer's body, empty at its end. StreamLost where it was cut off."""
        if self._ended and self._chunks.empty():
            return b""
        chunk = await self._chunks.get()
        if chunk is not None:
            self._link.acknowledge(self, chunk[1])
            return chunk[0]
        if self._lost:
            raise StreamLost(self._lost)
        return b""

    async def read_all(self, limit: int) -> bytes:
        """The answer's body, at most ``limit`` bytes of it."""
        body = bytearray()
        while len(body) < limit and (chunk := await self.read()):
            body += chunk
        return bytes(body[:limit])

    def reset(self) -> None:
        self._link.reset_stream(self)

    @property
    def lost(self) -> str:
        """Why the stream ended before its time; empty while it did not."""
        return self._lost

    # -- what the link does --

    def on_head(self, headers: Sequence[tuple[str, str]]) -> None:
        if not self._head.done():
            status = dict(headers).get(":status", "0")
            self._head.set_result((int(status), [pair for pair in headers if not pair[0].startswith(":")]))

    def on_data(self, data: bytes, credit: int) -> None:
        if data:
            self._chunks.put_nowait((data, credit))
        else:
            self._link.acknowledge(self, credit)

    def on_end(self, lost: str = "") -> None:
        if self._ended:
            return
        self._ended, self._lost = True, lost
        if not self._head.done():
            self._head.set_exception(StreamLost(lost or "the stream ended without an answer"))
            self._head.exception()  # nobody has to wait for the answer
        self._chunks.put_nowait(None)
        self.done.set()


class Link:
    """An HTTP/2 connection over a TLS stream of asyncio."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        configuration = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(configuration)
        self._streams: dict[int, Stream] = {}
        self._room = asyncio.Event()
        self._muted = False
        self.closed = asyncio.Event()

    def mute(self, muted: bool) -> None:
        """Send nothing at all, or what has gathered since."""
        self._muted = muted
        if not muted:
            self._flush()

    def _flush(self) -> None:
        if not self._muted and not self.closed.is_set():
            data = self._h2.data_to_send()
            if data:
                self._writer.write(data)

    async def ignore(self) -> None:
        """Take what arrives and say nothing, until the connection ends."""
        try:
            while await self._reader.read(_CHUNK):
                pass
        except OSError:
            pass
        self.closed.set()

    def start(self) -> None:
        """Send the preface and the settings, which must come before anything else."""
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW)
        self._flush()

    def open(
        self, headers: Headers, *, method: str, path: str = "/", authority: str = "localhost", end: bool = False
    ) -> Stream:
        """Open a stream; its body follows with ``send`` unless ``end``. StreamLost where the connection is gone."""
        if self.closed.is_set():
            raise StreamLost("the connection is closed")
        number = self._h2.get_next_available_stream_id()
        stream = Stream(self, number)
        pseudo = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)]
        try:
            self._h2.send_headers(number, pseudo + headers, end_stream=end)
        except h2.exceptions.ProtocolError as exc:
            raise StreamLost(f"no stream can be opened: {exc}") from exc
        self._streams[number] = stream
        self._flush()
        return stream

    async def drained(self) -> None:
        """Returns when no stream is open any more."""
        while self._streams and not self.closed.is_set():
            await next(iter(self._streams.values())).done.wait()

    async def send(self, stream: Stream, data: bytes, end: bool) -> None:
        rest = memoryview(data)
        try:
            while rest:
                if stream.done.is_set():
                    self._abandon(stream)
                    raise StreamLost(stream.lost or "answered before all was taken")
                window = min(
                    self._h2.local_flow_control_window(stream.number), self._h2.max_outbound_frame_size, _CHUNK
                )
                if window <= 0:
                    self._room.clear()
                    await self._room.wait()
                    continue
                self._h2.send_data(stream.number, bytes(rest[:window]))
                rest = rest[window:]
                self._flush()
                await self._writer.drain()
            if end:
                self._h2.end_stream(stream.number)
                self._flush()
        except (h2.exceptions.ProtocolError, ConnectionError) as exc:
            raise StreamLost(stream.lost or str(exc) or type(exc).__name__) from exc

    def _abandon(self, stream: Stream) -> None:
        """End our side of a stream that the connector has ended."""
        try:
            self._h2.reset_stream(stream.number)
        except h2.exceptions.ProtocolError:
            return  # the connector has reset it, or the connection is over
        self._flush()

    def acknowledge(self, stream: Stream, credit: int) -> None:
        """Let the connector send ``credit`` more bytes: a reader that is slow slows the sender down."""
        if credit and not self.closed.is_set():
            self._h2.acknowledge_received_data(credit, stream.number)
            self._flush()

    def reset_stream(self, stream: Stream) -> None:
        if self._streams.pop(stream.number, None) is not None and not self.closed.is_set():
            try:
                self._h2.reset_stream(stream.number)
            except h2.exceptions.ProtocolError:
                return  # it ended on its own meanwhile
            finally:
                stream.on_end("reset by the edge")
            self._flush()

    async def run(self) -> str:
        """Take what arrives until the connection ends; the reason in words."""
        reason = "closed by the connector"
        try:
            while data := await self._reader.read(_CHUNK):
                for event in self._h2.receive_data(data):
                    self._take(event)
                self._flush()
                await self._writer.drain()
        except (ConnectionError, OSError) as exc:
            reason = str(exc) or type(exc).__name__
        except h2.exceptions.ProtocolError as exc:
            reason = f"not HTTP/2 as expected: {exc}"
        finally:
            self.closed.set()
            self._room.set()
            for stream in list(self._streams.values()):
                stream.on_end(reason)
            self._streams.clear()
        return reason

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            self._room.set()
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, h2.events.DataReceived):
            credit = event.flow_controlled_length or 0
            if stream is not None:
                stream.on_data(event.data or b"", credit)
            else:
                self._h2.acknowledge_received_data(credit, event.stream_id or 0)
        elif stream is None:
            return
        elif isinstance(event, h2.events.ResponseReceived):
            stream.on_head([(str(name), str(value)) for name, value in event.headers or []])
        elif isinstance(event, h2.events.StreamEnded):
            self._streams.pop(stream.number)
            stream.on_end()
            self._room.set()
        elif isinstance(event, h2.events.StreamReset):
            self._streams.pop(stream.number)
            stream.on_end(f"reset by the connector ({event.error_code})")
            self._room.set()
