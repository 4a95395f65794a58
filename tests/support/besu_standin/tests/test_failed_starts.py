# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a start ends that fails: the recorded lines in the recorded order, and the recorded exit code."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import network
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.conftest import MakeNetwork
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import Node, until
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.recorded import (
    comparable,
    recorded_exit,
    recorded_lines,
)

Cause = Callable[[Node], Node]


def _option(node: Node) -> Node:
    return node.start("--no-such-option=1")


def _key_in_file(node: Node) -> Node:
    node.options["no-such-key"] = 1
    return node.start()


def _no_file(node: Node) -> Node:
    return node.start(configure=False)


def _genesis_missing(node: Node) -> Node:
    (node.directory / "genesis.json").unlink()
    return node.start()


def _genesis_cut(node: Node) -> Node:
    file = node.directory / "genesis.json"
    file.write_text(file.read_text()[:60])
    return node.start()


def _seeded(node: Node, blocks: int = 3) -> Node:
    node.seed(node.plan.history(blocks))
    return node


def _genesis_changed(node: Node) -> Node:
    file = _seeded(node).directory / "genesis.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "timestamp": "0x1"}))
    return node.start()


def _key_malformed(node: Node) -> Node:
    (node.directory / "key").write_text("zz" * 32)
    return node.start()


def _key_unreadable(node: Node) -> Node:
    (node.directory / "key").chmod(0)
    return node.start()


def _not_writable(node: Node) -> Node:
    node.data.parent.joinpath("file").write_text("")
    node.options["data-path"] = str(node.data.parent / "file" / "data")
    return node.start()


def _manifest(node: Node) -> Node:
    _seeded(node).data.joinpath("database/MANIFEST-000005").write_bytes(b"\0" * 20)
    return node.start()


def _metadata(node: Node) -> Node:
    file = _seeded(node).data / "DATABASE_METADATA.json"
    file.write_text('{"v2":{"format":"BONSAI","version":99}}')
    return node.start()


def _format(node: Node) -> Node:
    _seeded(node).options["data-storage-format"] = "FOREST"
    return node.start()


def _downgrade(node: Node) -> Node:
    _seeded(node).data.joinpath("VERSION_METADATA.json").write_text('{"besuVersion":"99.1.0"}')
    return node.start()


def _heap_invalid(node: Node) -> Node:
    node.environment["JAVA_OPTS"] = "-Xmx999999g"
    return node.start()


def _heap_small(node: Node) -> Node:
    node.environment["JAVA_OPTS"] = "-Xmx24m"
    return node.start()


def _few_files(node: Node) -> Node:
    return node.start(files=300)


def _allowlist(node: Node) -> Node:
    node.data.mkdir()
    node.data.joinpath("permissions_config.toml").write_text("nodes-allowlist=[]\n")
    node.options.update({"permissions-nodes-config-file-enabled": True})
    return node.start()


CAUSES: dict[str, Cause] = {
    "start_unknown_option": _option,
    "start_unknown_key_in_config_file": _key_in_file,
    "start_config_file_missing": _no_file,
    "start_genesis_missing": _genesis_missing,
    "start_genesis_malformed": _genesis_cut,
    "start_genesis_changed": _genesis_changed,
    "start_key_malformed": _key_malformed,
    "start_key_unreadable": _key_unreadable,
    "start_data_not_writable": _not_writable,
    "start_database_corrupt_manifest": _manifest,
    "start_database_metadata_of_a_newer_version": _metadata,
    "start_database_of_another_format": _format,
    "start_version_downgrade_refused": _downgrade,
    "start_heap_option_invalid": _heap_invalid,
    "start_heap_too_small": _heap_small,
    "start_too_few_file_descriptors": _few_files,
    "node_allowlist_empty": _allowlist,
}


def _own_names(node: Node) -> list[tuple[str, str]]:
    data = str(node.options.get("data-path", node.data))
    return [(data, "/var/lib/besu"), (str(node.directory), "/etc/besu")]


@pytest.fixture
def node(make_network: MakeNetwork) -> Node:
    """A non-validator with two bootnodes that are not there."""
    return make_network(4, 3)["b7"]


@pytest.mark.parametrize("scenario", CAUSES)
def test_failed_start(scenario: str, node: Node) -> None:
    code = CAUSES[scenario](node).wait()
    host = "b6" if scenario == "node_allowlist_empty" else "b7"
    expected = comparable(recorded_lines(scenario, host, since=0.0))
    assert comparable(node.lines(), _own_names(node)) == expected
    assert code == recorded_exit(scenario, host)


def test_configuration_that_is_no_toml(node: Node) -> None:
    (node.directory / "config.toml").write_text('p2p-host="127.0.0.1"\nrpc-http-host="\n')
    code = node.start(configure=False).wait()
    # The recorded file had a second mistake, which the real parser lists behind the first.
    first, *rest = comparable(recorded_lines("start_config_file_malformed", "b7"))
    assert comparable(node.lines()) == [first.partition("%n")[0], *rest]
    assert code == recorded_exit("start_config_file_malformed", "b7")


@pytest.mark.parametrize(
    ("scenario", "option"),
    [
        ("start_rpc_port_in_use", "rpc-http-port"),
        ("start_metrics_port_in_use", "metrics-port"),
        ("start_p2p_port_in_use", "p2p-port"),
    ],
)
def test_port_in_use(scenario: str, option: str, node: Node) -> None:
    import socket

    port = {"rpc-http-port": 8545, "metrics-port": 9545, "p2p-port": 30303}[option]
    with socket.create_server((node.host, port)):
        code = node.start().wait()
    assert comparable(node.lines(), _own_names(node)) == comparable(recorded_lines(scenario, "b7"))
    assert f"Port(s) '[{port}]' already in use. Check for other processes using the port(s)." in node.lines()
    assert code == recorded_exit(scenario, "b7")


def test_all_ports_that_are_in_use_stand_in_one_line(node: Node) -> None:
    import socket

    with socket.create_server((node.host, 8545)), socket.create_server((node.host, 9545)):
        assert node.start().wait() == 2
    assert sum("already in use" in line for line in node.lines()) == 2
    assert any("'[8545, 9545]'" in line for line in node.lines())


def test_database_locked_by_another_process(node: Node, make_network: MakeNetwork) -> None:
    other = make_network(4, 3)["b7"]
    other.seed(node.plan.history(3))
    other.directory.joinpath("genesis.json").write_text(json.dumps(node.plan.genesis))
    other.start()
    until(lambda: other.height >= 0)
    node.options["data-path"] = str(other.data)
    code = node.start().wait()
    expected = comparable(recorded_lines("start_database_locked", "b7"))
    assert comparable(node.lines(), _own_names(node)) == expected
    assert code == recorded_exit("start_database_locked", "b7")


def test_lock_file_that_nobody_holds_is_no_fault(node: Node) -> None:
    _seeded(node).data.joinpath("database/LOCK").write_text("")
    node.start()
    until(lambda: node.height == 3)
    assert node.stop() == 143


def test_too_old_java(node: Node) -> None:
    node.fault(start="java_version")
    assert node.start().wait() == 1
    assert any("java.lang.UnsupportedClassVersionError: org/hyperledger/besu/Besu" in line for line in node.lines())


def test_java_that_is_not_there(tmp_path: Path) -> None:
    launcher = tmp_path / "besu"
    launcher.write_text(network.LAUNCHER)
    launcher.chmod(0o755)
    done = subprocess.run(
        [str(launcher)],
        env={"JAVA_HOME": "/opt/nojava", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    (expected,) = recorded_lines("start_java_missing", "b7")
    assert done.stderr.strip() == expected.replace("/opt/besu/bin/besu", str(launcher))
    assert done.returncode == recorded_exit("start_java_missing", "b7")


def test_disk_full_from_the_start(make_network: MakeNetwork) -> None:
    nodes = make_network(1, 1)
    nodes["b1"].seed(nodes["b1"].plan.history(300))
    nodes["b1"].start()
    nodes["b2"].fault(disk_full=True, sync_rate=1000)
    assert nodes["b2"].start().wait() == recorded_exit("start_disk_full", "b7")
    lines = comparable(nodes["b2"].lines(), _own_names(nodes["b2"]))
    recorded = comparable(recorded_lines("start_disk_full", "b7"))
    full = next(i for i, line in enumerate(recorded) if "Disk full detected" in line)
    at = next(i for i, line in enumerate(lines) if "Disk full detected" in line)
    assert lines[at : at + 12] == recorded[full : full + 12]


@pytest.mark.parametrize(("scenario", "cause"), [
    ("start_unknown_option_v25_7", _option), ("start_genesis_changed_v25_7", _genesis_changed),
])  # fmt: skip
def test_older_version_fails_with_the_same_words(scenario: str, cause: Cause, make_network: MakeNetwork) -> None:
    node = make_network(4, 3, version="25.7.0")["b7"]
    code = cause(node).wait()
    say = [line for line in comparable(recorded_lines(scenario, "b7")) if "|" not in line and "WARNING" not in line]
    ours = [line for line in comparable(node.lines(), _own_names(node)) if "|" not in line and "WARNING" not in line]
    frame = "#"
    assert [line for line in ours if line[0] != frame] == [line for line in say if line[0] != frame]
    assert code == recorded_exit(scenario, "b7")
