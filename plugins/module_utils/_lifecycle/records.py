# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection keeps on the host: attempts, holds and the lock of the one who acts.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

systemd forgets its restart counter whenever somebody acts, so the attempts
are counted here, across runs and reboots. Each record is written before the
action, so that a controller killed in between has still been counted.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import typing as t
from dataclasses import asdict, dataclass, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, LifecycleError, state_dir

HOST = "_host"
_KEEP_ATTEMPTS = 50
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
    """The units that attempts which were not proved to have worked have taken along: they have to run again."""
    names: dict[str, None] = {}
    for attempt in reversed(attempts):
        if attempt.outcome == "verified" or wall - attempt.at > window:
            break
        if attempt.outcome != "refused":
            names.update(dict.fromkeys(attempt.took_along))
    return tuple(names)


class Records:
    """The files of one host (or of one user) for one unit."""

    def __init__(self, clock: Clock, records: str, run_dir: str, of_system: str = "") -> None:
        self._clock = clock
        self._state_dir = records
        self._run_dir = run_dir
        self._of_system = of_system

    @classmethod
    def for_scope(cls, clock: Clock, user: bool) -> Records:
        """The ledger of the system, or of the calling user."""
        run_dir = f"/run/user/{os.getuid()}/chainops-lifecycle" if user else "/run/chainops-lifecycle"
        return cls(clock, state_dir(user), run_dir, state_dir(False) if user else "")

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
        rows = self._read("attempts", unit, [])
        try:
            return tuple(Attempt(**row) for row in rows)
        except TypeError as exc:
            raise _misshapen(self._path("attempts", unit), exc) from exc

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
        self._remove("attempts", unit)

    def hold(self, unit: str) -> Hold | None:
        """The hold in force on the unit or, before it, on the whole host: a user's service is on that host, too."""
        wall = self._clock.wall()
        for found in (self._hold_of_system(), self.stored_hold(HOST), self.stored_hold(unit)):
            if found is not None and found.active(wall):
                return found
        return None

    def _hold_of_system(self) -> Hold | None:
        path = os.path.join(self._of_system, "holds", f"{HOST}.json")
        if not self._of_system or not os.access(path, os.R_OK):
            return None  # no hold, or one that only root may know of
        return _as_hold(path, self._load(path, None))

    def stored_hold(self, scope: str) -> Hold | None:
        """The hold as it was stored, in force or expired."""
        return _as_hold(self._path("holds", scope), self._read("holds", scope, None))

    def set_hold(self, hold: Hold) -> None:
        self._write("holds", hold.scope, asdict(hold))

    def clear_hold(self, scope: str) -> None:
        self._remove("holds", scope)

    def load_wait(self, unit: str, wait_id: str) -> dict[str, t.Any]:
        """What earlier runs of one wait left for the next; nothing after a reboot."""
        found = self._load(self._wait_path(unit), {})
        return dict(found["left"]) if found.get("id") == wait_id else {}

    def save_wait(self, unit: str, wait_id: str, left: t.Mapping[str, t.Any]) -> None:
        """Leave something for the next run of a wait."""
        path = self._wait_path(unit)
        try:
            _replace(path, json.dumps({"id": wait_id, "left": left}))
        except OSError as exc:
            raise LifecycleError(f"cannot write {path}: {exc.strerror}; nothing was done without a record") from exc

    def _wait_path(self, unit: str) -> str:
        return os.path.join(self._run_dir, f"{unit}.wait.json")

    def lock(self, unit: str, owner: str) -> Lock:
        return Lock(self._clock, os.path.join(self._run_dir, f"{unit}.lock"), owner)

    def _path(self, kind: str, unit: str) -> str:
        return os.path.join(self._state_dir, kind, f"{unit}.json")

    def _read(self, kind: str, unit: str, default: t.Any) -> t.Any:
        return self._load(self._path(kind, unit), default)

    def _load(self, path: str, default: t.Any) -> t.Any:
        try:
            with open(path, encoding="utf-8") as stream:
                return json.load(stream)
        except FileNotFoundError:
            return default
        except PermissionError as exc:
            raise LifecycleError(f"cannot read {path}: {exc.strerror}; run the task with become: true") from exc
        except (OSError, ValueError) as exc:
            # Treating it as empty would give a thrashing service a fresh budget, or drop a hold.
            raise LifecycleError(f"{path} is not readable as JSON ({exc}); look at it and remove it") from exc

    def _write(self, kind: str, unit: str, data: t.Any) -> None:
        path = self._path(kind, unit)
        folder = os.path.dirname(path)
        try:
            os.makedirs(folder, mode=0o755, exist_ok=True)
            turn = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # One writer at a time: what a killed one left half written is overwritten, not left for ever.
                fcntl.flock(turn, fcntl.LOCK_EX)
                _replace(path, json.dumps(data, indent=1))
                os.fsync(turn)
            finally:
                os.close(turn)
        except OSError as exc:
            raise LifecycleError(f"cannot write {path}: {exc.strerror}; nothing was done without a record") from exc

    def _remove(self, kind: str, unit: str) -> None:
        try:
            os.unlink(self._path(kind, unit))
        except FileNotFoundError:
            pass  # nothing to forget
        except OSError as exc:
            raise LifecycleError(f"cannot remove {self._path(kind, unit)}: {exc.strerror}") from exc


def _misshapen(path: str, exc: TypeError) -> LifecycleError:
    return LifecycleError(f"{path} is no record of this collection ({exc}); look at it and remove it")


def _as_hold(path: str, row: t.Any) -> Hold | None:
    try:
        return Hold(**row) if row else None
    except TypeError as exc:
        raise _misshapen(path, exc) from exc


def _replace(path: str, text: str) -> None:
    """Put a file there whole, or not at all."""
    fresh = f"{path}.new"
    try:
        with open(fresh, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(fresh, 0o644)
        os.replace(fresh, path)
    except OSError:
        if os.path.exists(fresh):
            os.unlink(fresh)
        raise


class Lock:
    """A lock that the kernel releases however its holder ends (flock(2)); the file says who holds it."""

    def __init__(self, clock: Clock, path: str, owner: str) -> None:
        self._clock = clock
        self._path = path
        self._owner = owner
        self._handle: int | None = None

    def acquire(self) -> str | None:
        """Take the lock. None when it is ours, else who holds it and for how long."""
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o755, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as exc:
            raise LifecycleError(f"cannot open the lock {self._path}: {exc.strerror}; run with become: true") from exc
        holder: str | None = None
        for _try in range(_LOCK_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as exc:
                holder = self._describe(handle)
                if exc.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    os.close(handle)
                    raise LifecycleError(f"cannot lock {self._path}: {exc.strerror}") from exc
            if holder:
                os.close(handle)
                return holder
            self._clock.sleep(_LOCK_PAUSE)  # it has the lock and has not written its name yet
        else:
            os.close(handle)
            return "another controller that does not say who it is"
        self._handle = handle
        record = {"owner": self._owner, "pid": os.getpid(), "monotonic": self._clock.monotonic()}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(record).encode(), 0)
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
        except (OSError, ValueError, KeyError, TypeError):
            return None
