# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two tunnels with three replicas each on hosts of their own, and playbooks that are watched on the edge meanwhile."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import typing as t
from pathlib import Path

import yaml

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Host, until

from ..support.cloudflare_edge.client import EdgeProcess
from ..support.cloudflare_edge.connector import ACCOUNT, TunnelIdentity, install_connector
from .ansible_config import write_config
from .canary import API_WRITE, SECRET, Canary
from .connectors import ask_ready

SERVICES = {"cloudflared": "127.0.0.1:20241", "cloudflared-api": "127.0.0.1:20242"}
PLAYBOOK = "chainops.lifecycle.tunnel_reconnect"
_COMINGS_AND_GOINGS = {"registered", "unregistered", "lost", "forgotten"}


class Tunnels:
    """Three hosts with a connector of each of two tunnels."""

    def __init__(self, fleet: Fleet, edge: EdgeProcess, folder: Path, canary: Canary) -> None:
        self.fleet, self.edge, self.folder, self._canary = fleet, edge, folder, canary
        self.tunnels = {name: TunnelIdentity(secret=SECRET) for name in SERVICES}
        for name, tunnel in self.tunnels.items():
            edge.declare(tunnel.id, name=name)
        edge.script_api(tokens={API_WRITE: {"account": ACCOUNT, "write": True}})
        edge.settings(ghost_seconds=900)
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
        for name in self.tunnels:
            self.fleet.each(functools.partial(self.fix, name))
        self.wait_all()

    def wait_all(self) -> None:
        for tunnel in self.tunnels.values():
            self.edge.wait_live(tunnel.id, 4 * len(self.fleet.hosts), 90)

    def fix(self, name: str, host: Host) -> None:
        host.push_text(f"/etc/{name}/token", self.tunnels[name].token, 0o600)
        script = (
            'changed=/etc/systemd/system/"$1".service.d/zz.conf; systemctl reset-failed "$1"\n'
            'if [ -e "$changed" ]; then rm "$changed"; systemctl daemon-reload; systemctl restart "$1"; fi\n'
            'systemctl is-active -q "$1" || systemctl restart --no-block "$1"'
        )
        host.sh(script, name)

    def connectors(self, name: str) -> set[str]:
        """The ids of those that live, as the edge knows them."""
        known = self.edge.tunnel(self.tunnels[name].id)["connectors"]
        return {identity for identity, about in known.items() if about["live"]}

    def connector(self, host: Host, name: str) -> str:
        """The id that the connector of a host gives itself."""
        return str(self.ready(host, name)["connectorId"])

    def until_ready(self, host: Host, name: str, connections: int = 4) -> None:
        """The edge may count connections that were cut for a while longer: what the connector knows is asked."""
        until(
            lambda: self.ready(host, name)["readyConnections"] == connections,
            60,
            f"{name} on {host.name} has {connections} connections",
        )

    def ready(self, host: Host, name: str) -> dict[str, t.Any]:
        """What ``/ready`` of the connector answers."""
        return ask_ready(host, SERVICES[name].rpartition(":")[2])

    def invocations(self) -> dict[str, str]:
        found = self.fleet.each(
            lambda host: host.run("systemctl", "show", "-P", "InvocationID", *SERVICES).stdout.split()
        )
        return {f"{host}/{name}": one for host, ids in found.items() for name, one in zip(SERVICES, ids, strict=True)}

    def play(self, *arguments: str, playbook: str = PLAYBOOK, **variables: t.Any) -> Played:
        """Run a playbook; the edge tells whether a tunnel was without a connection meanwhile."""
        given = {
            "lifecycle_services": [
                {"name": name, "kind": "cloudflared", "attempt_backoff": 0.1, "max_attempts": 50} for name in SERVICES
            ],
            "tunnel_reconnect_account_id": ACCOUNT,
            "tunnel_reconnect_api_token": API_WRITE,
            "tunnel_reconnect_base_url": f"{self.edge.base}/client/v4",
            **variables,
        }
        (self.folder / "vars.yml").write_text(yaml.safe_dump(given))
        write_config(self.folder)
        argv = ["ansible-playbook", "-i", str(self.fleet.inventory), *arguments, playbook, "-e", "@vars.yml"]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        before = self.edge.state()
        done = subprocess.run(
            argv, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        events = self.edge.events(before["last_event"])
        least = {
            name: fewest_live(before["tunnels"].get(tunnel.id, {"connectors": {}}), tunnel.id, events)
            for name, tunnel in self.tunnels.items()
        }
        output = done.stdout + done.stderr
        self._canary.hear(f"the output of {playbook}", output)
        return Played(done.returncode, output, least)


def fewest_live(tunnel: dict[str, t.Any], identity: str, events: list[dict[str, t.Any]]) -> int:
    """The fewest connections that a tunnel had, from what the edge knew of it at first and what has happened since."""
    live = {
        (connector, one["index"]): one["id"]
        for connector, about in tunnel["connectors"].items()
        for one in about["connections"]
        if one["lost_at"] is None
    }
    fewest = len(live)
    for event in events:
        if event.get("tunnel") != identity or event["event"] not in _COMINGS_AND_GOINGS:
            continue
        place = (event["connector"], event["index"])
        if event["event"] == "registered":
            live[place] = event["connection"]
        elif live.get(place) == event["connection"]:
            del live[place]
        fewest = min(fewest, len(live))
    return fewest


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


def damage(host: Host, name: str) -> None:
    """Damage its token and let it fail; systemd is going to try again in an hour."""
    host.push_text(f"/etc/{name}/token", "not a token", 0o600)
    host.push_text(f"/etc/systemd/system/{name}.service.d/zz.conf", "[Service]\nRestartSec=1h\n")
    host.sh('systemctl daemon-reload; systemctl restart --no-block "$1"', name)
    shown = ("systemctl", "show", "-P", "SubState", name)
    until(lambda: host.run(*shown).stdout.strip() == "auto-restart", 30, f"{name} has failed")


def kill(host: Host, name: str) -> None:
    """Nobody starts it again."""
    host.push_text(f"/etc/systemd/system/{name}.service.d/zz.conf", "[Service]\nRestart=no\n")
    host.sh('systemctl daemon-reload; systemctl kill --signal=SIGKILL "$1"', name)
