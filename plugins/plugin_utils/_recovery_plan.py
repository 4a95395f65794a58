# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans which hosts to recover, in which order and how many at a time, or refuses. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _besu_networks, _waves
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._approved_plan import ApprovedPlan, narrowed
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
    OK,
    UNKNOWN,
    Row,
    read_fleet,
    resumed,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._parallel_recovery import goes_alone
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._plan_text import plan_lines, planned_row
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._planned_row import RESTART_ALL, PlannedRow
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import ServiceResult, as_mappings
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import WIDTH, count

# Among units that are down: to bring one back costs the fleet nothing, so these come first.
_RANK = {m.STOPPED: 0, m.ERROR: 1, m.RESTARTING: 2}
# A validator that runs, and is in need all the same, counts for its quorum until it is restarted.
_RISK_OF_QUORUM = 2
# How many hosts the title of a turn names.
_NAMED = 8


class PlanRefusal(t.NamedTuple):
    """Why the run does not touch anything; without a reason it is not refused."""

    guard: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Pacing:
    """How fast a fleet is recovered.

    ``serial`` goes before ``waves`` where it is given. ``domains``: host of the inventory -> variable -> its values.
    ``soak``: seconds after a wave before the fleet is observed again; 0 to go on at once and without observing it.
    """

    serial: t.Any = None
    waves: t.Sequence[t.Any] | None = None
    domains: t.Mapping[str, t.Mapping[str, t.Any]] | None = None
    soak: float = 0.0


_AT_ONCE = Pacing()


def recovery_plan(
    observed: t.Mapping[str, t.Any],
    described: t.Mapping[str, t.Any],
    max_unhealthy: t.Any = "50%",
    network_info: t.Mapping[str, t.Any] | None = None,
    quorum_lost: str = "refuse",
    dry_runs: t.Mapping[str, t.Any] | None = None,
    width: int = WIDTH,
    pacing: Pacing = _AT_ONCE,
    approved: ApprovedPlan | None = None,
    has_fixes: bool = True,
) -> dict[str, t.Any]:
    """Which hosts to recover, in which order and how many at a time, or why none.

    Hosts that cannot be observed count as unhealthy and are not acted on:
    what cannot be seen cannot be recovered, and may be a sign of a larger fault.
    ``network_info``: what besu_network_info returned. ``quorum_lost``: restart_all where a person
    asked for that; the hosts of stalled chains are then in ``restart_all``.
    ``dry_runs``: host -> the results of dry runs there. ``approved``: what may be done, and nothing else.
    ``has_fixes``: whether a service may have fixes that are tasks, such as hooks.
    """
    if quorum_lost not in ("refuse", "restart_all"):
        raise FleetError(f"quorum_lost: {quorum_lost!r} is unknown; give refuse or restart_all")
    hosts = list(observed)
    rows = _rows(read_fleet(observed, described), network_info or {}, approved)
    together = _stalled_hosts(rows) if quorum_lost == "restart_all" else []
    unhealthy = {row.host for row in rows if row.verdict in (NEEDS_RECOVERY, UNKNOWN)} - set(together)
    planned = _planned(rows, dry_runs or {}, set(together))
    if approved is not None:
        planned, together = narrowed(planned, together, approved)
    waves = _waves_of(planned, hosts, set(together), pacing, approved)
    needy = _hosts_of(waves)
    too_many = _refusal(len(unhealthy) if needy else 0, len(hosts), max_unhealthy)
    refusal = _stall_refusal(rows, together) or too_many
    lines = plan_lines(planned, together, waves, hosts, refusal.reason, width, pacing.soak)
    alone = _going_alone(planned, together) if not has_fixes else set(hosts)
    work = _Work([], [], [], frozenset()) if refusal.reason else _Work(waves, together, hosts, frozenset(alone))
    return {
        **_order_of_work(work, pacing.soak),
        **_approval(approved, planned, rows, hosts, [*together, *needy]),
        "due": [*together, *needy],
        "unknown": _hosts_with(UNKNOWN, rows),
        "stalled": _hosts_with(CHAIN_STALLED, rows),
        "refusal": refusal.reason,
        "guard": refusal.guard,
        "rows": [_shown(one) for one in planned],
        "lines": [*_heading(approved, hosts), *lines, *_ending(rows, network_info or {})],
    }


def _rows(found: t.Iterable[Row], network_info: t.Mapping[str, t.Any], approved: ApprovedPlan | None) -> list[Row]:
    """The services as they are to be judged. A start under way that was not approved is left alone."""
    rows = [_with_network(row, network_info) for row in found]
    return [resumed(row) if approved is None or approved.has(row) else row for row in rows]


def _hosts_of(waves: t.Sequence[_waves.Wave]) -> list[str]:
    return [host for wave in waves for batch in wave for host in batch]


def _hosts_with(verdict: str, rows: t.Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.host for row in rows if row.verdict == verdict))


class _Work(t.NamedTuple):
    """Who is recovered: ``together`` first, then in ``waves``.

    ``alone``: the hosts with services that have steps of their own.
    """

    waves: t.Sequence[_waves.Wave]
    together: t.Sequence[str]
    everyone: t.Sequence[str]
    alone: frozenset[str]


def _going_alone(planned: t.Sequence[PlannedRow], together: t.Iterable[str]) -> set[str]:
    """The hosts whose services in need are not all driven by one task."""
    due = [one.row for one in planned if one.row.verdict != OK]
    return {row.host for row in due if goes_alone({"kind": row.kind})} | set(together)


def _order_of_work(work: _Work, soak: float) -> dict[str, t.Any]:
    """The hosts that are worked on, in their order and number."""
    waves, together = work.waves, work.together
    turns = _turns(work, soak)
    return {
        "hosts": _hosts_of(waves),
        "batches": [len(batch) for wave in waves for batch in wave],
        "waves": [_shown_wave(wave, soak > 0 and wave is not waves[-1]) for wave in waves],
        "restart_all": list(together),
        "turns": [turn.as_dict(number) for number, turn in enumerate(turns)],
        "turn_hosts": [list(turn.hosts) for turn in turns],
    }


def _approval(
    approved: ApprovedPlan | None,
    planned: t.Sequence[PlannedRow],
    rows: t.Sequence[Row],
    hosts: t.Sequence[str],
    due: t.Sequence[str],
) -> dict[str, t.Any]:
    """What an approved plan lets this run do, and what of it is obsolete."""
    if approved is None:
        return {"acts": {}, "obsolete": []}
    return {"acts": _acts(planned, due), "obsolete": approved.obsolete(rows, hosts)}


def _heading(approved: ApprovedPlan | None, hosts: t.Sequence[str]) -> list[str]:
    return list(approved.lines(hosts)) if approved is not None else []


def _ending(rows: t.Sequence[Row], network_info: t.Mapping[str, t.Any]) -> list[str]:
    """The lines below the plan."""
    chain = chain_lines(rows, network_info)
    return [*([] if rows else [NO_SERVICES]), *(["", *chain] if chain else [])]


def _acts(planned: t.Sequence[PlannedRow], due: t.Sequence[str]) -> dict[str, list[dict[str, t.Any]]]:
    """host -> the rows that may be acted on there."""
    found: dict[str, list[dict[str, t.Any]]] = {host: [] for host in due}
    for one in planned:
        wanted = one.row.verdict == NEEDS_RECOVERY or one.verb == RESTART_ALL
        if wanted and not one.is_left and one.row.host in found:
            found[one.row.host].append(_shown(one))
    return found


class Turn(t.NamedTuple):
    """What is done before the next: ``tasks`` of the playbook; ``on_host`` are those of each of its ``hosts``."""

    tasks: str
    title: str
    hosts: t.Sequence[str]
    wave: int
    on_host: str = "recover_host"

    def as_dict(self, number: int) -> dict[str, t.Any]:
        """Without its hosts: each host of a run returns all turns, so that they must not grow with the fleet."""
        named = {"title": self.title, "tasks": self.tasks, "on_host": self.on_host}
        return {"number": number, **named, "wave": self.wave}


def _turns(work: _Work, soak: float) -> list[Turn]:
    """What is done one after the other.

    What a turn has harmed is found before the next, and where the fleet is observed in between, by that. After
    the last one nothing is left to stop. Where it is the turn of all hosts nobody has to be passed over. The turn right
    after such an observation, be it that of the plan, goes by it, so that its hosts are not observed again.
    """
    waves, together, everyone, alone = work
    turns = [_turn("recover_some", "Together: ", together, 0)] if together else []
    for number, wave in enumerate(waves, 1):
        of = f"Wave {number} of {len(waves)}: " if len(waves) > 1 else ""
        turns += [_turn("recover_some", of, batch, number) for batch in wave]
        if soak > 0 and number < len(waves):
            turns[-1] = turns[-1]._replace(tasks="recover_last")
            turns.append(Turn("observe_again", f"Observe the fleet after wave {number}", everyone, number))
    after_observation = [0, *(place for place, turn in enumerate(turns, 1) if turn.tasks == "observe_again")]
    for place in after_observation if turns else ():
        if not alone & set(turns[place].hosts):
            turns[place] = turns[place]._replace(on_host="recover_at_once")
    if turns:
        is_everyone = set(turns[-1].hosts) == set(everyone)
        turns[-1] = turns[-1]._replace(tasks=turns[-1].on_host if is_everyone else "recover_last")
    return turns


def _turn(tasks: str, what: str, hosts: t.Sequence[str], wave: int) -> Turn:
    more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
    return Turn(tasks, f"{what}{', '.join(hosts[:_NAMED])}{more}", hosts, wave)


def _shown_wave(wave: _waves.Wave, observe_after: bool) -> dict[str, t.Any]:
    """``observe_after``: whether the fleet is observed after it."""
    return {
        "hosts": [host for batch in wave for host in batch],
        "batches": [len(one) for one in wave],
        "observe_after": observe_after,
    }


def _waves_of(
    planned: t.Sequence[PlannedRow],
    hosts: t.Sequence[str],
    together: t.Container[str],
    pacing: Pacing,
    approved: ApprovedPlan | None,
) -> list[_waves.Wave]:
    needs: dict[str, list[PlannedRow]] = {}
    for one in planned:
        if one.row.verdict == NEEDS_RECOVERY and not one.is_left and one.row.host not in together:
            needs.setdefault(one.row.host, []).append(one)
    place = {host: number for number, host in enumerate(hosts)}
    order = sorted(needs, key=lambda host: (*_order(needs[host]), place[host]))
    down = _domains_down(planned, pacing.domains or {})
    members = [_member(host, needs[host], pacing.domains or {}, down) for host in order]
    if approved is not None:
        return approved.waves(members)
    if pacing.serial is not None:
        return [wave for wave in [_waves.in_series(members, pacing.serial)] if wave]
    return _waves.in_waves(members, _waves.DEFAULT if pacing.waves is None else pacing.waves)


def _order(mine: t.Sequence[PlannedRow]) -> tuple[int, int, int, bool]:
    """Where something can be done, and there down already, then no validators, then validators."""
    votes = any(one.row.may_vote for one in mine)
    return (all(one.is_refused for one in mine), _risk(mine), min(_RANK.get(one.row.state, 3) for one in mine), votes)


def _risk(mine: t.Sequence[PlannedRow]) -> int:
    return max(0 if one.row.down else _RISK_OF_QUORUM if one.row.may_vote else 1 for one in mine)


def _member(
    host: str,
    mine: t.Sequence[PlannedRow],
    domains: t.Mapping[str, t.Mapping[str, t.Any]],
    down: t.Container[_waves.Key],
) -> _waves.WaveMember:
    rows = [one.row for one in mine]
    keys = [_waves.Key("chain", row.network) for row in rows if row.may_vote]
    keys += [_waves.Key("tunnel", row.replica_of) for row in rows if row.has_replicas]
    keys += [key for key in _waves.domain_keys(domains.get(host) or {}) if key not in down]
    return _waves.WaveMember(host, tuple(dict.fromkeys(keys)), _risk(mine) == _RISK_OF_QUORUM)


def _domains_down(planned: t.Sequence[PlannedRow], domains: t.Mapping[str, t.Mapping[str, t.Any]]) -> set[_waves.Key]:
    """The failure domains in which nothing is up, so that bringing them back takes nothing offline.

    A host that was not observed may be up, and so may be one of the inventory that this run leaves alone.
    """
    up = {one.row.host for one in planned if not one.row.down}
    hosts_observed = {one.row.host for one in planned} - up
    found: set[_waves.Key] = set()
    lives: set[_waves.Key] = set()
    for host, values in domains.items():
        (found if host in hosts_observed else lives).update(_waves.domain_keys(values))
    unknown = {key.sort for key in lives if key.value is None}
    return {key for key in found - lives if key.value is not None and key.sort not in unknown}


def _planned(rows: t.Sequence[Row], dry_runs: t.Mapping[str, t.Any], together: t.Container[str]) -> list[PlannedRow]:
    left = {host: [ServiceResult.from_dict(one) for one in as_mappings(some)] for host, some in dry_runs.items()}
    found: list[PlannedRow] = []
    for row in rows:
        mine = left.get(row.host, [])
        result = next((one for one in mine if one.name == row.service), None)
        if result is not None and row.verdict == NEEDS_RECOVERY:
            mine.remove(result)  # one of the same name in the other scope has a result of its own
        found.append(planned_row(row, result, row.host in together))
    return found


def _refusal(unhealthy: int, hosts: int, max_unhealthy: t.Any) -> PlanRefusal:
    allowed = _waves.allowed_unhealthy(max_unhealthy, hosts)
    if unhealthy <= allowed:
        return PlanRefusal()
    return PlanRefusal(
        "max_unhealthy",
        f"{unhealthy} of {count(hosts, 'host')} need recovery or are unknown, more than "
        f"lifecycle_max_unhealthy={max_unhealthy} ({allowed}). A failure of this many usually has a common cause; find "
        f"it before recovering host by host. To go on all the same, raise lifecycle_max_unhealthy for this run",
    )


def _with_network(row: Row, network_info: t.Mapping[str, t.Any]) -> Row:
    """A chain is stalled if no node sees it advance; a node that says otherwise needs recovery itself.

    The last validator that is left of a chain says that it has no peers.
    """
    network = _besu_networks.find_network(network_info, genesis_of(row)) or {}
    if row.verdict == CHAIN_STALLED:
        return replace(row, verdict=NEEDS_RECOVERY) if network.get("advances") else row
    alone = row.verdict == NEEDS_RECOVERY and not row.down and row.observation.cause == "no_peers"
    return replace(row, verdict=CHAIN_STALLED) if alone and StallView.of(row) and network.get("stalled") else row


def _stalled_hosts(rows: t.Sequence[Row]) -> list[str]:
    """The hosts of stalled chains: those that say so, and nodes in need that may be of the same chain."""
    chains = {genesis_of(row) for row in rows if row.verdict == CHAIN_STALLED}
    if not chains:
        return []
    of_them = {None, *chains}
    return list(
        dict.fromkeys(
            row.host
            for row in rows
            if row.verdict == CHAIN_STALLED
            or (row.in_network and row.verdict == NEEDS_RECOVERY and genesis_of(row) in of_them)
        )
    )


def _stall_refusal(rows: t.Sequence[Row], together: t.Sequence[str]) -> PlanRefusal | None:
    """A stalled chain stops the run, unless its validators are restarted at the same time."""
    stalled = [row for row in rows if row.verdict == CHAIN_STALLED]
    if not stalled or together:
        return None
    reported = [stall for stall in map(StallView.of, best_informed(rows)) if stall]
    message = "; ".join(f"{stall.why}; {stall.advice}" for stall in reported) or stalled[0].why
    down = [row.host for row in rows if row.in_network and row.verdict in (NEEDS_RECOVERY, UNKNOWN)]
    missing = f" In need or unknown: {', '.join(down)}." if down else ""
    return PlanRefusal(
        "chain_stalled",
        f"a chain is stalled ({message}).{missing} No action on a single node helps. "
        f"lifecycle_quorum_lost=restart_all starts the missing validators, then restarts all of them at the same time",
    )


def _shown(planned: PlannedRow) -> dict[str, t.Any]:
    row = planned.row
    return {
        "host": row.host,
        "service": row.service,
        "scope": row.scope,
        "kind": row.kind,
        "state": row.state,
        "desired": row.desired,
        "verdict": row.verdict,
        "cause": row.cause,
        "invocation": row.observation.invocation,
        "plan": planned.verb,
        "guard": planned.guard,
        "why": planned.why,
    }
