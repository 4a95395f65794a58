# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connectors for the edge: tokens, the stock unit with a drop-in, and a process on this computer."""

from __future__ import annotations

import base64
import itertools
import json
import os
import secrets
import subprocess
import time
import types
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .cloudflared_binary import cloudflared

ACCOUNT = "0" * 32
_SPARE_ADDRESSES = 2  # with fewer than connections + 2 it runs out of addresses, and retries without a pause


@dataclass(frozen=True)
class TunnelIdentity:
    """A tunnel and its secret."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    account: str = ACCOUNT

    @property
    def token(self) -> str:
        return make_token(self.id, self.secret, self.account)


def make_token(tunnel_id: str, secret: bytes, account: str = ACCOUNT) -> str:
    """The token with which connectors of the tunnel run."""
    data = {"a": account, "t": tunnel_id, "s": base64.b64encode(secret).decode()}
    return base64.b64encode(json.dumps(data).encode()).decode()


def environment(
    edge: Sequence[str],
    ca: str,
    *,
    metrics: str | None = None,
    retries: int = 1,
    grace: str = "3s",
    connections: int = 4,
    protocol: str = "http2",
    output: str | None = None,
) -> dict[str, str]:
    """What cloudflared needs to use an edge (IP:PORT...) instead of Cloudflare's; each address is given often enough."""
    places = itertools.islice(itertools.cycle(edge), max(len(edge), connections + _SPARE_ADDRESSES))
    settings = {
        "TUNNEL_EDGE": ",".join(places),
        "TUNNEL_CACERT": ca,
        "TUNNEL_TRANSPORT_PROTOCOL": protocol,
        "TUNNEL_NO_PRECHECKS": "true",
        "TUNNEL_EDGE_IP_VERSION": "4",
        "TUNNEL_RETRIES": str(retries),
        "TUNNEL_GRACE_PERIOD": grace,
        "NO_AUTOUPDATE": "true",
        "TUNNEL_METRICS": metrics,
        "TUNNEL_LOG_OUTPUT": output,
    }
    return {name: value for name, value in settings.items() if value is not None}


def unit(binary: str = "/usr/local/bin/cloudflared", token_file: str = "/etc/cloudflared/token") -> str:
    """The unit as `cloudflared service install` of 2026.8 shapes it."""
    return f"""[Unit]
Description=Cloudflare Tunnel client
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
TimeoutStartSec=15
ExecStart={binary} --no-autoupdate tunnel run --token-file {token_file}
Restart=on-failure
RestartSec=5s

[Install]
WantedBy=multi-user.target
"""


def drop_in(settings: Mapping[str, str]) -> str:
    """A drop-in that adds to the unit's environment."""
    lines = [f'Environment="{name}={value}"' for name, value in settings.items()]
    return "\n".join(["[Service]", *lines, ""])


class LabHost(Protocol):
    """What is used of the laboratory's hosts."""

    def run(self, *argv: str, check: bool = ...) -> subprocess.CompletedProcess[str]: ...
    def push(self, source: Path | str, path: str, mode: int | None = ...) -> None: ...
    def push_text(self, path: str, text: str | bytes, mode: int = ...) -> None: ...


def install_connector(
    host: LabHost,
    tunnel: TunnelIdentity,
    edge: Sequence[str],
    ca: Path,
    *,
    name: str = "cloudflared",
    metrics: str | None = "127.0.0.1:20241",
    extra: Mapping[str, str] | None = None,
    start: bool = True,
    **options: Any,
) -> str:
    """Put cloudflared and its unit on a host; gives the unit's name. ``options`` are those of ``environment``.

    Another ``name`` (and ``metrics`` address) makes one more connector on the same host. It returns when the start is
    under way, not when the connector is registered: the start of the unit waits for that, and may fail.
    """
    binary, folder, service = "/usr/local/bin/cloudflared", f"/etc/{name}", f"{name}.service"
    if host.run("test", "-x", binary, check=False).returncode != 0:
        host.push(cloudflared(), binary, 0o755)
    host.push_text(f"{folder}/token", tunnel.token + "\n", 0o600)
    host.push(ca, f"{folder}/edge-ca.pem", 0o644)
    host.push_text(f"/etc/systemd/system/{service}", unit(binary, f"{folder}/token"))
    settings = environment(edge, f"{folder}/edge-ca.pem", metrics=metrics, **options)
    host.push_text(f"/etc/systemd/system/{service}.d/edge.conf", drop_in({**settings, **(extra or {})}))
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "enable", service)
    if start:
        host.run("systemctl", "restart", "--no-block", service)
    return service


class LocalConnector:
    """cloudflared as a child process, with its log in ``folder``. It ends with the block, and with this process."""

    def __init__(
        self,
        tunnel: TunnelIdentity,
        edge: Sequence[str],
        ca: Path,
        folder: Path,
        *,
        metrics: str = "127.0.0.1:0",
        arguments: Sequence[str] = (),
        **options: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log_file = folder / "cloudflared.log"
        token = folder / "token"
        token.write_text(tunnel.token, encoding="utf-8")
        token.chmod(0o600)
        self._settings = environment(edge, str(ca), metrics=metrics, output="json", **options)
        self._settings |= {"TUNNEL_TOKEN_FILE": str(token), "HOME": str(folder), "PATH": os.environ["PATH"]}
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LocalConnector:
        self.start()
        return self

    def start(self) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", str(cloudflared()), "tunnel", *self._arguments, "run"]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._settings, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    def wait(self, timeout: float) -> int:
        """The exit code, once it ended by itself. subprocess.TimeoutExpired where it goes on."""
        if self._process is None:
            raise ValueError("the connector was not started")
        return self._process.wait(timeout)

    def stop(self, timeout: float = 40.0) -> tuple[int, float]:
        """SIGTERM: the exit code, and the seconds it took."""
        if self._process is None:
            raise ValueError("the connector was not started")
        began = time.monotonic()
        self._process.terminate()
        try:
            return self._process.wait(timeout), time.monotonic() - began
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def log(self) -> list[dict[str, Any]]:
        """Its log lines; what is no JSON as ``message``."""
        rows = []
        for line in self.log_file.read_text("utf-8", "replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            rows.append(row if isinstance(row, dict) else {"message": line})
        return rows

    def said(self, text: str) -> list[dict[str, Any]]:
        """The log lines that hold a text."""
        return [row for row in self.log() if text in json.dumps(row)]

    def metrics_address(self, timeout: float = 15.0) -> str:
        """Where it serves /ready and /metrics. TimeoutError where it never says."""
        deadline = time.monotonic() + timeout
        while not (found := self.said("Starting metrics server on ")):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no metrics server in {timeout:g} s: {self.log()[-3:]}")
            time.sleep(0.05)
        return str(found[-1]["message"]).rpartition(" ")[2].removesuffix("/metrics")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
