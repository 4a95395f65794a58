# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook recover prints with a plain ansible-playbook: a line as each service ends, and no data."""

from __future__ import annotations

import json
from pathlib import Path

from tests.docs import common

from .test_recover_playbook import HERE, INFO, folder, good, seen

__all__ = ["folder"]  # the fixture

SERVICES = [f"app{number}" for number in range(8)]
# For each service in need: a row of the plan, a line as it ends, and its sentence of the summary.
PER_SERVICE = 3


# A wave, with the look at a fleet of four that comes after it.
PER_WAVE = 32
# What is printed once for a run, with the heading of the task that begins it with nothing of another playbook.
PER_RUN = 22


def lines_of(folder: Path, names: list[str], hosts: int, *arguments: str) -> list[str]:
    """What a recovery prints, of hosts with services of these names, all of them in need."""
    told = {f"service {name}": good(name, True) for name in names}
    told |= {f"service check {name}": good(name, False) for name in names}
    (folder / "answers.json").write_text(json.dumps(told))
    info = common.STUB + f"ROW = {seen('x')!r}\n" + INFO
    common.write_module(folder, "service_info", info)
    for state in folder.glob("state of *"):
        state.unlink()  # what the run before has brought about
    fleet = {f"h{number}": HERE | {"lifecycle_services": names} for number in range(hosts)}
    paths = {"ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}
    told_all = ("-e", "lifecycle_max_unhealthy=100%", *arguments)
    done = common.play(folder, "chainops.lifecycle.recover", fleet, *told_all, **paths)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Could not match supplied host pattern" not in done.stdout + done.stderr
    assert "{" not in done.stdout and "failed=0" in done.stdout
    return done.stdout.splitlines()


def test_a_service_costs_a_few_lines_and_no_data_is_printed(folder: Path) -> None:
    lines = {many: lines_of(folder, SERVICES[:many], 1) for many in (2, 8)}
    for many, printed in lines.items():
        ended = [line.split()[1] for line in printed if line.startswith("[h0] ")]
        assert ended == [f"{name}:" for name in SERVICES[:many]]
    assert len(lines[8]) - len(lines[2]) <= 6 * PER_SERVICE, lines[8]
    assert len(lines[8]) <= 5 * 8 + PER_RUN, "\n".join(lines[8])
    print(f"{len(lines[8])} lines for 8 services in need")


def test_a_wave_costs_a_few_lines(folder: Path) -> None:
    lines = lines_of(folder, SERVICES[:2], 4, "-e", "lifecycle_soak=1")
    assert "Wave 3 of 3: h2, h3" in lines
    assert len(lines) <= 5 * 8 + PER_RUN + 2 * PER_WAVE + 3 * 3, "\n".join(
        lines
    )  # and what Ansible says of each other host
    print(f"{len(lines)} lines for 8 services in need on 4 hosts, in 3 waves")
