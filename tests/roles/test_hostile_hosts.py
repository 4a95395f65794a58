# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that their attacker rules answer with templates in every string, and none is executed on the controller.

The suite runs this with the newest ansible-core and with 2.16.0, which loses the unsafe mark of a string on its way.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from tests.docs.common import ROOT, play

WAYS = ("all", "words", "refused", "failed", "garbage", "steers")
# A header changes the delimiters; ansible-core looks for its end, and takes it also where there is none.
FORMS = {"all": "header", "words": "line", "refused": "header", "failed": "line", "garbage": "header", "steers": "line"}
# What an ssh client passes on of a host that it cannot reach.
SSH = '#!/bin/sh\ncat "$0.said" >&2\nexit 255\n'
SERVICES = [
    {"name": "svc", "known_good": {"/nonexistent/a": "/nonexistent/b"}, "depends_on": ["other"]},
    {"name": "besu", "kind": "besu", "besu": {"rpc_url": "http://127.0.0.1:9"}},
    {"name": "cloudflared", "kind": "cloudflared"},
]
GIVEN = {
    "lifecycle_max_unhealthy": "100%",
    "lifecycle_serial": "100%",
    "lifecycle_services": SERVICES,
    "service_recovery_fixes": ["start_dependency", "restore_config", "clear_start_limit", "free_journal_space"],
    "besu_sync_wait_timeout": 1,
    "tunnel_reconnect_back_timeout": 1,
    "tunnel_reconnect_reserve_tries": 1,
    "service_recovery_reserve_tries": 1,
}
# What each playbook shows of its hosts, so that a run in which nothing was said proves nothing.
# A play of one's own, in which the role fails with what the hosts said.
ROLE = """
- hosts: all
  gather_facts: false
  roles:
    - role: chainops.lifecycle.service_recovery
      vars:
        service_recovery_services: "{{ lifecycle_services }}"
  tasks: []
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{ service_recovery_result | default([]) }}"
    - ansible.builtin.debug:
        msg: "{{ ansible_play_hosts_all | map('extract', hostvars) | map(attribute='service_recovery_result', default=[]) }}"
      run_once: true
"""
BOOKS = {
    "role.yml": "TASK [chainops.lifecycle.service_recovery : ",
    "status": "STATUS",
    "recover": "RECOVERY",
    "besu_sync_wait": "SYNC WAIT",
    "tunnel_reconnect": "TUNNELS",
}


def hostile_hosts(folder: Path, ways: t.Iterable[str]) -> dict[str, dict[str, t.Any]]:
    """One host for each way to answer and form of template, and one that ssh cannot reach."""
    hosts: dict[str, dict[str, t.Any]] = {}
    for way in ways:
        for form in ("braces", FORMS[way]):
            python = folder / f"{way}-{form}"
            python.write_text((ROOT / "tests/roles/hostile_python.py").read_text())
            python.chmod(0o755)
            hosts[f"{way}-{form}"] = {"ansible_connection": "local", "ansible_python_interpreter": str(python), **GIVEN}
    ssh = folder / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    (folder / "ssh.said").write_text(f"{{{{ lookup('ansible.builtin.pipe', 'touch {folder}/proof-ssh') }}}}\n")
    hosts["unreachable"] = {
        "ansible_connection": "ssh",
        "ansible_ssh_executable": str(ssh),
        "ansible_host": "127.0.0.1",
        **GIVEN,
    }
    return hosts


@pytest.mark.parametrize("ways", [WAYS[:3], WAYS[3:]], ids=" ".join)
@pytest.mark.parametrize("book", BOOKS)
def test_no_string_of_a_host_is_executed_on_the_controller(book: str, ways: tuple[str, ...], tmp_path: Path) -> None:
    hosts = hostile_hosts(tmp_path, ways)
    (tmp_path / "role.yml").write_text(ROLE)
    name = book if book.endswith(".yml") else f"chainops.lifecycle.{book}"
    done = play(tmp_path, name, hosts, "--forks", "5", ANSIBLE_SHOW_CUSTOM_STATS="1")
    said = done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.glob("proof-*")) == [], said
    assert f"\n{BOOKS[book]}" in done.stdout, said
    assert "stolen" not in said, "a host sets no statistics of the job"
    assert "lookup('ansible.builtin.pipe'" in said, "the hostile text came as far as the screen"
