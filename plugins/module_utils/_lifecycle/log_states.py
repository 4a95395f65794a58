# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the states that a service's own log proves into its history, while systemd only knows that it runs. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

systemd decides when there is a process. A kind decides what the lines of that
process prove. Where they prove nothing the state is ``unknown``, never a guess.
"""

from __future__ import annotations

import bisect
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import (
    LOG,
    UNRECORDED,
    Transition,
)

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.history import History

Line = tuple[float, str]
Moment = tuple[float, str]

NOT_TOLD = "its log does not show its state all the time (it has to log at level info, into the journal)"
TOO_MANY = "its log shows very many changes: only the last ones are in the history"
CLOCK_SET = "the clock was set: its log from before that is left out"
# Changes of one service that a history takes from its log.
MOST_CHANGES = 2000
# journald counts the messages of a service for this long before it drops more of them (RateLimitIntervalSec=), in s.
_DROPS_WITHIN = 60.0
_LIVE = (m.STARTING, m.RUNNING)


class Stretch(t.NamedTuple):
    """Lines of one process, oldest first, of which the states from ``begin`` to ``end`` are asked for.

    Moments are in seconds since the epoch. ``since``: from when on the lines
    were read, which may be before ``begin``; there may be lines of the end of
    the process after ``end``. ``fresh``: the process began with it; ``last``: it is the process that is there now.
    """

    begin: float
    end: float
    lines: t.Sequence[Line]
    since: float
    fresh: bool
    last: bool


class LogStates(t.Protocol):
    """What a kind knows of the log of its services."""

    @property
    def pattern(self) -> str:
        """The regular expression that finds the lines which tell anything (PCRE, for ``journalctl --grep``)."""

    @property
    def lead(self) -> float:
        """For how many seconds before a window log lines may prove the state at its beginning."""

    def states(self, stretch: Stretch) -> t.Sequence[Moment]:
        """Each change of state that the lines prove, oldest first; ``unknown`` where they prove none.

        Text of the lines is hostile and is no part of what is returned.
        """


class LastObserved(t.NamedTuple):
    """The state that the observation at the end of the window showed, and since when (seconds since the epoch)."""

    state: str
    since: float | None


class Reading(t.NamedTuple):
    """What was read of the log: the lines, oldest first, from ``since`` on; ``drops``: when lines of it were lost."""

    lines: t.Sequence[Line]
    since: float
    notes: tuple[str, ...] = ()
    drops: tuple[float, ...] = ()


class Moments:
    """The states that a log proves, as they are found; each may hold for some time only."""

    def __init__(self, at: float, state: str, until: float | None = None) -> None:
        self.found: list[Moment] = [(at, state)]
        self._until = until

    @property
    def state(self) -> str:
        return self.found[-1][1]

    def expire(self, now: float) -> bool:
        """End what has not been proved again in time. Whether it was."""
        if self._until is None or self._until >= now:
            return False
        self._go(self._until, m.UNKNOWN)
        self._until = None
        return True

    def prove(self, at: float, state: str, until: float | None = None) -> None:
        """A line proves this state, which holds ``until`` a moment unless it is proved again."""
        self._go(at, state)
        self._until = until

    def _go(self, at: float, state: str) -> None:
        if state != self.state:
            self.found.append((max(at, self.found[-1][0]), state))


def has_lived(history: History) -> bool:
    """Whether there was a process within the window, so that its log may tell something."""
    return any(state in _LIVE for _begin, _end, state in history.spans())


def with_log_states(
    history: History, states: LogStates, log: Reading, observed: LastObserved, machine: m.Machine
) -> History:
    """The history with the states that the log of the service proves.

    ``history``: as systemd alone tells it; ``observed``: the observation at its end.
    """
    since = max(log.since, history.stepped_at or log.since)
    reading = log._replace(since=since, lines=[line for line in log.lines if line[0] >= since])
    proved = {number: _prove(states, stretch, reading) for number, stretch in _stretches(history, reading).items()}
    limited = _limit(proved)
    shown, grounded = _merge(history, limited)
    last = shown[-1].after if shown else limited.get(0, [(0.0, history.first)])[0][1]
    if observed.state not in (last, m.UNKNOWN):
        ended = _observed(shown, last or m.UNKNOWN, observed, history.end)
        shown, grounded = [*shown, ended], [*grounded, ended._replace(before=grounded[-1].after if grounded else "")]
    notes = [*history.notes, *log.notes]
    notes += [CLOCK_SET] if since > log.since else []
    notes += [TOO_MANY] if limited is not proved else []
    completed = history._replace(
        first=limited[0][0][1] if 0 in limited else history.first,
        transitions=tuple(shown),
        grounded=tuple(grounded),
        bases={state: machine.base(state) for state in machine.states},
    )
    if any(state == m.UNKNOWN for _begin, _end, state in completed.spans()):
        notes.append(NOT_TOLD)
    return completed._replace(notes=tuple(dict.fromkeys(notes)))


def _moments(history: History) -> list[tuple[float, str | None]]:
    return [(history.begin, history.first), *((change.at, change.after) for change in history.transitions)]


def _stretches(history: History, log: Reading) -> dict[int, Stretch]:
    """The processes of the window, by the number of the moment at which each begins."""
    moments = _moments(history)
    found: dict[int, Stretch] = {}
    number = 0
    while number < len(moments):
        first = number
        while number < len(moments) and moments[number][1] in _LIVE:
            number += 1
        if number > first:
            found[first] = _stretch(history, moments, first, number, log)
        number += 1
    return found


def _stretch(
    history: History, moments: t.Sequence[tuple[float, str | None]], first: int, after: int, log: Reading
) -> Stretch:
    """The process that runs from the moment ``first`` to the one before ``after``."""
    begin, end = moments[first][0], moments[after][0] if after < len(moments) else history.end
    # Its first lines may be stamped before systemd's record of its start, and its last ones while it is stopped.
    after_stop = next((at for at, state in moments[after:] if state != m.STOPPING), history.end)
    before, state = moments[first - 1] if first else (log.since, None)
    since = begin if state == m.STOPPING else before
    fresh = first > 0 and history.transitions[first - 1].trigger != UNRECORDED
    low = bisect.bisect_left(log.lines, (since, ""))
    high = bisect.bisect_left(log.lines, (max(after_stop, end), ""))
    return Stretch(begin, end, log.lines[low:high], max(since, log.since), fresh, after >= len(moments))


def _prove(states: LogStates, whole: Stretch, log: Reading) -> list[Moment]:
    """What the lines prove of one process: the state at its beginning, and each change after that."""
    drops = [at for at in log.drops if whole.begin < at < whole.end]
    found: list[Moment] = [(whole.begin, m.UNKNOWN)]
    if log.since >= whole.end:
        return found
    bounds = [max(whole.begin, log.since), *(at for at in drops if at > log.since), whole.end]
    for begin, end in zip(bounds, bounds[1:]):
        part = _part(whole, begin, end, bounds[0])
        found += _within(states.states(part), begin, end)
        if end < whole.end:  # some of the lines before this moment were dropped
            lost = max(part.lines[-1][0] if part.lines else begin, begin, end - _DROPS_WITHIN)
            found = [moment for moment in found if moment[0] <= lost] + [(lost, m.UNKNOWN)]
    return _within(found, whole.begin, whole.end)


def _part(whole: Stretch, begin: float, end: float, first: float) -> Stretch:
    """What lies between two moments at which lines of a process were lost. ``first``: the first such beginning."""
    low = bisect.bisect_left(whole.lines, (begin, "")) if begin > first else 0
    high = bisect.bisect_left(whole.lines, (end, "")) if end < whole.end else len(whole.lines)
    since = begin if begin > first else whole.since
    fresh = whole.fresh and begin == whole.begin
    return Stretch(begin, end, whole.lines[low:high], since, fresh, whole.last and end == whole.end)


def _within(found: t.Sequence[Moment], begin: float, end: float) -> list[Moment]:
    """The moments from ``begin`` to ``end``, the first one with the state at ``begin``; a state only once in a row."""
    state = m.UNKNOWN
    kept: list[Moment] = []
    for at, then in found:
        if at <= begin:
            state = then
        elif at < end and then != (kept[-1][1] if kept else state):
            kept.append((at, then))
    return [(begin, state), *kept]


def _limit(proved: dict[int, list[Moment]]) -> dict[int, list[Moment]]:
    """At most MOST_CHANGES moments, the last ones; what was before them is unknown. The same where it is so already."""
    every = sorted(at for moments in proved.values() for at, _state in moments[1:])
    if len(every) <= MOST_CHANGES:
        return proved
    cut = every[-MOST_CHANGES]
    limited: dict[int, list[Moment]] = {}
    for number, moments in proved.items():
        begin = moments[0][0]
        kept = [moment for moment in moments if moment[0] >= cut]
        limited[number] = kept if begin >= cut else [(begin, m.UNKNOWN), *kept]
    return limited


class _Track:
    """Changes of state in a row."""

    def __init__(self) -> None:
        self.changes: list[Transition] = []
        self._state: str | None = None

    def go(self, at: float, state: str | None, cause: Transition | None, beginning: bool) -> None:
        """It is in this state from then on, for a cause of systemd's, or because the log says so."""
        before = self._state or m.UNKNOWN
        if not beginning and state is not None and state != before:
            change = cause or Transition(at, before, state, LOG)
            self.changes.append(change._replace(at=at, before=before, after=state))
        self._state = state


def _merge(history: History, proved: t.Mapping[int, list[Moment]]) -> tuple[list[Transition], list[Transition]]:
    """The changes to show; and those for which the log shows no state and systemd's state is used."""
    events: list[tuple[float, int, str | None]] = [
        (at, number, state) for number, (at, state) in enumerate(_moments(history))
    ]
    events += [(at, -1, state) for found in proved.values() for at, state in found[1:]]
    shown, grounded = _Track(), _Track()
    base: str | None = None
    proved_state: str | None = None
    for at, number, state in sorted(events, key=lambda event: event[0]):
        if number < 0:
            proved_state = state
        else:
            base = state
            proved_state = _state_proved_at(proved, number, proved_state) if base in _LIVE else None
        cause = history.transitions[number - 1] if number > 0 else None
        shown.go(at, proved_state or base, cause, number == 0)
        grounded.go(at, base if proved_state in (None, m.UNKNOWN) else proved_state, cause, number == 0)
    return shown.changes, grounded.changes


def _state_proved_at(proved: t.Mapping[int, list[Moment]], number: int, before: str | None) -> str | None:
    """What the log says about a process that begins, or continues, at this transition of systemd."""
    return proved[number][0][1] if number in proved else before


def _observed(shown: t.Sequence[Transition], last: str, observed: LastObserved, end: float) -> Transition:
    """The change to the observed state, of which neither systemd nor the log tells."""
    since = observed.since
    known = since is not None and shown and shown[-1].at <= since <= end
    return Transition(since if known and since is not None else end, last, observed.state, UNRECORDED)
