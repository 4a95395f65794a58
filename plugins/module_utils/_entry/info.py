# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes any number of services of any kind in one run.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import describe
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import ServiceKind
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import firing

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


RowDetails = t.Callable[[HostContext, MonitoredService, Observation], t.Mapping[str, t.Any]]


def no_details(_options: t.Mapping[str, t.Any]) -> RowDetails:
    """Nothing beyond the observation and the records."""
    return lambda _host, _watched, _observed: {}


def run_info(
    module: AnsibleModule,
    kinds: t.Mapping[str, ServiceKind],
    open_host: t.Callable[[str], HostContext] = HostContext,
    make_details: t.Callable[[t.Mapping[str, t.Any]], RowDetails] = no_details,
) -> None:
    """Run a module with its options, and end it with the observations.

    ``open_host``: the host of a scope. ``make_details``: what the options of
    the module ask for besides; it may raise LifecycleError naming the option.
    """
    try:
        described = describe(module.params["services"], kinds)
        details = make_details(module.params)
        rows = _observe(described, kinds, open_host, details)
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    module.exit_json(changed=False, services=rows)


def _observe(
    described: t.Sequence[dict[str, t.Any]],
    kinds: t.Mapping[str, ServiceKind],
    open_host: t.Callable[[str], HostContext],
    details: RowDetails,
) -> list[dict[str, t.Any]]:
    rows: dict[int, dict[str, t.Any]] = {}
    for scope in sorted({service["scope"] for service in described}):
        host = open_host(scope)
        indexes = [i for i, service in enumerate(described) if service["scope"] == scope]
        watched = [host.watched(described[i], kinds[described[i]["kind"]].make, f"services[{i}].") for i in indexes]
        for i, one, observed in zip(indexes, watched, host.observer.observe_settled(watched)):
            row = {**service_row(host, one, observed, described[i]), **details(host, one, observed)}
            rows[i] = {**row, "alerts": firing(row, described[i], host.clock.wall())}
    return [rows[i] for i in sorted(rows)]


def service_row(
    host: HostContext, watched: MonitoredService, observed: Observation, params: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """The observation as a result has it, with what is kept on the host about the service."""
    row = {**observed.as_dict(), "hold": None}
    allowed, window = params["max_attempts"], params["attempt_window"]
    row["attempts"] = {"used": 0, "allowed": allowed, "window": window, "next_in": 0.0}
    try:
        if host.has_records():
            row.update(_records(host, watched, observed, params))
    except LifecycleError as exc:  # the other services are seen all the same; to act on this one is refused
        row.update(attempts={}, reasons=[*row["reasons"], f"its records: {exc.msg}"])
    return row


def _records(
    host: HostContext, watched: MonitoredService, observed: Observation, params: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """What is kept on the host about the service."""
    hold, facts = host.ledger.hold(watched.unit), observed.facts
    spent = host.ledger.budget(
        watched.unit,
        facts.moment("ActiveEnter") if facts else 0.0,
        facts.moment("ActiveExit") if facts else 0.0,
        observed.base_state == m.RUNNING,
        allowed=params["max_attempts"],
        window=params["attempt_window"],
        backoff=params["attempt_backoff"],
        reset_attempts_after=params["reset_attempts_after"],
    )
    return {"hold": hold.as_dict() if hold else None, "attempts": spent.as_dict()}
