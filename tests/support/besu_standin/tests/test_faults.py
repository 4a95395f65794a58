# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults by command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import faults
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.conftest import MakeNetwork
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import (
    TESTS,
    Node,
    port_open,
    until,
)
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.recorded import comparable, recorded_lines


@pytest.fixture
def node(make_network: MakeNetwork) -> Node:
    """A network of one validator, which makes blocks."""
    one = make_network(1)["b1"].start()
    until(lambda: one.height >= 2)
    return one


def _answers(node: Node) -> bool:
    try:
        node.post({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber"}, timeout=0.4)
    except OSError:
        return False
    return True


def test_hang_accepts_and_never_answers(node: Node) -> None:
    node.fault(hang=True)
    until(lambda: not _answers(node))
    assert port_open(node.host, 8545) and port_open(node.host, 9545)
    node.fault()
    height = node.height
    until(lambda: _answers(node) and node.height > height)


def test_a_silent_start_accepts_at_once_and_answers_later(make_network: MakeNetwork) -> None:
    one = make_network(1)["b1"]
    one.fault(silent_start=3)
    one.start()
    until(lambda: port_open(one.host, 8545))
    assert not _answers(one)
    until(lambda: _answers(one) and one.height >= 2)


def test_a_validator_without_consensus_answers_and_does_not_vote(make_network: MakeNetwork) -> None:
    one = make_network(1)["b1"]
    one.fault(no_consensus=True)
    one.start()
    until(lambda: any("Ethereum main loop is up" in line for line in one.lines()))
    assert _answers(one) and one.height == 0
    one.fault()
    one.stop()
    one.start()
    until(lambda: one.height >= 2)


def test_out_of_memory_leaves_a_process_that_does_nothing(node: Node) -> None:
    node.fault(oom=True)
    until(lambda: not _answers(node))
    until(lambda: any("java.lang.OutOfMemoryError thrown from the UncaughtExceptionHandler" in x for x in node.lines()))
    assert node.process is not None and node.process.poll() is None
    assert node.stop() == 143


def test_halted_mining(node: Node) -> None:
    node.fault(halt_mining=True)
    until(lambda: any("fatal error, mining has been halted" in line for line in node.lines()))
    height = node.height
    time.sleep(1)
    assert node.height == height
    node.fault()
    time.sleep(0.5)
    assert node.height == height, "a restart alone fixes it"
    node.stop()
    node.start()
    until(lambda: node.height > height)


def test_clock_skew_shows_in_block_times(node: Node) -> None:
    node.fault(clock_skew=5000)
    height = node.height
    until(lambda: node.height > height + 2)
    block = node.call("eth_getBlockByNumber", "latest", False)
    assert isinstance(block, dict)
    assert int(block["timestamp"], 16) > time.time() + 4000


def test_others_refuse_blocks_from_the_future(make_network: MakeNetwork) -> None:
    nodes = make_network(4)
    nodes["b4"].fault(clock_skew=5000)
    for one in nodes.values():
        one.start()
    until(lambda: nodes["b1"].height >= 6, 30)
    chain = [nodes["b1"].call("eth_getBlockByNumber", hex(n), False) for n in range(1, 7)]
    assert nodes["b4"].address not in [block["miner"] for block in chain]


@pytest.mark.parametrize("code", [1, 0])
def test_disk_full_while_running(code: int, node: Node) -> None:
    node.fault(disk_full=True, full_exit=code)
    assert node.wait() == code
    lines = comparable(node.lines(), [(str(node.data), "/var/lib/besu")])
    recorded = comparable(recorded_lines("disk_full_while_running", "b7"))
    full = next(line for line in recorded if "Disk full detected" in line)
    assert full.split("|", 1)[1] in [line.split("|", 1)[1] for line in lines if "|" in line]
    assert not port_open(node.host, 30303)


@pytest.mark.parametrize(("fault", "code"), [({"exit_with": 134}, 134), ({"signal": signal.SIGSEGV}, -signal.SIGSEGV)])
def test_crash(fault: dict[str, int], code: int, node: Node) -> None:
    node.fault(**fault)
    assert node.wait() == code


def test_slow_stop(node: Node) -> None:
    node.fault(slow_stop=1.5)
    time.sleep(0.3)
    began = time.monotonic()
    assert node.process is not None
    node.process.send_signal(signal.SIGTERM)
    until(lambda: not port_open(node.host, 8545), 1)
    assert port_open(node.host, 30303)
    assert node.wait() == 143
    assert time.monotonic() - began > 1.4


def test_stopped_by_a_signal(node: Node) -> None:
    assert node.process is not None
    node.process.send_signal(signal.SIGSTOP)
    assert not _answers(node)
    assert port_open(node.host, 8545)
    node.process.send_signal(signal.SIGCONT)
    height = node.height
    until(lambda: node.height > height)


def test_http_status_and_delay(node: Node) -> None:
    node.fault(rpc_status=504)
    until(lambda: node.get("/").status == 504)
    node.fault(rpc_delay=0.3)
    until(lambda: node.get("/").status == 201)
    began = time.monotonic()
    assert node.get("/").status == 201
    assert time.monotonic() - began >= 0.3


def test_late_start(make_network: MakeNetwork) -> None:
    node = make_network(1)["b1"]
    node.fault(start_delay=1.5)
    began = time.monotonic()
    node.start()
    until(lambda: node.height >= 0)
    assert time.monotonic() - began > 1.5


def _ctl(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "besu_standin", "ctl", "--file", str(path), *words],
        capture_output=True, text=True, check=False, env={"PYTHONPATH": str(TESTS), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


def test_command(tmp_path: Path) -> None:
    file = tmp_path / "run" / "faults.json"
    assert _ctl(file, "set", "hang=true", "slow_stop=2.5", "start=heap").returncode == 0
    assert json.loads(file.read_text()) == {"hang": True, "slow_stop": 2.5, "start": "heap"}
    assert _ctl(file, "unset", "hang").returncode == 0
    assert json.loads(_ctl(file, "show").stdout) == {"slow_stop": 2.5, "start": "heap"}
    refused = _ctl(file, "set", "no_such_fault=1")
    assert refused.returncode == 2 and "no such fault: no_such_fault" in refused.stderr
    assert _ctl(file, "clear").returncode == 0
    assert json.loads(file.read_text()) == {}
    assert _ctl(file, "nonsense").returncode == 2


def test_faults_that_are_none() -> None:
    with pytest.raises(ValueError, match="no such fault: hangs"):
        faults.parse({"hangs": True})
