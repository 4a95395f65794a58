# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role state_monitoring where it changes nothing; what it does to a host is tested on one."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.docs.common import play

HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
INSTALLED = "/usr/local/lib/chainops-state-monitoring"


def run(folder: Path, task: t.Mapping[str, t.Any], *arguments: str, **given: t.Any) -> subprocess.CompletedProcess[str]:
    role = {"ansible.builtin.include_role": {"name": "chainops.lifecycle.state_monitoring", **task}}
    variables = {
        "state_monitoring_directory": str(folder),
        "state_monitoring_services": ["api"],
        "state_monitoring_python": "{{ ansible_playbook_python }}",
        **given,
    }
    (folder / "book.yml").write_text(
        yaml.safe_dump([{"hosts": "all", "gather_facts": False, "vars": variables, "tasks": [role]}])
    )
    return play(folder, "book.yml", {"here": HERE}, *arguments)


@pytest.mark.parametrize(
    ("task", "arguments"), [({}, ["--check"]), ({"apply": {"check_mode": True}}, [])], ids=["play", "task"]
)
def test_check_mode_of_a_play_and_of_a_task_plans_an_installation(
    tmp_path: Path, task: t.Mapping[str, t.Any], arguments: list[str]
) -> None:
    done = run(tmp_path, task, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=4" in done.stdout, done.stdout
    assert not Path(INSTALLED).exists()


def test_a_folder_that_no_node_exporter_has_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, {}, "--check", state_monitoring_directory=f"{tmp_path}/nowhere")
    assert done.returncode == 2
    assert f"state_monitoring_directory: {tmp_path}/nowhere is not a directory on this host" in " ".join(
        done.stdout.split()
    )


def test_a_service_of_a_user_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, {}, "--check", state_monitoring_services=[{"name": "api", "scope": "user"}])
    assert done.returncode == 2
    assert "services[0].scope: api is a service of a user" in " ".join(done.stdout.split())
