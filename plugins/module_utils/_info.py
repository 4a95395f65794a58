# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at any number of services of any kind in one go.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils import _machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._observer import Watched
from ansible_collections.chainops.lifecycle.plugins.module_utils._scope import Host
from ansible_collections.chainops.lifecycle.plugins.module_utils._services import KINDS, Described, describe

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_TROUBLED = (m.ERROR, m.RESTARTING, m.UNKNOWN)


def inform(module: AnsibleModule) -> None:
    """Run the module with its options, and end it with the observations."""
    try:
        described = describe(module.params["services"])
        for service in described:
            module.no_log_values.update(service.secrets)
        rows = _observe(described, module.params["diagnose"])
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    module.exit_json(changed=False, services=rows)


def _observe(described: t.Sequence[Described], diagnose: str) -> list[dict[str, t.Any]]:
    rows: dict[int, dict[str, t.Any]] = {}
    for scope in sorted({service.params["scope"] for service in described}):
        host = Host(scope)
        indexes = [i for i, service in enumerate(described) if service.params["scope"] == scope]
        watched = [
            host.watched(described[i].params, KINDS[described[i].params["kind"]].make, f"services[{i}].")
            for i in indexes
        ]
        for i, one, seen in zip(indexes, watched, host.observer.settled(watched)):
            rows[i] = _row(host, one, seen, described[i].params, diagnose)
    return [rows[i] for i in sorted(rows)]


def _row(
    host: Host, watched: Watched, seen: Observation, params: t.Mapping[str, t.Any], diagnose: str
) -> dict[str, t.Any]:
    row = {**seen.as_dict(), "hold": None}
    row["attempts"] = {"used": 0, "allowed": params["max_attempts"], "window": params["attempt_window"], "next_in": 0.0}
    if host.has_records():
        row.update(_records(host, watched, params))
    if diagnose == "always" or (diagnose == "errors" and seen.state in _TROUBLED):
        row["diagnosis"] = host.diagnose(watched, seen).as_dict()
    return row


def _records(host: Host, watched: Watched, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What is kept on the host about the service."""
    from ansible_collections.chainops.lifecycle.plugins.module_utils._ledger import budget

    hold = host.ledger.hold(watched.unit)
    spent = budget(
        host.ledger.attempts(watched.unit),
        wall=host.clock.wall(),
        allowed=params["max_attempts"],
        window=params["attempt_window"],
        backoff=params["attempt_backoff"],
    )
    return {"hold": hold.as_dict() if hold else None, "attempts": spent.as_dict()}
