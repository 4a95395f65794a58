# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus, Alertmanager and node_exporter on this machine, fed with the metrics of a host, and a webhook that hears."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

Alert = dict[str, t.Any]
LOOPBACK = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        return int(found.getsockname()[1])


class Webhook:
    """Keeps every alert that Alertmanager sends, in its order."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        heard = self.alerts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: t.Any) -> None:
                """Nothing is logged."""

        self.server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server.server_port}/"


class Stack:
    """The three programs, each as a process of its own on loopback. ``write`` gives them metrics.

    ``history``: what Prometheus has stored already, as OpenMetrics text with the time of each sample.
    ``metrics``: a folder in which somebody else writes the metrics.
    """

    def __init__(self, folder: Path, rules: str, instance: str, history: str = "", metrics: Path | None = None) -> None:
        self.webhook = Webhook()
        self.metrics = metrics or folder / "textfile"
        self.metrics.mkdir(exist_ok=True)
        node, manager, prometheus = free_port(), free_port(), free_port()
        self.url = f"http://{LOOPBACK}:{prometheus}"
        (folder / "rules.yml").write_text(rules)
        route = {"receiver": "hook", "group_by": ["alertname", "service"], "group_wait": "0s", "group_interval": "1s"}
        receiver = {"name": "hook", "webhook_configs": [{"url": self.webhook.url, "send_resolved": True}]}
        (folder / "alertmanager.yml").write_text(yaml.safe_dump({"route": route, "receivers": [receiver]}))
        targets = {"targets": [f"{LOOPBACK}:{node}"], "labels": {"instance": instance}}
        (folder / "prometheus.yml").write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(folder / "rules.yml")],
                    "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"{LOOPBACK}:{manager}"]}]}]},
                    "scrape_configs": [{"job_name": "node", "static_configs": [targets]}],
                }
            )
        )
        commands = [
            ["prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
             f"--collector.textfile.directory={self.metrics}", f"--web.listen-address={LOOPBACK}:{node}"],
            ["prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml", "--cluster.listen-address=",
             f"--storage.path={folder}/manager", f"--web.listen-address={LOOPBACK}:{manager}"],
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address={LOOPBACK}:{prometheus}"],
        ]  # fmt: skip
        if history:
            (folder / "history").write_text(history)
            make_blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
            subprocess.run([*make_blocks, folder / "history", folder / "data"], check=True, capture_output=True)
        self._log = (folder / "log").open("w")
        self._processes = [subprocess.Popen(one, stdout=self._log, stderr=subprocess.STDOUT) for one in commands]

    def write(self, text: str) -> None:
        """Give node_exporter the metrics of the host, as a whole."""
        fresh = self.metrics / "fresh"
        fresh.write_text(text)
        os.replace(fresh, self.metrics / "chainops.prom")

    def query(self, expression: str) -> list[dict[str, t.Any]]:
        return t.cast("list[dict[str, t.Any]]", self._ask("query", {"query": expression})["result"])

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, t.Any]]:
        question = {"query": expression, "start": start, "end": end, "step": step}
        return t.cast("list[dict[str, t.Any]]", self._ask("query_range", question)["result"])

    def label_values(self, series: str, label: str) -> list[str]:
        return t.cast("list[str]", self._ask(f"label/{label}/values", {"match[]": series}))

    def _ask(self, path: str, question: t.Mapping[str, t.Any]) -> t.Any:
        try:
            with urllib.request.urlopen(
                f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(question)}", timeout=10
            ) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{question}: {exc.read().decode()}") from exc

    def is_up(self) -> bool:
        """Whether Prometheus answers and has metrics of a host."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=10):
                return bool(self.query("chainops_exporter_runs_total"))
        except (urllib.error.URLError, OSError):
            return False  # it is starting

    def heard(self, status: str, name: str) -> list[Alert]:
        """Each alert once: Alertmanager may send one again, which has the same beginning then."""
        found = [one for one in self.webhook.alerts if (one["status"], one["labels"]["alertname"]) == (status, name)]
        return list({one["startsAt"]: one for one in found}.values())

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()
        self.webhook.server.shutdown()
        self.webhook.server.server_close()
        self._log.close()


def wait_for(what: str, holds: t.Callable[[], t.Any], step: t.Callable[[], object], seconds: float = 120.0) -> t.Any:
    """What ``holds`` gives once it gives something, ``step`` being done again and again until then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        step()
        found = holds()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")
