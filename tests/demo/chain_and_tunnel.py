# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second part of the demonstration: a chain of four validators, a node that syncs, and a tunnel of two connectors.

It ends with the report of both parts: chain_and_tunnel.py REPORT INVENTORY VARIABLES SECONDS, the latter three being
those of the first part.
Besu is a stand-in that answers as the real one was recorded; cloudflared is the real program, on an edge of our own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import yaml

from ansible_collections.chainops.lifecycle.tests.integration.besu_networks import BesuNetwork
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.client import EdgeProcess
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.connector import (
    TunnelIdentity,
    install_connector,
)
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, LabError, until

HISTORY = 2500  # blocks that the node has to catch up with
# Ansible's own lines about plays and tasks; what the collection reports has none of these forms.
NOISE = re.compile(
    r"\s*$|PLAY|TASK|changed:|included:|ok:|skipping:|fatal:|Origin: |Pausing|You should set|\w+ +: ok="
    r"|\[(?:WARNING|ERROR)\]|\d+(?: (?:#|-|  )|$)| +\^"
)
PORTS = tuple(range(7844, 7851))


Described = t.Mapping[str, list[t.Any]]


def say(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m", flush=True)


class Stage:
    """The hosts of this part, and how playbooks are run on them."""

    def __init__(self, fleet: Fleet, folder: Path, first: str) -> None:
        self.fleet, self.folder = fleet, folder
        # The hosts of the first part, each with what its inventory says of all of them.
        known = yaml.safe_load(Path(first).read_text())["all"]
        self.first = {
            name: {**known["vars"], **own}
            for group in known["children"].values()
            for name, own in group["hosts"].items()
            if own
        }
        folder.mkdir()
        (folder / "ansible.cfg").write_text(
            "[defaults]\nlocalhost_warning = false\n[inventory]\ninventory_unparsed_warning = false\n"
            "[ssh_connection]\npipelining = true\n"
        )

    def play(self, book: str, services: t.Mapping[str, t.Any], *options: str, expect: int = 0, **given: t.Any) -> None:
        """Run a playbook for the services of these hosts, and print what it reports."""
        hosts = {name: {**self.first.get(name, {}), "lifecycle_services": own} for name, own in services.items()}
        (self.folder / "services.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
        (self.folder / "vars.yml").write_text(yaml.safe_dump(given))
        argv = ["ansible-playbook", "-i", str(self.fleet.inventory), "-i", "services.yml", "--limit", ",".join(hosts)]
        done = subprocess.Popen(
            [*argv, *options, book, "-e", "@vars.yml"],
            cwd=self.folder,
            env={**os.environ, "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        shown = []
        for line in done.stdout or ():
            shown.append(line)
            if not NOISE.match(line):
                print(line, end="", flush=True)
        if done.wait() != expect:
            raise SystemExit("".join(["\n", *shown[-40:], f"{book} ended with {done.returncode}, not {expect}"]))


def act_chain(stage: Stage) -> Described:
    """A chain of four validators: one is killed and recovered, a second one is refused. The services of its hosts."""
    fleet = stage.fleet
    hosts = list(fleet.hosts.values())
    (stage.folder.parent / "chain").mkdir()
    chain = BesuNetwork(hosts, 4, fleet.inventory, stage.folder.parent / "chain")
    first, second, *_others = chain.validators
    node = hosts[-1].name
    chain.each(lambda host: chain.install(host.name, 0 if host.name == node else HISTORY))
    # systemd is told not to restart it, so that there is something to recover.
    chain.hosts[first].push_text("/etc/systemd/system/besu.service.d/demo.conf", "[Service]\nRestart=no\n")
    chain.hosts[first].run("systemctl", "daemon-reload")
    for name in chain.validators:
        chain.hosts[name].run("systemctl", "start", "besu.service")
    moving = chain.validators
    until(lambda: all(chain.height(name) > HISTORY + 2 for name in moving), 60, "the chain produces blocks")
    services = dict.fromkeys(chain.validators, chain.services())

    say(f"Killing the validator of {first} (kill -9), and recovering it")
    before = chain.head()
    chain.hosts[first].sh("systemctl kill --signal=SIGKILL besu.service; sleep 1")
    stage.play("chainops.lifecycle.recover", services)
    until(lambda: chain.height(first) > before + 2, 60, "the validator follows the chain")
    longest = longest_pause(chain, before)
    print(f"   The longest time between two blocks meanwhile: {longest} s. The other three kept the quorum.")

    say(f"A node that syncs: {node} is {HISTORY} blocks behind")
    chain.fault(node, sync_rate=120)
    chain.hosts[node].run("systemctl", "start", "besu.service")
    stage.play(
        "chainops.lifecycle.besu_sync_wait",
        dict.fromkeys(fleet.hosts, chain.services()),
        besu_sync_wait_interval=4,
        besu_sync_wait_stable_for=2,
    )

    say(f"What it refuses: {first} is stopped for maintenance, and {second} hangs. A restart would stop the chain")
    until(lambda: chain.age(second) > 65, 90, "the validator is no longer young")
    chain.hosts[first].run("systemctl", "stop", "besu.service")
    hold = "name=besu owner=ann reason='a new disk' expires_in=3600"
    subprocess.run(
        ["ansible", "-i", str(fleet.inventory), first, "-m", "chainops.lifecycle.service_hold", "-a", hold],
        cwd=stage.folder, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    chain.fault_until_stopped(second, hang=True)
    stage.play("chainops.lifecycle.recover", services, expect=2)
    return dict.fromkeys(fleet.hosts, chain.services())


def longest_pause(chain: BesuNetwork, first: int) -> int:
    """The longest time between two blocks from block ``first`` on, in seconds."""
    best = max(chain.hosts, key=chain.height)
    numbers = range(first, chain.height(best) + 1)
    stamps = [int(chain.call(best, "eth_getBlockByNumber", hex(number), False)["timestamp"], 16) for number in numbers]
    return max(after - before for before, after in itertools.pairwise(stamps))


@contextlib.contextmanager
def act_tunnel(stage: Stage) -> t.Iterator[Described]:
    """A tunnel of two connectors, one of which loses its connections. The services of its hosts, while it is there."""
    hosts = list(stage.fleet.hosts.values())[:2]
    with EdgeProcess([stage.fleet.controller], stage.folder, ports=PORTS) as edge:
        tunnel = TunnelIdentity()
        edge.declare(tunnel.id)
        for host in hosts:
            install_connector(host, tunnel, edge.addresses, edge.ca)
        edge.wait_live(tunnel.id, 8, 90)
        services = {host.name: [{"name": "cloudflared", "kind": "cloudflared"}] for host in hosts}
        say(
            f"A tunnel of two connectors: that of {hosts[0].name} is stopped by a signal, which systemd does not notice"
        )
        hosts[0].sh("systemctl kill --signal=SIGSTOP cloudflared")
        stage.play("chainops.lifecycle.tunnel_reconnect", services)
        edge.wait_live(tunnel.id, 8, 90)
        yield services


def act_report(stage: Stage, path: str, seconds: float, *parts: Described) -> None:
    """One page of everything that was shown in so many seconds."""
    say("ansible-playbook chainops.lifecycle.report: all of this on one page")
    services: dict[str, list[t.Any]] = {}
    for host, own in (item for part in parts for item in part.items()):
        services[host] = services.get(host, []) + own
    stage.play(
        "chainops.lifecycle.report", services, lifecycle_report_window=f"{seconds:.0f}s", lifecycle_report_file=path
    )


def main(report: str, inventory: str, variables: str, seconds: str) -> int:
    shop = yaml.safe_load(Path(variables).read_text())["lifecycle_services"]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(f"demo-chain-{os.getpid()}", [Group("v", 4, "trixie"), Group("node", 1, "trixie")])
        say("Booting five hosts: four validators of a chain, and a node")
        try:
            fleet.up()
            stage = Stage(fleet, Path(folder) / "play", inventory)
            chain = act_chain(stage)
            with act_tunnel(stage) as tunnel:
                took = int(seconds) + time.monotonic() - began
                act_report(stage, report, took, dict.fromkeys(stage.first, shop), chain, tunnel)
        except LabError as exc:
            print(exc, file=sys.stderr)
            return 1
        finally:
            fleet.down()
    print(f"\n   This part took {time.monotonic() - began:.0f} s.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
