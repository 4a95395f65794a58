# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role besu_sync_wait shows of the services that it is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.docs.common import play

HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
PASSWORD, TOKEN = "canary-of-a-password", "canary-of-a-token"
ACCESS = {"rpc_url": "http://127.0.0.1:9", "rpc_username": "u"}
NODES = [
    {"name": "besu-a", "kind": "besu", "besu": {**ACCESS, "rpc_password": PASSWORD}},
    {"name": "besu-b", "kind": "besu", "besu": {"rpc_url": "http://127.0.0.1:9", "rpc_token": TOKEN}},
    {"name": "besu-c", "kind": "besu", "state": "stopped", "besu": {**ACCESS, "rpc_password": PASSWORD}},
]


@pytest.mark.parametrize("mode", [(), ("--check",)], ids=["run", "check"])
def test_descriptions_are_not_shown(tmp_path: Path, mode: tuple[str, ...]) -> None:
    kept = "KEPT={{ besu_sync_wait_result | to_json }}"
    book = {
        "hosts": "all",
        "gather_facts": False,
        "vars": {"besu_sync_wait_fail": False, "besu_sync_wait_timeout": 0},
        "tasks": [
            {"ansible.builtin.include_role": {"name": "chainops.lifecycle.besu_sync_wait"}},
            {"ansible.builtin.debug": {"msg": kept}},
        ],
    }
    (tmp_path / "book.yml").write_text(yaml.safe_dump([book]))
    done = play(tmp_path, "book.yml", {"here": {**HERE, "lifecycle_services": NODES}}, "-v", *mode)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "\nSYNC WAIT\n" in output and "here/besu-a" in output and "here/besu-b" in output and "besu-c" not in output
    assert PASSWORD not in output and TOKEN not in output, output
