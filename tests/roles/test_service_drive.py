# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""service_drive in a play: loops, delegation, check mode, and what Ansible prints of it."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from tests.docs import common

HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
DEAD = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
SECRET = "canary-of-a-password"
MODULES = ("service", "besu_node", "cloudflared_tunnel")
STUB = common.STUB + "module.exit_json(reached=True, changed=True, check=module.check_mode)\n"
ENTRIES: list[t.Any] = [
    "api",
    {"name": "besu", "kind": "besu", "besu": {"rpc_username": "u", "rpc_password": SECRET}, "wait_timeout": 0},
    {"name": "tunnel", "kind": "cloudflared", "cloudflared": {"min_connections": 2}},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "answers.json").write_text("{}")
    return common.replace_modules(tmp_path, dict.fromkeys(MODULES, STUB), "plugins/action/service_drive.py")


def run(folder: Path, task: dict[str, t.Any], *options: str, code: int = 0) -> str:
    book = {"hosts": "here", "gather_facts": False, "vars": {"entries": ENTRIES}, "tasks": [task]}
    done = common.play_replaced(folder, book, {"here": HERE, "dead": DEAD}, *options)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def drive(**more: t.Any) -> dict[str, t.Any]:
    return {"chainops.lifecycle.service_drive": more}


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_every_kind_in_a_loop(folder: Path, options: tuple[str, ...]) -> None:
    """Over numbers, as what is looped over is shown."""
    entry, asked = "{{ entries[item] }}", {"owner": "{{ inventory_hostname }}"}
    task = drive(service=entry, override=asked) | {"loop": [0, 1, 2], "register": "found"}
    output = run(folder, task, "-vv", *options)
    asked_of = [(one["module"], one["name"], one["owner"]) for one in common.asked_of_stubs(folder)]
    assert asked_of == [(module, name, "here") for module, name in zip(MODULES, ("api", "besu", "tunnel"), strict=True)]
    assert output.count(f'"check": {json.dumps(bool(options))}') == 3
    assert SECRET not in output


def test_it_acts_where_the_task_is_delegated_to(folder: Path) -> None:
    run(folder, drive(service="api") | {"delegate_to": "dead", "ignore_unreachable": True})
    assert not (folder / "asked").exists()


def test_a_wrong_entry_is_refused_before_a_host_is_asked(folder: Path) -> None:
    wrong = {"name": "besu", "kind": "besu", "besu": {"chain_id": SECRET, "rpc_password": SECRET}}
    output = run(folder, drive(service=wrong), code=2)
    assert "service.besu: argument 'chain_id'" in output and not (folder / "asked").exists()
    assert SECRET not in output.replace(output[output.find("Origin:") : output.find("fatal:")], "")


def test_module_defaults_hold(folder: Path) -> None:
    defaults = {
        "group/chainops.lifecycle.lifecycle": {"owner": "of the group", "max_attempts": 1},
        "chainops.lifecycle.service": {"max_attempts": "{{ 3 + 4 }}"},
    }
    run(folder, drive(service="api") | {"module_defaults": defaults})
    (asked,) = common.asked_of_stubs(folder)
    assert (asked["owner"], int(asked["max_attempts"])) == ("of the group", 7)
