# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that cannot be reached does not end a play without a word: what is ignored is ignored.

Where ``any_errors_fatal`` holds, Ansible ends the play for all hosts after an unreachable one that
``ignore_unreachable`` has just ignored. ``run_once`` brings ``any_errors_fatal`` along, whatever the task says, unless
the task has ``ignore_errors``.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.docs.common import FILES, ROOT, load, play

DEAD = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
BESU = [{"name": "besu", "kind": "besu", "besu": {"rpc_url": "http://besu.invalid:8545"}}]


def tasks(found: t.Any) -> t.Iterator[dict[str, t.Any]]:
    """All tasks of a list of tasks or plays, with those in blocks."""
    for entry in found if isinstance(found, list) else ():
        yield entry
        for part in ("tasks", "block", "rescue", "always"):
            yield from tasks(entry.get(part))


IGNORING = [
    pytest.param(task, id=f"{path}: {task['name']}")
    for path in FILES
    if path.parts[0] in ("roles", "playbooks") and path.suffix == ".yml" and "meta" not in path.parts
    for task in tasks(load(path))
    if task.get("ignore_unreachable")
]


def test_there_are_such_tasks() -> None:
    assert len(IGNORING) > 10


@pytest.mark.parametrize("task", IGNORING)
def test_a_task_that_ignores_an_unreachable_host_lets_the_play_go_on(task: dict[str, t.Any]) -> None:
    goes_on = task.get("ignore_errors") if task.get("run_once") else task.get("any_errors_fatal") is False
    assert goes_on


@pytest.mark.parametrize(
    ("hosts", "given"),
    [
        pytest.param({"dead": DEAD | {"lifecycle_services": BESU}}, {}, id="nobody can be reached"),
        pytest.param(
            {"dead": DEAD | {"lifecycle_services": BESU}, "here": HERE | {"lifecycle_services": []}},
            {"lifecycle_network_host": "dead"},
            id="the host of the look cannot be reached",
        ),
    ],
)
def test_status_and_recover_say_what_they_saw(hosts: dict[str, t.Any], given: dict[str, str], tmp_path: Path) -> None:
    options = ("-e", json.dumps(given))
    status = play(tmp_path, "chainops.lifecycle.status", hosts, *options)
    assert "\nSTATUS\n" in status.stdout and "unreachable: " in status.stdout, status.stdout + status.stderr
    assert status.returncode != 0, "no service at all could be observed"
    recover = play(tmp_path, "chainops.lifecycle.recover", hosts, *options, ANSIBLE_SHOW_CUSTOM_STATS="1")
    assert "\nPLAN\n" in recover.stdout and "\nRECOVERY\n" in recover.stdout, recover.stdout + recover.stderr
    assert "dead: unknown: unreachable: connect to host 127.0.0.1" in recover.stdout
    recap = recover.stdout.split("PLAY RECAP", 1)[1].splitlines()
    (dead,) = [line for line in recap if line.startswith("dead  ")]
    assert "unreachable=1" in dead and "failed=0" in dead, "the recap blames the host that was not reached"
    assert not any(line.startswith("here  ") and "failed=0" not in line for line in recap)
    stats = json.loads(recover.stdout.split("RUN: ", 1)[1].split("\n\n", 1)[0])
    jsonschema.validate(
        stats["lifecycle_outcome"], json.loads((ROOT / "docs/schemas/lifecycle_outcome.json").read_text())
    )
    assert stats["lifecycle_outcome"]["counts"]["unknown"] == 1
    assert recover.returncode != 0


def test_a_grantor_that_cannot_be_reached_does_not_end_the_recovery(tmp_path: Path) -> None:
    """Neither when it is asked, nor when its grant is released."""
    role = {"name": "chainops.lifecycle.service_reservation", "public": True}
    asked = {"network": "0x" + "a" * 64, "target": "0x" + "b" * 40, "owner": "somebody", "needed": 1, "validators": 1}
    dead = {**asked, "host": "dead"}
    book = [
        {
            "hosts": "here",
            "gather_facts": False,
            "any_errors_fatal": True,
            "vars": {
                "service_reservation_service": {
                    "name": "besu",
                    "kind": "besu",
                    "takes_offline": True,
                    "serves": False,
                    "observation": {},
                },
            },
            "tasks": [
                {
                    "ansible.builtin.include_role": role | {"tasks_from": "reserve"},
                    "vars": {"__service_reservation_validators": [dead]},
                },
                {"ansible.builtin.debug": {"msg": "held: {{ service_reservation_state.held }}"}},
                {"ansible.builtin.debug": {"msg": "no answer: {{ service_reservation_state.refusal }}"}},
                {
                    "ansible.builtin.include_role": role | {"tasks_from": "besu_release"},
                    "vars": {"__service_reservation_back": [dead]},
                },
                {"ansible.builtin.debug": {"msg": "the end"}},
            ],
        }
    ]
    (tmp_path / "book.yml").write_text(yaml.safe_dump(book))
    played = play(tmp_path, "book.yml", {"here": HERE, "dead": DEAD})
    assert played.returncode == 0, played.stdout + played.stderr
    assert (
        "held: False" in played.stdout
        and "no answer: hosts of 0 validators have granted, 1 are needed (dead: " in played.stdout
        and "the end" in played.stdout
    )
