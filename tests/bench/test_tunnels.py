# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How soon real connectors are back once the edge is: by themselves, and reconnected. Nothing here fails for being slow."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.bench.conftest import HERE, Figures
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.client import EdgeProcess
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.connector import (
    TunnelIdentity,
    install_connector,
)
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host, until

HOSTS = 4
OUTAGE = 40.0  # seconds, in which cloudflared's back-off grows
LONGEST = 400.0  # what it may take by itself with 5 retries, its default, is 367 s
PORTS = range(7844, 7851)


class Outage:
    """Hosts with a connector each, all of them with cloudflared's own settings for retries."""

    def __init__(self, fleet: Fleet, edge: EdgeProcess) -> None:
        self.fleet, self.edge = fleet, edge
        self.tunnels = {name: TunnelIdentity() for name in fleet.hosts}

    def install(self, host: Host) -> None:
        install_connector(host, self.tunnels[host.name], self.edge.addresses, self.edge.ca, retries=5)
        self.edge.wait_live(self.tunnels[host.name].id, 4, 60)

    def happens(self) -> float:
        """The edge goes, and comes back: when, on the monotonic clock."""
        self.edge.behave("refuse", reset=True)
        time.sleep(OUTAGE)
        self.edge.clear()
        return time.monotonic()

    def naturally(self) -> list[float]:
        began = self.happens()

        def back(host: Host) -> float:
            tunnel = self.tunnels[host.name].id
            until(lambda: self.edge.live(tunnel) == 4, LONGEST, f"{host.name} is back by itself")
            return time.monotonic() - began

        return list(self.fleet.each(back).values())

    def reconnected(self, collections: Path) -> list[float]:
        """Of one run of the module on all hosts: until the last of them is reported running."""
        began = self.happens()
        options = "name=cloudflared state=reconnected reconnect_grace=0 min_connections=4 replica_guard=off"
        argv = [
            "ansible",
            "-i",
            str(self.fleet.inventory),
            "all",
            "-m",
            "chainops.lifecycle.cloudflared_tunnel",
            "-a",
            options,
        ]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_PIPELINING": "1"}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return [time.monotonic() - began]


@pytest.mark.timeout(1100)
def test_the_edge_is_back(figures: Figures, tmp_path: Path) -> None:
    (tmp_path / "ansible_collections" / "chainops").mkdir(parents=True)
    (tmp_path / "ansible_collections" / "chainops" / "lifecycle").symlink_to(HERE.parent.parent)
    with (
        Fleet(f"bench-tunnels-{os.getpid()}", [Group("t", HOSTS, "trixie")]) as fleet,
        EdgeProcess([fleet.controller], tmp_path / "edge", ports=PORTS) as edge,
    ):
        outage = Outage(fleet, edge)
        fleet.each(outage.install)
        ours, natural = outage.reconnected(tmp_path), outage.naturally()
    for way, seconds in (("last reported running, reconnected", ours), ("running by itself", natural)):
        shown = f"{statistics.median(seconds):.1f} s (longest {max(seconds):.1f} s)"
        figures.add(f"edge back -> {way} ({HOSTS} connectors)", shown, "(for comparison)")
    assert len(natural) == HOSTS
