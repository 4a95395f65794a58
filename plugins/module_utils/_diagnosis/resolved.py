# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a hard cause has been dealt with since the failure, as far as the host shows it.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

A hard cause asks for a person. Once the person has been there (the missing
file exists, the broken one was changed, the port is free), a new start is
worth an attempt, and nobody has to say so. What cannot be seen stays hard.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.addresses import ports_in
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import Cause
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.disk import Disk, disk_usage
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.procfs import port_holders

_PATH = re.compile(r"(?<![\w.:/])/(?:[\w.@+-]+/)*[\w.@+-]*[\w@+-]")
_ENVIRONMENT_FILE = re.compile(r"(/.+?) \(ignore_errors=(?:yes|no)\)")
_MISSING = ("file_missing", "exec_missing", "environment_file_missing", "working_directory_missing")
_MAX_FIRST_LINE = 256


def resolution_of(
    cause: Cause, properties: t.Mapping[str, str], failed_at: float, disks: t.Sequence[Disk] = (), min_free: int = 0
) -> str | None:
    """What shows that the cause is gone; None where nothing does.

    ``failed_at``: when the service failed, in seconds since the epoch.
    """
    named = [path for line in cause.evidence for path in _PATH.findall(line)]
    if cause.id in _MISSING and named and all(_is_there(path) for path in named):
        return f"{named[0]} exists now"
    if cause.id == "address_in_use":
        ports = ports_in(cause.evidence)
        return f"port {ports[0]} is free now" if ports and not port_holders(ports) else None
    if cause.id == "disk_full":
        disks = (*disks, *disk_usage(named))  # what the log names need not be among what systemd knows of
        return "there is room now" if disks and all(d.free >= min_free and d.inodes for d in disks) else None
    if cause.id == "user_missing" and _known_user(properties.get("User", "")):
        return f"the user {properties['User']} exists now"
    of_unit = [properties.get("FragmentPath", ""), *properties.get("DropInPaths", "").split()]
    paths = [*named, *of_unit, *environment_files(properties)]
    changed = next((path for path in paths if path and _changed_at(path) > failed_at), None)
    return f"{changed} was changed since it failed" if changed else None


def environment_files(properties: t.Mapping[str, str]) -> list[str]:
    """The files that a unit takes its environment from, as ``systemctl show`` names them."""
    return _ENVIRONMENT_FILE.findall(properties.get("EnvironmentFiles", ""))


def _is_there(path: str) -> bool:
    """Whether a file is there, and if it is a script, its interpreter too."""
    try:
        with open(path, "rb") as stream:
            first = stream.readline(_MAX_FIRST_LINE)
    except IsADirectoryError:
        return True
    except OSError:
        return os.path.exists(path)
    words = first[2:].split() if first.startswith(b"#!") else []
    return not words or os.path.exists(words[0])


def _changed_at(path: str) -> float:
    """When content, owner or mode changed last (ctime), 0 where the file is not there."""
    try:
        return os.stat(path).st_ctime
    except OSError:
        return 0.0


def _known_user(name: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
