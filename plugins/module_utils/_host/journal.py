# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only file that calls journalctl.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Fields that begin with an underscore are set by journald and can be trusted;
``UNIT``, ``MESSAGE_ID`` and the like can be forged by any process, so that
what claims to come from the service manager is asked for by ``_PID=1`` (see
systemd.journal-fields(7)). What the journal cannot tell (it is volatile, was
vacuumed, dropped records, may not be read) is said in ``notes``, never guessed.
"""

from __future__ import annotations

import calendar
import json
import math
import os
import re
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import escape_control, sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed, Runner

# Message ids of the service manager: stable from systemd 239 on (sd-messages.h).
UNIT_STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5"
UNIT_STARTED = "39f53479d3a045ac8e11786248231fbf"
UNIT_JOB_FAILED = "be02cf6855d2428ba40df7e9d022f03d"
UNIT_STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"
UNIT_STOPPED = "9d1aaa27d60140bd96365438aad20286"
UNIT_FAILURE_RESULT = "d9b373ed55a64feb8242e02dbe79a49c"
UNIT_SUCCESS = "7ad2d189f7e94e70a38c781354912448"
UNIT_SKIPPED = "0e4284a0caca4bfc81c0bb6786972673"
UNIT_RESTART_SCHEDULED = "5eb03494b6584870a536b337290809b3"
UNIT_PROCESS_EXIT = "98e322203f7a4ed290d09fe03c09fe15"
UNIT_OUT_OF_MEMORY = "fe6faa94e7774663a0da52717891d8ef"
UNIT_OOMD_KILL = "d989611b15e44c9dbf31e3c81256e4ed"
SPAWN_FAILED = "641257651c1b4ec9a8624d7a40a9e1e7"
JOURNAL_DROPPED = "a596d6fe7bfa4994828e72309e95d61e"
JOURNAL_MISSED = "e9bf28e6e834481bb6f48f548ad13606"
TIME_CHANGE = "c7a787079b354eaaa9e77b371893cd27"

# A field longer than this is printed as null (journalctl(1), -o json).
TOO_LARGE = "[a message too large to be read from the journal]"
TIMEOUT = 20.0
MAX_BYTES = 4 * 1024 * 1024
# The lines of one service for its history: a day of blocks that come every two seconds.
LOG_BYTES = 24 * 1024 * 1024
LOG_TIMEOUT = 15.0
# What a service and journald stamp themselves may be out of order by so much, in seconds.
_CLOCK_SLACK = 1.0
_FIELDS = (
    "MESSAGE,MESSAGE_ID,PRIORITY,UNIT,USER_UNIT,INVOCATION_ID,USER_INVOCATION_ID,JOB_ID,JOB_TYPE,JOB_RESULT,"
    "UNIT_RESULT,EXIT_CODE,EXIT_STATUS,COMMAND,N_RESTARTS,N_DROPPED,CODE_FUNC,CONFIG_FILE,CONFIG_LINE,"
    "SYSLOG_IDENTIFIER,_PID,_UID,_COMM,_EXE,_TRANSPORT,_SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,_SYSTEMD_INVOCATION_ID,_BOOT_ID"
)
# What journald is behind on a busy host, in seconds.
_SYNC_TIMEOUT = 5.0
_COMPLAINTS = (
    ("No journal files were found", "the host keeps no journal"),
    ("insufficient permissions", "this user may not read the journal (become root, or join group systemd-journal)"),
    ("not seeing messages from other users", "this user may not read the whole journal (become root)"),
    ("corrupt", "a journal file is damaged; what it held may be missing"),
    ("truncated", "a journal file is damaged; what it held may be missing"),
)


# The programs that become a service, and the fields in which the manager and they name it.
_MANAGER_PROGRAMS = ("systemd", "systemd-executor")
_MANAGED = frozenset({"UNIT", "INVOCATION_ID", "USER_UNIT", "USER_INVOCATION_ID"})


@dataclass(frozen=True)
class Entry:
    """One record. ``timestamp``: seconds since the epoch; ``monotonic``: CLOCK_MONOTONIC of its boot, in seconds.

    ``message`` is as it was written, hostile; ``shown`` is what may leave the host.
    ``by_user_manager``: the service manager of the user wrote it whose services are observed.
    """

    timestamp: float
    monotonic: float
    boot_id: str
    invocation_id: str
    priority: int
    message: str
    unit: str
    identifier: str
    pid: int
    message_id: str
    cursor: str
    fields: t.Mapping[str, str]
    by_user_manager: bool = False

    @property
    def shown(self) -> str:
        return sanitize(self.message, 300)

    @property
    def from_manager(self) -> bool:
        """Whether the service manager wrote it: PID 1, or that of the user whose services are observed."""
        return self.fields.get("_PID") == "1" or self.by_user_manager

    @property
    def is_process_exit(self) -> bool:
        """Whether it is the service manager's record of how a process of the unit ended."""
        return self.from_manager and self.message_id == UNIT_PROCESS_EXIT

    @property
    def from_manager_child(self) -> bool:
        """Whether the manager's child may have written it that is to become the service, and says why it cannot.

        It names unit or run in fields that anybody can write. Its program is the manager's own, as journald saw it;
        of a child that was gone by then it saw none.
        """
        program = self.fields.get("_EXE", "")
        own = not program or os.path.basename(program) in _MANAGER_PROGRAMS
        return own and not self.from_manager and bool(_MANAGED & set(self.fields))

    @property
    def from_kernel(self) -> bool:
        return self.fields.get("_TRANSPORT") == "kernel"


class JournalRecords(t.NamedTuple):
    """Entries, oldest first, and what the journal could not tell.

    ``cut``: there were more. ``failed``: journalctl did not answer.
    """

    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()
    cut: bool = False
    failed: bool = False


def takes(target: str) -> bool:
    """Whether what goes to such a target of ``StandardOutput=`` or ``StandardError=`` may get into the journal."""
    return target.partition(":")[0] in ("", "journal", "inherit", "journal+console", "kmsg", "syslog")


class LogLines(t.NamedTuple):
    """Lines of a service's own, oldest first, each with its moment. All of them ``since`` a moment were read.

    Moments are in seconds since the epoch. The text is as it was written, hostile.
    """

    lines: tuple[tuple[float, str], ...]
    since: float
    notes: tuple[str, ...] = ()


class Journal:
    """The journal of this host. ``user=True`` reads what the calling user's own service manager wrote."""

    def __init__(self, runner: Runner, *, user: bool = False, root: str = "/") -> None:
        self._runner = runner
        self._user = user
        self._root = root

    def invocation(self, unit: str, invocation_id: str, *, main_pid: int = 0, limit: int = 300) -> JournalRecords:
        """The last records of ``unit`` and of the manager about it, among them those of one run.

        They are asked for by unit: what a process writes that ends at once
        carries no invocation, because journald could not look it up any more.
        It may even lack the unit (always so for a user's unit), so that what
        the main process wrote is asked for by its number, too.
        """
        matches = [self._own(unit), "+"]
        if invocation_id:
            # The child that fails before exec writes as itself, sometimes before it is in the unit's cgroup.
            field = "USER_INVOCATION_ID" if self._user else "INVOCATION_ID"
            matches += [f"{field}={invocation_id}", f"_UID={self._uid}", "+"]
        matches += [*self._by_manager([unit]), "+", "_TRANSPORT=driver", f"OBJECT_SYSTEMD_UNIT={unit}"]
        matches += ["+", f"_PID={main_pid}"] if main_pid > 1 else []
        return self._query(matches, limit=limit)

    def manager_records(
        self, units: t.Sequence[str], *, since: float | None = None, after_cursor: str = "", limit: int = 2000
    ) -> JournalRecords:
        """The last records of the service manager about any of ``units``; the first ones after ``after_cursor``."""
        found = self._query(self._by_manager(units), limit=limit, since=since, after_cursor=after_cursor)
        return found._replace(entries=tuple(entry for entry in found.entries if entry.from_manager))

    def catch_up(self) -> None:
        """Have journald write what it was sent before this call; where it may not be asked, go on without."""
        self._runner(["journalctl", "--sync"], timeout=_SYNC_TIMEOUT)

    def newest(self) -> Entry | None:
        """The newest record of all, which is of this boot; None where there is none."""
        return next(iter(self._query([], limit=1).entries), None)

    def history_records(
        self, unit: str, *, since: float | None = None, until: float | None = None, limit: int = 20000
    ) -> JournalRecords:
        """What the manager logged about ``unit``, and records of gaps in it: lost messages, steps of the clock."""
        holes = ["_PID=1", f"MESSAGE_ID={TIME_CHANGE}", "+", "_TRANSPORT=driver", f"MESSAGE_ID={JOURNAL_DROPPED}"]
        holes += [f"MESSAGE_ID={JOURNAL_MISSED}"]
        return self._query([*self._by_manager([unit]), "+", *holes], limit=limit, since=since, until=until)

    def own_lines(self, unit: str, pattern: str, *, since: float) -> LogLines:
        """The lines of the unit's own processes that have what ``pattern`` (PCRE) finds, of very many the last ones.

        A short form, as a service may write a line a second: in JSON a line with colours is four times as long.
        """
        argv = ["journalctl", "--no-pager", "-o", "short-unix", "--all", "--reverse", "--case-sensitive=yes"]
        argv += [f"--grep={pattern}", *_window(since, None), self._own(unit)]
        done = self._runner(argv, timeout=LOG_TIMEOUT, max_bytes=LOG_BYTES)
        lines, in_order = _short_lines(done.out, since)
        complete = not (done.truncated or done.timed_out or done.not_found) and in_order
        if complete and done.rc != 0 and done.err.strip() and not lines:  # without a match it ends with 1 and no word
            return LogLines((), math.inf, (f"its log cannot be read: {sanitize(done.err.strip(), 200)}",))
        notes = {meaning: None for word, meaning in _COMPLAINTS if word in done.err}
        if complete:
            return LogLines(lines, since, tuple(notes))
        lines = lines[1:]  # what is left of the oldest one may be a part of it
        notes["its log was read in part: it is very long, slow to read, or of several clocks"] = None
        return LogLines(lines, lines[0][0] if lines else math.inf, tuple(notes))

    def boots(self) -> tuple[tuple[str, float, float], ...]:
        """The boots that the journal knows, oldest first: id, first and last record (seconds since the epoch)."""
        argv = ["journalctl", "--no-pager", "--quiet", "--utc", "--list-boots"]
        done = self._runner(argv, timeout=TIMEOUT, max_bytes=MAX_BYTES)
        return parse_boots(done.out) if done.rc == 0 else ()

    def kernel_kills(self, since: float, *, limit: int = 200) -> JournalRecords:
        """What the kernel said of processes killed for memory, from ``since`` (seconds since the epoch) on."""
        found = self._query(["_TRANSPORT=kernel"], limit=limit, since=since)
        kills = tuple(entry for entry in found.entries if "Killed process" in entry.message)
        return JournalRecords(kills, found.notes)

    @property
    def _uid(self) -> int:
        return os.getuid() if self._user else 0

    def _own(self, unit: str) -> str:
        return f"{'_SYSTEMD_USER_UNIT' if self._user else '_SYSTEMD_UNIT'}={unit}"

    def _by_manager(self, units: t.Sequence[str]) -> list[str]:
        if self._user:
            return [f"_UID={self._uid}", "_COMM=systemd", *(f"USER_UNIT={unit}" for unit in units)]
        return ["_PID=1", *(f"UNIT={unit}" for unit in units)]

    def _query(
        self,
        matches: t.Sequence[str],
        *,
        limit: int,
        since: float | None = None,
        until: float | None = None,
        after_cursor: str = "",
    ) -> JournalRecords:
        argv = ["journalctl", "--no-pager", "-o", "json", "-n", str(limit), f"--output-fields={_FIELDS}"]
        argv += _window(since, until)
        # Newest first, so that where the size is cut the oldest are lost; with a cursor that would run backwards.
        # And --after-cursor leaves out one record more where that of the cursor is gone, or does not match.
        argv.append(f"--cursor={after_cursor}" if after_cursor else "--reverse")
        done = self._runner([*argv, *matches], timeout=TIMEOUT, max_bytes=MAX_BYTES)
        entries, unreadable = read(done.out, self._uid if self._user else None)
        if not after_cursor:
            entries = entries[::-1]
        if since is not None:
            entries = tuple(entry for entry in entries if entry.timestamp >= since)
        end = "first" if after_cursor else "last"
        notes = self._notes(done, entries, limit, end)
        if unreadable:
            notes += (f"records of the journal that are nested too deep were left out: {unreadable}",)
        cut = done.truncated or len(entries) >= limit
        if after_cursor and entries and entries[0].cursor == after_cursor:
            entries = entries[1:]
        return JournalRecords(entries, notes, cut, _has_failed(done))

    def _notes(self, done: Completed, entries: t.Sequence[Entry], limit: int, end: str) -> tuple[str, ...]:
        notes: dict[str, None] = {}
        if done.not_found:
            notes["journalctl was not found: nothing is known of the logs"] = None
        elif done.timed_out:
            notes[f"journalctl did not answer within {TIMEOUT:.0f} s: nothing is known of the logs"] = None
        elif done.rc != 0 and not done.truncated:
            notes[f"journalctl failed: {sanitize(done.err.strip(), 200)}"] = None
        for word, meaning in _COMPLAINTS:
            if word in done.err:
                notes[meaning] = None
        if done.truncated:
            notes[f"only the {end} {MAX_BYTES // 1024} KiB of the records were read"] = None
        elif len(entries) >= limit:
            notes[f"only the {end} {limit} records were read"] = None
        if not done.not_found and not os.path.isdir(os.path.join(self._root, "var/log/journal")):
            notes["the journal is volatile: nothing from before the last boot is kept"] = None
        for entry in entries:
            if entry.message_id == JOURNAL_DROPPED and entry.fields.get("_TRANSPORT") == "driver":
                notes[f"the journal dropped messages (rate limit): {entry.shown}"] = None
        return tuple(notes)


def _has_failed(done: Completed) -> bool:
    return done.not_found or done.timed_out or (done.rc != 0 and not done.truncated)


def _window(since: float | None, until: float | None) -> list[str]:
    """Arguments of journalctl for a window, in whole seconds: what began within the second is left out afterwards."""
    bounds = (("since", since), ("until", until))
    return [f"--{name}=@{max(math.floor(at), 0)}" for name, at in bounds if at is not None]


# A line of ``-o short-unix``: what follows in the same message is indented.
_SHORT = re.compile(r"(\d{1,12}\.\d{6}) .{0,400}?: (.*)", re.DOTALL)
_MOST_OF_A_LINE = 4096


def _short_lines(text: str, since: float) -> tuple[tuple[tuple[float, str], ...], bool]:
    """The lines of reversed ``-o short-unix`` output, oldest first; and whether their clock never went back."""
    found: list[tuple[float, str]] = []
    for line in text.split("\n"):
        match = _SHORT.match(line[:_MOST_OF_A_LINE])
        if match is None:
            continue
        at = float(match[1])
        if found and at > found[-1][0] + _CLOCK_SLACK:
            return tuple(found[::-1]), False
        if at >= since:
            found.append((min(at, found[-1][0]) if found else at, match[2]))
    return tuple(found[::-1]), True


_MOMENT = r"\w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC"
_BOOT = re.compile(rf"^\s*-?\d+\s+([0-9a-f]{{32}})\s+{_MOMENT}\W*{_MOMENT}")


def parse_boots(text: str) -> tuple[tuple[str, float, float], ...]:
    """The boots of ``journalctl --list-boots --utc``, whose form is the same from systemd 239 on but for its header."""
    found = [match.groups() for match in (_BOOT.match(line) for line in text.splitlines()) if match]
    return tuple((boot_id, _utc(first), _utc(last)) for boot_id, first, last in found)


def _utc(text: str) -> float:
    return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


def parse(text: str, user: int | None = None) -> tuple[Entry, ...]:
    """The entries of ``journalctl -o json`` output. Lines that are no whole record (a cut end) are left out.

    ``user``: the uid of the user whose service manager is believed, as well as PID 1.
    """
    return read(text, user)[0]


def read(text: str, user: int | None) -> tuple[tuple[Entry, ...], int]:
    """The entries, and how many records are nested too deep to be one."""
    entries: list[Entry] = []
    unreadable = 0
    for line in text.split("\n"):
        if not line.startswith("{"):
            continue
        try:
            record = json.loads(line)
        except ValueError:
            continue
        except RecursionError:
            unreadable += 1
            continue
        if isinstance(record, dict):
            entries.append(_entry(record, user))
    return tuple(entries), unreadable


def _by_manager_of(user: int | None, fields: t.Mapping[str, str]) -> bool:
    """Whether the service manager of ``user`` wrote it: journald says so by the cgroup, where a name can be chosen."""
    if user is None or fields.get("_UID") != str(user) or fields.get("_COMM") != "systemd":
        return False
    return fields.get("_SYSTEMD_UNIT") == f"user@{user}.service" and fields.get("_SYSTEMD_USER_UNIT") == "init.scope"


def _entry(record: t.Mapping[str, t.Any], user: int | None) -> Entry:
    fields = {key: _value(value) for key, value in record.items() if key[:2] != "__"}

    def first(*names: str) -> str:
        return next((fields[name] for name in names if fields.get(name)), "")

    return Entry(
        timestamp=_number(record.get("__REALTIME_TIMESTAMP")) / 1e6,
        monotonic=_number(record.get("__MONOTONIC_TIMESTAMP")) / 1e6,
        boot_id=fields.pop("_BOOT_ID", ""),
        # The manager's record names the unit it speaks of; the record of a process the unit it belongs to.
        invocation_id=first("INVOCATION_ID", "USER_INVOCATION_ID", "_SYSTEMD_INVOCATION_ID"),
        priority=min(_number(fields.get("PRIORITY", "6"), 6), 7),
        message=fields.pop("MESSAGE", ""),
        unit=first("USER_UNIT", "UNIT", "_SYSTEMD_USER_UNIT", "_SYSTEMD_UNIT"),
        identifier=escape_control(fields.get("SYSLOG_IDENTIFIER", ""), 64),
        pid=_number(fields.get("_PID")),
        message_id=fields.get("MESSAGE_ID", ""),
        cursor=str(record.get("__CURSOR", "")),
        fields=fields,
        by_user_manager=_by_manager_of(user, fields),
    )


def _value(value: t.Any) -> str:
    """A field as text: it may be null (too large), a list of bytes (not UTF-8) or, given twice, a list of values."""
    if value is None:
        return TOO_LARGE
    if isinstance(value, list):
        if value and all(isinstance(item, int) and 0 <= item < 256 for item in value):
            return bytes(value).decode("utf-8", "replace")
        value = value[-1] if value else ""
        if isinstance(value, list):  # of several values the last, each of which may be bytes
            return _value(value) if all(isinstance(item, int) for item in value) else ""
    # What is nested further is no field of the journal's.
    return str(value) if isinstance(value, (str, int, float)) else ""


def _number(text: t.Any, default: int = 0) -> int:
    digits = str(text)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else default
