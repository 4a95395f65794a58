# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters of one service that never miss or repeat a transition, whenever the program that keeps them runs. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Between two observations the journal tells what happened; the observation adds
what systemd does not log (``reset-failed``, the health of probes, the states
of a kind). It is compared with the records only where both tell of one moment:
a record that came while the services were observed may be newer than what was
seen, and one that tells of a change just seen may still be on its way. Then
the next run compares. All of it is plain JSON, saved together with the
journal's cursor: what was counted and up to where are never apart.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.history import credit
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import (
    COLLECTION,
    HOST,
    OPERATOR,
    SERVICE,
    UNRECORDED,
    WELL,
    Boot,
    Decoder,
    Record,
    Transition,
    is_failure,
)

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Attempt

_BAD = (m.ERROR, m.RESTARTING)
# Who acts on purpose: what follows is no failure of the service.
_ON_PURPOSE = (OPERATOR, COLLECTION, HOST)
# So many instants of failures are kept: no window of a service counts more.
_MAX_FAILURES = 1000
_ENDED = (m.ERROR, m.RESTARTING, m.STOPPED)
# Within so many seconds journald has written what systemd told it of a change.
_JOURNAL_LAG = 2.0
# The boots of which the last record that was counted is remembered.
_MAX_BOOTS = 8


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


class ObservedState(t.NamedTuple):
    """What the observation showed. ``since``: seconds since the epoch, None where it is not known.

    ``unit_state``: the state by systemd's word alone, as its records have it.
    ``looping``: a crash loop, which is an error whatever state systemd shows.
    ``connections``: of a connector to the edge, None where there are none to count.
    """

    state: str
    base_state: str
    since: float | None
    cause: str | None
    unit_state: str
    looping: bool = False
    connections: int | None = None

    @property
    def counted(self) -> str:
        """The state that is counted: in a loop what systemd shows, so that it does not matter when it was seen."""
        return self.unit_state if self.looping else self.state


class Batch(t.NamedTuple):
    """The manager's records since the last run, oldest first.

    ``complete``: there were no more of them. ``observed_from``: the service
    was observed from then on (CLOCK_MONOTONIC).
    """

    records: t.Sequence[Record]
    complete: bool = True
    observed_from: float = math.inf


class Thrashing(t.NamedTuple):
    """When a service thrashes: this many failures within ``window`` seconds."""

    failures: int = 5
    window: float = 600.0


_THRASHING = Thrashing()


class ServiceCounters:
    """Totals since the first observation of one service.

    ``trouble_since``: since when it has not run well, 0.0 while it does; a restart on purpose is no trouble.
    ``thrashing_since``: since when it fails again and again, 0.0 while it does not. It ends with the trouble, not
    with the window: a loop that slows down, or that systemd gives up, does not begin anew.
    """

    def __init__(self, restarts: bool = True) -> None:
        self.seconds: dict[str, float] = {}
        self.transitions: dict[tuple[str, str, str], int] = {}
        self.errors: dict[str, int] = {}
        self.automatic_restarts = 0
        self.state = ""
        self.base_state = ""
        self.since = 0.0
        self.trouble_since = 0.0
        self.thrashing_since = 0.0
        self._failures: list[float] = []
        self.disconnected_since = 0.0
        self._decoder = Decoder(restarts)
        self._until: Moment | None = None
        # The last record of each boot, by its CLOCK_MONOTONIC: a journal that was rotated may show some of them again.
        self._last: dict[str, float] = {}

    def advance(
        self,
        batch: Batch,
        observed: ObservedState,
        now: Moment,
        boots: t.Sequence[Boot] = (),
        attempts: t.Sequence[Attempt] = (),
        thrashing: Thrashing = _THRASHING,
    ) -> None:
        """Count what the records since the last call tell, and what the observation adds.

        ``now``: after both were read. ``attempts``: what this collection did to the service.
        """
        fresh = self._unread(batch.records, now)
        if self._until is None:
            self._begin(fresh, batch.observed_from, observed, now)
            return
        newest = max((record.monotonic for record in fresh if record.boot_id == now.boot_id), default=-math.inf)
        changes = self._decoded(fresh, now, boots)
        of_one_moment = batch.complete and newest < batch.observed_from and self._is_recorded(observed, now)
        if of_one_moment and observed.unit_state != m.UNKNOWN:  # it shows whether systemd restarts what ended last
            changes += self._decoder.flush(restarting=observed.unit_state == m.RESTARTING)
        self.automatic_restarts += sum(
            1 for change in changes if change.after == m.RESTARTING and change.trigger == SERVICE
        )
        position = self._position(now)
        self._shift(position - self._until.wall)
        for change in credit(changes, attempts):
            position = self._pass(position, change, now)
        if of_one_moment:
            position = self._observe(position, observed, now)
        self._spend(position, now.wall)
        self._until = now
        if self._lasts() and now.wall - self.since >= WELL:
            self.trouble_since = 0.0
        self._watch_thrashing(now.wall, thrashing)
        self._count_connections(observed, now)

    def _lasts(self) -> bool:
        """Whether the state ends a crash loop when it lasts: a node that syncs for hours is in no loop."""
        return self.base_state == m.RUNNING or self.state not in m.GENERIC.states

    def _watch_thrashing(self, now: float, limit: Thrashing) -> None:
        self._failures = [at for at in self._failures if now - at < limit.window][-_MAX_FAILURES:]
        if len(self._failures) >= limit.failures:
            self.thrashing_since = self.thrashing_since or self._failures[limit.failures - 1]
        elif not self._failures and not self.trouble_since:
            self.thrashing_since = 0.0

    def _decoded(self, fresh: t.Sequence[Record], now: Moment, boots: t.Sequence[Boot]) -> list[Transition]:
        self._decoder.use_boots(boots)
        changes = list(self._decoder.feed([record._replace(at=now.wall_of(record)) for record in fresh]))
        # Nothing that ran before a reboot does now, also where no record of the new boot tells of the service.
        return [*changes, *self._decoder.enter_boot(now.boot_id, now.wall - now.monotonic)]

    def _is_recorded(self, observed: ObservedState, now: Moment) -> bool:
        """Whether a record of what was seen would be here already, if there is any."""
        undecided = self._decoder.is_undecided
        agrees = observed.unit_state in (_ENDED if undecided else (self._decoder.state, m.UNKNOWN))
        return agrees or observed.since is None or now.wall - observed.since > _JOURNAL_LAG

    def _count_connections(self, observed: ObservedState, now: Moment) -> None:
        if observed.unit_state in _ENDED:
            self.disconnected_since = 0.0  # it does not run, so that it has nothing to connect
        elif observed.connections is not None:
            first = self.disconnected_since or min(observed.since or now.wall, now.wall)
            self.disconnected_since = 0.0 if observed.connections else first

    def _begin(self, fresh: t.Sequence[Record], observed_from: float, observed: ObservedState, now: Moment) -> None:
        """The first observation: what was before it is not counted."""
        if m.UNKNOWN in (observed.state, observed.unit_state):
            return
        self._decoder.enter_boot(now.boot_id, now.wall - now.monotonic)
        self._decoder.settle(observed.unit_state)
        self.state, self.base_state = observed.counted, observed.base_state
        self.since, self._until = min(observed.since or now.wall, now.wall), now
        self.trouble_since = self.since if observed.state in _BAD else 0.0
        self._last.setdefault(now.boot_id, min(observed_from, now.monotonic))
        later = [record for record in fresh if record.boot_id == now.boot_id and record.monotonic > observed_from]
        for change in self._decoded(later, now, ()):
            self._pass(now.wall, change, now)
        self._count_connections(observed, now)

    def _position(self, now: Moment) -> float:
        """The instant up to which time has been spent, on the present clock."""
        until = self._until
        if until is None or until.boot_id != now.boot_id:
            return min(until.wall, now.wall) if until else now.wall
        return now.wall - max(now.monotonic - until.monotonic, 0.0)

    def _shift(self, step: float) -> None:
        """Bring what was noted before a step of the clock onto the present clock."""
        self.since += step
        self.trouble_since += step if self.trouble_since else 0.0
        self.disconnected_since += step if self.disconnected_since else 0.0
        self.thrashing_since += step if self.thrashing_since else 0.0
        self._failures = [at + step for at in self._failures]

    def _unread(self, records: t.Sequence[Record], now: Moment) -> list[Record]:
        """Those that were not counted yet, boot by boot.

        journalctl of systemd 252 may show records of two boots in turns. What
        comes late of a boot that was left is in the stop that the reboot was.
        """
        last = self._decoder.boot_id
        left = {boot_id for boot_id in self._last if boot_id not in (last, now.boot_id)}
        if last == now.boot_id:
            left |= {record.boot_id for record in records} - {last}
        began: dict[str, float] = {last: -math.inf}
        for record in records:
            began.setdefault(record.boot_id, record.at)
        began[now.boot_id] = math.inf
        found: list[Record] = []
        for record in sorted(records, key=lambda one: (began[one.boot_id], one.monotonic)):
            if record.boot_id not in left and record.monotonic > self._last.get(record.boot_id, -math.inf):
                self._last[record.boot_id] = record.monotonic
                found.append(record)
        self._last = dict(list(self._last.items())[-_MAX_BOOTS:])
        return found

    def _pass(self, position: float, change: Transition, now: Moment) -> float:
        at = min(max(change.at, position), now.wall)
        self._spend(position, at)
        self._enter(change.after, change.after, at, change.trigger, change.cause)
        return at

    def _observe(self, position: float, observed: ObservedState, now: Moment) -> float:
        """Bring the state to what was observed, where no record told of it."""
        recorded = observed.unit_state in (self._decoder.state, m.UNKNOWN)
        if not recorded:
            self._decoder.settle(observed.unit_state)  # reset-failed, or a unit whose transitions are not logged
        if m.UNKNOWN in (observed.counted, observed.state) or observed.counted == self.state:
            return position
        at = min(max(observed.since or now.wall, position), now.wall)
        self._spend(position, at)
        self._enter(observed.counted, observed.base_state, at, SERVICE if recorded else UNRECORDED, observed.cause)
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
        if trigger in _ON_PURPOSE:
            self._failures = []
        elif base_state in _BAD:
            self._failures.append(at)
        if state == m.STOPPED or (self._lasts() and at - self.since >= WELL):
            self.trouble_since = 0.0
        if state == m.ERROR or (state == m.RESTARTING and trigger not in _ON_PURPOSE):
            self.trouble_since = self.trouble_since or at
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
            "thrashing_since": self.thrashing_since,
            "failures": list(self._failures),
            "disconnected_since": self.disconnected_since,
            "decoder": self._decoder.dump(),
            "until": list(self._until) if self._until else None,
            "last": dict(self._last),
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
        self.thrashing_since = float(saved["thrashing_since"])
        self._failures = [float(at) for at in saved["failures"]]
        self.disconnected_since = float(saved["disconnected_since"])
        self._decoder.load(saved["decoder"])
        self._until = Moment(*saved["until"]) if saved["until"] else None
        self._last = {str(boot_id): float(moment) for boot_id, moment in saved["last"].items()}
        return self
