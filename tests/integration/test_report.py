# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of real hosts: a service that is broken and recovered, one that is held, and a host that is not there."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

import jsonschema
import pytest
import yaml

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host

from .ansible_steps import WORDS, equip
from .conftest import FleetMaker, chosen_suites

ROOT = Path(__file__).resolve().parents[2]
SERVICES = [{"name": "fault-simple"}, {"name": "fault-notify"}]


@pytest.fixture(scope="module")
def fleet(make_fleet: FleetMaker) -> Fleet:
    """Hosts of their own: an error of the last minute, which other tests leave, is of the same incident."""
    return make_fleet(*(Group(suite, 1, suite) for suite in chosen_suites()))


@pytest.fixture(scope="module")
def play(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> t.Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs a playbook on the hosts and on one that is not there."""
    folder = tmp_path_factory.mktemp("report")
    hosts = {name: {"lifecycle_services": SERVICES} for name in fleet.hosts}
    gone = {"ansible_host": "127.0.0.1", "ansible_port": 1, "lifecycle_services": ["api"]}
    inventory = {"all": {"hosts": {**hosts, "gone": gone}}}
    (folder / "more.yml").write_text(yaml.safe_dump(inventory))

    def run(book: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ansible-playbook", "-i", str(fleet.inventory), "-i", "more.yml", book, *options],
            cwd=folder,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1", "ANSIBLE_HOST_KEY_CHECKING": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture(scope="module")
def report(
    fleet: Fleet, play: t.Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[dict[str, t.Any]]:
    """The report as JSON, after one service of each host was killed and recovered, and another stopped and held."""
    path = tmp_path_factory.mktemp("reports") / "report.json"

    def begin(host: Host) -> None:
        equip(host, ["simple", "notify"])
        host.sh(
            f". {WORDS}; rm -rf /var/lib/chainops-lifecycle; fresh fault-simple fault-notify;"
            "systemctl start fault-notify; failed fault-simple; systemctl stop fault-notify"
        )

    fleet.each(begin)
    hosts = ",".join(fleet.hosts)
    hold = "name=fault-notify owner=ben reason='disk is being replaced' expires_in=3600"
    for argv in (["ansible", "-i", str(fleet.inventory), hosts, "-m", "chainops.lifecycle.service_hold", "-a", hold],):
        subprocess.run(argv, check=True, capture_output=True, env={**os.environ, "ANSIBLE_HOST_KEY_CHECKING": "0"})
    recovered = play("chainops.lifecycle.recover", "--limit", hosts, "-e", "lifecycle_max_unhealthy=100%")
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    fleet.each(lambda host: host.sh("journalctl --sync"))
    options = ("-e", "lifecycle_report_window=1h", "-e", f"lifecycle_report_file={path}")
    done = play("chainops.lifecycle.report", "-e", "lifecycle_report_format=json", *options)
    assert done.returncode == 0 and "not observed: gone" in done.stdout, done.stdout + done.stderr
    yield json.loads(path.read_text())
    fleet.each(lambda host: host.sh(f". {WORDS}; rm -rf /var/lib/chainops-lifecycle; fresh fault-simple"))


def of(report: dict[str, t.Any], host: str, service: str) -> dict[str, t.Any]:
    (found,) = [one for one in report["services"] if (one["host"], one["service"]) == (host, service)]
    return t.cast("dict[str, t.Any]", found)


def test_it_has_the_documented_shape(report: dict[str, t.Any]) -> None:
    jsonschema.validate(report, json.loads((ROOT / "docs/schemas/lifecycle_report.json").read_text()))


def test_a_service_that_was_broken_and_recovered_shows_both(report: dict[str, t.Any], suite: str) -> None:
    found = of(report, f"{suite}1", "fault-simple")
    last = found["history"]["incidents"][-1]
    assert (found["base_state"], found["verdict"]) == ("running", "ok"), found
    assert (last["ended"], last["cause"], last["by"]) == ("running", "signal", "collection"), found["history"]
    assert last["seconds"] > 0
    assert found["history"]["attempts"][-1]["outcome"] == "verified"
    assert report["summary"]["recovered_by"]["collection"] >= 1 and report["summary"]["attempts_verified"] >= 1


def test_a_hold_is_in_it(report: dict[str, t.Any], suite: str) -> None:
    found = of(report, f"{suite}1", "fault-notify")
    assert (found["verdict"], found["hold"]["owner"]) == ("held", "ben")
    assert found["history"]["spans"][-1]["state"] == "stopped"


def test_a_host_that_is_not_there_is_named(report: dict[str, t.Any], suite: str) -> None:
    found = of(report, "gone", "api")
    assert found["history"] is None and "Connection refused" in found["history_problem"]


def test_the_page_is_made_of_the_same(
    report: dict[str, t.Any], play: t.Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    done = play("chainops.lifecycle.report", "-e", f"lifecycle_report_file={path}")
    assert done.returncode == 0 and f"wrote {path}" in done.stdout, done.stdout + done.stderr
    page = path.read_text()
    assert "held by ben: disk is being replaced" in page and "fault-simple" in page and "recovered by" in page
