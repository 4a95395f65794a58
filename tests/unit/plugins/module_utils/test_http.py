# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP client against real sockets whose other end is hostile."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import tracemalloc

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils import _net
from ansible_collections.chainops.lifecycle.plugins.module_utils._http import (
    ERROR_KINDS,
    HttpClient,
    HttpError,
    TlsSettings,
    parse_url,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SLACK = 1.5  # seconds that a busy machine may add to a time-out


class Server:
    """Listens on the loopback; every connection goes to ``handle(sock)`` in a thread of its own."""

    def __init__(self, handle, family=socket.AF_INET, address=("127.0.0.1", 0)):
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.bind(address)
        self.listener.listen(1024)
        self.accepted = 0
        self.requests = []
        self.over = threading.Event()
        self._handle = handle
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def port(self):
        return self.listener.getsockname()[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/status"

    def _accept(self):
        while True:
            try:
                sock, _peer = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock, contextlib.suppress(OSError):
            self._handle(self, sock)

    def read_request(self, sock):
        """One request's bytes (the body by Content-Length), or b"" at the end."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = sock.recv(65536)
            if not part:
                return b""
            data += part
        head, _sep, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                while len(body) < int(line.split(b":")[1]):
                    body += sock.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def close(self):
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(5)


@pytest.fixture
def serve():
    servers = []

    def start(handle, **kwargs):
        if isinstance(handle, bytes):
            answer = handle

            def handle(server, sock):
                server.read_request(sock)
                sock.sendall(answer)

        servers.append(Server(handle, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def ask(url, method="GET", timeout=5.0, **kwargs):
    return HttpClient().request(method, url, timeout=timeout, **kwargs)


def fail(url, timeout=5.0, **kwargs):
    """The HttpError of a request that must fail, in time and with a documented kind."""
    started = time.monotonic()
    with pytest.raises(HttpError) as caught:
        ask(url, timeout=timeout, **kwargs)
    assert time.monotonic() - started < timeout + SLACK
    assert caught.value.kind in ERROR_KINDS
    assert caught.value.details["kind"] == caught.value.kind
    return caught.value


def hang(server, _sock):
    server.over.wait(30)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class TestAnswers:
    def test_plain(self, serve):
        server = serve(
            b'HTTP/1.1 200 Fine\r\nContent-Type: a\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 9\r\n\r\n{"a": 1} '
        )
        response = ask(server.url + "?q=1#part", headers={"X-Token": "s3cret"})
        assert (response.status, response.reason, response.json()) == (200, "Fine", {"a": 1})
        assert response.headers["x-a"] == "1, 2" and response.headers["content-type"] == "a"
        assert 0 < response.elapsed < 5
        request = server.requests[0].decode()
        assert request.startswith("GET /status?q=1 HTTP/1.1\r\n")
        for line in (f"Host: 127.0.0.1:{server.port}", "Accept-Encoding: identity", "X-Token: s3cret"):
            assert line + "\r\n" in request

    def test_body_is_sent(self, serve):
        server = serve(OK)
        assert ask(server.url, "POST", body=b"[1]", headers={"Content-Type": "application/json"}).text == "ok"
        assert server.requests[0].endswith(b"\r\n\r\n[1]") and b"Content-Length: 3\r\n" in server.requests[0]

    @pytest.mark.parametrize("status", [204, 304])
    def test_status_without_body(self, serve, status):
        server = serve(b"HTTP/1.1 %d x\r\nContent-Length: 50\r\n\r\n" % status)
        assert ask(server.url).status == status

    def test_head_has_no_body(self, serve):
        assert ask(serve(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n").url, "HEAD").body == b""

    def test_until_the_end(self, serve):
        assert ask(serve(b"HTTP/1.0 200 OK\r\n\r\nall of it").url).body == b"all of it"

    def test_chunks_extensions_trailers(self, serve):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        server = serve(head + b"3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n")
        assert ask(server.url).body == b"abc0123456789"

    def test_interim_answers_are_skipped(self, serve):
        assert ask(serve(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + OK).url).body == b"ok"

    def test_lines_may_end_with_lf_alone(self, serve):
        assert ask(serve(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok").url).body == b"ok"

    def test_redirects_are_answers(self, serve):
        target = serve(OK)
        server = serve(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % target.url.encode())
        response = ask(server.url)
        assert response.status == 302 and response.headers["location"] == target.url
        assert target.accepted == 0

    def test_binary_body(self, serve):
        body = bytes(range(256)) * 64
        response = ask(serve(b"HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n" + body).url)
        assert response.body == body and "\ufffd" in response.text
        with pytest.raises(HttpError) as caught:
            response.json()
        assert caught.value.kind == "not_json" and caught.value.status == 200

    @pytest.mark.parametrize("body", [b"", b"{", b"[" * 100000, b"9" * 10000 + b"x"])
    def test_not_json(self, serve, body):
        response = ask(serve(b"HTTP/1.1 200 OK\r\n\r\n" + body).url)
        with pytest.raises(HttpError, match="not JSON"):
            response.json()

    def test_userinfo_becomes_basic_authorization_and_is_never_told(self, serve):
        server = serve(b"rubbish\r\n\r\n")
        error = fail(f"http://us%65r:p%40ss@127.0.0.1:{server.port}/")
        assert b"Authorization: Basic dXNlcjpwQHNz\r\n" in server.requests[0]
        assert "p%40ss" not in error.msg and "p@ss" not in error.msg

    def test_proxies_are_ignored(self, serve, monkeypatch):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert ask(serve(OK).url).status == 200

    def test_early_refusal_of_a_large_request(self, serve):
        def refuse(_server, sock):
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass

        assert ask(serve(refuse).url, "POST", body=b"x" * 3_000_000).status == 413


class TestPlaces:
    def test_unix_socket(self, serve, tmp_path):
        path = str(tmp_path / "s")
        server = serve(OK, family=socket.AF_UNIX, address=path)
        assert ask("http+unix://" + path.replace("/", "%2F") + "/health").body == b"ok"
        assert server.requests[0].startswith(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")

    def test_unix_socket_missing(self, tmp_path):
        assert fail("http+unix://" + str(tmp_path / "no").replace("/", "%2F") + "/").kind == "refused"
        assert fail("http+unix://" + "%2Fx" * 100).kind == "bad_url"

    def test_ipv6(self, serve):
        try:
            server = serve(OK, family=socket.AF_INET6, address=("::1", 0))
        except OSError:
            pytest.skip("no IPv6 loopback")
        assert ask(f"http://[::1]:{server.port}/").body == b"ok"
        assert f"Host: [::1]:{server.port}\r\n".encode() in server.requests[0]
        assert ask(f"http://localhost:{server.port}/").body == b"ok"  # 127.0.0.1 refuses, ::1 answers

    def test_localhost_and_legacy_numbers_ask_no_resolver(self, serve, monkeypatch):
        monkeypatch.setattr(_net, "_look_up", lambda *_args: pytest.fail("asked a resolver"))
        server = serve(OK)
        for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.1"):
            assert ask(f"http://{host}:{server.port}/").status == 200

    def test_tcp_connect(self, serve):
        server = serve(hang)
        assert HttpClient().connect("127.0.0.1", server.port, timeout=5) < 5
        with pytest.raises(HttpError) as caught:
            HttpClient().connect("127.0.0.1", free_port(), timeout=5)
        assert caught.value.kind == "refused"


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

    def test_status_is_kept_when_the_body_hangs(self, serve):
        def half(server, sock):
            server.read_request(sock)
            sock.sendall(b"HTTP/1.1 503 Down\r\nContent-Length: 9\r\n\r\nabc")
            server.over.wait(30)

        error = fail(serve(half).url, timeout=0.4)
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

    def test_trailers(self, serve):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        assert self.flood(serve, head, b"A: b\r\n" * 1000).kind == "protocol"

    def test_exactly_the_limit(self, serve):
        for head in (b"", b"Content-Length: %d\r\n" % self.LIMIT):
            server = serve(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + b"x" * self.LIMIT)
            assert len(ask(server.url, max_bytes=self.LIMIT).body) == self.LIMIT
            assert fail(server.url, max_bytes=self.LIMIT - 1).kind == "too_large"


class TestBadCalls:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://h:0/",
            "http://h:65536/",
            "http://h:x/",
            "http://h /",
            "http://h/\r\nX: y",
            "http://h/ü",
            "//h/",
            "http://[::1/",
            "http://a b@h/",
            "http+unix://run/x",
            "http+unix://%2Frun%00/x",
        ],
    )
    def test_url(self, url):
        assert fail(url).kind == "bad_url"

    def test_url_with_a_password_is_not_repeated(self):
        assert "hunter2" not in fail("http://user:hunter2@h:99999/").msg
        assert parse_url("http://user:hunter2@h:1/p?key=hunter2").safe == "http://h:1/p?..."

    @pytest.mark.parametrize(
        "kwargs",
        [
            {"headers": {"A": "b\r\nC: d"}},
            {"headers": {"A": "snow\u2603"}},
            {"headers": {"A b": "c"}},
            {"headers": {"Content-Length": "3"}},
            {"headers": {"transfer-encoding": "chunked"}},
            {"method": "GET / HTTP/1.1\r\nX:"},
            {"max_bytes": -1},
            {"connect_timeout": 0},
        ],
    )
    def test_request(self, serve, kwargs):
        server = serve(OK)
        assert fail(server.url, **kwargs).kind == "bad_request"
        assert server.accepted == 0

    def test_header_values_are_not_repeated(self, serve):
        assert "hunter2" not in fail(serve(OK).url, headers={"A": "hunter2\n"}).msg


class TestConnection:
    def stay(self, server, sock):
        while server.read_request(sock):
            sock.sendall(OK)

    def test_one_connection_serves_many_requests(self, serve):
        server = serve(self.stay)
        connection = HttpClient().connection(server.url)
        for target in (None, "/other?x=1", "/status"):
            assert connection.request("GET", target, timeout=5).body == b"ok"
        connection.close()
        assert server.accepted == 1 and b"GET /other?x=1 " in server.requests[1]

    @pytest.mark.parametrize("answer", [OK, OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")])
    def test_closed_by_the_peer(self, serve, answer):
        server = serve(answer)  # closes after each answer, and says so or not
        connection = HttpClient().connection(server.url)
        for _number in range(3):
            assert connection.request("POST", body=b"1", timeout=5).body == b"ok"
            time.sleep(0.05)
        assert server.accepted == 3

    def once_then_close_unseen(self, server, sock):
        server.read_request(sock)
        sock.sendall(OK)
        server.read_request(sock)  # closed only after the second request came
        if server.accepted > 1:
            sock.sendall(OK)

    def test_broken_under_the_request(self, serve):
        server = serve(self.once_then_close_unseen)
        connection = HttpClient().connection(server.url)
        connection.request("GET", timeout=5)
        assert connection.request("GET", timeout=5).body == b"ok"
        assert server.accepted == 2

    def test_a_post_is_not_repeated_unless_allowed(self, serve):
        connection = HttpClient().connection(serve(self.once_then_close_unseen).url)
        connection.request("GET", timeout=5)
        with pytest.raises(HttpError) as caught:
            connection.request("POST", body=b"", timeout=5)
        assert caught.value.kind == "reset"
        connection = HttpClient().connection(serve(self.once_then_close_unseen).url)
        connection.request("GET", timeout=5)
        assert connection.request("POST", body=b"", timeout=5, idempotent=True).body == b"ok"

    def test_bytes_nobody_asked_for_end_the_connection(self, serve):
        def smuggle(server, sock):
            while server.read_request(sock):
                sock.sendall(OK + OK.replace(b"ok", b"no"))

        connection = HttpClient().connection(serve(smuggle).url)
        for _number in range(3):
            assert connection.request("GET", timeout=5).body == b"ok"

    def test_after_an_error_it_connects_anew(self, serve):
        def first_hangs(server, sock):
            server.read_request(sock)
            if server.accepted == 1:
                server.over.wait(30)
            sock.sendall(OK)

        connection = HttpClient().connection(serve(first_hangs).url)
        with pytest.raises(HttpError, match="no answer"):
            connection.request("GET", timeout=0.3)
        assert connection.request("GET", timeout=5).body == b"ok"


def openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, and certificates of it: for the loopback, for another name, expired, for a client."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is needed to make certificates")
    where = tmp_path_factory.mktemp("tls")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test ca", cwd=where)
    for name, names, days in [
        ("good", "DNS:localhost,IP:127.0.0.1", "2"),
        ("other", "DNS:other.example", "2"),
        ("expired", "DNS:localhost,IP:127.0.0.1", "-1"),
        ("client", "DNS:client.example", "2"),
    ]:
        (where / "names").write_text(f"subjectAltName={names}\n")
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", "csr", "-subj", f"/CN={name}", cwd=where)
        signer = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", days)
        openssl("x509", "-req", "-in", "csr", "-out", f"{name}.pem", *signer, cwd=where)
    openssl("ec", "-in", "good.key", "-aes256", "-passout", "pass:x", "-out", "locked.key", cwd=where)
    return where


@pytest.fixture
def tls_server(serve, certificates):
    def start(name="good", client_ca=False, after=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(certificates / f"{name}.pem"), str(certificates / f"{name}.key"))
        if client_ca:
            context.load_verify_locations(str(certificates / "ca.pem"))
            context.verify_mode = ssl.CERT_REQUIRED

        def handle(server, sock):
            with context.wrap_socket(sock, server_side=True) as wrapped:
                if after is not None:
                    after(server, wrapped)
                    return
                while server.read_request(wrapped):
                    wrapped.sendall(OK)

        server = serve(handle)
        return server, f"https://127.0.0.1:{server.port}/"

    return start


class TestTls:
    def ca(self, certificates, **kwargs):
        return TlsSettings(ca_path=str(certificates / "ca.pem"), **kwargs)

    def pin(self, certificates, name="good"):
        der = ssl.PEM_cert_to_DER_cert((certificates / f"{name}.pem").read_text())
        return hashlib.sha256(der).hexdigest()

    def test_trusted(self, tls_server, certificates):
        server, url = tls_server()
        assert ask(url, tls=self.ca(certificates)).body == b"ok"
        assert ask(url.replace("127.0.0.1", "localhost"), tls=self.ca(certificates)).body == b"ok"

    @pytest.mark.parametrize(("name", "word"), [("other", "IP address mismatch"), ("expired", "expired")])
    def test_not_trusted(self, tls_server, certificates, name, word):
        error = fail(tls_server(name)[1], tls=self.ca(certificates))
        assert error.kind == "tls" and word in error.msg
        assert ask(tls_server(name)[1], tls=TlsSettings(verify=False)).body == b"ok"

    def test_authority_not_known(self, tls_server):
        assert fail(tls_server()[1]).kind == "tls"

    def test_other_name_on_request(self, tls_server, certificates):
        settings = self.ca(certificates, server_hostname="other.example")
        assert ask(tls_server("other")[1], tls=settings).body == b"ok"

    def test_pinned(self, tls_server, certificates):
        _server, url = tls_server("expired")
        pin = self.pin(certificates, "expired")
        colons = ":".join(pin[i : i + 2] for i in range(0, 64, 2)).upper()
        for settings in (
            TlsSettings(fingerprint_sha256=pin),
            TlsSettings(fingerprint_sha256=colons),
            TlsSettings(fingerprint_sha256=pin, verify=False),
        ):
            assert ask(url, tls=settings).body == b"ok"
        assert fail(url, tls=TlsSettings(fingerprint_sha256=self.pin(certificates), verify=False)).kind == "tls"
        assert "expired" in fail(url, tls=self.ca(certificates, fingerprint_sha256=pin)).msg

    def test_client_certificate(self, tls_server, certificates):
        _server, url = tls_server(client_ca=True)
        files = {"client_cert": str(certificates / "client.pem"), "client_key": str(certificates / "client.key")}
        assert ask(url, tls=self.ca(certificates, **files)).body == b"ok"
        assert fail(url, tls=self.ca(certificates)).kind in ("tls", "reset")

    @pytest.mark.parametrize(
        "settings",
        [
            {"ca_path": "/nonexistent/ca.pem"},
            {"ca_path": "names"},
            {"client_cert": "/nonexistent"},
            {"client_cert": "good.pem", "client_key": "other.key"},
            {"client_cert": "good.pem", "client_key": "locked.key"},
            {"client_key": "good.key"},
            {"fingerprint_sha256": "abc"},
        ],
    )
    def test_unusable_settings_ask_nobody(self, tls_server, certificates, settings):
        server, url = tls_server()
        found = {key: str(certificates / value) if "." in value or value == "names" else value
                 for key, value in settings.items()}  # fmt: skip
        error = fail(url, tls=TlsSettings(**found))
        assert error.kind == "tls_settings" and server.accepted == 0
        assert "fingerprint_sha256" in settings or next(iter(found.values())) in error.msg or "without" in error.msg

    def test_plain_server(self, serve, certificates):
        def plain(_server, sock):
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")

        url = serve(plain).url.replace("http:", "https:")
        assert fail(url, tls=self.ca(certificates)).kind in ("tls", "reset")

    def test_handshake_that_hangs(self, serve):
        assert fail(serve(hang).url.replace("http:", "https:"), timeout=0.4).kind == "timeout"

    def test_handshake_that_is_cut(self, serve):
        def cut(_server, sock):
            sock.recv(100)

        assert fail(serve(cut).url.replace("http:", "https:")).kind == "reset"

    def test_drip_inside_tls(self, tls_server, certificates):
        def drip(server, sock):
            server.read_request(sock)
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999:
                sock.sendall(bytes([byte]))
                if server.over.wait(0.01):
                    return

        assert fail(tls_server(after=drip)[1], timeout=0.6, tls=self.ca(certificates)).kind == "timeout"

    def test_flood_inside_tls(self, tls_server, certificates):
        def flood(server, sock):
            server.read_request(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                sock.sendall(b"x" * 65536)

        assert fail(tls_server(after=flood)[1], max_bytes=10000, tls=self.ca(certificates)).kind == "too_large"

    def test_connection_is_kept(self, tls_server, certificates):
        server, url = tls_server()
        connection = HttpClient().connection(url, tls=self.ca(certificates))
        for _number in range(3):
            assert connection.request("GET", timeout=5).body == b"ok"
            time.sleep(0.02)  # session tickets arrive meanwhile and must not look like an answer
        assert server.accepted == 1

    def test_context_is_made_once(self, certificates):
        client = HttpClient()
        assert client.context(self.ca(certificates)) is client.context(self.ca(certificates))


def test_many_endpoints_at_once(serve):
    """300 threads on one client: answers and hangs, no thread waits for another's."""
    quick, slow = serve(OK), serve(hang)
    client = HttpClient()
    outcomes = []

    def one(number):
        try:
            url = slow.url if number % 10 == 0 else quick.url
            outcomes.append(client.request("GET", url, timeout=3).status)
        except HttpError as exc:
            outcomes.append(exc.kind)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(300)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert time.monotonic() - started < 3 + 3 * SLACK
    assert sorted(map(str, outcomes)) == ["200"] * 270 + ["timeout"] * 30


def test_plain_http_does_not_import_tls():
    code = (
        "import sys, ansible_collections.chainops.lifecycle.plugins.module_utils._probes as m\n"
        "from ansible_collections.chainops.lifecycle.plugins.module_utils._http import HttpClient, HttpError\n"
        "try: HttpClient().request('GET', 'http://127.0.0.1:1/', timeout=2)\n"
        "except HttpError as exc: assert exc.kind == 'refused', exc\n"
        "print([m for m in ('ssl', 'http.client', 'email', 'urllib.request', 'concurrent.futures') if m in sys.modules])"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=True, stdout=subprocess.PIPE
    )
    assert done.stdout.decode().strip() == "[]"
