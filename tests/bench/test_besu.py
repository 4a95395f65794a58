# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of Besu: many endpoints at once, what a look costs, how soon a wait ends. Nothing here fails for being slow."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import typing as t
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import node_sample as evidence
from ansible_collections.chainops.lifecycle.tests.bench.conftest import HERE, Figures, ship
from ansible_collections.chainops.lifecycle.tests.support.besu_standin import deploy, network
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, until

BLOCKS = 3000
ROUNDS = 3
SYNCS = 5


class Besu:
    """A validator with a chain on the first host, a node without it on the second."""

    def __init__(self, fleet: Fleet) -> None:
        self.source, self.node = fleet["e1"], fleet["e2"]
        hosts = {"source": self.source.address, "node": self.node.address}
        plan = network.plan(hosts, ["source"], block_period=1, bootnodes=["source"])
        for name, host, blocks in (("source", self.source, plan.history(BLOCKS)), ("node", self.node, ())):
            deploy.install(host, plan, name, scale=0.2, block_scale=1.0, blocks=blocks)
        deploy.fault(self.node, sync_rate=1000)
        self.source.run("systemctl", "start", "besu.service")
        self.url = f"http://{self.source.address}:8545"
        until(lambda: height(self.url) > BLOCKS, 30, "the chain grows")


def height(url: str, timeout: float = 2.0) -> int:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}).encode()
    try:
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return int(json.load(response)["result"], 16)
    except OSError:
        return -1


@pytest.fixture(scope="module")
def besu() -> t.Iterator[Besu]:
    with Fleet(f"bench-besu-{os.getpid()}", [Group("e", 2, "trixie")]) as fleet:
        yield Besu(fleet)


@pytest.fixture
def port(besu: Besu) -> t.Iterator[int]:
    """Where all loopback addresses answer as the validator does."""
    process = subprocess.Popen([sys.executable, HERE / "crowd.py", besu.url], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    yield int(process.stdout.readline())
    process.kill()
    process.wait()


def endpoints(count: int, port: int) -> list[str]:
    """One of a hundred, and at least one, never answers."""
    silent = max(count // 100, 1)
    urls = [f"http://127.1.{i // 250}.{i % 250 + 1}:{port}" for i in range(count - silent)]
    return urls + [f"http://127.2.{i // 250}.{i % 250 + 1}:{port}" for i in range(silent)]


class Local:
    """Plays on this computer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def seconds(self, task: dict[str, t.Any]) -> float:
        """How long a play with this one task takes."""
        book = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
        (self.folder / "play.yml").write_text(json.dumps(book))
        began = time.monotonic()
        argv = ["ansible-playbook", "-i", "localhost,", "play.yml"]
        environment = {**os.environ, "ANSIBLE_PIPELINING": "1", "ANSIBLE_PYTHON_INTERPRETER": sys.executable}
        done = subprocess.run(argv, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        return time.monotonic() - began


def bare(urls: list[str]) -> float:
    """One plain request for each, side by side: what nobody can be quicker than."""
    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=min(len(urls), 512)) as pool:
        list(pool.map(lambda url: height(url, 1.5), urls))
    return time.monotonic() - began


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [10, 100, 1000])
def test_many_endpoints(count: int, port: int, figures: Figures, tmp_path: Path) -> None:
    local, urls = Local(tmp_path), endpoints(count, port)
    ours, pings, plain = [], [], []
    for _round in range(ROUNDS):
        pings.append(local.seconds({"ansible.builtin.ping": {}}))
        ours.append(local.seconds({"chainops.lifecycle.besu_network_info": {"endpoints": urls}}))
        plain.append(bare(urls))
    what = f"besu_network_info, {count} endpoints, {max(count // 100, 1)} silent"
    net = [whole - ping for whole, ping in zip(ours, pings, strict=True)]
    figures.add(f"{what}, without ping", f"{statistics.median(net):.2f} s", "<= 3 s")
    assert figures.ratio(f"{what} / one plain request each", net, plain, "(two looks 1 s apart)") > 0
    if count == 10:
        task = {"ansible.builtin.uri": {"url": "{{ item }}", "method": "POST", "body_format": "json", "timeout": 2}}
        task["ansible.builtin.uri"]["body"] = {"jsonrpc": "2.0", "id": 1, "method": "eth_syncing", "params": []}
        peer = [local.seconds({**task, "loop": urls, "failed_when": False})]
        assert figures.ratio(f"{what} / uri in a loop", ours, peer, "") > 0


@pytest.mark.timeout(300)
def test_reaction_and_cost_of_a_look(besu: Besu, figures: Figures) -> None:
    ship(besu.node, "besu_reaction.py")
    said = besu.node.run("python3", "/opt/bench/besu_reaction.py", besu.url, str(SYNCS), timeout=250).stdout
    runs = json.loads(said)
    assert len(runs) == SYNCS
    ours, peer = [run["engine"] for run in runs], [run["runbook"] for run in runs]
    figures.ratio("level with the chain -> wait returns / a loop of 5 s", ours, peer, "<= 1 s")
    looks, requests, waited = (sum(run[key] for run in runs) for key in ("looks", "requests", "waited"))
    figures.add("HTTP requests in a look at the node", f"{requests / looks:.2f}", "1 (2 while RPC is closed)")
    figures.add("looks at the node in a minute of waiting", f"{60 * looks / waited:.0f}", "")
    first, later = len(evidence._calls(None)), len(evidence.LIVE) + len(evidence.consensus_calls("qbft"))
    figures.add("RPC calls in the first look / in each later one", f"{first} / {later}", "")
