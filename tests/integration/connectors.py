# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that run the real cloudflared against an edge of our own, and what a test does with them."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Host, until

from ..support.cloudflare_edge.client import EdgeProcess
from ..support.cloudflare_edge.connector import TunnelIdentity, install_connector
from .canary import Canary
from .shipping import REMOTE, ship

PORTS = tuple(range(7844, 7851))
DRIVER = "connector_driver.py"

Result = dict[str, t.Any]

_ASK_READY = """import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=2).read().decode())
except urllib.error.HTTPError as exc:
    print(exc.read().decode())
except OSError:
    print('{"readyConnections": -1}')
"""


def ask_ready(host: Host, port: int | str) -> Result:
    """What ``/ready`` of a connector answers on its host, asked by other means than the collection's."""
    text = host.run("python3", "-c", _ASK_READY, f"http://127.0.0.1:{port}/ready").stdout
    return t.cast("Result", json.loads(text))


class Connectors:
    """A fleet whose hosts each run one connector. ``tunnels``: host -> its tunnel."""

    def __init__(
        self, fleet: Fleet, edge: EdgeProcess, tunnels: t.Mapping[str, TunnelIdentity], canary: Canary
    ) -> None:
        self.fleet = fleet
        self.edge = edge
        self.tunnels = dict(tunnels)
        self._canary = canary

    @classmethod
    def install(
        cls, fleet: Fleet, edge: EdgeProcess, tunnels: t.Mapping[str, TunnelIdentity], canary: Canary
    ) -> Connectors:
        world = cls(fleet, edge, tunnels, canary)
        fleet.each(world._equip)
        for tunnel in set(tunnels.values()):
            edge.declare(tunnel.id)
        return world

    def _equip(self, host: Host) -> None:
        ship(host, DRIVER)
        self.put(host, start=False)

    def put(self, host: Host, **options: t.Any) -> None:
        """The unit, the token and the settings as they should be."""
        host.sh("rm -f /etc/systemd/system/cloudflared.service.d/zz*.conf /etc/cloudflared/config.yml")
        given: dict[str, t.Any] = {"metrics": None, **options}
        install_connector(host, self.tunnels[host.name], self.edge.addresses, self.edge.ca, **given)

    def heal(self) -> None:
        """Everything well again, and every connector connected, if not with all its connections yet."""
        self.edge.clear()
        self.fleet.each(self._heal)

    def _heal(self, host: Host) -> None:
        host.sh(
            "rm -rf /var/lib/chainops-lifecycle; systemctl stop cloudflared; systemctl reset-failed 2>/dev/null || true"
        )
        self.put(host, start=True)
        self.until_ready(host, 1)

    def until_ready(self, host: Host, connections: int = 4) -> None:
        until(lambda: self.ready(host) >= connections, 90, f"{host.name} has {connections} connections")

    @staticmethod
    def ready(host: Host) -> int:
        """How many connections /ready says the connector of the host has, -1 where nothing answers."""
        return int(ask_ready(host, 20241)["readyConnections"])

    def run(self, host: Host, **options: t.Any) -> Result:
        """One run of the module."""
        done = host.run(
            "python3", f"{REMOTE}/{DRIVER}", json.dumps(options), timeout=options.get("wait_timeout", 60) + 60
        )
        self._canary.hear(f"the result of {options} on {host.name}", done.stdout + done.stderr)
        return dict(json.loads(done.stdout))

    def look(self, host: Host, **options: t.Any) -> Result:
        return self.run(host, state="look", **options)

    def looks(self, **options: t.Any) -> dict[str, Result]:
        return self.fleet.each(lambda host: self.look(host, **options))

    def until_look(
        self, wanted: t.Callable[[Result], bool], what: str, seconds: float = 90, **options: t.Any
    ) -> dict[str, Result]:
        """Look at every host until it is as wanted."""

        def one(host: Host) -> Result:
            seen: list[Result] = []

            def holds() -> bool:
                seen.append(self.look(host, **options))
                return wanted(seen[-1])

            try:
                until(holds, seconds, what)
            except Exception as exc:
                raise AssertionError(f"{host.name}: {what}: {brief(seen[-1])}") from exc
            return seen[-1]

        return self.fleet.each(one)

    def drop_in(self, host: Host, text: str, name: str = "zz") -> None:
        host.push_text(f"/etc/systemd/system/cloudflared.service.d/{name}.conf", f"[Service]\n{text}\n")
        host.run("systemctl", "daemon-reload")

    def at_edge(self, host: Host) -> dict[str, int]:
        """connector id -> its living connections, as the edge knows them."""
        known = self.edge.tunnel(self.tunnels[host.name].id)["connectors"]
        return {identity: about["live"] for identity, about in known.items() if about["live"]}


def brief(seen: Result) -> str:
    about = {key: seen.get(key) for key in ("state", "cause", "reasons", "msg", "blocked_by")}
    steps = [(step["from"], step["action"], step["to"]) for step in seen.get("transitions", ())]
    return json.dumps({**about, "transitions": steps, "before": (seen.get("before") or {}).get("reasons")})


def new_edge(fleet: Fleet, folder: Path) -> EdgeProcess:
    return EdgeProcess([fleet.controller], folder, ports=PORTS)
