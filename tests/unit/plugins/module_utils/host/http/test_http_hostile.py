# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP client against servers that refuse, hang, drip, lie and flood."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
import time
import tracemalloc

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http import transport as _net
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.hostile import (
    OK,
    ask,
    fail,
    free_port,
    hang,
    servers,
)


@pytest.fixture
def serve():
    with servers() as start:
        yield start


class TestNoConnection:
    def test_refused(self):
        error = fail(f"http://127.0.0.1:{free_port()}/")
        assert error.kind == "refused" and "127.0.0.1" in error.msg and error.status is None

    def test_never_connected_to_itself(self):
        port = free_port()
        real = socket.socket.connect

        class Selfish(socket.socket):
            def connect(self, address):
                self.bind(("127.0.0.1", port))
                real(self, address)

        original, _net.socket.socket = _net.socket.socket, Selfish
        try:
            assert fail(f"http://127.0.0.1:{port}/").kind == "refused"
        finally:
            _net.socket.socket = original

    def test_backlog_full(self):
        with socket.socket() as listener, contextlib.ExitStack() as stack:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _number in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            time.sleep(0.05)
            port = listener.getsockname()[1]
            assert fail(f"http://127.0.0.1:{port}/", timeout=5, connect_timeout=0.3).kind == "timeout_connect"

    def test_dns_that_hangs_costs_the_deadline_and_one_thread(self, monkeypatch):
        release = threading.Event()
        real = socket.getaddrinfo

        def slow(host, port, **kwargs):
            if kwargs.get("flags"):
                return real(host, port, **kwargs)
            release.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "later")

        monkeypatch.setattr(_net.socket, "getaddrinfo", slow)
        before = threading.active_count()
        for _number in range(4):
            error = fail("http://slow.invalid/", timeout=0.2)
            assert error.kind == "dns" and "0.2 s" in error.msg
        assert threading.active_count() == before + 1
        release.set()
        assert fail("http://slow.invalid/", timeout=5).kind == "dns"

    def test_name_that_does_not_exist(self, monkeypatch):
        def none(host, port, **_kwargs):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(_net.socket, "getaddrinfo", none)
        assert fail("http://nowhere.invalid/").kind == "dns"

    def test_every_address_gets_a_turn(self, serve, monkeypatch):
        server = serve(OK)
        answers = [(socket.AF_INET, ("127.0.0.1", free_port())), (socket.AF_INET, ("127.0.0.1", server.port))]
        monkeypatch.setattr(_net, "resolve", lambda *_args: answers)
        assert ask("http://both.invalid/").status == 200
        monkeypatch.setattr(_net, "resolve", lambda *_args: answers[:1] * 3)
        assert fail("http://both.invalid/").kind == "refused"

    @pytest.mark.parametrize(
        ("number", "kind"),
        [
            (errno.EHOSTUNREACH, "unreachable"),
            (errno.ENETUNREACH, "unreachable"),
            (errno.EACCES, "local"),
            (errno.EMFILE, "local"),
            (errno.ECONNRESET, "reset"),
            (errno.ETIMEDOUT, "timeout_connect"),
        ],
    )
    def test_kinds_of_errno(self, number, kind):
        assert _net.os_error(OSError(number, os.strerror(number)), "x").kind == kind


class TestTime:
    """The deadline is for the whole answer, whatever the server does."""

    def test_accepts_and_hangs(self, serve):
        error = fail(serve(hang).url, timeout=0.4)
        assert error.kind == "timeout" and "no answer" in error.msg

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100000,
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100,
            b"HTTP/1.1 100 Continue\r\n\r\n" * 10000,
        ],
        ids=["body", "chunks", "headers", "interim"],
    )
    def test_drip(self, serve, answer):
        def drip(server, sock):
            server.read_request(sock)
            for index in range(len(answer)):
                sock.sendall(answer[index : index + 1])
                if server.over.wait(0.01):
                    return

        assert fail(serve(drip).url, timeout=0.5).kind == "timeout"

    def test_drip_that_ends_in_time(self, serve):
        def drip(server, sock):
            server.read_request(sock)
            for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n":
                sock.sendall(bytes([byte]))
                time.sleep(0.002)

        assert ask(serve(drip).url).body == b"ok"

    def test_status_is_kept_when_the_body_hangs(self, serve):
        def half(server, sock):
            server.read_request(sock)
            sock.sendall(b"HTTP/1.1 503 Down\r\nContent-Length: 9\r\n\r\nabc")
            server.over.wait(30)

        error = fail(serve(half).url, timeout=2)
        assert (error.kind, error.status) == ("timeout", 503)

    def test_server_that_does_not_read(self, serve):
        assert fail(serve(hang).url, method="POST", body=b"x" * 20_000_000, timeout=0.5).kind == "timeout"


class TestLies:
    HEAD = b"HTTP/1.1 200 OK\r\n"
    CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 099 OK\r\n\r\n",
            b"\x15\x03\x03\x00\x02\x02\x46",
            b"\0" * 100000,
            bytes(range(256)) * 10,
            b"HTTP/1.1 200 OK",
            HEAD + b"A: b\r\n",
            HEAD + b"no colon\r\n\r\n",
            HEAD + b" folded: x\r\n\r\n",
            HEAD + b"A : b\r\n\r\n",
            HEAD + b"A: b\0c\r\n\r\n",
            HEAD + b"Content-Length: 10\r\n\r\nshort",
            HEAD + b"Content-Length: -1\r\n\r\n",
            HEAD + b"Content-Length: +2\r\n\r\nok",
            HEAD + b"Content-Length: 0x2\r\n\r\nok",
            HEAD + b"Content-Length: 1_0\r\n\r\n0123456789",
            HEAD + "Content-Length: ²\r\n\r\nok".encode("latin-1"),
            HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
            HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            CHUNKED + b"5\r\nab",
            CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
            CHUNKED + b"-2\r\nab\r\n0\r\n\r\n",
            CHUNKED + b"0x2\r\nab\r\n0\r\n\r\n",
            CHUNKED + b"\r\n\r\n",
            CHUNKED + b"2" * 5000,
            CHUNKED + b"f" * 17 + b"\r\n",
            b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        ],
    )
    def test_is_a_protocol_error(self, serve, answer):
        assert fail(serve(answer).url).kind == "protocol"

    def test_closed_without_an_answer(self, serve):
        assert fail(serve(b"").url).kind == "reset"

    @pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"])
    def test_reset(self, serve, sent):
        def reset(server, sock):
            server.read_request(sock)
            sock.sendall(sent)
            time.sleep(0.05)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        error = fail(serve(reset).url)
        assert (error.kind, error.status) == ("reset", 200 if sent else None)

    def test_compressed_although_declined(self, serve):
        error = fail(serve(self.HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b").url)
        assert (error.kind, error.status) == ("encoding", 200)


class TestFloods:
    """Memory stays near ``max_bytes``, and the answer comes long before the flood ends."""

    LIMIT = 65536

    def flood(self, serve, head, block=b"x" * 65536, total=200_000_000):
        def send(server, sock):
            server.read_request(sock)
            sock.sendall(head)
            for _number in range(total // len(block)):
                sock.sendall(block)

        server = serve(send)
        tracemalloc.start()
        try:
            error = fail(server.url, timeout=20, max_bytes=self.LIMIT)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 8 * self.LIMIT + 300_000
        return error

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nBEBC200\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ],
    )
    def test_200_mb_body(self, serve, head):
        assert self.flood(serve, head).kind == "too_large"

    def test_small_chunks(self, serve):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert self.flood(serve, head, b"400\r\n" + b"x" * 1024 + b"\r\n").kind == "too_large"

    @pytest.mark.parametrize(
        "block",
        [b"A: b\r\n" * 1000, b"x" * 65536, b"A: " + b"x" * 65000 + b"\r\n", b"HTTP/1.1 100 C\r\n\r\n" * 1000],
        ids=["many", "endless line", "huge", "interim"],
    )
    def test_headers(self, serve, block):
        assert self.flood(serve, b"HTTP/1.1 200 OK\r\n", block).kind == "protocol"

    @pytest.mark.parametrize("block", [b"A: b\r\n" * 1000, b"x" * 65536], ids=["many", "endless line"])
    def test_trailers(self, serve, block):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        assert self.flood(serve, head, block).kind == "protocol"

    def test_exactly_the_limit_of_headers(self, serve):
        def answer(length):
            head = b"HTTP/1.1 204 OK\nA: "
            return head + b"x" * (length - len(head) - 2) + b"\n\n"

        assert ask(serve(answer(65536)).url).status == 204
        assert fail(serve(answer(65537)).url).kind == "protocol"

    def test_exactly_the_limit(self, serve):
        for head in (b"", b"Content-Length: %d\r\n" % self.LIMIT):
            server = serve(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + b"x" * self.LIMIT)
            assert len(ask(server.url, max_bytes=self.LIMIT).body) == self.LIMIT
            assert fail(server.url, max_bytes=self.LIMIT - 1).kind == "too_large"
