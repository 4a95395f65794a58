# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the fleet after a wave with before: which services are worse. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import (
    CHAIN_STALLED,
    NEEDS_RECOVERY,
    OK,
    TRANSITIONING,
    UNKNOWN,
    Row,
    read_fleet,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import ServiceResult, as_mappings

_WORSE = (NEEDS_RECOVERY, CHAIN_STALLED, UNKNOWN)


def regressed_services(
    observed: t.Mapping[str, t.Any],
    described: t.Mapping[str, t.Any],
    plan: t.Mapping[str, t.Any],
    results: t.Mapping[str, t.Any],
    wave: int,
) -> list[dict[str, str]]:
    """The services that were recovered and did not last, and those that were healthy and are not any more.

    ``observed``: host -> what service_info returned after the wave, for hosts that
    were observed when the plan was made. ``results``: host -> what
    service_recovery left there. One that somebody holds meanwhile is that
    person's affair. One that was healthy may be on its way by itself; one that
    was just recovered has to stay where it was brought.
    """
    healthy = {(row["host"], row["service"], row["scope"]) for row in as_mappings(plan["rows"]) if row["verdict"] == OK}
    recovered = _recovered(results)
    hosts_before = {host for host, _service, _scope in healthy} | {host for host, _service in recovered}
    found: list[dict[str, str]] = []
    for row in read_fleet(observed, described):
        was_recovered = (row.host, row.service) in recovered
        if row.is_host and row.host in hosts_before:
            found.append(_regression(row, f"it can no longer be observed after wave {wave}: {row.why}"))
        elif was_recovered and row.verdict in (*_WORSE, TRANSITIONING):
            found.append(_regression(row, f"it was recovered, and after wave {wave} it is {_how(row)}"))
        elif (row.host, row.service, row.scope) in healthy and row.verdict in _WORSE:
            found.append(_regression(row, f"it was healthy before wave {wave}, and after it is {_how(row)}"))
    return found


def _recovered(results: t.Mapping[str, t.Any]) -> set[tuple[str, str]]:
    """The host and the name of each service that was brought to its desired state."""
    return {
        (host, result.name)
        for host, done in results.items()
        for result in map(ServiceResult.from_dict, as_mappings(done))
        if result.reached and not result.is_planned
    }


def _how(row: Row) -> str:
    return f"{row.state}: {row.explanation}" if row.explanation else row.state


def _regression(row: Row, reason: str) -> dict[str, str]:
    return {"host": row.host, "service": "" if row.is_host else row.service, "kind": row.kind, "reason": reason}
