# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection keeps on the host: attempts, holds, and the lock of a run that acts.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

systemd forgets its restart counter whenever somebody acts, so the attempts
are counted here, across runs and reboots. Each record is written before the
action, so that a controller killed in between has still been counted.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import typing as t
from dataclasses import asdict, dataclass, fields, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import private_files as files
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, LifecycleError, state_dir

HOST = "_host"
# The hold on the whole host once more, for users whose own services it forbids to touch: they may not read the records.
HOST_HOLD = "/var/lib/chainops-lifecycle.hold"
_PUBLIC = 0o644
_PATIENCE = 10.0
_KEEP_ATTEMPTS = 50
_KEEP_DRILLS = 20
_LOCK_TEXT = 4096
_LOCK_TRIES = 20
_LOCK_PAUSE = 0.01


@dataclass(frozen=True)
class Attempt:
    """One start that was made. ``at``: seconds since the epoch; ``outcome``: open, verified, failed, or refused.

    ``took_along``: the units that the act was going to stop besides, which have to run again afterwards.
    """

    at: float
    action: str
    recovery: bool
    before: str
    cause: str | None = None
    owner: str = ""
    outcome: str = "open"
    took_along: t.Sequence[str] = ()


@dataclass(frozen=True)
class Hold:
    """Somebody asked that nothing be done to a service, or to the host. Times in seconds since the epoch."""

    scope: str
    owner: str
    reason: str
    since: float
    expires: float | None = None

    def active(self, wall: float) -> bool:
        return self.expires is None or wall < self.expires

    def as_dict(self) -> dict[str, t.Any]:
        return asdict(self)


@dataclass(frozen=True)
class Drill:
    """A fault that was injected on purpose. ``at``: when; ``undo_at``: when the host undoes it, both since the epoch.

    ``outcome``: open, recovered, failed, or abandoned. ``invocation`` and ``head``: of the service before the fault.
    ``target``: what the fault was made of, for a person. ``detected_after``, ``lifted_after`` (when it was taken away),
    ``recovered_after``, ``lost``: seconds, None where it did not come to that. ``blocks``: how far the head of a Besu
    node has come since. ``ended_by``: what has ended the fault, empty where nothing has.
    """

    at: float
    fault: str
    owner: str
    undo_at: float
    invocation: str = ""
    head: float | None = None
    target: str = ""
    outcome: str = "open"
    detected_after: float | None = None
    detected_as: str = ""
    lifted_after: float | None = None
    recovered_after: float | None = None
    lost: float | None = None
    blocks: float | None = None
    ended_by: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        return asdict(self)


@dataclass(frozen=True)
class Budget:
    """How many attempts a service has had, and when the next may be made (seconds from now, 0: now; None: never)."""

    used: int
    allowed: int
    window: float
    wait: float | None

    @property
    def left(self) -> int:
        return max(self.allowed - self.used, 0)

    def as_dict(self) -> dict[str, t.Any]:
        return {"used": self.used, "allowed": self.allowed, "window": self.window, "next_in": self.wait}


def budget(
    attempts: t.Sequence[Attempt],
    *,
    wall: float,
    allowed: int,
    window: float,
    backoff: float,
    good_since: float | None = None,
) -> Budget:
    """The attempt budget. Pure.

    Counted are attempts to recover, and attempts that were not proved to
    have worked; those older than ``window`` seconds, or older than
    ``good_since`` (since when it has run well) are forgotten. The k-th
    attempt waits ``backoff * 2 ** (k - 2)`` seconds after the one before.
    A record from the future (the clock was set back) counts as made now.
    """
    counted = [
        min(a.at, wall)
        for a in attempts
        if a.outcome != "refused"
        and (a.recovery or a.outcome != "verified")
        and wall - min(a.at, wall) < window
        and (good_since is None or a.at > good_since)
    ]
    used = len(counted)
    if used >= allowed:
        oldest_that_counts = sorted(counted)[used - allowed] if allowed > 0 else None
        wait = None if oldest_that_counts is None else oldest_that_counts + window - wall
        return Budget(used, allowed, window, wait if wait is None else round(wait, 1))
    if not used or backoff <= 0:
        return Budget(used, allowed, window, 0.0)
    ready = max(counted) + backoff * 2 ** (used - 1)
    return Budget(used, allowed, window, round(max(ready - wall, 0.0), 1))


def settled_attempts(attempts: t.Sequence[Attempt]) -> t.Sequence[Attempt]:
    """The attempts but for one that has cleared a failure and not started yet: the start to come belongs to it."""
    unfinished = attempts and attempts[-1].outcome == "open" and attempts[-1].action == "reset"
    return attempts[:-1] if unfinished else attempts


def owed(attempts: t.Sequence[Attempt], wall: float, window: float) -> tuple[str, ...]:
    """The units that unproved attempts have stopped as well: they have to run again."""
    names: dict[str, None] = {}
    for attempt in reversed(attempts):
        if attempt.outcome == "verified" or wall - attempt.at > window:
            break
        if attempt.outcome != "refused":
            names.update(dict.fromkeys(attempt.took_along))
    return tuple(names)


class Records:
    """The files of one host (or of one user) for one unit.

    ``host_hold``: where the hold on the whole host is told to the users of that host.
    ``patience``: for how long a lock that another process holds may be waited for, in seconds from now.
    """

    def __init__(self, clock: Clock, records: str, run_dir: str, host_hold: str = "", user: bool = False) -> None:
        self._clock = clock
        self._state_dir = records
        self._run_dir = run_dir
        self._host_hold = host_hold
        self._user = user
        self.patience: t.Callable[[], float] = lambda: _PATIENCE

    @classmethod
    def for_scope(cls, clock: Clock, user: bool) -> Records:
        """The ledger of the system, or of the calling user."""
        run_dir = f"/run/user/{os.geteuid()}/chainops-lifecycle" if user else "/run/chainops-lifecycle"
        return cls(clock, state_dir(user), run_dir, HOST_HOLD, user)

    def budget(
        self,
        unit: str,
        entered: float,
        left: float,
        running: bool,
        *,
        allowed: int,
        window: float,
        backoff: float,
        reset_attempts_after: float,
    ) -> Budget:
        """The attempts of ``unit`` that count now, after it became active and ceased to be (CLOCK_MONOTONIC, 0: never).

        Those before it had run well for ``reset_attempts_after`` seconds are
        forgotten. Being active is not enough: ``running`` says that it runs
        well now; of a run that is over the attempt that made it tells.
        """
        now, wall = self._clock.monotonic(), self._clock.wall()
        attempts = settled_attempts(self.attempts(unit))
        if left > entered:
            began = wall - (now - entered)
            outcomes = [attempt.outcome for attempt in attempts if attempt.at <= began and attempt.outcome != "refused"]
            ended, good = left, outcomes[-1:] == ["verified"]
        else:
            ended, good = now, running
        well = good and entered > 0 and ended - entered >= reset_attempts_after
        return budget(
            attempts,
            wall=wall,
            allowed=allowed,
            window=window,
            backoff=backoff,
            good_since=wall - (now - entered) + reset_attempts_after if well else None,
        )

    def attempts(self, unit: str) -> tuple[Attempt, ...]:
        """The attempts that were made, oldest first.

        One from the future was made while the clock was ahead. It counts as
        made when it was read first, which is kept: it has to grow old.
        """
        path = self._path("attempts", unit)
        rows = files.read_json(path)
        if not isinstance(rows, list) and rows is not None:
            raise files.misshapen(path, "it is no list")
        found = tuple(_record(Attempt, row, path) for row in rows or ())
        wall = self._clock.wall()
        clamped = tuple(replace(attempt, at=min(attempt.at, wall)) for attempt in found)
        if clamped != found:
            try:
                self._write("attempts", unit, [asdict(attempt) for attempt in clamped])
            except LifecycleError:
                pass  # this user may only read: then it counts as made now for this run
        return clamped

    def begin(self, unit: str, attempt: Attempt) -> None:
        """Record an attempt before it is made."""
        kept = [asdict(a) for a in settled_attempts(self.attempts(unit))][-(_KEEP_ATTEMPTS - 1) :]
        self._write("attempts", unit, [*kept, asdict(attempt)])

    def finish(self, unit: str, outcome: str) -> None:
        """Record how the last attempt ended."""
        rows = self.attempts(unit)
        if rows and rows[-1].outcome == "open":
            self._write("attempts", unit, [asdict(a) for a in (*rows[:-1], replace(rows[-1], outcome=outcome))])

    def clear_attempts(self, unit: str) -> None:
        """Forget the attempts: it has run well for long enough."""
        files.remove(self._path("attempts", unit))

    def drills(self, unit: str) -> tuple[Drill, ...]:
        """The drills of ``unit``, oldest first."""
        path = self._path("drills", unit)
        rows = files.read_json(path)
        if not isinstance(rows, list) and rows is not None:
            raise files.misshapen(path, "it is no list")
        return tuple(_record(Drill, row, path) for row in rows or ())

    def begin_drill(self, unit: str, drill: Drill) -> None:
        """Record a drill before its fault is injected. One that was left open has been abandoned."""
        kept = [replace(one, outcome="abandoned") if one.outcome == "open" else one for one in self.drills(unit)]
        self._write("drills", unit, [asdict(one) for one in (*kept[-(_KEEP_DRILLS - 1) :], drill)])

    def change_drill(self, unit: str, drill: Drill) -> None:
        """Record the outcome of the last drill of ``unit``."""
        self._write("drills", unit, [asdict(one) for one in (*self.drills(unit)[:-1], drill)])

    def hold(self, unit: str) -> Hold | None:
        """The hold in force on the unit or, before it, on the whole host: a user's service is on that host, too."""
        wall = self._clock.wall()
        for found in (self._hold_of_system(), self.stored_hold(HOST), self.stored_hold(unit)):
            if found is not None and found.active(wall):
                return found
        return None

    def _hold_of_system(self) -> Hold | None:
        return _as_hold(self._host_hold, files.read_json(self._host_hold)) if self._user and self._host_hold else None

    def stored_hold(self, scope: str) -> Hold | None:
        """The hold as it was stored, in force or expired."""
        path = self._path("holds", scope)
        return _as_hold(path, files.read_json(path))

    def set_hold(self, hold: Hold) -> None:
        self._write("holds", hold.scope, asdict(hold))
        if hold.scope == HOST and self._publishes:
            files.replace(self._host_hold, json.dumps(asdict(hold)), _PUBLIC)

    def clear_hold(self, scope: str) -> None:
        if scope == HOST and self._publishes:
            files.remove(self._host_hold)
        files.remove(self._path("holds", scope))

    @property
    def _publishes(self) -> bool:
        return bool(self._host_hold) and not self._user

    def load_wait(self, unit: str, wait_id: str) -> dict[str, t.Any]:
        """What earlier runs of one wait left for the next; nothing after a reboot."""
        path = self.wait_path(unit)
        found = files.read_json(path)
        if found is None:
            return {}
        if not isinstance(found, dict) or not isinstance(found.get("left"), dict):
            raise files.misshapen(path, "it is no wait")
        return dict(found["left"]) if found.get("id") == wait_id else {}

    def save_wait(self, unit: str, wait_id: str, left: t.Mapping[str, t.Any]) -> None:
        """Save something for the next run of a wait."""
        files.make_folder(self._run_dir)
        files.replace(self.wait_path(unit), json.dumps({"id": wait_id, "left": left}))

    def wait_path(self, unit: str) -> str:
        """Where a wait is kept."""
        return os.path.join(self._run_dir, f"{unit}.wait.json")

    def lock(self, unit: str, owner: str) -> Lock:
        return Lock(self._clock, os.path.join(self._run_dir, f"{unit}.lock"), owner)

    def _path(self, kind: str, unit: str) -> str:
        return os.path.join(self._state_dir, kind, f"{unit}.json")

    def _write(self, kind: str, unit: str, data: t.Any) -> None:
        path = self._path(kind, unit)
        folder = files.make_folder(self._state_dir, kind)
        try:
            turn = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as exc:
            raise files.problem("open", folder, exc) from exc
        try:
            # One writer at a time: what a killed one left half written is overwritten, not left for ever.
            files.wait_for_lock(turn, folder, self._clock, self.patience())
            files.replace(path, json.dumps(data, indent=1))
            os.fsync(turn)
        except OSError as exc:
            raise files.problem("write", path, exc) from exc
        finally:
            os.close(turn)


def _as_hold(path: str, row: t.Any) -> Hold | None:
    return None if row is None else _record(Hold, row, path)


_Record = t.TypeVar("_Record", Attempt, Hold, Drill)


def _is_number(value: t.Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


# The types of the fields above -> whether a value from a file is of that type.
_TYPES: dict[str, t.Callable[[t.Any], bool]] = {
    "float": _is_number,
    "float | None": lambda value: value is None or _is_number(value),
    "bool": lambda value: isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
    "t.Sequence[str]": lambda value: isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value),
}


def _record(kind: type[_Record], row: t.Any, path: str) -> _Record:
    """One record of a file. Raises LifecycleError naming the file where it is none."""
    if not isinstance(row, dict):
        raise files.misshapen(path, f"{type(row).__name__} found")
    for field in fields(kind):
        if field.name in row and not _TYPES[str(field.type)](row[field.name]):
            raise files.misshapen(path, f"{field.name} is {str(row[field.name])[:40]!r}")
    try:
        return kind(**row)
    except TypeError as exc:
        raise files.misshapen(path, exc) from exc


class Lock:
    """A lock that the kernel releases however its holder ends (flock(2)); the file says who holds it."""

    def __init__(self, clock: Clock, path: str, owner: str) -> None:
        self._clock = clock
        self._path = path
        self._owner = owner
        self._handle: int | None = None

    def acquire(self) -> str | None:
        """Take the lock. None when it is ours, else who holds it and for how long."""
        files.make_folder(os.path.dirname(self._path))
        handle = files.open_lock(self._path)
        holder: str | None = None
        for _try in range(_LOCK_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as exc:
                holder = self._describe(handle)
                if exc.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    os.close(handle)
                    raise files.problem("lock", self._path, exc) from exc
            if holder:
                os.close(handle)
                return holder
            self._clock.sleep(_LOCK_PAUSE)  # it has the lock and has not written its name yet
        else:
            os.close(handle)
            return "another controller that does not say who it is"
        record = {"owner": self._owner, "pid": os.getpid(), "monotonic": self._clock.monotonic()}
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(record).encode(), 0)
        except OSError as exc:
            os.close(handle)
            raise files.problem("write", self._path, exc) from exc
        self._handle = handle
        return None

    def release(self) -> None:
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None

    def _describe(self, handle: int) -> str | None:
        try:
            record = json.loads(os.pread(handle, _LOCK_TEXT, 0))
            if not os.path.exists(f"/proc/{record['pid']}"):
                return None  # of one that was killed: who holds it now is just about to write
            age = self._clock.monotonic() - record["monotonic"]
            return f"{record['owner']} (pid {record['pid']}) for {age:.0f} s"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
