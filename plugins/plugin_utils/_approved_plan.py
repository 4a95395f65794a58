# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as data that a person approves, and which of its acts are still valid. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

The shape is public: docs/schemas/lifecycle_plan.json describes it. It holds
names, states, invocations and identifiers of causes, and no text that a
service wrote, in which there could be a secret. The digest is no signature: it
ties what runs to what was shown.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.state_machine import STARTING
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _outcomes as o
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import NEEDS_RECOVERY, OK, Row
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import neutralise
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._planned_row import APPROVED, RESTART_ALL, PlannedRow
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import as_mapping, as_mappings
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._service_entry import split_entries
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import count, duration
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._waves import Wave, WaveMember, in_batches

VERSION = 1
RECOVER, RESTART = "recover", "rolling_restart"
VARIABLE = "lifecycle_plan_approved"
# Playbook -> what decides which services it acts on and how, so that another value would make another plan.
SETTINGS: t.Mapping[str, tuple[str, ...]] = {
    RECOVER: (
        "lifecycle_recovery",
        "lifecycle_quorum_lost",
        "service_recovery_accept_causes",
        "service_recovery_fixes",
        "service_recovery_hooks",
    ),
    RESTART: (
        "lifecycle_only_kind",
        "lifecycle_only_chain",
        "lifecycle_only_tunnel",
        "lifecycle_only_name",
        "lifecycle_only_stale",
        "rolling_restart_before",
        "rolling_restart_after",
    ),
}
_RUN = re.compile(r"\d{8}T\d{6}Z")
# How far the clock of who made the plan may be ahead.
_SKEW = 60.0
_TEXTS = ("host", "service", "scope", "kind", "state", "invocation", "cause", "act")
_NUMBERS = ("wave", "batch")
_OF_ROW = ("host", "service", "scope", "kind", "state", "invocation")
# What a rolling restart does with a service that it may not restart by the plan that was approved.
NOT_APPROVED = "not_approved"
_ANEW = "make a new plan with --check, and have it approved"
_NAMED = 3


@dataclass(frozen=True)
class Act:
    """The planned action on one service, and what it is based on. ``wave`` and ``batch`` are counted from 1."""

    wave: int
    batch: int
    host: str
    service: str
    scope: str
    kind: str
    state: str
    invocation: str
    cause: str
    act: str

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.host, self.service, self.scope)


def plan_document(plan: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Any], now: float) -> dict[str, t.Any]:
    """A plan of ``recovery_plan`` as data to approve. ``now``: seconds since the epoch."""
    place = dict.fromkeys(plan["restart_all"], (0, 0))
    for number, wave in enumerate(plan["waves"], 1):
        hosts = iter(wave["hosts"])
        for batch, size in enumerate(wave["batches"], 1):
            place |= {next(hosts): (number, batch) for _host in range(size)}
    acts = [_act(row, *place[row["host"]]) for row in plan["rows"] if row["host"] in place and _is_act(row)]
    return _document(RECOVER, acts, settings, now)


def restart_document(plan: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Any], now: float) -> dict[str, t.Any]:
    """A plan of ``rolling_plan`` as data to approve: all in one wave. ``now``: seconds since the epoch."""
    hosts = iter(plan["hosts"])
    batch_of = {next(hosts): batch for batch, size in enumerate(plan["batches"], 1) for _host in range(size)}
    acts = [
        {
            "wave": 1,
            "batch": batch_of[row["host"]],
            **{name: row[name] for name in _OF_ROW},
            "cause": "",
            "act": "restart",
        }
        for row in plan["rows"]
        if row["host"] in batch_of and row["is_due"] and not row["guard"]
    ]
    return _document(RESTART, acts, settings, now, run=plan["run"])


def _document(
    playbook: str, acts: list[dict[str, t.Any]], settings: t.Mapping[str, t.Any], now: float, **more: t.Any
) -> dict[str, t.Any]:
    found = {
        "version": VERSION,
        "playbook": playbook,
        "created": int(now),
        "settings": {name: settings[name] for name in SETTINGS[playbook]},
        "acts": sorted(acts, key=lambda act: (act["wave"], act["batch"])),
        **more,
    }
    return {**found, "digest": digest(found)}


def _is_act(row: t.Mapping[str, t.Any]) -> bool:
    return not row["guard"] and (row["plan"] == RESTART_ALL or row["verdict"] == NEEDS_RECOVERY)


def _act(row: t.Mapping[str, t.Any], wave: int, batch: int) -> dict[str, t.Any]:
    kept = {name: row[name] or "" for name in _TEXTS if name != "act"}
    return {"wave": wave, "batch": batch, **kept, "act": row["plan"]}


def digest(document: t.Mapping[str, t.Any]) -> str:
    """The SHA-256 of a plan but for its digest, as JSON with sorted keys, no blanks, and ASCII only."""
    content = {key: value for key, value in document.items() if key != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def document_lines(document: t.Mapping[str, t.Any], max_age: float) -> list[str]:
    """What a person who approves the plan has to see."""
    number = count(len(document["acts"]), "action")
    return [f"Plan {document['digest']}", f"     {number}; it can be approved for {duration(max_age)} from now"]


@dataclass(frozen=True)
class ApprovedPlan:
    """A plan that was approved. ``run``: the name of a rolling restart, empty for a recovery."""

    acts: tuple[Act, ...]
    digest: str
    run: str = ""

    @classmethod
    def from_dict(cls, given: t.Mapping[str, t.Any]) -> ApprovedPlan:
        """A plan that was read and checked, as ``asdict`` made it data."""
        return cls(tuple(Act(**act) for act in given["acts"]), given["digest"], given["run"])

    def has(self, row: Row) -> bool:
        """Whether something was approved for the service."""
        return (row.host, row.service, row.scope) in self._keys

    @functools.cached_property
    def _keys(self) -> set[tuple[str, str, str]]:
        return {act.key for act in self.acts}

    def waves(self, members: t.Sequence[WaveMember]) -> list[Wave]:
        """The waves and batches that were approved, of these hosts.

        What must not be offline together is asked again: since then a part of a
        failure domain may have come up, or a node has said which chain it is on.
        """
        left = {member.host: member for member in members}
        order: dict[int, dict[int, dict[str, WaveMember]]] = {}
        for act in sorted(self.acts, key=lambda act: (act.wave, act.batch)):
            if act.host in left:
                order.setdefault(act.wave, {}).setdefault(act.batch, {})[act.host] = left[act.host]
        return [
            [batch for some in wave.values() for batch in in_batches(list(some.values()))] for wave in order.values()
        ]

    def obsolete(self, rows: t.Sequence[Row], hosts: t.Iterable[str]) -> list[dict[str, str]]:
        """The acts of this run's hosts for which there is nothing to do any more, with their outcome."""
        now = {(row.host, row.service, row.scope): row for row in rows}
        within = set(hosts)
        found: list[dict[str, str]] = []
        for act in self.acts:
            row = now.get(act.key)
            named = {"host": act.host, "service": act.service, "kind": act.kind}
            if row is not None and row.verdict == OK:
                message = "it needed recovery when the plan was made, and no longer does"
                found.append({**named, "outcome": o.SELF_RECOVERED, "reason": message, "guard": ""})
            elif row is None and act.host in within and (act.host, "-", "system") not in now:
                message = f"it was planned to {act.act} it, but the inventory no longer describes it"
                found.append({**named, "outcome": o.REFUSED, "reason": message, "guard": APPROVED})
        return found

    def lines(self, hosts: t.Iterable[str]) -> list[str]:
        """Which plan is carried out, and what of it is for hosts outside of this run."""
        within = set(hosts)
        outside = sum(act.host not in within for act in self.acts)
        rest = f", {outside} of them for hosts outside of this run" if outside else ""
        return [f"Approved: plan {self.digest}, {count(len(self.acts), 'action')}{rest}"]


def narrowed(
    planned: t.Sequence[PlannedRow], together: t.Sequence[str], approved: ApprovedPlan
) -> tuple[list[PlannedRow], list[str]]:
    """The plan without what was not approved or has changed since, and the hosts that are restarted together."""
    acts = {act.key: act for act in approved.acts}
    found = [_checked(one, acts.get((one.row.host, one.row.service, one.row.scope))) for one in planned]
    chain = [one for one, before in zip(found, planned, strict=True) if before.verb == RESTART_ALL]
    if not any(one.is_left for one in chain):
        return found, list(together)
    # A restart of all is one act: with a part of it nobody knows what becomes of the chain.
    why = "its chain is no longer in the state in which the restart of all its validators was approved"
    return [one if one.is_left or one.verb != RESTART_ALL else _left(one, why) for one in found], []


def _checked(one: PlannedRow, act: Act | None) -> PlannedRow:
    if one.verb != RESTART_ALL and one.row.verdict != NEEDS_RECOVERY:
        return one
    if act is None:
        return _left(one, "it is not in the approved plan")
    # What a guard refuses now it may allow at its turn: also then only for what was approved.
    why = _changed(one, act)
    return _left(one, why) if why else one


def _changed(one: PlannedRow, act: Act) -> str:
    """What is not as it was when the plan was made; empty where nothing has changed, and for a start under way.

    A run that was canceled has begun it, and this one waits for its end.
    """
    row = one.row
    if row.state == STARTING and row.observation.begun is not None:
        return ""
    return _differs(
        ("state", act.state, row.state),
        ("invocation", act.invocation, row.observation.invocation),
        ("cause", act.cause, row.cause),
        # The verb of a refusal is the guard's word: nothing is done as long as it holds.
        *(() if one.is_refused else (("plan", act.act, one.verb),)),
    )


def _differs(*then_and_now: tuple[str, str, str]) -> str:
    changes = [
        f"its {what} was {then or 'none'} and is {now or 'none'}" for what, then, now in then_and_now if then != now
    ]
    return f"since the plan was approved {', '.join(changes)}" if changes else ""


def _left(one: PlannedRow, why: str) -> PlannedRow:
    return replace(one, verb=f"leave ({APPROVED})", why=why, guard=APPROVED, next_step=_ANEW)


def narrow_restarts(rows: list[dict[str, t.Any]], approved: ApprovedPlan, hosts: t.Iterable[str]) -> None:
    """Leave of the rows of a rolling restart what was not approved or has changed since, and add what is obsolete.

    ``hosts``: those of this run.
    """
    acts = {act.key: act for act in approved.acts}
    for row in rows:
        act = acts.pop((row["host"], row["service"], row["scope"]), None)
        if row["is_due"]:
            why = "it is not in the approved plan" if act is None else _restart_changed(row, act)
            row.update(_left_restart(why) if why else {})
    within = set(hosts) - {row["host"] for row in rows if row["service"] == "-"}
    why = "its restart was approved, but it is no longer a service of the run"
    rows += [{**_no_row(act), **_left_restart(why)} for act in acts.values() if act.host in within]


def _restart_changed(row: t.Mapping[str, t.Any], act: Act) -> str:
    return _differs(("state", act.state, row["state"]), ("invocation", act.invocation, row["invocation"]))


def _left_restart(why: str) -> dict[str, t.Any]:
    return {"verdict": NOT_APPROVED, "is_due": False, "plan": f"leave ({APPROVED})", "why": why, "guard": APPROVED,
            "next": _ANEW}  # fmt: skip


def _no_row(act: Act) -> dict[str, t.Any]:
    """The row of a service that is not there any more."""
    label = f"{act.service} of the user" if act.scope == "user" else act.service
    return {"host": act.host, "service": act.service, "label": label, "scope": act.scope, "kind": act.kind,
            "state": "unknown", "invocation": "", "stale": None, "evidence": [], "version": "", "group": "",
            "may_vote": False, "replica_of": ""}  # fmt: skip


def approved_services(described: t.Any, acts: t.Any) -> list[t.Any]:
    """The descriptions of the services that a plan has acts for, each with the state and invocation they rest on.

    ``acts``: rows of a narrowed plan, those of one host.
    """
    planned = {(one["service"], one["scope"]): one for one in as_mappings(acts)}
    usable, _refused = split_entries(described)
    found: list[t.Any] = []
    for given in usable:
        entry: dict[str, t.Any] = {"name": given} if isinstance(given, str) else dict(given)
        row = planned.get((entry["name"], entry.get("scope") or "system"))
        if row is not None:
            found.append(entry if row["plan"] == RESTART_ALL else {**entry, **_expected(row)})
    return found


def _expected(row: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {"expected_state": [row["state"]], "expected_invocation": row["invocation"]}


def read_approved(
    given: t.Any,
    *,
    now: float,
    max_age: float,
    hosts: t.Container[str],
    settings: t.Mapping[str, t.Any],
    expected_digest: str | None = None,
    playbook: str = RECOVER,
) -> ApprovedPlan:
    """A plan that is given to be carried out. Raises FleetError that says why it cannot be.

    ``hosts``: those of the inventory. ``settings``, ``playbook``: those of this run.
    """
    document = as_mapping(given)
    if document.get("version") != VERSION or isinstance(document.get("version"), bool):
        found = repr(document["version"]) if "version" in document else "none"
        raise _wrong(f"version {found} is not {VERSION}, which this release makes and reads; {_ANEW}")
    if document.get("playbook") != playbook:
        raise _wrong(f"it is a plan of the playbook {document.get('playbook')!r}, not of {playbook}; {_ANEW}")
    _check_digest(document, expected_digest)
    _check_age(document.get("created"), now, max_age)
    _check_settings(as_mapping(document.get("settings")), settings, SETTINGS[playbook])
    acts = document.get("acts")
    if not isinstance(acts, (list, tuple)):
        raise _wrong(f"acts is no list; {_ANEW}")
    run = document.get("run", "")
    if not isinstance(run, str) or bool(_RUN.fullmatch(run)) != (playbook == RESTART):
        raise _wrong(f"run is no name of a run that a plan holds; {_ANEW}")
    plan = ApprovedPlan(tuple(_read_act(number, act) for number, act in enumerate(acts)), document["digest"], run)
    unknown = list(dict.fromkeys(act.host for act in plan.acts if act.host not in hosts))
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        named = f"{', '.join(unknown[:_NAMED])}{more}"
        raise _wrong(f"the inventory has no host {named}: it is a plan of another fleet, or they were removed; {_ANEW}")
    return plan


def _wrong(why: str) -> FleetError:
    return FleetError(f"{VARIABLE}: {why}")


def _check_digest(document: t.Mapping[str, t.Any], expected: str | None) -> None:
    stated = document.get("digest")
    try:
        found = digest(document)
    except (TypeError, ValueError, RecursionError):
        raise _wrong(f"it is not a plan in JSON; {_ANEW}") from None
    if stated != found:
        raise _wrong(
            f"its digest says {stated!r}, and its content has {found}: it was changed since it was made; {_ANEW}"
        )
    if expected and expected.removeprefix("sha256:") != found.removeprefix("sha256:"):
        raise FleetError(
            f"lifecycle_plan_digest: {expected} was approved, and {VARIABLE} has {found}: it is another plan; give the "
            f"one that was approved, or {_ANEW}"
        )


def _check_age(created: t.Any, now: float, max_age: float) -> None:
    if isinstance(created, bool) or not isinstance(created, int):
        raise _wrong(f"created is no time in seconds; {_ANEW}")
    age = now - created
    if age < -_SKEW:
        raise _wrong(f"it was made {duration(-age)} in the future by the clock of this controller; correct the clock")
    if age > max_age:
        raise _wrong(
            f"it is {duration(age)} old, more than lifecycle_plan_max_age allows ({duration(max_age)}); {_ANEW}"
        )


def _check_settings(planned: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Any], names: t.Sequence[str]) -> None:
    for name in names:
        if planned.get(name) != settings[name]:
            raise _wrong(
                f"it was made with {name}={planned.get(name)!r}, and this run has {settings[name]!r}; give the same, "
                f"or {_ANEW}"
            )


def _read_act(number: int, given: t.Any) -> Act:
    act = as_mapping(given)
    for name in _TEXTS:
        text = act.get(name)
        if not isinstance(text, str) or neutralise(text) != text:
            raise _wrong(f"acts[{number}].{name} is no text that a plan holds; {_ANEW}")
    for name in _NUMBERS:
        place = act.get(name)
        if isinstance(place, bool) or not isinstance(place, int) or place < 0:
            raise _wrong(f"acts[{number}].{name} is no whole number; {_ANEW}")
    return Act(**{name: act[name] for name in (*_NUMBERS, *_TEXTS)})
