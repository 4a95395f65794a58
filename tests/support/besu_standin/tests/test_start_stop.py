# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start and stop that go well: order of ports and log lines, the time before peering, exit codes, files."""

from __future__ import annotations

import re
import signal
import time

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.conftest import MakeNetwork
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import Node, port_open, until
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.recorded import comparable, recorded_lines

PORTS = (9545, 8545, 30303)


def _own_names(node: Node) -> list[tuple[str, str]]:
    return [(str(node.data), "/var/lib/besu"), (str(node.directory), "/etc/besu")]


def _between(lines: list[str], first: str, last: str) -> list[str]:
    begin = next(i for i, line in enumerate(lines) if first in line)
    end = next(i for i, line in enumerate(lines[begin:], begin) if last in line)
    return lines[begin : end + 1]


def test_ports_open_in_the_recorded_order_and_close_at_once(make_network: MakeNetwork) -> None:
    """In real time: nothing for seconds, then metrics, JSON-RPC, peering; at the end the first two close first."""
    node = make_network(4, 1, scale=1.0)["b5"]
    node.fault(slow_stop=5)
    node.start()
    began = time.monotonic()
    opened: dict[int, float] = {}
    while len(opened) < len(PORTS) and time.monotonic() - began < 60:
        for port in PORTS:
            if port not in opened and port_open(node.host, port):
                opened[port] = time.monotonic() - began
        time.sleep(0.01)
    assert list(opened) == list(PORTS)
    assert 3.5 < opened[9545] < opened[8545] < opened[30303]
    assert node.process is not None
    node.process.send_signal(signal.SIGTERM)
    until(lambda: not port_open(node.host, 8545) and not port_open(node.host, 9545), 4, 0.01)
    assert port_open(node.host, 30303), "peering ends last"
    assert node.wait() == 143
    assert not port_open(node.host, 30303)


def test_start_lines(make_network: MakeNetwork) -> None:
    """A validator that has a database, and one bootnode, as in the recording."""
    nodes = make_network(4)
    node = nodes["b1"]
    node.seed(node.plan.history(3))
    node.start()
    until(lambda: any("Ethereum main loop is up." in line for line in node.lines()))
    recorded = comparable(recorded_lines("restart_validator", "b1", since=3.65))
    expected = _between(recorded, "Starting Besu", "Ethereum main loop is up.")
    ours = _between(comparable(node.lines(), _own_names(node)), "Starting Besu", "Ethereum main loop is up.")
    assert ours == expected


def test_start_lines_of_an_empty_node(make_network: MakeNetwork) -> None:
    node = make_network(4, 1)["b5"].start()
    until(lambda: any("Ethereum main loop is up." in line for line in node.lines()))
    recorded = comparable(recorded_lines("full_sync_1600_blocks", "b6"))
    expected = _between(recorded, "Starting Besu", "Ethereum main loop is up.")
    ours = _between(comparable(node.lines(), _own_names(node)), "Starting Besu", "Ethereum main loop is up.")
    assert ours == expected


def test_stop_lines_and_codes(make_network: MakeNetwork) -> None:
    node = make_network(1)["b1"].start()
    until(lambda: node.height >= 1)
    assert node.stop() == 143
    ours = comparable(node.lines(), _own_names(node))
    ours = ours[next(i for i, line in enumerate(ours) if "Shutting down BFT" in line) :]
    recorded = comparable(recorded_lines("stopped_exit_143", "b4"))
    first = _between(recorded, "Shutting down BFT", "Peer discovery agent stopped")
    # Their last lines are in another recording: here the logging failed at that point.
    last = comparable(recorded_lines("node_allowlist_empty", "b6", since=-0.43))
    assert ours == first + [line for line in last if "Hook" in line and "Stopping Network" not in line]
    node.environment["BESU_STANDIN_SCALE"] = "1"
    said = len(node.lines())
    node.start()
    until(lambda: len(node.lines()) > said)
    assert node.stop() == 143, "while it starts, too"
    node.environment["BESU_STANDIN_SCALE"] = "0.05"
    node.start()
    until(lambda: node.height >= 1)
    assert node.stop(signal.SIGINT) == 130


def test_log_lines_are_coloured_as_recorded(make_network: MakeNetwork) -> None:
    from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.recorded import recording

    node = make_network(1)["b1"].start()
    until(lambda: node.height >= 1)
    node.stop()
    digits = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")
    events = recording("restart_validator")["journal"]["b1"]
    raw = {digits.sub("N", e["message"]) for e in events}
    ours = {digits.sub("N", line) for line in node.log_path.read_text().split("\n")}
    for text in ("INFO \x1b", "WARN \x1b"):
        assert {line for line in raw if text in line and "KeyValueStorageFactory" not in line} & ours, text
    assert node.log_path.read_text().endswith("\n\x1b[m")


def test_peering_comes_after_json_rpc(make_network: MakeNetwork) -> None:
    node = make_network(4, 1)["b5"]
    node.fault(p2p_delay=6)
    node.start()
    until(lambda: node.height == 0)
    assert node.call("net_listening") is False
    assert node.call("admin_nodeInfo") == {"code": -32000, "message": "P2P network is not running"}
    assert node.call("net_enode") == {"code": -32000, "message": "P2P network is not running"}
    assert node.get("/readiness").status == 503
    assert not (node.data / "besu.ports").exists()
    until(lambda: node.call("net_listening") is True)
    until((node.data / "besu.ports").exists)
    assert "json-rpc=8545" in (node.data / "besu.ports").read_text()
    node.stop()
    assert not (node.data / "besu.ports").exists()


def test_a_killed_node_leaves_its_files_and_starts_again(make_network: MakeNetwork) -> None:
    node = make_network(1)["b1"].start()
    until(lambda: node.height >= 3 and (node.data / "besu.ports").exists())
    assert node.stop(signal.SIGKILL) == -9
    assert (node.data / "besu.ports").exists()
    with (node.data / "database/000004.log").open("a") as log:
        log.write('[4,"0x')
    node.start()
    until(lambda: node.height >= 4)
    assert node.stop() == 143


def test_without_json_rpc_there_are_metrics(make_network: MakeNetwork) -> None:
    node = make_network(1)["b1"]
    node.options["rpc-http-enabled"] = False
    node.start()
    until(lambda: port_open(node.host, 30303))
    assert not port_open(node.host, 8545)
    assert "ethereum_blockchain_height" in node.get("/metrics", 9545).text


def test_without_peering(make_network: MakeNetwork) -> None:
    node = make_network(4, 1)["b5"]
    node.options["p2p-enabled"] = False
    node.start()
    until(lambda: any("Ethereum main loop is up." in line for line in node.lines()))
    assert not port_open(node.host, 30303)
    assert node.call("net_peerCount") == "0x0"
    assert node.call("admin_peers") == []
    error = {"code": -32000, "message": "P2P has been disabled. This functionality is not available"}
    assert node.call("admin_nodeInfo") == error
    assert node.get("/readiness").status == 200
    recorded = comparable(recorded_lines("p2p_disabled", "b6", since=0.05))
    expected = _between(recorded, "Starting external services", "Ethereum main loop is up.")
    ours = comparable(node.lines(), _own_names(node))
    assert _between(ours, "Starting external services", "Ethereum main loop is up.") == expected


def test_options_come_from_the_command_line_then_the_environment_then_the_file(make_network: MakeNetwork) -> None:
    node = make_network(4, 1)["b5"]
    node.options.update({"metrics-port": 9546, "rpc-http-port": 8546, "network-id": 7})
    node.environment["BESU_METRICS_PORT"] = "9545"
    node.environment["BESU_RPC_HTTP_PORT"] = "8547"
    node.start("--rpc-http-port=8545", "--rpc-http-api", "ETH,NET")
    until(lambda: node.height == 0)
    assert node.get("/metrics", 9545).status == 200
    assert node.call("net_version") == "7"
    assert node.call("rpc_modules") == {"eth": "1.0", "net": "1.0"}


@pytest.mark.parametrize("option", ["--rpc-http-api=NOPE", "--rpc-http-port=x"])
def test_bad_values(option: str, make_network: MakeNetwork) -> None:
    node = make_network(4, 1)["b5"].start(option)
    assert node.wait() == 2
    assert node.lines()[-2:] == ["To display full help:", "besu [COMMAND] --help"]
    assert any("Invalid value for option" in line for line in node.lines())
