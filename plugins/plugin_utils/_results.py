# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules return, as types: dictionaries are read here, once. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

A host may return anything. A value of another type than documented reads as
not given, so that one bad host costs its own row and not the report.
"""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import no_process_is_there
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m

# Steps of the transition list in which nothing is done to the service.
_PASSIVE = ("none", "wait")

UNREACHABLE = "unreachable: "
_SSH_FAILED = re.compile(r"^(?:Task failed: )?(?:Failed to connect to the host via ssh: )?(?:ssh: )?")


def as_mapping(value: t.Any) -> t.Mapping[str, t.Any]:
    return value if isinstance(value, t.Mapping) else {}


def as_mappings(value: t.Any) -> list[t.Mapping[str, t.Any]]:
    return [item for item in value if isinstance(item, t.Mapping)] if isinstance(value, (list, tuple)) else []


def as_texts(value: t.Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (list, tuple)) else ()


def as_text(value: t.Any) -> str:
    return value if isinstance(value, str) else ""


def message_of(result: t.Mapping[str, t.Any]) -> str:
    """What a task said, without the words that every failure to reach a host begins with."""
    message = as_text(result.get("msg"))
    return f"{UNREACHABLE}{_SSH_FAILED.sub('', message)}" if message and result.get("unreachable") else message


# The guards that refuse where no host has granted the right to take something offline.
_WITHOUT_A_RIGHT = ("reservation", "last_replica")


def with_answers(result: t.Mapping[str, t.Any], answers: str) -> dict[str, t.Any]:
    """A result with what the hosts have answered, where it was refused since none granted the right. Empty: nothing."""
    blocks = as_mappings(result.get("blocked_by"))
    if not answers or not any(block.get("guard") in _WITHOUT_A_RIGHT for block in blocks):
        return dict(result)
    refusals = [
        {**block, "reason": _joined(block.get("reason"), answers)} if block.get("guard") in _WITHOUT_A_RIGHT else block
        for block in blocks
    ]
    return {**result, "blocked_by": refusals, "msg": _joined(result.get("msg"), answers)}


def _joined(message: t.Any, more: str) -> str:
    return "; ".join(filter(None, (as_text(message), more)))


def as_number(value: t.Any) -> float | None:
    """A finite number; JSON of a host may have NaN, infinity, and integers that are no float."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class RefusalView:
    """Why a guard refused."""

    guard: str
    reason: str
    hint: str

    @classmethod
    def from_dict(cls, data: t.Mapping[str, t.Any]) -> RefusalView:
        return cls(as_text(data.get("guard")), as_text(data.get("reason")), as_text(data.get("hint")))


@dataclass(frozen=True)
class CauseView:
    """A cause that a diagnosis found."""

    id: str
    severity: str
    summary: str
    evidence: tuple[str, ...]
    next_step: str

    @classmethod
    def from_dict(cls, data: t.Mapping[str, t.Any]) -> CauseView:
        return cls(
            as_text(data.get("id")),
            as_text(data.get("severity") or data.get("class")),
            as_text(data.get("summary")),
            as_texts(data.get("evidence")),
            as_text(data.get("next_step")),
        )


@dataclass(frozen=True)
class DiagnosisView:
    """The causes that are known, and the last words of the service where none is."""

    causes: tuple[CauseView, ...] = ()
    lines: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, data: t.Mapping[str, t.Any]) -> DiagnosisView:
        causes = [CauseView.from_dict(cause) for cause in as_mappings(data.get("causes"))]
        return cls(tuple(cause for cause in causes if cause.id not in ("", "unknown")), as_texts(data.get("lines")))

    @property
    def first(self) -> CauseView | None:
        return next(iter(self.causes), None)


@dataclass(frozen=True)
class StepView:
    """One transition of a run. ``applied``: whether it has happened; not so in check mode."""

    action: str
    trigger: str
    applied: bool

    @classmethod
    def from_dict(cls, data: t.Mapping[str, t.Any]) -> StepView:
        return cls(as_text(data.get("action")), as_text(data.get("trigger")), bool(data.get("applied", True)))

    @property
    def acts(self) -> bool:
        return self.action not in _PASSIVE


@dataclass(frozen=True)
class HoldView:
    """Who keeps a service from being acted on, and why."""

    owner: str
    reason: str

    @classmethod
    def from_dict(cls, data: t.Any) -> HoldView | None:
        given = as_mapping(data)
        return cls(as_text(given.get("owner")), as_text(given.get("reason"))) if given else None


@dataclass(frozen=True)
class ObservationView:
    """One service as service_info saw it. ``details``: what its kind adds; ``active``: systemd's word, if known.

    ``alerts``: the identifiers of those that fire. ``begun``: who began a start that no run has seen the end of.
    """

    name: str
    kind: str = "generic"
    state: str = m.UNKNOWN
    cause: str = ""
    reasons: tuple[str, ...] = ()
    age: float | None = None
    hold: HoldView | None = None
    diagnosis: DiagnosisView = field(default_factory=DiagnosisView)
    details: t.Mapping[str, t.Any] = field(default_factory=dict)
    active: str | None = None
    sub: str = ""
    invocation: str = ""
    flags: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    begun: str | None = None

    @classmethod
    def from_dict(cls, data: t.Any) -> ObservationView:
        given = as_mapping(data)
        last = as_mapping(given.get("last_start"))
        kind = as_text(given.get("kind")) or "generic"
        facts = as_mapping(given.get("unit_facts"))
        return cls(
            name=as_text(given.get("name")) or "-",
            kind=kind,
            state=as_text(given.get("state")) or m.UNKNOWN,
            cause=as_text(given.get("cause")),
            reasons=as_texts(given.get("reasons")),
            age=as_number(given.get("age")),
            hold=HoldView.from_dict(given.get("hold")),
            diagnosis=DiagnosisView.from_dict(as_mapping(given.get("diagnosis"))),
            details=as_mapping(given.get(kind)),
            active=as_text(facts.get("active_state")) if facts else None,
            sub=as_text(facts.get("sub_state")),
            invocation=as_text(facts.get("invocation_id")),
            flags=as_texts(given.get("flags")),
            alerts=tuple(as_text(one.get("id")) for one in as_mappings(given.get("alerts"))),
            begun=as_text(last.get("owner")) if last.get("outcome") == "open" else None,
        )

    @property
    def process_is_down(self) -> bool:
        """Whether no process is there, so that a start takes nothing offline."""
        if self.active is None:
            return self.state in (m.STOPPED, m.ERROR, m.RESTARTING)
        return no_process_is_there(self.active or "inactive", self.sub)


@dataclass(frozen=True)
class ServiceResult:
    """What a module that drives a service returned, with what the role observed and fixed before.

    ``observed``: whether the role could observe the service at all.
    """

    name: str = "-"
    kind: str = "generic"
    observed: bool = True
    reached: bool = False
    changed: bool = False
    unreachable: bool = False
    msg: str = ""
    state: str = m.UNKNOWN
    observation: ObservationView | None = None
    before: ObservationView | None = None
    after: ObservationView | None = None
    steps: tuple[StepView, ...] = ()
    refusals: tuple[RefusalView, ...] = ()
    diagnosis: DiagnosisView = field(default_factory=DiagnosisView)
    fixes: tuple[str, ...] = ()
    duration: float | None = None
    chain: str = ""
    imported: float | None = None
    handover: str = ""
    resolved: str = ""

    @classmethod
    def from_dict(cls, data: t.Any) -> ServiceResult:
        given = as_mapping(data)
        views = {
            key: ObservationView.from_dict(given[key]) for key in ("observation", "before", "after") if given.get(key)
        }
        known = views.get("observation") or views.get("before")
        return cls(
            name=as_text(given.get("name")) or (known.name if known else "-"),
            kind=as_text(given.get("kind")) or (known.kind if known else "generic"),
            observed=given.get("observed") is not False,
            reached=bool(given.get("reached", "failed" in given and not given["failed"])),
            changed=bool(given.get("changed")),
            unreachable=bool(given.get("unreachable")),
            msg=message_of(given),
            state=as_text(given.get("state")) or m.UNKNOWN,
            observation=views.get("observation"),
            before=views.get("before"),
            after=views.get("after"),
            steps=tuple(StepView.from_dict(step) for step in as_mappings(given.get("transitions"))),
            refusals=tuple(RefusalView.from_dict(one) for one in as_mappings(given.get("blocked_by"))),
            diagnosis=DiagnosisView.from_dict(as_mapping(given.get("diagnosis"))),
            fixes=as_texts(given.get("fixes")),
            duration=as_number(given.get("duration")),
            chain=as_text(given.get("chain")),
            imported=as_number(as_mapping(given.get("progress")).get("imported")),
            handover=as_text(as_mapping(given.get("handover")).get("outcome")),
            resolved=as_text(given.get("resolved")),
        )

    @property
    def is_planned(self) -> bool:
        """Whether this is the result of a dry run that has something to do."""
        return any(not step.applied for step in self.steps)

    @property
    def acted(self) -> bool:
        """Whether something was done to the service, as far as is known: a host that was lost may have acted."""
        return self.changed or self.unreachable or any(step.acts and step.applied for step in self.steps)

    @property
    def harms(self) -> bool:
        """Whether it was acted on, and is not in its desired state afterwards."""
        return self.observed and not self.reached and self.acted

    @property
    def is_refused(self) -> bool:
        """Whether a guard refused before anything was done."""
        return not self.reached and bool(self.refusals) and not self.acted

    @property
    def hints(self) -> tuple[str, ...]:
        """The next safe steps: those of the guards, else those of the causes."""
        hints = [refusal.hint for refusal in self.refusals if refusal.hint]
        return tuple(hints or [cause.next_step for cause in self.diagnosis.causes if cause.next_step])
