# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log: lines on standard output as Besu's log4j configuration writes them, colours included."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TextIO

_COLOURS = {"INFO": "32", "WARN": "33", "ERROR": "1;31"}
_DIM = "\x1b[2m"
_OFF = "\x1b[m"


@dataclass
class Log:
    """Writes log events. ``stream`` is flushed for each, so that standard error keeps its place between them."""

    stream: TextIO
    colour: bool = True

    def write(self, level: str, thread: str, logger: str, text: str) -> None:
        """One event. ``text`` may have several lines."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}+00:00"
        if not self.colour:
            self.raw(f"{stamp} | {thread} | {level:<5} | {logger} | {text}\n")
            return
        between = f"{_OFF}{_DIM} | {_OFF}"
        shade = f"\x1b[{_COLOURS[level]}m"
        self.raw(
            f"{_DIM}{stamp}{between}{_DIM}{thread}{between}{shade}{level:<5}{between}{_DIM}{logger}{between}"
            f"{shade}{text}\n{_OFF}"
        )

    def note(self, logger: str, text: str, thread: str = "main") -> None:
        """An event of level INFO."""
        self.write("INFO", thread, logger, text)

    def caution(self, logger: str, text: str, thread: str = "main") -> None:
        """An event of level WARN."""
        self.write("WARN", thread, logger, text)

    def failure(self, logger: str, text: str, thread: str = "main") -> None:
        """An event of level ERROR."""
        self.write("ERROR", thread, logger, text)

    def raw(self, text: str) -> None:
        """Text that is no log event."""
        self.stream.write(text)
        self.stream.flush()


def standard_error(text: str) -> None:
    """Text on standard error."""
    sys.stderr.write(text)
    sys.stderr.flush()
