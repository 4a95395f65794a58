# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel of two connectors, one of which loses its connections: the real cloudflared, on an edge of our own."""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.tests.demo.stage import Described, Stage, say
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.client import EdgeProcess
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.connector import (
    TunnelIdentity,
    install_connector,
)
from ansible_collections.chainops.lifecycle.tests.support.lab import Host

PORTS = tuple(range(7844, 7851))
CONNECTIONS = 8  # four of each connector


class Tunnel(t.NamedTuple):
    edge: EdgeProcess
    id: str
    hosts: list[Host]


def start_edge(stage: Stage) -> EdgeProcess:
    return EdgeProcess([stage.fleet.controller], stage.folder, ports=PORTS)


def start_tunnel(stage: Stage, edge: EdgeProcess) -> Tunnel:
    """Start two connectors on the edge, and do not wait for them."""
    identity = TunnelIdentity()
    edge.declare(identity.id)
    hosts = stage.fleet.group("v")[:2]
    stage.fleet.each(lambda host: install_connector(host, identity, edge.addresses, edge.ca), hosts)
    return Tunnel(edge, identity.id, hosts)


def act_tunnel(stage: Stage, tunnel: Tunnel) -> Described:
    """One of two connectors loses its connections. The services of its hosts."""
    first = tunnel.hosts[0]
    services = {host.name: [{"name": "cloudflared", "kind": "cloudflared"}] for host in tunnel.hosts}
    tunnel.edge.wait_live(tunnel.id, CONNECTIONS, 90)
    say(f"A tunnel of two connectors: that of {first.name} is stopped by a signal, which systemd does not notice")
    first.sh("systemctl kill --signal=SIGSTOP cloudflared")
    stage.play("chainops.lifecycle.tunnel_reconnect", services)
    tunnel.edge.wait_live(tunnel.id, CONNECTIONS, 90)
    return services
