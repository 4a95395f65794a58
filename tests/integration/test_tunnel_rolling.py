# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connectors restarted by a rolling restart: one replica of a tunnel at a time, drained, and the edge never at zero."""

from __future__ import annotations

import re

from .test_tunnel_recover import grants_again, said
from .tunnels import Tunnels

ROLLING = "chainops.lifecycle.rolling_restart"
TOGETHER = {"playbook": ROLLING, "lifecycle_serial": 3, "lifecycle_only_name": "cloudflared"}
DRAINED = (
    "journalctl -u cloudflared --since=@$(cat /run/before-restart) -o cat | grep -c 'Initiating graceful shutdown'"
)


def test_two_replicas_are_restarted_one_after_the_other(replicas: Tunnels) -> None:
    """The third host has none, so that each of the two is for a moment the last."""
    first, second, third = replicas.fleet.hosts.values()
    replicas.fleet.each(grants_again)
    third.sh("systemctl stop cloudflared")
    replicas.edge.wait_live(replicas.tunnels["cloudflared"].id, 8, 30)
    old = replicas.connectors("cloudflared")
    for host in (first, second):
        host.sh("date +%s >/run/before-restart")
    both = f"{first.name},{second.name}"
    planned = replicas.play("--check", "--limit", both, **TOGETHER)
    assert re.search(rf"^Order: {first.name} \| {second.name}$", planned.output, re.MULTILINE), planned.output
    assert "refuse (" not in planned.output, planned.output
    assert replicas.connectors("cloudflared") == old

    played = replicas.play("--limit", both, **TOGETHER)
    assert played.code == 0, played.output
    for host in (first, second):
        assert said(played, host.name, "cloudflared").startswith("RESTARTED"), played.output
        assert host.sh(DRAINED).stdout.strip() == "1"
    assert played.least == {"cloudflared": 4, "cloudflared-api": 12}
    assert len(replicas.connectors("cloudflared")) == 2 and not replicas.connectors("cloudflared") & old


def test_the_last_replica_is_refused(replicas: Tunnels) -> None:
    first, second, third = replicas.fleet.hosts.values()
    replicas.fleet.each(grants_again)
    for host in (second, third):
        host.sh("systemctl stop cloudflared")
    replicas.edge.wait_live(replicas.tunnels["cloudflared"].id, 4, 30)
    old = replicas.connector(first, "cloudflared")
    only = {"lifecycle_restart_since": "now", **TOGETHER}
    planned = replicas.play("--check", "--limit", first.name, **only)
    assert "refuse (last_replica)" in planned.output, planned.output
    assert "no connector here keeps the tunnel up" in planned.output, planned.output

    # By another name it is the same host, whose connector is no other replica; none is left to be asked after it.
    (replicas.folder / "twin.yml").write_text(f"all: {{hosts: {{{second.name}: {{ansible_host: {first.address}}}}}}}\n")
    twin = replicas.play("-i", "twin.yml", "--check", "--limit", first.name, **only)
    assert f"{second.name}: it is the host of the connector under another name" in twin.output, twin.output

    played = replicas.play("--limit", first.name, **only)
    assert played.code == 2, played.output
    told = said(played, first.name, "cloudflared")
    assert told.startswith("REFUSED") and "no connector here keeps the tunnel up" in told, played.output
    assert replicas.connector(first, "cloudflared") == old and played.least["cloudflared"] == 4
