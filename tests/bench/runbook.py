# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The peer of the figures: what operators do today with what ansible has, seven looks at one service.

It is made here and not kept as a playbook, because ansible-lint rightly
advises against each of its commands.
"""

from __future__ import annotations

import typing as t


def _command(name: str, cmd: str, **more: t.Any) -> dict[str, t.Any]:
    return {"name": name, "ansible.builtin.command": {"cmd": cmd}, "changed_when": False, **more}


def runbook(unit: str, port: int) -> list[dict[str, t.Any]]:
    """A playbook with one play: show, journal, grep, status, started, port, is-active."""
    grep = _command("Look for errors", "grep -ci error", failed_when=False)
    grep["ansible.builtin.command"]["stdin"] = "{{ journal.stdout }}"
    tasks = [
        _command("Show", f"systemctl show {unit}"),
        _command("Read the journal", f"journalctl -u {unit} -n 200 --no-pager", register="journal"),
        grep,
        _command("Ask for the status", f"systemctl --no-pager status {unit}"),
        {"name": "Have it started", "ansible.builtin.systemd_service": {"name": unit, "state": "started"}},
        {"name": "Wait for its port", "ansible.builtin.wait_for": {"port": port}},
        _command("Ask whether it is active", f"systemctl is-active {unit}"),
    ]
    return [{"name": "The runbook", "hosts": "all", "gather_facts": False, "tasks": tasks}]
