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
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._chain_report import (
    StallView,
    best_informed,
    chain_lines,
    genesis_of,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import (
    CHAIN_STALLED,
    NEEDS_RECOVERY,
    NO_SERVICES,
    UNKNOWN,
    FleetError,
    Row,
    read_fleet,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._plan_text import PlannedRow, plan_lines, planned_row
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import ServiceResult, as_mappings
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import WIDTH, count

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


class Refusal(t.NamedTuple):
    """Why the run does not touch anything."""

    guard: str
    reason: str


def recovery_plan(
    seen: t.Mapping[str, t.Any],
    described: t.Mapping[str, t.Any],
    max_unhealthy: t.Any = "50%",
    look: t.Mapping[str, t.Any] | None = None,
    quorum_lost: str = "refuse",
    serial: t.Any = 1,
    foreseen: t.Mapping[str, t.Any] | None = None,
    width: int = WIDTH,
) -> dict[str, t.Any]:
    """Whom to recover, in which order and how many at a time, or why nobody.

    Hosts that cannot be observed count as unhealthy and are not acted on:
    what cannot be seen cannot be recovered, and may be a sign of a larger fault.
    ``look``: what besu_network_info returned. ``serial``: how many at a time of
    those that are no validators. ``quorum_lost``: restart_all where a person
    asked for that; the hosts of stalled chains are then in ``restart_all``.
    ``foreseen``: host -> the results of dry runs there.
    """
    if quorum_lost not in ("refuse", "restart_all"):
        raise FleetError(f"quorum_lost: {quorum_lost!r} is unknown; give refuse or restart_all")
    hosts = list(seen)
    rows = [_with_look(row, look or {}) for row in read_fleet(seen, described)]
    stalled = [row for row in rows if row.verdict == CHAIN_STALLED]
    together = _stalled_hosts(rows) if quorum_lost == "restart_all" else []
    needy = sorted(
        {row.host for row in rows if row.verdict == NEEDS_RECOVERY} - set(together),
        key=lambda host: _order(host, rows, hosts),
    )
    blind = [host for host in hosts if any(row.host == host and row.verdict == UNKNOWN for row in rows)]
    refusal = _refusal(len({*needy, *blind}) if needy else 0, len(hosts), max_unhealthy)
    if stalled and not together:
        refusal = _stall_refusal(stalled, rows)
    chain = chain_lines(rows, look or {})
    planned = _planned(rows, foreseen or {}, together)
    order = [*together, *needy]
    lines = plan_lines(planned, order, hosts, refusal.reason if refusal else "", width)
    lines = lines if rows else [*lines, NO_SERVICES]
    return {
        "hosts": [] if refusal else needy,
        "batches": [] if refusal else batches([_votes(host, rows) for host in needy], serial),
        "restart_all": [] if refusal else together,
        "in_need": order,
        "unknown": blind,
        "stalled": list(dict.fromkeys(row.host for row in stalled)),
        "refusal": refusal.reason if refusal else "",
        "guard": refusal.guard if refusal else "",
        "rows": [_shown(one) for one in planned],
        "lines": lines + (["", *chain] if chain else []),
    }


def _planned(rows: t.Sequence[Row], foreseen: t.Mapping[str, t.Any], together: t.Container[str]) -> list[PlannedRow]:
    left = {host: [ServiceResult.from_dict(one) for one in as_mappings(some)] for host, some in foreseen.items()}
    found: list[PlannedRow] = []
    for row in rows:
        mine = left.get(row.host, [])
        result = next((one for one in mine if one.name == row.service), None)
        if result is not None and row.verdict == NEEDS_RECOVERY:
            mine.remove(result)  # one of the same name in the other scope has a result of its own
        found.append(planned_row(row, result, row.host in together))
    return found


def _refusal(unhealthy: int, hosts: int, max_unhealthy: t.Any) -> Refusal | None:
    allowed = allowed_in_need(max_unhealthy, hosts)
    if unhealthy <= allowed:
        return None
    return Refusal(
        "max_unhealthy",
        f"{unhealthy} of {count(hosts, 'host')} need recovery or are unknown, more than "
        f"lifecycle_max_unhealthy={max_unhealthy} ({allowed}). A failure of this many usually has a common cause; find "
        f"it before recovering host by host. To go on all the same, raise lifecycle_max_unhealthy for this run",
    )


def _order(host: str, rows: t.Sequence[Row], hosts: t.Sequence[str]) -> tuple[t.Any, ...]:
    """Down already, then no validators, then validators."""
    mine = [row for row in rows if row.host == host and row.verdict == NEEDS_RECOVERY]
    votes = any(row.may_vote for row in mine)
    risk = max(0 if row.down else 2 if row.may_vote else 1 for row in mine)
    return (risk, min(_RANK.get(row.state, 3) for row in mine), votes, hosts.index(host))


def _votes(host: str, rows: t.Sequence[Row]) -> bool:
    return any(row.may_vote for row in rows if row.host == host and row.verdict == NEEDS_RECOVERY)


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
    """A chain is stalled where nobody sees it advance; a node that says otherwise needs recovery itself.

    The last validator that is left of a chain says that it has no peers.
    """
    network = _besu_networks.find_network(look, genesis_of(row)) or {}
    if row.verdict == CHAIN_STALLED:
        return replace(row, verdict=NEEDS_RECOVERY) if network.get("advances") else row
    alone = row.verdict == NEEDS_RECOVERY and not row.down and row.observation.cause == "no_peers"
    return replace(row, verdict=CHAIN_STALLED) if alone and StallView.of(row) and network.get("stalled") else row


def _stalled_hosts(rows: t.Sequence[Row]) -> list[str]:
    """The hosts of stalled chains: those that say so, and nodes in need that may be of the same chain."""
    chains = {genesis_of(row) for row in rows if row.verdict == CHAIN_STALLED}
    if not chains:
        return []
    needy = [
        row for row in rows if row.in_network and row.verdict == NEEDS_RECOVERY and genesis_of(row) in {None, *chains}
    ]
    return list(dict.fromkeys(row.host for row in rows if row.verdict == CHAIN_STALLED or row in needy))


def _stall_refusal(stalled: t.Sequence[Row], rows: t.Sequence[Row]) -> Refusal:
    told = [stall for stall in map(StallView.of, best_informed(rows)) if stall]
    said = "; ".join(f"{stall.why}; {stall.advice}" for stall in told) or stalled[0].why
    down = [row.host for row in rows if row.in_network and row.verdict in (NEEDS_RECOVERY, UNKNOWN)]
    missing = f" In need or unknown: {', '.join(down)}." if down else ""
    return Refusal(
        "chain_stalled",
        f"a chain is stalled ({said}).{missing} No action on a single node helps. "
        f"lifecycle_quorum_lost=restart_all starts the missing validators, then restarts all of them at the same time",
    )


def _shown(planned: PlannedRow) -> dict[str, t.Any]:
    row = planned.row
    return {
        "host": row.host,
        "service": row.service,
        "kind": row.kind,
        "state": row.state,
        "desired": row.desired,
        "verdict": row.verdict,
        "cause": row.cause,
        "plan": planned.verb,
        "guard": planned.guard,
        "why": planned.why,
    }
