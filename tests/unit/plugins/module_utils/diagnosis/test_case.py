# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How severe a line of a service was meant to be."""

from __future__ import annotations

import json

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import case as c
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import read_lines
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Entry, parse


def line(message: str, priority: int = 6, **fields: str) -> Entry:
    record = {"MESSAGE": message, "PRIORITY": str(priority), "_TRANSPORT": "stdout", **fields}
    return parse(json.dumps(record))[0]


@pytest.mark.parametrize(
    ("text", "priority", "transport", "level"),
    [
        ("ERROR x", 6, "stdout", c.ERROR),
        ("2024-01-01 | main | FATAL | Besu | x", 6, "stdout", c.ERROR),
        ("2026-08-14T12:00:00Z ERR x error=y", 6, "stdout", c.ERROR),
        ("2026-08-14T12:00:00Z WRN x", 6, "stdout", c.WARNING),
        ("error: x", 6, "stdout", c.ERROR),
        ("nginx: error: x", 6, "stdout", c.ERROR),
        ('{"a":1,"level":"error"}', 6, "stdout", c.ERROR),
        ("level=warning x", 6, "stdout", c.WARNING),
        ("[error] 7#7: x", 6, "stdout", c.ERROR),
        ("\x1b[31m2026-11-24 10:00:00 | main | ERROR | Besu | x\x1b[m", 6, "stdout", c.ERROR),
        ("an error in prose", 6, "stdout", c.UNLEVELLED),
        ("more info at https://x", 6, "stdout", c.UNLEVELLED),
        ("INFO ERROR count 0", 6, "stdout", c.INFO),
        ("plain", 3, "syslog", c.ERROR),
        ("plain", 4, "stdout", c.WARNING),
        ("plain", 6, "stdout", c.UNLEVELLED),
        ("plain", 6, "syslog", c.INFO),
        ("plain", 7, "stdout", c.INFO),
    ],
)
def test_the_level_of_a_line(text: str, priority: int, transport: str, level: int) -> None:
    (read,) = read_lines([line(text, priority=priority, _TRANSPORT=transport)])
    assert read.level == level


def test_a_line_has_no_terminal_colours() -> None:
    (read,) = read_lines([line("\x1b[33m| WARN | x\x1b[m y")])
    assert (read.text, read.level) == ("| WARN | x y", c.WARNING)


def test_a_continued_line_keeps_the_level_of_its_first() -> None:
    lines = read_lines([line("INFO retrying"), line("\tat java.net.Socket"), line("Caused by: Connection refused")])
    assert {read.level for read in lines} == {c.INFO}
