# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet as the controller sees it: who is in need, and what came of a recovery. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import MACHINES
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m

OK = "ok"
ON_ITS_WAY = "on its way"
IN_NEED = "in need"
HELD = "held"
STALLED = "chain stalled"
UNKNOWN = "unknown"

NO_SERVICES = "No host has services: describe them in the inventory variable lifecycle_services."


@dataclass(frozen=True)
class Row:
    """One service of one host, and what the controller makes of it."""

    host: str
    service: str
    kind: str = "generic"
    state: str = m.UNKNOWN
    wanted: str = m.RUNNING
    verdict: str = UNKNOWN
    cause: str = ""
    age: float | None = None
    why: str = ""
    may_vote: bool = False
    down: bool = False
    observation: t.Mapping[str, t.Any] = field(default_factory=dict)
    scope: str = "system"

    @property
    def label(self) -> str:
        """The service as a person tells it from one of the same name in the other scope."""
        return f"{self.service} of the user" if self.scope == "user" else self.service


class FleetError(ValueError):
    """An option of a playbook that means nothing."""


def read_fleet(seen: t.Mapping[str, t.Any], described: t.Mapping[str, t.Any] | None = None) -> list[Row]:
    """The rows of the fleet, in the order of its hosts.

    ``seen``: host -> what service_info returned there (or that the host was
    not reached); ``described``: host -> its lifecycle_services, for the
    state that is wanted of each service (running, where nothing is said).
    """
    rows: list[Row] = []
    for host, result in seen.items():
        observations = result.get("services") if isinstance(result, dict) else None
        if observations is None:
            rows.append(Row(host, "-", why=_no_answer(result)))
            continue
        entries = _entries(observations, (described or {}).get(host) or [])
        rows += [_row(host, observation, entry) for observation, entry in zip(observations, entries, strict=True)]
    return rows


def _entries(observations: t.Sequence[t.Any], described: t.Sequence[t.Any]) -> list[t.Mapping[str, t.Any]]:
    """The description of each observation: that in its place, as a name may be in both scopes; else by the name."""
    entries = [entry if isinstance(entry, dict) else {"name": entry} for entry in described]
    names = [observation["name"] for observation in observations]
    if names == [entry.get("name") for entry in entries]:
        return list(entries)
    by_name = {entry["name"]: entry for entry in entries if "name" in entry}
    return [by_name.get(name, {}) for name in names]


def _no_answer(result: t.Any) -> str:
    if not isinstance(result, dict):
        return "was not observed"
    reason = str(result.get("msg") or "no answer")
    return f"unreachable: {reason}" if result.get("unreachable") else reason


def _row(host: str, seen: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any]) -> Row:
    wanted = entry.get("state", m.RUNNING)
    causes = known_causes(seen)
    reasons = seen.get("reasons") or ()
    why = causes[0]["summary"] if causes else (reasons[0] if reasons else "")
    hold = seen.get("hold")
    if hold:
        why = f"held by {hold['owner']}: {hold['reason']}; {why}"
    return Row(
        host=host,
        service=seen["name"],
        kind=seen["kind"],
        state=seen["state"],
        wanted=wanted,
        verdict=_verdict(seen, wanted),
        cause=causes[0]["id"] if causes else (seen.get("cause") or ""),
        age=seen.get("age"),
        why=why,
        may_vote=seen["kind"] == "besu" and _may_vote(seen, entry),
        down=_is_down(seen),
        observation=seen,
        scope=entry.get("scope") or "system",
    )


def _may_vote(seen: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any]) -> bool:
    """Whether a Besu may be a validator: what is not known counts as one."""
    told = (seen.get("besu") or {}).get("validator")
    return bool((entry.get("besu") or {}).get("validator", True) if told is None else told)


def _is_down(seen: t.Mapping[str, t.Any]) -> bool:
    """Whether no process is there, so that a start takes nothing away."""
    facts = seen.get("unit_facts") or {}
    if not facts:
        return seen["state"] in (m.STOPPED, m.ERROR, m.RESTARTING)
    gone = str(facts.get("sub_state", "")).startswith("auto-restart")
    return gone or facts.get("active_state") in ("inactive", "failed", "")


def _verdict(seen: t.Mapping[str, t.Any], wanted: str) -> str:
    state = seen["state"]
    machine = MACHINES.get(seen["kind"], m.GENERIC)
    goal = machine.targets.get(wanted, machine.targets[m.RUNNING])
    if state == m.UNKNOWN:
        return UNKNOWN
    if state in goal:
        return OK
    if seen.get("hold"):
        return HELD
    if seen["kind"] == "besu" and seen.get("cause") == "chain_stalled" and wanted != m.STOPPED:
        return STALLED
    transient = machine.base(state) in (m.STARTING, m.RESTARTING) or (state == m.STOPPING and wanted == m.STOPPED)
    if (transient or machine.base(state) == m.RUNNING) and machine.comes_by_itself(state, goal):
        return ON_ITS_WAY
    return IN_NEED


def why(row: Row) -> str:
    return f"{row.cause}: {row.why}" if row.cause and row.cause != row.why else row.why


def status_lines(seen: t.Mapping[str, t.Any], described: t.Mapping[str, t.Any] | None = None) -> list[str]:
    """The fleet as a table that a person reads, worst first, and a line that sums it up."""
    rows = read_fleet(seen, described)
    worst = [UNKNOWN, STALLED, IN_NEED, HELD, ON_ITS_WAY, OK]
    rows.sort(key=lambda row: worst.index(row.verdict))
    table = [("HOST", "SERVICE", "KIND", "STATE", "FOR", "WHY")]
    table += [(r.host, r.label, r.kind, r.state, duration(r.age), "" if r.verdict == OK else why(r)) for r in rows]
    counted = {verdict: sum(1 for row in rows if row.verdict == verdict) for verdict in reversed(worst)}
    parts = [f"{count} {verdict}" for verdict, count in counted.items() if count]
    if not rows:
        return [NO_SERVICES]
    return [*render(table), "", f"{len(rows)} services on {len(seen)} hosts: {', '.join(parts) or 'none'}"]


def summary_lines(results: t.Mapping[str, t.Any], plan: t.Mapping[str, t.Any]) -> list[str]:
    """What came of the recovery, a block for each service: what was seen, what was done, what proves it."""
    lines: list[str] = []
    for host in plan["in_need"]:
        done = results.get(host)
        if done is None:
            lines.append(f"{host}: not touched")
            continue
        lines += [line for result in done for line in _result_lines(host, result)]
    totals = summary(results, plan)
    counts = ", ".join(f"{len(names)} {word}" for word, names in totals.items() if names)
    return [*lines, "", f"Summary: {counts or 'nothing was in need'}"]


def _result_lines(host: str, result: t.Mapping[str, t.Any]) -> list[str]:
    head = f"{host} {result['name']}: {_outcome(result).upper()}"
    # The role has looked before it mended anything: that is what was seen, and not what the last step began with.
    before, after = result.get("seen") or result.get("before") or result, result.get("after") or {}
    cause = _first_cause(before if "seen" in result else result)
    lines = [head, f"  saw    {_saw(before, cause)}"]
    if cause and cause["evidence"]:
        lines.append(f"         {cause['evidence'][0]}")
    acts = [s["action"] for s in result.get("transitions") or () if s["action"] not in ("none", "wait")]
    planned = "would" if any(not s["applied"] for s in result.get("transitions") or ()) else "did"
    lines.append(f"  {planned:<6} {'; '.join([*result.get('fixes', ()), *acts]) or 'nothing'}")
    if result.get("failed"):
        lines.append(f"  why    {result.get('msg', '')}")
        cause = _first_cause(result)
        hints = [block["hint"] for block in result.get("blocked_by") or ()] or ([cause["next_step"]] if cause else [])
        lines += [f"  next   {hint}" for hint in hints[:2]]
    elif planned == "did":
        facts = after.get("unit_facts") or {}
        invocation = (facts.get("invocation_id") or "")[:8]
        proof = "; ".join((after.get("reasons") or [])[:2])
        lines.append(f"  proof  {after.get('state')}, {proof}" + (f", invocation {invocation}" if invocation else ""))
        if result.get("chain"):
            lines.append(f"         its chain: {result['chain']}")
    return lines


def known_causes(of: t.Mapping[str, t.Any]) -> list[t.Mapping[str, t.Any]]:
    """What the diagnosis in a result or an observation found, but that it found nothing."""
    causes = (of.get("diagnosis") or {}).get("causes") or ()
    return [cause for cause in causes if cause["id"] != "unknown"]


def _first_cause(of: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any] | None:
    return next(iter(known_causes(of)), None)


def _saw(before: t.Mapping[str, t.Any], cause: t.Mapping[str, t.Any] | None) -> str:
    state, reasons = before.get("state", m.UNKNOWN), before.get("reasons") or ()
    if cause:
        return f"{state}, {cause['id']}: {cause['summary']}"
    return ", ".join([state, ": ".join([word for word in (before.get("cause"), *reasons[:1]) if word])]).rstrip(", ")


def _outcome(result: t.Mapping[str, t.Any]) -> str:
    if result.get("failed"):
        return "refused" if result.get("blocked_by") and not result.get("changed") else "failed"
    if any(not step["applied"] for step in result.get("transitions") or ()):
        return "planned"
    return "recovered" if result.get("changed") else "well by itself"


def summary(results: t.Mapping[str, t.Any], plan: t.Mapping[str, t.Any]) -> dict[str, list[str]]:
    """The outcome by services, small enough for an AWX artifact: word -> ``host/service``."""
    words = ("recovered", "planned", "well by itself", "refused", "failed", "not touched", "unknown")
    found: dict[str, list[str]] = {word: [] for word in words}
    for host in plan["in_need"]:
        if host not in results:
            found["not touched"].append(host)
        for result in results.get(host) or ():
            found[_outcome(result)].append(f"{host}/{result['name']}")
    found["unknown"] += plan["unknown"]
    return found


def duration(seconds: float | None) -> str:
    """A length of time in at most two units."""
    if seconds is None:
        return "-"
    left, parts = int(seconds), list[str]()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def render(table: t.Sequence[t.Sequence[str]], last: int = 100) -> list[str]:
    """Rows as aligned columns; the last column is cut to ``last`` characters."""
    cut = [[*row[:-1], row[-1] if len(row[-1]) <= last else row[-1][: last - 1] + "…"] for row in table]
    widths = [max(len(row[i]) for row in cut) for i in range(len(cut[0]) - 1)]
    return ["  ".join([*(row[i].ljust(width) for i, width in enumerate(widths)), row[-1]]).rstrip() for row in cut]
