# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the parts together for a module that acts: from its options to the engine and back to a result.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

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
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.actions import HostServices
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.engine import Engine
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import (
    MakeKind,
    ServiceKind,
    plain,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Outcome


class ServiceRun:
    """One service and what is asked of it, as a module's options say. Raises LifecycleError naming the option."""

    def __init__(self, params: t.Mapping[str, t.Any], make_kind: MakeKind, check_mode: bool) -> None:
        self.host = whole_host(params["scope"])
        self.watched = self.host.watched(params, make_kind)
        self.request = _args.request(params, requester(), check_mode)
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

    def run(self) -> Outcome:
        """Run the engine."""
        host, watched = self.host, self.watched
        return Engine(watched, self.request, host.observer, self.tools, lambda seen: explain(host, watched, seen)).run()


def missing_in_check_mode(outcome: Outcome, unit: str, check_mode: bool) -> str:
    """What is to be warned of in a dry run before the unit is there: what would refuse is no failure of such a run."""
    missing = outcome.after.facts is not None and outcome.after.facts.load == "not-found"
    return f"{unit} does not exist on this host (yet): {outcome.msg}" if check_mode and missing else ""


def end(module: AnsibleModule, unit: str, outcome: Outcome, **more: t.Any) -> None:
    """End the module with the outcome; ``more`` goes into the result beside it."""
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
