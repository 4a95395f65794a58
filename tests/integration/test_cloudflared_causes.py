# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The causes and states that need more than the edge to come true, and where each of them is made for real."""

from __future__ import annotations

import functools
import socket
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.causes import OBSERVED, RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import (
    CLOUDFLARED,
    CONNECTED,
    CONNECTING,
    RECONNECTING,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.tests.support.lab import Host, until

from . import test_cloudflared, test_cloudflared_reconnect
from .connectors import Connectors, Result
from .shipping import HERE, REMOTE

TOKEN_FILE = "/etc/cloudflared/token"
UPDATING = "/opt/updating/cloudflared"

# Cause -> the tests that make it with the real cloudflared.
CAUSES: dict[str, tuple[str, ...]] = {
    "unauthorized": ("test_a_start_that_gets_no_connection", "test_a_refused_token_is_not_retried_and_a_new_one_is_taken"),
    "token_unreadable": ("test_what_no_restart_fixes",),
    "token_malformed": ("test_what_no_restart_fixes",),
    "token_replaced": ("test_a_refused_token_is_not_retried_and_a_new_one_is_taken",),
    "unknown_flag": ("test_what_no_restart_fixes", "test_exit_0_under_type_simple_is_told"),
    "address_in_use": ("test_what_no_restart_fixes",),
    "config_invalid": ("test_what_no_restart_fixes",),
    "no_edge_address": ("test_no_address_of_the_family_that_it_may_use",),
    "dns": ("test_names_that_do_not_resolve",),
    "edge_certificate": ("test_a_start_that_gets_no_connection",),
    "edge_unreachable_tcp": ("test_all_connections_lost", "test_packets_dropped_at_a_start"),
    "edge_unreachable_udp": ("test_blocked_udp_with_quic_pinned",),
    "protocol_blocked": ("test_blocked_udp_with_quic_pinned",),
    "edge_silent": ("test_a_start_that_ends_for_the_edge",),
    "flapping": ("test_what_comes_and_goes_is_reconnecting_at_every_look",),
    "edge_mute": ("test_an_edge_that_never_lets_it_register",),
    "edge_closed": ("test_a_start_that_ends_for_the_edge",),
    "registration_refused": ("test_a_start_that_ends_for_the_edge",),
    "duplicate_connection": ("test_a_start_that_gets_no_connection",),
    "start_timeout": ("test_a_start_that_ends_for_the_edge",),
    "auto_update": ("test_an_update_is_no_crash",),
    "half_open": ("test_half_open", "test_half_open_is_proved_by_a_request_through_the_tunnel"),
    "metrics_unreachable": ("test_without_rights_nothing_is_guessed",),
}  # fmt: skip
STATES: dict[str, str] = {
    m.STOPPED: "test_stop_and_start",
    m.STARTING: "test_names_that_nobody_answers_for",
    CONNECTING: "test_a_start_that_gets_no_connection",
    CONNECTED: "test_fewer_connections_than_expected",
    m.RUNNING: "test_running_is_what_the_edge_knows",
    RECONNECTING: "test_all_connections_lost",
    m.RESTARTING: "test_a_killed_connector_is_waited_for",
    m.STOPPING: "test_requests_are_drained",
    m.ERROR: "test_what_no_restart_fixes",
    m.UNKNOWN: "test_without_rights_nothing_is_guessed",
}


def test_every_cause_and_every_state_is_made_for_real() -> None:
    assert set(CAUSES) == {rule.cause for rule in (*RULES, *OBSERVED) if not rule.harmless}
    assert set(STATES) == {state.name for state in CLOUDFLARED.states.values()}
    tests = {*globals(), *vars(test_cloudflared), *vars(test_cloudflared_reconnect)}
    assert {name for names in (*CAUSES.values(), STATES.values()) for name in names} <= tests


@pytest.fixture
def internet(world: Connectors) -> t.Iterator[t.Callable[..., None]]:
    """A function that starts a server of internet_on_host.py on all hosts. They end with the test."""

    def start(what: str, *arguments: str) -> None:
        def one(host: Host) -> None:
            host.push(HERE / "internet_on_host.py", f"{REMOTE}/internet_on_host.py")
            script = f"{REMOTE}/internet_on_host.py"
            host.run("systemd-run", f"--unit=internet-{what}", "python3", script, what, *arguments)

        world.fleet.each(one)

    yield start
    world.fleet.each(lambda host: host.sh("systemctl stop 'internet-*'; systemctl reset-failed 'internet-*' || true"))


def restart_with(world: Connectors, text: str) -> None:
    world.fleet.each(lambda host: world.drop_in(host, text))
    world.fleet.each(lambda host: host.run("systemctl", "restart", "--no-block", "cloudflared"))


def primary(seen: Result) -> tuple[str, str]:
    cause = seen["diagnosis"]["causes"][0]
    return cause["id"], cause["class"]


def test_the_edge_is_found_by_its_names(world: Connectors, internet: t.Callable[..., None]) -> None:
    """Two addresses are what there is, so two connections are all that it can have."""
    internet("names", world.fleet.controller)
    restart_with(world, "UnsetEnvironment=TUNNEL_EDGE")
    for name, seen in world.until_look(lambda s: s["state"] == "running", "running").items():
        assert seen["cloudflared"]["connections"] == 2 and "2 of 2 connections" in seen["reasons"][0]
        assert world.at_edge(world.fleet[name]) == {seen["cloudflared"]["connector_id"]: 2}


def test_no_address_of_the_family_that_it_may_use(world: Connectors, internet: t.Callable[..., None]) -> None:
    internet("names", world.fleet.controller)
    restart_with(world, "UnsetEnvironment=TUNNEL_EDGE\nEnvironment=TUNNEL_EDGE_IP_VERSION=6")
    for seen in world.until_look(lambda s: s["cause"] == "no_edge_address", "no_edge_address").values():
        assert seen["state"] == "error" and primary(seen) == ("no_edge_address", "hard")
    for done in world.fleet.each(lambda host: world.run(host, state="reconnected", wait_timeout=20)).values():
        assert done["failed"] and not done["changed"] and done["blocked_by"][0]["guard"] == "cause"


def test_names_that_nobody_answers_for(world: Connectors, internet: t.Callable[..., None]) -> None:
    """It looks names up before it serves its metrics."""
    internet("names", "silent")
    world.fleet.each(lambda host: host.sh("cp /etc/resolv.conf /etc/resolv.conf.kept; echo 'options timeout:9' >>/etc/resolv.conf"))  # fmt: skip
    try:
        restart_with(world, "TimeoutStartSec=90")
        for name, seen in world.until_look(lambda s: s["state"] == "starting", "starting").items():
            assert "its metrics server is not there yet" in " ".join(seen["reasons"])
            assert world.at_edge(world.fleet[name]) == {}
    finally:
        world.fleet.each(lambda host: host.run("mv", "/etc/resolv.conf.kept", "/etc/resolv.conf"))


def test_an_update_is_no_crash(world: Connectors, internet: t.Callable[..., None]) -> None:
    """It replaces its program, ends with 11, and is what it was once it has been started again."""
    folder = Path(world.edge.ca).parent

    def prepare(host: Host) -> None:
        host.push(folder / "server.pem", "/opt/updating/server.pem")
        host.push(folder / "server-key.pem", "/opt/updating/server-key.pem")
        host.sh(f"cp /usr/local/bin/cloudflared {UPDATING}; echo '127.0.0.1 update.argotunnel.com' >>/etc/hosts")

    def undo(host: Host) -> None:
        host.sh(
            "sed '/argotunnel/d' /etc/hosts >/etc/hosts.new; cat /etc/hosts.new >/etc/hosts; rm -r /etc/hosts.new /opt/updating"
        )

    world.fleet.each(prepare)
    try:
        internet("updates", "/opt/updating/server.pem", "/opt/updating/server-key.pem", UPDATING)
        settings = "UnsetEnvironment=NO_AUTOUPDATE\nEnvironment=SSL_CERT_FILE=/etc/cloudflared/edge-ca.pem\nRestart=no"
        restart_with(
            world,
            f"{settings}\nExecStart=\nExecStart={UPDATING} tunnel --autoupdate-freq 3s run --token-file {TOKEN_FILE}",
        )
        for seen in world.until_look(lambda s: s["state"] == "error", "it has updated itself").values():
            assert seen["cause"] == "auto_update" and primary(seen) == ("auto_update", "soft")
            assert "11" in seen["diagnosis"]["causes"][0]["evidence"][0]
        for host, done in world.fleet.each(lambda host: world.run(host, state="connected", wait_timeout=40)).items():
            assert not done["failed"] and done["changed"], (host, done["msg"])
            assert done["after"]["cloudflared"]["connector_id"] in world.at_edge(world.fleet[host])
    finally:
        world.fleet.each(lambda host: host.run("systemctl", "stop", "cloudflared"))
        world.fleet.each(undo)


def test_an_edge_that_never_lets_it_register(world: Connectors) -> None:
    world.fleet.each(lambda host: host.run("systemctl", "stop", "cloudflared"))
    world.edge.behave("no-control-stream")
    restart_with(world, "TimeoutStartSec=90")
    for name, seen in world.until_look(lambda s: s["cause"] == "edge_mute", "edge_mute").items():
        assert seen["state"] == "connecting" and seen["age"] > 15
        assert world.at_edge(world.fleet[name]) == {}


def test_half_open_is_proved_by_a_request_through_the_tunnel(world: Connectors) -> None:
    def way(host: Host) -> str:
        forward = world.edge.forward(
            world.tunnels[host.name].id, "127.0.0.1:20241", listen=f"{world.fleet.controller}:0"
        )
        return f"http://{forward['listen']}/healthcheck"

    world.fleet.each(world.until_ready)
    ways = {name: way(host) for name, host in world.fleet.hosts.items()}

    def look(host: Host) -> Result:
        return world.look(host, tunnel_url=ways[host.name], tunnel_url_timeout=2.0)

    assert {seen["state"] for seen in world.fleet.each(look).values()} == {"running"}
    world.edge.behave("black-hole")
    for name, seen in world.fleet.each(look).items():
        assert (seen["state"], seen["cause"]) == ("error", "half_open"), (name, seen["reasons"])
        assert "a request through the tunnel failed" in seen["reasons"][0]
        assert Connectors.ready(world.fleet[name]) == 4


def test_a_connector_that_is_suspended(world: Connectors) -> None:
    """As far as TCP can tell it is there, but nothing comes through it."""
    before = {name: seen["cloudflared"]["connector_id"] for name, seen in world.looks().items()}
    world.fleet.each(lambda host: host.run("systemctl", "kill", "--signal=STOP", "cloudflared"))
    for name, seen in world.looks().items():
        assert (seen["state"], seen["cause"]) == ("error", "suspended"), (name, seen["reasons"])
        assert seen["cloudflared"]["tunnel_id"] == world.tunnels[name].id and seen["cloudflared"]["connections"] == 0
        assert primary(seen) == ("suspended", "soft")
        assert list(world.at_edge(world.fleet[name])) == [before[name]]
    done = world.fleet.each(lambda host: world.run(host, state="reconnected", wait_timeout=60))
    for name, one in done.items():
        assert not one["failed"] and one["changed"], (name, one["msg"])
        assert one["after"]["cloudflared"]["connector_id"] in set(world.at_edge(world.fleet[name])) - {before[name]}


def test_requests_are_drained(world: Connectors) -> None:
    """A stop takes as long as the grace period while something goes through the tunnel, and is no failure."""
    world.fleet.each(lambda host: world.put(host, grace="30s", start=True))
    world.fleet.each(world.until_ready)
    world.fleet.each(functools.partial(drain, world))


def drain(world: Connectors, host: Host) -> None:
    forward = world.edge.forward(world.tunnels[host.name].id, "127.0.0.1:22", listen=f"{world.fleet.controller}:0")
    address, port = str(forward["listen"]).rsplit(":", 1)
    with socket.create_connection((address, int(port)), timeout=10) as through:
        assert through.recv(4) == b"SSH-"
        host.run("systemctl", "stop", "--no-block", "cloudflared")
        until(
            lambda: host.run("systemctl", "is-active", "cloudflared", check=False).stdout == "deactivating\n",
            10,
            "stop",
        )
        seen = world.look(host, stop_timeout=0.1)
        assert (seen["state"], seen["cause"]) == ("stopping", None), seen["reasons"]
        assert "drains requests for up to" in seen["reasons"][0]
    until(lambda: world.look(host)["state"] == "stopped", 40, f"{host.name} has stopped")
    assert world.at_edge(host) == {}
