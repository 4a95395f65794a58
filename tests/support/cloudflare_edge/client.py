# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edge from outside: its control interface and its API as calls, and an edge as a child process."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
import types
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SECONDS = 30.0
_START_SECONDS = 20.0


class EdgeError(RuntimeError):
    """The edge does not do what is asked; says what it said."""


class EdgeClient:
    """``base`` is the address that ``edge serve`` prints as ``api``."""

    def __init__(self, base: str) -> None:
        self.base = base.rstrip("/")

    def call(self, method: str, path: str, data: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of any answer."""
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.base + path, data=body, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                raw = exc.read()
            try:
                return exc.code, json.loads(raw)
            except ValueError:
                return exc.code, raw.decode("utf-8", "replace")

    def _ask(self, method: str, path: str, data: Any = None) -> Any:
        status, answer = self.call(method, f"/control/{path}", data)
        if status != 200:
            raise EdgeError(f"{method} {path}: {status} {answer}")
        return answer

    # -- what is --

    def state(self) -> dict[str, Any]:
        """Everything the edge knows."""
        return dict(self._ask("GET", "state"))

    def tunnel(self, tunnel: str) -> dict[str, Any]:
        """One tunnel of the state; {"live": 0, "connectors": {}} for one that the edge does not know."""
        return dict(self.state()["tunnels"].get(tunnel, {"live": 0, "connectors": {}}))

    def live(self, tunnel: str, connector: str | None = None) -> int:
        """How many connections live."""
        found = self.tunnel(tunnel)
        return int(found["live"] if connector is None else found["connectors"].get(connector, {"live": 0})["live"])

    def events(self, since: int = 0, event: str | None = None) -> list[dict[str, Any]]:
        """What happened after the event of that number."""
        query = urllib.parse.urlencode({"since": since, **({"event": event} if event else {})})
        return list(self._ask("GET", f"events?{query}"))

    def wait_live(
        self, tunnel: str, count: int, timeout: float = 30.0, connector: str | None = None, *, or_more: bool = False
    ) -> float:
        """Seconds until ``count`` connections live. EdgeError after ``timeout`` seconds."""
        began = time.monotonic()
        while (found := self.live(tunnel, connector)) != count and not (or_more and found > count):
            if time.monotonic() - began > timeout:
                raise EdgeError(f"after {timeout:g} s tunnel {tunnel} has {found} connections, not {count}")
            time.sleep(0.05)
        return time.monotonic() - began

    def wait_event(self, event: str, since: int = 0, timeout: float = 30.0) -> dict[str, Any]:
        """The first event of a kind after a number. EdgeError after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while not (found := self.events(since, event)):
            if time.monotonic() > deadline:
                raise EdgeError(f"after {timeout:g} s no event {event} since {since}")
            time.sleep(0.05)
        return found[0]

    # -- the script --

    def behave(self, mode: str, select: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        """Set a rule; ``reset=True`` cuts those whom it holds for, too."""
        return dict(self._ask("PUT", "behaviour", {"mode": mode, "select": select or {}, **options}))

    def clear(self, select: dict[str, Any] | None = None) -> None:
        """Remove a rule, or all."""
        self._ask("DELETE", "behaviour", {} if select is None else {"select": select})

    def reset(self, select: dict[str, Any] | None = None) -> int:
        """Cut connections; how many."""
        return int(self._ask("POST", "reset", {"select": select or {}})["reset"])

    def declare(self, tunnel: str, **about: Any) -> dict[str, Any]:
        """Make a tunnel known, or change it: name, account, secret (base64), config_src, config."""
        return dict(self._ask("PUT", f"tunnels/{tunnel}", about))

    def delete(self, tunnel: str) -> None:
        """Delete a tunnel."""
        self._ask("DELETE", f"tunnels/{tunnel}")

    def settings(self, **settings: Any) -> dict[str, Any]:
        """ghost_seconds, unknown_tunnels."""
        return dict(self._ask("PUT", "settings", settings))

    def configure(self, tunnel: str, config: dict[str, Any]) -> list[dict[str, Any]]:
        """Push a configuration; the answers of all connections."""
        return list(self._ask("PUT", "config", {"tunnel": tunnel, "config": config}))

    # -- through the tunnel --

    def request(self, tunnel: str, **options: Any) -> dict[str, Any]:
        """A request through the tunnel: method, path, host, headers, body, connector, index, timeout."""
        return dict(self._ask("POST", "request", {"tunnel": tunnel, **options}))

    def forward(self, tunnel: str, target: str, **options: Any) -> dict[str, Any]:
        """A local port that leads through the tunnel to ``target`` (HOST:PORT, seen from the connector)."""
        return dict(self._ask("POST", "forwards", {"tunnel": tunnel, "target": target, **options}))

    def unforward(self, number: str) -> None:
        self._ask("DELETE", f"forwards/{number}")

    # -- the API --

    def script_api(self, **script: Any) -> dict[str, Any]:
        """``tokens`` ({TOKEN: {"account": ..., "write": ...}}) and ``faults``."""
        return dict(self._ask("PUT", "api", script))

    def api_calls(self, since: int = 0) -> list[dict[str, Any]]:
        """What the API was asked."""
        return list(self._ask("GET", f"api/calls?since={since}"))

    def v4(self, method: str, path: str, token: str) -> tuple[int, Any]:
        """Ask the API; ``path`` from ``accounts/`` on."""
        return self.call(method, f"/client/v4/{path}", headers={"Authorization": f"Bearer {token}"})


class EdgeProcess(EdgeClient):
    """An edge as a child: ``with EdgeProcess(["127.0.0.1"], folder) as edge: edge.behave("refuse")``.

    It ends with the block, and with this process however that ends. Ports are chosen by the kernel unless given.
    """

    def __init__(
        self, listen: Sequence[str], folder: Path, *, ports: Sequence[int] = (0,), api: str = "127.0.0.1:0"
    ) -> None:
        super().__init__("")
        self.folder = folder
        self.event_log = folder / "events.jsonl"
        self._arguments = ["--listen", ",".join(listen), "--port", ",".join(map(str, ports)), "--api", api]
        self._process: subprocess.Popen[bytes] | None = None
        self.addresses: list[str] = []
        self.ca = folder / "ca.pem"

    def __enter__(self) -> EdgeProcess:
        package = Path(__file__).parent
        command = [sys.executable, "-m", package.name, "serve", *self._arguments, "--ca-dir", str(self.folder)]
        command += ["--event-log", str(self.event_log), "--until-eof"]
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": str(package.parent)},
            )
            line = self._first_line()
            if not line:
                self.stop()
                errors.seek(0)
                raise EdgeError(f"the edge did not start: {errors.read().decode('utf-8', 'replace').strip()}")
        up = json.loads(line)
        self.base, self.addresses = up["api"], up["edge"]
        return self

    def _first_line(self) -> bytes:
        if self._process is None or self._process.stdout is None:
            return b""
        ready, _unused, _unused = select.select([self._process.stdout], [], [], _START_SECONDS)
        return self._process.stdout.readline() if ready else b""

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.stop()
