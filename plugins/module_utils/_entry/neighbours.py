# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other services of a host that have guards of their own, such as validators, and whether these allow a stop.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import unit_name
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal


class Neighbours:
    """The described services of a host, each observed only when a step is about to stop it."""

    def __init__(self, host: HostContext, scope: str, described: t.Sequence[t.Any]) -> None:
        self._host = host
        self._scope = scope
        self._described = described

    def objections(self, unit: str) -> t.Sequence[Refusal]:
        """The refusals of the guards of a unit's own kind if the unit is stopped."""
        for index, entry in enumerate(self._described):
            name = entry.get("name") if isinstance(entry, t.Mapping) else entry
            # A plain service has no guards beyond those that are asked of every unit.
            kind = entry.get("kind", "generic") if isinstance(entry, t.Mapping) else "generic"
            if kind == "generic" or not isinstance(name, str) or not self._is(name, unit):
                continue
            try:
                return self._ask(entry)
            except LifecycleError as exc:
                message = f"its own guards could not be asked: {exc.msg.replace('services[0]', f'neighbours[{index}]')}"
                return (Refusal("neighbours", message, "correct its description, then run again"),)
        return ()

    def _is(self, name: str, unit: str) -> bool:
        try:
            full = unit_name(name)
        except LifecycleError:
            return False  # it names no service, so none that could be stopped
        return full == unit or self._host.systemd.own_name(full) == unit

    def _ask(self, entry: t.Mapping[str, t.Any]) -> t.Sequence[Refusal]:
        # Few services have such neighbours: the code of all kinds is read only for them.
        from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import describe
        from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS

        (params,) = describe([entry], KINDS)
        if params["scope"] != self._scope:
            return ()
        watched = self._host.watched({**params, "probes": []}, KINDS[params["kind"]].make)
        (observed,) = self._host.observer.observe_settled([watched])
        return tuple(watched.kind.guards(m.Step(observed.state, "stop", m.STOPPING), observed))
