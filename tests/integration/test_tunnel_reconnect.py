# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two tunnels with three replicas each, brought back by the playbook; the edge itself tells whether that is true."""

from __future__ import annotations

import re
import threading
import time

import pytest
import yaml

from ansible_collections.chainops.lifecycle.tests.support.lab import Host, until

from .tunnels import SERVICES, Tunnels, damage, kill


def hosts(replicas: Tunnels) -> list[Host]:
    return list(replicas.fleet.hosts.values())


def test_a_fleet_that_is_well_is_left_alone(replicas: Tunnels) -> None:
    before = replicas.invocations()
    played = replicas.play()
    assert played.code == 0, played.output
    assert played.changed == 0
    assert "Summary: 6 healthy" in played.output
    assert "Tunnel cloudflared-api" in played.output and "edge: healthy, 3 connectors" in played.output
    assert replicas.invocations() == before


def test_an_edge_that_could_not_be_asked_makes_no_connector_healthy(replicas: Tunnels) -> None:
    """An account was given, so the hosts' own word is not enough; without an account it is, and the summary says so."""
    played = replicas.play(tunnel_reconnect_api_host="gone.invalid")
    assert played.code == 2, played.output
    assert "Summary: 6 unknown" in played.output
    assert "Edge side: could not be asked: " in played.output
    alone = replicas.play(tunnel_reconnect_account_id="")
    assert alone.code == 0 and "Summary: 6 healthy" in alone.output, alone.output
    assert "the edge was not asked, because no account is given" in alone.output


def test_what_can_be_brought_back_is_and_what_cannot_is_not_touched(replicas: Tunnels) -> None:
    first, second, third = hosts(replicas)
    damage(first, "cloudflared")
    second.sh("systemctl stop cloudflared")
    kill(third, "cloudflared-api")
    replicas.edge.wait_live(replicas.tunnels["cloudflared"].id, 4, 30)

    planned = replicas.play("--check")
    assert "PLANNED" in planned.line(second.name, "cloudflared"), planned.output
    assert "PLANNED" in planned.line(third.name, "cloudflared-api")
    foreseen = planned.line(first.name, "cloudflared")
    assert foreseen.startswith("REFUSED") and "token_malformed" in foreseen
    assert replicas.edge.live(replicas.tunnels["cloudflared"].id) == 4

    played = replicas.play()
    assert played.code == 2, played.output
    refused = played.line(first.name, "cloudflared")
    assert refused.startswith("REFUSED") and "token_malformed" in refused
    assert played.line(second.name, "cloudflared").startswith("RECOVERED")
    assert played.line(third.name, "cloudflared-api").startswith("RECOVERED")
    assert played.line(third.name, "cloudflared") == "HEALTHY"
    assert all(count >= 4 for count in played.least.values()), played.least
    assert replicas.connector(second, "cloudflared") in replicas.connectors("cloudflared")
    assert len(replicas.connectors("cloudflared")) == 2 and len(replicas.connectors("cloudflared-api")) == 3

    again = replicas.play()
    assert again.changed == 0 and again.code == 2


@pytest.mark.parametrize(("budget", "restarted"), [(5, True), (300, False)])
def test_nobody_is_restarted_while_the_edge_cannot_be_reached(replicas: Tunnels, budget: int, restarted: bool) -> None:
    """Nor afterwards, within the natural budget; beyond it all are, where only a new connector gets a connection."""
    before = replicas.invocations()
    old = {name: replicas.connectors(name) for name in SERVICES}
    replicas.edge.behave("refuse", reset=True)
    for tunnel in replicas.tunnels.values():
        replicas.edge.wait_live(tunnel.id, 0)
    during: list[dict[str, str]] = []

    def end_outage() -> None:
        time.sleep(25)
        during.append(replicas.invocations())
        for identity in set().union(*old.values()) if restarted else ():
            replicas.edge.behave("refuse", select={"connector": identity})
        replicas.edge.clear({})

    outage = threading.Thread(target=end_outage)
    outage.start()
    services = [
        {"name": name, "kind": "cloudflared", "attempt_backoff": 0.1, "cloudflared": {"reconnect_grace": budget}}
        for name in SERVICES
    ]
    played = replicas.play(lifecycle_services=services)
    outage.join()
    assert played.code == 0, played.output
    assert during == [before]
    changed = {key for key, one in replicas.invocations().items() if one != before[key]}
    assert changed == (set(before) if restarted else set())
    ended = played.output.partition("TUNNEL RECONNECT")[2]
    assert len(re.findall("(?<!SELF )RECOVERED", ended)) == len(changed)
    for name in SERVICES:
        now = replicas.connectors(name)
        assert len(now) == 3 and (now.isdisjoint(old[name]) if restarted else now == old[name])


def seconds_active(host: Host, name: str) -> float:
    shown = host.sh('systemctl show -P ActiveEnterTimestampMonotonic "$1"; cat /proc/uptime', name).stdout.split()
    return float(shown[1]) - int(shown[0]) / 1e6


def test_a_replica_lost_by_the_edge_one_killed_and_one_refused_at_once(replicas: Tunnels) -> None:
    """One of each tunnel serves on, and never is there less than that because of us."""
    first, second, third = hosts(replicas)
    refused = replicas.tunnels["cloudflared-api"]
    old = replicas.connector(first, "cloudflared")
    # One that registered a moment ago would not count as lost.
    until(lambda: seconds_active(first, "cloudflared") > 61, 70, "the connector is not new any more")
    before = replicas.invocations()
    replicas.edge.behave("black-hole", select={"connector": old})
    replicas.edge.behave("refuse", select={"tunnel": refused.id, "source": second.address}, reset=True)
    kill(third, "cloudflared")
    kill(first, "cloudflared-api")
    until(lambda: all(len(replicas.connectors(name)) == 1 for name in SERVICES), 60, "one of each tunnel is left")

    services = [
        {**one, "attempt_backoff": 0.1, "wait_timeout": 40, "cloudflared": {"reconnect_grace": 3}}
        for one in ({"name": name, "kind": "cloudflared"} for name in SERVICES)
    ]
    played = replicas.play(lifecycle_services=services, tunnel_reconnect_forget_ghosts=True)
    assert played.code == 2, played.output
    for host, name in ((first, "cloudflared"), (third, "cloudflared"), (first, "cloudflared-api")):
        assert played.line(host.name, name).startswith("RECOVERED"), played.output
        assert replicas.connector(host, name) in replicas.connectors(name) - {old}
    assert played.line(second.name, "cloudflared-api").startswith("FAILED")
    assert played.line(second.name, "cloudflared") == played.line(third.name, "cloudflared-api") == "HEALTHY"
    assert all(count >= 4 for count in played.least.values()), played.least
    changed = {key for key, one in replicas.invocations().items() if one != before[key]}
    touched = {f"{first.name}/cloudflared", f"{third.name}/cloudflared", f"{first.name}/cloudflared-api"}
    assert touched <= changed <= {*touched, f"{second.name}/cloudflared-api"}
    assert old not in replicas.edge.tunnel(replicas.tunnels["cloudflared"].id)["connectors"]


def test_the_tunnel_that_carries_this_connection_is_restarted_by_its_host(replicas: Tunnels) -> None:
    first, *others = hosts(replicas)
    tunnel = replicas.tunnels["cloudflared"]
    for host in others:
        host.sh("systemctl stop cloudflared")
    replicas.edge.wait_live(tunnel.id, 4, 30)
    replicas.edge.behave("accept", select={"tunnel": tunnel.id}, max_connections=1)
    replicas.edge.reset(select={"tunnel": tunnel.id})
    replicas.edge.wait_live(tunnel.id, 1, 60)
    old = replicas.connector(first, "cloudflared")
    way, port = replicas.edge.forward(tunnel.id, "127.0.0.1:22")["listen"].rsplit(":", 1)
    same_key = f"-o HostKeyAlias={first.address}"
    through = {"ansible_host": way, "ansible_port": int(port), "ansible_ssh_extra_args": same_key}
    (replicas.folder / "through.yml").write_text(yaml.safe_dump({"all": {"hosts": {first.name: through}}}))

    def lift_limit() -> None:
        until(lambda: old not in replicas.connectors("cloudflared"), 120, "the host restarts the connector")
        replicas.edge.clear()

    end_of_limit = threading.Thread(target=lift_limit, daemon=True)
    end_of_limit.start()
    services = [
        {
            "name": "cloudflared",
            "kind": "cloudflared",
            "attempt_backoff": 0.1,
            "cloudflared": {"min_connections": 2, "reconnect_grace": 1, "replica_guard": "off"},
        }
    ]
    played = replicas.play("-i", "through.yml", "--limit", first.name, lifecycle_services=services)
    assert played.code == 0, played.output
    assert played.line(first.name, "cloudflared").startswith("RECOVERED"), played.output
    end_of_limit.join()
    new = replicas.connector(first, "cloudflared")
    assert new != old and replicas.connectors("cloudflared") == {new}
    logged = first.run("journalctl", "-b", "-o", "cat", "-t", "systemd", "--grep", "handed over", check=False).stdout
    assert "handed over" in logged
