# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for people: tables that fit a width, lengths of time, counts of things.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import escape_control

WIDTH = 100

# No column but the last is cut below this; the names of hosts and services, which come first, not below the second.
_LEAST = 12
_LEAST_NAME = 32
_NAMES = 2
# A last column that would keep less than this of a longer text leaves that text to a line of its own.
_LEAST_LAST = 40
_ON_ITS_OWN = 4


def duration(seconds: float | None) -> str:
    """A length of time in at most two units."""
    if seconds is None:
        return "-"
    left, parts = int(seconds), list[str]()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def window_text(seconds: float) -> str:
    """A window as people give it: 24 h, and not 1 d."""
    return f"{seconds / 3600:.0f} h" if seconds <= 172800 and seconds % 3600 == 0 else duration(seconds)


def count(number: int, one: str, many: str = "") -> str:
    """A number of things, such as ``1 host`` or ``2 hosts``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def shorten(text: str, width: int) -> str:
    """The text in at most ``width`` characters, cut in the middle: what it begins with and how it ends both tell."""
    if len(text) <= width:
        return text
    if width < 8:
        return text[: max(width - 1, 0)] + "…"
    tail = (width - 1) // 3
    return text[: width - 1 - tail].rstrip() + "…" + text[len(text) - tail :].lstrip()


def one_line(text: str, width: int) -> str:
    """Text of a host as a line of at most ``width`` characters that no terminal acts on, cut in the middle."""
    return shorten(escape_control(shorten(text, 20 * width), 400 * width), width)


def render(table: t.Sequence[t.Sequence[str]], width: int = WIDTH, indent: str = "") -> list[str]:
    """Rows as aligned columns that fit ``width``; the last column gets what the others leave, and at least a third.

    What the last column has no room for follows on a line of its own, further in.
    """
    rows = [[*row] for row in table]
    if not rows:
        return []
    room = width - len(indent) - 2 * (len(rows[0]) - 1)
    widths = _widths(rows, room)
    free = max(room - sum(widths), _LEAST)
    lines: list[str] = []
    for row in rows:
        cells = [shorten(row[i], size).ljust(size) for i, size in enumerate(widths)]
        below = free < _LEAST_LAST and len(row[-1]) > free
        lines.append((indent + "  ".join([*cells, "" if below else shorten(row[-1], free)])).rstrip())
        if below:
            further = indent + " " * _ON_ITS_OWN
            lines.append(further + shorten(row[-1], width - len(further)))
    return lines


def _widths(rows: t.Sequence[t.Sequence[str]], room: int) -> list[int]:
    """The widths of all columns but the last, the longest made shorter until the last one has its share."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    last = max(len(row[-1]) for row in rows)
    for _cut in range(sum(widths) + min(last, room // 3) - room):
        spare = {i: size - (_LEAST_NAME if i < _NAMES else _LEAST) for i, size in enumerate(widths)}
        longest = max((i for i in spare if spare[i] > 0), key=lambda i: widths[i], default=-1)
        if longest < 0:
            break
        widths[longest] -= 1
    return widths


def line_width(columns: int) -> int:
    """How long a line may be on a terminal of so many columns; 0 is no terminal, or one that does not say."""
    return columns or WIDTH


def terminal_columns() -> int:
    """The columns of the terminal that standard output is, 0 where it is none."""
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 0
