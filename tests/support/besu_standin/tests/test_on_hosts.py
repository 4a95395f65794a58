# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand-in as a service on real hosts, of each suite: a network across them, and the real causes of failed starts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import breaks, deploy, network
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import http_request
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.recorded import (
    comparable,
    recorded_exit,
    recorded_lines,
)
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host, problems
from ansible_collections.chainops.lifecycle.tests.support.lab.host import until

pytestmark = pytest.mark.skipif(
    bool(problems()) and os.environ.get("CHAINOPS_REQUIRE_LAB") != "1", reason="the laboratory cannot run here"
)

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
# What no process writes: systemd's own words, which the recorded host said too.
_SYSTEMD = "systemd"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """Two hosts of the oldest suite, one of the next, two of the newest."""
    groups = [Group("old", 2, "bookworm"), Group("mid", 1, "trixie"), Group("new", 2, "forky")]
    with Fleet(f"standin-{os.getpid()}", groups) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def plan(fleet: Fleet) -> network.NetworkPlan:
    """Four validators, the fifth host none."""
    hosts = {name: host.address for name, host in fleet.hosts.items()}
    return network.plan(hosts, list(hosts)[:4], block_period=1, request_timeout=2)


def _call(host: Host, method: str, *parameters: object) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)})
    return json.loads(http_request(host.address, 8545, "POST", "/", body).text)["result"]


def _height(host: Host) -> int:
    try:
        return int(_call(host, "eth_blockNumber"), 16)
    except OSError:
        return -1


def _property(host: Host, name: str) -> str:
    return host.run("systemctl", "show", "-P", name, "besu.service").stdout.strip()


def test_a_network_across_hosts(fleet: Fleet, plan: network.NetworkPlan) -> None:
    hosts = fleet.hosts
    for name, host in hosts.items():
        deploy.install(host, plan, name, scale=0.2, block_scale=0.3)
        host.run("systemctl", "start", "besu.service")
    until(lambda: all(_height(host) >= 5 for host in hosts.values()), 40, "all nodes have blocks")
    until(lambda: {int(_call(host, "net_peerCount"), 16) for host in hosts.values()} == {4}, 40, "all know each other")
    last = list(hosts)[3]
    hosts[last].run("systemctl", "stop", "besu.service")
    assert [_property(hosts[last], name) for name in ("ActiveState", "Result", "ExecMainStatus")] == [
        "failed", "exit-code", "143",
    ]  # fmt: skip
    others = [host for name, host in hosts.items() if name != last]
    height = _height(others[0])
    until(lambda: all(_height(host) > height + 3 for host in others), 20, "three of four go on")
    deploy.fault(others[0], hang=True)
    hosts[last].run("systemctl", "start", "besu.service")
    until(lambda: _height(hosts[last]) > height + 3, 20, "the fourth has caught up")
    with pytest.raises(TimeoutError):
        http_request(others[0].address, 8545, "GET", "/liveness", timeout=1)
    deploy.clear(others[0])
    until(lambda: _height(others[0]) >= _height(hosts[last]) - 2, 10, "it answers again")
    message = others[0].run("journalctl", "-u", "besu.service", "-n1", "-o", "json", "--no-pager").stdout
    assert json.loads(message)["SYSLOG_IDENTIFIER"] == "besu"
    for host in hosts.values():
        host.run("systemctl", "stop", "besu.service")


def _own_lines(host: Host, since: str) -> list[str]:
    host.run("journalctl", "--sync")
    shown = host.run("journalctl", "-u", "besu.service", f"--after-cursor={since}", "-o", "json", "--no-pager").stdout
    lines = []
    for text in shown.splitlines():
        event = json.loads(text)
        message = event["MESSAGE"]
        words = bytes(message).decode() if isinstance(message, list) else str(message)
        if event["SYSLOG_IDENTIFIER"] == "besu":
            lines.append(_ESCAPE.sub("", words))
    return lines


def _cursor(host: Host) -> str:
    shown = host.run("journalctl", "-n0", "--show-cursor", "--no-pager").stdout
    return shown.rpartition("-- cursor: ")[2].strip()


def _scenarios() -> list[str]:
    apart = ("start_disk_full", "start_crash_loop", "start_binary_missing", "start_config_file_malformed")
    return [name for name in breaks.SCRIPTS if name not in apart]


def _broken(host: Host, plan: network.NetworkPlan, name: str, scenario: str, **unit: Any) -> str:
    """Install, break, start; the journal's cursor from before the start."""
    host.sh(breaks.FIXES)
    blocks = plan.history(5) if scenario in breaks.NEEDS_DATA else ()
    deploy.install(host, plan, name, scale=0.05, blocks=blocks, unit_lines=["Restart=no"], **unit)
    host.sh(breaks.SCRIPTS[scenario])
    cursor = _cursor(host)
    host.run("systemctl", "start", "--no-block", "besu.service")
    return cursor


@pytest.mark.parametrize("scenario", _scenarios())
def test_failed_start_by_its_real_cause(scenario: str, fleet: Fleet, plan: network.NetworkPlan) -> None:
    name, host = list(fleet.hosts.items())[4]
    cursor = _broken(host, plan, name, scenario)
    until(lambda: _property(host, "ActiveState") == "failed", 60, "the unit has failed")
    recorded = "b6" if scenario == "node_allowlist_empty" else "b7"
    assert int(_property(host, "ExecMainStatus")) == recorded_exit(scenario, recorded)
    expected = comparable(recorded_lines(scenario, recorded))
    assert comparable(_own_lines(host, cursor)) == expected
    host.sh(breaks.FIXES)


def test_binary_that_is_not_there(fleet: Fleet, plan: network.NetworkPlan) -> None:
    name, host = list(fleet.hosts.items())[4]
    _broken(host, plan, name, "start_binary_missing")
    until(lambda: _property(host, "ActiveState") == "failed", 60, "the unit has failed")
    assert int(_property(host, "ExecMainStatus")) == recorded_exit("start_binary_missing", "b7")
    host.sh(breaks.FIXES)


def test_real_full_disk(fleet: Fleet, plan: network.NetworkPlan) -> None:
    """The node follows the chain of another until its file system has no room."""
    (source_name, source), (name, host) = list(fleet.hosts.items())[3:5]
    one = network.plan({source_name: source.address, name: host.address}, [source_name], block_period=1)
    deploy.install(source, one, source_name, scale=0.05, block_scale=0.5, blocks=one.history(2000))
    source.run("systemctl", "start", "besu.service")
    until(lambda: _height(source) >= 2000, 20, "the source is up")
    host.sh(breaks.FIXES)
    deploy.install(host, one, name, scale=0.05, block_scale=0.5, unit_lines=["Restart=no"])
    # Room for the first files and some blocks.
    host.sh(breaks.SCRIPTS["start_disk_full"].replace("16k", "96k"))
    cursor = _cursor(host)
    host.run("systemctl", "start", "besu.service")
    until(lambda: _property(host, "ActiveState") == "failed", 30, "the unit has failed")
    assert int(_property(host, "ExecMainStatus")) == recorded_exit("disk_full_while_running", "b7")
    assert any("Disk full detected: While appending to file" in line for line in _own_lines(host, cursor))
    host.sh(breaks.FIXES)
    source.run("systemctl", "stop", "besu.service")


def test_crash_loop(fleet: Fleet, plan: network.NetworkPlan) -> None:
    name, host = list(fleet.hosts.items())[4]
    _broken(host, plan, name, "start_crash_loop")
    until(lambda: int(_property(host, "NRestarts")) >= 3, 60, "systemd has started it again and again")
    assert _property(host, "ActiveState") in ("activating", "active")
    host.sh(breaks.FIXES)
