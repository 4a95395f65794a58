# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module that acts: from its options to the engine and back to a result.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry import options as _args
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.explain import explain
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.neighbours import Neighbours
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import describe
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.whole_host import whole_host
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import (
    LifecycleError,
    requester,
    run_command,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import guards
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.actions import HostServices
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.enablement import MISSING, Enablement
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.engine import Engine
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Outcome, Request
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import (
    MakeKind,
    ServiceKind,
    plain,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal

_HEADERS = ("before_header", "after_header")


def make_request(params: t.Mapping[str, t.Any], owner: str, check_mode: bool) -> Request:
    """The request that the drive options describe."""
    return Request(
        target="running" if params["state"] in (_args.STARTED, None) else params["state"],
        recovery=params["recovery"],
        force_stop=params["force_stop"],
        stop_conflicting=params["stop_conflicting"],
        daemon_reload=params["daemon_reload"],
        wait_timeout=params["wait_timeout"],
        wait_interval=params["wait_interval"],
        stable_for=params["stable_for"],
        max_attempts=params["max_attempts"],
        attempt_window=params["attempt_window"],
        attempt_backoff=params["attempt_backoff"],
        reset_attempts_after=params["reset_attempts_after"],
        expected_state=tuple(params["expected_state"]),
        expected_invocation=params["expected_invocation"],
        config_check=tuple(params["config_check"]),
        accept_causes=tuple(params["accept_causes"]),
        disk_paths=tuple(params["disk_paths"]),
        min_free_bytes=params["min_free_mb"] * 1024 * 1024,
        diagnose=params["diagnose"],
        check_mode=check_mode,
        owner=params["owner"] or owner,
        wait_id=params.get("wait_id"),
        slice_length=params["progress_interval"] if params.get("wait_id") else math.inf,
    )


class ServiceRun:
    """One service and its request, from a module's options. Raises LifecycleError naming the option."""

    def __init__(self, params: t.Mapping[str, t.Any], make_kind: MakeKind, check_mode: bool) -> None:
        self.host = whole_host(params["scope"])
        self.watched = self.host.watched(params, make_kind)
        self.request = make_request(params, requester(), check_mode)
        states = self.watched.kind.machine.states
        unknown = [state for state in self.request.expected_state if state not in states]
        if unknown:
            raise LifecycleError(f"expected_state: {unknown[0]!r} is not a state; there are {', '.join(states)}")
        self.tools = HostServices(
            self.host.systemd,
            self.host.ledger,
            self.host.clock,
            run_command,
            count_starts=self.host.count_starts,
            ask_neighbour=Neighbours(self.host, params["scope"], params["neighbours"]).objections,
            why_skipped=self.host.why_skipped,
        )

        # Where nothing is said of the state, a run that enables or disables the unit leaves it as it is.
        self._enabled: bool | None = params.get("enabled")
        self._drives = self._enabled is None or params["state"] is not None

    def run(self) -> Outcome:
        """Run the engine; then, where the state was reached, enable or disable the unit as it is asked for."""
        switch = None if self._enabled is None else self._switch(self._enabled)
        if switch is None:
            return self._engine()
        # Of a unit that is not there the engine tells, in a dry run as a warning.
        against = None if switch.now == MISSING else switch.objection()
        outcome = self._as_it_is() if against is not None or not self._drives else self._engine()
        against = against or (switch.objection() if not self._drives else None)
        if against is None and not outcome.failed and not outcome.waiting and switch.is_due:
            against = self._unexpected(outcome) or self._change(switch, outcome)
        if against is not None:
            outcome.failed, outcome.blocked_by = True, (against,)
            outcome.msg = f"{self.watched.unit} is {outcome.after.state}; not done: {against.reason}"
        outcome.enablement = switch.as_dict()
        return outcome

    def _engine(self) -> Outcome:
        host, watched = self.host, self.watched
        return Engine(
            watched, self.request, host.observer, self.tools, lambda observed: explain(host, watched, observed)
        ).run()

    def _switch(self, wanted: bool) -> Enablement:
        host = self.host
        unit = host.systemd.own_name(self.watched.unit)
        return Enablement(unit, wanted, self.request.owner, host.systemd, host.ledger)

    def _as_it_is(self) -> Outcome:
        """The outcome of a run that does nothing to the service itself."""
        (observed,) = self.host.observer.observe_settled([self.watched])
        return Outcome(before=observed, after=observed)

    def _unexpected(self, outcome: Outcome) -> Refusal | None:
        """Where the engine has had nothing to do, it has not asked whether all is as the caller expects."""
        asked = self.request
        if outcome.changed:
            return None
        return guards.unexpected(outcome.before, asked.expected_state, asked.expected_invocation)

    def _change(self, switch: Enablement, outcome: Outcome) -> Refusal | None:
        if self.request.check_mode:
            switch.assume()
            outcome.changed = True
            return None
        try:
            against = switch.change()
        except LifecycleError as exc:
            outcome.failed, outcome.msg = True, exc.msg
            return None
        outcome.changed = outcome.changed or switch.now != switch.before
        return against


def missing_in_check_mode(outcome: Outcome, unit: str, check_mode: bool) -> str:
    """What is to be warned of in a dry run before the unit is there: what would refuse is no failure of such a run."""
    missing = outcome.after.facts is not None and outcome.after.facts.load == "not-found"
    return f"{unit} does not exist on this host (yet): {outcome.msg}" if check_mode and missing else ""


def end(module: AnsibleModule, unit: str, outcome: Outcome, **more: t.Any) -> None:
    """End the module with the outcome; ``more`` goes into the result as well."""
    result = {**outcome.as_dict(), **more}
    if not outcome.failed:
        module.exit_json(**result)
    warning = missing_in_check_mode(outcome, unit, module.check_mode)
    if warning:
        module.warn(warning)
        module.exit_json(**result)
    module.fail_json(**result)


def drive(module: AnsibleModule, make_kind: MakeKind = plain) -> None:
    """Run the engine as a module's options say, and end the module with the result."""
    _run(module, module.params, make_kind)


def drive_named(module: AnsibleModule) -> None:
    """Run the engine for each service that ``name`` lists, and end the module: with its result, or with a list."""
    names = module.params["name"]
    objection = "no service is named" if not names else _named_twice(names)
    if objection:
        module.fail_json(msg=f"name: {objection}; give each service once, such as [api, worker]")
    if len(names) == 1:
        _run(module, {**module.params, "name": names[0]}, plain)
        return
    results = [_one_of(module, name) for name in names]
    failed = [result for result in results if result.get("failed")]
    whole: dict[str, t.Any] = {
        "changed": any(result["changed"] for result in results),
        "reached": not failed,
        "results": results,
        "diff": [
            {"before_header": one["name"], "after_header": one["name"], **one["diff"]}
            for one in results
            if "diff" in one
        ],
    }
    if failed:
        module.fail_json(msg="; ".join(f"{one['name']}: {one['msg']}" for one in failed), **whole)
    module.exit_json(**whole)


def _named_twice(names: t.Sequence[str]) -> str:
    """Which service is there twice, with and without its ending; empty where none is."""
    units = [name if name.endswith(".service") else f"{name}.service" for name in names]
    return next((f"{name} is named twice" for index, name in enumerate(names) if units[index] in units[:index]), "")


def _one_of(module: AnsibleModule, name: str) -> dict[str, t.Any]:
    """The result of one of several. What is wrong with it costs the others nothing."""
    try:
        driven = ServiceRun({**module.params, "name": name}, plain, module.check_mode)
        outcome = driven.run()
    except LifecycleError as exc:
        return {"name": name, "changed": False, "reached": False, "failed": True, "msg": exc.msg, **exc.details}
    warning = missing_in_check_mode(outcome, driven.watched.unit, module.check_mode) if outcome.failed else ""
    if warning:
        module.warn(warning)
    return {"name": name, **outcome.as_dict(), **({"failed": True} if outcome.failed and not warning else {})}


def drive_entry(module: AnsibleModule, kinds: t.Mapping[str, ServiceKind]) -> None:
    """Run the engine as an inventory entry says, whatever its kind, and end the module with the result."""
    try:
        (params,) = describe([module.params["service"]], kinds)
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg.replace("services[0]", "service"), **exc.details)
    _run(module, params, kinds[params["kind"]].make)


def _run(module: AnsibleModule, params: t.Mapping[str, t.Any], make_kind: MakeKind) -> None:
    try:
        driven = ServiceRun(params, make_kind, module.check_mode)
        outcome = driven.run()
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    end(module, driven.watched.unit, outcome)
