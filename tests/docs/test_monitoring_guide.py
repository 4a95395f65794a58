# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queries of the guide to monitoring, asked of a Prometheus that scrapes a node_exporter."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import typing as t
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring import families as f
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.families import MetricSample, render
from tools.generate_docs import GUIDES

PROGRAMS = ("prometheus", "prometheus-node-exporter")
NOW = time.time()
API = ("api", "generic")
NODE = ("node", "besu", "0xaa")
SAMPLES = (
    MetricSample(f.STATE, (*API, "running"), 0),
    MetricSample(f.STATE, (*API, "error"), 1),
    MetricSample(f.TROUBLE_START, API, NOW - 60),
    MetricSample(f.STATE_SECONDS, (*API, "error"), 60),
    MetricSample(f.ERRORS, (*API, "exit_code"), 3),
    MetricSample(f.STATE, ("node", "besu", "consensus"), 1),
    MetricSample(f.BESU_MAY_STOP, NODE, 1),
    MetricSample(f.EXPORTER_TIME, (), NOW - 1000),
    MetricSample(f.EXPORTER_INTERVAL, (), 30),
)

pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in PROGRAMS),
    reason="Prometheus and node_exporter (Debian packages prometheus, prometheus-node-exporter) are not installed",
)


def queries() -> list[str]:
    """Every query of the guide: the code blocks, and the second column of its table."""
    text = (GUIDES / "guide_monitoring.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"^\.\. code-block:: promql\n\n((?:  .*\n|\n)+)", text, re.MULTILINE)
    rows = re.findall(r"^ +- ``(.*chainops_.*)``$", text, re.MULTILINE)
    return [block.strip() for block in blocks] + rows


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[t.Callable[[str], list[dict[str, t.Any]]]]:
    """A function that asks a query; its result."""
    folder: Path = tmp_path_factory.mktemp("prometheus")
    exporter, address = free_address(), free_address()
    (folder / "chainops_state.prom").write_text(render(SAMPLES), encoding="utf-8")
    config = {
        "scrape_configs": [{"job_name": "node", "scrape_interval": "1s", "static_configs": [{"targets": [exporter]}]}]
    }
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
    # The collectors of the machine itself are of no interest here.
    argv = ["--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={folder}"]
    started = [
        subprocess.Popen(
            ["prometheus-node-exporter", f"--web.listen-address={exporter}", *argv], stderr=subprocess.DEVNULL
        ),
        subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={address}",
            ],
            stderr=subprocess.DEVNULL,
        ),
    ]

    def ask(query: str) -> list[dict[str, t.Any]]:
        url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])

    try:
        deadline = time.monotonic() + 60
        while not scraped(ask):
            assert time.monotonic() < deadline, "Prometheus has scraped nothing for 60 s"
            assert all(process.poll() is None for process in started), "a program has ended"
            time.sleep(0.2)
        yield ask
    finally:
        for process in started:
            process.terminate()
            process.wait()


def scraped(ask: t.Callable[[str], list[dict[str, t.Any]]]) -> bool:
    """Whether two scrapes have been made, so that there is an increase to tell."""
    try:
        found = ask('count_over_time(chainops_service_errors_total{service="api"}[1m])')
    except OSError:
        return False  # it does not listen yet
    return bool(found) and int(found[0]["value"][1]) >= 2


def test_the_guide_has_queries() -> None:
    assert len(queries()) == 6


def test_the_first_metric_is_the_state_of_each_service(
    prometheus: t.Callable[[str], list[dict[str, t.Any]]],
) -> None:
    found = {one["metric"]["service"]: one["metric"]["state"] for one in prometheus(queries()[0])}
    assert found == {"api": "error", "node": "consensus"}


@pytest.mark.parametrize("query", queries())
def test_every_query_is_one(prometheus: t.Callable[[str], list[dict[str, t.Any]]], query: str) -> None:
    found = prometheus(query)
    # A counter that is stalled has increased by nothing.
    assert found or query.endswith("> 0")


def test_node_exporter_reads_the_whole_file(prometheus: t.Callable[[str], list[dict[str, t.Any]]]) -> None:
    assert [one["value"][1] for one in prometheus("node_textfile_scrape_error")] == ["0"]
    assert len(prometheus('{__name__=~"chainops_.*"}')) == len(SAMPLES)
