# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes: the verdict of every outcome, and what never shows in a detail."""

from __future__ import annotations

import base64
import http.server
import json
import socket
import threading
import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import (
    ERROR_KINDS,
    HttpClient,
    HttpError,
    Response,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import (
    Completed,
    SystemClock,
    run_command,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.run import (
    VERDICT_OF_ERROR,
    parse_probes,
    run_probe,
)

URL = "http://127.0.0.1:8545/readiness"


class FakeHttp:
    """Gives one answer, or raises it, and remembers the call."""

    def __init__(self, answer):
        self.answer = answer
        self.calls = []

    def request(self, method, url, **kwargs):
        self.calls.append((method, url, kwargs))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def connect(self, host, port, *, timeout):
        self.request("CONNECT", f"{host}:{port}", timeout=timeout)
        return 0.001


def no_runner(*_args, **_kwargs):
    pytest.fail("ran a command")


def answer(body=b"", status=200):
    return Response(status, "", {}, body, 0.01)


def run(probe, http=None, runner=no_runner):
    return run_probe(probe, http=http, runner=runner, clock=SystemClock())


def http_probe(**options):
    return parse_probes([{"kind": "http", "url": URL, **options}])[0]


class TestHttp:
    @pytest.mark.parametrize(
        ("options", "status", "body", "verdict"),
        [
            ({}, 200, b"", "healthy"),
            ({}, 204, b"", "unhealthy"),
            ({}, 302, b"", "unhealthy"),
            ({}, 404, b"", "unhealthy"),
            ({}, 500, b"", "unhealthy"),
            ({}, 503, b"", "unhealthy"),
            ({}, 401, b"", "unobservable"),
            ({}, 403, b"", "unobservable"),
            ({}, 405, b"", "unobservable"),
            ({}, 429, b"", "unobservable"),
            ({"status": [401]}, 401, b"", "healthy"),
            ({"status": [503]}, 200, b"", "unhealthy"),
            ({"body_regex": "^UP$"}, 200, b"a\nUP\n", "healthy"),
            ({"body_regex": "UP"}, 200, b"DOWN", "unhealthy"),
            ({"body_regex": "\ufffd"}, 200, b"\xff", "healthy"),
            ({"json_path": "status"}, 200, b'{"status": "UP"}', "healthy"),
            ({"json_path": "status"}, 200, b'{"status": null}', "unhealthy"),
            ({"json_path": "status"}, 200, b"{}", "unhealthy"),
            ({"json_path": "status"}, 200, b"not json", "unhealthy"),
            ({"json_path": "a[1]", "json_value": 2}, 200, b'{"a": [1, 2.0]}', "healthy"),
            ({"json_path": "a", "json_value": 1}, 200, b'{"a": true}', "unhealthy"),
            ({"json_path": "a", "json_value": True}, 200, b'{"a": 1}', "unhealthy"),
            ({"json_path": "a", "json_value": "true"}, 200, b'{"a": true}', "healthy"),
            ({"json_path": "a", "json_value": "1"}, 200, b'{"a": 1}', "healthy"),
            ({"json_path": "a", "json_value": "null"}, 200, b'{"a": null}', "healthy"),
            ({"json_path": "a", "json_value": 0}, 200, b'{"a": 0}', "healthy"),
            ({"json_path": "a", "json_value": False}, 200, b'{"a": false}', "healthy"),
            ({"json_path": "a", "json_value": [1]}, 200, b'{"a": [1]}', "healthy"),
            ({"json_path": "a", "json_value": "x"}, 200, b'{"a": "y"}', "unhealthy"),
            ({"json_path": "a", "body_regex": "b"}, 200, b'{"a": "c"}', "unhealthy"),
        ],
    )
    def test_answers(self, options, status, body, verdict):
        result = run(http_probe(**options), FakeHttp(answer(body, status)))
        assert (result.verdict, result.ok) == (verdict, verdict == "healthy"), result.detail

    def test_every_kind_of_error_has_a_verdict(self):
        assert set(VERDICT_OF_ERROR) == set(ERROR_KINDS)

    @pytest.mark.parametrize("kind", sorted(ERROR_KINDS))
    def test_errors(self, kind):
        for probe in (http_probe(), parse_probes([{"kind": "tcp", "port": 1}])[0]):
            result = run(probe, FakeHttp(HttpError(kind, "what happened")))
            assert result.verdict == VERDICT_OF_ERROR[kind]
            assert kind in result.detail and "what happened" in result.detail

    @pytest.mark.parametrize("kind", ["too_large", "encoding"])
    def test_a_body_that_nobody_asked_for_does_not_matter(self, kind):
        def verdict(status, **options):
            return run(http_probe(**options), FakeHttp(HttpError(kind, "x", status=status))).verdict

        assert verdict(200) == "healthy"
        assert verdict(503) == verdict(503, body_regex="x") == "unhealthy"
        assert verdict(200, body_regex="x") == verdict(200, json_path="x") == "unobservable"

    def test_what_is_sent(self):
        http = FakeHttp(answer())
        run(http_probe(headers={"A": "b"}, body="x", method="POST", timeout=7, ca_path="/ca"), http)
        method, url, kwargs = http.calls[0]
        assert (method, url, kwargs["headers"], kwargs["body"]) == ("POST", URL, {"A": "b"}, b"x")
        assert kwargs["timeout"] == 7 and kwargs["tls"].ca_path == "/ca" and kwargs["max_bytes"] == 1024 * 1024


class TestDetails:
    TOKEN = 'q8"Zx9Qw7Lm3Kp1V'

    @pytest.mark.parametrize(
        "body",
        [
            "you sent {token}",
            "x" * 110 + "{token}",
            "{token}" * 50,
            "Authorization: Bearer {token}",
            "{json}",
            "{basic}",
            "user:pass%40word",
            "pass@word",
        ],
    )
    @pytest.mark.parametrize(
        "options", [{}, {"status": [418], "json_path": "a"}, {"status": [418], "body_regex": "nope"}]
    )
    def test_an_echo_gives_no_secret_away(self, body, options):
        basic = base64.b64encode(b"user:pass@word").decode()
        text = body.format(token=self.TOKEN, json=json.dumps({"a": self.TOKEN}), basic=basic)
        probe = parse_probes(
            [
                {
                    "kind": "http",
                    "url": "http://user:pass%40word@h/",
                    "headers": {"Authorization": f"Bearer {self.TOKEN}"},
                    "status": [418],
                    **options,
                }
            ]
        )[0]
        for status in (418, 500):
            detail = run(probe, FakeHttp(answer(text.encode(), status))).detail
            for secret in (self.TOKEN, self.TOKEN[:8], "Zx9Qw7Lm", basic, "pass@word", "pass%40word"):
                assert secret not in detail
            assert self.TOKEN not in repr(probe) and "pass%40word" not in repr(probe)

    def test_a_secret_that_begins_like_another(self):
        probe = http_probe(headers={"X-A": "abcd", "X-B": "abcdWXYZ"})
        assert run(probe, FakeHttp(answer(b"got abcdWXYZ", 500))).detail == "status 500, not 200: 'got [redacted]'"

    def test_a_short_secret_takes_the_excerpt_with_it(self):
        assert run(http_probe(headers={"X-Pin": "7"}), FakeHttp(answer(b"pin 7", 500))).detail == "status 500, not 200"

    def test_a_wrong_json_value_that_is_the_secret(self):
        probe = http_probe(headers={"X": "abcdef"}, json_path="a", json_value="x")
        assert "abcdef" not in run(probe, FakeHttp(answer(b'{"a": "abcdef"}'))).detail

    @pytest.mark.parametrize("text", ["\x1b[31mred\x07", "{{ lookup('pipe', 'id') }}", "a\r\nb\0", "x" * 1_000_000])
    def test_hostile_text_is_harmless_and_short(self, text):
        details = [run(http_probe(), FakeHttp(answer(text.encode(), 500))).detail]
        probe = parse_probes([{"kind": "command", "argv": ["x"]}])[0]
        details.append(run(probe, runner=lambda *_args, **_kwargs: Completed(1, text.encode(), b"")).detail)
        for detail in details:
            assert detail.isprintable() and "{{" not in detail and len(detail) <= 300

    def test_an_excerpt_helps(self):
        detail = run(http_probe(), FakeHttp(answer(b'{"status":"DOWN"}', 503))).detail
        assert detail == 'status 503, not 200: \'{"status":"DOWN"}\''


class TestCommand:
    @pytest.mark.parametrize(
        ("done", "options", "verdict"),
        [
            (Completed(0, b"", b""), {}, "healthy"),
            (Completed(1, b"", b"bad"), {}, "unhealthy"),
            (Completed(3, b"", b""), {"rc": [0, 3]}, "healthy"),
            (Completed(0, b"", b""), {"rc": [3]}, "unhealthy"),
            (Completed(0, b"state: ok\n", b""), {"output_regex": "ok$"}, "healthy"),
            (Completed(0, b"state: bad\n", b"ok"), {"output_regex": "ok$"}, "unhealthy"),
            (Completed(None, b"", b"", timed_out=True), {}, "unhealthy"),
            (Completed(None, b"", b"", not_found=True), {}, "unobservable"),
            (Completed(None, b"", b"Permission denied"), {}, "unobservable"),
            (Completed(-9, b"x", b"", truncated=True), {}, "unobservable"),
            (Completed(-11, b"", b""), {}, "unobservable"),
            (Completed(127, b"", b"sh: x: not found"), {}, "unobservable"),
            (Completed(126, b"", b""), {}, "unobservable"),
            (Completed(127, b"", b""), {"rc": [127]}, "healthy"),
        ],
    )
    def test_verdicts(self, done, options, verdict):
        probe = parse_probes([{"kind": "command", "argv": ["check"], **options}])[0]
        assert run(probe, runner=lambda *_args, **_kwargs: done).verdict == verdict

    @pytest.mark.parametrize(
        ("argv", "verdict"),
        [
            (["true"], "healthy"),
            (["false"], "unhealthy"),
            (["sleep", "30"], "unhealthy"),
            (["/nonexistent/check"], "unobservable"),
            (["/etc/passwd"], "unobservable"),
            (["yes"], "unobservable"),
            (["sh", "-c", "kill -SEGV $$"], "unobservable"),
            (["test", "$HOME", "=", "$HOME"], "healthy"),
        ],
    )
    def test_real_commands(self, argv, verdict):
        probe = parse_probes([{"kind": "command", "argv": argv, "timeout": 1 if argv[0] == "sleep" else 10}])[0]
        started = time.monotonic()
        assert run(probe, runner=run_command).verdict == verdict
        assert time.monotonic() - started < 11


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"status": "UP" if self.path == "/up" else "DOWN", "saw": self.headers.get("X-Key")}).encode()
        self.send_response(200 if self.path == "/up" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


def test_real_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        port = server.server_address[1]
        common = {"kind": "http", "json_path": "status", "json_value": "UP", "headers": {"X-Key": "k3yk3yk3y"}}
        up, down, tcp = parse_probes(
            [
                {**common, "url": f"http://localhost:{port}/up"},
                {**common, "url": f"http://localhost:{port}/down"},
                {"kind": "tcp", "port": port},
            ]
        )
        found = [run(probe, HttpClient()) for probe in (up, down, tcp)]
    finally:
        server.shutdown()
        server.server_close()
    assert [one.verdict for one in found] == ["healthy", "unhealthy", "healthy"]
    assert "DOWN" in found[1].detail and "k3yk3yk3y" not in found[1].detail
    assert [run(probe, HttpClient()).verdict for probe in (up, tcp)] == ["unhealthy"] * 2


def test_free_port_is_refused():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    probe = parse_probes([{"kind": "tcp", "port": port}])[0]
    found = run(probe, HttpClient())
    assert (found.verdict, found.detail.split(":")[0]) == ("unhealthy", "refused")
