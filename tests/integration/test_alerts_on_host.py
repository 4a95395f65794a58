# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a service that breaks on a host to a webhook, through the metrics program and Debian's Prometheus."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import IN_ERROR, THRASHING
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._alert_rules import rules_text
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host

from ..support.prometheus_stack import Stack, wait_for
from .conftest import FleetMaker, service_suite

FOLDER = "/srv/textfile"
THRESHOLD, INTERVAL = 4, 5
ONCE = "[Service]\nExecStart=/bin/sleep infinity\n"
LOOP = """[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sleep 2
ExecStopPost=/bin/false
Restart=always
RestartSec=1
"""
# A crash loop is told before it has been in error for too long, as with the limits that nobody sets.
SERVICES = [{"name": "shop", "alert_after": {"error": THRESHOLD}}, {"name": "looping", "thrash_restarts": 3}]
VARIABLES = {
    "lifecycle_services": SERVICES,
    "state_monitoring_directory": FOLDER,
    "state_monitoring_interval": INTERVAL,
}
ROLE = [{"hosts": "all", "gather_facts": False, "roles": ["chainops.lifecycle.state_monitoring"]}]


def until(what: str, holds: t.Callable[[], t.Any]) -> t.Any:
    return wait_for(what, holds, lambda: None)


class Monitored:
    """A host that the role has equipped, and its timer. node_exporter reads the folder of the host."""

    def __init__(self, fleet: Fleet, stack: Stack, folder: Path) -> None:
        self.fleet, self.stack, self.folder = fleet, stack, folder
        self.host: Host = next(iter(fleet.hosts.values()))

    def ansible(self, *argv: str) -> None:
        argv = (argv[0], "-i", str(self.fleet.inventory), "-e", json.dumps(VARIABLES), *argv[1:])
        environment = {
            **os.environ,
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOST_KEY_CHECKING": "0",
        }
        done = subprocess.run(argv, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def heard(self, status: str, name: str, service: str) -> list[dict[str, t.Any]]:
        return [one for one in self.stack.heard(status, name) if one["labels"]["service"] == service]


@pytest.fixture(scope="module")
def monitored(make_fleet: FleetMaker, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Monitored]:
    fleet = make_fleet(Group("alerts", 1, service_suite()))
    (name, host), folder = next(iter(fleet.hosts.items())), tmp_path_factory.mktemp("alerts")
    host.push_text("/etc/systemd/system/shop.service", ONCE)
    host.push_text("/etc/systemd/system/looping.service", LOOP)
    host.sh(f"mkdir -p {FOLDER}; systemctl daemon-reload; systemctl start shop")
    (folder / "install.yml").write_text(json.dumps(ROLE))
    stack = Stack(folder, rules_text(labels={"team": "chain"}), name, metrics=Path(f"/proc/{host.leader}/root{FOLDER}"))
    try:
        found = Monitored(fleet, stack, folder)
        found.ansible("ansible-playbook", "install.yml")
        until("metrics in Prometheus", stack.is_up)
        yield found
    finally:
        stack.stop()


def test_a_broken_service_reaches_the_webhook_until_a_hold_and_until_it_is_recovered(monitored: Monitored) -> None:
    name, stack, heard = IN_ERROR.rule_name, monitored.stack, monitored.heard
    monitored.host.sh("systemctl kill --signal=KILL shop")
    [fired] = until("the alert", lambda: heard("firing", name, "shop"))
    assert fired["labels"] == {
        "alertname": name,
        "alert_id": "in_error",
        "severity": "critical",
        "team": "chain",
        "job": "node",
        "instance": monitored.host.name,
        "service": "shop",
        "kind": "generic",
    }
    assert fired["annotations"]["summary"] == f"shop on {monitored.host.name}: {IN_ERROR.summary}"
    fired_at = datetime.datetime.fromisoformat(fired["startsAt"]).timestamp()
    # As that evaluation knew it: a step of the host's clock moves it afterwards.
    [trouble] = stack.query(f'chainops_service_trouble_start_time_seconds{{service="shop"}} @ {fired_at:.3f}')
    # A run of the program, a scrape and an evaluation after it, on a machine that has other things to do.
    assert THRESHOLD < fired_at - float(trouble["value"][1]) < THRESHOLD + INTERVAL + 20
    hold = ("ansible", "all", "-m", "chainops.lifecycle.service_hold", "-a")
    monitored.ansible(*hold, "name=shop reason='a new disk' owner=ann expires_in=3600")
    until("silence by the hold", lambda: heard("resolved", name, "shop"))
    monitored.ansible(*hold, "name=shop state=absent")
    until("the alert again", lambda: len(heard("firing", name, "shop")) == 2)
    monitored.ansible("ansible-playbook", "chainops.lifecycle.recover", "-e", '{"lifecycle_services": ["shop"]}')
    until("its end once it has run for a minute", lambda: len(heard("resolved", name, "shop")) == 2)
    assert len(heard("firing", name, "shop")) == 2, "it never flapped"


def test_a_crash_loop_that_runs_at_most_scrapes_alerts_once(monitored: Monitored) -> None:
    stack, name = monitored.stack, THRASHING.rule_name
    monitored.host.sh("systemctl start looping")
    until("the alert", lambda: monitored.heard("firing", name, "looping"))
    loops = 'chainops_service_automatic_restarts_total{service="looping"}'
    [before] = stack.query(loops)
    until("five more rounds", lambda: float(stack.query(loops)[0]["value"][1]) >= float(before["value"][1]) + 5)
    about = {
        (one["status"], one["labels"]["alertname"], one["startsAt"])
        for one in stack.webhook.alerts
        if one["labels"].get("service") == "looping"
    }
    assert len(about) == 1 and next(iter(about))[:2] == ("firing", name)
    monitored.host.sh("systemctl stop looping")
