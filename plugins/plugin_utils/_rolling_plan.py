# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans which services a rolling restart restarts, in which order, or refuses. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

A run is named after the moment at which it began. Its restarts are recorded on
the hosts under that name, so that a run which was interrupted goes on where
the fleet is: with those whose process is older than the run.
"""

from __future__ import annotations

import datetime
import difflib
import fnmatch
import itertools
import re
import typing as t
from collections import Counter
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _waves
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._approved_plan import (
    NOT_APPROVED,
    ApprovedPlan,
    narrow_restarts,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import (
    CHAIN_STALLED,
    HELD,
    NEEDS_RECOVERY,
    OK,
    TRANSITIONING,
    UNKNOWN,
    Row,
    make_row,
    matched_entries,
    observed_entries,
    read_fleet,
    usable_entries,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._planned_row import APPROVED
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._playbook_vars import instant, is_given, read_one
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._recovery_steps import fixes, serves, takes_offline
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    ObservationView,
    ServiceResult,
    as_mapping,
    as_mappings,
    as_number,
    as_text,
    as_texts,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._rolling_state import (
    DONE,
    DUE,
    FRESH,
    NOT_MEANT,
    shown_state,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import WIDTH, count, duration, render

NOT_HEALTHY = "not_healthy"
# The loop variable of the task that asks the guards: the name of the service.
ASKED = "__rolling_restart_ask"
# A run whose last restart is longer ago is not gone on with by itself: its reason may be another one.
CONTINUES_WITHIN = 3600.0
# Only a service that is healthy is restarted.
_REFUSED = (NEEDS_RECOVERY, CHAIN_STALLED)
_SHOWN = {
    DUE: "restart",
    DONE: "- (restarted)",
    FRESH: "- (not stale)",
    NOT_MEANT: "leave",
    HELD: "leave (held)",
    TRANSITIONING: "leave (transitioning)",
    UNKNOWN: "leave (unknown)",
    NEEDS_RECOVERY: "refuse (not_healthy)",
    CHAIN_STALLED: "refuse (chain_stalled)",
    NOT_APPROVED: f"leave ({APPROVED})",
}
_RUN = re.compile(r"\brolling_restart (\d{8}T\d{6}Z)\b")
_NAMED = 8
_DIGITS = re.compile(r"0x[0-9a-f]{6,64}")


@dataclass(frozen=True)
class Selection:
    """The selected services; an empty part means all. ``names`` may hold ``*`` and ``?``."""

    kinds: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    tunnels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    only_stale: bool = False

    @classmethod
    def from_dict(cls, given: t.Mapping[str, t.Any]) -> Selection:
        """The selection that the variables of the playbook say."""
        kinds, chains, tunnels, names = (
            tuple(str(one) for one in given.get(f"lifecycle_only_{part}") or ()) for part in _PARTS
        )
        return cls(kinds, chains, tunnels, names, bool(given.get("lifecycle_only_stale")))

    def names_it(self, name: str, kind: str) -> bool:
        """Whether what is known without an observation does not exclude the service."""
        by_name = not self.names or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.names)
        return by_name and (not self.kinds or kind in self.kinds)

    def takes(self, name: str, kind: str, details: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any]) -> bool:
        """Whether the service is selected. A service of an unknown chain matches no chain."""
        if not self.names_it(name, kind):
            return False
        in_chain = not self.chains or any(_is_chain(one, details, entry) for one in self.chains)
        return in_chain and (not self.tunnels or any(_is_tunnel(one, details) for one in self.tunnels))


_PARTS = ("kind", "chain", "tunnel", "name")


def _is_chain(wanted: str, details: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any]) -> bool:
    """A chain is named by its genesis hash, by how that begins, or by its chain id."""
    own = as_mapping(entry.get("besu"))
    genesis = (as_text(details.get("genesis")) or as_text(own.get("genesis_hash"))).lower()
    if _DIGITS.fullmatch(wanted.lower()):
        return genesis.startswith(wanted.lower())
    chain_id = details.get("chain_id", own.get("chain_id"))
    return chain_id is not None and str(chain_id) == wanted


def _is_tunnel(wanted: str, details: t.Mapping[str, t.Any]) -> bool:
    """A tunnel is named by its id or by its name."""
    return wanted.lower() in (as_text(details.get("tunnel_id")).lower(), as_text(details.get("tunnel_name")).lower())


def run_name(began: float) -> str:
    """The name of the run that began then (seconds since the epoch): ``20261129T114000Z``."""
    return datetime.datetime.fromtimestamp(int(began), datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


@dataclass(frozen=True)
class Candidate:
    """A service of the selection. ``age``: of its process in seconds; ``made``: the run that restarted it last."""

    row: Row
    is_stale: bool | None = None
    evidence: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    age: float | None = None
    made: str = ""
    made_ago: float | None = None

    @property
    def is_eligible(self) -> bool:
        """Whether it is healthy, with a process that is meant to stay."""
        meant = self.row.desired not in (m.STOPPED, m.SUCCEEDED, "reset")
        return self.row.verdict == OK and meant and not self.row.down and not self.row.observation.hold

    @property
    def is_recent(self) -> bool:
        """Whether the run that restarted it last may be continued."""
        return bool(self.made) and self.made_ago is not None and self.made_ago < CONTINUES_WITHIN

    def is_done(self, since: float, now: float) -> bool:
        """Whether its process was started since ``since``, and with what is on disk now."""
        return self.age is not None and now - self.age >= since and self.is_stale is not True


def _candidate(row: Row, given: t.Mapping[str, t.Any]) -> Candidate:
    stale, last = as_mapping(given.get("stale")), as_mapping(given.get("last_start"))
    is_stale = stale.get("is_stale")
    made = _RUN.search(as_text(last.get("owner")))
    evidence = [f"{as_text(one.get('kind'))} {as_text(one.get('path'))}: {as_text(one.get('reason'))}"
                for one in as_mappings(stale.get("evidence"))]  # fmt: skip
    return Candidate(
        row,
        is_stale if isinstance(is_stale, bool) else None,
        tuple(evidence),
        as_texts(stale.get("unknown")),
        as_number(stale.get("age")),
        made[1] if made else "",
        as_number(last.get("age")),
    )


def candidates(
    observed: t.Mapping[str, t.Any], described: t.Mapping[str, t.Any], selection: Selection
) -> list[Candidate]:
    """The services of the selection, in the order of their hosts; of a host that did not answer, the host."""
    found: list[Candidate] = []
    for host in observed:
        given = as_mappings(as_mapping(observed[host]).get("services"))
        usable = usable_entries(described.get(host))
        entries = matched_entries([one.get("name") for one in given], usable)
        rows = read_fleet({host: observed[host]}, {host: described.get(host)})
        for number, row in enumerate(rows):
            if row.is_host:
                if not usable or any(selection.names_it(as_text(e.get("name")), _kind(e)) for e in usable):
                    found.append(Candidate(row))
                continue
            observation = given[number] if number < len(given) else {}
            entry = entries[number] if number < len(entries) else {}
            details = row.observation.details
            blind = row.verdict == UNKNOWN and selection.names_it(row.service, row.kind) and not details
            if blind or selection.takes(row.service, row.kind, details, entry):
                found.append(_candidate(row, observation))
    return found


def _kind(entry: t.Mapping[str, t.Any]) -> str:
    return as_text(entry.get("kind")) or "generic"


def begin_of(
    found: t.Sequence[Candidate], now: float, since: float | None = None, only_stale: bool = False
) -> tuple[float, bool]:
    """When the run began, and whether it continues an interrupted one.

    The newest run that restarted a service of the selection within the last
    hour goes on where services are left that it did not restart.
    """
    if since is not None:
        return since, since < now
    begun = [moment for moment in (instant(one.made) for one in found if one.is_recent) if moment <= now]
    if not begun:
        return now, False
    meant = [one for one in found if one.is_eligible or one.row.verdict in _REFUSED]
    left = any(not one.is_done(max(begun), now) and (not only_stale or one.is_stale) for one in meant)
    return (max(begun), True) if left else (now, False)


def verdict_of(one: Candidate, since: float, now: float, only_stale: bool) -> tuple[str, str]:
    """What the run does with a service, and why."""
    row = one.row
    if row.observation.hold:
        return HELD, f"held by {row.observation.hold.owner}: {row.observation.hold.reason}"
    if row.verdict != OK:
        return row.verdict, row.explanation
    if not one.is_eligible:
        return NOT_MEANT, f"it is {row.state}, as it is described"
    if one.is_done(since, now):
        return DONE, f"its process was started {duration(one.age)} ago, since the run began"
    if only_stale and one.is_stale is None:
        return NOT_MEANT, f"not known whether it is stale: {'; '.join(one.unknown) or 'it was not observed'}"
    if only_stale and not one.is_stale:
        return FRESH, "nothing on disk is newer than its process"
    return DUE, one.evidence[0] if one.evidence else "it is selected"


def rolling_plan(
    observed: t.Mapping[str, t.Any],
    described: t.Mapping[str, t.Any],
    settings: t.Mapping[str, t.Any],
    now: float,
    dry_runs: t.Mapping[str, t.Any] | None = None,
    width: int = WIDTH,
    domains: t.Mapping[str, t.Any] | None = None,
    approved: ApprovedPlan | None = None,
) -> dict[str, t.Any]:
    """Which services to restart, in which order and how many hosts at a time, or why none.

    ``settings``: the variables of the playbook; ``now``: before the fleet was observed, in seconds since the epoch;
    ``dry_runs``: host -> the results of dry runs there. ``domains``: host -> its failure domains.
    ``approved``: what may be restarted, and nothing else.
    """
    selection = Selection.from_dict(settings)
    found = candidates(observed, described, selection)
    _check_selection(selection, found, observed, described)
    began, goes_on = _begin(found, settings, now, selection.only_stale, approved)
    rows = [_shown(one, *verdict_of(one, began, now, selection.only_stale)) for one in found]
    if approved is not None:
        narrow_restarts(rows, approved, observed)
    _add_dry_runs(rows, dry_runs or {})
    due = [row for row in rows if row["verdict"] == DUE]
    batches = _batches(due, settings.get("lifecycle_serial") or 1, domains or {}, approved)
    order = list(itertools.chain.from_iterable(batches))
    refusal = _too_many(rows, settings) if due else ""
    sizes = list(map(len, batches))
    plan = {
        "run": run_name(began),
        "began": float(int(began)),
        "continues": goes_on,
        "hosts": [] if refusal else order,
        "batches": [] if refusal else sizes,
        "services": _labels(due, order),
        "expected": _expected(due) if approved is not None else {},
        "due": order,
        "unknown": _hosts_with(rows, UNKNOWN),
        "refusal": refusal,
        "guard": "max_unhealthy" if refusal else "",
        "rows": rows,
    }
    heading = approved.lines(observed) if approved is not None else []
    return {**plan, "lines": [*heading, *plan_lines(plan, sizes, width)]}


def _begin(
    found: t.Sequence[Candidate],
    settings: t.Mapping[str, t.Any],
    now: float,
    only_stale: bool,
    approved: ApprovedPlan | None,
) -> tuple[float, bool]:
    """When the run began, and whether it continues an interrupted one."""
    given = settings.get("lifecycle_restart_since")
    own = begin_of(found, now, now if given == "now" else given, only_stale)
    if approved is None:
        return own
    # What was restarted since the plan was made is done: started again, the run goes on with the rest of the plan.
    return instant(approved.run), any(one.made == approved.run for one in found)


def _expected(due: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """host -> label -> the options that bind the restart to what was approved."""
    found: dict[str, dict[str, t.Any]] = {}
    for row in due:
        bound = {"expected_state": [row["state"]], "expected_invocation": row["invocation"]}
        found.setdefault(row["host"], {})[row["label"]] = bound
    return found


def _labels(due: t.Sequence[t.Mapping[str, t.Any]], order: t.Sequence[str]) -> dict[str, list[str]]:
    """host -> the labels of its services to restart."""
    return {host: [row["label"] for row in due if row["host"] == host] for host in order}


def _hosts_with(rows: t.Sequence[t.Mapping[str, t.Any]], *verdicts: str) -> list[str]:
    return list(dict.fromkeys(row["host"] for row in rows if row["verdict"] in verdicts))


def _shown(one: Candidate, verdict: str, why: str) -> dict[str, t.Any]:
    row = one.row
    details = row.observation.details
    return {
        "host": row.host,
        "service": row.service,
        "label": row.label,
        "scope": row.scope,
        "kind": row.kind,
        "state": row.state,
        "invocation": row.observation.invocation or "",
        "verdict": verdict,
        "is_due": verdict == DUE,
        "why": why,
        "stale": one.is_stale,
        "evidence": list(one.evidence),
        "version": as_text(details.get("version")),
        "group": row.network or row.replica_of or "",
        "may_vote": row.may_vote,
        "replica_of": row.replica_of or "",
        "plan": _SHOWN[verdict],
        "guard": "chain_stalled" if verdict == CHAIN_STALLED else NOT_HEALTHY if verdict == NEEDS_RECOVERY else "",
    }


def _add_dry_runs(rows: t.Sequence[dict[str, t.Any]], dry_runs: t.Mapping[str, t.Any]) -> None:
    """Put what dry runs said into the rows that are due."""
    left = {host: list(as_mappings(some)) for host, some in dry_runs.items()}
    for row in rows:
        mine = left.get(row["host"], [])
        given = next((one for one in mine if one.get(ASKED) == row["service"]), None)
        if row["verdict"] != DUE or given is None:
            continue
        mine.remove(given)
        result = ServiceResult.from_dict(given)
        if not result.reached:
            refusal = next(iter(result.refusals), None)
            row["guard"] = refusal.guard if refusal and refusal.guard else "error"
            row["plan"] = f"refuse ({row['guard']})"
            row["why"] = refusal.reason if refusal else result.msg or "no reason given"
            row["next"] = next(iter(result.hints), "")


def _check_selection(
    selection: Selection,
    found: t.Sequence[Candidate],
    observed: t.Mapping[str, t.Any],
    described: t.Mapping[str, t.Any],
) -> None:
    """Refuse an empty selection: a misspelt name would look like a fleet that is up to date."""
    if found:
        return
    rows = read_fleet(observed, described)
    known = {
        "name": [row.service for row in rows],
        "kind": [row.kind for row in rows],
        "chain": [as_text(row.observation.details.get("genesis")) for row in rows],
        "tunnel": [as_text(row.observation.details.get("tunnel_name")) or row.replica_of or "" for row in rows],
    }
    for part, wanted in zip(
        _PARTS, (selection.kinds, selection.chains, selection.tunnels, selection.names), strict=True
    ):
        there = list(dict.fromkeys(filter(None, known[part])))
        for one in wanted:
            if any(fnmatch.fnmatchcase(name.lower(), f"{one.lower()}*") for name in there):
                continue
            near = difflib.get_close_matches(one, there, 1)
            meant = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(there[:5]) or 'none'}"
            raise FleetError(f"lifecycle_only_{part}: no service of the run has {part} {one!r}{meant}")
    if selection != Selection(only_stale=selection.only_stale):
        raise FleetError("lifecycle_only_kind, _chain, _tunnel and _name together select no service of the run")


def _in_order(due: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """The hosts: those without a vote or a replica first, then those with connectors, those with validators last."""
    rank: dict[str, int] = {}
    for row in due:
        rank[row["host"]] = max(rank.get(row["host"], 0), 2 if row["may_vote"] else 1 if row["replica_of"] else 0)
    return sorted(rank, key=lambda host: rank[host])


def _batches(
    due: t.Sequence[t.Mapping[str, t.Any]],
    serial: t.Any,
    domains: t.Mapping[str, t.Any],
    approved: ApprovedPlan | None,
) -> list[list[str]]:
    """The hosts of each batch: never two with a validator, with replicas of one tunnel, or of one failure domain."""
    order = _in_order(due)
    keys: dict[str, list[_waves.Key]] = {host: _waves.domain_keys(domains.get(host) or {}) for host in order}
    for row in due:
        if row["may_vote"]:
            keys[row["host"]].append(_waves.Key("validator", ""))
        if row["replica_of"]:
            keys[row["host"]].append(_waves.Key("tunnel", row["replica_of"]))
    members = [_waves.WaveMember(host, tuple(dict.fromkeys(keys[host]))) for host in order]
    if approved is not None:
        return [batch for wave in approved.waves(members) for batch in wave]
    return _waves.in_series(members, serial)


def _too_many(rows: t.Sequence[t.Mapping[str, t.Any]], settings: t.Mapping[str, t.Any]) -> str:
    unwell = len(_hosts_with(rows, *_REFUSED, UNKNOWN))
    hosts = len({row["host"] for row in rows})
    limit = settings.get("lifecycle_max_unhealthy", "50%")
    allowed = _waves.allowed_unhealthy(limit, hosts)
    if unwell <= allowed:
        return ""
    return (
        f"{unwell} of {count(hosts, 'host')} have services of the selection that are not healthy or are unknown, more "
        f"than lifecycle_max_unhealthy={limit} ({allowed}). Recover them first, or raise lifecycle_max_unhealthy for "
        f"this run"
    )


def plan_lines(plan: t.Mapping[str, t.Any], sizes: t.Sequence[int], width: int = WIDTH) -> list[str]:
    """The plan as a person reads it."""
    rows = plan["rows"]
    lines = [_counts(rows)]
    began = "continues run" if plan["continues"] else "run"
    lines.append(
        f"{began} {plan['run']}, to continue it after an interruption: -e lifecycle_restart_since={plan['run']}"
    )
    shown = [row for row in rows if row["verdict"] not in (DONE, FRESH)]
    place = {host: number for number, host in enumerate(plan["due"])}
    shown.sort(key=lambda row: place.get(row["host"], len(place)))
    if shown:
        table = [("HOST", "SERVICE", "STATE", "PLAN", "WHY")]
        table += [(row["host"], row["label"], row["state"], row["plan"], row["why"]) for row in shown]
        lines += ["", *render(table, width)]
    lines += [f"next for {row['host']} {row['label']}: {row['next']}" for row in shown if row.get("next")]
    mixed = version_lines(rows)
    lines += ["", *mixed] if mixed else []
    if plan["refusal"]:
        return [*lines, "", f"REFUSED: {plan['refusal']}."]
    if plan["due"]:
        lines += ["", f"Order: {' | '.join(', '.join(batch) for batch in split(plan['due'], sizes))}"]
    return lines


def _counts(rows: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """How many services are restarted, and how many need no restart any more, in a sentence."""
    counts = Counter(row["verdict"] for row in rows)
    services = sum(row["service"] != "-" for row in rows)
    hosts = count(len({row["host"] for row in rows}), "host")
    phrases = {DONE: "restarted since the run began", FRESH: "not stale"}
    more = "".join(f", {counts[verdict]} {words}" for verdict, words in phrases.items() if counts[verdict])
    return f"{counts[DUE]} of {count(services, 'service')} on {hosts} to restart{more}"


def split(order: t.Sequence[str], sizes: t.Sequence[int]) -> list[list[str]]:
    """The hosts of each batch."""
    left = iter(order)
    return [list(itertools.islice(left, size)) for size in sizes]


def version_lines(rows: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """The versions within each chain and tunnel that has more than one: the normal case of an upgrade."""
    groups: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row["group"] and row["version"]:
            groups.setdefault(row["group"], {}).setdefault(row["version"], []).append(row["host"])
    return [
        f"Versions in {group[:12]}: "
        + "; ".join(f"{version} on {', '.join(hosts)}" for version, hosts in sorted(found.items()))
        for group, found in groups.items()
        if len(found) > 1
    ]


def services_to_restart(
    observed: t.Any,
    described: t.Any,
    labels: t.Any = None,
    hooks: t.Mapping[str, t.Any] | None = None,
    expected: t.Mapping[str, t.Any] | None = None,
) -> list[dict[str, t.Any]]:
    """The services of one host to restart now, as the role service_recovery takes them.

    ``labels``: those that are meant, all that are healthy where none is given. ``hooks``: the variables of the role,
    as they are given. ``expected``: label -> the options that bind a restart to what was approved. One that is not
    healthy any more has a ``refusal``.
    """
    given = as_mappings(as_mapping(observed).get("services"))
    entries = observed_entries(described, given)
    wanted = read_one("rolling_restart_labels", labels) if is_given(labels) else []
    called = {when: _hooks(f"rolling_restart_{when}", hooks or {}) for when in ("before", "after")}
    rows = [make_row("", ObservationView.from_dict(one), entry) for entry, one in zip(entries, given, strict=True)]
    unknown = set(wanted) - {row.label for row in rows}
    if unknown:
        raise FleetError(f"rolling_restart_labels: {sorted(unknown)[0]!r} is no service of this host")
    return [
        {**_to_restart(row, entry, one, as_mapping((expected or {}).get(row.label))), "hooks": called}
        for row, entry, one in zip(rows, entries, given, strict=True)
        if (row.label in wanted if wanted else _candidate(row, {}).is_eligible)
    ]


def _hooks(name: str, given: t.Mapping[str, t.Any]) -> list[str]:
    return list(read_one(name, given[name])) if is_given(given.get(name)) else []


def _to_restart(
    row: Row, entry: dict[str, t.Any], observation: t.Mapping[str, t.Any], expected: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    asked = {key: value for key, value in entry.items() if key != "expected_state"}
    asked = {"daemon_reload": True, **asked, **expected, "state": "restarted"}
    verdict = HELD if row.observation.hold else row.verdict
    need = {
        "kind": row.kind,
        **asked,
        "entry": asked,
        "observation": dict(observation),
        "causes": [],
        "label": row.label,
    }
    return {
        **need,
        "may_vote": row.may_vote,
        "fixes": fixes(need, (), ()),
        "state_before": shown_state(observation),
        "takes_offline": takes_offline(need),
        "serves": serves(need),
        "takes_part": row.kind == "besu" and row.state == "consensus",
        "refusal": "" if verdict == OK else f"it is {row.state} ({verdict}): only a healthy service is restarted",
    }
