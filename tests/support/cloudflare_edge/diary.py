# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The diary of the edge: what happened and when, in memory and, as JSON lines, in a file. No secret goes in."""

from __future__ import annotations

import collections
import datetime
import json
import time
from pathlib import Path
from typing import Any, TextIO

_KEPT = 20000

Event = dict[str, Any]


def timestamp(seconds: float | None) -> str | None:
    """A time as the Cloudflare API writes it."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Diary:
    """Numbered events; the latest 20000 are kept."""

    def __init__(self, file: Path | None = None) -> None:
        self._events: collections.deque[Event] = collections.deque(maxlen=_KEPT)
        self._number = 0
        self._file: TextIO | None = None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._file = file.open("a", encoding="utf-8", buffering=1)

    @property
    def number(self) -> int:
        """That of the latest event."""
        return self._number

    def write(self, event: str, **details: Any) -> None:
        self._number += 1
        said = {name: value for name, value in details.items() if value is not None}
        entry = {"number": self._number, "time": timestamp(time.time()), "monotonic": time.monotonic(), "event": event}
        self._events.append({**entry, **said})
        if self._file is not None:
            self._file.write(json.dumps(self._events[-1]) + "\n")

    def since(self, number: int = 0, event: str | None = None) -> list[Event]:
        """Events after ``number``, of one kind where it is given."""
        return [entry for entry in self._events if entry["number"] > number and event in (None, entry["event"])]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
