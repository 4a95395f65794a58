# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a fleet over a window, as data. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

The shape is public: docs/schemas/lifecycle_report.json describes it, and a
change that breaks a reader raises VERSION. The page is made of this data and
of nothing else.
"""

from __future__ import annotations

import math
import statistics
import typing as t
from collections import Counter

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import drills
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _report_history as h
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import SHOWN, Row, read_fleet, usable_entries
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    UNREACHABLE,
    CauseView,
    as_mapping,
    as_mappings,
    as_number,
    as_text,
    as_texts,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._service_entry import split_entries
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import count, duration, window_text
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tunnel_plan import tunnel_plan

VERSION = 1
_MOST = 20  # of reasons, causes, alerts and the like of one service
_EVIDENCE = 5
# Services that are to be off, or that run to their end, say nothing of availability.
_NOT_TO_RUN = (m.STOPPED, m.SUCCEEDED)
# A host whose clock differs by more than this from the controller's is named, in seconds. An observation may be as old
# as the run is long, so that only a clock that is ahead, or far behind, can be told.
_AHEAD, _BEHIND = 5.0, 900.0

Data = dict[str, t.Any]


def report_data(
    observed: t.Mapping[str, t.Any],
    described: t.Mapping[str, t.Any],
    network_info: t.Any,
    window: float,
    now: float,
) -> Data:
    """The report.

    ``observed``: host -> what service_info returned there; ``described``: host ->
    its lifecycle_services; ``network_info``: what besu_network_info returned;
    ``window``: seconds; ``now``: seconds since the epoch, by the clock of the controller.
    """
    by_host = _observations(observed)
    services: list[Data] = []
    for row in read_fleet(observed, described):
        if row.is_host:
            services += _unobserved(row, described.get(row.host))
        else:
            services.append(_service(row, next(by_host[row.host], {}), window, now))
    hosts = _hosts(observed, services)
    return {
        "version": VERSION,
        "generated_at": round(now, 3),
        "window": {"begin": round(now - window, 3), "end": round(now, 3), "seconds": window},
        "summary": _summary(services, hosts, window),
        "hosts": hosts,
        "services": services,
        "chains": _chains(network_info),
        "chains_problem": _chains_problem(network_info),
        "tunnels": _tunnels(observed, described),
    }


def _observations(observed: t.Mapping[str, t.Any]) -> dict[str, t.Iterator[t.Any]]:
    """The observations of each host, in the order in which ``read_fleet`` has its rows."""
    found: dict[str, t.Iterator[t.Any]] = {}
    for host, result in observed.items():
        listed = as_mapping(result).get("services")
        found[host] = iter(listed if isinstance(listed, (list, tuple)) else ())
    return found


def _text(value: t.Any, limit: int = h.TEXT) -> str | None:
    return h.cut(as_text(value), limit) or None


def _service(row: Row, observation: t.Any, window: float, now: float) -> Data:
    given = as_mapping(observation)
    found = _bare(row.host, row.service, row.scope, row.kind, row.desired, row.why)
    history, reason = h.read_service_history(given.get("history"), row.kind, window)
    state = row.state if given else m.UNKNOWN
    attempts = as_mapping(given.get("attempts"))
    found.update(
        {
            "state": h.cut(state, h.NAME),
            "base_state": h.base_state(row.kind, state),
            "verdict": row.verdict,
            "cause": _text(row.cause, h.NAME),
            "since": as_number(given.get("since")),
            "age": row.age,
            "reasons": [h.cut(one) for one in row.observation.reasons[:_MOST]],
            "flags": [h.cut(one, h.NAME) for one in row.observation.flags[:_MOST]],
            "hold": _hold(given.get("hold")),
            "alerts": [_alert(one) for one in as_mappings(given.get("alerts"))[:_MOST]],
            "attempts": {"used": as_number(attempts.get("used")), "allowed": as_number(attempts.get("allowed"))},
            "causes": [_cause(one) for one in row.observation.diagnosis.causes[:_MOST]],
            "lines": [h.cut(line) for line in row.observation.diagnosis.lines[-_EVIDENCE:]],
            "details": _details(row.kind, row.observation.details),
            "drills": [_drill(one) for one in as_mappings(given.get("drills"))[-_MOST:]],
            "history": history and _history(history, now, row.desired not in _NOT_TO_RUN),
            "history_problem": reason or None,
        }
    )
    return found


def _bare(host: str, service: str, scope: str, kind: str, desired: str, why: str) -> Data:
    """A service of which nothing is known but that it should be there."""
    return {
        "host": h.cut(host, h.NAME),
        "service": h.cut(service, h.NAME),
        "scope": scope if scope == "user" else "system",
        "kind": h.cut(kind, h.NAME),
        "state": m.UNKNOWN,
        "base_state": m.UNKNOWN,
        "desired": h.cut(desired, h.NAME),
        "verdict": "unknown",
        "cause": None,
        "why": h.cut(why) or None,
        "since": None,
        "age": None,
        "reasons": [],
        "flags": [],
        "hold": None,
        "alerts": [],
        "attempts": {"used": None, "allowed": None},
        "causes": [],
        "lines": [],
        "details": {},
        "drills": [],
        "history": None,
        "history_problem": h.cut(why) or "was not observed",
    }


def _unobserved(row: Row, described: t.Any) -> list[Data]:
    """The services that should be on a host of which nothing was observed."""
    found = [
        _bare(
            row.host,
            str(one.get("name")),
            as_text(one.get("scope")),
            as_text(one.get("kind")) or "generic",
            as_text(one.get("state")) or m.RUNNING,
            row.why,
        )
        for one in usable_entries(described)
    ]
    return found + [_bare(row.host, name, "", "generic", m.RUNNING, why) for name, why in split_entries(described)[1]]


def _hold(data: t.Any) -> Data | None:
    given = as_mapping(data)
    if not given:
        return None
    times = {name: as_number(given.get(name)) for name in ("since", "expires")}
    return {"owner": _text(given.get("owner"), h.NAME), "reason": _text(given.get("reason")), **times}


def _alert(data: t.Mapping[str, t.Any]) -> Data:
    """An alert that fires; its keys are those that service_info returns."""
    return {
        "id": _text(data.get("id"), h.NAME) or "alert",
        "severity": _text(data.get("severity"), h.NAME),
        "summary": _text(data.get("summary")),
        "since": as_number(data.get("since")),
        "next_step": _text(data.get("next_step")),
        "runbook": _text(data.get("runbook")),
    }


_TIMES = ("detected_after", "lifted_after", "recovered_after", "lost", "blocks")


def _drill(data: t.Mapping[str, t.Any]) -> Data:
    """A fault that was made on purpose; its keys are those that service_info returns."""
    outcome, by = as_text(data.get("outcome")), as_text(data.get("ended_by"))
    return {
        "at": as_number(data.get("at")),
        "fault": _text(data.get("fault"), h.NAME),
        "target": _text(data.get("target")),
        "owner": _text(data.get("owner"), h.NAME),
        "outcome": outcome if outcome in drills.OUTCOMES else None,
        "detected_as": _text(data.get("detected_as"), h.NAME),
        "ended_by": by if by in drills.ENDINGS else None,
        **{name: as_number(data.get(name)) for name in _TIMES},
    }


def _cause(cause: CauseView) -> Data:
    return {
        "id": h.cut(cause.id, h.NAME),
        "class": h.cut(cause.severity, h.NAME) or None,
        "summary": h.cut(cause.summary) or None,
        "evidence": [h.cut(line) for line in cause.evidence[:_EVIDENCE]],
        "next_step": h.cut(cause.next_step) or None,
    }


_DETAILS = {
    "besu": ("head", "head_age", "lag", "peers", "version", "validator", "chain_id"),
    "cloudflared": ("connections", "expected_connections", "connector_id", "tunnel_name", "tunnel_id", "version"),
}


def _details(kind: str, details: t.Mapping[str, t.Any]) -> Data:
    """What the kind adds that a report shows: numbers, words and truth values."""
    found: Data = {}
    for name in _DETAILS.get(kind, ()):
        value = details.get(name)
        found[name] = value if isinstance(value, bool) else as_number(value)
        if isinstance(value, str):
            found[name] = h.cut(value, h.NAME)
    return {name: value for name, value in found.items() if value is not None}


def _history(history: h.ServiceHistory, now: float, should_run: bool) -> Data:
    known, running = history.known, history.seconds(m.RUNNING)
    states: dict[str, float] = {}
    for span in history.spans:
        name = span.state or "unrecorded"
        states[name] = states.get(name, 0.0) + span.end - span.begin
    offset = history.end - now
    return {
        "begin": round(history.begin, 3),
        "end": round(history.end, 3),
        "clock_offset": round(offset, 1) if not -_BEHIND <= offset <= _AHEAD else None,
        "running": round(running, 3),
        "known": round(known, 3),
        "availability": round(running / known, 6) if known and should_run else None,
        "seconds": {state: round(seconds, 3) for state, seconds in sorted(states.items())},
        "changes": history.changes,
        "errors": dict(history.errors),
        "longest_error": round(history.longest_error, 3),
        "incidents": [one._asdict() for one in history.incidents()],
        "spans": [{"begin": one.begin, "end": one.end, "state": one.state} for one in history.spans],
        "transitions": [one.as_dict() for one in history.transitions],
        "attempts": list(history.attempts),
        "gaps": [gap._asdict() for gap in history.gaps],
        "notes": list(history.notes),
        "boots": history.boots,
        "clock_steps": history.clock_steps,
    }


def _hosts(observed: t.Mapping[str, t.Any], services: t.Sequence[Data]) -> list[Data]:
    counts = Counter(one["host"] for one in services)
    bad = {row.host: row.why for row in read_fleet(observed) if row.is_host}
    offsets = {one["host"]: one["history"]["clock_offset"] for one in services if one["history"]}
    return [
        {
            "host": h.cut(host, h.NAME),
            "observed": host not in bad,
            "reachable": not bad.get(host, "").startswith(UNREACHABLE),
            "reason": h.cut(bad[host]) if host in bad else None,
            "services": counts[h.cut(host, h.NAME)],
            "clock_offset": offsets.get(h.cut(host, h.NAME)),
        }
        for host in observed
    ]


def _summary(services: t.Sequence[Data], hosts: t.Sequence[Data], window: float) -> Data:
    histories = _histories(services)
    should_run = _histories([one for one in services if one["desired"] not in _NOT_TO_RUN])
    return {
        "hosts": len(hosts),
        "hosts_not_observed": sum(not one["observed"] for one in hosts),
        "services": len(services),
        "states": dict(sorted(Counter(one["base_state"] for one in services).items())),
        "verdicts": {verdict: sum(one["verdict"] == verdict for one in services) for verdict in SHOWN},
        "availability": _share(_total("running", should_run), _total("known", should_run)),
        "known": _share(_total("known", histories), window * len(services)),
        **_error_counts(histories),
        **_incident_counts([incident for one in histories for incident in one["incidents"]]),
        **_attempt_counts([attempt for one in histories for attempt in one["attempts"]]),
        "alerts": sum(len(one["alerts"]) for one in services),
        "holds": sum(one["hold"] is not None for one in services),
        "drills": sum(len(one["drills"]) for one in services),
    }


def _histories(services: t.Sequence[Data]) -> list[Data]:
    return [one["history"] for one in services if one["history"]]


def _total(name: str, histories: t.Sequence[Data]) -> float:
    return sum(float(one[name]) for one in histories)


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole else None


def _error_counts(histories: t.Sequence[Data]) -> Data:
    """Errors by their cause, the most frequent first."""
    errors = Counter[str]()
    for one in histories:
        errors.update(one["errors"])
    by_cause = sorted(errors.items(), key=lambda item: (-item[1], item[0]))
    return {"errors": sum(errors.values()), "errors_by_cause": dict(by_cause)}


def _incident_counts(incidents: t.Sequence[Data]) -> Data:
    """How incidents ended, by whose doing, and how long they took (seconds)."""
    times = [one["seconds"] for one in incidents if one["seconds"] is not None]
    ended = Counter(one["ended"] for one in incidents)
    return {
        "incidents": len(incidents),
        "open_incidents": ended[h.OPEN],
        "recoveries": ended[h.RUNNING],
        "recovered_by": dict(sorted(Counter(one["by"] for one in incidents if one["by"]).items())),
        "time_to_recover": {
            "count": len(times),
            "median": round(statistics.median(times), 3) if times else None,
            "longest": round(max(times), 3) if times else None,
        },
    }


def _attempt_counts(attempts: t.Sequence[Data]) -> Data:
    verified = sum(one["outcome"] == "verified" for one in attempts)
    return {"attempts": len(attempts), "attempts_verified": verified}


def _chains(network_info: t.Any) -> list[Data]:
    given = as_mapping(network_info)
    nodes = {as_text(one.get("name")): one for one in as_mappings(given.get("nodes"))}
    return [_chain(network, nodes) for network in as_mappings(given.get("networks"))]


def _chain(network: t.Mapping[str, t.Any], nodes: t.Mapping[str, t.Mapping[str, t.Any]]) -> Data:
    names = as_texts(network.get("nodes"))
    return {
        "chain_id": as_number(network.get("chain_id")),
        "genesis": _text(network.get("genesis"), h.NAME),
        "head": as_number(network.get("head")),
        "head_age": as_number(network.get("head_age")),
        "advances": network.get("advances") is True,
        "stalled": network.get("stalled") is True,
        "validators": len(as_texts(network.get("validators"))),
        "quorum": as_number(network.get("quorum")),
        "taking_part": len(as_mappings(network.get("taking_part"))),
        "may_stop": as_number(network.get("may_stop")),
        "arithmetic": _text(network.get("arithmetic")),
        "reason": _text(network.get("reason")),
        "missing": [
            {
                "address": _text(one.get("address"), h.NAME),
                "node": _text(one.get("node"), h.NAME),
                "why": _text(one.get("why")),
            }
            for one in as_mappings(network.get("missing"))
        ],
        "nodes": [_node(name, nodes.get(name, {})) for name in names],
    }


def _node(name: str, node: t.Mapping[str, t.Any]) -> Data:
    state = as_text(node.get("state")) or m.UNKNOWN
    return {
        "name": h.cut(name, h.NAME),
        "state": h.cut(state, h.NAME),
        "base_state": h.base_state("besu", state),
        "head": as_number(node.get("head")),
        "lag": as_number(node.get("lag")),
        "peers": as_number(node.get("peers")),
        "version": _text(node.get("version"), h.NAME),
        "validator": node.get("validator") if isinstance(node.get("validator"), bool) else None,
    }


def _chains_problem(network_info: t.Any) -> str | None:
    """Why nothing is known of the chains, or of some nodes."""
    given = as_mapping(network_info)
    if given.get("skipped") or not given:
        return None
    if "networks" not in given:
        return f"the nodes could not be asked: {_text(given.get('msg')) or 'no answer'}"
    silent = as_texts(given.get("unobserved"))
    more = f" and {len(silent) - _MOST} more" if len(silent) > _MOST else ""
    return h.cut(f"did not answer: {', '.join(silent[:_MOST])}{more}") if silent else None


def _tunnels(observed: t.Mapping[str, t.Any], described: t.Mapping[str, t.Any]) -> list[Data]:
    return [
        {
            "id": h.cut(as_text(tunnel["id"]), h.NAME),
            "name": h.cut(as_text(tunnel["name"]), h.NAME),
            "healthy": tunnel["healthy"],
            "connectors": [
                {
                    "host": h.cut(one["host"], h.NAME),
                    "service": h.cut(one["service"], h.NAME),
                    "state": h.cut(one["state"], h.NAME),
                    "base_state": h.base_state("cloudflared", one["state"]),
                    "verdict": one["verdict"],
                    "why": h.cut(one["why"]) or None,
                    "connections": as_number(one["connections"]),
                    "expected_connections": as_number(one["expected_connections"]),
                    "connector_id": _text(one["connector_id"], h.NAME),
                }
                for one in tunnel["connectors"]
            ],
        }
        for tunnel in tunnel_plan(observed, described)["tunnels"]
        if any(one["service"] != "-" for one in tunnel["connectors"])
    ]


def _percent(share: float) -> str:
    """Rounded down: what is not all of it never reads as 100 %."""
    return f"{math.floor(1e4 * share + 1e-9) / 100:.2f}"


def report_lines(data: t.Mapping[str, t.Any], dest: str, size: int, check_mode: bool) -> list[str]:
    """The report in a few lines, for a terminal."""
    summary = data["summary"]
    recover = summary["time_to_recover"]["median"]
    share = summary["availability"]
    lines = [
        f"{count(summary['services'], 'service')} on {count(summary['hosts'], 'host')}, "
        f"the last {window_text(data['window']['seconds'])}: "
        f"availability {'not known' if share is None else f'{_percent(share)} %'}, "
        f"{count(summary['errors'], 'error')}, "
        f"{summary['recoveries']} of {count(summary['incidents'], 'incident')} recovered"
        + (f" (median {duration(recover)})" if recover is not None else "")
    ]
    lost = [one["host"] for one in data["hosts"] if not one["observed"]]
    if lost:
        more = f" and {len(lost) - _MOST} more" if len(lost) > _MOST else ""
        lines.append(f"not observed: {', '.join(lost[:_MOST])}{more}")
    verb = "would write" if check_mode else "wrote"
    return [*lines, f"{verb} {dest} ({size / 1000:.0f} kB)"]
