# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the laboratory keeps its things, and the errors it raises."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import typing as t
from dataclasses import dataclass
from pathlib import Path

TESTS_DIR = Path(__file__).resolve().parent.parent

# The systemd that each Debian suite brings.
SUITES: dict[str, int] = {"bookworm": 252, "trixie": 257, "forky": 262}


class LabError(Exception):
    """Something a person can fix; the message says how."""


@dataclass(frozen=True)
class Paths:
    """The folders of one laboratory. All of it may be deleted when no fleet is up."""

    root: Path

    @property
    def bases(self) -> Path:
        return self.root / "bases"

    @property
    def fleets(self) -> Path:
        return self.root / "fleets"

    @property
    def key(self) -> Path:
        return self.root / "id_ed25519"

    @property
    def bytecode(self) -> Path:
        return self.root / "bytecode"

    def fleet(self, name: str) -> Path:
        return self.fleets / name

    def make(self) -> None:
        self.bases.mkdir(parents=True, exist_ok=True)
        self.fleets.mkdir(parents=True, exist_ok=True)
        os.chmod(self.root, 0o755)

    @contextlib.contextmanager
    def lock(self, name: str) -> t.Iterator[None]:
        """Hold the lock ``name`` of this laboratory; the kernel frees it however the process ends."""
        self.make()
        with open(self.root / f"{name}.lock", "w", encoding="ascii") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def paths() -> Paths:
    return Paths(Path(os.environ.get("CHAINOPS_LAB_DIR") or "/var/tmp/chainops-lab").resolve())


def has_caches() -> bool:
    """Whether hosts have tests/support/caches; other hosts compile and import all of a module in each run."""
    return bool(os.environ.get("CHAINOPS_LAB_CACHES"))


def boot_limit(hosts: int) -> float:
    """Seconds within which so many hosts, which start at once, must be up."""
    return 120.0 + 10.0 * hosts


def remove_tree(path: Path) -> None:
    """Delete ``path``; refuse where something is still mounted below it."""
    prefix = f"{path}/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as handle:
        mounted = [line.split()[4] for line in handle]
    below = [point for point in mounted if point == str(path) or point.startswith(prefix)]
    if below:
        raise LabError(f"{below[0]} is still mounted: umount it, then run: lab gc")
    shutil.rmtree(path, ignore_errors=False)
