# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of a sync wait on many hosts, as text and as data. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import duration, known_causes, render

_HEADS = ("HOST", "SERVICE", "OUTCOME", "STATE", "HEAD", "LAG", "WAITED", "BLOCKS/S", "WHY")
_BAD = ("refused", "failed", "unreachable")


def sync_summary(results: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A row for each node. ``results``: ``host/service`` -> what besu_node returned there."""
    rows: list[tuple[str, ...]] = [_HEADS]
    hints: list[str] = []
    outcome: dict[str, list[str]] = {}
    failed: dict[str, list[str]] = {}
    for key, result in results.items():
        host, _slash, service = key.partition("/")
        word = _outcome(result)
        outcome.setdefault(word, []).append(key)
        rows.append((host, service, word, *_measures(result), _why(result, word)))
        if word in _BAD:
            failed.setdefault(host, []).append(f"{service}: {_why(result, word)}")
            hints += [f"  next for {host} {service}: {hint}" for hint in _hints(result)]
    counts = ", ".join(f"{len(keys)} {word}" for word, keys in outcome.items())
    table = render(rows) if results else []
    return {
        "lines": [*table, *hints, "", f"Summary: {counts or 'no Besu node was found'}"],
        "outcome": outcome,
        "failed": failed,
    }


def _outcome(result: t.Mapping[str, t.Any]) -> str:
    if result.get("unreachable"):
        return "unreachable"
    if not result.get("reached"):
        return "refused" if result.get("blocked_by") and not result.get("changed") else "failed"
    steps = result.get("transitions") or ()
    if any(not step.get("applied", True) for step in steps):
        return "planned"
    return "now in sync" if steps or result.get("changed") else "in sync"


def _measures(result: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """State, head, lag, seconds waited, and blocks a second over the whole of it."""
    after = (result.get("after") or {}).get("besu") or {}
    waited, head = result.get("duration"), after.get("head")
    imported = (result.get("progress") or {}).get("imported")
    return (
        str(result.get("state") or "-"),
        "-" if head is None else str(head),
        "-" if after.get("lag") is None else str(after["lag"]),
        duration(waited),
        f"{imported / waited:.1f}" if imported is not None and waited else "-",
    )


def _why(result: t.Mapping[str, t.Any], word: str) -> str:
    after = result.get("after") or {}
    cause = after.get("cause")
    if word not in _BAD:
        return str(cause or "")
    # A loop of restarts, for example, has a cause of its own.
    first = next(iter(known_causes(result)), None)
    if first and first["id"] != cause:
        return ": ".join([first["id"], first["summary"], *first.get("evidence", ())[:1]])
    if not cause:
        return str(result.get("msg") or "no reason given")
    return f"{cause}: {'; '.join((after.get('reasons') or ())[:2])}"


def _hints(result: t.Mapping[str, t.Any]) -> list[str]:
    hints = [block["hint"] for block in result.get("blocked_by") or () if block.get("hint")]
    return [*[cause["next_step"] for cause in known_causes(result)], *hints][:2]
