# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connectors among the services that the playbook recover brings back: the same guards, the same proof."""

from __future__ import annotations

import copy
import functools
import re
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.replicas import TTL
from ansible_collections.chainops.lifecycle.tests.support.lab import Host, until

from .tunnels import Played, Tunnels, damage, kill

RECOVER = "chainops.lifecycle.recover"
TOGETHER = {"playbook": RECOVER, "lifecycle_max_unhealthy": "100%", "lifecycle_serial": 3}


def said(played: Played, host: str, service: str) -> str:
    """What the summary says of a connector, all its lines."""
    found = re.search(rf"^{host} {service}: (.*\n(?:  .*\n)*)", played.output, re.MULTILINE)
    assert found, played.output
    return found[1]


def described(name: str, **options: t.Any) -> dict[str, t.Any]:
    return {"name": name, "kind": "cloudflared", "attempt_backoff": 0.1, "max_attempts": 50, **options}


def test_what_is_down_is_recovered_and_what_no_restart_fixes_is_refused(replicas: Tunnels) -> None:
    first, second, third = replicas.fleet.hosts.values()
    damage(first, "cloudflared")
    second.sh("systemctl stop cloudflared")
    kill(third, "cloudflared-api")
    replicas.edge.wait_live(replicas.tunnels["cloudflared"].id, 4, 30)

    planned = replicas.play("--check", **TOGETHER)
    assert said(planned, second.name, "cloudflared").startswith("PLANNED")
    assert said(planned, third.name, "cloudflared-api").startswith("PLANNED")
    foreseen = said(planned, first.name, "cloudflared")
    assert foreseen.startswith("REFUSED") and "token_malformed" in foreseen
    assert replicas.edge.live(replicas.tunnels["cloudflared"].id) == 4

    played = replicas.play(**TOGETHER)
    assert played.code == 2, played.output
    refused = said(played, first.name, "cloudflared")
    assert refused.startswith("REFUSED") and "token_malformed" in refused
    for host, name in ((second, "cloudflared"), (third, "cloudflared-api")):
        recovered = said(played, host.name, name)
        assert recovered.startswith("RECOVERED") and "proof  running, 4 of 4 connections are registered" in recovered
        assert replicas.connector(host, name) in replicas.connectors(name)
    assert all(count >= 4 for count in played.least.values()), played.least

    again = replicas.play(**TOGETHER)
    assert again.changed == 0 and again.code == 2


def test_who_is_on_its_way_is_left_to_itself(replicas: Tunnels) -> None:
    """To bring back what does not come by itself is the business of the playbook tunnel_reconnect."""
    before = replicas.invocations()
    replicas.edge.behave("refuse", reset=True)
    for tunnel in replicas.tunnels.values():
        replicas.edge.wait_live(tunnel.id, 0)
    played = replicas.play(**TOGETHER)
    assert played.code == 0, played.output
    assert "Summary: 6 transitioning" in played.output and played.changed == 0
    assert len(re.findall(r"reconnecting +wait", played.output)) == 6
    assert replicas.invocations() == before


OLD = "/run/old-invocation"


def grants_again(host: Host) -> None:
    """A host that has just booted may have forgotten what it granted, and grants nothing."""
    age = "import os; s=open('/proc/1/stat').read().rpartition(')')[2].split(); "
    age += "import time; print(time.clock_gettime(time.CLOCK_BOOTTIME) - int(s[19]) / os.sysconf('SC_CLK_TCK'))"
    until(lambda: float(host.run("python3", "-c", age).stdout) > TTL, TTL + 30, f"{host.name} grants again")


def ill(replicas: Tunnels) -> dict[str, t.Any]:
    """The connector of every host serves, and only a new start fixes what its probe looks at."""
    replicas.fleet.each(grants_again)
    script = f'test "$(systemctl show -P InvocationID cloudflared)" != "$(cat {OLD})"'
    replicas.fleet.each(lambda host: host.sh(f"systemctl show -P InvocationID cloudflared >{OLD}"))
    probe = {"kind": "command", "argv": ["/bin/sh", "-c", script], "start_grace": 0, "failure_threshold": 1}
    return described("cloudflared", probes=[probe])


def test_the_last_replica_is_kept_although_what_is_behind_it_is_ill(replicas: Tunnels) -> None:
    """No host has one that stays; once another host has, also one outside of the play, it is restarted."""
    first, second, third = replicas.fleet.hosts.values()
    services = [ill(replicas)]
    old = replicas.connector(first, "cloudflared")
    for host in (second, third):
        host.sh("systemctl stop cloudflared")
    replicas.edge.wait_live(replicas.tunnels["cloudflared"].id, 4, 30)
    kept = replicas.play("--limit", first.name, lifecycle_services=services, **TOGETHER)
    assert kept.code == 2 and kept.changed == 0
    told = said(kept, first.name, "cloudflared")
    assert told.startswith("REFUSED") and "no connector here keeps the tunnel up" in told, kept.output
    assert replicas.connector(first, "cloudflared") == old
    second.sh("systemctl start cloudflared")
    played = replicas.play("--limit", first.name, lifecycle_services=services, **TOGETHER)
    assert said(played, first.name, "cloudflared").startswith("RECOVERED"), played.output
    assert replicas.connector(first, "cloudflared") in replicas.connectors("cloudflared") - {old}
    assert played.least["cloudflared"] >= 4 and played.least["cloudflared-api"] == 12


def test_one_run_on_all_replicas_at_once_keeps_the_tunnel_up(replicas: Tunnels) -> None:
    """Each would be taken offline, as each sees the others serve."""
    old = replicas.connectors("cloudflared")
    played = replicas.play(lifecycle_services=[ill(replicas)], **TOGETHER)
    assert played.code == 0, played.output
    for host in replicas.fleet.hosts.values():
        assert said(played, host.name, "cloudflared").startswith("RECOVERED"), played.output
    assert played.least["cloudflared"] >= 4, played.least
    assert not replicas.connectors("cloudflared") & old


@pytest.mark.long
def test_two_runs_at_once_never_take_both_replicas(replicas: Tunnels, tmp_path: Path) -> None:
    first, second, third = replicas.fleet.hosts.values()
    services = [ill(replicas)]
    third.sh("systemctl stop cloudflared")
    replicas.edge.wait_live(replicas.tunnels["cloudflared"].id, 8, 30)
    old = replicas.connectors("cloudflared")
    other = copy.copy(replicas)
    other.folder = tmp_path
    options = {"lifecycle_services": services, "service_recovery_reserve_tries": 20, **TOGETHER}
    with ThreadPoolExecutor(2) as both:
        runs = [
            both.submit(functools.partial(view.play, "--limit", host.name, **options))
            for view, host in ((replicas, first), (other, second))
        ]
    for run, host in zip(runs, (first, second), strict=True):
        played = run.result()
        assert played.code == 0, played.output
        assert said(played, host.name, "cloudflared").startswith("RECOVERED"), played.output
        assert played.least["cloudflared"] >= 4, played.least
    assert not replicas.connectors("cloudflared") & old
