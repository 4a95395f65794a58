# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of the demonstration, and how playbooks are run on them."""

from __future__ import annotations

import os
import re
import subprocess
import typing as t
from pathlib import Path

import yaml

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet

# Ansible's own lines about plays and tasks; what the collection reports has none of these forms.
NOISE = re.compile(
    r"\s*$|PLAY|TASK|changed:|included:|ok:|skipping:|fatal:|Origin: |Pausing|You should set|\w+ +: ok="
    r"|\[(?:WARNING|ERROR)\]|\d+(?: (?:#|-|  )|$)| +\^"
)

# Blocks come every second: two observations of the network two seconds apart show that it advances.
NETWORK_INTERVAL = {"lifecycle_network_interval": 2}

Described = t.Mapping[str, list[t.Any]]


def say(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m", flush=True)


class Stage:
    """``fleet`` with all hosts, and a folder of its own for Ansible."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.folder = fleet, folder
        folder.mkdir()
        (folder / "ansible.cfg").write_text(
            "[defaults]\nforks = 9\nhost_key_checking = false\nlocalhost_warning = false\n"
            "display_ok_hosts = false\ndisplay_skipped_hosts = false\n"
            "[inventory]\ninventory_unparsed_warning = false\n[ssh_connection]\npipelining = true\n"
        )
        self._environment = {**os.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}

    def play(self, book: str, services: Described, *options: str, expect: int = 0, **given: t.Any) -> None:
        """Run a playbook for the services of these hosts, and print what it reports."""
        hosts = {name: {"lifecycle_services": own} for name, own in services.items()}
        (self.folder / "services.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
        (self.folder / "vars.yml").write_text(yaml.safe_dump(given))
        argv = ["ansible-playbook", "-i", str(self.fleet.inventory), "-i", "services.yml", "--limit", ",".join(hosts)]
        done = subprocess.Popen(
            [*argv, *options, book, "-e", "@vars.yml"],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        shown = []
        for line in done.stdout or ():
            shown.append(line)
            if not NOISE.match(line):
                print(line, end="", flush=True)
        if done.wait() != expect:
            raise SystemExit("".join(["\n", *shown[-40:], f"{book} ended with {done.returncode}, not {expect}"]))

    def hold(self, host: str, service: str, reason: str) -> None:
        """Let ann hold a service for an hour."""
        hold = f"name={service} owner=ann reason='{reason}' expires_in=3600"
        argv = ["ansible", "-i", str(self.fleet.inventory), host, "-m", "chainops.lifecycle.service_hold", "-a", hold]
        done = subprocess.run(
            argv, cwd=self.folder, env=self._environment, check=False, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            raise SystemExit(f"\n{done.stdout}{done.stderr}the hold of {service} on {host} failed")
