# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet as the controller sees it: every service of every host, and whether it needs recovery. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import RETRYING
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import GENERIC, FleetTraits
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    ObservationView,
    as_mapping,
    as_text,
    message_of,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._service_entry import split_entries

OK = "ok"
TRANSITIONING = "transitioning"
NEEDS_RECOVERY = "needs_recovery"
HELD = "held"
CHAIN_STALLED = "chain_stalled"
UNKNOWN = "unknown"

# The verdicts, the worst first, as a person reads their counts.
SHOWN = {
    UNKNOWN: "unknown",
    CHAIN_STALLED: "of a stalled chain",
    NEEDS_RECOVERY: "in need of recovery",
    HELD: "held",
    TRANSITIONING: "in transition",
    OK: "ok",
}
NO_SERVICES = "No host has services: describe them in the inventory variable lifecycle_services."


@dataclass(frozen=True)
class Row:
    """One service of one host, and its verdict."""

    host: str
    service: str
    kind: str = "generic"
    state: str = m.UNKNOWN
    desired: str = m.RUNNING
    verdict: str = UNKNOWN
    cause: str = ""
    age: float | None = None
    why: str = ""
    may_vote: bool = False
    down: bool = False
    observation: ObservationView = field(default_factory=lambda: ObservationView("-"))
    scope: str = "system"
    network: str | None = None

    @property
    def label(self) -> str:
        """The service as a person tells it from one of the same name in the other scope."""
        return f"{self.service} of the user" if self.scope == "user" else self.service

    @property
    def in_network(self) -> bool:
        """Whether it is of a kind whose services form networks, such as the nodes of a chain."""
        return traits_of(self.kind).network_of is not None

    @property
    def has_replicas(self) -> bool:
        """Whether it is of a kind that is run in replicas, such as the connectors of a tunnel."""
        return traits_of(self.kind).replica_of is not None

    @property
    def replica_of(self) -> str | None:
        """What its replicas serve as well, where that is known."""
        tell = traits_of(self.kind).replica_of
        return tell(self.observation.details) if tell else None

    @property
    def is_host(self) -> bool:
        """Whether this is a row for a host on which nothing was observed."""
        return self.service == "-"

    @property
    def explanation(self) -> str:
        return f"{self.cause}: {self.why}" if self.cause and self.cause != self.why else self.why


def usable_entries(described: t.Any) -> list[dict[str, t.Any]]:
    """The usable descriptions of a host, each a dictionary."""
    return _as_entries(split_entries(described or [])[0])


def _as_entries(usable: t.Sequence[t.Any]) -> list[dict[str, t.Any]]:
    return [dict(entry) if isinstance(entry, t.Mapping) else {"name": entry} for entry in usable]


def matched_entries(names: t.Sequence[t.Any], entries: t.Sequence[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """The description of each observed name: that in its place, as a name may be in both scopes; else by the name."""
    if list(names) == [entry.get("name") for entry in entries]:
        return list(entries)
    by_name = {entry["name"]: entry for entry in entries if "name" in entry}
    return [by_name.get(name, {}) for name in names]


def observed_entries(described: t.Any, observed: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """The usable descriptions of a host. Raises FleetError where others were observed."""
    entries = usable_entries(described)
    if [entry["name"] for entry in entries] != [one.get("name") for one in observed]:
        raise FleetError("the services that are described are not those that were observed; observe the same")
    return entries


def read_fleet(observed: t.Mapping[str, t.Any], described: t.Mapping[str, t.Any] | None = None) -> list[Row]:
    """The rows of the fleet, in the order of its hosts.

    ``observed``: host -> what service_info returned there (or that the host was
    not reached); ``described``: host -> its lifecycle_services, for the
    state that is desired of each service (running, where nothing is said).
    """
    rows: list[Row] = []
    for host, result in observed.items():
        found = as_mapping(result).get("services")
        if not isinstance(found, (list, tuple)):
            rows.append(Row(host, "-", why=_no_answer(result)))
            continue
        observations = [ObservationView.from_dict(one) for one in found]
        usable, refused = split_entries((described or {}).get(host) or [])
        entries = matched_entries([one.name for one in observations], _as_entries(usable))
        rows += [make_row(host, observation, entry) for observation, entry in zip(observations, entries, strict=True)]
        rows += [Row(host, name, why=why) for name, why in refused]
    return rows


def _no_answer(result: t.Any) -> str:
    if not isinstance(result, t.Mapping):
        return "was not observed"
    return message_of(result) or "no answer"


def make_row(host: str, observed: ObservationView, entry: t.Mapping[str, t.Any]) -> Row:
    """The row of one observation; ``entry``: what the inventory says of the service."""
    desired = as_text(entry.get("state")) or m.RUNNING
    traits, options = traits_of(observed.kind), as_mapping(entry.get(observed.kind))
    first = observed.diagnosis.first
    why = first.summary if first else next(iter(observed.reasons), "")
    if observed.hold:
        why = f"held by {observed.hold.owner}: {observed.hold.reason}; {why}"
    return Row(
        host=host,
        service=observed.name,
        kind=observed.kind,
        state=observed.state,
        desired=desired,
        verdict=_verdict(observed, desired),
        cause=first.id if first else observed.cause,
        age=observed.age,
        why=why,
        may_vote=traits.may_vote(observed.details, options),
        down=observed.process_is_down,
        observation=observed,
        scope=as_text(entry.get("scope")) or "system",
        network=traits.network_of(observed.details, options) if traits.network_of else None,
    )


def resumed(row: Row) -> Row:
    """The row as a recovery takes it: a start that an earlier run began, and saw no end of, is its own to wait for."""
    observed = row.observation
    if row.verdict != TRANSITIONING or row.state != m.STARTING or observed.begun is None:
        return row
    return replace(
        row, verdict=NEEDS_RECOVERY, why=f"its start was begun by {observed.begun or 'a run'}, which saw no end of it"
    )


def traits_of(kind: str) -> FleetTraits:
    return KINDS.get(kind, GENERIC).traits


def _verdict(observed: ObservationView, desired: str) -> str:
    machine = KINDS.get(observed.kind, GENERIC).machine
    goal = machine.targets.get(desired, machine.targets[m.RUNNING])
    if observed.state == m.UNKNOWN or observed.state not in machine.states:
        return UNKNOWN
    # A recovery says why nothing helps, or waits where that was put right since.
    fails_for_good = RETRYING in observed.flags and desired != m.STOPPED
    if (
        observed.state in goal
        and not fails_for_good
        and not (desired == m.SUCCEEDED and "no_next_run" in observed.flags)
    ):
        return OK
    if observed.hold:
        return HELD
    if observed.cause and observed.cause == traits_of(observed.kind).stall_cause and desired != m.STOPPED:
        return CHAIN_STALLED
    if not fails_for_good and _comes_by_itself(machine, observed.state, goal, desired):
        return TRANSITIONING
    return NEEDS_RECOVERY


def _comes_by_itself(machine: m.Machine, state: str, goal: t.Collection[str], desired: str) -> bool:
    """Whether a service is on its way to its goal, and nothing has to be done for it."""
    base = machine.base(state)
    transient = base in (m.STARTING, m.RESTARTING, m.RUNNING) or (state == m.STOPPING and desired == m.STOPPED)
    return transient and machine.comes_by_itself(state, goal)
