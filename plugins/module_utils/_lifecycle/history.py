# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of one service over a window: transitions, time in each state, and what the records do not cover. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

What is not covered is reported and not counted: a state that was never
recorded adds to ``unrecorded`` and to no other state.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import journal as j
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Attempt
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import (
    COLLECTION,
    OPERATOR,
    UNRECORDED,
    WELL,
    Boot,
    Decoder,
    Record,
    Transition,
    is_failure,
    read_records,
)

# An act of this collection is recorded before it is made; systemd's own record follows within these seconds.
_ACT_BEFORE, _ACT_AFTER = 1.0, 10.0
# systemd stamps a unit's timestamps a little before journald stamps the record about it, in seconds.
_RECORD_LAG = 0.5


class Gap(t.NamedTuple):
    """From ``begin`` to ``end`` (seconds since the epoch) nothing is known."""

    begin: float
    end: float
    reason: str


class Present(t.NamedTuple):
    """What the observation at the end of the window showed. ``since`` is None where systemd has forgotten it."""

    state: str
    since: float | None
    at: float


class History(t.NamedTuple):
    """The window from ``begin`` to ``end``, in seconds since the epoch.

    ``first``: the state at the beginning, None where it is not known.
    ``notes``: why records may be missing. ``stepped_at``: when the clock was last set.
    Where the log of the service tells states of its kind, ``bases`` has the base state of each, and ``grounded`` the
    transitions with systemd's own state wherever the log does not tell one.
    """

    begin: float
    end: float
    first: str | None
    transitions: tuple[Transition, ...]
    gaps: tuple[Gap, ...] = ()
    boots: int = 1
    clock_steps: int = 0
    notes: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    stepped_at: float | None = None
    grounded: tuple[Transition, ...] | None = None
    bases: t.Mapping[str, str] = {}

    def base(self, state: str | None) -> str | None:
        """The state in the words that all kinds share."""
        return self.bases.get(state, state) if state else state

    def spans(self) -> list[tuple[float, float, str | None]]:
        """Begin, end and state of each stretch of time; None where nothing is known."""
        moments = [(self.begin, self.first), *((change.at, change.after) for change in self.transitions)]
        ends = [at for at, _state in moments[1:]] + [self.end]
        found: list[tuple[float, float, str | None]] = []
        for (begin, state), end in zip(moments, ends):
            found += _without_gaps(begin, max(end, begin), state, self.gaps)
        return found

    def seconds(self) -> dict[str, float]:
        """Seconds in each state, and ``unrecorded`` for the time of which nothing is known."""
        total: dict[str, float] = {}
        for begin, end, state in self.spans():
            name = state or UNRECORDED
            total[name] = total.get(name, 0.0) + end - begin
        return {name: round(value, 3) for name, value in sorted(total.items()) if value > 0}

    def errors(self) -> dict[str, int]:
        """How often the service failed, by cause. In a crash loop each failed run counts."""
        found: dict[str, int] = {}
        for change in self.transitions:
            if change.trigger != UNRECORDED and is_failure(change.after, change.cause):
                cause = change.cause or "unknown"
                found[cause] = found.get(cause, 0) + 1
        return dict(sorted(found.items()))

    def longest_error(self) -> float:
        """The longest time in error without a break, in seconds; an automatic restart in between is no break."""
        longest, current, last_end = 0.0, 0.0, None
        for begin, end, state in self.spans():
            if self.base(state) in (m.ERROR, m.RESTARTING):
                current = current + end - begin if last_end == begin else end - begin
                longest, last_end = max(longest, current), end
        return round(longest, 3)

    def trouble_since(self) -> float | None:
        """Since when the service has been unhealthy, in seconds since the epoch; None if it is healthy now.

        A crash loop began with its first failure: that it runs for a moment
        between two of them is no end of it. A restart on purpose is no trouble.
        """
        since: float | None = None
        ordered = [c.at for c in self.transitions if c.after == m.RESTARTING and c.trigger in (OPERATOR, COLLECTION)]
        known = self if self.grounded is None else self._replace(transitions=self.grounded)
        for begin, end, state in joined((begin, end, self.base(state)) for begin, end, state in known.spans()):
            if state == m.STOPPED or (state == m.RUNNING and end - begin >= WELL):
                since = None
            elif since is None and (state == m.ERROR or (state == m.RESTARTING and begin not in ordered)):
                since = begin
        return since

    def as_dict(self) -> dict[str, t.Any]:
        trouble = self.trouble_since()
        return {
            "begin": round(self.begin, 3),
            "end": round(self.end, 3),
            "first_state": self.first,
            "transitions": [change.as_dict() for change in self.transitions],
            "seconds": self.seconds(),
            "changes": len(self.transitions),
            "errors": self.errors(),
            "longest_error": self.longest_error(),
            "trouble_since": None if trouble is None else round(trouble, 3),
            "attempts": [
                {
                    "at": round(attempt.at, 3),
                    "action": attempt.action,
                    "owner": attempt.owner,
                    "from": attempt.before,
                    "cause": attempt.cause,
                    "outcome": attempt.outcome,
                }
                for attempt in self.attempts
            ],
            "coverage": {
                "complete": not self.gaps and not self.notes and self.first is not None,
                "gaps": [gap._asdict() for gap in self.gaps],
                "boots": self.boots,
                "clock_steps": self.clock_steps,
                "notes": list(self.notes),
            },
        }


def joined(spans: t.Iterable[tuple[float, float, str | None]]) -> list[tuple[float, float, str | None]]:
    """Stretches of time (begin, end, state); those of the same state that follow each other are one."""
    found: list[tuple[float, float, str | None]] = []
    for begin, end, state in spans:
        if found and found[-1][1:] == (begin, state):
            begin = found.pop()[0]
        found.append((begin, end, state))
    return found


def _without_gaps(
    begin: float, end: float, state: str | None, gaps: t.Sequence[Gap]
) -> list[tuple[float, float, str | None]]:
    """The stretch, with what a gap covers as not known."""
    found: list[tuple[float, float, str | None]] = []
    for gap in sorted(gaps):
        low, high = max(gap.begin, begin), min(gap.end, end)
        if low < high:
            found += [(begin, low, state), (low, high, None)]
            begin = high
    return [span for span in (*found, (begin, end, state)) if span[0] < span[1]]


def build_history(
    entries: t.Sequence[j.Entry],
    earlier: t.Sequence[j.Entry],
    *,
    begin: float,
    present: Present,
    boots: t.Sequence[Boot],
    restarts: bool,
    silent: bool = False,
    notes: t.Sequence[str] = (),
    attempts: t.Sequence[Attempt] = (),
) -> History:
    """The history from ``begin`` (seconds since the epoch) to the observation ``present``.

    ``entries``: the manager's records about the unit in the window, oldest
    first; ``earlier``: the last ones before it, which tell the state at its
    beginning. ``silent``: the unit's ``LogLevelMax=`` or the manager's
    ``LogLevel=`` keeps these records out of the journal.
    """
    if silent:
        message = "systemd logs no transitions of this unit (LogLevelMax= or LogLevel=)"
        return unreadable_history(begin, present.at, message)._replace(
            notes=(*notes, message), attempts=tuple(attempts)
        )
    steps = [entry for entry in entries if entry.message_id == j.TIME_CHANGE and entry.from_manager]
    decoder = Decoder(restarts, boots)
    _decode_before(decoder, earlier, begin, boots)
    first, lasting = decoder.state, present.since is not None and present.since <= begin
    records = _on_one_clock(read_records(entries), {entry.boot_id for entry in steps})
    transitions = [change for change in (*decoder.feed(records), *decoder.flush()) if change.at >= begin]
    if first == m.UNKNOWN and not transitions and lasting:
        first = present.state
        decoder.settle(first)
    transitions, unrecorded = reconcile(credit(transitions, attempts), decoder.state, present, begin)
    return History(
        begin,
        present.at,
        None if first == m.UNKNOWN else first,
        tuple(transitions),
        (*_before_the_journal(begin, present.at, boots), *filter(None, [unrecorded])),
        boots=_count_boots(boots, begin),
        clock_steps=len(steps),
        notes=(*notes, *_losses(entries)),
        attempts=tuple(attempt for attempt in attempts if attempt.at >= begin),
        stepped_at=_last(steps),
    )


def _decode_before(decoder: Decoder, earlier: t.Sequence[j.Entry], begin: float, boots: t.Sequence[Boot]) -> None:
    """Bring the decoder to the state in which the window begins."""
    decoder.feed(read_records(earlier))
    decoder.flush()
    if decoder.state == m.UNKNOWN and any(boot.first >= begin for boot in boots[-1:]):
        decoder.settle(m.STOPPED)  # nothing runs before the host has booted


def _before_the_journal(begin: float, end: float, boots: t.Sequence[Boot]) -> list[Gap]:
    """The time of the window that the journal does not reach back to."""
    oldest = min((boot.first for boot in boots), default=end)
    return [Gap(begin, oldest, "the journal does not reach back so far")] if oldest > begin else []


def _count_boots(boots: t.Sequence[Boot], begin: float) -> int:
    """How many boots the window has; one where the journal does not tell."""
    return sum(1 for boot in boots if boot.last >= begin) or 1


def _last(entries: t.Sequence[j.Entry]) -> float | None:
    return max((entry.timestamp for entry in entries), default=None)


def _losses(entries: t.Sequence[j.Entry]) -> list[str]:
    lost = any(entry.message_id in (j.JOURNAL_DROPPED, j.JOURNAL_MISSED) for entry in entries)
    return ["the journal lost messages in this window"] if lost else []


def unreadable_history(begin: float, end: float, reason: str) -> History:
    """The history of a service of which nothing can be read, and why."""
    return History(begin, end, None, (), (Gap(begin, end, reason),), notes=(reason,))


def reconcile(
    transitions: t.Sequence[Transition], decoded: str, present: Present, begin: float
) -> tuple[list[Transition], Gap | None]:
    """The transitions, ended with the observed state; and the time in which the change went unrecorded.

    systemd logs neither reset-failed nor what its probes and its kind know
    of a service: the observation wins.
    """
    if present.state in (decoded, m.UNKNOWN):
        return list(transitions), None
    last = transitions[-1].at if transitions else begin
    at = present.since if present.since is not None and present.since + _RECORD_LAG >= last else None
    if at is not None:
        at = max(at, last)
        return [*transitions, Transition(at, decoded, present.state, UNRECORDED)], None
    gap = Gap(last, present.at, f"no record tells when it changed from {decoded} to {present.state}")
    return [*transitions, Transition(present.at, decoded, present.state, UNRECORDED)], gap


def credit(transitions: t.Sequence[Transition], attempts: t.Sequence[Attempt]) -> list[Transition]:
    """Set the trigger of transitions that runs of this collection caused."""
    found: list[Transition] = []
    for change in transitions:
        made = [a for a in attempts if a.at - _ACT_BEFORE <= change.at <= a.at + _ACT_AFTER]
        if change.trigger == OPERATOR and made:
            change = change._replace(trigger=COLLECTION, owner=made[-1].owner)
        found.append(change)
    return found


def _on_one_clock(records: t.Sequence[Record], stepped: t.Collection[str]) -> list[Record]:
    """The records, their instants corrected in the boots during which the realtime clock was set.

    Within a boot the monotonic clock orders the records. An instant before
    the step is shifted by as much as the clock was.
    """
    last = {record.boot_id: record for record in records}
    return [
        record._replace(at=last[record.boot_id].at - last[record.boot_id].monotonic + record.monotonic)
        if record.boot_id in stepped
        else record
        for record in records
    ]
