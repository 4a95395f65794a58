# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service on each host of a fleet, and runs of the playbook recover on it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import typing as t
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet


class Run(t.NamedTuple):
    code: int
    output: str
    outcomes: dict[str, str]


@contextmanager
def deployed(fleet: Fleet, name: str, unit: str, script: str) -> t.Iterator[None]:
    """On each host a service of this unit file, loaded, and then ``script`` run; nothing of it is left afterwards."""
    path = f"/etc/systemd/system/{name}.service"
    for host in fleet.hosts.values():
        host.push_text(path, unit)
    fleet.each(lambda host: host.sh(f"systemctl daemon-reload; {script}"))
    yield
    fleet.each(lambda host: host.sh(f"systemctl stop {name}; rm {path}; systemctl daemon-reload"))


def recover(fleet: Fleet, folder: Path, *options: str, **given: t.Any) -> Run:
    """Run the playbook recover in a folder, with options and variables of its own."""
    argv = ["ansible-playbook", "-i", str(fleet.inventory), "chainops.lifecycle.recover", *options]
    done = subprocess.run(
        [*argv, "-e", json.dumps({"lifecycle_max_unhealthy": "100%", **given})],
        cwd=folder,
        env={**os.environ, "ANSIBLE_PIPELINING": "1", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_SHOW_CUSTOM_STATS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    output = done.stdout + done.stderr
    stats = re.search(r"RUN: (\{.*\})", output)
    assert stats, output
    entries = json.loads(stats[1])["lifecycle_outcome"]["entries"]
    return Run(done.returncode, output, {entry["host"]: entry["outcome"] for entry in entries})
