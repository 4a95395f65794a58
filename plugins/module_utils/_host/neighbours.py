# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other units that an act on one unit starts or stops. Pure, but for the call that shows the units.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

systemd adds jobs for related units to the transaction of a start, stop or
restart (src/core/unit-dependency-atom.c, transaction.c). What is computed
here is what it would do, so that it can be told and refused beforehand.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import ShowUnits, listed

_RESTARTED_WITH = ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf")
_STOPPED_WITH = (*_RESTARTED_WITH, "PropagatesStopTo")
_STARTED_WITH = ("Requires", "BindsTo")
_CONFLICTS = ("Conflicts", "ConflictedBy")
PROPERTIES = (
    "Id",
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "Type",
    "Result",
    "RemainAfterExit",
    "Job",
    "Transient",
    "SuccessAction",
    "FailureAction",
    "StartLimitAction",
    "StartLimitBurst",
    "StartLimitIntervalUSec",
    "JobTimeoutAction",
    "JobTimeoutUSec",
    "JobRunningTimeoutUSec",
    "StopWhenUnneeded",
    "WantedBy",
    "Requisite",
    *_STOPPED_WITH,
    *_STARTED_WITH,
    *_CONFLICTS,
)
DOWN = ("inactive", "failed")


@dataclass(frozen=True)
class Neighbour:
    """Another unit and how it is related to the one that is acted on. ``relation``: a property of ``of``."""

    unit: str
    relation: str
    of: str
    properties: t.Mapping[str, str]

    @property
    def is_up(self) -> bool:
        return self.properties.get("ActiveState", "") not in (*DOWN, "")

    @property
    def loads(self) -> bool:
        return self.properties.get("LoadState") == "loaded"


def stopped_with(unit: str, show: ShowUnits, *, restart: bool) -> tuple[Neighbour, ...]:
    """The units that are up and that systemd stops, or restarts, together with ``unit``."""
    relations = _RESTARTED_WITH if restart else _STOPPED_WITH
    return tuple(n for n in _reached(unit, relations, show, through=lambda n: n.loads) if n.is_up)


def started_with(unit: str, show: ShowUnits) -> tuple[Neighbour, ...]:
    """The services that are down and that systemd has to start for ``unit``: what it requires, and what these do."""
    found = _reached(unit, _STARTED_WITH, show, through=lambda n: n.loads and not n.is_up)
    return tuple(n for n in found if n.unit.endswith(".service") and n.loads and not n.is_up)


def in_conflict(units: t.Sequence[str], show: ShowUnits) -> tuple[Neighbour, ...]:
    """The units that are up and conflict with ``units``. systemd stops them, or forgets to."""
    found: dict[str, Neighbour] = {}
    for of, shown in show(units).items():
        named = {name: relation for relation in _CONFLICTS for name in listed(shown.get(relation, ""))}
        others = [name for name in named if name not in units and not name.endswith(".target")]
        for name, properties in show(others).items() if others else ():
            found.setdefault(name, Neighbour(name, named[name], of, properties))
    return tuple(n for n in found.values() if n.is_up)


def _reached(
    unit: str, relations: t.Sequence[str], show: ShowUnits, through: t.Callable[[Neighbour], bool]
) -> tuple[Neighbour, ...]:
    """What is related to ``unit``, directly or through others that are let ``through``; each once, nearest first."""
    found: dict[str, Neighbour] = {}
    shown = show([unit])
    while shown:
        following: dict[str, tuple[str, str]] = {}
        for of, properties in shown.items():
            for relation in relations:
                for name in listed(properties.get(relation, "")):
                    if name != unit and name not in found:
                        following.setdefault(name, (relation, of))
        shown = show(list(following)) if following else {}
        fresh = [Neighbour(name, *following[name], properties=properties) for name, properties in shown.items()]
        found.update({n.unit: n for n in fresh})
        shown = {n.unit: n.properties for n in fresh if through(n)}
    return tuple(found.values())
