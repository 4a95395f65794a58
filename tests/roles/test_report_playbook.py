# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook report where nobody answers, and with variables that mean nothing."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import jsonschema
import pytest

from tests.docs.common import ROOT, play

HOSTS: dict[str, t.Any] = {
    "dead": {
        "ansible_connection": "ssh",
        "ansible_host": "127.0.0.1",
        "ansible_port": 1,
        "lifecycle_services": ["api", {"name": "besu", "kind": "besu"}],
    },
    "here": {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "lifecycle_services": [],
    },
}
REPORT = "chainops.lifecycle.report"


def test_hosts_that_are_not_reached_are_in_the_report(tmp_path: Path) -> None:
    played = play(tmp_path, REPORT, HOSTS, "-e", "lifecycle_report_format=json")
    assert played.returncode != 0, "no service at all could be observed"
    assert "\nREPORT\n" in played.stdout and "not observed: dead" in played.stdout, played.stdout + played.stderr
    data = json.loads((tmp_path / "lifecycle-report.json").read_text())
    jsonschema.validate(data, json.loads((ROOT / "docs/schemas/lifecycle_report.json").read_text()))
    assert [(one["host"], one["service"], one["kind"]) for one in data["services"]] == [
        ("dead", "api", "generic"),
        ("dead", "besu", "besu"),
    ]
    assert all("Connection refused" in one["history_problem"] for one in data["services"])
    assert {one["host"]: one["observed"] for one in data["hosts"]} == {"dead": False, "here": True}
    assert data["window"]["seconds"] == 86400


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    played = play(tmp_path, REPORT, HOSTS, "--check", "-e", f"lifecycle_report_file={tmp_path}/x.html")
    assert f"would write {tmp_path}/x.html" in played.stdout, played.stdout + played.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inventory.yml"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "lifecycle_report_window=yesterday",
            "lifecycle_report_window: 'yesterday' is no duration; give a number with",
        ),
        ("lifecycle_report_window=never", "lifecycle_report_window: 'never' is no duration"),
        (
            "lifecycle_report_format=htm",
            "lifecycle_report_format: 'htm' is unknown, did you mean html; give html or json",
        ),
        ("lifecycle_report_windw=1h", "did you mean lifecycle_report_window?"),
        ("lifecycle_report_file=/no/such/folder/x.html", "dest: there is no directory /no/such/folder; make it"),
        ("lifecycle_report_file=/etc", "dest: /etc is a directory; give a file, such as"),
    ],
)
def test_what_means_nothing_is_refused(given: str, said: str, tmp_path: Path) -> None:
    played = play(tmp_path, REPORT, HOSTS, "-e", given)
    assert played.returncode != 0
    assert said in " ".join((played.stdout + played.stderr).split()), played.stdout + played.stderr
