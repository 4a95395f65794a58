# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet as the controller sees it: who is in need, in which order, and whether that is too many. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils import _machine as m

OK = "ok"
ON_ITS_WAY = "on its way"
IN_NEED = "in need"
HELD = "held"
UNKNOWN = "unknown"

_NO_SERVICES = "No host has services: describe them in the inventory variable lifecycle_services."

# A unit that is down already comes first: to bring it back costs the fleet nothing.
_RANK = {m.STOPPED: 0, m.ERROR: 1, m.RESTARTING: 2}


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
    validator: bool = False
    observation: t.Mapping[str, t.Any] = field(default_factory=dict)


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
        wanted = {
            entry["name"]: entry.get("state", m.RUNNING)
            for entry in (described or {}).get(host) or []
            if isinstance(entry, dict) and "name" in entry
        }
        observations = result.get("services") if isinstance(result, dict) else None
        if observations is None:
            rows.append(Row(host, "-", why=_no_answer(result)))
            continue
        rows += [_row(host, observation, wanted.get(observation["name"], m.RUNNING)) for observation in observations]
    return rows


def _no_answer(result: t.Any) -> str:
    if not isinstance(result, dict):
        return "was not observed"
    reason = str(result.get("msg") or "no answer")
    return f"unreachable: {reason}" if result.get("unreachable") else reason


def _row(host: str, seen: t.Mapping[str, t.Any], wanted: str) -> Row:
    diagnosis = seen.get("diagnosis") or {}
    causes = [c for c in diagnosis.get("causes", ()) if c["id"] != "unknown"]
    reasons = seen.get("reasons") or ()
    why = causes[0]["summary"] if causes else (reasons[0] if reasons else "")
    hold = seen.get("hold")
    if hold:
        why = f"held by {hold['owner']}: {hold['reason']}; {why}"
    own = seen.get(seen["kind"]) or {}
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
        validator=bool(own.get("validator")),
        observation=seen,
    )


def _verdict(seen: t.Mapping[str, t.Any], wanted: str) -> str:
    state = seen["state"]
    machine = m.MACHINES.get(seen["kind"], m.GENERIC)
    goal = machine.targets.get(wanted, machine.targets[m.RUNNING])
    if state == m.UNKNOWN:
        return UNKNOWN
    if state in goal:
        return OK
    if seen.get("hold"):
        return HELD
    transient = machine.base(state) in (m.STARTING, m.RESTARTING) or (state == m.STOPPING and wanted == m.STOPPED)
    if (transient or machine.base(state) == m.RUNNING) and machine.comes_by_itself(state, goal):
        return ON_ITS_WAY
    return IN_NEED


def allowed_in_need(limit: t.Any, hosts: int) -> int:
    """How many hosts may be in need: a number, or a share of the fleet such as ``50%`` (rounded up, at least one)."""
    text = str(limit).strip()
    if re.fullmatch(r"\d+", text):
        return int(text)
    share = re.fullmatch(r"(\d{1,3})%", text)
    if share is None or int(share[1]) > 100:
        raise FleetError(f"max_unhealthy: {limit!r} is neither a number of hosts nor a share; give 3 or 50%")
    return max(math.ceil(hosts * int(share[1]) / 100), 1)


def recovery_plan(
    seen: t.Mapping[str, t.Any], described: t.Mapping[str, t.Any], max_unhealthy: t.Any = "50%"
) -> dict[str, t.Any]:
    """Whom to recover, in which order, or why nobody.

    Hosts that cannot be observed count as unhealthy and are not acted on:
    what cannot be seen cannot be recovered, and may be a sign of a larger fault.
    """
    rows = read_fleet(seen, described)
    hosts = list(seen)
    needy = sorted({row.host for row in rows if row.verdict == IN_NEED}, key=lambda host: _order(host, rows, hosts))
    blind = [host for host in hosts if any(row.host == host and row.verdict == UNKNOWN for row in rows)]
    unhealthy = len({*needy, *blind})
    allowed = allowed_in_need(max_unhealthy, len(hosts))
    refusal = ""
    if needy and unhealthy > allowed:
        refusal = (
            f"{unhealthy} of {len(hosts)} hosts are in need or unknown, more than max_unhealthy={max_unhealthy} "
            f"({allowed}). A fault of so many is seldom mended host by host: look for what they share. "
            f"To go on all the same, raise lifecycle_max_unhealthy for this run"
        )
    return {
        "hosts": [] if refusal else needy,
        "in_need": needy,
        "unknown": blind,
        "refusal": refusal,
        "rows": [_shown(row) for row in rows],
        "lines": _plan_lines(rows, needy, blind, hosts, refusal),
    }


def _order(host: str, rows: t.Sequence[Row], hosts: t.Sequence[str]) -> tuple[t.Any, ...]:
    mine = [row for row in rows if row.host == host and row.verdict == IN_NEED]
    down = min(_RANK.get(row.state, 3) for row in mine)
    return (down, any(row.validator for row in mine), hosts.index(host))


def _shown(row: Row) -> dict[str, t.Any]:
    return {
        "host": row.host,
        "service": row.service,
        "kind": row.kind,
        "state": row.state,
        "wanted": row.wanted,
        "verdict": row.verdict,
        "cause": row.cause,
        "why": row.why,
    }


def _plan_lines(
    rows: t.Sequence[Row], needy: t.Sequence[str], blind: t.Sequence[str], hosts: t.Sequence[str], refusal: str
) -> list[str]:
    lines = [f"{len(needy)} of {len(hosts)} hosts need recovery" + (f", {len(blind)} unknown" if blind else "")]
    if not rows:
        lines.append(_NO_SERVICES)
    shown = [row for row in rows if row.verdict != OK]
    table = [("HOST", "SERVICE", "STATE", "PLAN", "WHY")]
    for host in [*needy, *(h for h in hosts if h not in needy)]:
        for row in shown:
            if row.host == host:
                table.append((row.host, row.service, row.state, _intent(row, refusal), _why(row)))
    if shown:
        lines += render(table)
    if refusal:
        lines += ["", f"REFUSED: {refusal}."]
    elif needy:
        lines += ["", f"Order: {', '.join(needy)}"]
    return lines


def _intent(row: Row, refusal: str) -> str:
    if row.verdict == IN_NEED:
        return "-" if refusal else f"-> {row.wanted}"
    return {ON_ITS_WAY: "wait", HELD: "leave (held)", UNKNOWN: "leave"}.get(row.verdict, "-")


def _why(row: Row) -> str:
    return f"{row.cause}: {row.why}" if row.cause and row.cause != row.why else row.why


def status_lines(seen: t.Mapping[str, t.Any], described: t.Mapping[str, t.Any] | None = None) -> list[str]:
    """The fleet as a table that a person reads, worst first, and a line that sums it up."""
    rows = read_fleet(seen, described)
    worst = [UNKNOWN, IN_NEED, HELD, ON_ITS_WAY, OK]
    rows.sort(key=lambda row: worst.index(row.verdict))
    table = [("HOST", "SERVICE", "KIND", "STATE", "FOR", "WHY")]
    table += [(r.host, r.service, r.kind, r.state, duration(r.age), "" if r.verdict == OK else _why(r)) for r in rows]
    counted = {verdict: sum(1 for row in rows if row.verdict == verdict) for verdict in reversed(worst)}
    parts = [f"{count} {verdict}" for verdict, count in counted.items() if count]
    if not rows:
        return [_NO_SERVICES]
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
    before, after = result.get("seen") or result.get("before") or {}, result.get("after") or {}
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
    return lines


def _first_cause(of: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any] | None:
    causes = (of.get("diagnosis") or {}).get("causes") or ()
    return next((cause for cause in causes if cause["id"] != "unknown"), None)


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
