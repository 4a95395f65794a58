# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clearing fleets away: their processes, their network, their files."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from . import base, cgroup, linux, network
from .record import FleetRecord
from .settings import LabError, Paths, remove_tree


def clear_away(fleet: FleetRecord) -> None:
    """Remove all that ``fleet`` has on this computer; the same call again finds nothing left to do.

    The folder goes last: as long as it is there, the next ``gc`` knows what
    to remove. The caller holds the laboratory's lock.
    """
    group = cgroup.group(fleet.bridge)
    cgroup.kill(group)
    cgroup.remove(group)
    network.remove(fleet.bridge)
    for host in fleet.hosts:
        root = fleet.host_folder(host.name) / "root"
        if os.path.ismount(root):
            linux.unmount(root)
    if fleet.run.exists():
        shutil.rmtree(fleet.run)
    if fleet.path.exists():
        remove_tree(fleet.path)


def claim(folder: Path) -> int:
    """Take the lock of a new fleet; the descriptor that holds it, for the daemon to inherit."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def is_living(folder: Path) -> bool:
    """Whether a daemon holds the fleet's lock. Asking shares the lock for a moment and so disturbs nobody."""
    try:
        with open(folder / "lock", "rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def living(lab: Paths) -> list[str]:
    """Names of the fleets whose daemon is alive."""
    return [folder.name for folder in _folders(lab) if is_living(folder)]


def _folders(lab: Paths) -> list[Path]:
    return sorted(path for path in lab.fleets.glob("*") if path.is_dir())


def collect_locked(lab: Paths) -> list[str]:
    """Clear away every fleet without a daemon; the caller holds the laboratory's lock. What was removed, in words."""
    removed = []
    for folder in _folders(lab):
        if not is_living(folder):
            _clear_folder(folder)
            removed.append(f"fleet {folder.name}")
    for bridge in network.orphans(lab.fleets):
        network.remove(bridge)
        removed.append(f"bridge {bridge}")
    return removed


def _clear_folder(folder: Path) -> None:
    if (folder / "fleet.json").exists():
        clear_away(FleetRecord.load(folder))
    else:  # died before it had anything
        remove_tree(folder)


def collect(lab: Paths, bases: bool = False) -> list[str]:
    """What ``lab gc`` does: dead fleets, and on request the bases nobody needs any more."""
    with lab.lock("lab"):
        removed = collect_locked(lab)
        if bases:
            used = {Path(host.base).name for folder in _folders(lab) for host in FleetRecord.load(folder).hosts}
            removed += [f"base {name}" for name in base.prune(lab, used)]
            if not used and lab.bytecode.exists():
                remove_tree(lab.bytecode)
                removed.append("the bytecode")
    return removed


def purge(lab: Paths, name: str) -> None:
    """Clear away what is left of a fleet whose daemon has ended."""
    with lab.lock("lab"):
        folder = lab.fleet(name)
        if folder.exists():
            if is_living(folder):
                raise LabError(f"the daemon of fleet {name} is still alive")
            _clear_folder(folder)
