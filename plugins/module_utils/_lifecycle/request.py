# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request to the engine, and its outcome.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Budget
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal


@dataclass(frozen=True)
class Request:
    """What the caller wants. Times in seconds; ``stable_for`` None: by the type of the unit.

    ``promised``: for a dry run, the units that will have been started before, as the same dry run has found.
    ``wait_id``: the wait of which this run is one slice; it ends after ``slice_length``, for the next to go on.
    """

    target: str
    recovery: str = "restart"
    force_stop: bool = False
    stop_conflicting: bool = False
    daemon_reload: bool = False
    wait_timeout: float = 120.0
    wait_interval: float = 1.0
    stable_for: float | None = None
    max_attempts: int = 3
    attempt_window: float = 3600.0
    attempt_backoff: float = 10.0
    reset_attempts_after: float = 600.0
    expected_state: tuple[str, ...] = ()
    expected_invocation: str | None = None
    config_check: tuple[str, ...] = ()
    accept_causes: tuple[str, ...] = ()
    disk_paths: tuple[str, ...] = ()
    min_free_bytes: int = 10 * 1024 * 1024
    diagnose: bool = False
    check_mode: bool = False
    owner: str = ""
    promised: tuple[str, ...] = ()
    wait_id: str | None = None
    slice_length: float = math.inf


@dataclass(frozen=True)
class RunTransition:
    """One step that was made, seen or (``applied`` false) planned. ``started`` in epoch seconds."""

    source: str
    target: str
    trigger: str
    action: str
    started: float | None = None
    duration: float | None = None
    applied: bool = True

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "from": self.source,
            "to": self.target,
            "trigger": self.trigger,
            "action": self.action,
            "started": None if self.started is None else round(self.started, 3),
            "duration": None if self.duration is None else round(self.duration, 3),
            "applied": self.applied,
        }


@dataclass
class Outcome:
    """The result of a run, in the same shape on success and on failure."""

    before: Observation
    after: Observation
    changed: bool = False
    failed: bool = False
    waiting: bool = False
    msg: str = ""
    transitions: list[RunTransition] = field(default_factory=list)
    blocked_by: tuple[Refusal, ...] = ()
    budget: Budget | None = None
    duration: float = 0.0
    diagnosis: t.Any = None
    progress: t.Mapping[str, t.Any] | None = None
    also_stops: tuple[str, ...] = ()
    also_starts: tuple[str, ...] = ()
    resolved: str = ""
    enablement: t.Mapping[str, str] | None = None

    def as_dict(self) -> dict[str, t.Any]:
        before, after = self.before.as_dict(), self.after.as_dict()
        result: dict[str, t.Any] = {
            "changed": self.changed,
            "reached": not self.failed and not self.waiting,
            "state": self.after.state,
            "before": before,
            "after": after,
            "transitions": [step.as_dict() for step in self.transitions],
            "blocked_by": [block.as_dict() for block in self.blocked_by],
            "attempts": self.budget.as_dict() if self.budget else {},
            "also_stops": list(self.also_stops),
            "also_starts": list(self.also_starts),
            "duration": round(self.duration, 3),
            "diff": {
                "before": {"state": self.before.state},
                "after": {"state": self._planned_state()},
            },
        }
        if self.enablement is not None:
            result["enablement"] = dict(self.enablement)
            for side in ("before", "after"):
                result["diff"][side]["enablement"] = self.enablement[side]
        if self.diagnosis is not None:
            result["diagnosis"] = self.diagnosis.as_dict()
        if self.resolved:
            result["resolved"] = self.resolved
        if self.progress is not None:
            result["progress"] = dict(self.progress)
        if self.waiting:
            result["waiting"] = True
        if self.msg:
            result["msg"] = self.msg
        return result

    def _planned_state(self) -> str:
        planned = [step.target for step in self.transitions if not step.applied]
        return planned[-1] if planned else self.after.state
