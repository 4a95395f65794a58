# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lines of a cloudflared prove of its past, as a real one writes them."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log_states import (
    ConnectorLogStates,
    Known,
    is_logged,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.log_states import Stretch

Line = tuple[float, str]
CONNECTION = "connection=0f2a1b8e-35b1-4c0f-8e6e-a11dbbe23f01 event=0 ip=198.41.200.13"


def line(at: float, level: str, message: str) -> Line:
    return at, f"2026-08-14T12:00:00Z {level} {message}"


def up(at: float, index: int) -> Line:
    return line(at, "INF", f"Registered tunnel connection connIndex={index} {CONNECTION} location=tst01 protocol=http2")


def lost(at: float, index: int, level: str = "WRN") -> tuple[Line, ...]:
    """One connection is cut: what http2 says of it."""
    return (
        line(at, "INF", f"Lost connection with the edge connIndex={index}"),
        line(at, level, f'Serve tunnel error error="connection with edge closed" connIndex={index} event=0 ip=1.2.3.4'),
        line(at + 0.001, "INF", f"Retrying connection in up to 1s connIndex={index} event=0 ip=1.2.3.4"),
        line(at + 0.002, level, f'Connection terminated error="connection with edge closed" connIndex={index}'),
    )


def warned(at: float, index: int, level: str) -> Line:
    return line(at, level, f'Connection terminated error="connection with edge closed" connIndex={index}')


def start(at: float) -> tuple[Line, ...]:
    return (
        line(at, "INF", "Starting tunnel tunnelID=3f3a9f5a-0000-4000-8000-000000000000"),
        line(at + 1, "INF", "Starting metrics server on 127.0.0.1:20241/metrics"),
    )


ALL = tuple(up(3 + n, n) for n in range(4))
CUT = (*lost(20, 0), *lost(20, 1), *lost(20, 2), *lost(20.5, 3, "ERR"))
BACK = tuple(up(31 + n, n) for n in range(4))
STARTED = [(0, "starting"), (1.5, "connecting"), (3, "connected"), (6, "running")]

ROWS: dict[str, tuple[tuple[Line, ...], list[tuple[float, str]]]] = {
    "a start": ((*start(0.5), *ALL), STARTED),
    "an outage": (
        (*start(0.5), *ALL, *CUT, *BACK),
        [*STARTED, (20, "connected"), (20.5, "reconnecting"), (31, "connected"), (34, "running")],
    ),
    "one connection of four": ((*start(0.5), *ALL, *lost(20, 2), up(25, 2)), [*STARTED, (20, "connected"), (25, "running")]),
    "two addresses are all that the edge offers": (
        (*start(0.5), line(2, "INF", "You requested 4 HA connections but I can give you at most 2."), *ALL[:2]),
        [(0, "starting"), (1.5, "connecting"), (3, "connected"), (4, "running")],
    ),
    "attempts that fail are no loss": (
        (*start(0.5), line(9, "ERR", 'Serve tunnel error error="DialContext error: dial tcp 1.2.3.4:7844" connIndex=0')),
        [(0, "starting"), (1.5, "connecting")],
    ),
    "the wording of 2022": (
        (*start(0.5), *(line(3 + n, "INF", f"Connection 0f2a registered connIndex={n} location=ORD") for n in range(4))),
        STARTED,
    ),
    "nothing that it writes is in the journal": ((), [(0, "starting"), (60, "unknown")]),
    "warnings only": ((warned(5, 0, "WRN"), warned(6, 1, "ERR")), [(0, "starting"), (5, "connecting"), (606, "unknown")]),
    "a process of which systemd's record is missing": (
        (*start(0.5), *ALL, line(40, "INF", "Starting tunnel tunnelID=3f3a")), [*STARTED, (40, "starting"), (100, "unknown")],
    ),
    "words of an origin": (
        (*start(0.5), line(3, "ERR", "Request failed error=\"Registered tunnel connection connIndex=0\" connIndex=0")),
        [(0, "starting"), (1.5, "connecting")],
    ),
    "an index that is none": ((*start(0.5), line(3, "INF", "Registered tunnel connection"), up(4, 99999)), [(0, "starting"), (1.5, "connecting")]),
}  # fmt: skip


def states(
    *lines: Line, fresh: bool = False, known: Known | None = None, last: bool = True, **options: t.Any
) -> list[tuple[float, str]]:
    return ConnectorLogStates(known=known, **options).states(Stretch(0, 5000, lines, 0, fresh, last))


@pytest.mark.parametrize("name", ROWS)
def test_a_process_that_began_within_the_window(name: str) -> None:
    lines, found = ROWS[name]
    assert states(*lines, fresh=True) == found


def test_json_lines_say_the_same() -> None:
    text = '{"connIndex":%d,"event":0,"ip":"127.0.0.1","level":"info","message":"Registered tunnel connection"}'
    told = tuple((3.0 + n, text % n) for n in range(4))
    assert states(*start(0.5), *told, fresh=True) == STARTED
    failed = {"connIndex": 3, "error": "connection with edge closed", "level": "warn", "message": "Serve tunnel error"}
    assert states(*start(0.5), *told, (9.0, json.dumps(failed)), fresh=True)[-1] == (9, "connected")


NOW = Known(4, True)


@pytest.mark.parametrize(
    ("lines", "known", "found"),
    [
        # What it has now, and no word since: it had that all the time.
        ((), NOW, [(0, "running")]),
        ((), Known(2, True), [(0, "connected")]),
        ((), Known(0, True), [(0, "reconnecting")]),
        ((), Known(0, False), [(0, "unknown")]),
        ((), Known(), [(0, "unknown")]),
        # Lost after a long silence: until then it was there. Where the others have no word, they are what is there now.
        ((*lost(900, 1), up(910, 1)), NOW, [(0, "running"), (900, "connected"), (910, "running")]),
        ((*lost(900, 1),), Known(3, True), [(0, "running"), (900, "connected")]),
        # Lost at once: whether it was there before is not known.
        ((*lost(9, 1), up(19, 1)), NOW, [(0, "unknown"), (9, "connected"), (19, "running")]),
        # What registers was missing.
        ((up(900, 1),), NOW, [(0, "connected"), (900, "running")]),
        # What it has now contradicts its log: lines are missing.
        ((up(900, 1), up(901, 2)), Known(1, True), [(0, "unknown")]),
        # Without an error nobody knows of the others; an error says that nothing is left.
        ((*lost(900, 1, "ERR"), up(905, 1)), Known(), [(0, "unknown"), (900, "reconnecting"), (905, "connected")]),
    ],
)
def test_a_process_that_began_before_the_window(
    lines: tuple[Line, ...], known: Known, found: list[tuple[float, str]]
) -> None:
    assert states(*lines, known=known) == found


def test_what_ended_is_known_by_its_own_lines_alone() -> None:
    goodbye = tuple(
        line(900, "INF", f"Unregistered tunnel connection connIndex={n} event=0 ip=1.2.3.4") for n in range(4)
    )
    assert states(*goodbye, last=False, known=Known(4, True))[0] == (0, "running")


def test_fewer_connections_than_are_needed_are_none() -> None:
    found = states(*start(0.5), *ALL, fresh=True, minimum=2)
    assert found == [(0, "starting"), (1.5, "connecting"), (3, "reconnecting"), (4, "connected"), (6, "running")]


@pytest.mark.parametrize(
    ("properties", "level", "logged"),
    [
        ({"StandardOutput": "journal", "StandardError": "inherit", "LogNamespace": ""}, "", True),
        ({"StandardOutput": "null", "StandardError": "journal"}, "debug", True),
        ({"StandardOutput": "file:/var/log/tunnel", "StandardError": "inherit"}, "", False),
        ({"StandardOutput": "journal", "StandardError": "null"}, "info", False),
        ({"StandardOutput": "journal", "StandardError": "inherit", "LogNamespace": "tunnels"}, "", False),
        ({"StandardOutput": "journal", "StandardError": "inherit"}, "warn", False),
    ],
)
def test_silence_means_something_only_where_its_words_would_be_in_the_journal(
    properties: dict[str, str], level: str, logged: bool
) -> None:
    assert is_logged(properties, level) is logged
