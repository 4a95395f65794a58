# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports stalled chains and the quorum arithmetic of the networks of a fleet, as text. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _besu_networks
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import (
    CHAIN_STALLED,
    NEEDS_RECOVERY,
    UNKNOWN,
    Row,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    as_mapping,
    as_number,
    as_text,
    as_texts,
)


@dataclass(frozen=True)
class StallView:
    """What a node's log shows about the rounds of a stalled chain."""

    why: str
    advice: str
    missing: tuple[str, ...]
    rounds: t.Mapping[str, float | None]
    round: float
    natural: float

    @classmethod
    def of(cls, row: Row) -> StallView | None:
        data = as_mapping(row.observation.details.get("stall"))
        if not data:
            return None
        return cls(
            why=as_text(data.get("why")),
            advice=as_text(data.get("advice")),
            missing=as_texts(data.get("missing")),
            rounds={str(who): as_number(number) for who, number in as_mapping(data.get("rounds")).items()},
            round=as_number(data.get("round")) or 0,
            natural=as_number(data.get("natural")) or 0,
        )


def genesis_of(row: Row) -> str | None:
    """The hash of block 0 of the node's chain, where it tells that."""
    return as_text(row.observation.details.get("genesis")) or None


def chain_lines(rows: t.Sequence[Row], network_info: t.Mapping[str, t.Any]) -> list[str]:
    """The arithmetic of each network; of stalled ones also what the node reports that knows most of it."""
    reported = [(as_text(row.observation.details.get("address")), row.host) for row in rows]
    names = {address: host for address, host in reported if address}
    silent = ", ".join(row.host for row in rows if row.in_network and row.verdict in (NEEDS_RECOVERY, UNKNOWN))
    unnamed = f"one of {silent}" if silent else "on no host that answered"
    stalls = [line for row in best_informed(rows) for line in _one_stall(row, names, unnamed)]
    return _besu_networks.network_lines(network_info, names) + stalls


def best_informed(rows: t.Sequence[Row]) -> list[Row]:
    """For each stalled chain the node whose log knows most of the rounds, and the longest way."""
    found: dict[str | None, Row] = {}
    for row in sorted((row for row in rows if row.verdict == CHAIN_STALLED), key=_knowledge):
        found[genesis_of(row)] = row
    return list(found.values())


def _knowledge(row: Row) -> tuple[t.Any, ...]:
    stall = StallView.of(row)
    return (stall is not None, stall.round if stall else 0, stall.natural if stall else 0)


def _one_stall(row: Row, names: t.Mapping[str, str], unnamed: str) -> list[str]:
    stall = StallView.of(row)
    if stall is None:
        return [f"The chain of {row.host} is stalled: {row.why}"]
    lines = [f"The chain of {row.host} is stalled: {stall.why}"]
    lines += [f"  missing {one} ({names.get(one, unnamed)})" for one in stall.missing]
    rounds = [
        f"{names.get(one, one)} in {number:.0f}" for one, number in sorted(stall.rounds.items()) if number is not None
    ]
    if rounds:
        lines.append(f"  rounds: {', '.join(rounds)}")
    return [*lines, f"  {stall.advice}"]
