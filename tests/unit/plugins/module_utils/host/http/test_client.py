# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP client over real sockets: answers, places, calls, kept connections."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http import transport as _net
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import (
    HttpClient,
    HttpError,
    parse_url,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.hostile import (
    OK,
    SLACK,
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


def test_many_endpoints_at_once(serve):
    """300 threads on one client: answers and hangs, no thread waits for another's."""
    quick, slow = serve(OK), serve(hang)
    client = HttpClient()
    outcomes = []

    def one(number):
        try:
            url = slow.url if number % 10 == 0 else quick.url
            outcomes.append(client.request("GET", url, timeout=3 if url == slow.url else 20).status)
        except HttpError as exc:
            outcomes.append(exc.kind)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(300)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert time.monotonic() - started < 3 + SLACK
    assert sorted(map(str, outcomes)) == ["200"] * 270 + ["timeout"] * 30


def test_plain_http_does_not_import_tls():
    code = (
        "import sys, ansible_collections.chainops.lifecycle.plugins.module_utils._probes.run as m\n"
        "from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpClient, HttpError\n"
        "try: HttpClient().request('GET', 'http://127.0.0.1:1/', timeout=2)\n"
        "except HttpError as exc: assert exc.kind == 'refused', exc\n"
        "print([m for m in ('ssl', 'http.client', 'email', 'concurrent.futures') if m in sys.modules])"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=True, stdout=subprocess.PIPE
    )
    assert done.stdout.decode().strip() == "[]"
