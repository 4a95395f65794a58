# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""States and causes of the real cloudflared on real hosts, compared with what the edge itself knows."""

from __future__ import annotations

import datetime
import json
import re
import time
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Host, until

from ..support.cloudflare_edge.connector import install_connector
from .connectors import DRIVER, Connectors, Result
from .shipping import REMOTE

SERVING = ("connected", "running")
TOKEN_FILE = "/etc/cloudflared/token"


def primary(seen: Result) -> tuple[str, str]:
    cause = seen["diagnosis"]["causes"][0]
    return cause["id"], cause["class"]


def test_running_is_what_the_edge_knows(world: Connectors) -> None:
    for name, seen in world.until_look(lambda s: s["state"] == "running", "running").items():
        about = seen["cloudflared"]
        assert (seen["state"], seen["base_state"]) == ("running", "running")
        assert world.at_edge(world.fleet[name]) == {about["connector_id"]: 4}
        assert about["tunnel_id"] == world.tunnels[name].id
        assert about["identity_source"] == "token file"
        assert (about["metrics_url"], about["metrics_found"]) == (
            "http://127.0.0.1:20241",
            f"process {about['pid']} listens there",
        )
        assert (about["retries"], about["grace_period"], about["protocol"]) == (1, 3.0, "http2")
        assert about["version"] == "2026.6.0" and about["config_version"] >= 0 and about["other_connectors"] == []


def test_fewer_connections_than_expected(world: Connectors) -> None:
    world.edge.behave("accept", max_connections=1)
    world.edge.reset()
    seen = world.until_look(lambda s: s["cloudflared"].get("connections") == 1, "one connection")
    for name, one in seen.items():
        assert one["state"] == "connected" and one["base_state"] == "running"
        assert list(world.at_edge(world.fleet[name]).values()) == [1]
    for one in world.looks(min_connections=2).values():
        assert one["state"] == "reconnecting"


def test_all_connections_lost(world: Connectors) -> None:
    before = {name: seen["cloudflared"]["connector_id"] for name, seen in world.looks().items()}
    world.edge.behave("refuse", reset=True)
    for name, seen in world.until_look(lambda s: s["cause"] == "edge_unreachable_tcp", "unreachable").items():
        assert (seen["state"], seen["base_state"]) == ("reconnecting", "restarting")
        assert seen["unit_facts"]["active_state"] == "active"  # systemd knows nothing of it
        assert seen["cloudflared"]["connector_id"] == before[name]
        assert seen["cloudflared"]["edge_reachable"] is False
        assert world.at_edge(world.fleet[name]) == {}
    world.edge.clear()
    for name, seen in world.until_look(lambda s: s["state"] == "running", "running again").items():
        assert seen["cloudflared"]["connector_id"] == before[name]


def edge_times(world: Connectors, host: Host, event: str, since: int) -> list[float]:
    """When the edge registered, or lost, connections of the host's connector."""
    told = [one for one in world.edge.events(since, event) if one.get("tunnel") == world.tunnels[host.name].id]
    return [datetime.datetime.fromisoformat(one["time"]).timestamp() for one in told]


def test_the_history_tells_an_outage_as_the_edge_knows_it(world: Connectors) -> None:
    """systemd knows nothing of it: the connector's own log is what tells."""
    world.fleet.each(world.until_ready)
    before = world.edge.state()["last_event"]
    world.edge.behave("refuse", reset=True)
    world.fleet.each(lambda host: until(lambda: world.ready(host) == 0, 30, f"{host.name} lost its connections"))
    world.edge.clear()
    world.until_look(lambda s: s["state"] == "running", "running again")
    world.fleet.each(lambda host: host.run("journalctl", "--sync"))
    for name, seen in world.looks(history="10m").items():
        host, history = world.fleet[name], seen["history"]
        lost, back = edge_times(world, host, "lost", before), edge_times(world, host, "registered", before)
        changes = history["transitions"]
        told = changes[max(n for n, one in enumerate(changes) if one["to"] == "reconnecting") :]
        gone, some = told[:2]
        assert {one["trigger"] for one in told} == {"log"}, told
        assert (some["to"], told[-1]["to"]) == ("connected", "running"), told
        assert abs(gone["at"] - max(lost)) < 2 and abs(some["at"] - min(back)) < 2, (told, lost, back)
        assert abs(told[-1]["at"] - max(back)) < 2, (told, back)
        assert sum(history["seconds"].values()) == pytest.approx(600, abs=0.1)
        assert history["longest_error"] >= some["at"] - gone["at"] - 0.1


def test_what_comes_and_goes_is_reconnecting_at_every_look(world: Connectors) -> None:
    """With all its connections as well as without any.

    An outage counts where the connector knew of the connection: a reset that overtakes the edge's answer
    leaves no word of either in its log.
    """
    for _outage in range(3):
        world.fleet.each(lambda host: world.until_ready(host, 1))
        world.edge.behave("refuse", reset=True)
        world.fleet.each(lambda host: until(lambda: world.ready(host) == 0, 30, f"{host.name} lost its connections"))
        world.edge.clear()
    seen = world.until_look(lambda s: s["cloudflared"].get("connections") == 4, "all connections")
    world.edge.behave("refuse", reset=True)
    for one in (*seen.values(), *world.until_look(lambda s: not s["cloudflared"].get("connections"), "none").values()):
        assert (one["state"], one["cause"]) == ("reconnecting", "flapping"), one["reasons"]
        assert re.match(r"all connections were lost \d+ times within \d+ s, ", one["reasons"][0])


@pytest.mark.parametrize(
    ("mode", "options", "state", "cause"),
    [
        ("black-hole", {}, "connecting", None),
        ("refuse", {}, "connecting", "edge_unreachable_tcp"),
        ("no-control-stream", {}, "connecting", None),
        ("unauthorized", {}, "error", "unauthorized"),
        ("duplicate", {}, "connecting", "duplicate_connection"),
        ("bad-certificate", {}, "error", "edge_certificate"),
    ],
)
def test_a_start_that_gets_no_connection(
    world: Connectors, mode: str, options: dict[str, t.Any], state: str, cause: str | None
) -> None:
    world.fleet.each(lambda host: host.run("systemctl", "stop", "cloudflared"))
    world.edge.behave(mode, **options)
    world.fleet.each(lambda host: host.run("systemctl", "start", "--no-block", "cloudflared"))
    time.sleep(4)
    for name, seen in world.until_look(
        lambda s: (s["state"], s["cause"]) == (state, cause), f"{state}, {cause}", 12
    ).items():
        assert seen["unit_facts"]["active_state"] == "activating"
        assert world.at_edge(world.fleet[name]) == {}
        if cause is not None:
            assert primary(seen)[0] == cause


@pytest.mark.parametrize(
    ("mode", "options", "cause"),
    [
        ("close", {}, "edge_closed"),
        ("no-answer", {}, "edge_silent"),
        ("reject", {"cause": "Tunnel is disabled by policy"}, "registration_refused"),
        ("no-control-stream", {}, "start_timeout"),
    ],
)
def test_a_start_that_ends_for_the_edge(world: Connectors, mode: str, options: dict[str, t.Any], cause: str) -> None:
    """The stock unit turns these into a loop of starts; systemd itself never calls it failed."""
    world.fleet.each(lambda host: host.run("systemctl", "stop", "cloudflared"))
    world.edge.behave(mode, **options)
    world.fleet.each(lambda host: host.run("systemctl", "start", "--no-block", "cloudflared"))
    for seen in world.until_look(
        lambda s: s["unit_facts"]["sub_state"] == "auto-restart" and s["cause"] == cause, cause, 40
    ).values():
        assert seen["state"] == "restarting"
        assert primary(seen) == (cause, "soft")
    world.edge.clear()
    world.until_look(lambda s: s["state"] == "running", "running by itself", 60)


Prepare = t.Callable[[Connectors, Host], t.Any]


def environment(**values: str) -> Prepare:
    return lambda world, host: world.drop_in(
        host, "\n".join(f"Environment={name}={value}" for name, value in values.items())
    )


def command(line: str) -> Prepare:
    return lambda world, host: world.drop_in(host, f"ExecStart=\nExecStart=/usr/local/bin/cloudflared {line}")


def config(text: str) -> Prepare:
    def prepare(world: Connectors, host: Host) -> None:
        host.push_text("/etc/cloudflared/config.yml", text)

    return prepare


def shell(script: str) -> Prepare:
    return lambda _world, host: host.sh(script)


HARD: dict[str, tuple[Prepare, str]] = {
    "token file missing": (shell(f"rm {TOKEN_FILE}"), "token_unreadable"),
    "token file damaged": (shell(f"echo nonsense >{TOKEN_FILE}"), "token_malformed"),
    "token file empty": (shell(f": >{TOKEN_FILE}"), "config_invalid"),
    "flag on the wrong level": (command(f"tunnel run --metrics 127.0.0.1:20241 --token-file {TOKEN_FILE}"), "unknown_flag"),
    "flag of another version": (command(f"tunnel --no-such-flag run --token-file {TOKEN_FILE}"), "unknown_flag"),
    "variable that is no number": (environment(TUNNEL_RETRIES="many"), "unknown_flag"),
    "configuration is no YAML": (config("a: [b\nc: d: e\n"), "config_invalid"),
    "ingress without a catch-all": (config("ingress:\n  - hostname: a.example\n    service: http://localhost\n"), "config_invalid"),
    "metrics address makes no sense": (environment(TUNNEL_METRICS="127.0.0.1:2x"), "config_invalid"),
    "metrics port is taken": (environment(TUNNEL_METRICS="127.0.0.1:22"), "address_in_use"),
    "no tunnel is named": (command("tunnel run"), "config_invalid"),
}  # fmt: skip


@pytest.mark.parametrize("name", HARD)
def test_what_no_restart_fixes(world: Connectors, name: str) -> None:
    prepare, cause = HARD[name]
    world.fleet.each(lambda host: prepare(world, host))
    world.fleet.each(lambda host: host.run("systemctl", "restart", "--no-block", "cloudflared"))
    for seen in world.until_look(lambda s: (s["state"], s["cause"]) == ("error", cause), cause, 30).values():
        assert primary(seen) == (cause, "hard")
    for host, done in world.fleet.each(lambda host: world.run(host, state="reconnected", wait_timeout=20)).items():
        assert done["failed"] and not done["changed"], (host, done["msg"])
        assert done["blocked_by"][0]["guard"] == "cause", (host, done)
        assert cause in done["msg"] or cause in done["blocked_by"][0]["reason"]


def test_exit_0_under_type_simple_is_told(world: Connectors) -> None:
    """systemd calls it a success and leaves the unit inactive."""
    line = f"tunnel run --metrics 127.0.0.1:20241 --token-file {TOKEN_FILE}"
    world.fleet.each(
        lambda host: world.drop_in(host, f"Type=simple\nExecStart=\nExecStart=/usr/local/bin/cloudflared {line}")
    )
    world.fleet.each(lambda host: host.run("systemctl", "restart", "cloudflared"))
    for seen in world.until_look(lambda s: s["cause"] == "unknown_flag", "unknown_flag").values():
        assert (seen["state"], seen["unit_facts"]["result"]) == ("stopped", "success")
    for done in world.fleet.each(lambda host: world.run(host, state="running", wait_timeout=20)).values():
        assert done["failed"] and not done["changed"] and done["blocked_by"][0]["guard"] == "cause"


def test_names_that_do_not_resolve(world: Connectors) -> None:
    world.fleet.each(lambda host: world.drop_in(host, "UnsetEnvironment=TUNNEL_EDGE"))
    world.fleet.each(lambda host: host.run("systemctl", "restart", "--no-block", "cloudflared"))
    for seen in world.until_look(lambda s: s["cause"] == "dns", "dns").values():
        assert seen["state"] in ("connecting", "restarting") and primary(seen) == ("dns", "soft")


def test_blocked_udp_with_quic_pinned(world: Connectors) -> None:
    """The edge listens on TCP only, which is what a firewall that drops UDP looks like."""
    world.fleet.each(lambda host: world.drop_in(host, "Environment=TUNNEL_TRANSPORT_PROTOCOL=quic\nTimeoutStartSec=90"))
    world.fleet.each(lambda host: host.run("systemctl", "restart", "--no-block", "cloudflared"))
    world.until_look(lambda s: s["cause"] == "edge_unreachable_udp", "unreachable", 30)
    for seen in world.until_look(lambda s: s["cause"] == "protocol_blocked", "blocked", 60).values():
        assert seen["state"] == "error" and primary(seen) == ("protocol_blocked", "hard")
        assert seen["cloudflared"]["edge_reachable"] is True


def test_packets_dropped_at_a_start(world: Connectors) -> None:
    world.fleet.each(lambda host: host.run("systemctl", "stop", "cloudflared"))
    world.edge.behave("black-hole")
    world.fleet.each(lambda host: world.drop_in(host, "TimeoutStartSec=90"))
    world.fleet.each(lambda host: host.run("systemctl", "start", "--no-block", "cloudflared"))
    for seen in world.until_look(lambda s: s["cause"] == "edge_unreachable_tcp", "unreachable", 60).values():
        assert (seen["state"], seen["cloudflared"]["edge_reachable"]) == ("connecting", False)


@pytest.mark.parametrize(
    ("text", "url", "how"),
    [
        ("Environment=TUNNEL_METRICS=127.0.0.1:9301", "http://127.0.0.1:9301", "environment of the connector"),
        ("Environment=TUNNEL_METRICS=0.0.0.0:9302", "http://127.0.0.1:9302", "environment of the connector"),
        (f"ExecStart=\nExecStart=/usr/local/bin/cloudflared tunnel --metrics localhost:9303 run --token-file {TOKEN_FILE}",
         "http://localhost:9303", "argument --metrics"),
    ],
)  # fmt: skip
def test_the_metrics_address_is_found(world: Connectors, text: str, url: str, how: str) -> None:
    world.fleet.each(lambda host: world.drop_in(host, text))
    world.fleet.each(lambda host: host.run("systemctl", "restart", "--no-block", "cloudflared"))
    for seen in world.until_look(lambda s: s["state"] == "running", "running").values():
        assert (seen["cloudflared"]["metrics_url"], seen["cloudflared"]["metrics_found"]) == (url, how)


def test_two_connectors_on_one_host_are_told_apart(world: Connectors) -> None:
    def second(host: Host) -> None:
        install_connector(
            host, world.tunnels[host.name], world.edge.addresses, world.edge.ca, name="second", metrics=None
        )

    world.fleet.each(second)
    try:
        twins = world.until_look(lambda s: s["state"] == "running", "the second one runs", name="second")
        for name, one in world.looks().items():
            mine, other = one["cloudflared"], twins[name]["cloudflared"]
            assert mine["other_connectors"] == [other["pid"]] and other["other_connectors"] == [mine["pid"]]
            assert {mine["connector_id"], other["connector_id"]} == set(world.at_edge(world.fleet[name]))
            assert {mine["metrics_url"], other["metrics_url"]} == {"http://127.0.0.1:20241", "http://127.0.0.1:20242"}
    finally:
        world.fleet.each(
            lambda host: host.sh("systemctl disable --now second; rm -r /etc/systemd/system/second.service*")
        )


def test_without_rights_nothing_is_guessed(world: Connectors) -> None:
    for host in world.fleet.hosts.values():
        done = host.run(
            "setpriv", "--reuid", "nobody", "--clear-groups", "python3", f"{REMOTE}/{DRIVER}", '{"state": "look"}'
        )
        seen = json.loads(done.stdout)
        assert (seen["state"], seen["cause"]) == ("unknown", "metrics_unreachable")
        assert "become root" in " ".join(seen["reasons"])
