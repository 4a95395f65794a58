# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a connector answers, and what its answers mean. Every HTTP answer here comes from a real server."""

from __future__ import annotations

import json
import os
import socket
import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import endpoints as e
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.settings import Settings
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import procfs as sockets
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpClient
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.hostile import (
    SLACK,
    free_port,
    hang,
    servers,
)

ID = "19dfd5eb-87fc-4f30-ad94-bc189e47f0bc"
RECORDED = os.path.join(os.path.dirname(__file__), *[os.pardir] * 4, "recordings", "cloudflared")


def recording(name):
    with open(os.path.join(RECORDED, f"{name}.json"), encoding="utf-8") as stream:
        return json.load(stream)


def reply(body, status=200, extra=b""):
    data = body if isinstance(body, bytes) else body.encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n" % (status, len(data), extra) + data


def connector(server, timeout=2.0):
    return e.Connector(HttpClient(), f"http://127.0.0.1:{server.port}", timeout)


@pytest.mark.parametrize(
    ("body", "status", "connections", "identity", "problem"),
    [
        (json.dumps({"status": 200, "readyConnections": 4, "connectorId": ID}), 200, 4, ID, ""),
        (json.dumps({"status": 503, "readyConnections": 0, "connectorId": ID}), 503, 0, ID, ""),
        ('{"status":200,"readyConnections":2}', 200, 2, "", ""),  # before 2022.6.0
        ("404 page not found\n", 404, None, "", "unsupported"),
        ("OK\n", 200, None, "", "not_json"),
        ("[]", 200, None, "", "unexpected"),
        ('{"readyConnections":true}', 200, None, "", "unexpected"),
        ('{"readyConnections":-1}', 503, None, "", "unexpected"),
        ('{"readyConnections":4}', 503, None, "", "unexpected"),
        ('{"readyConnections":0}', 200, None, "", "unexpected"),
        ('{"readyConnections":1e9}', 200, None, "", "unexpected"),
        ('{"readyConnections":4,"connectorId":"{{ lookup(1) }}"}', 200, 4, "", ""),
        ("moved", 302, None, "", "unexpected"),
        ("[" * 4000, 200, None, "", "not_json"),
        (b"\xff\xfe\x00", 200, None, "", "not_json"),
        ("x" * 5000, 200, None, "", "too_large"),
    ],
)
def test_ready(body, status, connections, identity, problem):
    with servers() as start:
        ready = connector(start(reply(body, status))).ready()
    assert (ready.connections, ready.connector_id, ready.problem) == (connections, identity, problem)
    assert "{{" not in ready.message


@pytest.mark.parametrize(
    "handle",
    [
        hang,
        lambda server, sock: drip(server, sock, b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"),
        lambda server, sock: flood(server, sock, b"HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n"),
        lambda server, sock: flood(server, sock, b"HTTP/1.1 200 OK\r\n\r\n"),
        lambda server, sock: sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nshort"),
        lambda server, sock: sock.sendall(os.urandom(4096)),
        lambda server, sock: None,
    ],
)
def test_hostile_servers_cost_bounded_time_and_end_in_a_word(handle):
    with servers() as start:
        began = time.monotonic()
        asked = connector(start(handle), timeout=0.5)
        ready, metrics, version = asked.ready(), asked.metrics(), asked.config_version()
        assert time.monotonic() - began < 3 * 0.5 + SLACK
    assert ready.connections is None and ready.problem
    assert metrics.registered in (None, 0) and metrics.problem
    assert version is None


def drip(server, sock, head):
    server.read_request(sock)
    sock.sendall(head)
    while not server.over.wait(0.05):
        sock.sendall(b"x")


def flood(server, sock, head):
    server.read_request(sock)
    sock.sendall(head)
    while not server.over.is_set():
        sock.sendall(b"x" * 65536)


def test_real_metrics():
    answers = recording("connect_cut_reconnect")["answers"]
    first, cut, back = (e.read_metrics(answers[m]["/metrics"]["body"]) for m in ("first", "cut", "back"))
    assert (first.registered, first.version, first.problem) == (4, "2026.6.0", "")
    assert first.started == pytest.approx(1.79552355784e9)
    # What lies: both still say that there are connections, after all were cut.
    assert 'server_locations{connection_id="0",edge_location="tst01"} 1' in answers["cut"]["/metrics"]["body"]
    assert "cloudflared_tunnel_ha_connections 0" not in answers["cut"]["/metrics"]["body"]
    assert (cut.registered, back.registered) == (4, 8)
    refused = e.read_metrics(recording("unauthorized")["answers"]["first"]["/metrics"]["body"])
    assert (refused.registered, refused.refused, refused.duplicates) == (0, 11, 0)
    twice = e.read_metrics(recording("duplicate_connection")["answers"]["first"]["/metrics"]["body"])
    assert (twice.refused, twice.duplicates) == (0, 5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0" * 1000,
        'cloudflared_tunnel_tunnel_register_success{a="' + "x" * 100000,
        "cloudflared_tunnel_tunnel_register_success NaN",
        'cloudflared_tunnel_tunnel_register_success{rpcName="x"} 1e400',
        "cloudflared_tunnel_tunnel_register_success -4",
        "process_start_time_seconds",
    ],
)
def test_metrics_that_are_none(text):
    assert e.read_metrics(text).registered == 0
    assert e.read_metrics(text).problem == "unexpected"


def test_old_versions_degrade_with_a_word():
    with servers() as start:
        asked = connector(start(reply("404 page not found", 404)))
        assert asked.ready().problem == "unsupported"
        assert asked.metrics().problem == "unsupported"
        assert asked.config_version() is None


def test_configuration_version():
    with servers() as start:
        assert connector(start(reply('{"version":-1,"config":{}}'))).config_version() == -1
        assert connector(start(reply('{"version":true}'))).config_version() is None
        assert connector(start(reply("ERR: no", 500))).config_version() is None


class Listening:
    """This very process listens, so that /proc has something true to show."""

    def __init__(self, *ports, family=socket.AF_INET, host="127.0.0.1"):
        self.socks = []
        for port in ports:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.bind((host, port))
            sock.listen(1)
            self.socks.append(sock)

    def __enter__(self):
        return [sock.getsockname()[1] for sock in self.socks]

    def __exit__(self, *_exc):
        for sock in self.socks:
            sock.close()


def proc_of(tmp_path, rows, own=("11",), ns="net:[1]"):
    """A /proc with one process, 7, that owns the sockets ``own``."""
    base = tmp_path / "7"
    (base / "net").mkdir(parents=True)
    (base / "fd").mkdir()
    (base / "ns").mkdir()
    (tmp_path / "self" / "ns").mkdir(parents=True)
    os.symlink("net:[1]", tmp_path / "self" / "ns" / "net")
    os.symlink(ns, base / "ns" / "net")
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    lines = [
        f"   {i}: {local} {remote} {state} 0:0 0:0 0 0 0 {inode} 1"
        for i, (local, remote, state, inode) in enumerate(rows)
    ]
    (base / "net" / "tcp").write_text(head + "\n".join(lines) + "\n")
    for number, inode in enumerate(own):
        os.symlink(f"socket:[{inode}]", base / "fd" / str(number))
    os.symlink("/dev/null", base / "fd" / "99")
    return str(tmp_path)


LOOPBACK = "0100007F"
NOBODY = "00000000:0000"


def listening(port, inode="11", address=LOOPBACK):
    return (f"{address}:{port:04X}", NOBODY, "0A", inode)


def environment(value):
    return Settings({"metrics": value}, {"metrics": "environment"})


@pytest.mark.parametrize(
    ("settings", "rows", "url", "how"),
    [
        (Settings(), [listening(20243)], "http://127.0.0.1:20243", "process 7 listens there"),
        (Settings(), [listening(9999), listening(20241)], "http://127.0.0.1:20241", "process 7 listens there"),
        (Settings(), [listening(45123)], "http://127.0.0.1:45123", "process 7 listens there"),  # before 2024.12
        (Settings(), [listening(20241, address="00000000")], "http://127.0.0.1:20241", "process 7 listens there"),
        (environment("127.0.0.1:2000"), [listening(2000)], "http://127.0.0.1:2000", "environment of the connector"),
        (environment("localhost:0"), [listening(20242)], "http://127.0.0.1:20242", "process 7 listens there"),
        (environment("localhost:2000"), [listening(2000)], "http://localhost:2000", "environment of the connector"),
        (
            Settings({"metrics": ":2000"}, {"metrics": "argument"}),
            [listening(2000)],
            "http://127.0.0.1:2000",
            "argument --metrics",
        ),
    ],
)
def test_the_address_and_how_it_was_found(tmp_path, settings, rows, url, how):
    found = e.find(settings, 7, proc_of(tmp_path, rows))
    assert (found.url, found.how, found.problem) == (url, how, "")


@pytest.mark.parametrize(
    ("settings", "rows", "own", "ns", "problem"),
    [
        (Settings(), [], (), "net:[1]", "listens nowhere yet"),
        (Settings(), [listening(20241, "99")], ("11",), "net:[1]", "listens nowhere yet"),  # another's port
        (Settings(), [listening(1000), listening(1001)], ("11",), "net:[1]", "give metrics"),
        (
            environment("127.0.0.1:2000"),
            [listening(2000, "99")],
            ("11",),
            "net:[1]",
            "does not listen on 127.0.0.1:2000",
        ),
        (Settings(), [listening(20241)], ("11",), "net:[2]", "network of its own"),
    ],
)
def test_an_address_is_never_guessed(tmp_path, settings, rows, own, ns, problem):
    found = e.find(settings, 7, proc_of(tmp_path, rows, own, ns))
    assert found.url == "" and problem in found.problem


def test_several_connectors_are_told_apart_by_their_process(tmp_path):
    rows = [listening(20241, "50"), listening(20242, "11")]
    assert e.find(Settings(), 7, proc_of(tmp_path, rows)).url == "http://127.0.0.1:20242"


def test_a_given_address_is_taken(tmp_path):
    assert e.find(Settings(), 7, str(tmp_path), given="127.0.0.1:1").url == "http://127.0.0.1:1"
    assert e.find(Settings(), 7, str(tmp_path), given="http://h:1/").url == "http://h:1"
    assert e.find(Settings(), 7, str(tmp_path), given="[::]:1").url == "http://[::1]:1"


def test_a_process_that_may_not_be_seen(tmp_path):
    proc = proc_of(tmp_path, [listening(20241)])
    for entry in os.listdir(f"{proc}/7/fd"):
        os.unlink(f"{proc}/7/fd/{entry}")
    os.rmdir(f"{proc}/7/fd")
    found = e.find(Settings(), 7, proc)
    assert found.url == "" and "become root" in found.problem
    assert e.find(environment("127.0.0.1:2000"), 7, proc).url == "http://127.0.0.1:2000"


def test_the_real_proc_shows_the_listeners_of_this_process():
    with Listening(0) as (port,):
        assert ("127.0.0.1", port) in (sockets.listeners(os.getpid()) or ())
        assert e.find(environment(f"127.0.0.1:{port}"), os.getpid()).url == f"http://127.0.0.1:{port}"
    assert ("127.0.0.1", port) not in (sockets.listeners(os.getpid()) or ())


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_the_real_proc_shows_ipv6():
    try:
        with Listening(0, family=socket.AF_INET6, host="::1") as (port,):
            assert ("::1", port) in (sockets.listeners(os.getpid()) or ())
    except OSError:
        pytest.skip("no IPv6 on the loopback")


@pytest.mark.parametrize("text", ["", "a b c", "1.2.3.4 x 5.6.7.8 22", "1.2.3.4 5 6.7.8.9"])
def test_no_ssh_connection(text):
    assert sockets.parse_connection(text) is None
    assert sockets.carries(os.getpid(), text) is False


def test_ssh_connection_ends():
    assert sockets.parse_connection("::ffff:1.2.3.4 5 fe80::1%eth0 22") == (("1.2.3.4", 5), ("fe80::1", 22))


def test_the_client_of_our_connection_is_recognised():
    """A connector that carries SSH is itself the client of sshd: one real connection on the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        peer, _address = server.accept()
        with peer:
            ours = "{} {} {} {}".format(*client.getsockname(), *client.getpeername())
            assert sockets.carries(os.getpid(), ours) is True
            assert sockets.carries(1, ours) in (False, None)
            elsewhere = f"192.0.2.1 {client.getsockname()[1]} 127.0.0.1 {client.getpeername()[1]}"
            assert sockets.carries(os.getpid(), elsewhere) is False


@pytest.mark.parametrize(("server_name", "carries"), [("sshd", None), ("sshd-session", None), ("nginx", False)])
def test_without_a_trace_of_our_connection_a_way_to_sshd_may_carry_it(monkeypatch, server_name, carries):
    monkeypatch.setattr(sockets, "named", lambda name, _proc: [os.getpid()] if name == server_name else [])
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        peer, _address = server.accept()
        with peer:
            assert sockets.carries(os.getpid(), "") is carries
            assert sockets.carries(os.getpid(), "192.0.2.1 5 127.0.0.1 22") is False


def test_ssh_connection_is_found_behind_sudo(tmp_path):
    for pid, parent, environ in ((9, 8, b"A=1\0"), (8, 7, b"SSH_CONNECTION=1.2.3.4 5 6.7.8.9 22\0B=2\0"), (7, 1, b"")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "environ").write_bytes(environ)
        (tmp_path / str(pid) / "stat").write_bytes(b"%d (a) b) S %d 0" % (pid, parent))
    assert sockets.ssh_connection({}, str(tmp_path), 9) == "1.2.3.4 5 6.7.8.9 22"
    assert sockets.ssh_connection({"SSH_CONNECTION": "x"}, str(tmp_path), 9) == "x"
    assert sockets.ssh_connection({}, str(tmp_path), 7) == ""
    (tmp_path / "8" / "environ").unlink()  # that of a sudo, to who is not root
    assert sockets.ssh_connection({}, str(tmp_path), 9) is None
    assert sockets.carries(os.getpid(), None) is None


def test_a_port_that_nobody_holds():
    ready = e.Connector(HttpClient(), f"http://127.0.0.1:{free_port()}", 1.0).ready()
    assert (ready.connections, ready.problem) == (None, "refused")
