# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Summarizes a rolling restart as text and as data. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _outcomes as o
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._approved_plan import NOT_APPROVED
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import (
    CHAIN_STALLED,
    HELD,
    NEEDS_RECOVERY,
    TRANSITIONING,
    UNKNOWN,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._recovery_steps import failed_fix
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._reports import bad_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._restart_all_stage import has_run
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    ServiceResult,
    as_mapping,
    as_mappings,
    as_number,
    as_text,
    as_texts,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._rolling_state import (
    DONE,
    DUE,
    FRESH,
    NOT_MEANT,
    PLAYBOOK,
    shown_state,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import duration

# How the role names a hook that it calls after the restart.
AFTER = "hook after: "
_OUTCOMES = {
    DONE: o.HEALTHY,
    FRESH: o.HEALTHY,
    NOT_MEANT: o.SKIPPED,
    HELD: o.SKIPPED,
    TRANSITIONING: o.TRANSITIONING,
    UNKNOWN: o.UNKNOWN,
    NEEDS_RECOVERY: o.REFUSED,
    CHAIN_STALLED: o.REFUSED,
    NOT_APPROVED: o.REFUSED,
}


def rolling_result(
    service: t.Mapping[str, t.Any], done: t.Mapping[str, t.Any], check_mode: bool = False
) -> dict[str, t.Any]:
    """The entry of ``rolling_restart_result`` for one service.

    ``done``: what the dry run before (``asked``), the restart (``run``, an entry of the role service_recovery), the
    observation of a validator (``part``) and that at the end (``after``) returned; the ``hooks`` that were called,
    and the ``failure`` of one of them, with the ``when`` it was called.
    """
    asked, run, part = (as_mapping(done.get(key)) for key in ("asked", "run", "part"))
    before = as_mapping(service.get("observation"))
    services_after = as_mappings(as_mapping(done.get("after")).get("services"))
    after = services_after[0] if services_after else as_mapping(run.get("after")) or before
    found: dict[str, t.Any] = {
        "name": service.get("name"),
        "label": service.get("label"),
        "kind": service.get("kind"),
        "state": after.get("state"),
        "hooks": list(as_texts(done.get("hooks"))),
        "before": before,
        "after": after,
        "state_before": shown_state(before),
        "state_after": shown_state(after),
        "transitions": [],
        "blocked_by": [],
        "reached": False,
        "changed": bool(done.get("hooks")) and not check_mode,
    }
    refused = as_text(service.get("refusal"))
    if refused:
        block = {"guard": "not_healthy", "reason": refused, "hint": "ansible-playbook chainops.lifecycle.recover"}
        return {**found, "changed": False, "blocked_by": [block], "msg": refused, "failed": True}
    ran = run if has_run(run) else asked
    found |= {key: ran[key] for key in ("reached", "transitions", "blocked_by", "msg", "unreachable") if key in ran}
    found["changed"] = found["changed"] or (has_run(run) and bool(run.get("changed")))
    if has_run(part) and not part.get("reached"):
        message = as_text(part.get("msg")) or "no answer"
        found |= {
            "reached": False,
            "msg": f"it was restarted, and does not take part in the consensus again: {message}",
        }
    found |= _hook_failure(as_mapping(done.get("failure")), check_mode)
    return {**found, "failed": not found["reached"]}


def _hook_failure(failure: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """What a hook that failed makes of a result; nothing where none did."""
    if not failure:
        return {}
    why = failed_fix(failure).partition(": ")[2]
    left = "so that it was left as it is" if failure.get("when") == "before" else "after it was restarted"
    message = f"a hook failed, {left}: {why}"
    return {"reached": False, "blocked_by": [], "changed": not check_mode, "msg": message}


def rolling_entries(
    results: t.Mapping[str, t.Any], plan: t.Mapping[str, t.Any], check_mode: bool = False
) -> list[o.OutcomeEntry]:
    """How each service of the selection ended. ``results``: host -> the results of the role there."""
    left = {host: list(as_mappings(done)) for host, done in results.items()}
    return [_entry(row, left, plan, check_mode) for row in as_mappings(plan.get("rows"))]


def _entry(
    row: t.Mapping[str, t.Any],
    left: t.Mapping[str, list[t.Mapping[str, t.Any]]],
    plan: t.Mapping[str, t.Any],
    check_mode: bool,
) -> o.OutcomeEntry:
    host, service, kind = row["host"], "" if row["service"] == "-" else row["service"], row["kind"]
    mine = left.get(host, [])
    done = next((one for one in mine if one.get("label") == row["label"]), None)
    if done is not None:
        mine.remove(done)
        return _of_result(host, ServiceResult.from_dict(done))
    verdict = row["verdict"]
    if verdict != DUE:
        reason = "" if _OUTCOMES[verdict] == o.HEALTHY else row["why"] or row["state"]
        return o.OutcomeEntry(host, service, kind, _OUTCOMES[verdict], reason, row["guard"])
    if plan.get("refusal"):
        return o.OutcomeEntry(host, service, kind, o.REFUSED, plan["refusal"], plan.get("guard") or "")
    if check_mode:
        word = o.REFUSED if row["guard"] else o.PLANNED
        return o.OutcomeEntry(host, service, kind, word, row["why"], row["guard"])
    lost = next((one for one in mine if one.get("observed") is False), None)
    if lost is not None:
        return o.OutcomeEntry(host, service, kind, o.UNKNOWN, as_text(lost.get("msg")))
    return o.OutcomeEntry(host, service, kind, o.NOT_ATTEMPTED, "the run ended before its turn")


def _of_result(host: str, result: ServiceResult) -> o.OutcomeEntry:
    word = o.outcome_of(result)
    return o.entry_of(host, result, o.RESTARTED if word in (o.RECOVERED, o.SELF_RECOVERED) else word)


def rolling_summary(
    results: t.Mapping[str, t.Any], plan: t.Mapping[str, t.Any], check_mode: bool = False
) -> dict[str, t.Any]:
    """The summary as text, and as the data that the playbook leaves."""
    entries = rolling_entries(results, plan, check_mode)
    shown = [entry for entry in entries if entry.outcome != o.HEALTHY]
    lines: list[str] = []
    for host in plan["due"]:
        for one in as_mappings(results.get(host)):
            lines += result_lines(host, one)
    again = any(entry.outcome == o.NOT_ATTEMPTED for entry in entries)
    lines += ["", f"Summary: {o.counted(shown) or 'no service had to be restarted'}"]
    if again:
        lines.append(f"Run it again to continue with the rest: -e lifecycle_restart_since={plan['run']}")
    bad = [entry for entry in entries if entry.outcome in o.BAD]
    return {
        "lines": lines,
        "outcome": o.artifact(PLAYBOOK, entries, check_mode),
        "bad": bad_hosts(entries, plan),
        "failed": [entry.key for entry in bad],
        "failure": f"not restarted: {'; '.join(entry.reason for entry in bad)}" if bad else "",
    }


def result_lines(host: str, given: t.Mapping[str, t.Any]) -> list[str]:
    """The block of one service."""
    result = ServiceResult.from_dict(given)
    entry = _of_result(host, result)
    before, after = as_mapping(given.get("state_before")), as_mapping(given.get("state_after"))
    lines = [f"{host} {as_text(given.get('label')) or result.name}: {o.shown(entry.outcome).upper()}"]
    if before:
        lines.append(f"  was    {_state(before)}")
    hooks = as_texts(given.get("hooks"))
    acts = [one for one in hooks if not one.startswith(AFTER)]
    acts += [step.action for step in result.steps if step.acts] + [one for one in hooks if one.startswith(AFTER)]
    lines.append(f"  {'would' if result.is_planned else 'did':<6} {'; '.join(acts) or 'nothing'}")
    if entry.outcome in o.BAD:
        lines.append(f"  why    {result.msg or entry.reason}")
        return lines + [f"  next   {hint}" for hint in result.hints[:2]]
    return lines if result.is_planned else [*lines, f"  is     {_state(after)}"]


def _state(shown: t.Mapping[str, t.Any]) -> str:
    age, invocation = as_number(shown.get("process_age")), as_text(shown.get("invocation"))
    parts = [
        as_text(shown.get("state")),
        as_text(shown.get("version")),
        "" if age is None else f"process of {duration(age)}",
        f"invocation {invocation[:8]}" if invocation else "",
        "stale" if shown.get("stale") else "",
    ]
    return ", ".join(filter(None, parts))


def without_plan(results: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The summary of what the role did on its own."""
    done = [(host, one) for host, some in results.items() for one in as_mappings(some)]
    entries = [_of_result(host, ServiceResult.from_dict(one)) for host, one in done]
    bad = [f"{entry.key}: {entry.reason}" for entry in entries if entry.outcome in o.BAD]
    return {
        "lines": [line for host, one in done for line in result_lines(host, one)] or ["no service had to be restarted"],
        "failure": f"not restarted: {'; '.join(bad)}" if bad else "",
    }
