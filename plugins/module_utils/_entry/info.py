# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at any number of services of any kind in one go.

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

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


class ServiceInfo:
    """A look at systemd alone: services without probes, kinds and diagnosis."""

    def __init__(self, kinds: t.Mapping[str, ServiceKind], host: type[HostContext] = HostContext) -> None:
        self._kinds = kinds
        self._host = host

    def inform(self, module: AnsibleModule) -> None:
        """Run a module with its options, and end it with the observations."""
        try:
            described = describe(module.params["services"], self._kinds)
            rows = self._observe(described, module.params)
        except LifecycleError as exc:
            module.fail_json(msg=exc.msg, **exc.details)
        module.exit_json(changed=False, services=rows)

    def _observe(
        self, described: t.Sequence[dict[str, t.Any]], options: t.Mapping[str, t.Any]
    ) -> list[dict[str, t.Any]]:
        rows: dict[int, dict[str, t.Any]] = {}
        for scope in sorted({service["scope"] for service in described}):
            host = self._host(scope)
            indexes = [i for i, service in enumerate(described) if service["scope"] == scope]
            watched = [self._watched(host, described[i], f"services[{i}].") for i in indexes]
            for i, one, seen in zip(indexes, watched, host.observer.observe_settled(watched)):
                rows[i] = self._row(host, one, seen, described[i], options)
        return [rows[i] for i in sorted(rows)]

    def _watched(self, host: HostContext, params: t.Mapping[str, t.Any], where: str) -> MonitoredService:
        return host.watched(params, self._kinds[params["kind"]].make, where)

    def _row(
        self,
        host: HostContext,
        watched: MonitoredService,
        seen: Observation,
        params: t.Mapping[str, t.Any],
        options: t.Mapping[str, t.Any],
    ) -> dict[str, t.Any]:
        return service_row(host, watched, seen, params)


def service_row(
    host: HostContext, watched: MonitoredService, seen: Observation, params: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """The observation as a result has it, with what is kept on the host about the service."""
    row = {**seen.as_dict(), "hold": None}
    allowed, window = params["max_attempts"], params["attempt_window"]
    row["attempts"] = {"used": 0, "allowed": allowed, "window": window, "next_in": 0.0}
    try:
        if host.has_records():
            row.update(_records(host, watched, seen, params))
    except LifecycleError as exc:  # the other services are seen all the same; to act on this one is refused
        row.update(attempts={}, reasons=[*row["reasons"], f"its records: {exc.msg}"])
    return row


def _records(
    host: HostContext, watched: MonitoredService, seen: Observation, params: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """What is kept on the host about the service."""
    hold, facts = host.ledger.hold(watched.unit), seen.facts
    spent = host.ledger.budget(
        watched.unit,
        facts.moment("ActiveEnter") if facts else 0.0,
        facts.moment("ActiveExit") if facts else 0.0,
        seen.base_state == m.RUNNING,
        allowed=params["max_attempts"],
        window=params["attempt_window"],
        backoff=params["attempt_backoff"],
        reset_attempts_after=params["reset_attempts_after"],
    )
    return {"hold": hold.as_dict() if hold else None, "attempts": spent.as_dict()}
