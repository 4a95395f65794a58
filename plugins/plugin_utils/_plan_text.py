# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as text: the counts, one verb a row with its evidence, and one next step for each refusal. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import shlex
import textwrap
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import (
    CHAIN_STALLED,
    HELD,
    NEEDS_RECOVERY,
    OK,
    TRANSITIONING,
    UNKNOWN,
    Row,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._planned_row import RESTART_ALL, PlannedRow
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import ServiceResult
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import WIDTH, count, duration, render

# What is planned where no dry run says more.
_BY_STATE = {m.STOPPED: "start", m.ERROR: "recover", m.RESTARTING: "recover"}
_LEFT = {
    TRANSITIONING: "wait",
    HELD: "leave (held)",
    UNKNOWN: "leave (unknown)",
    CHAIN_STALLED: "refuse (chain_stalled)",
}
_PLAYBOOK = "ansible-playbook chainops.lifecycle.recover"


def planned_row(row: Row, dry_run: ServiceResult | None, together: bool = False) -> PlannedRow:
    """The plan for a service; ``dry_run``: the result of a dry run of its recovery."""
    if together and row.verdict in (NEEDS_RECOVERY, CHAIN_STALLED):
        return PlannedRow(row, RESTART_ALL, row.explanation)
    if row.verdict != NEEDS_RECOVERY:
        return PlannedRow(row, _LEFT.get(row.verdict, "-"), row.explanation)
    if dry_run is None:
        verb = "stop" if row.desired == m.STOPPED else _BY_STATE.get(row.state, "recover")
        return PlannedRow(row, verb, _evidence(row))
    if not dry_run.reached:
        return _refused_row(row, dry_run)
    acts = list(dict.fromkeys(step.trigger or step.action for step in dry_run.steps if step.acts))
    return PlannedRow(row, " and ".join(acts) or "wait", dry_run.resolved or _evidence(row))


def _refused_row(row: Row, dry_run: ServiceResult) -> PlannedRow:
    refusal = next(iter(dry_run.refusals), None)
    guard = refusal.guard if refusal and refusal.guard else "error"
    why = _evidence(row) if guard == "cause" else refusal.reason if refusal else dry_run.msg or "no reason given"
    return PlannedRow(row, f"refuse ({guard})", why, guard, _next_step(row, dry_run, guard))


def _evidence(row: Row) -> str:
    """What was found, rather than the sentence of its category."""
    first = row.observation.diagnosis.first
    if first and first.evidence:
        return f"{first.id}: {first.evidence[0]}"
    return row.explanation


def _next_step(row: Row, dry_run: ServiceResult, guard: str) -> str:
    """What can be copied into a shell, for this run only, or else what the guard advises."""
    cause = row.observation.diagnosis.first or dry_run.diagnosis.first
    if guard == "cause" and cause and cause.severity != "fatal":
        accepted = json.dumps({"service_recovery_accept_causes": [cause.id]})
        fix = f"{cause.next_step}; then: " if cause.next_step else ""
        return f"{fix}{_PLAYBOOK} --limit {shlex.quote(row.host)} -e {shlex.quote(accepted)}"
    return next(iter(dry_run.hints), "")


def plan_lines(
    planned: t.Sequence[PlannedRow],
    together: t.Sequence[str],
    waves: t.Sequence[t.Sequence[t.Sequence[str]]],
    hosts: t.Sequence[str],
    refusal: str,
    width: int = WIDTH,
    soak: float = 0.0,
) -> list[str]:
    """The plan; ``together``: the hosts that are restarted at the same time, before the ``waves`` of batches of hosts.

    ``refusal``: why nobody is acted on. ``soak``: seconds between two waves.
    """
    order = [*together, *(host for wave in waves for batch in wave for host in batch)]
    first = {host: number for number, host in enumerate(order)}
    shown = sorted(
        (one for one in planned if one.row.verdict != OK), key=lambda one: first.get(one.row.host, len(first))
    )
    lines = [_counts(planned, hosts), *_table(shown, bool(refusal), width)]
    lines += [f"next for {one.row.host} {one.row.label}: {one.next_step}" for one in shown if _has_next(one)]
    if refusal:
        return [*lines, "", f"REFUSED: {refusal}."]
    return lines + _order_lines(together, waves, width, soak) if len(order) > 1 else lines


def _has_next(one: PlannedRow) -> bool:
    return one.is_refused and bool(one.next_step)


def _table(shown: t.Sequence[PlannedRow], refused: bool, width: int) -> list[str]:
    """The plan of each service; where the whole run is refused nothing is done to those that might be recovered."""
    if not shown:
        return []
    table = [("HOST", "SERVICE", "STATE", "PLAN", "WHY")]
    for one in shown:
        verb = "-" if refused and one.row.verdict == NEEDS_RECOVERY and not one.is_refused else one.verb
        table.append((one.row.host, one.row.label, one.row.state, verb, one.why))
    return render(table, width)


def _order_lines(
    together: t.Sequence[str], waves: t.Sequence[t.Sequence[t.Sequence[str]]], width: int, soak: float
) -> list[str]:
    """The waves, one a line: in parallel with commas, one after the other with semicolons."""
    lines = [_named("Together", [together], width)] if together else []
    if len(waves) == 1:
        lines.append(_named("Order", waves[0], width))
    else:
        lines += [_named(f"Wave {number} of {len(waves)}", wave, width) for number, wave in enumerate(waves, 1)]
    if len(waves) > 1 and soak > 0:
        lines.append([f"After each wave but the last: {duration(soak)}, then the fleet is observed again"])
    return ["", *(line for block in lines for line in block)]


def _named(what: str, batches: t.Sequence[t.Sequence[str]], width: int) -> list[str]:
    text = f"{what}: {'; '.join(', '.join(batch) for batch in batches)}"
    return textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _counts(planned: t.Sequence[PlannedRow], hosts: t.Sequence[str]) -> str:
    needs = [one for one in planned if one.row.verdict in (NEEDS_RECOVERY, CHAIN_STALLED)]
    refused = sum(one.is_refused or one.verb.startswith("refuse") for one in needs)
    blind = len({one.row.host for one in planned if one.row.verdict == UNKNOWN})
    parts = [f"{len(needs) - refused} to recover"] if needs else []
    parts += [f"{refused} refused"] if refused else []
    parts += [f"{count(blind, 'host')} unknown"] if blind else []
    services = sum(not one.row.is_host for one in planned)
    need = "needs" if len(needs) == 1 else "need"
    total = f"{len(needs)} of {count(services, 'service')} on {count(len(hosts), 'host')} {need} recovery"
    return f"{total}: {', '.join(parts)}" if parts else total
