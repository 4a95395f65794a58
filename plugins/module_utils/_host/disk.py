# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The space that is left on file systems. Reads only.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import typing as t


class Disk(t.NamedTuple):
    """The space left for one path. ``free`` in bytes, ``inodes`` free."""

    path: str
    free: int
    inodes: int


def free_bytes(usage: os.statvfs_result) -> int:
    """The bytes that a user may still write on a file system."""
    return usage.f_bavail * usage.f_frsize


def disk_usage(paths: t.Sequence[str]) -> tuple[Disk, ...]:
    """Free space of each file system behind ``paths``, once each; for what does not exist, of its parent directory."""
    disks: dict[int, Disk] = {}
    for path in paths:
        there = path
        while there not in ("/", "") and not os.path.exists(there):
            there = os.path.dirname(there)
        try:
            device = os.stat(there).st_dev
            usage = os.statvfs(there)
        except OSError:
            continue  # it went away, or this user may not read it: nothing is known of it
        if usage.f_blocks and not usage.f_flag & os.ST_RDONLY:
            # A file system without an inode table (btrfs) counts none and never lacks one.
            inodes = usage.f_favail if usage.f_files else 1
            disks.setdefault(device, Disk(there, free_bytes(usage), inodes))
    return tuple(disks.values())
