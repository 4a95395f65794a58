# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run stand-ins as processes on addresses of the loopback network, and look at them from outside."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import network
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.block import Block

TESTS = Path(__file__).resolve().parents[2]
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    reason: str
    type: str | None
    text: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)


def http_request(
    host: str, port: int, method: str, path: str, body: str | None = None,
    headers: Mapping[str, str] | None = None, timeout: float = 5,
) -> Answer:  # fmt: skip
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        text = response.read().decode()
        return Answer(response.status, response.reason, response.getheader("Content-Type"), text)
    finally:
        connection.close()


class Node:
    """One stand-in process."""

    def __init__(self, name: str, plan: network.NetworkPlan, directory: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.plan = plan
        self.host = plan.nodes[name].host
        self.address = plan.nodes[name].address
        self.directory = directory
        self.data = directory / "data"
        self.faults = directory / "faults.json"
        self.options: dict[str, object] = {}
        self.environment = dict(environment)
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)
        (directory / "genesis.json").write_text(json.dumps(plan.genesis))
        (directory / "key").write_text(plan.nodes[name].key)

    @property
    def log_path(self) -> Path:
        """Where its output goes."""
        return self.directory / "log"

    def configuration(self) -> dict[str, object]:
        """The options that it is started with."""
        local = {"p2p_interface": self.host, "rpc_http_host": self.host, "metrics_host": self.host}
        return self.plan.options(self.name, str(self.directory), str(self.data), **{**local, **self.options})

    def start(self, *arguments: str, configure: bool = True, files: int | None = None) -> Node:
        """Start the process; ``files``: how many it may open."""
        if configure:
            (self.directory / "config.toml").write_text(network.toml(self.configuration()))
        environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(TESTS), "BESU_STANDIN_FAULTS": str(self.faults),
            **self.environment,
        }  # fmt: skip
        command = [sys.executable, "-m", "besu_standin", f"--config-file={self.directory / 'config.toml'}", *arguments]
        if files is not None:
            command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        return self

    def fault(self, **faults: object) -> None:
        """Replace the faults."""
        from ansible_collections.chainops.lifecycle.tests.support.besu_standin.faults import write

        write(self.faults, faults)

    def stop(self, number: int = signal.SIGTERM, timeout: float = 20) -> int:
        """End the process; its exit code (negative: by a signal)."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout)

    def wait(self, timeout: float = 20) -> int:
        """The exit code of a process that ends by itself."""
        assert self.process is not None
        return self.process.wait(timeout)

    def lines(self) -> list[str]:
        """The log without colours and empty lines."""
        text = _ESCAPE.sub("", self.log_path.read_text(errors="replace"))
        return [line for line in text.splitlines() if line]

    def post(self, body: object, headers: Mapping[str, str] | None = None, timeout: float = 5) -> Answer:
        """A JSON-RPC request as it is."""
        text = body if isinstance(body, str) else json.dumps(body)
        return http_request(self.host, 8545, "POST", "/", text, headers, timeout)

    def get(self, path: str, port: int = 8545, headers: Mapping[str, str] | None = None) -> Answer:
        """A GET request."""
        return http_request(self.host, port, "GET", path, headers=headers)

    def call(self, method: str, *parameters: object) -> Any:
        """The result of a call, the error object where there is one."""
        answer = self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}).json
        assert isinstance(answer, dict)
        return answer["result"] if "result" in answer else answer["error"]

    @property
    def height(self) -> int:
        """The head's number; -1 while there is no answer."""
        try:
            return int(str(self.call("eth_blockNumber")), 16)
        except OSError:
            return -1

    @property
    def peers(self) -> int:
        """The number of peers; -1 while there is no answer."""
        try:
            return int(str(self.call("net_peerCount")), 16)
        except OSError:
            return -1

    def seed(self, blocks: list[Block]) -> None:
        """Give it a chain before it starts."""
        network.store(self.data, blocks, self.environment["BESU_STANDIN_VERSION"])


def port_open(host: str, port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def until(condition: Callable[[], bool], timeout: float = 60, step: float = 0.05) -> float:
    """Wait for a condition; seconds that it took. Fails when it does not come."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            raise AssertionError(f"not within {timeout} s")
        time.sleep(step)
    return time.monotonic() - began
