# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics servers that are none: each endpoint costs bounded time and memory, and says in a word what was wrong."""

from __future__ import annotations

import os
import time
import tracemalloc

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import endpoints as e
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpClient
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.hostile import SLACK, hang, servers

TIMEOUT = 0.5
MB = 1024 * 1024
# What may be held of an answer, several times over while it is read.
LIMITS = {"ready": 4096, "metrics": 4 * MB, "config_version": 2 * MB}
NOTHING: dict[str, object] = {"ready": None, "metrics": None, "config_version": None}
HEAD = b"HTTP/1.1 200 OK\r\n"
TOO_LARGE = {"too_large", "timeout"}  # a busy machine may not have read so much in time


def ask(server, endpoint, timeout=TIMEOUT):
    """What an endpoint comes to, the word that says what was wrong, the seconds and the memory that it took."""
    connector = e.Connector(HttpClient(), f"http://127.0.0.1:{server.port}", timeout)
    began = time.monotonic()
    tracemalloc.start()
    try:
        said = getattr(connector, endpoint)()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        connector.close()
    value = {"ready": lambda: said.connections, "metrics": lambda: said.registered}.get(endpoint, lambda: said)()
    return value, getattr(said, "problem", None), time.monotonic() - began, peak


def answer(head, body=b"", total=0, pause=0.0):
    """A handler that sends a head, then a body again and again, up to a number of bytes, with pauses."""

    def handle(server, sock):
        server.read_request(sock)
        sock.sendall(head)
        for _number in range(total // max(len(body), 1)):
            sock.sendall(body)
            if pause and server.over.wait(pause):
                return

    return handle


LYING = HEAD + b"Content-Length: 209715200\r\n\r\n"
ENDLESS = HEAD + b"\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/ready\r\nContent-Length: 0\r\n\r\n"
SERVERS = {
    "hangs": (hang, {"timeout"}),
    "drips its head": (answer(b"HTTP/1.1 200 OK\r\nX: ", b"x", 100000, 0.05), {"timeout"}),
    "drips its body": (answer(HEAD + b"Content-Length: 4000\r\n\r\n", b"x", 4000, 0.05), {"timeout"}),
    "drips chunks": (answer(CHUNKED, b"1\r\nx\r\n", 100000, 0.05), {"timeout"}),
    "ends early": (answer(HEAD + b"Content-Length: 900\r\n\r\nshort"), {"protocol"}),
    "says a negative length": (answer(HEAD + b"Content-Length: -1\r\n\r\n"), {"protocol"}),
    "says two lengths": (answer(HEAD + b"Content-Length: 2\r\nContent-Length: 900\r\n\r\nok"), {"protocol"}),
    "200 MB": (answer(LYING, b"x" * MB, 200 * MB), TOO_LARGE),
    "200 MB without a length": (answer(ENDLESS, b"x" * MB, 200 * MB), TOO_LARGE),
    "200 MB in chunks": (answer(CHUNKED, b"100000\r\n" + b"x" * MB + b"\r\n", 200 * MB), TOO_LARGE),
    "binary": (answer(os.urandom(4096)), {"protocol"}),
    "binary body": (answer(HEAD + b"Content-Length: 512\r\n\r\n" + bytes(range(256)) * 2), {"not_json", "unexpected"}),
    "compressed": (answer(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"), {"encoding"}),
    "endless head": (answer(HEAD, b"A: b\r\n" * 1000, 200 * MB), {"protocol"}),
    "no answer": (answer(b""), {"reset"}),
}


@pytest.mark.parametrize("endpoint", LIMITS)
@pytest.mark.parametrize("name", SERVERS)
def test_time_and_memory_are_bounded_and_a_word_says_why(name, endpoint):
    handle, words = SERVERS[name]
    with servers() as start:
        value, problem, seconds, peak = ask(start(handle), endpoint)
    assert value == NOTHING[endpoint] or (endpoint, name, value) == ("metrics", "binary body", 0)
    assert problem is None or problem in words
    # Reading megabytes in time is up to the machine; that it ends is not.
    assert seconds < TIMEOUT + SLACK
    assert peak < 4 * LIMITS[endpoint] + MB


@pytest.mark.parametrize("endpoint", LIMITS)
def test_no_redirect_is_followed(endpoint):
    with servers() as start:
        other = start(HEAD + b"Content-Length: 2\r\n\r\n{}")
        value, problem, _seconds, _peak = ask(start(REDIRECT % other.port), endpoint)
        assert other.requests == []
    assert value == NOTHING[endpoint] and problem in (None, "unexpected", "status_302")


@pytest.mark.parametrize("body", [b"[" * MB, b'{"a":' * (MB // 5), b"9" * MB, b'{"version":' + b"9" * MB + b"}"])
@pytest.mark.parametrize("endpoint", ["config_version"])
def test_json_that_is_made_to_hurt(body, endpoint):
    with servers() as start:
        value, _problem, seconds, _peak = ask(start(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body), endpoint)
    assert value == NOTHING[endpoint] and seconds < TIMEOUT + SLACK


def test_metrics_of_many_lines_that_are_all_wanted():
    line = b'cloudflared_tunnel_tunnel_register_success{rpcName="x"} 1\n'
    body = line * (4 * MB // len(line))
    with servers() as start:
        value, _problem, _seconds, peak = ask(
            start(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body), "metrics", 20
        )
    assert value == body.count(b"\n") and peak < 40 * MB
