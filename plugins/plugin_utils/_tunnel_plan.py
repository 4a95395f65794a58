# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloudflare tunnels as the controller sees them: which connectors belong together, whose turn it is, what came of it.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import CONNECTED
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import Row, read_fleet

HEALTHY = "healthy"
IN_NEED = "in need"
LEFT = "left alone"
UNKNOWN = "unknown"

_SERVING = (CONNECTED, m.RUNNING)
# What is down already comes first; who still tries to connect uses the time of the others for that.
_RANK = {m.STOPPED: 0, m.ERROR: 1}
# A connector that has just registered may not be in the API's answer yet, in seconds.
_SETTLED = 60.0
_NOT_KNOWN = "not known"
# What is said of one that was well once, by what is seen of it at the end.
_FELL = {IN_NEED: "failed", UNKNOWN: "unknown", LEFT: LEFT}
# The outcomes with which a connector serves.
_GOOD = (HEALTHY, "reconnected", "came back")
# Begins what stands for the tunnel of a connector that does not tell which one it is.
_OF = "of "
# The states of a tunnel in the API's words; ``connectors`` counts those that have connections.
EdgeView = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Replica:
    """One connector of one host. ``lost``: it says that it is connected, and the edge does not know it."""

    row: Row
    tunnel: str
    verdict: str
    lost: bool = False

    @property
    def key(self) -> str:
        return f"{self.row.host}/{self.row.service}"

    @property
    def details(self) -> t.Mapping[str, t.Any]:
        details = self.row.observation.get("cloudflared")
        return details if isinstance(details, dict) else {}

    @property
    def connector_id(self) -> str:
        return _connector_id(self.row.observation)

    @property
    def identified(self) -> bool:
        """Whether its tunnel is known, so that the edge can be asked about it."""
        return not self.tunnel.startswith(_OF)

    @property
    def why(self) -> str:
        return "the edge does not know it any more" if self.lost else self.row.why

    @property
    def cause(self) -> str:
        return "half_open" if self.lost else self.row.cause


def tunnel_plan(
    seen: t.Mapping[str, t.Any],
    described: t.Mapping[str, t.Any] | None = None,
    edge: EdgeView | None = None,
    done: t.Sequence[str] = (),
    account: str = "",
) -> dict[str, t.Any]:
    """Whose turn it is: for each tunnel one connector that has no connection.

    ``seen``: host -> what service_info returned there; ``described``: host -> its services;
    ``edge``: what cloudflare_tunnel_info returned; ``done``: ``host/service`` that had their turn;
    ``account``: that which the edge is asked about.
    """
    replicas = _replicas(seen, described, edge or {})
    tunnels = [
        _tunnel(identity, replicas, edge or {}, account)
        for identity in dict.fromkeys(replica.tunnel for replica in replicas)
    ]
    waiting = {
        tunnel["id"]: [r for r in _in_order(replicas) if r.tunnel == tunnel["id"] and r.key not in done]
        for tunnel in tunnels
    }
    # One whose tunnel is not asked about would be missing from the answer, which proves nothing.
    asked = [r for r in replicas if r.identified and _of_account(r, account)]
    serving = [r for r in asked if r.connector_id and r.row.state in _SERVING]
    return {
        "tunnels": tunnels,
        "next": [_turn(queue[0], tunnel) for tunnel in tunnels for queue in [waiting[tunnel["id"]]] if queue],
        "rounds": max((len(queue) for queue in waiting.values()), default=0),
        "in_need": [replica.key for replica in replicas if replica.verdict == IN_NEED],
        "unknown": [replica.key for replica in replicas if replica.verdict == UNKNOWN],
        "ids": list(dict.fromkeys(replica.tunnel for replica in asked)),
        "connectors": {replica.key: replica.connector_id for replica in serving},
        "connector_tunnels": {replica.key: replica.tunnel for replica in serving},
        "account": account,
        "lines": _plan_lines(tunnels),
    }


def _of_account(replica: Replica, account: str) -> bool:
    """Whether its tunnel may be one of this account: a name alone tells of none."""
    own = str(replica.details.get("account_id") or "")
    return not (own and account) or own.lower() == account.lower()


def _replicas(seen: t.Mapping[str, t.Any], described: t.Mapping[str, t.Any] | None, edge: EdgeView) -> list[Replica]:
    asked = {host: result for host, result in seen.items() if not (isinstance(result, dict) and result.get("skipped"))}
    rows = [row for row in read_fleet(asked, described) if row.kind == "cloudflared" or not row.observation]
    lost = {str(identity) for identity in edge.get("lost") or ()}
    ids = _ids_by_name(rows, edge)
    return [_replica(row, lost, ids) for row in rows]


def _ids_by_name(rows: t.Sequence[Row], edge: EdgeView) -> dict[str, str]:
    """The id of each tunnel whose name somebody knows together with its id; a name of two tunnels names none."""
    told = [row.observation.get("cloudflared") or {} for row in rows]
    pairs = {(str(about["tunnel_name"]), str(about["tunnel_id"])) for about in told if _named_and_known(about)}
    pairs |= {(str(view["name"]), str(view["id"])) for view in edge.get("tunnels") or () if view.get("name")}
    names = [name for name, _identity in pairs]
    return {name: identity for name, identity in pairs if names.count(name) == 1}


def _named_and_known(about: t.Mapping[str, t.Any]) -> bool:
    return bool(about.get("tunnel_name") and about.get("tunnel_id"))


def _replica(row: Row, lost: t.Container[str], ids: t.Mapping[str, str]) -> Replica:
    details = row.observation.get("cloudflared") or {}
    name = str(details.get("tunnel_name") or "")
    known = details.get("tunnel_id") or ids.get(name, name)
    tunnel = str(known) if known else f"{_OF}{row.host}/{row.service}"
    serving = row.state in _SERVING
    if serving and known and details.get("connector_id") in lost and (row.age or 0.0) >= _SETTLED:
        return Replica(row, tunnel, LEFT if row.observation.get("hold") else IN_NEED, lost=True)
    if row.state == m.UNKNOWN:
        return Replica(row, tunnel, UNKNOWN)
    if serving:
        return Replica(row, tunnel, HEALTHY)
    left = row.wanted == m.STOPPED or row.observation.get("hold")
    return Replica(row, tunnel, LEFT if left else IN_NEED)


def _in_order(replicas: t.Sequence[Replica]) -> list[Replica]:
    needy = [replica for replica in replicas if replica.verdict == IN_NEED]
    return sorted(needy, key=lambda replica: _RANK.get(replica.row.state, 2))


def _tunnel(identity: str, every: t.Sequence[Replica], edge: EdgeView, account: str) -> dict[str, t.Any]:
    replicas = [replica for replica in every if replica.tunnel == identity]
    ours = {replica.connector_id for replica in every}
    view: t.Mapping[str, t.Any] = next((row for row in edge.get("tunnels") or () if row.get("id") == identity), {})
    named = next((str(r.details["tunnel_name"]) for r in replicas if r.details.get("tunnel_name")), "")
    return {
        "id": identity,
        "name": str(view.get("name") or named or (_NOT_KNOWN if identity.startswith(_OF) else identity)),
        "healthy": sum(1 for replica in replicas if replica.verdict == HEALTHY),
        # Connectors that serve and are not of this inventory keep the tunnel up as well. One of ours that the hosts do
        # not call healthy is a stranger to the edge, and no help to its tunnel.
        "elsewhere": sum(1 for stranger in view.get("strangers") or () if stranger not in ours),
        "edge_status": view.get("status"),
        "edge_healthy": view.get("healthy_connectors"),
        "connectors": [_shown(replica, account) for replica in replicas],
    }


def _shown(replica: Replica, account: str) -> dict[str, t.Any]:
    return {
        "key": replica.key,
        "host": replica.row.host,
        "service": replica.row.service,
        "state": replica.row.state,
        "verdict": replica.verdict,
        "cause": replica.cause,
        "why": replica.why,
        "connector_id": replica.connector_id,
        "connections": replica.details.get("connections"),
        "expected_connections": replica.details.get("expected_connections"),
        "tunnel": replica.tunnel,
        "not_asked": _not_asked(replica, account),
    }


def _not_asked(replica: Replica, account: str) -> str:
    """Why the edge cannot be asked about this connector; empty where it can."""
    if not replica.identified:
        problem = replica.details.get("identity_problem")
        source = replica.details.get("identity_source")
        why = f" ({problem}: {source})" if problem and source else f" ({problem})" if problem else ""
        return f"which tunnel it belongs to is not known{why}"
    if not _of_account(replica, account):
        return f"its tunnel belongs to account {replica.details.get('account_id')}, and the edge was asked of {account}"
    if not replica.connector_id:
        return "it does not tell its connector id: update cloudflared (2022.6 or newer)"
    return ""


def _turn(replica: Replica, tunnel: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {
        "key": replica.key,
        "host": replica.row.host,
        "service": replica.row.service,
        "tunnel": replica.tunnel,
        "healthy_replicas": tunnel["healthy"] + tunnel["elsewhere"],
        "edge_lost": [replica.connector_id] if replica.lost else [],
    }


def _plan_lines(tunnels: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    lines: list[str] = []
    for tunnel in tunnels:
        lines.append(_head(tunnel))
        for one in tunnel["connectors"]:
            said = f": {one['cause'] + ': ' if one['cause'] else ''}{one['why']}" if one["verdict"] != HEALTHY else ""
            lines.append(f"  {one['host']} {one['service']}: {one['state']}, {one['verdict']}{said}")
    return lines or ["no connector of a Cloudflare tunnel was found"]


def _head(tunnel: t.Mapping[str, t.Any]) -> str:
    total = len(tunnel["connectors"])
    named = "" if tunnel["name"] in (tunnel["id"], _NOT_KNOWN) else f" ({tunnel['id']})"
    edge = f", edge: {tunnel['edge_status']}, {tunnel['edge_healthy']} connectors" if tunnel["edge_status"] else ""
    more = f" and {tunnel['elsewhere']} elsewhere" if tunnel["elsewhere"] else ""
    return f"Tunnel {tunnel['name']}{named}: {tunnel['healthy']} of {total} connectors healthy{more}{edge}"


def tunnel_summary(
    plan: t.Mapping[str, t.Any], results: t.Mapping[str, t.Any], after: t.Mapping[str, t.Any], edge: t.Any = None
) -> dict[str, t.Any]:
    """What came of it, a block for each tunnel.

    ``plan``: the first plan; ``results``: ``host/service`` -> what cloudflared_tunnel returned;
    ``after``: a plan of what was seen at the end; ``edge``: what cloudflare_tunnel_info returned then, or its failure.
    """
    last = {one["key"]: one for tunnel in after["tunnels"] for one in tunnel["connectors"]}
    ends = {tunnel["id"]: tunnel for tunnel in after["tunnels"]}
    asked = _EdgeWord(edge, after.get("account") or "")
    lines: list[str] = []
    outcome: dict[str, list[str]] = {}
    for tunnel in plan["tunnels"]:
        rows: list[str] = []
        good = 0
        for one in tunnel["connectors"]:
            key = one["key"]
            end = last.get(key) or _unseen(one, last)
            word, said = asked.proved(*_outcome(one, results.get(key), end), end)
            good += word in _GOOD
            outcome.setdefault(word, []).append(key)
            rows.append(f"  {one['host']} {one['service']}: {word.upper()}{': ' + said if said else ''}")
            rows += [f"    next: {hint}" for hint in _hints(results.get(key))]
        seen = {"elsewhere": 0, "edge_status": None, **tunnel, **ends.get(tunnel["id"], {"edge_status": None})}
        lines += [_head({**seen, "healthy": good, "connectors": tunnel["connectors"]}), *rows]
    known = [tunnel for tunnel in after["tunnels"] if tunnel["name"] != _NOT_KNOWN]
    unserved = [tunnel["name"] for tunnel in known if not tunnel["healthy"] + tunnel["elsewhere"]]
    problem = _edge_problem(edge)
    lines += [f"Tunnels without a connector: {', '.join(unserved)}"] if unserved else []
    lines += [f"Edge side: {problem}"] if problem else []
    counts = ", ".join(f"{len(keys)} {word}" for word, keys in outcome.items())
    lines += ["", asked.proof, f"Summary: {counts or 'no connector was found'}"]
    return {
        "lines": lines,
        "outcome": outcome,
        "unserved": unserved,
        "failed": [key for word in ("refused", "failed", "unknown", "not tried") for key in outcome.get(word, ())],
        "edge_problem": problem,
        "ghosts": _ghosts(results, edge),
    }


class _EdgeWord:
    """What the edge has to say for a connector that its host calls well."""

    def __init__(self, edge: t.Any, account: str) -> None:
        self._edge: t.Mapping[str, t.Any] = edge if isinstance(edge, dict) else {}
        self._configured = bool(account or self._edge)
        self._answered = "tunnels" in self._edge
        self._missing = {str(name) for name in self._edge.get("not_found") or ()}
        self._lost = set(self._edge.get("lost_hosts") or ())

    @property
    def proof(self) -> str:
        """Which proof was used, as a line of the summary."""
        if not self._configured:
            return "Proof: what each host says (/ready); the edge was not asked, as no account is given"
        return "Proof: what each host says (/ready), and what the edge knows of its connector"

    def proved(self, word: str, said: str, end: t.Mapping[str, t.Any]) -> tuple[str, str]:
        """The outcome, which is no success where the edge was to be asked and did not confirm it."""
        if word not in _GOOD or not self._configured:
            return word, said
        why = self._doubt(end)
        return (
            (UNKNOWN, f"its host says {_held(end)}, and the edge does not confirm it: {why}") if why else (word, said)
        )

    def _doubt(self, end: t.Mapping[str, t.Any]) -> str:
        if end["not_asked"]:
            return str(end["not_asked"])
        if not self._answered:
            return f"it could not be asked: {self._edge.get('msg') or 'it gave no answer'}"
        if end["tunnel"] in self._missing:
            return f"the account has no tunnel {end['tunnel']}"
        if end["key"] in self._lost:
            return f"it does not know connector {end['connector_id']}"
        return ""


def _ghosts(results: t.Mapping[str, t.Any], edge: t.Any) -> list[dict[str, str]]:
    """What the edge still tracks of connectors that a restart has replaced."""
    ids = [
        (_connector_id(result.get("before")), _connector_id(result.get("after")))
        for result in results.values()
        if isinstance(result, dict)
    ]
    replaced = {before for before, after in ids if after and after != before}
    tunnels = (edge.get("tunnels") if isinstance(edge, dict) else None) or ()
    return [
        {"tunnel_id": tunnel["id"], "connector_id": ghost}
        for tunnel in tunnels
        for ghost in tunnel.get("ghosts") or ()
        if ghost in replaced
    ]


def _outcome(one: t.Mapping[str, t.Any], result: t.Any, last: t.Mapping[str, t.Any]) -> tuple[str, str]:
    if not isinstance(result, dict):
        if one["verdict"] == HEALTHY and last["verdict"] != HEALTHY:
            return _FELL[last["verdict"]], f"it was healthy, and then {_because(last)}"
        if one["verdict"] != IN_NEED:
            return one["verdict"], "" if one["verdict"] == HEALTHY else _because(one)
        if last["verdict"] == UNKNOWN:
            return "unknown", _because(last)
        came = last["verdict"] == HEALTHY
        return ("came back", _held(last)) if came else ("not tried", _because(last))
    if result.get("unreachable"):
        return "unknown", f"the host was lost: {result.get('msg') or 'no answer'}"
    if not result.get("reached"):  # a task may have been told not to fail
        refused = result.get("blocked_by") and not result.get("changed")
        return "refused" if refused else "failed", str(result.get("msg") or "no reason")
    steps = [step["action"] for step in result.get("transitions") or () if not step.get("applied", True)]
    if steps:
        return "planned", ", ".join(step for step in steps if step != "wait") or "wait for it"
    handover = result.get("handover") or {}
    if handover.get("outcome") == "pending":
        return "handed over", "the host restarts it; run again to see how it went"
    if handover.get("outcome") == "failed":
        return "failed", "the restart that was left to the host did not bring it back"
    if last["verdict"] in (IN_NEED, UNKNOWN):
        return _FELL[last["verdict"]], f"it was back, and then {_because(last)}"
    spent = f", {result['duration']:.0f} s" if isinstance(result.get("duration"), (int, float)) else ""
    before = _connector_id(result.get("before"))
    now = _connector_id(result.get("after"))
    if result.get("changed") or handover.get("outcome") == "verified":
        return "reconnected", f"{_held(last)}{spent}, connector {before or 'none'} -> {now or 'unknown'}"
    return "came back", f"by itself, {_held(last)}{spent}"


def _unseen(one: t.Mapping[str, t.Any], last: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A connector that was not observed at the end: what was seen of it before says nothing of now."""
    why = last.get(f"{one['host']}/-", {}).get("why") or "was not observed at the end"
    return {**one, "state": m.UNKNOWN, "verdict": UNKNOWN, "cause": "", "why": why, "connections": None}


def _connector_id(observation: t.Any) -> str:
    """Empty where it is not known; an old cloudflared does not tell it."""
    details = observation.get("cloudflared") if isinstance(observation, dict) else None
    found = str((details or {}).get("connector_id") or "")
    return "" if found == "unsupported" else found


def _held(one: t.Mapping[str, t.Any]) -> str:
    count = one.get("connections")
    if count is None:
        return str(one["state"])
    return f"{one['state']}, {count} of {one.get('expected_connections')} connections"


def _because(one: t.Mapping[str, t.Any]) -> str:
    return f"{one['state']}, {one['cause'] + ': ' if one['cause'] else ''}{one['why']}"


def _hints(result: t.Any) -> list[str]:
    if not isinstance(result, dict) or result.get("reached"):
        return []
    hints = [block["hint"] for block in result.get("blocked_by") or ()]
    causes = (result.get("diagnosis") or {}).get("causes") or ()
    return (hints or [cause["next_step"] for cause in causes if cause.get("id") != "unknown"])[:2]


def _edge_problem(edge: t.Any) -> str:
    if not isinstance(edge, dict) or edge.get("skipped"):
        return ""
    # Where it was asked until it would know all of them, Ansible calls the last answer a failure.
    unknown = [f"the connectors of {', '.join(edge['lost_hosts'])}"] if edge.get("lost_hosts") else []
    unknown += [f"the tunnels {', '.join(edge['not_found'])} in this account"] if edge.get("not_found") else []
    if unknown:
        return f"does not know {' and '.join(unknown)}"
    unanswered = edge.get("failed") or edge.get("unreachable")
    return f"could not be asked: {edge.get('msg') or 'no reason'}" if unanswered else ""
