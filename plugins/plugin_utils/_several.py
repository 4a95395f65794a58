# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several services that are driven in slices: what is left to do, and the result and line of each. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _outcomes as o
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    ServiceResult,
    as_mapping,
    as_mappings,
    as_number,
    as_text,
    as_texts,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._sliced_wait import Slices, is_busy, seconds
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import duration, one_line

_WAIT_TIMEOUT = 120.0
_MAX_LINE = 300
# How much of an observation and of a diagnosis a report has use for.
_REASONS = 3
_CAUSES = 3
_LINES = 5
_KEPT = (
    "name", "failed", "reached", "changed", "state", "msg", "blocked_by", "attempts", "also_stops", "also_starts",
    "duration", "progress", "resolved", "unreachable", "exception",
)  # fmt: skip


class SlicedServices:
    """The services of one task, driven in slices. SlicedWait is for one, and goes by the controller's clock.

    ``timeouts``: the seconds that each may take, by what its slices took; None for what the module refuses.
    """

    def __init__(self, names: t.Sequence[str], timeouts: t.Sequence[float | None], is_dry_run: bool = False) -> None:
        self._names = names
        self._is_dry_run = is_dry_run
        self._left = [_WAIT_TIMEOUT if timeout is None else timeout for timeout in timeouts]
        self._begun = [False] * len(names)
        self._slices = [Slices() for _name in names]
        self._spent = [0.0] * len(names)
        self._ended: dict[int, dict[str, t.Any]] = {}

    @property
    def open(self) -> list[int]:
        """The places of the services that have not ended."""
        return [place for place in range(len(self._names)) if place not in self._ended]

    @property
    def may_go_on(self) -> bool:
        """Whether there is time left for one of those that were begun, or all of it for another."""
        return any(self._left[place] > 0 for place in self.open)

    def begun(self, place: int) -> bool:
        return self._begun[place]

    def left(self, place: int) -> float:
        """The seconds that a service has left."""
        return max(self._left[place], 0.0)

    def take(self, places: t.Sequence[int], observed: t.Sequence[t.Any]) -> list[int]:
        """Take note of a slice: what it returned for each of ``places``. Returns those that have ended."""
        ended: list[int] = []
        for place, given in zip(places, observed, strict=True):
            found = as_mapping(given)
            if found.get("begun") is False:
                continue
            again, self._begun[place] = self._begun[place], True
            self._slices[place].add(found)
            took = as_number(found.get("duration")) or 0.0
            self._spent[place] += took
            self._left[place] -= took
            # Between two slices another run may take the lock, and a slice that was lost may still be at work.
            busy = again and is_busy(found) and self._left[place] > 0
            if not busy and not found.get("waiting"):
                self._ended[place] = self._whole(place, found)
                ended.append(place)
        return ended

    def lost(self, spent: float) -> None:
        """A slice of ``spent`` seconds was lost with its connection: each service may have been begun in it."""
        for place in self.open:
            self._begun[place] = True
            self._left[place] -= spent
            self._spent[place] += spent

    def give_up(self, why: str, unreachable: bool = False) -> list[int]:
        """End what has not ended; whether it was acted on is not known."""
        ended = self.open
        for place in ended:
            gone = {"unreachable": True} if unreachable else {}
            self._ended[place] = {
                "name": self._names[place],
                "failed": True,
                "reached": False,
                "changed": self._slices[place].changed,
                "msg": why,
                **gone,
            }
        return ended

    @property
    def results(self) -> list[dict[str, t.Any]]:
        """The result of each service."""
        return [self._ended[place] for place in range(len(self._names)) if place in self._ended]

    def result(self, place: int) -> dict[str, t.Any]:
        return self._ended[place]

    def _whole(self, place: int, last: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """The last slice's result, made that of the whole wait."""
        whole = self._slices[place].whole(last, self._spent[place])
        return reduced({"name": self._names[place], **whole}, self._is_dry_run)


def timeout_of(options: t.Mapping[str, t.Any]) -> float | None:
    return seconds(options.get("wait_timeout", _WAIT_TIMEOUT))


def reduced(result: t.Mapping[str, t.Any], is_dry_run: bool = False) -> dict[str, t.Any]:
    """A result with what a report and a later task have use for. Every event of a job carries results as a whole."""
    found = {key: result[key] for key in _KEPT if key in result and result[key] not in (None, "", [])}
    # A dry run changes nothing: it is after it as it was before.
    kept = ("before",) if is_dry_run else ("before", "after")
    found |= {key: reduced_observation(result[key]) for key in kept if result.get(key)}
    steps = as_mappings(result.get("transitions"))
    found["transitions"] = [{key: value for key, value in step.items() if value is not None} for step in steps]
    found.setdefault("blocked_by", [])
    diagnosis = as_mapping(result.get("diagnosis"))
    if diagnosis:
        found["diagnosis"] = reduced_diagnosis(diagnosis)
    return found


def reduced_observation(observed: t.Any) -> dict[str, t.Any]:
    """The state of a service, why, and which run it is."""
    given = as_mapping(observed)
    kind = as_text(given.get("kind"))
    kept = ("name", "unit", "kind", "state", "base_state", "cause", "flags", "age", kind)
    found = {key: given[key] for key in kept if given.get(key) not in (None, "", [])}
    facts = as_mapping(given.get("unit_facts"))
    names = ("active_state", "sub_state", "invocation_id")
    return {
        **found,
        "cause": given.get("cause"),
        "reasons": list(as_texts(given.get("reasons")))[:_REASONS],
        **({"unit_facts": {name: facts[name] for name in names if name in facts}} if facts else {}),
    }


def reduced_diagnosis(diagnosis: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    causes = as_mappings(diagnosis.get("causes"))[:_CAUSES]
    kept = ("id", "class", "category", "summary", "next_step")
    shown = [
        {
            **{key: cause[key] for key in kept if cause.get(key)},
            "evidence": list(as_texts(cause.get("evidence")))[:_REASONS],
        }
        for cause in causes
    ]
    lines = list(as_texts(diagnosis.get("lines")))[-_LINES:]
    return {"causes": shown, **({"lines": lines} if lines else {})}


def line(host: str, given: t.Mapping[str, t.Any]) -> str:
    """The line about a service that has ended: the outcome, what was done, how long it took, or why it failed."""
    result = ServiceResult.from_dict(given)
    entry = o.entry_of(host, result)
    if entry.outcome in o.BAD:
        guard = f" ({entry.guard})" if entry.guard else ""
        message = f"{o.shown(entry.outcome)}{guard}: {entry.reason}"
    else:
        acts = [step.action for step in result.steps if step.acts]
        proof = result.after.invocation[:8] if result.after else ""
        did = "; ".join([*result.fixes, *acts]) or "nothing to do"
        message = f"{o.shown(entry.outcome)}, {entry.reason}: {did}"
        message += f", invocation {proof}" if proof and acts else ""
    took = f" ({duration(result.duration)})" if result.duration is not None else ""
    return one_line(f"[{host}] {result.name}: {message}{took}", _MAX_LINE)
