# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes: their options, the verdict of every outcome, and what never shows in a detail."""

from __future__ import annotations

import base64
import http.server
import json
import socket
import threading
import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import Completed, SystemClock, run_command
from ansible_collections.chainops.lifecycle.plugins.module_utils._http import (
    ERROR_KINDS,
    HttpClient,
    HttpError,
    Response,
    TlsSettings,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._probe_args import (
    CommandCheck,
    HttpCheck,
    TcpCheck,
    follow_json_path,
    parse_json_path,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes import (
    PROBE_OPTIONS,
    VERDICT_OF_ERROR,
    Probe,
    ProbeOptionError,
    ProbeResult,
    ProbeTracker,
    ServiceHealth,
    overall,
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


class FakeClock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def wall(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def no_runner(*_args, **_kwargs):
    pytest.fail("ran a command")


def answer(body=b"", status=200):
    return Response(status, "", {}, body, 0.01)


def run(probe, http=None, runner=no_runner):
    return run_probe(probe, http=http, runner=runner, clock=FakeClock())


def http_probe(**options):
    return parse_probes([{"kind": "http", "url": URL, **options}])[0]


class TestOptions:
    def test_all_of_http(self):
        probe = http_probe(
            name="ready",
            method="POST",
            headers={"X-B": "2", "X-A": 1},
            body="{}",
            status=[200, "204"],
            body_regex="UP",
            json_path="result[0].a",
            json_value=False,
            validate_certs="no",
            ca_path="/etc/ca.pem",
            client_cert="/c",
            client_key="/k",
            fingerprint_sha256="aB:" * 31 + "cd",
            server_hostname="node",
            timeout="2.5",
            interval=0.5,
            failure_threshold="4",
            success_threshold=2,
            start_grace=0,
        )
        check = probe.check
        assert isinstance(check, HttpCheck) and probe.kind == "http"
        assert (check.method, check.body, check.status) == ("POST", b"{}", (200, 204))
        assert check.headers == (("X-A", "1"), ("X-B", "2"))
        assert (check.json_path, check.json_value) == (("result", 0, "a"), False)
        assert check.tls == TlsSettings(False, "/etc/ca.pem", "/c", "/k", "aB:" * 31 + "cd", "node")
        assert (probe.name, probe.timeout, probe.interval) == ("ready", 2.5, 0.5)
        assert (probe.failure_threshold, probe.success_threshold, probe.start_grace) == (4, 2, 0)

    def test_defaults_and_names(self):
        probes = parse_probes(
            [
                {"kind": "http", "url": URL},
                {"kind": "tcp", "port": "30303", "host": None},
                {"kind": "command", "argv": ["true"]},
            ]
        )
        assert [probe.name for probe in probes] == ["http[0]", "tcp[1]", "command[2]"]
        assert probes[0].check == HttpCheck(URL)
        assert probes[1].check == TcpCheck(30303)
        assert probes[2].check == CommandCheck(("true",))
        assert probes[1] == Probe("tcp[1]", TcpCheck(30303))
        assert parse_probes(None) == parse_probes([]) == ()

    def test_defaults_of_the_specification_are_those_of_the_class(self):
        probe = Probe("x", TcpCheck(1))
        for option, spec in PROBE_OPTIONS["options"].items():
            if "default" in spec:
                assert getattr(probe, option) == spec["default"]

    @pytest.mark.parametrize(
        ("options", "option"),
        [
            ({}, "kind"),
            ({"kind": "icmp"}, "kind"),
            ({"kind": "http"}, "url"),
            ({"kind": "tcp"}, "port"),
            ({"kind": "command"}, "argv"),
            ({"kind": "command", "argv": []}, "argv"),
            ({"kind": "command", "argv": ["a\0b"]}, "argv"),
            ({"kind": "command", "argv": {"a": 1}}, "argv"),
            ({"kind": "command", "argv": ["a"], "output_regex": "("}, "output_regex"),
            ({"kind": "command", "argv": ["a"], "rc": "x"}, "rc"),
            ({"kind": "tcp", "port": 0}, "port"),
            ({"kind": "tcp", "port": 65536}, "port"),
            ({"kind": "tcp", "port": True}, "port"),
            ({"kind": "tcp", "port": 80.5}, "port"),
            ({"kind": "tcp", "port": 80, "host": "a b"}, "host"),
            ({"kind": "tcp", "port": 80, "status": [200]}, "status"),
            ({"kind": "http", "url": URL, "typo": 1}, "typo"),
            ({"kind": "http", "url": "127.0.0.1:80"}, "url"),
            ({"kind": "http", "url": "http://u:hunter2@h:0/"}, "url"),
            ({"kind": "http", "url": URL, "method": "DELETE"}, "method"),
            ({"kind": "http", "url": URL, "method": "HEAD", "body_regex": "x"}, "method"),
            ({"kind": "http", "url": URL, "status": []}, "status"),
            ({"kind": "http", "url": URL, "status": [20]}, "status"),
            ({"kind": "http", "url": URL, "headers": {"A": "hunter2\n"}}, "headers"),
            ({"kind": "http", "url": URL, "headers": "A: hunter2"}, "headers"),
            ({"kind": "http", "url": URL, "body_regex": "[hunter"}, "body_regex"),
            ({"kind": "http", "url": URL, "json_path": "$.a"}, "json_path"),
            ({"kind": "http", "url": URL, "json_value": 1}, "json_value"),
            ({"kind": "http", "url": URL, "client_key": "/k"}, "client_key"),
            ({"kind": "http", "url": URL, "fingerprint_sha256": "ab"}, "fingerprint_sha256"),
            ({"kind": "http", "url": URL, "validate_certs": "maybe"}, "validate_certs"),
            ({"kind": "http", "url": URL, "timeout": 0}, "timeout"),
            ({"kind": "http", "url": URL, "timeout": float("nan")}, "timeout"),
            ({"kind": "http", "url": URL, "timeout": "soon"}, "timeout"),
            ({"kind": "http", "url": URL, "failure_threshold": 0}, "failure_threshold"),
            ({"kind": "http", "url": URL, "failure_threshold": 1.5}, "failure_threshold"),
            ({"kind": "http", "url": URL, "start_grace": -1}, "start_grace"),
            ({"kind": "http", "url": URL, "name": "ok"}, "name"),
        ],
    )
    def test_errors_name_the_option(self, options, option):
        good = {"kind": "tcp", "port": 1, "name": "ok"}
        with pytest.raises(ProbeOptionError) as caught:
            parse_probes([good, options])
        assert caught.value.option == f"probes[1].{option}"
        assert caught.value.msg.startswith(f"probes[1].{option}: ")
        assert "hunter2" not in caught.value.msg

    def test_not_a_dictionary(self):
        with pytest.raises(ProbeOptionError, match=r"^probes\[0\]: is str"):
            parse_probes(["http://x"])


class TestJsonPath:
    @pytest.mark.parametrize(
        ("text", "steps"),
        [
            ("a", ("a",)),
            ("a.b[0].c", ("a", "b", 0, "c")),
            ("[0]", (0,)),
            ("[10][2].x-y", (10, 2, "x-y")),
            ("0.1", ("0", "1")),
        ],
    )
    def test_good(self, text, steps):
        assert parse_json_path(text) == steps

    @pytest.mark.parametrize(
        "text",
        ["", ".a", "a.", "a..b", "a[", "a[]", "a[-1]", "a[*]", "a[01]", "a]b", "$.a", "a b", "a['b']", "[0]a", "a\n"],
    )
    def test_bad(self, text):
        with pytest.raises(ValueError, match="a.b"):
            parse_json_path(text)

    def test_follow(self):
        document = {"a": {"b": [{"c": None}, 7]}}
        assert follow_json_path(document, ("a", "b", 0, "c")) is None
        assert follow_json_path(document, ("a", "b", 1)) == 7
        for path in (("x",), ("a", 0), ("a", "b", "0"), ("a", "b", 2), ("a", "b", 1, "c")):
            with pytest.raises(LookupError):
                follow_json_path(document, path)


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
                    "headers": {"Authorization": f"Bearer {self.TOKEN}", "X-Pin": "7"},
                    **options,
                }
            ]
        )[0]
        for status in (418, 500):
            detail = run(probe, FakeHttp(answer(text.encode(), status))).detail
            for secret in (self.TOKEN, self.TOKEN[:8], "Zx9Qw7Lm", basic, "pass@word", "pass%40word"):
                assert secret not in detail
            assert self.TOKEN not in repr(probe) and "pass%40word" not in repr(probe)

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
        probe = parse_probes([{"kind": "command", "argv": argv, "timeout": 1}])[0]
        started = time.monotonic()
        assert run(probe, runner=run_command).verdict == verdict
        assert time.monotonic() - started < 3


def result(verdict):
    return ProbeResult("p", "http", verdict, verdict, 0.0)


GOOD, BAD, BLIND = result("healthy"), result("unhealthy"), result("unobservable")


def health(results, *, failures=3, successes=1, grace=0.0, started=None, step=1.0):
    """The health after each of the results, which come ``step`` seconds apart from 0 on."""
    tracker = ProbeTracker(Probe("p", TcpCheck(1), 5, 1, failures, successes, grace), started)
    seen = []
    for number, one in enumerate(results):
        tracker = tracker.add(one, number * step)
        seen.append(tracker.health)
    return seen


P, H, U, X = "pending", "healthy", "unhealthy", "unobservable"


class TestTracker:
    @pytest.mark.parametrize(
        ("results", "options", "expected"),
        [
            ([GOOD], {}, [H]),
            ([BAD, BAD, BAD], {}, [P, P, U]),
            ([GOOD, BAD, BAD, BAD, GOOD], {}, [H, H, H, U, H]),
            ([GOOD, GOOD], {"successes": 2}, [P, H]),
            ([GOOD, BAD, GOOD, GOOD], {"successes": 2}, [P, P, P, H]),
            ([BAD, BAD, GOOD, BAD, BAD], {}, [P, P, H, H, H]),
            ([BAD] * 3 + [GOOD, BAD, GOOD, GOOD], {"successes": 2}, [P, P, U, U, U, U, H]),
            ([BAD], {"failures": 1}, [U]),
            ([BAD] * 6, {"grace": 3.0, "started": 0.0}, [P, P, P, P, P, U]),
            ([BAD, GOOD, BAD, BAD, BAD], {"grace": 99.0, "started": 0.0}, [P, H, H, H, U]),
            ([BAD] * 3, {"grace": 99.0, "started": None}, [P, P, U]),
            ([BLIND] * 3, {}, [P, P, X]),
            ([GOOD, BLIND, BLIND, BLIND, BAD, BAD, BAD], {}, [H, H, H, X, P, P, U]),
            ([BAD, BLIND, BAD, BLIND, BAD], {}, [P, P, P, P, U]),
            ([BAD] * 3 + [BLIND] * 3 + [GOOD], {}, [P, P, U, U, U, X, H]),
        ],
    )
    def test_folding(self, results, options, expected):
        assert health(results, **options) == expected

    def test_overall(self):
        def of(*values):
            return overall([ProbeTracker(Probe("p", TcpCheck(1)), health=value) for value in values])

        assert of() == "none"
        assert (of(H, H), of(H, P), of(P, X), of(X, U, H)) == (H, P, X, U)


class Script:
    """An HTTP client whose probes of a port succeed as scripted, or for ever as the last entry says."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.asked = 0

    def connect(self, _host, _port, *, timeout):
        self.asked += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome is not None:
            raise HttpError(outcome, "scripted")
        return timeout


class TestServiceHealth:
    def make(self, http, **options):
        self.clock = FakeClock()
        probes = parse_probes([{"kind": "tcp", "port": 1, **options}])
        return ServiceHealth(probes, http=http, runner=no_runner, clock=self.clock)

    def settle(self, service, since):
        """As an observer does: look, and again while another look could settle it."""
        found = service.check(since)
        for _number in range(10):
            wait = service.pending_time()
            if not wait:
                return found
            self.clock.sleep(wait)
            found = service.check(since)
        return found

    def test_without_probes(self):
        service = ServiceHealth((), http=Script(None), runner=no_runner, clock=FakeClock())
        assert service.check(1.0).verdict == "none" and service.pending_time() == 0

    def test_healthy_at_once(self):
        service = self.make(Script(None))
        found = self.settle(service, 10.0)
        assert found.verdict == H and "tcp[0]: healthy" in found.reasons[0]
        assert self.clock.now == 1000

    def test_one_failure_of_an_old_service_is_looked_at_again(self):
        http = Script("refused")
        service = self.make(http)
        assert service.check(10.0).verdict == P
        assert self.settle(service, 10.0).verdict == U
        assert http.asked == 3 and self.clock.now == pytest.approx(1002)

    def test_a_broken_probe_ends_as_unobservable(self):
        service = self.make(Script("dns"))
        found = self.settle(service, 10.0)
        assert found.verdict == X and "dns: scripted" in found.reasons[0]

    def test_within_the_grace_nobody_waits_for_its_end(self):
        service = self.make(Script("refused"))
        assert self.settle(service, 999.0).verdict == P
        assert self.clock.now == 1000

    def test_within_the_grace_it_asks_often_but_not_always(self):
        http = Script("refused", "refused", None)
        service = self.make(http)
        for _number in range(9):
            found = service.check(999.0)
            self.clock.sleep(0.0625)
        assert http.asked == 3 and found.verdict == H

    def test_between_intervals_it_does_not_ask(self):
        http = Script("refused")
        service = self.make(http)
        for _number in range(40):
            service.check(10.0)
            self.clock.sleep(0.01)
        assert http.asked == 1 and service.trackers[0].failures == 1

    def test_a_new_start_begins_anew(self):
        http = Script("refused", "refused", "refused", None)
        service = self.make(http)
        assert self.settle(service, 10.0).verdict == U
        self.clock.sleep(1)
        assert service.check(1000.5).verdict == H
        assert service.trackers[0].started_at == 1000.5

    def test_side_by_side(self):
        barrier = threading.Barrier(3)

        class Together:
            def connect(self, _host, _port, *, timeout):
                barrier.wait(5)

        probes = parse_probes([{"kind": "tcp", "port": port} for port in (1, 2, 3)])
        service = ServiceHealth(probes, http=Together(), runner=no_runner, clock=SystemClock())
        assert service.check(0.0).verdict == H


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


def test_ansible_takes_the_specification():
    arg_spec = pytest.importorskip("ansible.module_utils.common.arg_spec")
    validator = arg_spec.ArgumentSpecValidator({"probes": PROBE_OPTIONS})

    def validate(*probes):
        return validator.validate({"probes": list(probes)})

    good = validate(
        {"kind": "http", "url": URL, "status": "200,204", "headers": {"A": "secret"}}, {"kind": "tcp", "port": 1}
    )
    assert good.error_messages == []
    assert parse_probes(good.validated_parameters["probes"])[0].check.status == (200, 204)
    assert "secret" in good._no_log_values
    for bad, word in [
        ({"kind": "http"}, "url"),
        ({"kind": "tcp"}, "port"),
        ({"kind": "command"}, "argv"),
        ({"kind": "tcp", "port": 1, "url": URL}, "mutually exclusive"),
        ({"kind": "http", "url": URL, "json_value": 1}, "json_path"),
        ({"kind": "http", "url": URL, "client_key": "/k"}, "client_cert"),
    ]:
        assert word in " ".join(validate(bad).error_messages)


def test_free_port_is_refused():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    probe = parse_probes([{"kind": "tcp", "port": port}])[0]
    found = run(probe, HttpClient())
    assert (found.verdict, found.detail.split(":")[0]) == ("unhealthy", "refused")
