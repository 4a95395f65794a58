# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One cgroup for each host, so that a host can be killed, frozen and emptied as a whole."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

_PARENT = "chainops-lab"


def mount_point() -> Path | None:
    """Where cgroup2 is mounted: /sys/fs/cgroup, or a folder of it under the hybrid layout."""
    with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as handle:
        points = [fields[1] for fields in map(str.split, handle) if fields[2] == "cgroup2"]
    under = [point for point in points if point.startswith("/sys/fs/cgroup")]
    return Path((under or points)[0]) if points else None


def can_kill(root: Path) -> bool:
    """Whether the kernel has cgroup.kill; the root itself never has it, so a child is asked."""
    # Of its own: another run may be at the same question.
    probe = root / f"{_PARENT}-check-{os.getpid()}"
    probe.mkdir(exist_ok=True)
    try:
        return (probe / "cgroup.kill").exists()
    finally:
        with contextlib.suppress(OSError):
            probe.rmdir()


def group(fleet_id: str, host: str = "") -> Path:
    root = mount_point()
    if root is None:
        raise FileNotFoundError("no cgroup2 file system is mounted")
    return root / _PARENT / fleet_id / host if host else root / _PARENT / fleet_id


def make(fleet_id: str, host: str) -> Path:
    path = group(fleet_id, host)
    path.mkdir(parents=True, exist_ok=True)
    for parent in (path.parent.parent, path.parent):
        offered = (parent / "cgroup.controllers").read_text(encoding="ascii").split()
        for controller in set(offered) & {"cpu", "io", "memory", "pids"}:
            with contextlib.suppress(OSError):  # what the machine does not delegate, the hosts do without
                (parent / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")
    return path


def enter(path: Path) -> None:
    """Move this process into ``path``."""
    (path / "cgroup.procs").write_text("0", encoding="ascii")


def populated(path: Path) -> bool:
    return "populated 1" in (path / "cgroup.events").read_text(encoding="ascii")


def kill(path: Path, timeout: float = 20.0) -> None:
    """Kill every process below ``path`` at once, as a power cut does, and wait until none is left."""
    if not path.exists():
        return
    freeze(path, False)
    (path / "cgroup.kill").write_text("1", encoding="ascii")
    deadline = time.monotonic() + timeout
    while populated(path):
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes in {path} survived SIGKILL for {timeout:g} s")
        time.sleep(0.01)


def freeze(path: Path, frozen: bool) -> None:
    (path / "cgroup.freeze").write_text("1" if frozen else "0", encoding="ascii")


def remove(path: Path) -> None:
    """Remove ``path`` and all below it; nothing may live there."""
    if not path.exists():
        return
    for child in sorted((p for p in path.rglob("*") if p.is_dir()), key=lambda p: len(p.parts), reverse=True):
        child.rmdir()
    path.rmdir()
