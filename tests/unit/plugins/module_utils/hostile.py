# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers on the loopback that misbehave, and requests that must fail in time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import (
    ERROR_KINDS,
    HttpClient,
    HttpError,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SLACK = 10  # seconds that a busy machine may add to a time-out


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


@contextlib.contextmanager
def servers():
    """Start servers by a handler, or by the bytes that answer any request, and close them all in the end."""
    running = []

    def start(handle, **kwargs):
        if isinstance(handle, bytes):
            answer = handle

            def handle(server, sock):
                server.read_request(sock)
                sock.sendall(answer)

        running.append(Server(handle, **kwargs))
        return running[-1]

    try:
        yield start
    finally:
        for server in running:
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
