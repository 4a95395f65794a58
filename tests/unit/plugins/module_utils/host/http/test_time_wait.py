# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe leaves nothing on the port of the service that it asked."""

from __future__ import annotations

import socket
import threading

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpClient

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def serve_once(server: socket.socket, answers: bool) -> None:
    """Close first, as a server does that was asked with Connection: close, or that was only connected to."""
    peer, _address = server.accept()
    with peer:
        if answers:
            peer.recv(4096)
            peer.sendall(ANSWER)
        peer.settimeout(5)
        try:
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(4096):
                pass
        except OSError:
            pass  # as it should end
    server.close()


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_the_port_of_the_service_is_free_at_once(kind: str) -> None:
    server = socket.socket()  # without SO_REUSEADDR, as the new start below
    server.bind(("127.0.0.1", 0))
    server.listen()
    port = server.getsockname()[1]
    thread = threading.Thread(target=serve_once, args=(server, kind == "http"))
    thread.start()
    if kind == "http":
        assert HttpClient().request("GET", f"http://127.0.0.1:{port}/", timeout=5).status == 200
    else:
        HttpClient().connect("127.0.0.1", port, timeout=5)
    thread.join()
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))
