# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history that a host returned for a service, read defensively, and what a report derives from it. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

A host may return anything. What cannot be a history of the window is not shown
as one: the service has none then, with the reason.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.history import Gap, History, joined
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import GENERIC
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import (
    COLLECTION,
    HISTORY_TRIGGERS,
    HOST,
    OPERATOR,
    SERVICE,
    UNRECORDED,
    WELL,
    Transition,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    as_mapping,
    as_mappings,
    as_number,
    as_text,
    as_texts,
)

# What a report draws of one service. A unit that restarts every ten seconds has 26,000 transitions a day.
MAX_TRANSITIONS = 5000
MAX_GAPS = 100
MAX_ATTEMPTS = 50
TEXT = 500
NAME = 200
# How far the window of a host may differ from the one that was asked for, in seconds.
_SLACK = 1.0

# How an incident ended.
RUNNING, STOPPED, NOT_KNOWN, OPEN = "running", "stopped", "not_known", "open"


class Span(t.NamedTuple):
    """From ``begin`` to ``end`` the service was in ``state``; None where nothing is known."""

    begin: float
    end: float
    state: str | None
    base: str | None


class Incident(t.NamedTuple):
    """From a failure until the service ran well again.

    ``seconds``: how long it took, None where it is not over or began before the window;
    ``by``: what made it run again, one of the triggers of a transition; ``owner``: of the run that did.
    """

    begin: float
    end: float | None
    ended: str
    cause: str | None
    by: str | None
    owner: str | None
    seconds: float | None


@dataclass(frozen=True)
class ServiceHistory:
    """What happened to one service. Times in seconds since the epoch, by the clock of its host."""

    begin: float
    end: float
    spans: tuple[Span, ...]
    transitions: tuple[Transition, ...]
    gaps: tuple[Gap, ...] = ()
    attempts: tuple[dict[str, t.Any], ...] = ()
    notes: tuple[str, ...] = ()
    errors: t.Mapping[str, int] = field(default_factory=dict)
    changes: int = 0
    longest_error: float = 0.0
    boots: int = 1
    clock_steps: int = 0

    def seconds(self, *bases: str | None) -> float:
        """Seconds in states with one of these base states; None is the time of which nothing is known."""
        return sum(span.end - span.begin for span in self.spans if span.base in bases)

    @property
    def known(self) -> float:
        """Seconds of which the state is known."""
        return sum(span.end - span.begin for span in self.spans if span.base not in (None, m.UNKNOWN))

    def incidents(self) -> list[Incident]:
        """The failures within the window, oldest first.

        A run shorter than a minute ends none, so that a crash loop is one incident. A restart that nothing failed
        for is none.
        """
        found: list[Incident] = []
        began: float | None = None
        looped = False
        harmless = {one.at for one in self.transitions if one.after == m.RESTARTING and not one.cause}
        # Some connections or all of them, it runs: spans of one base state that follow each other are one.
        whole = joined((one.begin, one.end, one.base) for one in self.spans)
        for span in (Span(begin, end, base, base) for begin, end, base in whole):
            if span.base == m.ERROR or (span.base == m.RESTARTING and span.begin not in harmless):
                if began is None:
                    began, looped = span.begin, False
                continue
            if began is None:
                continue
            ended = self._ended_by(span, looped)
            if ended:
                found.append(self._incident(began, span.begin, ended))
                began = None
            elif span.base == m.RUNNING:
                looped = True
        return [*found, self._incident(began, None, OPEN)] if began is not None else found

    def _ended_by(self, span: Span, looped: bool) -> str:
        """How an incident ends with this span; empty if it continues. ``looped``: after runs that did not last."""
        if span.base is None:
            return NOT_KNOWN
        if span.base == m.UNKNOWN:
            # A process that runs may need a moment until its log tells what it does.
            return "" if span.end - span.begin < WELL and span.end < self.end else NOT_KNOWN
        # The run at the end of the window may still last, but for one that comes after runs that did not.
        lasting = span.end - span.begin >= WELL or (span.end >= self.end and not looped)
        return {m.RUNNING: RUNNING, m.STOPPED: STOPPED}.get(span.base, "") if lasting else ""

    def _incident(self, begin: float, end: float | None, ended: str) -> Incident:
        within = [one for one in self.transitions if begin <= one.at and (end is None or one.at <= end)]
        cause = next((one.cause for one in within if one.cause), None)
        if ended != RUNNING or end is None:
            return Incident(begin, end, ended, cause, None, None, None)
        acts = [one for one in within if one.trigger in (OPERATOR, COLLECTION, HOST)]
        by, owner = (acts[-1].trigger, acts[-1].owner or None) if acts else (SERVICE, None)
        return Incident(begin, end, ended, cause, by, owner, end - begin if begin > self.begin else None)


def cut(text: str, limit: int = TEXT) -> str:
    """At most ``limit`` characters of a text, the last one an ellipsis where something was left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def base_state(kind: str, state: str) -> str:
    """The base state of a state of this kind, or of one that all kinds share; unknown where there is no such state."""
    for machine in (KINDS.get(kind, GENERIC).machine, m.GENERIC):
        if state in machine.states:
            return machine.base(state)
    return m.UNKNOWN


def read_service_history(data: t.Any, kind: str, window: float) -> tuple[ServiceHistory | None, str]:
    """The history in an observation; or None, and why there is none. ``window``: seconds that were asked for."""
    given = as_mapping(data)
    if not given:
        return None, "the host returned no history"
    begin, end = as_number(given.get("begin")), as_number(given.get("end"))
    if begin is None or end is None or begin <= 0 or abs(end - begin - window) > _SLACK:
        return None, "the host returned a history of another window"
    coverage = as_mapping(given.get("coverage"))
    stated = _stated(given, begin, end)
    errors = {cut(str(cause), NAME): _count(number) for cause, number in as_mapping(given.get("errors")).items()}
    found = ServiceHistory(
        begin,
        end,
        tuple(Span(low, high, state, state and base_state(kind, state)) for low, high, state in stated.spans()),
        stated.transitions,
        stated.gaps,
        tuple(_attempt(one) for one in as_mappings(given.get("attempts"))[-MAX_ATTEMPTS:]),
        tuple(cut(note) for note in as_texts(coverage.get("notes"))[:20]),
        dict(list(errors.items())[:50]),
        _count(given.get("changes")),
        max(as_number(given.get("longest_error")) or 0.0, 0.0),
        _count(coverage.get("boots")),
        _count(coverage.get("clock_steps")),
    )
    return found, ""


def _stated(given: t.Mapping[str, t.Any], begin: float, end: float) -> History:
    """The transitions in the window, of very many the last ones."""
    read = map(_transition, as_mappings(given.get("transitions")))
    changes = sorted((one for one in read if one and begin <= one.at <= end), key=lambda one: one.at)
    gaps = _gaps(as_mapping(given.get("coverage")), begin, end)
    first = as_text(given.get("first_state")) or None
    if len(changes) > MAX_TRANSITIONS:
        changes = changes[-MAX_TRANSITIONS:]
        gaps = [Gap(begin, changes[0].at, f"only the last {MAX_TRANSITIONS} transitions are shown"), *gaps]
        first = None
    return History(begin, end, first, tuple(changes), tuple(gaps))


def _count(value: t.Any) -> int:
    return min(max(int(as_number(value) or 0), 0), 10**9)


def _transition(data: t.Mapping[str, t.Any]) -> Transition | None:
    at, trigger = as_number(data.get("at")), as_text(data.get("trigger"))
    if at is None:
        return None
    return Transition(
        at,
        cut(as_text(data.get("from")), NAME) or m.UNKNOWN,
        cut(as_text(data.get("to")), NAME) or m.UNKNOWN,
        trigger if trigger in HISTORY_TRIGGERS else UNRECORDED,
        cut(as_text(data.get("cause")), NAME) or None,
        cut(as_text(data.get("owner")), NAME),
    )


def _gaps(coverage: t.Mapping[str, t.Any], begin: float, end: float) -> list[Gap]:
    found = []
    for gap in as_mappings(coverage.get("gaps"))[:MAX_GAPS]:
        low, high = as_number(gap.get("begin")), as_number(gap.get("end"))
        if low is not None and high is not None and max(low, begin) < min(high, end):
            found.append(Gap(max(low, begin), min(high, end), cut(as_text(gap.get("reason")))))
    return sorted(found)


def _attempt(data: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {
        "at": as_number(data.get("at")),
        **{
            name: cut(as_text(data.get(name)), NAME) or None for name in ("action", "owner", "from", "cause", "outcome")
        },
    }
