# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters of one service that never miss or repeat a transition, whenever the program that keeps them runs. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Between two observations the journal tells what happened; the observation adds
what systemd does not log (``reset-failed``, the health of probes, the states
of a kind). All of it is plain JSON, saved together with the journal's cursor:
what was counted and up to where are never apart.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import (
    SERVICE,
    UNRECORDED,
    WELL,
    Boot,
    Decoder,
    Record,
    Transition,
    is_failure,
)

_BAD = (m.ERROR, m.RESTARTING)


class Moment(t.NamedTuple):
    """When an observation was made: seconds since the epoch, and of CLOCK_MONOTONIC in this boot."""

    wall: float
    monotonic: float
    boot_id: str

    def wall_of(self, record: Record) -> float:
        """The instant of a record on the present clock: a step of the clock since then is taken out."""
        if record.boot_id != self.boot_id:
            return record.at
        return self.wall - (self.monotonic - record.monotonic)


class Seen(t.NamedTuple):
    """What the observation showed. ``since``: seconds since the epoch, None where it is not known."""

    state: str
    base_state: str
    since: float | None
    cause: str | None


class ServiceCounters:
    """Totals since the first observation of one service."""

    def __init__(self, restarts: bool = True) -> None:
        self.seconds: dict[str, float] = {}
        self.transitions: dict[tuple[str, str, str], int] = {}
        self.errors: dict[str, int] = {}
        self.automatic_restarts = 0
        self.state = ""
        self.base_state = ""
        self.since = 0.0
        self.trouble_since = 0.0
        self._decoder = Decoder(restarts)
        self._until: Moment | None = None
        self._last: list[t.Any] = ["", 0.0]

    def advance(self, records: t.Iterable[Record], seen: Seen, now: Moment, boots: t.Sequence[Boot] = ()) -> None:
        """Count what the records since the last call tell, and what the observation adds."""
        fresh = self._unread(records)
        fresh = [record._replace(at=now.wall_of(record)) for record in fresh]
        self._decoder.use_boots(boots)
        changes = self._decoder.feed(fresh)
        if seen.base_state != m.UNKNOWN:  # it shows whether systemd restarts what ended last
            changes += self._decoder.flush(restarting=seen.base_state == m.RESTARTING)
        if self._until is None:
            self._begin(seen, now)
            return
        self.automatic_restarts += sum(
            1 for change in changes if change.after == m.RESTARTING and change.trigger == SERVICE
        )
        position = self._position(now)
        self._shift(position - self._until.wall)
        for change in changes:
            position = self._pass(position, change)
        position = self._observe(position, seen, now)
        self._spend(position, now.wall)
        self._until = now
        if self.base_state == m.RUNNING and now.wall - self.since >= WELL:
            self.trouble_since = 0.0

    def _begin(self, seen: Seen, now: Moment) -> None:
        """The first observation: what was before it is not counted."""
        self._decoder.settle(seen.base_state)
        self.state, self.base_state = seen.state, seen.base_state
        self.since, self._until = seen.since or now.wall, now
        self.trouble_since = self.since if seen.base_state in _BAD else 0.0

    def _position(self, now: Moment) -> float:
        """The instant up to which time has been spent, on the present clock."""
        until = self._until
        if until is None or until.boot_id != now.boot_id:
            return until.wall if until else now.wall
        return now.wall - max(now.monotonic - until.monotonic, 0.0)

    def _shift(self, step: float) -> None:
        """Bring what was noted before a step of the clock onto the present clock."""
        self.since += step
        self.trouble_since += step if self.trouble_since else 0.0

    def _unread(self, records: t.Iterable[Record]) -> list[Record]:
        """Those after the last one that was counted: a journal that was rotated may show some of them again."""
        found: list[Record] = []
        for record in records:
            if record.boot_id == self._last[0] and record.monotonic <= self._last[1]:
                continue
            self._last = [record.boot_id, record.monotonic]
            found.append(record)
        return found

    def _pass(self, position: float, change: Transition) -> float:
        at = max(change.at, position)
        self._spend(position, at)
        self._enter(change.after, change.after, at, change.trigger, change.cause)
        return at

    def _observe(self, position: float, seen: Seen, now: Moment) -> float:
        """Bring the state to what was observed, where no record told of it."""
        if seen.state in (self.state, m.UNKNOWN):
            return position
        decoded = self._decoder.state
        if decoded == m.ERROR and seen.base_state == m.STOPPED:
            self._decoder.settle(m.STOPPED)  # reset-failed
        at = min(max(seen.since or now.wall, position), now.wall)
        self._spend(position, at)
        of_kind = seen.base_state == decoded or seen.base_state in (m.RUNNING, m.STARTING)
        self._enter(seen.state, seen.base_state, at, SERVICE if of_kind else UNRECORDED, seen.cause)
        return at

    def _spend(self, begin: float, end: float) -> None:
        if end > begin:
            self.seconds[self.state] = self.seconds.get(self.state, 0.0) + end - begin

    def _enter(self, state: str, base_state: str, at: float, trigger: str, cause: str | None) -> None:
        if state == self.state:
            return
        key = (self.state, state, trigger)
        self.transitions[key] = self.transitions.get(key, 0) + 1
        if is_failure(state, cause):
            self.errors[cause or "unknown"] = self.errors.get(cause or "unknown", 0) + 1
        ran = at - self.since if self.base_state == m.RUNNING else 0.0
        if state in _BAD:
            self.trouble_since = at if not self.trouble_since or ran >= WELL else self.trouble_since
        elif state == m.STOPPED:
            self.trouble_since = 0.0
        self.state, self.base_state, self.since = state, base_state, at

    def dump(self) -> dict[str, t.Any]:
        """All of it as plain JSON."""
        return {
            "seconds": dict(self.seconds),
            "transitions": [[*key, count] for key, count in self.transitions.items()],
            "errors": dict(self.errors),
            "automatic_restarts": self.automatic_restarts,
            "state": self.state,
            "base_state": self.base_state,
            "since": self.since,
            "trouble_since": self.trouble_since,
            "decoder": self._decoder.dump(),
            "until": list(self._until) if self._until else None,
            "last": list(self._last),
        }

    @classmethod
    def load(cls, saved: t.Mapping[str, t.Any], restarts: bool = True) -> ServiceCounters:
        """Go on from what ``dump`` gave. Raises KeyError, TypeError or ValueError where it is none."""
        self = cls(restarts)
        self.seconds = {str(state): float(value) for state, value in saved["seconds"].items()}
        self.transitions = {(a, b, trigger): int(count) for a, b, trigger, count in saved["transitions"]}
        self.errors = {str(cause): int(count) for cause, count in saved["errors"].items()}
        self.automatic_restarts = int(saved["automatic_restarts"])
        self.state, self.base_state = str(saved["state"]), str(saved["base_state"])
        self.since = float(saved["since"])
        self.trouble_since = float(saved["trouble_since"])
        self._decoder.load(saved["decoder"])
        self._until = Moment(*saved["until"]) if saved["until"] else None
        self._last = [str(saved["last"][0]), float(saved["last"][1])]
        return self
