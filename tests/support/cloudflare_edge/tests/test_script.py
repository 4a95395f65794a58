# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each scripted behaviour does to a real connector, at its start and while it runs."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.client import EdgeError, EdgeProcess
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.connector import (
    LocalConnector,
    TunnelIdentity,
)
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.tests.conftest import Connect, get


def ready(connector: LocalConnector) -> int:
    """How many connections the connector believes in."""
    return int(json.loads(get(connector.metrics_address(), "/ready")[1])["readyConnections"])


def counter(connector: LocalConnector, name: str) -> float:
    """A counter of its metrics, 0 where it does not show it."""
    lines = get(connector.metrics_address(), "/metrics")[1].splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def wait_said(connector: LocalConnector, text: str, times: int = 1, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while len(connector.said(text)) < times:
        assert time.monotonic() < deadline, f"not said {times} times in {timeout} s: {text}\n{connector.log()[-8:]}"
        time.sleep(0.05)


# -- at the start: those that a connector bears, and those that end it --


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("refuse", "connection refused"),
        ("bad-certificate", "TLS handshake with edge error"),
        ("unauthorized", "Unauthorized: Invalid tunnel secret"),
    ],
)
def test_it_tries_again_for_ever(
    edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect, mode: str, said: str
) -> None:
    edge.behave(mode)
    connector = connect()
    wait_said(connector, said, times=3)
    assert connector.exit_code is None
    assert ready(connector) == 0
    edge.clear()
    edge.wait_live(tunnel.id, 4)


def test_unauthorized_counts_as_failed_registrations(edge: EdgeProcess, connect: Connect) -> None:
    edge.behave("unauthorized")
    connector = connect()
    edge.wait_event("refused")
    wait_said(connector, "Retrying connection", times=2)
    assert counter(connector, 'cloudflared_tunnel_tunnel_register_fail{error="server_error"') >= 1
    assert counter(connector, "cloudflared_tunnel_tunnel_register_success") == 0


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ({"mode": "close"}, "connection with edge closed"),
        ({"mode": "no-preface"}, "connection with edge closed"),
        ({"mode": "reject", "cause": "the account is suspended"}, "the account is suspended"),
        ({"mode": "reject", "cause": "try again later", "retry": True}, "try again later"),
    ],
)
def test_it_gives_up_at_the_start(edge: EdgeProcess, connect: Connect, script: dict[str, Any], said: str) -> None:
    edge.behave(**script)
    connector = connect()
    assert connector.wait(90) == 1
    assert connector.said(said)


def test_without_an_answer_to_the_registration(edge: EdgeProcess, connect: Connect) -> None:
    edge.behave("no-answer")
    connector = connect()
    edge.wait_event("asked")
    wait_said(connector, "context deadline exceeded")  # after its 5 s for a call
    assert connector.wait(20) == 1


def test_without_a_control_stream_it_waits_without_an_end(
    edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect
) -> None:
    edge.behave("no-control-stream")
    connector = connect()
    connector.metrics_address()
    with pytest.raises(subprocess.TimeoutExpired):
        connector.wait(12)
    assert ready(connector) == 0
    assert connector.said("Retrying") == []
    assert edge.tunnel(tunnel.id)["connectors"] == {}


def test_a_black_hole_takes_the_whole_time_to_dial(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    edge.behave("black-hole")
    connector = connect()
    connector.metrics_address()
    began = time.monotonic()
    wait_said(connector, "i/o timeout", timeout=25)
    assert time.monotonic() - began > 12
    assert connector.exit_code is None
    assert edge.state()["connections"] == 0
    edge.clear()
    edge.wait_live(tunnel.id, 4, timeout=90)


def test_a_duplicate_connection_goes_to_another_address(
    edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect
) -> None:
    edge.behave("duplicate")
    connector = connect()
    wait_said(connector, "already connected to this server", times=2)
    assert counter(connector, 'cloudflared_tunnel_tunnel_register_fail{error="dup_edge_conn"') >= 1
    edge.clear()
    edge.wait_live(tunnel.id, 4)


def test_another_secret_is_unauthorized(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    edge.declare(tunnel.id, secret="bm90IHRoaXMgb25l")
    connector = connect()
    wait_said(connector, "Unauthorized: Invalid tunnel secret")
    assert edge.live(tunnel.id) == 0


def test_a_deleted_tunnel_is_unauthorized(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    connector = connect(live=4)
    edge.delete(tunnel.id)
    wait_said(connector, "Unauthorized: Tunnel not found", timeout=90)  # after its back-off, up to 22 s
    assert edge.live(tunnel.id) == 0


# -- while it runs --


def test_only_so_many_connections(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    edge.behave("accept", max_connections=2)
    connector = connect(live=2)
    wait_said(connector, "already connected to this server")
    assert ready(connector) == edge.live(tunnel.id) == 2
    assert edge.tunnel(tunnel.id)["status"] == "degraded"
    edge.clear()
    edge.wait_live(tunnel.id, 4, timeout=60)
    assert edge.tunnel(tunnel.id)["status"] == "healthy"


def test_slow(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    edge.behave("slow", delay=1.5)
    connector = connect()
    asked = edge.wait_event("asked")["monotonic"]
    assert edge.wait_event("registered")["monotonic"] - asked >= 1.5
    edge.clear()
    edge.wait_live(tunnel.id, 4)
    edge.behave("slow", delay=0.7)
    assert edge.request(tunnel.id)["seconds"] >= 0.7
    assert connector.exit_code is None


def test_a_black_hole_is_not_seen_by_the_connector(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    """Half-open: /ready says 200, and nothing goes through."""
    connector = connect(live=4)
    edge.behave("black-hole")
    with pytest.raises(EdgeError, match=r"in time|no such living connection"):
        edge.request(tunnel.id, timeout=1)
    edge.wait_live(tunnel.id, 0, timeout=15)  # the edge takes them for lost after 10 s
    assert get(connector.metrics_address(), "/ready")[0] == 200
    assert ready(connector) == 4
    assert edge.tunnel(tunnel.id)["status"] == "down"
    edge.clear()
    edge.wait_live(tunnel.id, 4, timeout=90)


def test_a_short_black_hole_does_no_harm(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    connect(live=4)
    number = edge.state()["last_event"]
    edge.behave("black-hole")
    time.sleep(1)
    edge.clear()
    assert edge.request(tunnel.id)["status"] == 200
    assert edge.live(tunnel.id) == 4
    assert edge.events(number, "lost") == []


def test_a_rule_holds_for_its_tunnel_only(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    other = TunnelIdentity()
    connect(live=4)
    connect(of=other, live=4)
    edge.behave("unauthorized", select={"tunnel": tunnel.id}, reset=True)
    edge.wait_event("refused")
    assert edge.live(tunnel.id) == 0
    assert edge.live(other.id) == 4
    edge.clear({"tunnel": tunnel.id})
    edge.wait_live(tunnel.id, 4, timeout=90)


def test_a_black_hole_for_one_connector(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    connect(live=4)
    (first,) = edge.tunnel(tunnel.id)["connectors"]
    connect()
    edge.wait_live(tunnel.id, 8)
    edge.behave("black-hole", select={"connector": first})
    edge.wait_live(tunnel.id, 4, timeout=15)
    assert edge.live(tunnel.id, first) == 0
    assert edge.request(tunnel.id)["connector"] != first
    assert edge.tunnel(tunnel.id)["status"] == "degraded"


def test_refuse_for_all_closes_the_ports(edge: EdgeProcess, connect: Connect, tunnel: TunnelIdentity) -> None:
    before = edge.state()["listening"]
    edge.behave("refuse")
    assert edge.state()["listening"] == []
    edge.clear()
    assert edge.state()["listening"] == before
    connect(live=4)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"mode": "explode"}, "there are accept, black-hole"),
        ({"mode": "reject"}, "reject needs a cause"),
        ({"mode": "slow", "delay": -1}, "give seconds from 0 to 3600"),
        ({"mode": "accept", "max_connections": -1}, "give a number from 0 up"),
        ({"mode": "accept", "colour": "red"}, "no option colour"),
        ({"mode": "accept", "select": {"colour": "red"}}, "no word colour"),
    ],
)
def test_a_script_without_sense_is_refused(edge: EdgeProcess, script: dict[str, Any], words: str) -> None:
    with pytest.raises(EdgeError, match=words):
        edge.behave(**script)
    assert edge.state()["rules"] == []
