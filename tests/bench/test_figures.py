# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of the README, each as a ratio to a peer in the same run. Nothing here fails for being slow."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ansible_collections.chainops.lifecycle.tests.bench.conftest import HERE, HOSTS, Ansible, Figures, ship
from ansible_collections.chainops.lifecycle.tests.bench.runbook import runbook

SERVICES = json.dumps({"lifecycle_services": ["bench-8081", "bench-8082", "bench-8083"]})
ROUNDS = 3


@pytest.mark.timeout(900)
def test_status_of_a_fleet(ansible: Ansible, figures: Figures, tmp_path: Path) -> None:
    ansible.play("ping.yml")  # opens the connections
    pings, ours = [], []
    for _round in range(ROUNDS):
        pings.append(ansible.play("ping.yml"))
        ours.append(ansible.play("chainops.lifecycle.status", "-e", SERVICES))
    what = f"status of {HOSTS} hosts, 3 services each"
    assert figures.ratio(f"{what} / ping", ours, pings, "<= 1.2") > 0
    (tmp_path / "runbook.yml").write_text(yaml.safe_dump(runbook("bench-8081", 8081), sort_keys=False))
    peer = [ansible.play(str(tmp_path / "runbook.yml"))]
    assert figures.ratio(f"{what} / runbook of one service", ours, peer, "<= 0.2") > 0


@pytest.mark.timeout(600)
def test_recovery_of_one_unit(ansible: Ansible, figures: Figures) -> None:
    """The unit's own start time is taken off; it is what systemctl start needs on the host."""
    host = ansible.fleet["b1"]
    pings, ours, starts = [], [], []
    for _round in range(5):
        pings.append(ansible.play("ping.yml", "-e", "target=b1"))
        host.sh(
            "systemctl kill --signal=SIGKILL bench-8081; until systemctl is-failed -q bench-8081; do sleep 0.1; done"
        )
        ours.append(ansible.play("recover_one.yml"))
        timed = host.sh(
            "systemctl stop bench-8081; a=$(date +%s%N); systemctl start bench-8081; b=$(date +%s%N); echo $((b - a))"
        )
        starts.append(int(timed.stdout) / 1e9)
    net = [whole - own for whole, own in zip(ours, starts, strict=True)]
    assert figures.ratio("recover one failed unit, without its start / ping", net, pings, "<= 1.5") > 0


@pytest.mark.timeout(900)
def test_recovery_of_half_a_fleet(ansible: Ansible, figures: Figures, tmp_path: Path) -> None:
    """Two waves: a canary, and the rest. Each may take as long as its slowest host does by itself.

    All hosts and the controller share the cores of one machine. So Ansible's own module ping says what 40 hosts cost
    here, and the tasks of a wave are compared with those of its slowest host as well.
    """
    services = ["bench-8081", "bench-8082", {"name": "bench-8083", "max_attempts": 1000, "attempt_backoff": 0}]
    two_waves = {"lifecycle_services": services, "lifecycle_waves": [1, "100%"], "lifecycle_soak": 0}
    variables = ["-e", json.dumps(two_waves)]
    every = list(ansible.fleet.hosts.values())

    def recover(count: int, *arguments: str, **environment: str) -> float:
        for host in every[:count]:
            host.sh(
                "systemctl kill --signal=SIGKILL bench-8083; until systemctl is-failed -q bench-8083; do sleep 0.1; done"
            )
        return ansible.play("chainops.lifecycle.recover", *variables, *arguments, **environment)

    recover(1, "--limit", every[0].name)
    alone = [recover(1, "--limit", every[0].name) for _round in range(ROUNDS)]
    half = [recover(HOSTS // 2) / 2 for _round in range(ROUNDS)]
    figures.ratio(f"recover {HOSTS // 2} of {HOSTS} hosts, a wave / one host alone", half, alone, "<= 1.5")
    pings = [ansible.play("ping.yml") for _round in range(ROUNDS)]
    ping = [ansible.play("ping.yml", "--limit", every[0].name) for _round in range(ROUNDS)]
    figures.ratio(f"ping {HOSTS} hosts / one host alone", pings, ping, "(for comparison)")
    timed = {
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "host_times",
        "BENCH_TIMES": str(tmp_path / "times.json"),
    }
    whole, slowest = [], []
    for _round in range(ROUNDS):
        recover(HOSTS // 2, "-e", '{"lifecycle_waves": ["100%"]}', **timed)
        times = json.loads((tmp_path / "times.json").read_text())
        whole.append(times["all"])
        slowest.append(max(times["hosts"].values()))
    figures.ratio(f"recover {HOSTS // 2} of {HOSTS} hosts, a wave / its slowest host", whole, slowest, "<= 1.5")


def test_payload(figures: Figures) -> None:
    sizes = {}
    for module in (
        "ansible.builtin.ping",
        "chainops.lifecycle.service_info",
        "chainops.lifecycle.service",
        "ansible.builtin.systemd_service",
    ):
        done = subprocess.run(
            [sys.executable, str(HERE / "payload.py"), module], capture_output=True, text=True, check=True
        )
        sizes[module] = int(done.stdout)
    ping = sizes.pop("ansible.builtin.ping")
    for module, size in sizes.items():
        goal = "<= 1.4" if module.startswith("chainops") else "(for comparison)"
        figures.add(f"payload of {module} / ping", f"{size / ping:.2f}  ({size} / {ping} bytes)", goal)
    assert all(size > 0 for size in sizes.values())


def test_reaction(ansible: Ansible, figures: Figures) -> None:
    """From the moment that the unit becomes active to the moment that the engine returns, on the host."""
    host = ansible.fleet["b2"]
    ship(host, "reaction.py")
    delays = json.loads(host.run("python3", "/opt/bench/reaction.py", "bench-8082", "40", timeout=300).stdout)
    assert len(delays) == 40
    ordered = sorted(delays)
    median, late = statistics.median(ordered) * 1000, ordered[int(len(ordered) * 0.95) - 1] * 1000
    figures.add(
        "reaction: unit becomes active -> engine returns, median / 95th",
        f"{median:.0f} ms / {late:.0f} ms",
        "<= 100 ms / 250 ms",
    )
