# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants of a host: one owner at a time may take a service offline that this host has a say in.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

A grant ends by itself, measured by the granting host alone, so that no two
clocks are ever compared. It is kept in /run, which a host forgets when it
boots, so a host grants nothing in the first seconds of its life. Whose grants
are needed is the business of each kind.
"""

from __future__ import annotations

import json
import os
import time
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import private_files as files
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import SystemClock

TTL = 180.0
# The step is not made with less than this left of the target's own grant.
LEFT = 60.0
FOLDER = "/run/chainops-lifecycle"
_PATIENCE = 10.0


@dataclass(frozen=True)
class Grant:
    """What a host has granted. ``until``: seconds on that host's own clock (CLOCK_BOOTTIME)."""

    owner: str
    target: str
    until: float

    def left(self, now: float) -> float:
        return max(self.until - now, 0.0)

    def as_dict(self) -> dict[str, t.Any]:
        """As the modules return it, with the seconds that are left of it."""
        return {"owner": self.owner, "target": self.target, "left": round(self.left(clock()), 1)}


class Answer(t.NamedTuple):
    """The grant in force after a request, and why it is not the requester's own (empty: it is)."""

    grant: Grant | None
    refused: str


def decide(held: Grant | None, owner: str, target: str, *, now: float, alive_for: float, ttl: float = TTL) -> Answer:
    """Whether a host grants ``owner`` the right to take ``target`` offline. Pure.

    A grant is never made longer, so that the order in which grants were given
    is the order in which they end; ``owner`` has to be new for each attempt.
    ``now`` and ``alive_for`` are of this host: its clock, and how long ago it was booted.
    """
    if held is not None and held.left(now) > 0:
        mine = (held.owner, held.target) == (owner, target)
        return Answer(held, "" if mine else _of_another(held, now))
    if alive_for < ttl:
        return Answer(
            None,
            f"the host booted {alive_for:.0f} s ago and may have lost a grant; wait until {ttl:.0f} s after the boot",
        )
    return Answer(Grant(owner, target, now + ttl), "")


def usable(held: Grant | None, owner: str, target: str, now: float, least: float = LEFT) -> str:
    """Why the grant of the target's own host does not allow the step; empty if it does."""
    if held is None or held.left(now) <= 0:
        return "no grant is in force on this host: reserve first"
    if (held.owner, held.target) != (owner, target):
        return _of_another(held, now)
    if held.left(now) < least:
        return f"its grant ends in {held.left(now):.0f} s, {least:.0f} s are needed: reserve again"
    return ""


def _of_another(held: Grant, now: float) -> str:
    return f"{held.owner} has the right to take {held.target} offline, for {held.left(now):.0f} s more"


class GrantStore:
    """One grant of this host, in a file under a lock. ``name``: that of the file, without a folder."""

    def __init__(self, name: str, folder: str = FOLDER, ttl: float = TTL) -> None:
        self._path = os.path.join(folder, f"{name}.json")
        self._ttl = ttl

    def would_answer(self, owner: str, target: str) -> Answer:
        """Return the answer that a request would get now, without making it."""
        return self._decide(self.held(), owner, target, clock())

    def request(self, owner: str, target: str) -> Answer:
        """Ask for the grant."""
        return self._change(lambda held, now: self._decide(held, owner, target, now))

    def release(self, owner: str) -> None:
        """Release the owner's grant; a grant of another owner stays."""
        self._change(lambda held, now: Answer(None if held is None or held.owner == owner else held, ""))

    def is_held_by(self, owner: str) -> bool:
        """Whether the grant in force is the owner's. Touches nothing."""
        held = self.held()
        return held is not None and held.owner == owner and held.left(clock()) > 0

    def held(self) -> Grant | None:
        """The grant that was given last, which may have ended. Touches nothing."""
        return self._read()

    def _read(self) -> Grant | None:
        row = files.read_json(self._path)
        if row is None:
            return None
        try:
            return Grant(str(row["owner"]), str(row["target"]), float(row["until"]))
        except (KeyError, TypeError, ValueError) as exc:
            raise files.misshapen(self._path, repr(exc)) from exc

    def _decide(self, held: Grant | None, owner: str, target: str, now: float) -> Answer:
        return decide(held, owner, target, now=now, alive_for=host_age(), ttl=self._ttl)

    def _change(self, rule: t.Callable[[Grant | None, float], Answer]) -> Answer:
        files.make_folder(os.path.dirname(self._path))
        # Not the file itself, which is replaced whole: a full /run must not lose the grant that is in force.
        lock = f"{self._path}.lock"
        handle = files.open_lock(lock)
        try:
            files.wait_for_lock(handle, lock, SystemClock(), _PATIENCE)
            before = self._read()
            answer = rule(before, clock())
            if answer.grant is None:
                files.remove(self._path)
            elif answer.grant != before:
                files.replace(self._path, json.dumps(asdict(answer.grant)))
            return answer
        finally:
            os.close(handle)


def clock() -> float:
    """This host's clock for grants: it runs while the host sleeps, and cannot be set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def host_age() -> float:
    """Seconds since this host, or container, was booted: the age of its first process. See proc(5), starttime."""
    with open("/proc/1/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return clock() - int(fields[19]) / os.sysconf("SC_CLK_TCK")
