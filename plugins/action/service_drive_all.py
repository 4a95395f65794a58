# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
import typing as t
import uuid

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure

from ansible_collections.chainops.lifecycle.plugins.action.service_drive import ActionModule as DriveOne
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _several
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_action import GRACE, LIMIT, PAUSE
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._service_entry import (
    COLLECTION,
    EntryError,
    driven_entry,
    module_call,
    without_secrets,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._sliced_wait import seconds

_MODULE = f"{COLLECTION}.service_drive_all"
_INTERVAL = 10.0


class _Call(t.NamedTuple):
    """What one service asks for: its module, the options of that, and the entry that the host is sent."""

    name: str
    module: str
    options: dict[str, t.Any]
    entry: dict[str, t.Any]

    @property
    def goes_alone(self) -> bool:
        """Whether its kind has a module of its own, which depends on other hosts."""
        return KINDS[self.entry["kind"]].module not in ("service", "service_drive")


def _has_results(answer: t.Mapping[str, t.Any], number: int) -> bool:
    """Whether the module returned a result for each of its services."""
    results = answer.get("results")
    return isinstance(results, list) and len(results) == number


class ActionModule(DriveOne):
    """Drives several services in one task: slices of a run on the host, with a line as each service ends."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result = self._begin(tmp, task_vars)
        _checked, given = self.validate_argument_spec(
            argument_spec={
                "services": {"type": "list", "elements": "dict", "required": True},
                "parallel": {"type": "int", "default": 4},
                "neighbours": {"type": "list", "elements": "raw", "default": []},
                "progress_interval": {"type": "float", "default": _INTERVAL},
            }
        )
        calls = [self._call(one, place) for place, one in enumerate(given["services"])]
        timeouts = [_several.timeout_of(call.options) for call in calls]
        waits = _several.SlicedServices([call.name for call in calls], timeouts, bool(self._task.check_mode))
        self._host = str((task_vars or {}).get("inventory_hostname"))
        self._drive(calls, waits, given, task_vars)
        results = waits.results
        failed = [str(one["name"]) for one in results if one.get("failed")]
        whole = {**result, "changed": any(one.get("changed") for one in results), "results": results}
        return {**whole, "failed": True, "msg": f"not in the desired state: {', '.join(failed)}"} if failed else whole

    def _call(self, one: t.Mapping[str, t.Any], place: int) -> _Call:
        where = f"services[{place}]"
        unknown = sorted(set(one) - {"service", "override", "defaults"})
        if unknown or "service" not in one:
            message = f"{unknown[0]} is unknown" if unknown else "service is missing"
            raise AnsibleActionFail(f"{where}: {message}; give service, and override or defaults where they are needed")
        override, defaults = one.get("override") or {}, one.get("defaults") or {}
        try:
            module, options = module_call(one["service"], override, defaults)
            own = self._module_defaults(module)
            entry = driven_entry(one["service"], override, {**own, **defaults})
        except EntryError as exc:
            message = str(exc).replace("service", f"{where}.service", 1)
            raise AnsibleActionFail(without_secrets(message, dict(one))) from None
        call = _Call(str(entry["name"]), module, {**own, **options}, entry)
        if call.goes_alone and not self._task.check_mode:
            raise AnsibleActionFail(
                f"{where}.service: {call.name} is of kind {entry['kind']}, whose guards depend on other hosts; "
                f"drive it with {COLLECTION}.service_drive"
            )
        return call

    def _drive_alone(self, calls: t.Sequence[_Call], waits: _several.SlicedServices, task_vars: t.Any) -> None:
        """Run the modules of those that depend on other hosts, one after the other."""
        for place, call in enumerate(calls):
            if call.goes_alone:
                waits.take([place], [{"begun": True, **self._run(call.module, call.options, task_vars)}])

    def _drive(
        self, calls: t.Sequence[_Call], waits: _several.SlicedServices, given: t.Mapping[str, t.Any], task_vars: t.Any
    ) -> None:
        self._drive_alone(calls, waits, task_vars)
        interval = None if self._task.check_mode else seconds(given["progress_interval"])
        if waits.open and interval is not None:
            self._low_level_execute_command("true", sudoable=False)  # a host that is not there at all is told at once
        wait_id = uuid.uuid4().hex
        # A host may say for ever that it is at work: it is believed for as long as all of it may take one by one.
        ends = time.monotonic() + sum(waits.left(place) + GRACE for place in waits.open)
        while waits.open:
            if time.monotonic() > ends:
                self._report(waits, waits.give_up("the host did not report a result in the time that the run may take"))
                return
            arguments = self._arguments(calls, waits, given, wait_id if interval is not None else None)
            began = time.monotonic()
            try:
                with self._limited(self._longest(calls, waits, interval)):
                    observed = self._execute_module(module_name=_MODULE, module_args=arguments, task_vars=task_vars)
            except AnsibleConnectionFailure as exc:
                if interval is None:
                    raise
                waits.lost(time.monotonic() - began + PAUSE)
                if not waits.may_go_on:
                    self._report(waits, waits.give_up(f"the connection was lost: {exc}", unreachable=True))
                    return
                self._show_progress(
                    f"[{self._host}] the connection was lost, the recovery continues: {' '.join(str(exc).split())}"
                )
                self._reconnect()
                continue
            if not _has_results(observed, len(waits.open)):
                self._report(waits, waits.give_up(str(observed.get("msg") or "the module ended without a result")))
                return
            ended = waits.take(waits.open, observed["results"])
            self._report(waits, ended)
            if not ended and time.monotonic() - began < 1.0:
                time.sleep(1.0)

    def _arguments(
        self,
        calls: t.Sequence[_Call],
        waits: _several.SlicedServices,
        given: t.Mapping[str, t.Any],
        wait_id: str | None,
    ) -> dict[str, t.Any]:
        services = []
        for place in waits.open:
            entry = calls[place].entry
            if waits.begun(place):
                entry = {**entry, "wait_timeout": waits.left(place)}
            services.append({"service": entry, "begun": waits.begun(place)})
        return {
            "services": services,
            "parallel": given["parallel"],
            "neighbours": given["neighbours"],
            "progress_interval": given["progress_interval"],
            **({"wait_id": wait_id} if wait_id else {}),
        }

    def _longest(self, calls: t.Sequence[_Call], waits: _several.SlicedServices, interval: float | None) -> float:
        """The seconds after which the module does not answer any more."""
        if interval is None:
            return LIMIT
        # What is no wait for a service to run is made in one piece, and at the worst one after the other.
        whole = [waits.left(place) for place in waits.open if calls[place].entry.get("state", "running") != "running"]
        stable = [seconds(calls[place].entry.get("stable_for")) or 0.0 for place in waits.open]
        return interval + sum(whole) + max(stable) + GRACE

    def _report(self, waits: _several.SlicedServices, ended: t.Sequence[int]) -> None:
        if ended and not self._task.check_mode:
            self._show_progress("\n".join(_several.line(self._host, waits.result(place)) for place in ended))
