# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role service_reservation with tasks of one's own: the example of its README, with modules that write down their options."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.docs import common

GENESIS, ADDRESS = "0x" + "a" * 64, "0x" + "b" * 40
HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
RESTARTED = {"changed": True, "reached": True, "state": "validating"}
BUSY = {"granted": False, "reason": "busy", "holder": {"owner": "other", "target": "x", "left": 9}}
README = (common.ROOT / "roles/service_reservation/README.md").read_text(encoding="utf-8")


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """The collection with other modules, and the role of the example; returns the folder of a playbook."""
    answer = "module.exit_json(**answers[name])\n"
    names = ("service_info", "service", "besu_node", "besu_network_info", "besu_reservation")
    parts = ("roles", "plugins/filter", "plugins/action/service_drive.py")
    folder = common.replace_modules(tmp_path, dict.fromkeys(names, common.STUB + answer), *parts)
    _play, tasks = re.findall(r"^```yaml\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    (folder / "roles/upgrade/tasks").mkdir(parents=True)
    (folder / "roles/upgrade/tasks/main.yml").write_text(tasks)
    return folder


def play(folder: Path, entry: dict[str, t.Any], reservation: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """Run the play of the README for one service. What was asked of the modules after the look at it."""
    kind = entry.get("kind", "generic")
    about = {"address": ADDRESS, "genesis": GENESIS, "validator": True}
    facts = {"unit_facts": {"active_state": "active", "sub_state": "running"}}
    seen = {"name": "besu", "kind": kind, "state": "running", "reasons": [], "hold": None, "besu": about, **facts}
    network = {"genesis": GENESIS, "validators": [ADDRESS], "head": 7, "advances": True, "arithmetic": "1 of 1"}
    answers = {
        "service_info": {"services": [seen]},
        "service": RESTARTED,
        "besu_node": RESTARTED,
        "besu_network_info": {"networks": [network], "nodes": [{"name": "here/besu", "address": ADDRESS}]},
        "besu_reservation": reservation,
    }
    (folder / "answers.json").write_text(json.dumps(answers))
    (book,) = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```", README, re.DOTALL | re.MULTILINE)[0])
    given = {**HERE, "lifecycle_services": [entry], "ansible_become": False, "service_recovery_reserve_tries": 1}
    done = common.play_replaced(folder, {**book, "hosts": "all", "become": False}, {"here": given})
    assert done.returncode == 0, done.stdout + done.stderr
    return common.asked_of_stubs(folder)[1:]


def test_the_example_reserves_acts_and_gives_back(collection: Path) -> None:
    asked = play(collection, {"name": "besu", "kind": "besu"}, {"granted": True})
    look, granted, acted, released = asked
    assert [one["module"] for one in asked] == [
        "besu_network_info",
        "besu_reservation",
        "besu_node",
        "besu_reservation",
    ]
    assert [one["name"] for one in look["endpoints"]] == ["here"]
    assert acted["state"] == "restarted" and acted["reservation"] == granted["owner"] == released["owner"]
    assert (granted["target"], granted["network"], released["state"]) == (ADDRESS, GENESIS, "absent")


def test_without_a_grant_the_tasks_run_and_are_told_so(collection: Path) -> None:
    asked = play(collection, {"name": "besu", "kind": "besu"}, BUSY)
    assert [one["module"] for one in asked] == ["besu_network_info", "besu_reservation", "besu_node"]
    assert asked[-1]["reservation"] == "nobody"


def test_what_needs_no_reservation_asks_nobody(collection: Path) -> None:
    (asked,) = play(collection, {"name": "besu"}, BUSY)
    assert asked["module"] == "service" and "reservation" not in asked
