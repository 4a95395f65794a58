# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the figures need: hosts, a way to run ansible on them with a stopwatch, and a table at the end."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host

HERE = Path(__file__).parent
HOSTS = int(os.environ.get("CHAINOPS_BENCH_HOSTS", "40"))


@dataclass
class Figures:
    """Rows of the table: what was measured, against what, and the goal."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, what: str, found: str, goal: str = "") -> None:
        self.rows.append((what, found, goal))

    def ratio(self, what: str, ours: t.Sequence[float], peer: t.Sequence[float], goal: str) -> float:
        """The ratio of the medians; ours and the peer's runs took turns on the same machine."""
        mine, other = statistics.median(ours), statistics.median(peer)
        self.add(what, f"{mine / other:.2f}  ({mine:.2f} s / {other:.2f} s)", goal)
        return mine / other


_FIGURES = Figures()


@pytest.fixture(scope="session")
def figures() -> Figures:
    return _FIGURES


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    if not _FIGURES.rows:
        return
    before = _run_before({what: found for what, found, _goal in _FIGURES.rows})
    terminalreporter.section("figures")
    rows = [(what, found, before.get(what, ""), goal) for what, found, goal in _FIGURES.rows]
    for what, found, earlier, goal in [("FIGURE", "FOUND", "THE RUN BEFORE", "GOAL"), *rows]:
        terminalreporter.write_line(f"{what:<70} {found:<34} {earlier:<34} {goal}")


def _run_before(found: dict[str, str]) -> dict[str, str]:
    """What the run before found, of which a step of make keeps a note; ``found`` takes its place."""
    if "RESULTS" not in os.environ:
        return {}
    note = Path(os.environ["RESULTS"]).parent / "figures.json"
    before: dict[str, str] = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    note.write_text(json.dumps({**before, **found}, indent=1), encoding="utf-8")
    return before


@dataclass
class Ansible:
    """Runs playbooks on a fleet."""

    fleet: Fleet
    collections: Path

    def play(self, playbook: str, *arguments: str, **more: str) -> float:
        """Run a playbook (a file of this folder, or a name); seconds that it took. Raises where it fails.

        ``more``: variables of the environment.
        """
        path = HERE / playbook
        argv = [
            "ansible-playbook",
            "-i",
            str(self.fleet.inventory),
            str(path) if path.exists() else playbook,
            *arguments,
        ]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORKS": str(HOSTS),
            "ANSIBLE_HOST_KEY_CHECKING": "0",
            **more,
        }
        began = time.monotonic()
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        took = time.monotonic() - began
        if done.returncode != 0:
            raise AssertionError(
                f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-2000:]}"
            )
        return took


def ship(host: Host, driver: str) -> None:
    """Put the code that runs on hosts, and a driver of this folder that uses it, into /opt/bench."""
    host.sh("mkdir -p /opt/bench/ansible_collections/chainops/lifecycle/plugins")
    root = HERE.parent.parent
    packed = subprocess.run(
        ["tar", "-C", str(root), "--exclude=__pycache__", "-cf", "-", "plugins/module_utils"],
        capture_output=True,
        check=True,
    )
    host.push_text("/opt/bench/plugins.tar", packed.stdout)
    host.sh("tar -C /opt/bench/ansible_collections/chainops/lifecycle -xf /opt/bench/plugins.tar")
    host.push(HERE / driver, f"/opt/bench/{driver}")


@pytest.fixture(scope="session")
def ansible(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Ansible]:
    """A fleet of HOSTS hosts with three services each, reached by ansible."""
    root = tmp_path_factory.mktemp("collections")
    (root / "ansible_collections" / "chainops").mkdir(parents=True)
    (root / "ansible_collections" / "chainops" / "lifecycle").symlink_to(HERE.parent.parent)
    with Fleet(f"bench-{os.getpid()}", [Group("b", HOSTS, "trixie")]) as fleet:
        ready = Ansible(fleet, root)
        ready.play("setup.yml")
        yield ready
