# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides whether a drill may begin, and summarizes its outcome. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.drills import ENDINGS, FAULTS
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _outcomes as o
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import (
    CHAIN_STALLED,
    HELD,
    NEEDS_RECOVERY,
    OK,
    TRANSITIONING,
    UNKNOWN,
    Row,
    read_fleet,
    usable_entries,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    ServiceResult,
    as_mapping,
    as_mappings,
    as_number,
    as_text,
    with_answers,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import count

PLAYBOOK = "drill"
_OUTCOMES = {
    OK: o.HEALTHY,
    HELD: o.SKIPPED,
    TRANSITIONING: o.TRANSITIONING,
    NEEDS_RECOVERY: o.NOT_ATTEMPTED,
    CHAIN_STALLED: o.NOT_ATTEMPTED,
    UNKNOWN: o.UNKNOWN,
}
_NAMED = 8
_NEXT = "ansible-playbook chainops.lifecycle.recover"


def drill_plan(
    observed: t.Mapping[str, t.Any],
    described: t.Mapping[str, t.Any],
    settings: t.Mapping[str, t.Any],
    missing: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """The drill that the variables ask for, or why there is none.

    ``missing``: hosts with services that the run does not observe. Raises FleetError where no such service is
    described.
    """
    host, _slash, name = settings["lifecycle_drill_service"].partition("/")
    entries = {one: usable_entries(described.get(one)) for one in described}
    entry = next((one for one in entries.get(host, ()) if one.get("name") == name), None)
    if entry is None:
        raise FleetError(f"lifecycle_drill_service: {_nowhere(host, name, entries)}")
    rows = read_fleet(observed, described)
    guard, refusal = _objection(entry, entries, rows, missing)
    plan = {
        "host": host,
        "service": name,
        "kind": as_text(entry.get("kind")) or "generic",
        "fault": settings["lifecycle_drill_fault"],
        "refusal": refusal,
        "guard": guard,
        "rows": [_shown(row) for row in rows],
    }
    return {**plan, "lines": _plan_lines(plan, settings)}


def _is_marked(entry: t.Mapping[str, t.Any]) -> bool:
    return str(entry.get("drill", "")).lower() in ("true", "yes", "on", "1")


def _marked(entries: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]) -> str:
    found = [f"{host}/{entry['name']}" for host, some in entries.items() for entry in some if _is_marked(entry)]
    return _names(found) or "none"


def _nowhere(host: str, name: str, entries: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]) -> str:
    if not name:
        return f"{host!r} names no service of a host; give host/service, such as {_marked(entries)}"
    if host not in entries:
        return f"{host!r} is no host of this run; services that are marked for drills: {_marked(entries)}"
    return f"{host} has no service {name!r}; services that are marked for drills: {_marked(entries)}"


def _names(found: t.Sequence[str]) -> str:
    more = len(found) - _NAMED
    return ", ".join(found[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _objection(
    entry: t.Mapping[str, t.Any],
    entries: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]],
    rows: t.Sequence[Row],
    missing: t.Sequence[str],
) -> tuple[str, str]:
    """The guard that forbids the drill, and its reason; both empty where none does."""
    if not _is_marked(entry):
        return "drill", f"the service is not marked with drill: true; marked are {_marked(entries)}"
    if missing:
        message = f"the run does not observe {_names(missing)}, which may need recovery: run it without --limit"
        return "fleet_not_healthy", message
    unwell = [f"{row.host}/{row.label} is {row.state}" for row in rows if row.verdict != OK]
    if unwell:
        return "fleet_not_healthy", f"a drill begins with a healthy fleet: {_names(unwell)}; first: {_NEXT}"
    return "", ""


def _shown(row: Row) -> dict[str, str]:
    return {
        "host": row.host,
        "service": "" if row.is_host else row.service,
        "kind": row.kind,
        "verdict": row.verdict,
        "state": row.state,
        "why": row.explanation,
    }


def _plan_lines(plan: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Any]) -> list[str]:
    rows = plan["rows"]
    services = count(sum(bool(row["service"]) for row in rows), "service")
    hosts = count(len({row["host"] for row in rows}), "host")
    well = sum(row["verdict"] == OK for row in rows)
    lines = [
        f"{plan['fault']} of {plan['service']} on {plan['host']}: {FAULTS[plan['fault']]}",
        f"healthy: {well} of {services} on {hosts}",
    ]
    if plan["refusal"]:
        return [*lines, "", f"REFUSED: {plan['refusal']}."]
    return [
        *lines,
        f"the host undoes it after {settings['lifecycle_drill_undo_after']:.0f} s, even if this run is lost",
    ]


def drill_result(
    fault: t.Any, recovery: t.Any, ended: t.Any, again: t.Any = None, check_mode: bool = False, refused: str = ""
) -> dict[str, t.Any]:
    """The outcome of a drill, from the results of its steps.

    ``fault``: of the fault; ``recovery``: the list of the role service_recovery after it; ``again``: the same once the
    fault was removed, where it had to be; ``ended``: of the end of the drill; ``refused``: why no host granted the
    right to the fault, if none did.
    """
    made, end = with_answers(as_mapping(fault), refused), as_mapping(ended)
    blocks = as_mappings(made.get("blocked_by"))
    found: dict[str, t.Any] = {"made": bool(made.get("reached")) and not check_mode, "drill": {}, "blocked_by": blocks}
    if blocks or not made.get("reached"):
        return {**found, "outcome": o.REFUSED if blocks else o.FAILED, "msg": as_text(made.get("msg")) or "no answer"}
    if check_mode:
        return {**found, "outcome": o.PLANNED, "msg": "its guards allow the fault"}
    drill = as_mapping(end.get("drill")) or as_mapping(made.get("drill"))
    first, last = _recovery(recovery), _recovery(again)
    found |= {"drill": drill, "recovery": first, "recovery_without_fault": last}
    if not end.get("reached"):
        message = as_text(end.get("msg")) or "the end of the drill is not known; the host undoes the fault by itself"
        return {**found, "outcome": o.FAILED, "msg": message}
    if as_number(drill.get("detected_after")) is None:
        return {**found, "outcome": o.FAILED, "msg": "the service did not show the fault, so nobody would notice it"}
    acted = any(one["changed"] for one in (first, last) if one)
    return {**found, "outcome": o.RECOVERED if acted else o.SELF_RECOVERED, "msg": _reported(drill)}


def _recovery(results: t.Any) -> dict[str, t.Any] | None:
    """What a recovery made of the service; None where nothing was in need, or none was tried."""
    given = next(iter(as_mappings(results)), None)
    if given is None:
        return None
    result = ServiceResult.from_dict(given)
    refusal = next(iter(result.refusals), None)
    return {
        "reached": result.reached,
        "changed": result.changed,
        "guard": refusal.guard if refusal else "",
        "reason": "" if result.reached else (refusal.reason if refusal else result.msg),
    }


def _reported(drill: t.Mapping[str, t.Any]) -> str:
    lifted, by = as_number(drill.get("lifted_after")), ENDINGS.get(as_text(drill.get("ended_by")), "")
    parts = [
        f"shown after {drill.get('detected_after')} s as {as_text(drill.get('detected_as'))}",
        *([f"fault removed after {lifted} s"] if lifted is not None else []),
        f"healthy again after {drill.get('recovered_after')} s {by}".rstrip(),
        f"{drill.get('lost')} s lost",
    ]
    blocks = as_number(drill.get("blocks"))
    return ", ".join(parts) + (f", {count(int(blocks), 'block')} of the chain meanwhile" if blocks else "")


def drill_summary(
    result: t.Mapping[str, t.Any] | None, plan: t.Mapping[str, t.Any], check_mode: bool = False
) -> dict[str, t.Any]:
    """The summary as text, and as the data that the playbook leaves. ``result``: that of the role, if it ran."""
    entries = [_entry(row) for row in plan["rows"] if (row["host"], row["service"]) != (plan["host"], plan["service"])]
    mine = _own_entry(result or {}, plan)
    entries.insert(0, mine)
    bad = mine.outcome in o.BAD
    return {
        "lines": _summary_lines(result or {}, plan, mine),
        "outcome": o.artifact(PLAYBOOK, entries, check_mode),
        "failure": f"{mine.service}: {o.shown(mine.outcome)}: {mine.reason}" if bad else "",
    }


def _entry(row: t.Mapping[str, t.Any]) -> o.OutcomeEntry:
    outcome = _OUTCOMES[row["verdict"]]
    why = "" if outcome == o.HEALTHY else row["why"] or row["state"]
    return o.OutcomeEntry(row["host"], row["service"], row["kind"], outcome, why)


def _own_entry(result: t.Mapping[str, t.Any], plan: t.Mapping[str, t.Any]) -> o.OutcomeEntry:
    host, service, kind = plan["host"], plan["service"], plan["kind"]
    if plan["refusal"]:
        return o.OutcomeEntry(host, service, kind, o.REFUSED, plan["refusal"], plan["guard"])
    if not result:
        return o.OutcomeEntry(host, service, kind, o.NOT_ATTEMPTED, "the run ended before the drill")
    block = next(iter(as_mappings(result.get("blocked_by"))), {})
    reason = as_text(block.get("reason")) or as_text(result.get("msg"))
    return o.OutcomeEntry(
        host, service, kind, result["outcome"], f"{plan['fault']}: {reason}", as_text(block.get("guard"))
    )


def _summary_lines(result: t.Mapping[str, t.Any], plan: t.Mapping[str, t.Any], mine: o.OutcomeEntry) -> list[str]:
    return [
        f"{plan['host']} {plan['service']}: {o.shown(mine.outcome).upper()}",
        f"  fault  {plan['fault']}: {FAULTS[plan['fault']]}",
        *result_lines(result),
        *([f"  why    {plan['refusal']}"] if plan["refusal"] else []),
    ]


def result_lines(result: t.Mapping[str, t.Any]) -> list[str]:
    """The lines that the role prints about a drill."""
    if not result:
        return []
    target = as_text(as_mapping(result.get("drill")).get("target"))
    lines = [f"  of     {target}"] if target else []
    for key, when in (("recovery", "recovery"), ("recovery_without_fault", "recovery without the fault")):
        done = as_mapping(result.get(key))
        if done:
            guard = f" ({as_text(done.get('guard'))})" if done.get("guard") else ""
            message = "reached" if done.get("reached") else f"not reached{guard}: {as_text(done.get('reason'))}"
            lines.append(f"  did    {when}: {message}")
    if result.get("made") and not as_mapping(result.get("recovery")):
        lines.append("  did    recovery: nothing, because the service was healthy or in transition by itself")
    blocks = as_mappings(result.get("blocked_by"))
    if not blocks:
        return [*lines, f"  result {as_text(result.get('msg'))}"]
    lines += [f"  why    {as_text(one.get('guard'))}: {as_text(one.get('reason'))}" for one in blocks[:3]]
    return lines + [f"  next   {as_text(one.get('hint'))}" for one in blocks[:1] if one.get("hint")]
