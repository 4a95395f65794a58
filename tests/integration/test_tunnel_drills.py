# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills of a connector: it is cut off from the edge, while another replica serves."""

from __future__ import annotations

import json

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Host, until

from .test_tunnel_recover import grants_again
from .tunnels import Played, Tunnels

pytestmark = pytest.mark.long

NAME = "cloudflared"


def drill(replicas: Tunnels, host: Host, *options: str, target: str = "all", **given: object) -> Played:
    entry = {"name": NAME, "kind": "cloudflared", "drill": True, "wait_timeout": 20, "max_attempts": 50}
    known = {
        "lifecycle_services": [entry],
        "lifecycle_target": target,
        "lifecycle_drill_service": f"{host.name}/{NAME}",
        "lifecycle_drill_fault": "edge_cut",
        "lifecycle_drill_detect_within": 15,
        **given,
    }
    return replicas.play(*options, playbook="chainops.lifecycle.drill", **known)


def told(played: Played) -> str:
    """The summary of a drill."""
    return played.output.rpartition("\nDRILL\n")[2].partition("\nok:")[0]


def cuts(host: Host) -> int:
    """How many rules of routing there are that are no default ones."""
    return host.run("ip", "rule").stdout.count("unreachable")


def test_a_connector_that_is_cut_off_from_the_edge(replicas: Tunnels) -> None:
    first, *_others = replicas.fleet.hosts.values()
    replicas.fleet.each(grants_again)
    refused = drill(replicas, first)
    assert refused.code == 2 and "cloudflared-api.service) would be cut off as well" in told(refused), told(refused)
    first.run("systemctl", "stop", "cloudflared-api")

    before = {host.name: replicas.connector(host, NAME) for host in replicas.fleet.hosts.values()}
    played = drill(replicas, first)
    assert played.code == 0 and "by the undo" in told(played) and not cuts(first), played.output
    assert "shown after" in told(played) and "as reconnecting" in told(played) and played.least[NAME] >= 8, told(played)
    after = {host.name: replicas.connector(host, NAME) for host in replicas.fleet.hosts.values()}
    assert {name for name in after if after[name] != before[name]} <= {first.name}
    text = first.run("cat", f"/var/lib/chainops-lifecycle/drills/{NAME}.service.json").stdout
    made = json.loads(text)[-1]
    assert made["outcome"] == "recovered" and made["target"].startswith("TCP and UDP to port 7844, 7845"), made

    # Nobody ends this one.
    task = {"chainops.lifecycle.service_fault": {"service": {"name": NAME, "kind": "cloudflared", "drill": True,
            "cloudflared": {"healthy_replicas": 1}}, "fault": "edge_cut", "undo_after": 30, "wait_timeout": 5}}  # fmt: skip
    play = [{"hosts": first.name, "gather_facts": False, "tasks": [{"name": "Cut", **task}]}]
    (replicas.folder / "cut.yml").write_text(json.dumps(play))
    began = replicas.play(playbook="cut.yml")
    assert began.code == 0 and cuts(first), began.output
    until(lambda: not cuts(first), 60, "the host takes the rules away")
    replicas.edge.wait_live(replicas.tunnels[NAME].id, 12, 60)


def test_the_last_replica_is_not_cut_off(replicas: Tunnels) -> None:
    first, *others = replicas.fleet.hosts.values()
    replicas.fleet.each(grants_again)
    first.run("systemctl", "stop", "cloudflared-api")
    for host in others:
        host.run("systemctl", "stop", NAME)
    replicas.edge.wait_live(replicas.tunnels[NAME].id, 4, 30)
    replicas.until_ready(first, NAME)
    for options in (("--check",), ()):
        played = drill(replicas, first, *options, target=first.name)
        said = told(played)
        assert played.code == 2 and "why    last_replica: it is the last healthy connector of its tunnel (4 " in said, (
            said
        )
        assert f"; {others[0].name}: no connector here keeps the tunnel up: {NAME}: it is stopped" in said
        assert played.least[NAME] == 4 and not cuts(first)
