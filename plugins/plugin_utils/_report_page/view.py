# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the data of a report to what its page shows: positions, words, groups. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import math
import time
import typing as t
from collections import Counter

from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.drills import ENDINGS
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import SHOWN
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_history import base_state
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import UNREACHABLE
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import count, duration, window_text

Data = t.Mapping[str, t.Any]

# The cells of a timeline. Of what is shorter than one the worst state is shown, so that no failure is too short to see.
CELLS = 480
# The cells of the fleet's own timeline.
BUCKETS = 120
# A timeline's height and the rows in it are in page.css and page.html.j2, too.
_UNRECORDED = "unrecorded"
_NOTHING = "nothing recorded"
_WORST = (m.ERROR, m.RESTARTING, _UNRECORDED, m.UNKNOWN, m.STARTING, m.STOPPING, m.STOPPED, m.RUNNING)
_RANK = {state: len(_WORST) - place for place, state in enumerate(_WORST)}
LEGEND = (
    (m.RUNNING, "running"),
    (m.STARTING, "starting"),
    (m.STOPPING, "stopping"),
    (m.STOPPED, "stopped"),
    (m.RESTARTING, "restarting"),
    (m.ERROR, "error"),
    (m.UNKNOWN, "unknown"),
    (_UNRECORDED, _NOTHING),
)
_TRIGGERS = {
    "operator": "an operator",
    "service": "the service or systemd",
    "collection": "this collection",
    "host": "a reboot",
    "unrecorded": "not recorded",
    "log": "the service, as its log tells",
}
# Who made services run again, as a count of them reads.
_BY = {"operator": "an operator", "service": "systemd", "collection": "this collection", "host": "a reboot"}
_ENDED = {
    "running": "recovered",
    "stopped": "ended as stopped",
    "not_known": "end unknown",
    "open": "ongoing",
}
_ATTEMPTS = {"verified": "verified", "failed": "failed"}
_STEPS = (60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
_TICKS = 8
_DETAILS = 6000  # transitions in the whole page
_DRILLS = 100  # in the whole page; the report as JSON has them all
_COLUMNS = 12
_CAUSE_SERVICES = 24
_LANE = {
    m.RUNNING: (11, 10),
    m.STARTING: (9, 14),
    m.STOPPING: (9, 14),
    m.STOPPED: (14, 4),
    m.RESTARTING: (6, 20),
    m.ERROR: (6, 20),
    m.UNKNOWN: (6, 20),
    _UNRECORDED: (6, 20),
}


def page_view(data: Data) -> dict[str, t.Any]:
    """What the template needs."""
    window = data["window"]
    most = min(max(_DETAILS // max(len(data["services"]), 1), 5), 50)
    services = [_service(one, most, window) for one in data["services"]]
    services.sort(key=lambda one: (one["order"], -one["errors"], one["host"], one["label"]))
    for number, one in enumerate(services):
        one["number"] = number
    return {
        "begin": clock(window["begin"]),
        "end": clock(window["end"]),
        "span": window_text(window["seconds"]),
        "generated": clock(data["generated_at"]),
        "tiles": _tiles(data["summary"]),
        "title": _title(data["summary"]),
        "services": services,
        "hosts": data["hosts"],
        "lost": [
            {**one, "reason": (one["reason"] or "").removeprefix(UNREACHABLE)}
            for one in data["hosts"]
            if not one["observed"]
        ],
        "skewed": [one for one in data["hosts"] if one["clock_offset"] is not None],
        "states": _present(services),
        "kinds": sorted({one["kind"] for one in services}),
        "causes": _causes(services),
        "attention": [one for one in services if one["alerts"] or one["hold"]],
        "matrix": _matrix(services, data["hosts"]),
        "ticks": _ticks(window["begin"], window["end"]),
        "strip": _strip(data["services"], window["seconds"]),
        "gaps": _gaps(services),
        "chains": [_chain(one) for one in data["chains"]],
        "chains_problem": data["chains_problem"],
        "tunnels": [_tunnel(one) for one in data["tunnels"]],
        "drills": _drills(services),
        "legend": _legend({one["kind"] for one in services}),
        "incidents": data["summary"]["incidents"],
    }


def _legend(kinds: t.Collection[str]) -> list[tuple[str, str, int, int]]:
    """The key of the timelines, with the states that these kinds draw in the same way."""
    own = [state for kind in KINDS.values() if kind.name in kinds for state in kind.machine.states.values()]
    drawn = {base: [state.name for state in own if state.base == base != state.name] for base, _words in LEGEND}
    return [
        (state, f"{words} ({', '.join(dict.fromkeys(drawn[state]))})" if drawn[state] else words, *_LANE[state])
        for state, words in LEGEND
    ]


def clock(at: float | None) -> str:
    """A moment in UTC, to the second."""
    if at is None or not 0 <= at < 253402300800:  # the year 10000
        return "–"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def _age(seconds: float | None) -> str:
    return "–" if seconds is None else duration(seconds)


def percent(share: float | None, digits: int = 2) -> str:
    """A share, rounded down: what is not all of it never reads as 100 %."""
    if share is None:
        return "–"
    scale = 10 ** (digits + 2)
    value = math.floor(share * scale + 1e-9) / 10**digits
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") + " %"


def _service(one: Data, most: int, window: Data) -> dict[str, t.Any]:
    history = one["history"]
    errors = sum(history["errors"].values()) if history else 0
    label = f"{one['service']} (user)" if one["scope"] == "user" else one["service"]
    share = history["availability"] if history else None
    return {
        **one,
        "label": label,
        "order": list(SHOWN).index(one["verdict"]),
        "shown_state": one["state"].replace("_", " "),
        "age_text": _age(one["age"]),
        "since_text": clock(one["since"]),
        "errors": errors,
        "availability": percent(share),
        "sort": {
            "state": list(SHOWN).index(one["verdict"]) * 10 - _RANK[one["base_state"]] + 10,
            "age": one["age"] if one["age"] is not None else -1,
            "availability": share if share is not None else 2,
            "errors": errors,
        },
        "search": " ".join(filter(None, (one["host"], label, one["kind"], one["state"], one["cause"]))).lower(),
        "verdict_text": SHOWN[one["verdict"]],
        "summary": _message(one, errors),
        **(_past(one, history, most) if history else _without_past(one)),
        "hold_text": _hold(one["hold"]) if one["hold"] else "",
        "detail_text": ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in one["details"].items()),
    }


def _past(one: Data, history: Data, most: int) -> dict[str, t.Any]:
    """What happened to a service; of very many events the last ones."""
    return {
        "had_incident": bool(history["incidents"]),
        "segments": _segments(one),
        "bands": _bands(one),
        "marks": _marks(history),
        "transitions": [_change(change) for change in reversed(history["transitions"][-most:])],
        "earlier": max(history["changes"], len(history["transitions"])) - most,
        "incident_list": [_incident(incident) for incident in history["incidents"][-most:]],
        "attempt_list": [_attempt(attempt) for attempt in history["attempts"][-most:]],
        "time_in": _time_in(history),
    }


def _without_past(one: Data) -> dict[str, t.Any]:
    lists: dict[str, t.Any] = {
        name: [] for name in ("bands", "marks", "transitions", "incident_list", "attempt_list", "time_in")
    }
    return {**lists, "had_incident": False, "segments": [_whole_gap(one)], "earlier": 0}


def _plain(value: t.Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


def _message(one: Data, errors: int) -> str:
    """The timeline in a sentence, for those who do not see it."""
    history = one["history"]
    if not history:
        return f"No history: {one['history_problem']}"
    shares = [
        f"{state.replace('_', ' ')} {percent(seconds / (history['end'] - history['begin']), 1)}"
        for state, seconds in sorted(history["seconds"].items(), key=lambda item: -item[1])
    ]
    changes = max(history["changes"], len(history["transitions"]))
    return f"{', '.join(shares)}; {count(changes, 'change')}, {count(errors, 'error')}"


def _segments(one: Data) -> list[dict[str, t.Any]]:
    """The timeline as stretches of cells with one state, each with what happened in it."""
    history = one["history"]
    begin, length = history["begin"], history["end"] - history["begin"]
    cells: list[str] = [""] * CELLS
    spans: list[tuple[int, int, str, Data]] = []
    for span in history["spans"]:
        base = base_state(one["kind"], span["state"]) if span["state"] else _UNRECORDED
        low = min(int((span["begin"] - begin) / length * CELLS), CELLS - 1)
        high = max(min(math.ceil((span["end"] - begin) / length * CELLS), CELLS), low + 1)
        spans.append((low, high, base, span))
        for cell in range(low, high):
            if not cells[cell] or _RANK[base] > _RANK[cells[cell]]:
                cells[cell] = base
    found: list[dict[str, t.Any]] = []
    for cell, base in enumerate(cells):
        if found and found[-1]["state"] == (base or _UNRECORDED):
            found[-1]["high"] = cell + 1
        else:
            found.append({"state": base or _UNRECORDED, "low": cell, "high": cell + 1, "spans": []})
    _share_out(found, spans)
    return [_drawn(segment, begin, length) for segment in found]


def _share_out(segments: list[dict[str, t.Any]], spans: t.Sequence[tuple[int, int, str, Data]]) -> None:
    """Give each segment the spans of its own state that lie in it. Both are in the order of time."""
    first = 0
    for low, high, base, span in spans:
        while segments[first]["high"] <= low:
            first += 1
        for segment in segments[first:]:
            if segment["low"] >= high:
                break
            if segment["state"] == base:
                segment["spans"].append(span)


def _drawn(segment: dict[str, t.Any], begin: float, length: float) -> dict[str, t.Any]:
    state, spans = segment["state"], segment["spans"]
    y, height = _LANE[state]
    low = spans[0]["begin"] if spans else begin + segment["low"] / CELLS * length
    high = spans[-1]["end"] if spans else begin + segment["high"] / CELLS * length
    # States of one base state are drawn alike: each is named, with how often it was entered.
    nothing = _NOTHING if state == _UNRECORDED else ""
    names = Counter([nothing or str(span["state"]) for span in spans] or [nothing or state])
    words = ", ".join(f"{number} times {name}" if number > 1 else name for name, number in names.items())
    return {
        "state": state,
        "x": f"{100 * segment['low'] / CELLS:.2f}",
        "width": f"{100 * (segment['high'] - segment['low']) / CELLS:.2f}",
        "y": y,
        "height": height,
        "title": f"{words.replace('_', ' ')}, {clock(low)} to {clock(high)[11:]} ({duration(high - low)})",
    }


def _whole_gap(one: Data) -> dict[str, t.Any]:
    y, height = _LANE[_UNRECORDED]
    title = f"no history: {one['history_problem']}"
    return {"state": _UNRECORDED, "x": "0", "width": "100", "y": y, "height": height, "title": title}


def _bands(one: Data) -> list[dict[str, t.Any]]:
    """The hold and the alerts, from when they began to now."""
    history = one["history"]
    begin, length = history["begin"], history["end"] - history["begin"]
    found = []
    holds = [("hold", one["hold"]["since"], _hold(one["hold"]))] if one["hold"] else []
    alerts = [("alert", alert["since"], alert["id"]) for alert in one["alerts"]]
    for what, since, words in holds + alerts:
        low = min(max(((since if since is not None else history["end"]) - begin) / length, 0.0), 0.995)
        found.append({"what": what, "x": f"{100 * low:.2f}", "width": f"{100 * (1 - low):.2f}", "title": words})
    return found


def _marks(history: Data) -> list[dict[str, t.Any]]:
    """The recovery attempts."""
    begin, length = history["begin"], history["end"] - history["begin"]
    return [
        {
            "outcome": _ATTEMPTS.get(attempt["outcome"] or "", "other"),
            "x": f"{100 * (attempt['at'] - begin) / length:.2f}",
            "title": f"{clock(attempt['at'])}: {_attempt(attempt)['text']}",
        }
        for attempt in history["attempts"]
        if attempt["at"] is not None and begin <= attempt["at"] <= history["end"]
    ]


def _attempt(attempt: Data) -> dict[str, t.Any]:
    cause = f" after {attempt['cause']}" if attempt["cause"] else ""
    owner = f" by {attempt['owner']}" if attempt["owner"] else ""
    return {
        "at": clock(attempt["at"]),
        "outcome": _ATTEMPTS.get(attempt["outcome"] or "", "other"),
        "text": f"{attempt['action'] or 'an attempt'}{owner}{cause}: {attempt['outcome'] or 'outcome unknown'}",
    }


def _change(change: Data) -> dict[str, t.Any]:
    owner = f" ({change['owner']})" if change["owner"] else ""
    return {
        "at": clock(change["at"]),
        "before": change["from"].replace("_", " "),
        "after": change["to"].replace("_", " "),
        "by": f"{_TRIGGERS[change['trigger']]}{owner}",
        "cause": change["cause"] or "",
    }


def _incident(incident: Data) -> dict[str, t.Any]:
    took = f" after {duration(incident['seconds'])}" if incident["seconds"] is not None else ""
    by = f" by {incident['owner'] or _BY[incident['by']]}" if incident["by"] else ""
    cause = f"{incident['cause']}: " if incident["cause"] else ""
    return {"at": clock(incident["begin"]), "text": f"{cause}{_ENDED[incident['ended']]}{by}{took}"}


def _drills(services: t.Sequence[Data]) -> list[dict[str, t.Any]]:
    """The drills of the fleet, the last one first."""
    made = [(one, drill) for one in services for drill in one["drills"]]
    made.sort(key=lambda pair: -(pair[1]["at"] or 0.0))
    return [
        {
            "at": clock(drill["at"]),
            "host": one["host"],
            "service": one["label"],
            "fault": (drill["fault"] or "not known").replace("_", " "),
            "owner": drill["owner"] or "–",
            "outcome": f"{drill['outcome'] or 'not known'} {ENDINGS.get(drill['ended_by'], '')}".rstrip(),
            "detected": _age(drill["detected_after"]),
            "recovered": _age(drill["recovered_after"]),
            "lost": _age(drill["lost"])
            if drill["blocks"] is None
            else f"{_age(drill['lost'])}, {_plain(drill['blocks'])} blocks",
        }
        for one, drill in made[:_DRILLS]
    ]


def _lost(drill: Data) -> str:
    blocks = "" if drill["blocks"] is None else f", {_plain(drill['blocks'])} blocks"
    return f"{_age(drill['lost'])}{blocks}"


def _time_in(history: Data) -> list[tuple[str, str]]:
    listed = sorted(history["seconds"].items(), key=lambda item: -item[1])
    return [(state.replace("_", " "), duration(seconds)) for state, seconds in listed]


def _hold(hold: Data) -> str:
    reason = f": {hold['reason']}" if hold["reason"] else ""
    until = f", until {clock(hold['expires'])}" if hold["expires"] is not None else ", with no end"
    return f"held by {hold['owner'] or 'somebody'}{reason}{until}"


def _title(summary: Data) -> str:
    bad = summary["services"] - summary["verdicts"]["ok"]
    return f"{count(summary['services'], 'service')} on {count(summary['hosts'], 'host')}, " + (
        f"{bad} not ok" if bad else "all ok"
    )


def _tiles(summary: Data) -> list[dict[str, str]]:
    verdicts = summary["verdicts"]
    rest = ", ".join(f"{verdicts[one]} {words}" for one, words in SHOWN.items() if one != "ok" and verdicts[one])
    causes = list(summary["errors_by_cause"].items())
    top = ", ".join(f"{number} {cause}" for cause, number in causes[:3])
    by = ", ".join(f"{number} by {_BY[who]}" for who, number in summary["recovered_by"].items())
    recover = summary["time_to_recover"]
    longest = f"median; longest {duration(recover['longest'])}" if recover["count"] else "no incident ended"
    open_ones = f", {summary['open_incidents']} ongoing" if summary["open_incidents"] else ""
    known = summary["known"]
    return [
        {
            "name": "OK now",
            "value": f"{verdicts['ok']:,} of {summary['services']:,}",
            "note": rest or "every service is in its desired state",
            "mood": "good" if not rest else "bad",
        },
        {
            "name": "Availability",
            "value": percent(summary["availability"]),
            "note": "share of the known time spent running",
            "mood": "",
        },
        {
            "name": "Errors",
            "value": f"{summary['errors']:,}",
            "note": (top + (", …" if len(causes) > 3 else "")) or "no run failed",
            "mood": "",
        },
        {
            "name": "Recoveries",
            "value": f"{summary['recoveries']:,} of {summary['incidents']:,}",
            "note": f"{by or 'incidents that ended'}{open_ones}",
            "mood": "",
        },
        {"name": "Time to recover", "value": _age(recover["median"]), "note": longest, "mood": ""},
        {
            "name": "Recorded",
            "value": percent(known, 1),
            "note": "of the time; the rest is shown as a gap" if known is not None and known < 1 else "of the time",
            "mood": "",
        },
    ]


def _present(services: t.Sequence[Data]) -> list[tuple[str, int]]:
    counts = Counter(one["base_state"] for one in services)
    return [(state, counts[state]) for state in _WORST if counts[state]]


def _causes(services: t.Sequence[Data]) -> list[dict[str, t.Any]]:
    """The causes of the services in trouble, each once, with the services that have it."""
    found: dict[tuple[t.Any, ...], dict[str, t.Any]] = {}
    for one in services:
        if one["verdict"] in ("ok", "transitioning", "held") or not (one["causes"] or one["reasons"]):
            continue
        for cause in one["causes"][:1] or [_undiagnosed(one)]:
            group = found.setdefault(
                (cause["id"], cause["next_step"]), {**cause, "services": [], "evidence": [], "more": 0}
            )
            group["services"].append(one)
            room = 3 - len(group["evidence"])
            group["evidence"] += [{"host": one["host"], "line": line} for line in cause["evidence"][: max(room, 0)]]
    for group in found.values():
        group["more"] = max(len(group["services"]) - _CAUSE_SERVICES, 0)
        group["total"] = count(len(group["services"]), "service")
        group["services"] = group["services"][:_CAUSE_SERVICES]
    return list(found.values())


def _undiagnosed(one: Data) -> dict[str, t.Any]:
    return {
        "id": one["cause"] or one["base_state"],
        "class": None,
        "summary": one["why"],
        "evidence": [*one["reasons"][:2], *one["lines"][-1:]],
        "next_step": None,
    }


def _matrix(services: t.Sequence[Data], hosts: t.Sequence[Data]) -> dict[str, t.Any]:
    """Host by service. Where there are many services, those of few hosts share a column."""
    counts = Counter(one["label"] for one in services)
    columns = sorted(counts)
    if len(columns) > _COLUMNS:
        shared = [label for label, number in counts.most_common(_COLUMNS) if number > 1]
        columns = sorted(shared)
    rows: dict[str, dict[str, t.Any]] = {
        one["host"]: {"host": one["host"], "reason": one["reason"], "cells": {}, "other": []} for one in hosts
    }
    for one in services:
        row = rows[one["host"]]
        if one["label"] in columns:
            row["cells"][one["label"]] = one
        else:
            row["other"].append(one)
    # Services are sorted, the worst first, and so are the hosts by the first service that they have.
    order = {host: number for number, host in reversed(list(enumerate(one["host"] for one in services)))}
    ordered = sorted(rows.values(), key=lambda row: order.get(row["host"], -1))
    return {"columns": columns, "other": any(row["other"] for row in ordered), "rows": ordered}


def _ticks(begin: float, end: float) -> list[dict[str, str]]:
    """Round moments along the time axis."""
    length = end - begin
    step = next((one for one in _STEPS if length / one <= _TICKS), length / _TICKS)
    words = "%H:%M" if step < 86400 else "%m-%d"
    first = math.ceil(begin / step) * step
    moments = [first + step * number for number in range(_TICKS + 1) if first + step * number <= end]
    return [
        {"x": f"{100 * (at - begin) / length:.2f}", "text": time.strftime(words, time.gmtime(at))} for at in moments
    ]


_STRIP = (m.RUNNING, "other", m.STOPPED, m.ERROR, _UNRECORDED)
_STRIP_OF = {
    m.RUNNING: m.RUNNING,
    m.STARTING: "other",
    m.STOPPING: "other",
    m.STOPPED: m.STOPPED,
    m.RESTARTING: m.ERROR,
    m.ERROR: m.ERROR,
}


def _strip(services: t.Sequence[Data], window: float) -> list[dict[str, str]]:
    """The fleet over the window: for each stretch of time the shares of the services in each state, stacked."""
    total = {name: [0.0] * BUCKETS for name in _STRIP}
    width = window / BUCKETS
    for one in services:
        history = one["history"]
        if not history:
            total[_UNRECORDED] = [value + width for value in total[_UNRECORDED]]
            continue
        for span in history["spans"]:
            base = base_state(one["kind"], span["state"]) if span["state"] else _UNRECORDED
            _add(total[_STRIP_OF.get(base, _UNRECORDED)], span, history["begin"], width)
    found = []
    for bucket in range(BUCKETS):
        whole = sum(total[name][bucket] for name in _STRIP) or 1.0
        top = 100.0
        for name in _STRIP:
            share = 100.0 * total[name][bucket] / whole
            # A trace of trouble stays visible.
            share = max(share, 2.0) if name == m.ERROR and share > 0 else share
            if share >= 0.05:
                top = max(top - share, 0.0)
                found.append({"state": name, "at": bucket, "y": f"{top:.1f}", "height": f"{min(share, 100.0):.1f}"})
    return _joined(found)


def _add(row: list[float], span: Data, begin: float, width: float) -> None:
    low, high = (span["begin"] - begin) / width, (span["end"] - begin) / width
    for bucket in range(int(low), min(math.ceil(high), BUCKETS)):
        row[bucket] += (min(high, bucket + 1) - max(low, bucket)) * width


def _joined(parts: list[dict[str, t.Any]]) -> list[dict[str, str]]:
    """Equal parts of neighbouring buckets as one."""
    last: dict[tuple[str, str, str], dict[str, t.Any]] = {}
    found: list[dict[str, t.Any]] = []
    for part in parts:
        key = (part["state"], part["y"], part["height"])
        if key in last and last[key]["to"] == part["at"]:
            last[key]["to"] += 1
        else:
            last[key] = {**part, "to": part["at"] + 1}
            found.append(last[key])
    return [
        {
            **part,
            "x": f"{100 * part['at'] / BUCKETS:.3f}",
            "width": f"{100 * (part['to'] - part['at']) / BUCKETS:.3f}",
        }
        for part in found
    ]


def _gaps(services: t.Sequence[Data]) -> list[dict[str, t.Any]]:
    """Why something is not known, each reason once, with how many services it is of and for how long."""
    found: dict[str, dict[str, t.Any]] = {}
    for one in services:
        history = one["history"]
        reasons = [(gap["reason"], gap["end"] - gap["begin"]) for gap in history["gaps"]] if history else []
        reasons += [(note, 0.0) for note in history["notes"]] if history else [(one["history_problem"], 0.0)]
        for reason, seconds in dict(reasons).items():
            group = found.setdefault(reason or "no reason given", {"services": [], "seconds": 0.0})
            group["services"].append(f"{one['host']}/{one['label']}")
            group["seconds"] += seconds
    return [
        {
            "reason": reason,
            "services": ", ".join(group["services"][:_CAUSE_SERVICES]),
            "more": max(len(group["services"]) - _CAUSE_SERVICES, 0),
            "time": duration(group["seconds"]) if group["seconds"] else "",
        }
        for reason, group in sorted(found.items(), key=lambda item: -len(item[1]["services"]))
    ][:50]


def _number(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:,.0f}{unit}"


def _chain(chain: Data) -> dict[str, t.Any]:
    if chain["stalled"]:
        word, mood = "stalled", "bad"
    elif chain["advances"]:
        word, mood = "advances", "good"
    else:
        word, mood = "not observed to advance", ""
    total, quorum, active = chain["validators"], chain["quorum"], chain["taking_part"]
    drawn = min(total, 60)
    return {
        **chain,
        "name": f"Chain {_plain_id(chain['chain_id'])}",
        "word": word,
        "mood": mood,
        "head_text": _number(chain["head"]),
        "head_age_text": _number(chain["head_age"], " s"),
        "may_stop_text": _number(chain["may_stop"]),
        "quorum_text": chain["arithmetic"]
        or (f"{active} of {total} validators active, quorum {_number(quorum)}" if total else ""),
        "pips": [
            {"x": 12 * number, "on": number < active, "last": quorum is not None and number + 1 == int(quorum)}
            for number in range(drawn)
        ],
        "width": 12 * drawn,
        "nodes": [
            {
                **node,
                "shown_state": node["state"].replace("_", " "),
                "head": _number(node["head"]),
                "lag": _number(node["lag"]),
                "peers": _number(node["peers"]),
                "role": {True: "validator", False: "node", None: "–"}[node["validator"]],
            }
            for node in chain["nodes"]
        ],
    }


def _plain_id(value: float | None) -> str:
    return "without an id" if value is None else f"{value:.0f}"


def _tunnel(tunnel: Data) -> dict[str, t.Any]:
    total = len(tunnel["connectors"])
    return {
        **tunnel,
        "word": f"{tunnel['healthy']} of {count(total, 'connector')} healthy",
        "mood": "good" if tunnel["healthy"] == total else "bad" if not tunnel["healthy"] else "warn",
        "connectors": [
            {
                **one,
                "shown_state": one["state"].replace("_", " "),
                "connected": f"{_number(one['connections'])} of {_number(one['expected_connections'])}",
                "pips": [
                    {"x": 12 * number, "on": number < (one["connections"] or 0)}
                    for number in range(min(int(max(one["expected_connections"] or 0, one["connections"] or 0, 0)), 16))
                ],
            }
            for one in tunnel["connectors"]
        ],
    }
