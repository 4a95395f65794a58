# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Summarizes a sync wait on many hosts as text and as data. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _outcomes as o
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import ServiceResult
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import WIDTH, duration, render

_HEADS = ("HOST", "SERVICE", "OUTCOME", "STATE", "HEAD", "LAG", "WAITED", "BLOCKS/S", "WHY")


def sync_summary(results: t.Mapping[str, t.Any], check_mode: bool = False, width: int = WIDTH) -> dict[str, t.Any]:
    """A row for each node. ``results``: ``host/service`` -> what besu_node returned there."""
    rows: list[tuple[str, ...]] = [_HEADS]
    hints: list[str] = []
    entries: list[o.OutcomeEntry] = []
    failed: dict[str, list[str]] = {}
    for key, given in results.items():
        host, _slash, service = key.partition("/")
        result = replace(ServiceResult.from_dict(given), name=service, kind="besu")
        outcome = _outcome(result)
        why = _why(result, outcome)
        entries.append(replace(o.entry_of(host, result, outcome), **({"reason": why} if why else {})))
        rows.append((host, service, o.shown(outcome), *_measures(result), why))
        if outcome in o.BAD:
            failed.setdefault(host, []).append(f"{service}: {why}")
            hints += [f"  next for {host} {service}: {hint}" for hint in _hints(result)]
    table = render(rows, width) if results else []
    return {
        "lines": [*table, *hints, "", f"Summary: {o.counted(entries) or 'no Besu node was found'}"],
        "outcome": o.artifact("besu_sync_wait", entries, check_mode),
        "failed": failed,
    }


def _outcome(result: ServiceResult) -> str:
    if result.unreachable:
        return o.UNKNOWN
    if not result.reached or result.is_planned:
        return o.outcome_of(result)
    return o.SYNCED if result.steps or result.changed else o.HEALTHY


def _measures(result: ServiceResult) -> tuple[str, ...]:
    """State, head, lag, seconds waited, and blocks a second over the whole of it."""
    details = result.after.details if result.after else {}
    head, lag, waited = details.get("head"), details.get("lag"), result.duration
    return (
        result.state if result.after else "-",
        "-" if head is None else str(head),
        "-" if lag is None else str(lag),
        duration(waited),
        f"{result.imported / waited:.1f}" if result.imported is not None and waited else "-",
    )


def _why(result: ServiceResult, outcome: str) -> str:
    cause = result.after.cause if result.after else ""
    if outcome not in o.BAD:
        return cause
    # A loop of restarts, for example, has a cause of its own.
    first = result.diagnosis.first
    if first and first.id != cause:
        return ": ".join([first.id, first.summary, *first.evidence[:1]])
    if not cause or not result.after:
        return result.msg or "no reason given"
    return f"{cause}: {'; '.join(result.after.reasons[:2])}"


def _hints(result: ServiceResult) -> list[str]:
    causes = [cause.next_step for cause in result.diagnosis.causes if cause.next_step]
    return [*causes, *(refusal.hint for refusal in result.refusals if refusal.hint)][:2]
