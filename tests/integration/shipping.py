# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the code of the collection on a host, with the drivers that use it there as a module would."""

from __future__ import annotations

import io
import json
import tarfile
import typing as t
from pathlib import Path

from ansible_collections.chainops.lifecycle.tests.support.lab import Host

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
REMOTE = "/opt/lifecycle"


def ship(host: Host, *drivers: str) -> None:
    """Copy module_utils and these files of this folder to REMOTE."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in (ROOT / "plugins" / "module_utils").rglob("*.py"):
            archive.add(path, f"ansible_collections/chainops/lifecycle/{path.relative_to(ROOT)}")
        for name in drivers:
            archive.add(HERE / name, name)
    host.sh('mkdir -p "$1" && tar -x -C "$1"', REMOTE, stdin=packed.getvalue())


def run_driver(host: Host, driver: str, *arguments: str, timeout: float = 300.0) -> t.Any:
    """Run a driver that was shipped; what it printed, as JSON."""
    return json.loads(host.run("python3", f"{REMOTE}/{driver}", *arguments, timeout=timeout).stdout)
