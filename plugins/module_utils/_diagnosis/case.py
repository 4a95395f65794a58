# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Input of a diagnosis (unit properties, log lines, host facts), and the type of its rules. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
import signal
import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.addresses import ports_in
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import strip_ansi

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.disk import Disk
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Entry

CONFIGURATION, DEPENDENCY, RESOURCE = "configuration", "dependency", "resource"
NETWORK, CRASH, START_LIMIT = "network", "crash", "start_limit"
SOFT, HARD, FATAL = "soft", "hard", "fatal"

ERROR, WARNING, UNLEVELLED, INFO = 3, 4, 5, 6
# Less than this is full: a log line or a socket still fits, a database's write does not.
FULL_BYTES = 1024 * 1024
# What is matched of one line; the rest of it cannot prove anything.
MAX_LINE = 2000
# How long before its end a service's words still tell why it ended, in seconds; and how many lines do at least.
WINDOW = 60.0
WINDOW_LINES = 10

_LEVELS = {
    ERROR: "FATAL|FTL|CRITICAL|CRIT|PANIC|EMERG|ALERT|ERROR|ERR|SEVERE",
    WARNING: "WARNING|WARN|WRN",
    INFO: "INFO|INF|NOTICE|DEBUG|DBG|TRACE|TRC|FINE",
}
_LEVEL_OF = {word: level for level, words in _LEVELS.items() for word in words.split("|")}
_ANY_LEVEL = "|".join(_LEVELS.values())
# A level is a word in capitals; in small letters only where the form says that it is one: level=info, [info], info: ...
_LEVEL = (
    rf"(?:^|[\s|\[(<])({_ANY_LEVEL})(?=[\s|\])>:]|$)"
    rf"""|(?i:(?:level|lvl|severity)"?\s?[=:]\s?"?({_ANY_LEVEL})\b)"""
    rf"|(?i:\[({_ANY_LEVEL})\])|(?i:^(?:[\w./-]{{1,40}}: )?({_ANY_LEVEL}): )"
)
_AFTER_THE_END = ("ExecStop", "ExecStopPost", "ExecReload")
_CONTINUED = r"^(?:\s+\S|Caused by: |\.\.\. \d+ more)"


class Line(t.NamedTuple):
    """A line of the service's own: as written (cut), how severe, when (seconds since the epoch)."""

    text: str
    level: int
    timestamp: float


@dataclass(frozen=True)
class HostFacts:
    """What was observed on the host. ``ports``: those looked up; ``listeners``: of these, port -> who holds it;
    ``dependencies``: unit -> state, if not up; ``paused``: why the process is there and does not run (``frozen``,
    ``suspended``), empty where it may run."""

    disks: tuple[Disk, ...] = ()
    dependencies: t.Mapping[str, str] = field(default_factory=dict)
    listeners: t.Mapping[int, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    kernel: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()
    paused: str = ""

    @property
    def full_disks(self) -> list[str]:
        """The full disks, in words."""
        return [
            f"{disk.path} has {disk.free // 1024} KiB and {disk.inodes} inodes free"
            for disk in self.disks
            if disk.free < FULL_BYTES or disk.inodes == 0
        ]


class Exit(t.NamedTuple):
    """How a process of the unit ended: ``exited`` with a status, or ``killed``/``dumped`` by a signal's number."""

    how: str
    status: int
    command: str

    def __str__(self) -> str:
        if self.how == "exited":
            return f"{self.command} exited with status {self.status}"
        return f"{self.command} was {'killed' if self.how == 'killed' else 'dumped'} by {signal_name(self.status)}"


@dataclass(frozen=True)
class FailureCase:
    """One failure: the unit's properties, its own last lines, the manager's records of the last attempt, the host."""

    properties: t.Mapping[str, str]
    lines: tuple[Line, ...] = ()
    manager: tuple[Entry, ...] = ()
    host: HostFacts = field(default_factory=HostFacts)
    failing: bool = True

    def text(self, key: str) -> str:
        return self.properties.get(key, "")

    def number(self, key: str) -> int:
        value = self.text(key)
        return int(value) if value.isascii() and value.isdigit() else 0

    @property
    def live(self) -> bool:
        """Whether the run still goes on, so that its last log lines need not be about a failure."""
        up = self.text("ActiveState") in ("active", "reloading", "refreshing") and self.text("SubState") != "exited"
        return up and self.text("Result") in ("success", "")

    def manager_messages(self, pattern: str) -> list[str]:
        return [entry.message for entry in self.manager if re.search(pattern, entry.message[:MAX_LINE])]

    def record(self, message_id: str) -> Entry | None:
        """The last record of that kind in the last attempt, by the manager itself: anybody may write its fields."""
        own = (entry for entry in reversed(self.manager) if entry.from_manager)
        return next((entry for entry in own if entry.message_id == message_id), None)

    @property
    def exit(self) -> Exit | None:
        """How the process ended that decided: by the manager's record, else by the properties of the main process."""
        own = [entry for entry in self.manager if entry.is_process_exit]
        # What runs after the end (ExecStop=, ExecStopPost=) or during it (ExecReload=) did not bring it about.
        decisive = [entry for entry in own if entry.fields.get("COMMAND") not in _AFTER_THE_END] or own
        entry = decisive[-1] if decisive else None
        if entry is not None and entry.fields.get("EXIT_STATUS", ""):
            status = _status(entry.fields["EXIT_STATUS"])
            if status is not None:
                command = entry.fields.get("COMMAND") or "main process"
                return Exit(entry.fields.get("EXIT_CODE", "exited"), status, command)
        how = {1: "exited", 2: "killed", 3: "dumped"}.get(self.number("ExecMainCode"))
        return None if how is None else Exit(how, self.number("ExecMainStatus"), "main process")

    def port_holders(self, evidence: t.Sequence[str]) -> str:
        """Who holds each port that was in use; if the port is free now, when it was in use."""
        known = self.host.listeners
        moments = [line.timestamp for line in self.lines if line.text in evidence]
        at = f" at {time.strftime('%H:%M:%S', time.localtime(moments[-1]))}" if moments else ""
        ports = ports_in(evidence) or self.host.ports
        states = [
            f"port {port} is held by {known[port]}" if port in known else f"port {port} was in use{at}; free now"
            for port in ports
            if port in known or port in self.host.ports
        ]
        return ", ".join(states)


def _status(text: str) -> int | None:
    """EXIT_STATUS is a number, or the name of a signal without SIG (``KILL``)."""
    if text.isascii() and text.isdigit():
        return int(text)
    number = getattr(signal, f"SIG{text}", None)
    return int(number) if number is not None else None


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Match(t.NamedTuple):
    """What proves a cause, in the words of the log or of systemd, and what the summary should add."""

    evidence: t.Sequence[str]
    detail: str = ""


@dataclass(frozen=True)
class Rule:
    """One cause and what proves it.

    ``pattern`` is a regular expression over a line of the service's own,
    ``manager`` over one of the service manager's, ``facts`` a function of the
    whole case; every one that is given must hold. ``rank``: a higher one is
    closer to the root; a rule with a pattern keeps to 60..69. ``running``: it
    holds for a service too that runs and is not called failing. ``ended``: it
    holds only for a process that has ended: one that runs says the same of its clients.
    ``harmless``: its lines prove nothing, for no rule.
    ``detail`` adds to the summary what is known of this case.
    """

    cause: str
    category: str
    severity: str
    summary: str
    next_step: str
    pattern: str = ""
    manager: str = ""
    facts: t.Callable[[FailureCase], Match | None] | None = None
    rank: int = 60
    running: bool = False
    ended: bool = False
    harmless: bool = False
    detail: t.Callable[[FailureCase, t.Sequence[str]], str] | None = None


class Cause(t.NamedTuple):
    """One cause. ``severity``: soft (a retry may help), hard (a person or a fix first), fatal (never retry).

    ``category``: configuration, dependency, resource, network, crash,
    start_limit or unknown. ``evidence`` is redacted, neutralised and bounded.
    """

    id: str
    category: str
    severity: str
    summary: str
    evidence: tuple[str, ...]
    next_step: str

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "id": self.id,
            "category": self.category,
            "class": self.severity,
            "summary": self.summary,
            "evidence": list(self.evidence),
            "next_step": self.next_step,
        }


def read_lines(entries: t.Sequence[Entry]) -> tuple[Line, ...]:
    """The lines of a service with the level that each was meant to have, oldest first."""
    lines: list[Line] = []
    for entry in entries:
        text = strip_ansi(entry.message)[:MAX_LINE]
        level = _level(text, entry)
        if level == UNLEVELLED and lines and re.match(_CONTINUED, text):
            level = lines[-1].level
        lines.append(Line(text, level, entry.timestamp))
    return tuple(lines)


def _level(text: str, entry: Entry) -> int:
    match = re.search(_LEVEL, text[:160])
    if match:
        return _LEVEL_OF[next(word for word in match.groups() if word).upper()]
    if entry.priority <= 3:
        return ERROR
    if entry.priority == 4:
        return WARNING
    # On standard output and error every line is informational, whatever it says; elsewhere the level was chosen.
    chosen = entry.priority == 7 or entry.fields.get("_TRANSPORT") in ("syslog", "journal")
    return INFO if chosen else UNLEVELLED


def last_words(lines: t.Sequence[Line]) -> tuple[Line, ...]:
    """The lines that can tell why it ended: the last ones, without what is only informational."""
    if not lines:
        return ()
    since = lines[-1].timestamp - WINDOW
    kept = [line for index, line in enumerate(lines) if line.timestamp >= since or index >= len(lines) - WINDOW_LINES]
    return tuple(line for line in kept if line.level < INFO)
