# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing real connectors back: what is waited for, what is restarted, what is left alone, and what proves it."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import secrets
import subprocess
import time
import typing as t

from ansible_collections.chainops.lifecycle.tests.support.lab import Host, until

from ..support.cloudflare_edge.connector import make_token
from .canary import SECRET
from .connectors import DRIVER, Connectors, Result, brief
from .shipping import REMOTE


def identity(seen: Result) -> str:
    return str(seen["cloudflared"]["connector_id"])


def invocation(host: Host) -> str:
    return host.run("systemctl", "show", "-P", "InvocationID", "cloudflared").stdout.strip()


def run_all(world: Connectors, **options: t.Any) -> dict[str, Result]:
    return world.fleet.each(lambda host: world.run(host, **options))


def meanwhile(world: Connectors, seconds: float, work: t.Callable[[], t.Any], **options: t.Any) -> dict[str, Result]:
    """Run the module on all hosts, and do ``work`` after some seconds."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_all, world, **options)
        time.sleep(seconds)
        work()
        return running.result()


def test_a_healthy_connector_is_left_alone(world: Connectors) -> None:
    world.fleet.each(world.until_ready)
    before = {name: invocation(host) for name, host in world.fleet.hosts.items()}
    for state in ("reconnected", "connected", "running"):
        for done in run_all(world, state=state).values():
            assert not done["failed"] and not done["changed"] and done["transitions"] == []
    assert before == {name: invocation(host) for name, host in world.fleet.hosts.items()}


def test_what_comes_back_by_itself_is_not_restarted(world: Connectors) -> None:
    before = {name: identity(seen) for name, seen in world.looks().items()}
    world.edge.behave("refuse", reset=True)
    for name, done in meanwhile(world, 5.0, world.edge.clear, state="reconnected", wait_timeout=90).items():
        assert not done["failed"] and not done["changed"], brief(done)
        assert done["before"]["state"] == "reconnecting" and identity(done["after"]) == before[name]


def test_what_does_not_come_back_is_restarted_once(world: Connectors) -> None:
    """The edge takes connections and never registers them; the connector itself would wait for ever."""
    before = {name: identity(seen) for name, seen in world.looks().items()}
    world.edge.behave("no-control-stream", reset=True)
    world.until_look(lambda s: s["state"] == "reconnecting", "reconnecting")
    done = meanwhile(world, 8.0, world.edge.clear, state="reconnected", reconnect_grace=4, wait_timeout=90)
    for name, one in done.items():
        assert not one["failed"] and one["changed"], brief(one)
        assert [step["action"] for step in one["transitions"]].count("systemctl restart") == 1
        assert identity(one["after"]) != before[name]
        assert identity(one["after"]) in world.at_edge(world.fleet[name])


def test_it_gives_up_with_the_cause(world: Connectors) -> None:
    before = {name: invocation(host) for name, host in world.fleet.hosts.items()}
    world.edge.behave("refuse", reset=True)
    for done in run_all(world, state="reconnected", reconnect_grace=1, wait_timeout=12).values():
        assert done["failed"] and not done["changed"], brief(done)
        assert done["after"]["cause"] == "edge_unreachable_tcp" and "TCP to the edge does not work now" in done["msg"]
    assert before == {name: invocation(host) for name, host in world.fleet.hosts.items()}


def test_a_refused_token_is_not_retried_and_a_new_one_is_taken(world: Connectors) -> None:
    before = {name: invocation(host) for name, host in world.fleet.hosts.items()}
    fresh = secrets.token_bytes(32)
    for tunnel in world.tunnels.values():
        world.edge.declare(tunnel.id, secret=base64.b64encode(fresh).decode())
    world.edge.reset()
    try:
        world.until_look(lambda s: s["cause"] == "unauthorized", "unauthorized")
        for done in run_all(world, state="reconnected", reconnect_grace=0, wait_timeout=20).values():
            assert done["failed"] and not done["changed"] and done["duration"] < 10
            assert done["blocked_by"][0]["guard"] == "cause" and "unauthorized" in done["blocked_by"][0]["reason"]
        assert before == {name: invocation(host) for name, host in world.fleet.hosts.items()}
        time.sleep(1)
        world.fleet.each(
            lambda host: host.push_text("/etc/cloudflared/token", make_token(world.tunnels[host.name].id, fresh), 0o600)
        )
        for name, done in run_all(world, state="reconnected", wait_timeout=60).items():
            assert not done["failed"] and done["changed"], brief(done)
            assert identity(done["after"]) in world.at_edge(world.fleet[name])
    finally:
        for tunnel in world.tunnels.values():
            world.edge.declare(tunnel.id, secret=base64.b64encode(SECRET).decode())


def test_half_open(world: Connectors) -> None:
    """Under http2 a connector that is cut off in silence calls itself ready for minutes; the edge knows better."""
    world.fleet.each(world.until_ready)
    before = {name: identity(seen) for name, seen in world.looks().items()}
    world.edge.behave("black-hole")
    time.sleep(3)
    assert {Connectors.ready(host) for host in world.fleet.hosts.values()} == {4}
    for seen in world.looks(edge_lost=list(before.values())).values():
        assert (seen["state"], seen["cause"]) == ("error", "half_open")
        assert seen["diagnosis"]["causes"][0]["class"] == "soft"
    world.edge.clear()
    options = {"state": "reconnected", "edge_lost": list(before.values()), "wait_timeout": 90}
    for name, done in run_all(world, **options).items():
        assert not done["failed"] and done["changed"], brief(done)
        assert identity(done["after"]) != before[name] and identity(done["after"]) in world.at_edge(world.fleet[name])
    for done in run_all(world, **options).values():
        assert not done["failed"] and not done["changed"]


def test_the_last_healthy_replica_is_kept(world: Connectors) -> None:
    before = {name: identity(seen) for name, seen in world.looks().items()}
    for options in ({}, {"healthy_replicas": 0}):
        for state in ("restarted", "stopped"):
            for done in run_all(world, state=state, **options).values():
                assert done["failed"] and not done["changed"], brief(done)
                assert [block["guard"] for block in done["blocked_by"]] == ["last_replica"]
    assert before == {name: identity(seen) for name, seen in world.looks().items()}
    for name, done in run_all(world, state="restarted", healthy_replicas=1).items():
        assert not done["failed"] and done["changed"], brief(done)
        assert identity(done["after"]) != before[name]


def test_stop_and_start(world: Connectors) -> None:
    for done in run_all(world, state="stopped", replica_guard="off").values():
        assert not done["failed"] and done["changed"] and done["state"] == "stopped", brief(done)
    assert all(world.at_edge(host) == {} for host in world.fleet.hosts.values())
    for done in run_all(world, state="stopped").values():
        assert not done["failed"] and not done["changed"]
        assert done["after"]["cloudflared"]["tunnel_id"] in {tunnel.id for tunnel in world.tunnels.values()}
    for name, done in run_all(world, state="running").items():
        assert not done["failed"] and done["changed"], brief(done)
        assert list(world.at_edge(world.fleet[name]).values()) == [4]


def test_check_mode_touches_nothing(world: Connectors) -> None:
    before = {name: invocation(host) for name, host in world.fleet.hosts.items()}
    for done in run_all(world, state="restarted", replica_guard="off", check=True).values():
        assert not done["failed"] and done["changed"]
        assert [step["action"] for step in done["transitions"] if step["action"] != "wait"] == ["restart"]
    for done in run_all(world, state="restarted", check=True).values():
        assert done["failed"] and done["blocked_by"][0]["guard"] == "last_replica"
    assert before == {name: invocation(host) for name, host in world.fleet.hosts.items()}


def test_a_killed_connector_is_waited_for(world: Connectors) -> None:
    """systemd starts it anew after RestartSec; a second hand would only disturb."""
    world.fleet.each(lambda host: world.drop_in(host, "RestartSec=20"))
    world.fleet.each(lambda host: host.run("systemctl", "kill", "--signal=KILL", "cloudflared"))
    time.sleep(0.5)
    for done in run_all(world, state="reconnected", wait_timeout=60).values():
        assert done["before"]["state"] == "restarting", brief(done["before"])
        assert not done["failed"] and not done["changed"]


def loops(seen: Result) -> bool:
    return any("automatic restarts within" in reason for reason in seen["reasons"])


def test_a_loop_of_starts_ends_when_the_edge_is_back(world: Connectors) -> None:
    """systemd ends each start after 15 s. Nothing here adds a start of its own, and the loop counts no more once it
    is connected."""
    world.fleet.each(lambda host: host.run("systemctl", "stop", "cloudflared"))
    world.edge.behave("close")
    world.fleet.each(lambda host: host.run("systemctl", "start", "--no-block", "cloudflared"))
    looping = world.until_look(loops, "crash loop", 60, thrash_restarts=2)
    # The cause of a loop is that of its last run.
    assert {(seen["state"], seen["cause"]) for seen in looping.values()} == {("error", "edge_closed")}
    options = {"state": "reconnected", "thrash_restarts": 2, "wait_timeout": 60}
    for done in meanwhile(world, 8.0, world.edge.clear, **options).values():
        assert not done["failed"] and not done["changed"], brief(done)


def ssh_through(world: Connectors, host: Host, port: int, command: str) -> str:
    """SSH over a port of the edge that leads through the host's own tunnel to its sshd."""
    argv = ["ssh", "-F", str(world.fleet.ssh_config), "-o", "ControlPath=none", "-o", "ControlMaster=no"]
    argv += ["-o", f"HostName={world.fleet.controller}", "-p", str(port), "-o", "StrictHostKeyChecking=no"]
    argv += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", host.name, command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tunnel_of_this_very_run(world: Connectors) -> None:
    """The run reaches the host through the connector that it has to restart."""
    world.fleet.each(lambda host: restart_own_tunnel(world, host))


def restart_own_tunnel(world: Connectors, host: Host) -> None:
    way = world.edge.forward(world.tunnels[host.name].id, "127.0.0.1:22", listen=f"{world.fleet.controller}:0")
    port = int(str(way["listen"]).rpartition(":")[2])
    before = identity(world.look(host))

    def over_tunnel(**options: t.Any) -> Result:
        return dict(json.loads(ssh_through(world, host, port, f"python3 {REMOTE}/{DRIVER} '{json.dumps(options)}'")))

    refused = over_tunnel(state="restarted", healthy_replicas=1, own_tunnel_action="refuse")
    assert refused["failed"] and [block["guard"] for block in refused["blocked_by"]] == ["own_tunnel"]
    check = over_tunnel(state="restarted", healthy_replicas=1, check=True)
    assert not check["failed"] and check["changed"] and identity(world.look(host)) == before
    handed = over_tunnel(state="restarted", healthy_replicas=1)
    assert not handed["failed"] and handed["changed"] and handed["handover"]["outcome"] == "pending"
    until(lambda: identity(world.look(host)) not in (before, "None"), 60, "the host has restarted it")
    until(lambda: world.ready(host) >= 1, 30, "it is back")
    after = over_tunnel(state="reconnected")
    assert not after["failed"] and not after["changed"] and after["handover"]["outcome"] == "verified"
    direct = world.run(host, state="restarted", healthy_replicas=1)
    assert not direct["failed"] and direct["changed"], brief(direct)
