# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the metrics cost, beside what the host pays already. Nothing here fails for being slow."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
import typing as t
import urllib.request
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _monitoring_config as c
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._monitoring_program import build_program
from ansible_collections.chainops.lifecycle.tests.bench.conftest import Figures
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host
from ansible_collections.chainops.lifecycle.tests.support.prometheus_stack import LOOPBACK, free_port

SERVICES = [f"load-{number}" for number in range(10)]
RUNS = 5
# Runs a command some times; prints CPU seconds of each, of its children as well, and the largest resident set in MB.
COST = """
import json, os, sys
found = []
for _ in range(int(sys.argv[1])):
    pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", 1, 0)])
    _pid, status, used = os.wait4(pid, 0)
    assert status == 0, status
    found.append([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def host() -> t.Iterator[Host]:
    with Fleet(f"bench-monitoring-{os.getpid()}", [Group("h", 1, "trixie")]) as fleet:
        yield fleet["h1"]


def cost(host: Host, *argv: str, **environment: str) -> tuple[float, float]:
    """The median of the CPU seconds of a command, and its memory in MB."""
    done = host.run("python3", "-c", COST, str(RUNS), *argv, env=environment or None, timeout=300)
    found = json.loads(done.stdout)
    return statistics.median(cpu for cpu, _memory in found), max(memory for _cpu, memory in found)


def install(host: Host) -> None:
    """The program for ten services, as the role installs it."""
    for name in SERVICES:
        host.push_text(f"/etc/systemd/system/{name}.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    host.sh("mkdir -p /opt/metrics; systemctl daemon-reload; systemctl start " + " ".join(SERVICES))
    program = build_program()
    made = c.monitoring_config(
        SERVICES,
        version="bench",
        build=program.build,
        interval=30,
        directory="/opt/metrics",
        output_format="prometheus",
    )
    host.push_text("/opt/metrics/program.pyz", program.content)
    host.push_text("/opt/metrics/config.json", c.config_text({**made, "state_directory": "/opt/metrics"}))


@pytest.mark.timeout(600)
def test_a_run_for_ten_services(host: Host, figures: Figures) -> None:
    install(host)
    argv = ["/usr/bin/python3", "-I", "/opt/metrics/program.pyz", "/opt/metrics/config.json"]
    cost(host, *argv, CACHE_DIRECTORY="/opt/metrics", PATH="/usr/bin:/bin")  # compiles
    ours, memory = cost(host, *argv, CACHE_DIRECTORY="/opt/metrics", PATH="/usr/bin:/bin")
    show, _memory = cost(host, "/usr/bin/systemctl", "show", *SERVICES)
    figures.add("metrics of 10 services, one run, CPU", f"{ours:.2f} s", "<= 0.3 s")
    figures.add("metrics of 10 services, one run, memory", f"{memory:.0f} MB", "<= 30 MB")
    figures.add("systemctl show of 10 services, CPU", f"{show:.3f} s", "(for comparison)")
    scrape = node_exporter_cost()
    figures.add(
        "a scrape of node_exporter, CPU", "(not installed)" if scrape is None else f"{scrape:.3f} s", "(for comparison)"
    )
    assert "chainops_exporter_runs_total" in host.read_text("/opt/metrics/chainops_state.prom")


def node_exporter_cost() -> float | None:
    """CPU seconds of one scrape of Debian's node_exporter on this machine."""
    path = shutil.which("prometheus-node-exporter")
    if path is None:
        return None
    address = f"{LOOPBACK}:{free_port()}"
    process = subprocess.Popen([path, f"--web.listen-address={address}"], stderr=subprocess.DEVNULL)
    try:
        scrape(address)
        before = cpu_seconds(process.pid)
        for _scrape in range(10):
            scrape(address)
        return (cpu_seconds(process.pid) - before) / 10
    finally:
        process.terminate()
        process.wait()


def scrape(address: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
                assert answer.read()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
