# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a node (with Besu's options) or command its faults (``ctl``)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from . import ctl
from .node import live


def main(arguments: list[str]) -> int:
    """The exit code."""
    if arguments[:1] == ["ctl"]:
        return ctl.main(arguments[1:])
    if "--version" in arguments:
        version = os.environ.get("BESU_STANDIN_VERSION", "26.8.0")
        sys.stdout.write(f"besu/v{version}/linux-x86_64/openjdk-java-25\n")
        return 0
    # The virtual machine ends with these codes too before Besu could do anything about it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: os._exit(128 + number))
    return asyncio.run(live(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
