# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services of a host may be acted on at the same time, and which have to wait for which.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Two services are independent where no act on one can start, stop or displace
the other, and where no act on both can take the same third unit along.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import ShowUnits, listed

_NEEDS = ("Requires", "Requisite", "BindsTo")
_FOLLOWS = (*_NEEDS, "PartOf", "After")
_TAKES_ALONG = ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf", "PropagatesStopTo")
_CONFLICTS = ("Conflicts", "ConflictedBy")
PROPERTIES = ("Id", "LoadState", *_FOLLOWS, *_TAKES_ALONG, *_CONFLICTS)
# Everything is below these: they say nothing of what one service has to do with another.
_COMMON = (".slice", ".device", ".mount", ".swap")

Result = t.TypeVar("Result")


@dataclass(frozen=True)
class Member:
    """One service. ``unit``: its own name with the ending; ``depends_on``: units that are said to come before it."""

    unit: str
    depends_on: tuple[str, ...] = ()


class _Related:
    """The relations of units, asked of systemd once for each unit."""

    def __init__(self, show: ShowUnits) -> None:
        self._show = show
        self._known: dict[str, t.Mapping[str, str]] = {}

    def load(self, units: t.Iterable[str]) -> None:
        fresh = [unit for unit in dict.fromkeys(units) if unit not in self._known]
        if fresh:
            self._known.update(self._show(fresh))

    def named(self, unit: str, relations: t.Sequence[str]) -> list[str]:
        """The units that a unit names under these relations."""
        shown = self._known.get(unit, {})
        found = [name for relation in relations for name in listed(shown.get(relation, ""))]
        return [name for name in dict.fromkeys(found) if not name.endswith(_COMMON)]

    def reached(self, units: t.Iterable[str], relations: t.Sequence[str]) -> set[str]:
        """The units, and all that they name, directly or through others."""
        found = set(units)
        edge = sorted(found)
        while edge:
            self.load(edge)
            edge = sorted({name for unit in edge for name in self.named(unit, relations)} - found)
            found.update(edge)
        return found


def waits_for(members: t.Sequence[Member], show: ShowUnits, guarded: t.Collection[str] = ()) -> list[frozenset[int]]:
    """For each of ``members`` the places of those that have to end before it begins. There is no circle.

    What a service requires, or is ordered after, goes first. Those that are
    not independent for another reason go in their order. ``guarded``: units
    whose stop has guards of its own, which check what else is up: no two
    acts take such along at the same time. Raises LifecycleError.
    """
    related = _Related(show)
    related.load(member.unit for member in members)
    needs = [
        {*related.reached([member.unit], _NEEDS), *related.named(member.unit, _FOLLOWS), *member.depends_on}
        for member in members
    ]
    touched = [_touched(member.unit, related) for member in members]
    first = [{j for j, other in enumerate(members) if j != i and other.unit in needs[i]} for i in range(len(members))]
    place = {one: number for number, one in enumerate(_order(first))}
    keeps = set(guarded)

    def related_to(i: int, j: int) -> bool:
        together = members[j].unit in touched[i] or members[i].unit in touched[j] or touched[i] & touched[j]
        return bool(together) or bool(touched[i] & keeps and touched[j] & keeps) or j in first[i] or i in first[j]

    every = range(len(members))
    return [frozenset(j for j in every if place[j] < place[i] and related_to(i, j)) for i in every]


def one_by_one(many: int) -> list[frozenset[int]]:
    """The same for services of which nothing is known: each waits for those before it."""
    return [frozenset(range(number)) for number in range(many)]


def _touched(unit: str, related: _Related) -> set[str]:
    """The units that an act on ``unit`` may stop, itself among them."""
    started = {name for name in related.reached([unit], _NEEDS) if not name.endswith(".target")} | {unit}
    displaced = {
        name for one in started for name in related.named(one, _CONFLICTS) if not name.endswith((".target", ".socket"))
    }
    return related.reached({unit, *displaced}, _TAKES_ALONG)


def _order(first: t.Sequence[set[int]]) -> list[int]:
    """All places, each after those that it has to wait for. In a circle, which systemd allows, as they are listed."""
    left = list(range(len(first)))
    order: list[int] = []
    while left:
        ready = next((one for one in left if first[one] <= set(order)), left[0])
        left.remove(ready)
        order.append(ready)
    return order


def run_side_by_side(
    waits: t.Sequence[frozenset[int]],
    work: t.Callable[[int], Result],
    has_ended: t.Callable[[Result], bool],
    parallel: int,
    may_begin: t.Callable[[int], bool],
) -> dict[int, Result]:
    """Do ``work`` for each place, at most ``parallel`` at the same time and none before what it waits for has ended.

    ``may_begin`` is asked right before; where it says no, the place is left
    out, and so are those that wait for it or for work that has not ended.
    """
    from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

    found: dict[int, Result] = {}
    ended: set[int] = set()
    left = list(range(len(waits)))
    running: dict[Future[Result], int] = {}
    with ThreadPoolExecutor(max_workers=max(parallel, 1)) as pool:
        while True:
            for one in [one for one in left if waits[one] <= ended]:
                if len(running) < max(parallel, 1) and may_begin(one):
                    left.remove(one)
                    running[pool.submit(work, one)] = one
            if not running:
                return found
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                one = running.pop(done)
                found[one] = done.result()
                if has_ended(found[one]):
                    ended.add(one)
