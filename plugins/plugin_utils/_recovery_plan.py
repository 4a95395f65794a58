# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom to recover, in which order and how many at a time, and whether that is too many. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _besu_networks
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import (
    HELD,
    IN_NEED,
    NO_SERVICES,
    OK,
    ON_ITS_WAY,
    STALLED,
    UNKNOWN,
    FleetError,
    Row,
    read_fleet,
    render,
    why,
)

# Among units that are down: to bring one back costs the fleet nothing, so these come first.
_RANK = {m.STOPPED: 0, m.ERROR: 1, m.RESTARTING: 2}


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
    seen: t.Mapping[str, t.Any],
    described: t.Mapping[str, t.Any],
    max_unhealthy: t.Any = "50%",
    look: t.Mapping[str, t.Any] | None = None,
    quorum_lost: str = "refuse",
    serial: t.Any = 1,
) -> dict[str, t.Any]:
    """Whom to recover, in which order and how many at a time, or why nobody.

    Hosts that cannot be observed count as unhealthy and are not acted on:
    what cannot be seen cannot be recovered, and may be a sign of a larger fault.
    ``look``: what besu_network_info returned. ``serial``: how many at a time of
    those that are no validators. ``quorum_lost``: restart_all where a person
    asked for that; the hosts of chains that stand still are then in ``restart_all``.
    """
    if quorum_lost not in ("refuse", "restart_all"):
        raise FleetError(f"quorum_lost: {quorum_lost!r} is unknown; give refuse or restart_all")
    hosts = list(seen)
    rows = [_with_look(row, look or {}) for row in read_fleet(seen, described)]
    stalled = [row for row in rows if row.verdict == STALLED]
    together = _stalled_hosts(rows) if quorum_lost == "restart_all" else []
    needy = sorted(
        {row.host for row in rows if row.verdict == IN_NEED} - set(together), key=lambda host: _order(host, rows, hosts)
    )
    blind = [host for host in hosts if any(row.host == host and row.verdict == UNKNOWN for row in rows)]
    refusal = _refusal(len({*needy, *blind}) if needy else 0, len(hosts), max_unhealthy)
    if stalled and not together:
        refusal = _stall_refusal(stalled, rows)
    chain = chain_lines(rows, look or {})
    return {
        "hosts": [] if refusal else needy,
        "batches": [] if refusal else batches([_votes(host, rows) for host in needy], serial),
        "restart_all": [] if refusal else together,
        "in_need": [*together, *needy],
        "unknown": blind,
        "refusal": refusal,
        "rows": [_shown(row) for row in rows],
        "lines": _plan_lines(rows, needy, blind, hosts, refusal, together) + (["", *chain] if chain else []),
    }


def _refusal(unhealthy: int, hosts: int, max_unhealthy: t.Any) -> str:
    allowed = allowed_in_need(max_unhealthy, hosts)
    if unhealthy <= allowed:
        return ""
    return (
        f"{unhealthy} of {hosts} hosts are in need or unknown, more than max_unhealthy={max_unhealthy} "
        f"({allowed}). A fault of so many is seldom mended host by host: look for what they share. "
        f"To go on all the same, raise lifecycle_max_unhealthy for this run"
    )


def _order(host: str, rows: t.Sequence[Row], hosts: t.Sequence[str]) -> tuple[t.Any, ...]:
    """Down already, then no validators, then validators."""
    mine = [row for row in rows if row.host == host and row.verdict == IN_NEED]
    votes = any(row.may_vote for row in mine)
    risk = max(0 if row.down else 2 if row.may_vote else 1 for row in mine)
    return (risk, min(_RANK.get(row.state, 3) for row in mine), votes, hosts.index(host))


def _votes(host: str, rows: t.Sequence[Row]) -> bool:
    return any(row.may_vote for row in rows if row.host == host and row.verdict == IN_NEED)


def batches(votes: t.Sequence[bool], serial: t.Any) -> list[int]:
    """How many of the hosts at a time, in their order: one where it may be a validator, else as ``serial`` says.

    ``serial`` as in a play: a number, a share such as ``30%``, or a list of these of which the last goes on.
    """
    given = list(serial) if isinstance(serial, (list, tuple)) else [serial]
    sizes = [_size(one, len(votes)) for one in given or [1]]
    found: list[int] = []
    start = 0
    while start < len(votes):
        size = sizes.pop(0) if len(sizes) > 1 and not votes[start] else sizes[0]
        free = next((i for i, vote in enumerate(votes[start:]) if vote), len(votes) - start)
        found.append(1 if votes[start] else min(size, free))
        start += found[-1]
    return found


def _size(given: t.Any, hosts: int) -> int:
    text = str(given).strip()
    number = re.fullmatch(r"(\d{1,9})(%?)", text)
    if number is None:
        raise FleetError(f"serial: {given!r} is neither a number of hosts nor a share; give 2 or 30%")
    size = int(number[1]) * hosts // 100 if number[2] else int(number[1])
    return max(size, 1) if number[2] or size else hosts


def _with_look(row: Row, look: t.Mapping[str, t.Any]) -> Row:
    """A chain stands still where nobody sees it go on, and a node that says otherwise is in need itself.

    The last validator that is left of a chain says that it has no peers.
    """
    network = _besu_networks.find_network(look, _genesis(row)) or {}
    if row.verdict == STALLED:
        return replace(row, verdict=IN_NEED) if network.get("advances") else row
    last = row.verdict == IN_NEED and not row.down and row.observation.get("cause") == "no_peers" and _stall(row)
    return replace(row, verdict=STALLED) if last and network.get("stalled") else row


def _stalled_hosts(rows: t.Sequence[Row]) -> list[str]:
    """The hosts of chains that stand still: those that say so, and nodes in need that may be of the same chain."""
    chains = {_genesis(row) for row in rows if row.verdict == STALLED}
    if not chains:
        return []
    needy = [r for r in rows if r.kind == "besu" and r.verdict == IN_NEED and _genesis(r) in {None, *chains}]
    return list(dict.fromkeys(row.host for row in rows if row.verdict == STALLED or row in needy))


def _genesis(row: Row) -> str | None:
    return (row.observation.get("besu") or {}).get("genesis")


def _names(rows: t.Sequence[Row]) -> dict[str, str]:
    told = [(row, (row.observation.get("besu") or {}).get("address")) for row in rows]
    return {address: row.host for row, address in told if address}


def chain_lines(rows: t.Sequence[Row], look: t.Mapping[str, t.Any]) -> list[str]:
    """The arithmetic of each network; of those that stand still also what the node says that knows most of it."""
    names = _names(rows)
    best = _best([row for row in rows if row.verdict == STALLED])
    silent = ", ".join(row.host for row in rows if row.kind == "besu" and row.verdict in (IN_NEED, UNKNOWN))
    unnamed = f"one of {silent}" if silent else "on no host that answered"
    stalls = [line for row in best.values() for line in _one_stall(row, names, unnamed)]
    return _besu_networks.network_lines(look, names) + stalls


def _best(stalled: t.Sequence[Row]) -> dict[str | None, Row]:
    """chain -> the node whose log knows most of the rounds, and the longest way."""
    found: dict[str | None, Row] = {}
    for row in sorted(stalled, key=lambda row: _knowledge(_stall(row))):
        found[_genesis(row)] = row
    return found


def _stall(row: Row) -> t.Mapping[str, t.Any]:
    return (row.observation.get("besu") or {}).get("stall") or {}


def _knowledge(stall: t.Mapping[str, t.Any]) -> tuple[t.Any, ...]:
    return (bool(stall), stall.get("round") or 0, stall.get("natural") or 0)


def _one_stall(row: Row, names: t.Mapping[str, str], unnamed: str) -> list[str]:
    stall = _stall(row)
    if not stall:
        return [f"The chain of {row.host} stands still: {row.why}"]
    lines = [f"The chain of {row.host} stands still: {stall['why']}"]
    lines += [f"  missing {one} ({names.get(one, unnamed)})" for one in stall["missing"]]
    rounds = [f"{names.get(one, one)} in {number}" for one, number in sorted(stall["rounds"].items())]
    if rounds:
        lines.append(f"  rounds: {', '.join(rounds)}")
    return [*lines, f"  {stall['advice']}"]


def _stall_refusal(stalled: t.Sequence[Row], rows: t.Sequence[Row]) -> str:
    said = "; ".join(f"{stall['why']}; {stall['advice']}" for stall in map(_stall, _best(stalled).values()) if stall)
    down = [row.host for row in rows if row.kind == "besu" and row.verdict in (IN_NEED, UNKNOWN)]
    missing = f" In need or unknown: {', '.join(down)}." if down else ""
    return (
        f"a chain stands still ({said or stalled[0].why}).{missing} Nothing done at one node mends it. "
        f"lifecycle_quorum_lost=restart_all starts who is missing, and then restarts the validators together"
    )


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
    rows: t.Sequence[Row],
    needy: t.Sequence[str],
    blind: t.Sequence[str],
    hosts: t.Sequence[str],
    refusal: str,
    together: t.Sequence[str],
) -> list[str]:
    lines = [f"{len(needy)} of {len(hosts)} hosts need recovery" + (f", {len(blind)} unknown" if blind else "")]
    if not rows:
        lines.append(NO_SERVICES)
    shown = [row for row in rows if row.verdict != OK]
    table = [("HOST", "SERVICE", "STATE", "PLAN", "WHY")]
    first = [*together, *needy]
    for host in [*first, *(h for h in hosts if h not in first)]:
        for row in shown:
            if row.host == host:
                intent = "restart all" if host in together else _intent(row, refusal)
                table.append((row.host, row.label, row.state, intent, why(row)))
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
    return {ON_ITS_WAY: "wait", HELD: "leave (held)", UNKNOWN: "leave", STALLED: "leave"}.get(row.verdict, "-")
