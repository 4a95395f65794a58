# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two tunnels with three replicas each, brought back by the playbook; the edge itself tells whether that is true."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import textwrap
import threading
import time
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.chainops.lifecycle.tests.edge.client import EdgeProcess
from ansible_collections.chainops.lifecycle.tests.edge.connector import ACCOUNT, TunnelIdentity, install_connector
from ansible_collections.chainops.lifecycle.tests.lab import Fleet, Group, Host, until

from .conftest import chosen_suites
from .connectors import CANARY, PORTS

API_TOKEN = "CANARY-api-token-of-the-account"
SERVICES = {"cloudflared": "127.0.0.1:20241", "cloudflared-api": "127.0.0.1:20242"}
GUIDE = Path(__file__).parent.parent.parent / "docs" / "docsite" / "rst" / "guide_tunnels.rst"
PLAYBOOK = "chainops.lifecycle.tunnel_reconnect"


class Tunnels:
    """Three hosts with a connector of each of two tunnels."""

    def __init__(self, fleet: Fleet, edge: EdgeProcess, folder: Path) -> None:
        self.fleet, self.edge, self.folder = fleet, edge, folder
        self.tunnels = {name: TunnelIdentity(secret=CANARY) for name in SERVICES}
        for name, tunnel in self.tunnels.items():
            edge.declare(tunnel.id, name=name)
        edge.script_api(tokens={API_TOKEN: {"account": ACCOUNT, "write": True}})
        edge.settings(ghost_seconds=300)
        fleet.each(self.put)
        self.heal()

    def put(self, host: Host) -> None:
        for name, metrics in SERVICES.items():
            install_connector(
                host, self.tunnels[name], self.edge.addresses, self.edge.ca, name=name, metrics=metrics, start=False
            )

    def heal(self) -> None:
        """All connectors connected."""
        self.edge.clear()
        self.fleet.each(lambda host: host.sh("rm -rf /var/lib/chainops-lifecycle"))
        for name, tunnel in self.tunnels.items():
            self.fleet.each(functools.partial(self.mend, name))
            self.edge.wait_live(tunnel.id, 4 * len(self.fleet.hosts), 90)

    def mend(self, name: str, host: Host) -> None:
        host.push_text(f"/etc/{name}/token", self.tunnels[name].token, 0o600)
        host.sh(
            'rm -f /etc/systemd/system/"$1".service.d/zz.conf; systemctl daemon-reload; systemctl reset-failed "$1";'
            ' systemctl is-active -q "$1" || systemctl restart --no-block "$1"',
            name,
        )

    def connectors(self, name: str) -> set[str]:
        """The ids of those that live, as the edge knows them."""
        known = self.edge.tunnel(self.tunnels[name].id)["connectors"]
        return {identity for identity, about in known.items() if about["live"]}

    def connector(self, host: Host, name: str) -> str:
        """The id that the connector of a host gives itself, asked by other means than the collection's."""
        port = SERVICES[name].rpartition(":")[2]
        script = (
            "import sys,urllib.request as u,urllib.error as e\n"
            "try: print(u.urlopen(sys.argv[1],timeout=2).read().decode())\n"
            "except e.HTTPError as x: print(x.read().decode())"
        )
        return str(
            json.loads(host.run("python3", "-c", script, f"http://127.0.0.1:{port}/ready").stdout)["connectorId"]
        )

    def invocations(self) -> dict[str, str]:
        found = self.fleet.each(
            lambda host: host.run("systemctl", "show", "-P", "InvocationID", *SERVICES).stdout.split()
        )
        return {f"{host}/{name}": one for host, ids in found.items() for name, one in zip(SERVICES, ids, strict=True)}

    def play(self, *arguments: str, **variables: t.Any) -> Played:
        """Run the playbook and watch on the edge meanwhile that no tunnel is without a connection."""
        given = {
            "lifecycle_services": [
                {"name": name, "kind": "cloudflared", "attempt_backoff": 0.1, "max_attempts": 50} for name in SERVICES
            ],
            "tunnel_reconnect_account_id": ACCOUNT,
            "tunnel_reconnect_api_token": API_TOKEN,
            "tunnel_reconnect_base_url": f"{self.edge.base}/client/v4",
            **variables,
        }
        (self.folder / "vars.yml").write_text(yaml.safe_dump(given))
        (self.folder / "ansible.cfg").write_text("[ssh_connection]\npipelining = true\n")
        argv = ["ansible-playbook", "-i", str(self.fleet.inventory), *arguments, PLAYBOOK, "-e", "@vars.yml"]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        least = dict.fromkeys(SERVICES, 99)
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.1):
                state = self.edge.state()["tunnels"]
                for name, tunnel in self.tunnels.items():
                    least[name] = min(least[name], int(state.get(tunnel.id, {"live": 0})["live"]))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            done = subprocess.run(
                argv, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=600
            )
        finally:
            over.set()
            watcher.join()
        output = done.stdout + done.stderr
        assert API_TOKEN not in output and "CANARY" not in output
        return Played(done.returncode, output, least)


class Played(t.NamedTuple):
    """``least``: the fewest connections that a tunnel had meanwhile."""

    code: int
    output: str
    least: dict[str, int]

    def line(self, host: str, service: str) -> str:
        """What the summary says of a connector."""
        summary = self.output.partition("TUNNEL RECONNECT")[2]
        found = re.search(rf"^  {host} {service}: (.*)$", summary, re.MULTILINE)
        assert found, self.output
        return found[1]

    @property
    def changed(self) -> int:
        return sum(int(count) for count in re.findall(r"changed=(\d+)", self.output))


@pytest.fixture(scope="module")
def installed(make_fleet: t.Callable[..., Fleet], tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Tunnels]:
    suites = chosen_suites()
    chosen = [suites[number % len(suites)] for number in range(3)]
    fleet = make_fleet(*(Group(f"{letter}{suite}", 1, suite) for letter, suite in zip("abc", chosen, strict=True)))
    folder = Path(tmp_path_factory.mktemp("edge"))
    with EdgeProcess([fleet.controller], folder, ports=PORTS) as edge:
        yield Tunnels(fleet, edge, folder)


@pytest.fixture
def world(installed: Tunnels) -> Tunnels:
    installed.heal()
    return installed


def hosts(world: Tunnels) -> list[Host]:
    return list(world.fleet.hosts.values())


def test_a_fleet_that_is_well_is_left_alone(world: Tunnels) -> None:
    before = world.invocations()
    played = world.play()
    assert played.code == 0, played.output
    assert played.changed == 0
    assert "Summary: 6 healthy" in played.output
    assert "Tunnel cloudflared-api" in played.output and "edge: healthy, 3 connectors" in played.output
    assert world.invocations() == before


def test_what_can_be_brought_back_is_and_what_cannot_is_not_touched(world: Tunnels) -> None:
    first, second, third = hosts(world)
    first.push_text("/etc/cloudflared/token", "not a token", 0o600)
    first.sh("systemctl restart --no-block cloudflared")
    second.sh("systemctl stop cloudflared")
    third.push_text("/etc/systemd/system/cloudflared-api.service.d/zz.conf", "[Service]\nRestart=no\n")
    third.sh("systemctl daemon-reload; systemctl kill --signal=SIGKILL cloudflared-api")
    world.edge.wait_live(world.tunnels["cloudflared"].id, 4, 30)

    planned = world.play("--check")
    assert "PLANNED" in planned.line(second.name, "cloudflared"), planned.output
    assert "PLANNED" in planned.line(third.name, "cloudflared-api")
    assert world.edge.live(world.tunnels["cloudflared"].id) == 4

    played = world.play()
    assert played.code == 2, played.output
    refused = played.line(first.name, "cloudflared")
    assert refused.startswith(("REFUSED", "FAILED")) and "token_malformed" in refused
    assert played.line(second.name, "cloudflared").startswith("RECONNECTED")
    assert played.line(third.name, "cloudflared-api").startswith("RECONNECTED")
    assert played.line(third.name, "cloudflared") == "HEALTHY"
    assert all(count >= 4 for count in played.least.values()), played.least
    assert world.connector(second, "cloudflared") in world.connectors("cloudflared")
    assert len(world.connectors("cloudflared")) == 2 and len(world.connectors("cloudflared-api")) == 3

    again = world.play()
    assert again.changed == 0 and again.code == 2


@pytest.mark.parametrize(("budget", "restarted"), [(300, False), (5, True)])
def test_nobody_is_restarted_while_the_edge_cannot_be_reached(world: Tunnels, budget: int, restarted: bool) -> None:
    """Nor afterwards, within the natural budget; beyond it a restart is quicker than the connector's own back-off."""
    before = world.invocations()
    world.edge.behave("refuse", reset=True)
    for tunnel in world.tunnels.values():
        world.edge.wait_live(tunnel.id, 0)
    during: list[dict[str, str]] = []
    back: list[float] = []

    def mend() -> None:
        time.sleep(40)
        during.append(world.invocations())
        world.edge.clear()
        back.append(time.monotonic())

    mender = threading.Thread(target=mend)
    mender.start()
    services = [
        {"name": name, "kind": "cloudflared", "attempt_backoff": 0.1, "cloudflared": {"natural_budget": budget}}
        for name in SERVICES
    ]
    played = world.play(lifecycle_services=services)
    took = time.monotonic() - back[0]
    mender.join()
    assert played.code == 0, played.output
    print(f"edge back -> all six reported, natural budget {budget} s: {took:.1f} s")
    assert during == [before]
    assert (world.invocations() != before) == restarted
    assert ("RECONNECTED" in played.output.partition("TUNNEL RECONNECT")[2]) == restarted
    assert all(len(world.connectors(name)) == 3 for name in SERVICES)


def test_a_connector_that_the_edge_has_lost_is_restarted_and_the_others_are_not(world: Tunnels) -> None:
    first = hosts(world)[0]
    before = world.invocations()
    old = world.connector(first, "cloudflared")
    world.edge.behave("black-hole", select={"connector": old})
    until(lambda: old not in world.connectors("cloudflared"), 60, "the edge has lost the connector")
    time.sleep(60)  # one that registered a moment ago would not count as lost
    played = world.play(tunnel_reconnect_forget_ghosts=True)
    new = world.connector(first, "cloudflared")
    assert played.code == 0, played.output
    assert played.line(first.name, "cloudflared").startswith("RECONNECTED")
    assert new != old and new in world.connectors("cloudflared")
    assert all(count >= 8 for count in played.least.values()), played.least
    changed = {key for key, one in world.invocations().items() if one != before[key]}
    assert changed == {f"{first.name}/cloudflared"}
    assert old not in world.edge.tunnel(world.tunnels["cloudflared"].id)["connectors"]


def test_the_tunnel_that_carries_this_connection_is_restarted_by_its_host(world: Tunnels) -> None:
    first, *others = hosts(world)
    tunnel = world.tunnels["cloudflared"]
    for host in others:
        host.sh("systemctl stop cloudflared")
    world.edge.wait_live(tunnel.id, 4, 30)
    world.edge.behave("accept", select={"tunnel": tunnel.id}, max_connections=1)
    world.edge.reset(select={"tunnel": tunnel.id})
    world.edge.wait_live(tunnel.id, 1, 60)
    old = world.connector(first, "cloudflared")
    way, port = world.edge.forward(tunnel.id, "127.0.0.1:22")["listen"].rsplit(":", 1)
    same_key = f"-o HostKeyAlias={first.address}"
    through = {"ansible_host": way, "ansible_port": int(port), "ansible_ssh_extra_args": same_key}
    (world.folder / "through.yml").write_text(yaml.safe_dump({"all": {"hosts": {first.name: through}}}))

    def mend() -> None:
        until(lambda: old not in world.connectors("cloudflared"), 120, "the host restarts the connector")
        world.edge.clear()

    mender = threading.Thread(target=mend, daemon=True)
    mender.start()
    services = [
        {
            "name": "cloudflared",
            "kind": "cloudflared",
            "attempt_backoff": 0.1,
            "cloudflared": {"min_connections": 2, "natural_budget": 1, "replica_guard": "off"},
        }
    ]
    played = world.play("-i", "through.yml", "--limit", first.name, lifecycle_services=services)
    assert played.code == 0, played.output
    assert played.line(first.name, "cloudflared").startswith("RECONNECTED"), played.output
    mender.join()
    new = world.connector(first, "cloudflared")
    assert new != old and world.connectors("cloudflared") == {new}
    logged = first.run("journalctl", "-b", "-o", "cat", "-t", "systemd", "--grep", "handed over", check=False).stdout
    assert "handed over" in logged


def test_the_unit_of_the_guide(world: Tunnels) -> None:
    found = re.search(r"code-block:: ini\n\n((?:  .*\n|\n)+)", GUIDE.read_text(encoding="utf-8"))
    assert found
    host, tunnel = hosts(world)[0], world.tunnels["cloudflared"]
    unit = "/etc/systemd/system/cloudflared.service"
    stock = host.read_text(unit)
    host.push_text(unit, textwrap.dedent(found[1]))
    host.sh("ln -sf /usr/local/bin/cloudflared /usr/bin/cloudflared; systemctl daemon-reload")
    try:
        old = world.connector(host, "cloudflared")
        host.sh("systemctl restart cloudflared")
        until(lambda: len(world.connectors("cloudflared") - {old}) == 3, 30, "it has registered")
        world.edge.wait_live(tunnel.id, 12, 30)
        assert host.sh("systemd-analyze verify cloudflared.service 2>&1").stdout == ""
        assert "Summary: 6 healthy" in world.play().output
    finally:
        host.push_text(unit, stock)
        host.sh("systemctl daemon-reload; systemctl restart --no-block cloudflared")
