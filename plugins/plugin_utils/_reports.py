# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet as a table, and the summary of a recovery, as text and as data. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import shlex
import textwrap
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import ANY_HOST
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import ALERTS_BY_ID, SEVERITIES
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _outcomes as o
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import (
    CHAIN_STALLED,
    HELD,
    NEEDS_RECOVERY,
    NO_SERVICES,
    OK,
    SHOWN,
    TRANSITIONING,
    UNKNOWN,
    Row,
    read_fleet,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._planned_row import APPROVED
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    UNREACHABLE,
    CauseView,
    ObservationView,
    ServiceResult,
    as_mappings,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import WIDTH, count, duration, render

# What the role leaves alone at its turn, though it is not in its desired state.
_LEFT = {HELD: o.SKIPPED, TRANSITIONING: o.TRANSITIONING, CHAIN_STALLED: o.REFUSED}
_OUTCOMES = {OK: o.HEALTHY, HELD: o.SKIPPED, TRANSITIONING: o.TRANSITIONING, UNKNOWN: o.UNKNOWN}


def status_lines(
    observed: t.Mapping[str, t.Any], described: t.Mapping[str, t.Any] | None = None, width: int = WIDTH
) -> list[str]:
    """The fleet as a table, the worst services first, and a line that sums it up."""
    rows = read_fleet(observed, described)
    if not rows:
        return [NO_SERVICES]
    worst = list(SHOWN)
    rows.sort(key=lambda row: worst.index(row.verdict))
    table: list[tuple[str, ...]] = [("HOST", "SERVICE", "KIND", "STATE", "FOR", "WHY")]
    table += [
        (r.host, r.label, r.kind, r.state, duration(r.age), "" if r.verdict == OK else r.explanation) for r in rows
    ]
    if len({row.kind for row in rows if not row.is_host}) < 2:
        table = [(*cells[:2], *cells[3:]) for cells in table]
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in reversed(worst)}
    parts = ", ".join(f"{number} {SHOWN[verdict]}" for verdict, number in counts.items() if number)
    services = sum(not row.is_host for row in rows)
    summary = f"{count(services, 'service')} on {count(len(observed), 'host')}: {parts}"
    return [*render(table, width), "", summary, *_alert_lines(rows)]


def _alert_lines(rows: t.Sequence[Row]) -> list[str]:
    """The alerts that fire, the gravest first, in the words of the table and not in those of a host."""
    found = [(ALERTS_BY_ID[one], row) for row in rows for one in row.observation.alerts if one in ALERTS_BY_ID]
    found.sort(key=lambda one: SEVERITIES.index(one[0].severity))
    if not found:
        return []
    lines = [f"  {alert.severity}  {row.host} {row.label}: {alert.id}, {alert.summary}" for alert, row in found]
    steps = [f"  next for {name}: {ALERTS_BY_ID[name].next_step}" for name in dict.fromkeys(a.id for a, _row in found)]
    return ["", f"{count(len(found), 'alert')}:", *lines, *steps]


# The kinds whose services end in parallel, with a line for each.
_SIDE_BY_SIDE = tuple(name for name, kind in KINDS.items() if kind.module in ("service", "service_drive"))

# Recovered services of a host that have a block each: more of them have one line, as each had one when it ended.
_FEW = 3

Regressions = t.Sequence[t.Mapping[str, str]]


def recovery_entries(
    results: t.Mapping[str, t.Any], plan: t.Mapping[str, t.Any], regressions: Regressions = (), observed: t.Any = None
) -> list[o.OutcomeEntry]:
    """How each service of the plan ended. ``results``: host -> the results of service_recovery there.

    ``regressions``: those that were worse when the fleet was observed again after a wave; that is their end.
    """
    ended = {(one["host"], one["service"]): one for one in regressions}
    entries = [entry for entry in _entries(results, plan, observed or {}) if (entry.host, entry.service) not in ended]
    entries += [o.OutcomeEntry(**obsolete) for obsolete in plan.get("obsolete") or ()]
    return entries + [
        o.OutcomeEntry(one["host"], one["service"], one["kind"], o.FAILED, one["reason"]) for one in ended.values()
    ]


def _entries(
    results: t.Mapping[str, t.Any], plan: t.Mapping[str, t.Any], observed: t.Mapping[str, t.Any]
) -> list[o.OutcomeEntry]:
    left = {host: [ServiceResult.from_dict(one) for one in as_mappings(done)] for host, done in results.items()}
    tried = {host for host, done in results.items() if isinstance(done, (list, tuple))}
    entries = [_entry(row, left, tried, plan, observed.get(row["host"])) for row in as_mappings(plan.get("rows"))]
    # What the role found in need after the plan was made.
    return entries + [o.entry_of(host, result) for host, more in left.items() for result in more]


def _entry(
    row: t.Mapping[str, t.Any],
    left: t.Mapping[str, list[ServiceResult]],
    tried: t.Container[str],
    plan: t.Mapping[str, t.Any],
    observed: t.Any,
) -> o.OutcomeEntry:
    mine = left.get(row["host"], [])
    result = next((one for one in mine if one.name == row["service"]), None)
    if result is not None:
        mine.remove(result)
        return o.entry_of(row["host"], result)
    return _not_acted_on(row, plan) or _without_result(row, mine, row["host"] in tried, observed)


def _of_row(row: t.Mapping[str, t.Any], outcome: str, reason: str, guard: str = "") -> o.OutcomeEntry:
    return o.OutcomeEntry(
        row["host"], "" if row["service"] == "-" else row["service"], row["kind"], outcome, reason, guard
    )


def _not_acted_on(row: t.Mapping[str, t.Any], plan: t.Mapping[str, t.Any]) -> o.OutcomeEntry | None:
    """The entry of a service that the plan leaves alone; None where it was to be recovered."""
    if row["verdict"] == OK:
        return _of_row(row, _OUTCOMES[OK], "")
    if row["verdict"] not in (NEEDS_RECOVERY, CHAIN_STALLED):
        return _of_row(row, _OUTCOMES[row["verdict"]], row["why"] or row["state"])
    if row.get("guard") == APPROVED:
        return _of_row(row, o.REFUSED, row["why"], APPROVED)
    if plan.get("refusal"):
        return _of_row(row, o.REFUSED, plan["refusal"], plan.get("guard") or "")
    return None


def _without_result(
    row: t.Mapping[str, t.Any], mine: t.Sequence[ServiceResult], tried: bool, observed: t.Any
) -> o.OutcomeEntry:
    """The entry of a service that was to be recovered, and of which its host returned nothing."""
    lost = next((one for one in mine if one.name == "-" and not one.observed), None)
    if lost is not None:
        return _of_row(row, o.UNKNOWN, lost.msg)
    if not tried:
        return _of_row(row, o.NOT_ATTEMPTED, "the run ended before its turn")
    service = "" if row["service"] == "-" else row["service"]
    now = next((one for one in read_fleet({row["host"]: observed or {}}) if _is_left(one, service)), None)
    if now is None:
        return _of_row(row, o.SELF_RECOVERED, "it no longer needed recovery when its turn came")
    guard = CHAIN_STALLED if now.verdict == CHAIN_STALLED else ""
    return _of_row(row, _LEFT[now.verdict], now.explanation or now.state, guard)


def _is_left(row: Row, service: str) -> bool:
    return row.service == service and row.verdict in _LEFT


def summary_lines(
    results: t.Mapping[str, t.Any],
    plan: t.Mapping[str, t.Any],
    width: int = WIDTH,
    regressions: Regressions = (),
    observed: t.Any = None,
) -> list[str]:
    """The summary of the recovery, a block for each service: what was found, what was done, what proves the result."""
    lines: list[str] = []
    in_one_line = 0
    for host in plan["due"]:
        if host in results:
            found = [ServiceResult.from_dict(one) for one in results[host]]
            lines += _host_lines(host, found, width)
            in_one_line += len(_recovered_of_host(found))
        else:
            lines.append(f"{host}: {o.shown(o.NOT_ATTEMPTED)}")
    left = [row for row in as_mappings(plan.get("rows")) if row.get("guard") == APPROVED]
    lines += [f"{row['host']} {row['service']}: left as it is, {row['why']}" for row in left]
    lines += [f"{one['host']} {one['service']}: {one['reason']}" for one in plan.get("obsolete") or ()]
    lines += [
        f"{one['host']} {one['service']}".rstrip() + f": {o.shown(o.FAILED).upper()}, {one['reason']}"
        for one in regressions
    ]
    acted = [entry for entry in recovery_entries(results, plan, regressions, observed) if entry.outcome != o.HEALTHY]
    if len(plan["due"]) == 1 and 0 < in_one_line == len(acted):
        return lines  # that line counts them already
    return [
        *lines,  # a reason is never cut: the next step depends on it
        "",
        f"Summary: {o.counted(acted) or 'no service needed recovery'}",
    ]


def _host_lines(host: str, results: t.Sequence[ServiceResult], width: int) -> list[str]:
    """The blocks of a host; one line for all that were recovered, where these are many."""
    recovered = _recovered_of_host(results)
    lines = [line for one in results if one not in recovered for line in result_lines(host, one, width)]
    names = f"{host}: {len(recovered)} {o.shown(o.RECOVERED).upper()}: {', '.join(one.name for one in recovered)}"
    return lines + (_wrapped(names, width) if recovered else [])


def _recovered_of_host(results: t.Sequence[ServiceResult]) -> list[ServiceResult]:
    """Those of a host that one line names."""
    recovered = [one for one in results if _is_reported_whole(one)]
    return recovered if len(recovered) > _FEW else []


def _is_reported_whole(result: ServiceResult) -> bool:
    """Whether the line as a service ended has said all that its block would say."""
    is_short = result.kind in _SIDE_BY_SIDE and not result.fixes and not result.resolved
    return o.outcome_of(result) == o.RECOVERED and is_short


def result_lines(host: str, result: ServiceResult, width: int = WIDTH) -> list[str]:
    """The block of one service, short where the plan, and the line as it ended, have said what there is to say."""
    outcome = o.outcome_of(result)
    if outcome not in o.BAD and result.kind in _SIDE_BY_SIDE and not result.fixes:
        return _in_short(host, outcome, result, width)
    # The role has observed before it fixed anything: that counts, not what the last step began with.
    before, cause = _seen_before(result)
    lines = [f"{host} {result.name}: {o.shown(outcome).upper()}", f"  saw    {_saw(before, cause)}"]
    lines += [f"         {line}" for line in (cause.evidence[:1] if cause else ())]
    lines += [f"  now    {result.resolved}"] if result.resolved else []
    acts = [step.action for step in result.steps if step.acts]
    lines.append(f"  {'would' if result.is_planned else 'did':<6} {'; '.join([*result.fixes, *acts]) or 'nothing'}")
    if outcome in o.BAD:
        lines.append(f"  why    {result.msg}")
        return lines + [f"  next   {for_host(hint, host)}" for hint in result.hints[:2]]
    return lines if result.is_planned else lines + _proof(result)


def _seen_before(result: ServiceResult) -> tuple[ObservationView, CauseView | None]:
    """What was seen before anything was done, and the first cause."""
    before = result.observation or result.before or ObservationView(result.name, state=result.state)
    return before, (result.observation.diagnosis if result.observation else result.diagnosis).first


def _seen_after(result: ServiceResult) -> tuple[ObservationView, str]:
    """What was seen at the end, and the words that name its invocation."""
    after = result.after or ObservationView(result.name, state=result.state)
    return after, f", invocation {after.invocation[:8]}" if after.invocation else ""


def _in_short(host: str, outcome: str, result: ServiceResult, width: int) -> list[str]:
    """What was seen, what was done or would be, and what proves it."""
    before, first = _seen_before(result)
    why = "; ".join(filter(None, (first.id if first else before.cause, result.resolved)))
    acts = "; ".join(step.action for step in result.steps if step.acts)
    message = f"{host} {result.name}: {o.shown(outcome).upper()} from {before.state}" + (f" ({why})" if why else "")
    message += f" by {acts}" if acts else ""
    after, invocation = _seen_after(result)
    message += "" if result.is_planned else f": {after.state}{invocation}"
    return _wrapped(message, width)


def _wrapped(message: str, width: int) -> list[str]:
    return textwrap.wrap(message, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def for_host(hint: str, host: str) -> str:
    """The advice of a guard, which does not know what the inventory calls its host."""
    return hint.replace(f"--limit {ANY_HOST} ", f"--limit {shlex.quote(host)} ")


def _proof(result: ServiceResult) -> list[str]:
    after, invocation = _seen_after(result)
    proof = ", ".join(filter(None, (after.state, "; ".join(after.reasons[:2])))) + invocation
    return [f"  proof  {proof}"] + ([f"         its chain: {result.chain}"] if result.chain else [])


def _saw(before: ObservationView, cause: CauseView | None) -> str:
    if cause:
        return f"{before.state}, {cause.id}: {cause.summary}"
    why = ": ".join(word for word in (before.cause, *before.reasons[:1]) if word)
    return f"{before.state}, {why}" if why else before.state


def failure(results: t.Mapping[str, t.Any]) -> str:
    """Why services were not recovered, in one sentence; empty where all were."""
    done = [ServiceResult.from_dict(one) for some in results.values() for one in as_mappings(some)]
    bad = [one.msg or "no reason given" for one in done if o.outcome_of(one) in o.BAD]
    return f"not recovered: {'; '.join(bad)}" if bad else ""


def harm(
    results: t.Mapping[str, t.Any], plan: t.Mapping[str, t.Any], max_failed: t.Any = 0, regressions: Regressions = ()
) -> dict[str, t.Any]:
    """Whether services of more hosts than ``max_failed`` were harmed. A refusal is not harm."""
    done = {host: [ServiceResult.from_dict(one) for one in as_mappings(some)] for host, some in results.items()}
    harmed = {host: [one.name for one in some if one.harms] for host, some in done.items()}
    for one in regressions:
        harmed.setdefault(one["host"], []).append(one["service"])
    named = dict.fromkeys(f"{host}/{name}".rstrip("/") for host, names in harmed.items() for name in names)
    hosts = [host for host, names in harmed.items() if names]
    stops = len(hosts) > _allowed(max_failed, len(plan["due"]))
    reason = f"not recovered: {', '.join(named)}; the run stops here (lifecycle_max_failed={max_failed})"
    return {"stops": stops, "hosts": hosts, "reason": reason if stops else ""}


def _allowed(limit: t.Any, hosts: int) -> int:
    text = str(limit)
    return hosts * int(text[:-1]) // 100 if text.endswith("%") else int(text)


def bad_hosts(entries: t.Sequence[o.OutcomeEntry], plan: t.Mapping[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """host -> why it did not end well, and whether it was unreachable."""
    found: dict[str, dict[str, t.Any]] = {}
    lost = {row["host"] for row in as_mappings(plan.get("rows")) if row["service"] == "-" and _is_lost(row)}
    # At its turn, or while it was worked on.
    lost |= {one.host for one in entries if one.reason.startswith((UNREACHABLE, f"{one.host} cannot be reached: "))}
    bad: dict[str, list[o.OutcomeEntry]] = {}
    for entry in entries:
        if entry.outcome in o.BAD:
            bad.setdefault(entry.host, []).append(entry)
    for host, mine in bad.items():
        message = "; ".join(f"{entry.service or host}: {o.shown(entry.outcome)}{_why(entry)}" for entry in mine)
        found[host] = {"reason": message, "unreachable": host in lost}
    return found


def _why(entry: o.OutcomeEntry) -> str:
    guard = f" ({entry.guard})" if entry.guard else ""
    return f"{guard}: {entry.reason}" if entry.reason else guard


def _is_lost(row: t.Mapping[str, t.Any]) -> bool:
    return str(row.get("why", "")).startswith(UNREACHABLE)
