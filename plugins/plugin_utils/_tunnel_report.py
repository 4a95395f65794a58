# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Summarizes a reconnect, tunnel by tunnel, as text and as data. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _outcomes as o
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    ServiceResult,
    as_mapping,
    as_mappings,
    as_text,
    as_texts,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tunnel_plan import (
    HEALTHY,
    NEEDS_RECOVERY,
    NOT_KNOWN,
    SKIPPED,
    UNKNOWN,
    connector_id,
    head,
)

# The outcomes with which a connector serves.
_GOOD = (o.HEALTHY, o.RECOVERED, o.SELF_RECOVERED)
# The outcome of a connector that no module was run for, by what was seen of it last.
_OUTCOMES = {HEALTHY: o.HEALTHY, NEEDS_RECOVERY: o.FAILED, SKIPPED: o.SKIPPED, UNKNOWN: o.UNKNOWN}

_WORDS = ("key", "host", "service", "state", "verdict", "cause", "why", "connector_id", "tunnel", "not_asked")


@dataclass(frozen=True)
class ConnectorView:
    """A connector as a plan shows it."""

    key: str
    host: str
    service: str
    state: str
    verdict: str
    cause: str
    why: str
    connector_id: str = ""
    tunnel: str = ""
    not_asked: str = ""
    connections: t.Any = None
    expected: t.Any = None

    @classmethod
    def from_dict(cls, data: t.Mapping[str, t.Any]) -> ConnectorView:
        words = {name: as_text(data.get(name)) for name in _WORDS}
        return cls(**words, connections=data.get("connections"), expected=data.get("expected_connections"))

    @property
    def serves(self) -> str:
        """Its state, and how many connections it has."""
        return (
            self.state
            if self.connections is None
            else f"{self.state}, {self.connections} of {self.expected} connections"
        )

    @property
    def because(self) -> str:
        return f"{self.state}, {self.cause + ': ' if self.cause else ''}{self.why}"


def tunnel_summary(
    plan: t.Mapping[str, t.Any],
    results: t.Mapping[str, t.Any],
    after: t.Mapping[str, t.Any],
    edge: t.Any = None,
    check_mode: bool = False,
) -> dict[str, t.Any]:
    """The summary, a block for each tunnel.

    ``plan``: the first plan; ``results``: ``host/service`` -> what cloudflared_tunnel returned;
    ``after``: a plan of what was seen at the end; ``edge``: what cloudflare_tunnel_info returned then, or its failure.
    """
    done = {key: ServiceResult.from_dict(one) for key, one in results.items() if isinstance(one, t.Mapping)}
    asked = _EdgeWord(edge, as_text(after.get("account")))
    blocks = [_block(tunnel, done, _End(after), asked) for tunnel in plan["tunnels"]]
    entries = [entry for block in blocks for entry in block.entries]
    unserved = _unserved(after["tunnels"])
    problem = _edge_problem(as_mapping(edge))
    return {
        "lines": [
            *(line for block in blocks for line in block.lines),
            *([f"Tunnels without a connector: {', '.join(unserved)}"] if unserved else []),
            *([f"Edge side: {problem}"] if problem else []),
            "",
            asked.proof,
            f"Summary: {o.counted(entries) or 'no connector was found'}",
        ],
        "outcome": o.artifact("tunnel_reconnect", entries, check_mode),
        "unserved": unserved,
        "failed": [f"{entry.host}/{entry.service or '-'}" for entry in entries if entry.outcome in o.BAD],
        "edge_problem": problem,
        "ghosts": _ghosts(done.values(), as_mapping(edge)),
    }


class _End:
    """What was seen at the end."""

    def __init__(self, after: t.Mapping[str, t.Any]) -> None:
        self._tunnels: dict[str, t.Mapping[str, t.Any]] = {tunnel["id"]: tunnel for tunnel in after["tunnels"]}
        self._connectors = {one.key: one for tunnel in after["tunnels"] for one in _connectors(tunnel)}

    def tunnel(self, identity: str) -> t.Mapping[str, t.Any]:
        """A tunnel; the edge says nothing of one that was not seen again."""
        return self._tunnels.get(identity, {"edge_status": None})

    def connector(self, one: ConnectorView) -> ConnectorView:
        return self._connectors.get(one.key) or _unseen(one, self._connectors)


class _Block(t.NamedTuple):
    """A tunnel in the summary."""

    entries: list[o.OutcomeEntry]
    lines: list[str]


def _block(tunnel: t.Mapping[str, t.Any], done: t.Mapping[str, ServiceResult], end: _End, asked: _EdgeWord) -> _Block:
    shown = _connectors(tunnel)
    entries = [asked.proved(*_entry(one, done.get(one.key), end.connector(one))) for one in shown]
    observed = {"elsewhere": 0, "edge_status": None, **tunnel, **end.tunnel(tunnel["id"])}
    healthy = sum(entry.outcome in _GOOD for entry in entries)
    lines = [head({**observed, "healthy": healthy, "connectors": tunnel["connectors"]})]
    for entry, one in zip(entries, shown, strict=True):
        lines += _lines(entry, one.service, done.get(one.key))
    return _Block(entries, lines)


def _unserved(tunnels: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """The names of known tunnels that no connector serves."""
    known = [tunnel for tunnel in tunnels if tunnel["name"] != NOT_KNOWN]
    return [tunnel["name"] for tunnel in known if not tunnel["healthy"] + tunnel["elsewhere"]]


class _EdgeWord:
    """What the edge has to say for a connector that its host calls well."""

    def __init__(self, edge: t.Any, account: str) -> None:
        self._edge = as_mapping(edge)
        self._configured = bool(account or self._edge)
        self._answered = "tunnels" in self._edge
        self._missing = set(as_texts(self._edge.get("not_found")))
        self._lost = set(as_texts(self._edge.get("lost_hosts")))

    @property
    def proof(self) -> str:
        """Which proof was used, as a line of the summary."""
        if not self._configured:
            return "Proof: what each host says (/ready); the edge was not asked, because no account is given"
        return "Proof: what each host says (/ready), and what the edge knows of its connector"

    def proved(self, entry: o.OutcomeEntry, end: ConnectorView) -> o.OutcomeEntry:
        """The entry, which is no success where the edge was to be asked and did not confirm it."""
        if entry.outcome not in _GOOD or not self._configured:
            return entry
        why = self._doubt(end)
        if not why:
            return entry
        reason = f"its host says {end.serves}, and the edge does not confirm it: {why}"
        return replace(entry, outcome=o.UNKNOWN, reason=reason)

    def _doubt(self, end: ConnectorView) -> str:
        if end.not_asked:
            return end.not_asked
        if not self._answered:
            return f"it could not be asked: {as_text(self._edge.get('msg')) or 'it gave no answer'}"
        if end.tunnel in self._missing:
            return f"the account has no tunnel {end.tunnel}"
        if end.key in self._lost:
            return f"it does not know connector {end.connector_id}"
        return ""


def _connectors(tunnel: t.Mapping[str, t.Any]) -> list[ConnectorView]:
    return [ConnectorView.from_dict(one) for one in as_mappings(tunnel.get("connectors"))]


def _entry(
    one: ConnectorView, result: ServiceResult | None, last: ConnectorView
) -> tuple[o.OutcomeEntry, ConnectorView]:
    """How a connector ended, and what was seen of it last."""
    outcome, reason = _untouched(one, last) if result is None else _driven(result, last)
    guard = result.refusals[0].guard if result and result.refusals and outcome == o.REFUSED else ""
    service = "" if one.service == "-" else one.service
    return o.OutcomeEntry(one.host, service, "cloudflared" if service else "", outcome, reason, guard), last


def _lines(entry: o.OutcomeEntry, service: str, result: ServiceResult | None) -> list[str]:
    reason = f": {entry.reason}" if entry.reason else ""
    hints = result.hints[:2] if result and not result.reached else ()
    return [
        f"  {entry.host} {service}: {o.shown(entry.outcome).upper()}{reason}",
        *(f"    next: {hint}" for hint in hints),
    ]


def _untouched(one: ConnectorView, last: ConnectorView) -> tuple[str, str]:
    """The outcome of a connector that no module was run for, and the reason."""
    if one.verdict == HEALTHY:
        if last.verdict == HEALTHY:
            return o.HEALTHY, ""
        return _OUTCOMES[last.verdict], f"it was healthy, and then {last.because}"
    if one.verdict != NEEDS_RECOVERY:
        return _OUTCOMES[one.verdict], one.because
    if last.verdict == HEALTHY:
        return o.SELF_RECOVERED, last.serves
    return (o.UNKNOWN if last.verdict == UNKNOWN else o.NOT_ATTEMPTED), last.because


def _driven(result: ServiceResult, last: ConnectorView) -> tuple[str, str]:
    """The outcome of a connector that was driven, and the reason."""
    if result.unreachable:
        return o.UNKNOWN, f"the host was lost: {result.msg or 'no answer'}"
    outcome = o.outcome_of(result)
    if not result.reached:  # a task may have been told not to fail
        return outcome, result.msg or "no reason given"
    if outcome == o.PLANNED:
        acts = [step.action for step in result.steps if not step.applied and step.acts]
        return outcome, ", ".join(acts) or "wait for it"
    if result.handover == "pending":
        return o.RESTART_SCHEDULED, "the host restarts it; run again to see how it went"
    if result.handover == "failed":
        return o.FAILED, "the restart that was left to the host did not bring it back"
    if last.verdict in (NEEDS_RECOVERY, UNKNOWN):
        return _OUTCOMES[last.verdict], f"it was back, and then {last.because}"
    return _back(result, last)


def _back(result: ServiceResult, last: ConnectorView) -> tuple[str, str]:
    """The outcome of a connector that serves again."""
    spent = "" if result.duration is None else f", {result.duration:.0f} s"
    if result.changed or result.handover == "verified":
        before, now = connector_id(result.before) or "none", connector_id(result.after) or "unknown"
        return o.RECOVERED, f"{last.serves}{spent}, connector {before} -> {now}"
    return o.SELF_RECOVERED, f"{last.serves}{spent}"


def _unseen(one: ConnectorView, last: t.Mapping[str, ConnectorView]) -> ConnectorView:
    """A connector that was not observed at the end: what was seen of it before says nothing of now."""
    host = last.get(f"{one.host}/-")
    why = (host.why if host else "") or "was not observed at the end"
    return ConnectorView(one.key, one.host, one.service, m.UNKNOWN, UNKNOWN, "", why)


def _ghosts(results: t.Iterable[ServiceResult], edge: t.Mapping[str, t.Any]) -> list[dict[str, str]]:
    """What the edge still tracks of connectors that a restart has replaced."""
    ids = [(connector_id(result.before), connector_id(result.after)) for result in results]
    replaced = {before for before, after in ids if after and after != before}
    return [
        {"tunnel_id": tunnel["id"], "connector_id": ghost}
        for tunnel in as_mappings(edge.get("tunnels"))
        for ghost in as_texts(tunnel.get("ghosts"))
        if ghost in replaced
    ]


def _edge_problem(edge: t.Mapping[str, t.Any]) -> str:
    if edge.get("skipped"):
        return ""
    # Where it was asked until it would know all of them, Ansible calls the last answer a failure.
    lost, missing = as_texts(edge.get("lost_hosts")), as_texts(edge.get("not_found"))
    unknown = [f"the connectors of {', '.join(lost)}"] if lost else []
    unknown += [f"the tunnels {', '.join(missing)} in this account"] if missing else []
    if unknown:
        return f"does not know {' and '.join(unknown)}"
    unanswered = edge.get("failed") or edge.get("unreachable")
    return f"could not be asked: {as_text(edge.get('msg')) or 'no reason'}" if unanswered else ""
