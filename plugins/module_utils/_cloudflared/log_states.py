# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states that the log of a connector proves: which of its connections are registered, and when they are lost. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Two things are known besides the lines of a connection: a loss is logged as an
error where no connection is left and as a warning where one is, and a connection
that is missing is tried again and again, so that one of which nothing is said for longer than that is there.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import log
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import (
    CONNECTED,
    CONNECTING,
    RECONNECTING,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import takes
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.log_states import Moment, Moments, Stretch

_STARTS = "Starting tunnel"
_SERVES = "Starting metrics server"
# Of these the level tells whether a connection is left (ConnAwareLogger, since 2021.12).
_AWARE = ("Serve tunnel error", "Connection terminated")
TELLING = "|".join(
    (*log.LOSSES, "Registered tunnel connection", "Connection .{1,60} registered", _STARTS, _SERVES, "give you at most")
)
_INFORMED = ("INF", "DBG")
# Looking names up before it serves its metrics takes that long at most before it is a finding, in seconds.
_START = 60.0


class _Event(t.NamedTuple):
    """What one line tells: ``up``, ``down``, ``start``, ``serves`` or ``at_most``. ``connection``: its number."""

    at: float
    kind: str
    level: str
    connection: str = ""
    left: bool | None = None
    number: int = 0


class Known(t.NamedTuple):
    """What is known of the connector at present: how many connections it has, and whether it has had any."""

    connections: int | None = None
    had: bool = False


def is_logged(properties: t.Mapping[str, str], level: str) -> bool:
    """Whether registrations and losses get into the journal, so that silence means that there were none.

    ``properties``: of its unit; ``level``: its ``--loglevel``.
    """
    target = properties.get("StandardError", "")
    if target in ("", "inherit"):
        target = properties.get("StandardOutput", "")
    return takes(target) and not properties.get("LogNamespace") and level.lower() in ("", "info", "debug")


class ConnectorLogStates:
    """``expected``, ``minimum``: connections; ``silence``: seconds without a word after which nothing is missing."""

    pattern = TELLING

    def __init__(self, expected: int = 4, minimum: int = 1, silence: float = 600.0, known: Known | None = None) -> None:
        self._expected = max(expected, 1)
        self._minimum = max(minimum, 1)
        self._silence = silence
        self._known = known or Known()
        self.lead = silence

    def states(self, stretch: Stretch) -> list[Moment]:
        """Each change of state that the lines prove."""
        events = [event for at, text in stretch.lines for event in (_event(at, text),) if event is not None]
        follow = _Connections(self._expected, self._minimum, self._silence)
        if stretch.fresh:
            follow.begin()
        else:
            self._resume(follow, stretch, events)
        moments = Moments(stretch.since, follow.state, follow.until(stretch.begin))
        for event in events:
            moments.expire(event.at)
            follow.add(event)
            moments.prove(event.at, follow.state, follow.until(event.at))
        moments.expire(stretch.end)
        return moments.found

    def _resume(self, follow: _Connections, stretch: Stretch, events: t.Sequence[_Event]) -> None:
        """Which connections there were where the lines begin."""
        starts = next((place for place, event in enumerate(events) if event.kind == "start"), None)
        named = [event for event in events[:starts] if event.connection]
        first = {event.connection: event for event in reversed(named)}
        last = {event.connection: event.kind == "up" for event in named}
        # What registers was missing before. What is lost may have been missing before, but not for long in silence.
        silent = stretch.since + self._silence
        lost: dict[bool, bool | None] = {True: True, False: None}
        follow.live = {name: False if one.kind == "up" else lost[one.at > silent] for name, one in first.items()}
        now = self._known if stretch.last and starts is None else Known()
        follow.rest = self._others(now, last)
        follow.informed = any(event.level in _INFORMED for event in events)
        follow.had = True if now.had or follow.rest or True in follow.live.values() else None

    def _others(self, now: Known, last: t.Mapping[str, bool]) -> int | None:
        """How many of the connections that the lines do not name there are; None where that is not known."""
        unnamed = max(self._expected - len(last), 0)
        if not unnamed or now.connections is None:
            return None if unnamed else 0
        found = now.connections - sum(last.values())
        return found if 0 <= found <= unnamed else None


class _Connections:
    """The connections of one process.

    ``live``: which of those that the log names are registered, None where that is not known; ``rest``: how many of
    the others are; ``had``: whether there was one since the process began.
    """

    def __init__(self, expected: int, minimum: int, silence: float) -> None:
        self._wanted, self._minimum, self._silence = expected, minimum, silence
        self.live: dict[str, bool | None] = {}
        self.rest: int | None = None
        self.had: bool | None = None
        self._expected = expected
        self._phase = CONNECTING
        self._some = False
        self.informed = False

    def begin(self) -> None:
        """A new process: nothing is registered."""
        self.live, self.rest, self.had = {}, 0, False
        self._expected, self._phase, self._some, self.informed = self._wanted, m.STARTING, False, False

    def add(self, event: _Event) -> None:
        if event.kind == "start":
            self.begin()
        self.informed = self.informed or event.level in _INFORMED
        self._some = event.left is True
        if event.kind == "at_most":
            self._expected = max(min(self._wanted, event.number), 1)
        elif event.kind == "up":
            self.live[event.connection], self.had = True, True
        elif event.kind == "down":
            self.live[event.connection] = False
            if event.left is False:
                self.live, self.rest = dict.fromkeys(self.live, False), 0
        if event.kind not in ("start", "at_most"):
            self._phase = CONNECTING

    @property
    def state(self) -> str:
        count = sum(1 for live in self.live.values() if live)
        if self.rest is None or None in self.live.values():
            return m.RUNNING if count >= self._expected else CONNECTED if self._some else m.UNKNOWN
        count += self.rest
        if count >= self._minimum:
            return m.RUNNING if count >= self._expected else CONNECTED
        return {True: RECONNECTING, False: self._phase, None: m.UNKNOWN}[self.had]

    def until(self, at: float) -> float | None:
        """How long the state holds without another line."""
        if self._phase == m.STARTING:
            return at + _START
        # Without lines at level info no registration is seen, so that only silence ends a loss.
        quiet = self.informed or self.state in (m.RUNNING, m.UNKNOWN) or not self.live
        return None if quiet else at + self._silence


def _event(at: float, raw: str) -> _Event | None:
    line = log.read_line(at, raw)
    text, level = line.text, line.level
    index = (log.CONNECTION.findall(text) or [""])[-1]
    if log.registers(text):
        return _Event(at, "up", level, index) if index else None
    if text.startswith(log.LOSSES):
        left = {"WRN": True, "ERR": False}.get(level) if text.startswith(_AWARE) else None
        return _Event(at, "down", level, index, left) if index else None
    if text.startswith((_STARTS, _SERVES)):
        return _Event(at, "start" if text.startswith(_STARTS) else "serves", level)
    found = log.AT_MOST.search(text)
    return _Event(at, "at_most", level, number=int(found[1])) if found else None
