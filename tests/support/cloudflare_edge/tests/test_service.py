# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an edge has to do for a connector: registrations, configuration, traffic, goodbyes."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.client import EdgeError, EdgeProcess
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.connector import TunnelIdentity
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.tests.conftest import Connect, get


class _Origin(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if not body and "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size + 2)[:-2]
        said = json.dumps({"path": self.path, "host": self.headers["host"], "sum": hashlib.sha256(body).hexdigest()})
        self.send_response(201)
        self.send_header("X-Origin", "yes; it is: me")
        self.end_headers()
        self.wfile.write(said.encode())

    do_GET = do_POST

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def origin() -> Iterator[str]:
    """A web server; HOST:PORT."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Origin)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def echo() -> Iterator[str]:
    """A TCP server that greets and sends back what it gets; HOST:PORT."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(one: socket.socket) -> None:
        with one:
            one.sendall(b"hello\n")
            while data := one.recv(65536):
                one.sendall(data)

    def accept() -> None:
        while True:
            try:
                one, _unused = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(one,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"127.0.0.1:{server.getsockname()[1]}"
    server.close()


def test_four_connections_register(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    connector = connect(live=4)
    (name, seen), *others = edge.tunnel(tunnel.id)["connectors"].items()
    assert others == []
    wanted = (200, {"status": 200, "readyConnections": 4, "connectorId": name})
    deadline = time.monotonic() + 20  # the edge knows of a connection before its connector does
    while True:
        status, ready = get(connector.metrics_address(), "/ready")
        if (status, json.loads(ready)) == wanted or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert (status, json.loads(ready)) == wanted
    assert [one["index"] for one in seen["connections"]] == [0, 1, 2, 3]
    logged = {row["connection"] for row in connector.said("Registered tunnel connection")}
    assert logged == {one["id"] for one in seen["connections"]}


def test_a_clean_stop_is_quick_and_leaves_no_ghost(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    connector = connect(live=4, grace="20s")
    code, seconds = connector.stop()
    assert code == 0
    assert seconds < 5, "the edge has to hang up after the goodbye, or each stop takes the whole grace period"
    assert edge.tunnel(tunnel.id)["connectors"] == {}
    assert edge.tunnel(tunnel.id)["status"] == "down"
    assert len(edge.events(event="unregistered")) == 4


def test_cut_connections_come_back_under_the_same_name(
    edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect
) -> None:
    connector = connect(live=4)
    metrics = connector.metrics_address()
    before = edge.tunnel(tunnel.id)["connectors"]
    edge.behave("refuse")
    assert edge.reset() == 4
    deadline = time.monotonic() + 30
    while get(metrics, "/ready")[0] != 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert json.loads(get(metrics, "/ready")[1])["readyConnections"] == 0
    assert edge.live(tunnel.id) == 0
    edge.clear()
    edge.wait_live(tunnel.id, 4, timeout=90)
    after = edge.tunnel(tunnel.id)["connectors"]
    assert after.keys() == before.keys()
    ids = [{one["id"] for seen in view.values() for one in seen["connections"]} for view in (before, after)]
    assert ids[0].isdisjoint(ids[1])


def test_configuration_is_pushed_at_the_start_and_later(
    edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect
) -> None:
    metrics = connect(live=4).metrics_address()
    edge.wait_event("configured")
    assert json.loads(get(metrics, "/config")[1])["version"] == 1
    answers = edge.configure(tunnel.id, {"ingress": [{"service": "http_status:204"}]})
    assert [(one["index"], one["lastAppliedVersion"], one["err"]) for one in answers] == [
        (i, 2, None) for i in range(4)
    ]
    config = json.loads(get(metrics, "/config")[1])
    assert (config["version"], config["config"]["ingress"][0]["service"]) == (2, "http_status:204")
    assert edge.request(tunnel.id)["status"] == 204


def test_a_configuration_that_is_no_good_is_refused(
    edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect
) -> None:
    connect(live=1)
    edge.wait_event("configured")
    answers = edge.configure(tunnel.id, {"ingress": [{"service": "no such thing"}]})
    # The connector's error loses its words on the way: it arrives as an empty object.
    assert answers and all(one["err"] == {} and one["lastAppliedVersion"] == 1 for one in answers)


def test_a_tunnel_that_is_managed_on_its_host_says_its_configuration(
    edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect
) -> None:
    edge.declare(tunnel.id, config_src="local")
    metrics = connect(live=4).metrics_address()
    assert edge.wait_event("local-configuration")["understood"] is True
    assert json.loads(get(metrics, "/config")[1])["version"] == -1
    assert edge.events(event="configured") == []


def test_requests_reach_the_origin(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect, origin: str) -> None:
    edge.declare(tunnel.id, config={"ingress": [{"service": f"http://{origin}"}]})
    connect(live=4)
    edge.wait_event("configured")
    body = "x" * 300_000
    for index in range(4):
        answer = edge.request(tunnel.id, method="POST", path="/a?b=c", host="shop.example.com", body=body, index=index)
        assert (answer["status"], answer["index"], answer["headers"]["x-origin"]) == (201, index, "yes; it is: me")
        said = json.loads(answer["body"])
        assert said["path"] == "/a?b=c"
        assert said["sum"] == hashlib.sha256(body.encode()).hexdigest()


def test_a_dead_origin_is_not_a_dead_tunnel(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    edge.declare(tunnel.id, config={"ingress": [{"service": f"http://127.0.0.1:{port}"}]})
    connect(live=1)
    edge.wait_event("configured")
    assert edge.request(tunnel.id)["status"] == 502


def test_no_request_through_a_tunnel_without_connections(edge: EdgeProcess, tunnel: TunnelIdentity) -> None:
    with pytest.raises(EdgeError, match="no such living connection"):
        edge.request(tunnel.id)


def _forward_address(edge: EdgeProcess, tunnel: TunnelIdentity, target: str) -> tuple[str, int]:
    host, _unused, port = edge.forward(tunnel.id, target)["listen"].rpartition(":")
    return host, int(port)


def test_tcp_goes_through_the_tunnel(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect, echo: str) -> None:
    connect(live=1)
    sent = b"0123456789abcdef" * 65536
    with socket.create_connection(_forward_address(edge, tunnel, echo), timeout=20) as one:
        assert one.recv(100) == b"hello\n"
        threading.Thread(target=one.sendall, args=(sent,), daemon=True).start()
        got = b""
        while len(got) < len(sent) and (chunk := one.recv(65536)):
            got += chunk
        assert got == sent


def test_the_end_of_one_side_is_the_end_of_both(
    edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect, echo: str
) -> None:
    """cloudflared waits for no last words of the origin once the client's side has ended."""
    connect(live=1)
    with socket.create_connection(_forward_address(edge, tunnel, echo), timeout=20) as one:
        assert one.recv(100) == b"hello\n"
        one.shutdown(socket.SHUT_WR)
        while one.recv(100):
            pass
    deadline = time.monotonic() + 5
    while edge.call("GET", "/control/forwards")[1][0]["open"]:
        assert time.monotonic() < deadline


def test_tcp_through_the_tunnel_ends_with_its_connection(
    edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect, echo: str
) -> None:
    connect(live=1)
    with socket.create_connection(_forward_address(edge, tunnel, echo), timeout=20) as one:
        assert one.recv(100) == b"hello\n"
        edge.reset()
        assert one.recv(100) == b""


def test_tcp_to_a_closed_port_ends_at_once(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    connect(live=1)
    with socket.create_connection(_forward_address(edge, tunnel, "127.0.0.1:1"), timeout=20) as one:
        assert one.recv(100) == b""


def test_replicas_and_tunnels_are_told_apart(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    other = TunnelIdentity()
    first, second = connect(), connect()
    connect(of=other, live=4)
    edge.wait_live(tunnel.id, 8)
    names = {json.loads(get(one.metrics_address(), "/ready")[1])["connectorId"] for one in (first, second)}
    assert edge.tunnel(tunnel.id)["connectors"].keys() == names
    assert first.stop()[0] == 0
    edge.wait_live(tunnel.id, 4)
    assert edge.live(other.id) == 4


def test_secrets_are_nowhere(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    connect(live=4)
    places = [json.dumps(edge.state()), json.dumps(edge.events()), edge.event_log.read_text()]
    parts = (tunnel.token, tunnel.secret.hex(), base64.b64encode(tunnel.secret).decode())
    assert all(part not in place for place in places for part in parts)
