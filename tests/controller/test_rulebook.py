# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts launch the job templates of a controller by the real ansible-rulebook, and nothing else does."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import typing as t
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.controller.conftest import PATIENCE, Controller
from tests.docs import common

RULEBOOK = common.ROOT / "extensions/eda/rulebooks/alertmanager_job_templates.yml"
SOURCE = common.ROOT / "tests/support/alertmanager_source.py"
TOOLS = common.ROOT / ".venvs/events/bin"
RECOVERY = {"lifecycle_waves": "1, 10%, 50%", "lifecycle_soak": "10s", "lifecycle_max_failed": "0",
            "lifecycle_recovery": "reset_start"}  # fmt: skip


class Rulebook:
    """An ansible-rulebook that waits a second for more alerts, and not twenty."""

    def __init__(self, controller: Controller, folder: Path, **given: t.Any) -> None:
        self.controller, self.folder = controller, folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.log = folder / "rulebook.log"
        self.given = {"chainops_port": self.port, "chainops_organization": "Lifecycle", **given}

    @contextlib.contextmanager
    def running(self) -> t.Iterator[Rulebook]:
        collection = self.folder / "ansible_collections/ansible/eda"
        (collection / "extensions/eda/plugins/event_source").mkdir(parents=True)
        (collection / "galaxy.yml").write_text("namespace: ansible\nname: eda\nversion: 2.13.0\n")
        shutil.copy(SOURCE, collection / "extensions/eda/plugins/event_source/alertmanager.py")
        text = RULEBOOK.read_text()
        assert text.count("once_after: 20 seconds") == 2
        (self.folder / "rulebook.yml").write_text(text.replace("once_after: 20 seconds", "once_after: 1 second"))
        (self.folder / "vars.yml").write_text(yaml.safe_dump(self.given))
        argv = [str(TOOLS / "ansible-rulebook"), "-r", "rulebook.yml", "--vars", "vars.yml", "--controller-url"]
        argv += [self.controller.url, "--controller-token", self.controller.token]
        told = {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}", "EDA_JOB_TEMPLATE_REFRESH_DELAY": "0.3",
                "ANSIBLE_COLLECTIONS_PATH": str(self.folder)}  # fmt: skip
        with self.log.open("w") as stream:
            process = subprocess.Popen(argv, stdout=stream, stderr=subprocess.STDOUT, cwd=self.folder,
                                       env={**os.environ, **told})  # fmt: skip
        try:
            self.until("it listens", lambda: process.poll() is not None or self._listens())
            assert process.poll() is None, self.said
            yield self
        finally:
            process.terminate()
            process.wait(timeout=60)

    @property
    def said(self) -> str:
        return self.log.read_text()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def until(self, what: str, done: t.Callable[[], t.Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, f"{what}: {self.said}"
            time.sleep(0.2)

    def post(self, *alerts: dict[str, str], status: str = "firing") -> None:
        """A message as Alertmanager posts it."""
        every = [{"status": status, "labels": labels, "annotations": {}, "fingerprint": "1"} for labels in alerts]
        body = {"version": "4", "status": status, "receiver": "recovery", "alerts": every, "groupLabels": {}}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/alerts", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request, timeout=10).close()

    def launched(self, count: int, collection: str = "jobs") -> list[t.Any]:
        """The jobs since the beginning, once they are that many and have ended."""

        def found() -> list[t.Any]:
            every = self.controller.call("GET", f"/api/v2/{collection}/")[1]["results"]
            return [job for job in every if job["id"] > self.before]

        self.until(f"{count} launched", lambda: len(found()) >= count and all(job["finished"] for job in found()))
        assert len(found()) == count, found()
        return found()

    @property
    def before(self) -> int:
        """The last job before this rulebook."""
        return int(self.given.get("before", 0))


@contextlib.contextmanager
def started(controller: Controller, folder: Path, quorum_lost: str) -> t.Iterator[Rulebook]:
    ids = [job["id"] for name in ("jobs", "workflow_jobs")
           for job in controller.call("GET", f"/api/v2/{name}/")[1]["results"]]  # fmt: skip
    made = Rulebook(controller, folder, chainops_quorum_lost=quorum_lost, before=max(ids, default=0))
    with made.running():
        yield made


@pytest.fixture(scope="module")
def rulebook(applied: Controller, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Rulebook]:
    with started(applied, tmp_path_factory.mktemp("rulebook"), "refuse") as made:
        yield made


def alert(name: str, host: str, service: str) -> dict[str, str]:
    return {"alertname": name, "alert_id": name, "instance": host, "service": service, "severity": "critical"}


def test_a_storm_is_one_job_on_the_hosts_that_it_names(rulebook: Rulebook) -> None:
    fleet = rulebook.controller.fleet
    fleet.set(a1="error", a2="error", a3="error")
    rulebook.post(alert("in_error", "a1:9100", "a1"), alert("thrashing", "a2", "a2"), alert("in_error", "a1:9100", "b"))
    rulebook.post(alert("in_error", "a1:9100", "a1"))
    (job,) = rulebook.launched(1)
    assert (job["name"], job["status"]) == ("lifecycle recover", "successful"), rulebook.said
    assert set(job["limit"].split(",")) == {"a1", "a2"}
    assert json.loads(job["extra_vars"]) == {**RECOVERY, "lifecycle_max_unhealthy": "5"}
    assert (fleet.state("a1"), fleet.state("a2"), fleet.state("a3")) == ("running", "running", "error")


def test_only_an_order_launches_a_job_and_each_alert_its_own(rulebook: Rulebook) -> None:
    """What was sent before an alert that launches a job has been dealt with by then."""
    rulebook.controller.fleet.set(a1="error", a2="running", a3="error")
    rulebook.post(
        alert("in_error", "a1:9100", "a1"),  # within ten minutes of the one before
        *(alert(name, "a3", "a3") for name in ("hold_forgotten", "hold_ending", "attempts_exhausted", "metrics_late")),
        alert("in_error", "{{ lookup('pipe', 'id') }}", "a3"),
        alert("in_error", "a3,all", "a3"),
    )
    rulebook.post(alert("in_error", "a3", "a3"), status="resolved")
    rulebook.post(alert("tunnel_disconnected", "a3:9100", "cloudflared"))
    job = rulebook.launched(2)[1]
    assert (job["name"], job["limit"]) == ("lifecycle tunnel reconnect", "a3")
    given = {"tunnel_reconnect_wait_timeout": 600, "tunnel_reconnect_forget_ghosts": "no"}
    assert json.loads(job["extra_vars"]) == given
    assert "uid=" not in rulebook.said


def test_a_stalled_chain_asks_a_person(rulebook: Rulebook) -> None:
    controller = rulebook.controller
    controller.fleet.set(a1="error", a2="running", a3="running")
    rulebook.post({"alert_id": "chain_stalled", "chain": "1337", "severity": "critical"})

    def asked() -> list[t.Any]:
        return list(controller.call("GET", "/api/v2/workflow_approvals/?status=pending")[1]["results"])

    rulebook.until("the approval is asked for", asked)
    (approval,) = asked()
    assert controller.call("POST", f"{approval['url']}deny/", {})[0] == 204
    (workflow,) = rulebook.launched(1, "workflow_jobs")
    assert (workflow["name"], workflow["status"]) == ("lifecycle guarded recovery", "failed")
    assert controller.fleet.acted_on(check=False) == []


def test_a_stalled_chain_is_brought_back_where_that_is_switched_on(applied: Controller, tmp_path: Path) -> None:
    applied.fleet.set(a1="running", a2="running", a3="running")
    with started(applied, tmp_path, "restart_all") as rulebook:
        rulebook.post({"alert_id": "chain_stalled", "chain": "1337", "severity": "critical"})
        (job,) = rulebook.launched(1)
    assert (job["name"], job["limit"], job["status"]) == ("lifecycle quorum lost", "", "successful")
    answers = {**RECOVERY, "lifecycle_max_unhealthy": "100%", "lifecycle_quorum_lost": "restart_all"}
    assert json.loads(job["extra_vars"]) == answers
