# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system calls that Python does not have."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_MS_REC, _MS_PRIVATE, _MNT_DETACH, _PR_SET_PDEATHSIG = 0x4000, 1 << 18, 2, 1


def _checked(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def private_mounts() -> None:
    """Give this process mounts of its own: they vanish with the last process that sees them."""
    os.unshare(os.CLONE_NEWNS)
    _checked(_LIBC.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "making mounts private")


def mount_overlay(lower: Path, upper: Path, work: Path, target: Path) -> None:
    """Mount an overlay that never waits for the disk: it need not survive this computer."""
    options = f"lowerdir={lower},upperdir={upper},workdir={work},volatile"
    _checked(_LIBC.mount(b"overlay", os.fsencode(target), b"overlay", 0, options.encode()), f"mounting {target}")


def unmount(target: Path) -> None:
    _checked(_LIBC.umount2(os.fsencode(target), _MNT_DETACH), f"unmounting {target}")


def die_with_parent() -> None:
    """Have the kernel kill this process as soon as its parent is gone, however the parent ends."""
    _checked(_LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")


def _shuts_down(leader: int) -> bool:
    try:
        return Path(f"/proc/{leader}/comm").read_text(encoding="utf-8").startswith("systemd-shutdow")
    except OSError:  # it has ended
        return False


def let_nsenter_go_on(leaders: set[int]) -> None:
    """Wake every nsenter into a host that shuts down: it stops itself where its child is stopped, as systemd does then."""
    targets = {leader for leader in leaders if _shuts_down(leader)}
    if not targets:  # looking at every process takes some milliseconds
        return
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if b" (nsenter) T " not in (folder / "stat").read_bytes():
                continue
            target = (folder / "cmdline").read_bytes().split(b"\0")[1].partition(b"=")[2]
            if target.isdigit() and int(target) in targets:
                os.kill(int(folder.name), signal.SIGCONT)
