# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The side effects of a step: on other units, on the host, and on the unit itself.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import neighbours as n
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import (
    ShowUnits,
    listed,
    missing_dependencies,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Hold
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal


@dataclass(frozen=True)
class Surroundings:
    """The neighbours of a step. ``own``: the unit's properties that name them and say what it does to the host.

    ``also_stops`` has the units that stop with it, and with what is in conflict; only the first, ``to_return``, have to
    run again afterwards, as the others would bring back the conflict.
    ``refusals``: what the guards of a neighbour's own kind say to its stop, by unit.
    """

    own: t.Mapping[str, str] = field(default_factory=dict)
    also_stops: tuple[n.Neighbour, ...] = ()
    to_return: tuple[str, ...] = ()
    also_starts: tuple[n.Neighbour, ...] = ()
    conflicting: tuple[n.Neighbour, ...] = ()
    missing: t.Mapping[str, str] = field(default_factory=dict)
    needed: bool = True
    holds: t.Mapping[str, Hold] = field(default_factory=dict)
    refusals: t.Mapping[str, t.Sequence[Refusal]] = field(default_factory=dict)

    @property
    def stops(self) -> tuple[str, ...]:
        """The other units that the step ends."""
        return tuple(dict.fromkeys(one.unit for one in (*self.conflicting, *self.also_stops)))

    @property
    def starts(self) -> tuple[str, ...]:
        return tuple(one.unit for one in self.also_starts)


def ends_process(step: m.Step, facts: UnitFacts | None) -> bool:
    """Whether the step ends a process that is up."""
    up = facts is not None and facts.active not in n.DOWN
    return up and step.action in ("stop", "restart", "reset", "force_stop")


def around(step: m.Step, facts: UnitFacts, *, starts: bool, show: ShowUnits) -> Surroundings:
    """Observe the neighbours of a step. ``starts``: whether a start follows."""
    unit, ends = facts.unit, ends_process(step, facts)
    own = show([unit])[unit]
    also_starts = n.started_with(unit, show) if starts else ()
    conflicting = n.in_conflict([unit, *(one.unit for one in also_starts)], show) if starts else ()
    dependants = n.stopped_with(unit, show, restart=step.action == "restart") if ends else ()
    displaced = [unit, *(other.unit for other in conflicting)]
    with_these = [one for other in conflicting for one in n.stopped_with(other.unit, show, restart=False)]
    also_stops = {one.unit: one for one in (*dependants, *with_these) if one.unit not in displaced}
    gone = {*displaced, *(one.unit for one in with_these)}
    return Surroundings(
        own=own,
        also_stops=tuple(also_stops.values()),
        to_return=tuple(one.unit for one in dependants if one.unit not in gone),
        also_starts=also_starts,
        conflicting=conflicting,
        missing=_missing(facts, own, also_starts, show) if starts else {},
        needed=not starts or _is_needed(own, show),
    )


def _missing(
    facts: UnitFacts, own: t.Mapping[str, str], also_starts: t.Sequence[n.Neighbour], show: ShowUnits
) -> dict[str, str]:
    """Required units that are not there and that the start does not bring: services, or what is broken."""
    found = {}
    brought = {one.unit for one in also_starts} - set(listed(own.get("Requisite", "")))
    for name, state in missing_dependencies({**facts.properties, **own}, show).items():
        if not name.endswith(".service") and state == "inactive":
            continue
        # One that failed is recovered on its own, with its own guards, unless it needs this one for it.
        comes = state == "inactive" or facts.unit in [one.unit for one in n.started_with(name, show)]
        if not (name in brought and comes):
            found[name] = state
    return found


def _is_needed(own: t.Mapping[str, str], show: ShowUnits) -> bool:
    """Whether systemd keeps the unit once it is started (StopWhenUnneeded=)."""
    if own.get("StopWhenUnneeded") != "yes":
        return True
    needing = [
        name for key in ("RequiredBy", "RequisiteOf", "BoundBy", "WantedBy") for name in listed(own.get(key, ""))
    ]
    return any(found.get("ActiveState") not in (*n.DOWN, "") for found in show(needing).values()) if needing else False


def forgotten(facts: UnitFacts | None) -> str:
    """Why systemd would forget the unit as soon as it is neither up nor failed; empty where it would not."""
    if facts is None or facts.active in ("inactive", ""):
        return ""
    if facts.flag("Transient"):
        return "the unit is transient: systemd forgets it once it is stopped or its failure is cleared"
    path = facts.text("FragmentPath")
    if facts.load == "loaded" and path and not os.path.exists(path):
        return f"its file {path} is not there any more: systemd forgets it once it is stopped or its failure is cleared"
    if facts.load in ("not-found", "bad-setting", "error"):
        return f"systemd has LoadState={facts.load} for it: it could not be started again once it is stopped"
    return ""
