# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives several services of this host, those that are independent of each other at the same time.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import traceback
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive import ServiceRun, missing_in_check_mode
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import describe
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.whole_host import whole_host
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd, unit_name
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import side_by_side as s
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import ServiceKind

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

Kinds = t.Mapping[str, ServiceKind]
# What a wait in slices can be made of: an act that ends something is made and proved in one piece.
_SLICED = ("running",)


@dataclass(frozen=True)
class Slice:
    """A run that ends after ``length`` seconds, for the next to go on. ``wait_id``: the wait that both belong to."""

    wait_id: str
    length: float


def drive_several(module: AnsibleModule, kinds: Kinds) -> None:
    """Run the module ``service_drive_all`` with its options."""
    given = module.params
    if given["parallel"] < 1:
        module.fail_json(msg=f"parallel: {given['parallel']} is less than 1; give 1 or more")
    piece = Slice(given["wait_id"], given["progress_interval"]) if given["wait_id"] else None
    several = Several(given["services"], given["neighbours"], kinds, module.check_mode, piece)
    results = several.run(given["parallel"])
    for result in results:
        warning = result.pop("warning", "")
        if warning:
            module.warn(warning)
    failed = [str(result["name"]) for result in results if result.get("failed")]
    whole: dict[str, t.Any] = {"changed": any(result.get("changed") for result in results), "results": results}
    if failed:
        module.fail_json(msg=f"not in the desired state: {', '.join(failed)}", **whole)
    module.exit_json(**whole)


class Several:
    """Several services of this host, and what is asked of each. ``piece``: the part of a wait that this run is."""

    def __init__(
        self,
        given: t.Sequence[t.Mapping[str, t.Any]],
        neighbours: t.Sequence[t.Any],
        kinds: Kinds,
        check_mode: bool,
        piece: Slice | None,
    ) -> None:
        self._given = given
        self._neighbours = list(neighbours)
        self._kinds = kinds
        self._check_mode = check_mode
        self._piece = piece
        # The units that a dry run has found to be brought back: those that need them come after them.
        self._promised: dict[str, None] = {}
        self._wrong: dict[int, str] = {}
        self._params: dict[int, dict[str, t.Any]] = {}
        for place, one in enumerate(given):
            try:
                self._params[place] = self._read(one)
            except LifecycleError as exc:
                self._wrong[place] = exc.msg.replace("services[0]", f"services[{place}].service")

    def _read(self, one: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        (params,) = describe([one["service"]], self._kinds)
        unit_name(params["name"])
        neighbours = params["neighbours"] or self._neighbours
        params = {**params, "neighbours": neighbours, "progress_interval": None, "wait_id": None}
        if self._piece is not None and params["state"] in _SLICED:
            params |= {"progress_interval": self._piece.length, "wait_id": self._piece.wait_id}
        return params

    def run(self, parallel: int) -> list[dict[str, t.Any]]:
        """The result of each, in their order; ``begun`` is false in that of one whose turn has not come."""
        places = sorted(self._params, key=lambda place: not self._given[place].get("begun"))
        clock = whole_host("system").clock
        ends = None if self._piece is None else clock.monotonic() + self._piece.length

        def may_begin(number: int) -> bool:
            begun = self._given[places[number]].get("begun")
            return bool(begun) or ends is None or clock.monotonic() < ends

        found = s.run_side_by_side(
            self._waits(places),
            lambda number: self._one(self._params[places[number]]),
            lambda result: not result.get("waiting"),
            parallel,
            may_begin,
        )
        done = {places[number]: result for number, result in found.items()}
        return [self._result(place, done.get(place)) for place in range(len(self._given))]

    def _result(self, place: int, result: dict[str, t.Any] | None) -> dict[str, t.Any]:
        service = self._given[place]["service"]
        name = str(service.get("name")) if isinstance(service, t.Mapping) else str(service)
        if place in self._wrong:
            return {"name": name, "begun": True, **_failed(self._wrong[place])}
        if result is None:
            return {"name": name, "begun": False, "waiting": True, "changed": False, "reached": False}
        return {"name": name, "begun": True, **result}

    def _waits(self, places: t.Sequence[int]) -> list[frozenset[int]]:
        """What each waits for. Services of different managers have nothing to do with each other."""
        waits: list[frozenset[int]] = [frozenset()] * len(places)
        for scope in ("system", "user"):
            mine = [number for number, place in enumerate(places) if self._params[place]["scope"] == scope]
            for number, before in zip(mine, self._waits_in(scope, [places[number] for number in mine])):
                waits[number] = frozenset(mine[one] for one in before)
        return waits

    def _waits_in(self, scope: str, places: t.Sequence[int]) -> list[frozenset[int]]:
        if len(places) < 2:
            return s.one_by_one(len(places))
        systemd = whole_host(scope).systemd
        try:
            own = _own_names(systemd, [unit_name(self._params[place]["name"]) for place in places])
            members = [s.Member(unit, self._depends_on(place)) for unit, place in zip(own, places)]
            return s.waits_for(members, lambda units: _relations(systemd, units), self._guarded(scope))
        except LifecycleError:
            return s.one_by_one(len(places))  # what is not known to be independent goes one after the other

    def _depends_on(self, place: int) -> tuple[str, ...]:
        return tuple(unit_name(name) for name in self._params[place]["depends_on"])

    def _guarded(self, scope: str) -> list[str]:
        """The described services whose kind has guards of its own."""
        found = []
        for entry in self._neighbours:
            given = entry if isinstance(entry, t.Mapping) else {}
            if given.get("kind", "generic") != "generic" and given.get("scope", "system") == scope:
                found.append(unit_name(str(given.get("name"))))
        return found

    def _one(self, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        try:
            driven = ServiceRun(params, self._kinds[params["kind"]].make, self._check_mode)
            if self._check_mode:
                driven.request = replace(driven.request, promised=tuple(self._promised))
            outcome = driven.run()
        except LifecycleError as exc:
            return {**_failed(exc.msg), **exc.details}
        except Exception as exc:  # pylint: disable=broad-except  # what is wrong with one must not cost the others
            return {**_failed(f"{type(exc).__name__}: {exc}"), "exception": traceback.format_exc()}
        if self._check_mode and not outcome.failed and driven.request.target not in ("stopped", "reset"):
            self._promised[driven.watched.unit] = None
        warning = missing_in_check_mode(outcome, driven.watched.unit, self._check_mode)
        more: dict[str, t.Any] = {"warning": warning} if warning else {"failed": True} if outcome.failed else {}
        return {**outcome.as_dict(), **more}


def _failed(msg: str) -> dict[str, t.Any]:
    return {"failed": True, "changed": False, "reached": False, "msg": msg}


def _own_names(systemd: Systemd, units: t.Sequence[str]) -> list[str]:
    return [facts.unit for facts in systemd.show(units, ("Id",))]


def _relations(systemd: Systemd, units: t.Sequence[str]) -> dict[str, t.Mapping[str, str]]:
    return {unit: facts.properties for unit, facts in zip(units, systemd.show(units, s.PROPERTIES))}
