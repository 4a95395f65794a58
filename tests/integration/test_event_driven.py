# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts of the real Alertmanager start the playbooks by the real ansible-rulebook, on real hosts, and nothing else does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host
from ansible_collections.chainops.lifecycle.tests.support.lab.host import until

from .conftest import FleetMaker, service_suite

ROOT = Path(__file__).resolve().parents[2]
RULEBOOKS = ROOT / "extensions/eda/rulebooks"
TOOLS = ROOT / ".venvs/events/bin"
TOKEN = "secret-of-the-webhook"
UNIT = """\
[Unit]
Description=A service of the test
[Service]
ExecStart=/bin/sleep infinity
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shortened(rulebook: str, folder: Path) -> Path:
    """The rulebook as it is shipped, but that it waits a second for more alerts and not twenty."""
    text = (RULEBOOKS / rulebook).read_text()
    assert text.count("once_after: 20 seconds") == 2
    path = folder / rulebook
    path.write_text(text.replace("once_after: 20 seconds", "once_after: 1 second"))
    return path


class Events:
    """An Alertmanager that posts to an ansible-rulebook, which recovers the services of a fleet."""

    def __init__(self, fleet: Fleet, folder: Path, stack: contextlib.ExitStack) -> None:
        self.fleet, self.folder = fleet, folder
        self.webhook, self.manager = free_port(), free_port()
        self.log = folder / "rulebook.log"
        self._start_rulebook(stack)
        self._start_alertmanager(stack)

    def _start_rulebook(self, stack: contextlib.ExitStack) -> None:
        inventory = yaml.safe_load(self.fleet.inventory.read_text())
        inventory["all"].setdefault("vars", {})["lifecycle_services"] = ["api", "web"]
        (self.folder / "inventory.yml").write_text(yaml.safe_dump(inventory))
        given = {"chainops_port": self.webhook, "chainops_webhook_token": TOKEN, "chainops_quorum_lost": "refuse"}
        (self.folder / "vars.yml").write_text(yaml.safe_dump(given))
        argv = [TOOLS / "ansible-rulebook", "-r", shortened("alertmanager_playbooks.yml", self.folder)]
        argv += ["-i", self.folder / "inventory.yml", "--vars", self.folder / "vars.yml"]
        environment = {
            **os.environ,
            "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
        }
        run(stack, argv, self.log, self.folder, environment)
        until(lambda: listens(self.webhook), 60, "ansible-rulebook listens")

    def _start_alertmanager(self, stack: contextlib.ExitStack) -> None:
        config = {
            "route": {
                "receiver": "recovery",
                "group_by": ["..."],
                "group_wait": "100ms",
                "group_interval": "1s",
                "repeat_interval": "1s",
            },
            "receivers": [
                {
                    "name": "recovery",
                    "webhook_configs": [
                        {
                            "url": f"http://127.0.0.1:{self.webhook}/endpoint",
                            "http_config": {"authorization": {"credentials": TOKEN}},
                        }
                    ],
                }
            ],
        }
        (self.folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
        argv = ["prometheus-alertmanager", f"--config.file={self.folder / 'alertmanager.yml'}"]
        argv += [f"--storage.path={self.folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.manager}"]
        argv += ["--cluster.listen-address="]
        run(stack, argv, self.folder / "alertmanager.log", self.folder, dict(os.environ))
        until(lambda: listens(self.manager), 60, "Alertmanager listens")

    def fire(self, *alerts: dict[str, str]) -> None:
        """Tell Alertmanager of alerts, as Prometheus does."""
        body = [{"labels": {"alertname": alert["alert_id"], **alert}} for alert in alerts]
        post(f"http://127.0.0.1:{self.manager}/api/v2/alerts", body)

    @property
    def limits(self) -> list[set[str]]:
        """The hosts in the recap of each run of a playbook."""
        recaps = self.log.read_text().split("PLAY RECAP")[1:]
        return [set(re.findall(r"^([\w.-]+) +: ok=", recap, re.MULTILINE)) for recap in recaps]


def run(
    stack: contextlib.ExitStack, argv: t.Sequence[t.Any], log: Path, folder: Path, environment: dict[str, str]
) -> None:
    with log.open("w") as stream:
        process = subprocess.Popen(
            [str(word) for word in argv], stdout=stream, stderr=subprocess.STDOUT, cwd=folder, env=environment
        )

    def end() -> None:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def post(url: str, body: t.Any, token: str = "") -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    urllib.request.urlopen(request, timeout=10).close()


def service(alert: str, host: Host | str, name: str) -> dict[str, str]:
    instance = host if isinstance(host, str) else f"{host.name}:9100"
    return {"alert_id": alert, "instance": instance, "service": name, "kind": "generic", "severity": "critical"}


def active(host: Host, *names: str) -> list[str]:
    return host.run("systemctl", "is-active", *names, check=False).stdout.split()


def prepare(host: Host) -> None:
    for name in ("api", "web"):
        host.push_text(f"/etc/systemd/system/{name}.service", UNIT)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "start", "api", "web")


@pytest.fixture(scope="module")
def events(make_fleet: FleetMaker, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Events]:
    assert (TOOLS / "ansible-rulebook").exists(), "make venv-events makes the environment of ansible-rulebook"
    assert shutil.which("java") and shutil.which("prometheus-alertmanager"), "tools/system-packages installs both"
    fleet = make_fleet(Group("event", 3, service_suite()))
    fleet.each(prepare)
    with contextlib.ExitStack() as stack:
        yield Events(fleet, tmp_path_factory.mktemp("events"), stack)


def test_a_storm_is_one_run_on_the_hosts_that_it_names(events: Events) -> None:
    first, second, third = events.fleet.hosts.values()
    for host in (first, second):
        host.run("systemctl", "kill", "--signal=KILL", "api", "web")
    third.run("systemctl", "kill", "--signal=KILL", "web")
    events.fire(*(service("in_error", host, name) for host in (first, second) for name in ("api", "web")))
    until(lambda: len(events.limits) == 1, 300, "the recovery has ended")
    assert events.limits == [{first.name, second.name}]
    assert "Summary: 4 recovered" in events.log.read_text(), events.log.read_text()
    assert [active(host, "api", "web") for host in (first, second)] == [["active"] * 2] * 2
    assert active(third, "web") == ["failed"], "no alert named its host"


def test_what_is_no_order_to_recover_starts_nothing(events: Events) -> None:
    """What is sent before an alert of the third host has been dealt with when that host is recovered."""
    first, second, third = events.fleet.hosts.values()
    first.run("systemctl", "kill", "--signal=KILL", "api")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        post(f"http://127.0.0.1:{events.webhook}/endpoint", {"alerts": []}, token="guessed")
    events.fire(
        service("in_error", first, "api"),  # within ten minutes of the one before
        *(service(alert, second, "api") for alert in ("hold_forgotten", "hold_ending", "attempts_exhausted")),
        *(service(alert, second, "web") for alert in ("metrics_late", "not_observed", "stop_overdue")),
        service("in_error", "{{ lookup('pipe', 'id') }}", "api"),
        service("in_error", f"{second.name},all", "api"),
    )
    resolved = {"status": "resolved", "labels": service("in_error", second, "web")}
    post(f"http://127.0.0.1:{events.webhook}/endpoint", {"alerts": [resolved]}, token=TOKEN)
    events.fire(service("thrashing", third, "web"))
    until(lambda: len(events.limits) == 2, 300, "the recovery has ended")
    assert events.limits[1:] == [{third.name}]
    assert (active(third, "web"), active(first, "api")) == (["active"], ["failed"])
    assert "uid=" not in events.log.read_text()


def test_a_stalled_chain_asks_a_person(events: Events) -> None:
    events.fire({"alert_id": "chain_stalled", "chain": "1337", "severity": "critical"})
    until(lambda: "A chain is stalled, and nobody has restarted anything" in events.log.read_text(), 30, "the word")
    assert len(events.limits) == 2


def test_the_token_is_nowhere(events: Events) -> None:
    assert TOKEN not in events.log.read_text() + (events.folder / "alertmanager.log").read_text()
