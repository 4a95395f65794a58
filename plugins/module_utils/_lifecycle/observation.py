# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Derives the state of a unit from what systemd reports, with the reasons. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

The rules follow systemd's own tables (src/core/service.c, unit-def.c) for
systemd 239 to 262; a word that is not known there never becomes running or
stopped.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m

AUTO_RESTART = frozenset(
    {"auto-restart", "auto-restart-queued", "dead-before-auto-restart", "failed-before-auto-restart"}
)
_START_PHASES = frozenset({"condition", "start-pre", "start", "start-post"})
# Types whose readiness systemd does not know: active means that the process was forked, or executed.
_UNREADY_TYPES = ("simple", "exec", "idle")
_SOAK = 2.0
# What a shell, and with it a Java process, exits with after SIGINT and SIGTERM (128 + signal).
_CLEAN_SIGNAL_EXITS = {130: "SIGINT", 143: "SIGTERM"}
# The cause of a stop that nobody asked systemd for.
ENDED_BY_ITSELF = "ended_by_itself"
# How a service shows that it fails again and again. The cause of a loop is that of its last failed run, where it is
# known: then this is a flag.
CRASH_LOOP = "crash_loop"
# Causes of a process that is there and does not run.
FROZEN, SUSPENDED = "frozen", "suspended"
PAUSED = (FROZEN, SUSPENDED)
# That systemd tries by itself to start it again, and the cause of its last failed run is one that no start corrects.
RETRYING = "retrying"
_CLD = {1: "exited", 2: "killed", 3: "dumped core"}


class Limits(t.NamedTuple):
    """When a state has lasted too long, in seconds; and the thrash budget: restarts of systemd's within a window."""

    start: float = 600.0
    stop: float = 120.0
    thrash_restarts: int = 5
    thrash_window: float = 600.0


class Health(t.NamedTuple):
    """What the probes say: ``healthy``, ``unhealthy``, ``pending`` (in grace), ``unobservable`` or ``none``."""

    verdict: str = "none"
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What is known besides the unit's own properties. ``now``: CLOCK_MONOTONIC; ``wall``: seconds since the epoch."""

    now: float
    wall: float
    process_state: str = ""
    job_type: str = ""
    recent_restarts: int | None = None
    triggers: t.Mapping[str, t.Mapping[str, str]] = field(default_factory=dict)
    has_process: bool = True
    health: Health = field(default_factory=Health)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Observation:
    """What one service was at one moment.

    ``since`` is in seconds since the epoch and ``age`` in seconds, both None
    where nothing is known of it. ``details`` is what the kind adds, shown
    under the name of the kind.
    """

    name: str
    unit: str
    kind: str
    state: str
    base_state: str
    reasons: tuple[str, ...] = ()
    cause: str | None = None
    since: float | None = None
    age: float | None = None
    facts: UnitFacts | None = None
    flags: tuple[str, ...] = ()
    details: t.Mapping[str, t.Any] = field(default_factory=dict)
    observed_at: float = 0.0

    @property
    def loops(self) -> bool:
        """Whether systemd keeps restarting it, whatever the cause."""
        return self.cause == CRASH_LOOP or CRASH_LOOP in self.flags

    @property
    def failed(self) -> bool:
        """Whether there is something to diagnose before a start: an error, or an end that nobody requested."""
        return self.state == m.ERROR or ENDED_BY_ITSELF in (self.cause, *self.flags)

    def as_dict(self) -> dict[str, t.Any]:
        shown: dict[str, t.Any] = {
            "name": self.name,
            "unit": self.unit,
            "kind": self.kind,
            "state": self.state,
            "base_state": self.base_state,
            "since": None if self.since is None else round(self.since, 3),
            "age": None if self.age is None else round(self.age, 3),
            "reasons": list(self.reasons),
            "cause": self.cause,
            "flags": list(self.flags),
            "unit_facts": _unit_facts(self.facts),
        }
        if self.details:
            shown[self.kind] = dict(self.details)
        return shown


def _unit_facts(facts: UnitFacts | None) -> dict[str, t.Any]:
    if facts is None:
        return {}
    return {
        "load_state": facts.load,
        "active_state": facts.active,
        "sub_state": facts.sub,
        "result": facts.result,
        "type": facts.text("Type"),
        "unit_file_state": facts.text("UnitFileState"),
        "invocation_id": facts.invocation,
        "main_pid": facts.main_pid,
        "restarts": facts.restarts,
        "exec_main_code": facts.number("ExecMainCode"),
        "exec_main_status": facts.number("ExecMainStatus"),
        "job": facts.job,
        "need_daemon_reload": facts.flag("NeedDaemonReload"),
    }


def in_own_try(observation: Observation, unproved: float) -> bool:
    """Whether systemd is restarting the unit by itself, or is about to, with an outcome that is not known yet.

    ``unproved``: for so many seconds a process that runs proves nothing.
    """
    facts = observation.facts
    if facts is None:
        return False
    if facts.sub in AUTO_RESTART:
        return True
    if not facts.restarts:  # which a start by hand sets back
        return False
    if facts.active == "deactivating":
        return not facts.job  # it has failed by itself
    young = observation.observed_at - facts.moment("ActiveEnter") < unproved
    return facts.active == "activating" or (facts.active == "active" and young)


def unproved_time(observation: Observation) -> float:
    """Seconds for which a process that runs proves nothing, by the type of its unit."""
    kind = observation.facts.text("Type") if observation.facts else ""
    return _SOAK if kind in _UNREADY_TYPES else 0.0


def of_last_run(observation: Observation) -> Observation:
    """The observation of a restart by systemd itself, with the cause of the previous run in its loop."""
    between = observation.facts is not None and observation.facts.sub in AUTO_RESTART
    return observation if between else replace(observation, flags=(*observation.flags, CRASH_LOOP))


class _Verdict(t.NamedTuple):
    state: str
    reasons: tuple[str, ...]
    cause: str | None = None
    moment: float = 0.0


def classify(name: str, facts: UnitFacts, context: Context, kind: str = "generic") -> Observation:
    """The observation of a unit. First match wins, in the order of the functions below."""
    rules = (_load_problem, _automatic_restart, _failed, _activating, _deactivating, _running, _inactive)
    verdict = next(
        (found for rule in rules for found in (rule(facts, context),) if found is not None),
        _Verdict(m.UNKNOWN, (f"systemd said ActiveState={facts.active or '(nothing)'} SubState={facts.sub}",)),
    )
    moment = verdict.moment or facts.moment("StateChange")
    age = max(context.now - moment, 0.0) if moment else None
    return Observation(
        name=name,
        unit=facts.unit,
        kind=kind,
        state=verdict.state,
        base_state=m.GENERIC.base(verdict.state),
        reasons=(*verdict.reasons, *_remarks(facts, context)),
        cause=verdict.cause,
        since=None if age is None else context.wall - age,
        age=age,
        facts=facts,
        # A kind may name the cause of such an end: the flag stays.
        flags=(*_flags(facts, context), *((ENDED_BY_ITSELF,) if verdict.cause == ENDED_BY_ITSELF else ())),
        observed_at=context.now,
    )


def unobserved(name: str, unit: str, reason: str, kind: str = "generic") -> Observation:
    """The observation of a service that could not be observed."""
    return Observation(name, unit, kind, m.UNKNOWN, m.UNKNOWN, (reason,))


def with_state(observation: Observation, machine: m.Machine, state: str, reason: str, **changes: t.Any) -> Observation:
    """The observation with a more exact state of the kind, whose reason comes first."""
    return replace(
        observation,
        state=state,
        base_state=machine.base(state),
        reasons=(reason, *observation.reasons),
        **changes,
    )


def _load_problem(facts: UnitFacts, context: Context) -> _Verdict | None:
    if facts.active != "inactive":
        return None  # a unit that runs although its file is gone or broken is judged by its process
    if facts.load == "not-found":
        return _Verdict(m.ERROR, ("the unit does not exist on this host",), "unit_not_found")
    if facts.load in ("bad-setting", "error"):
        return _Verdict(m.ERROR, (f"systemd could not load the unit: LoadState={facts.load}",), "unit_broken")
    return None


def _automatic_restart(facts: UnitFacts, context: Context) -> _Verdict | None:
    if facts.sub not in AUTO_RESTART:
        return None
    loop = _crash_loop(facts, context)
    if loop:
        return loop
    return _Verdict(m.RESTARTING, (f"systemd restarts it by itself, {facts.restarts} times so far", _exit(facts)))


def _crash_loop(facts: UnitFacts, context: Context) -> _Verdict | None:
    """systemd may never call a loop failed (RestartSec against StartLimitIntervalSec): the thrash budget does."""
    limits = context.limits
    count = facts.restarts if context.recent_restarts is None else context.recent_restarts
    if count < limits.thrash_restarts:
        return None
    message = f"{count} automatic restarts within {limits.thrash_window:.0f} s, budget {limits.thrash_restarts}"
    if context.recent_restarts is None:
        message = (
            f"{count} automatic restarts (NRestarts; the journal could not tell when), budget {limits.thrash_restarts}"
        )
    return _Verdict(m.ERROR, (message, _exit(facts)), CRASH_LOOP)


def _loop_goes_on(facts: UnitFacts, context: Context) -> _Verdict | None:
    """A crash loop in the middle of a start that takes its time. A start by hand sets NRestarts back to 0."""
    return _crash_loop(facts, context) if facts.restarts and context.job_type in ("", "start") else None


def _failed(facts: UnitFacts, context: Context) -> _Verdict | None:
    if facts.active != "failed":
        return None
    status = facts.number("ExecMainStatus")
    if facts.result == "exit-code" and facts.number("ExecMainCode") == 1 and status in _CLEAN_SIGNAL_EXITS:
        signal = _CLEAN_SIGNAL_EXITS[status]
        return _Verdict(
            m.STOPPED, (f"exit {status} after {signal}: a clean stop that SuccessExitStatus does not list",)
        )
    if _stop_needed_kill(facts):
        return _Verdict(m.ERROR, ("it had to be killed to stop: it did not end within TimeoutStopSec",), "stop_killed")
    return _Verdict(m.ERROR, (f"failed with Result={facts.result}", _exit(facts)), _failure_cause(facts))


def _restarted_directly(facts: UnitFacts) -> bool:
    """Whether systemd restarted it with RestartMode=direct, which renews no moment of the unit but the last change."""
    return facts.restarts > 0 and facts.text("RestartMode") == "direct"


def _stop_needed_kill(facts: UnitFacts) -> bool:
    if _restarted_directly(facts):
        return False  # nothing tells a stop that was too slow from a start that was
    was_active = facts.moment("ActiveEnter") >= facts.moment("InactiveExit") > 0
    return facts.result == "timeout" and was_active and facts.number("ExecMainStatus") == 9


def _failure_cause(facts: UnitFacts) -> str:
    burst = facts.number("StartLimitBurst")
    # Before systemd 260 the limit hides behind the result of the last run.
    if facts.result == "start-limit-hit" or (facts.restarts_by_itself and burst and facts.restarts >= burst):
        return "start_limit"
    return {
        "exit-code": "exit_code",
        "signal": "signal",
        "core-dump": "core_dump",
        "oom-kill": "out_of_memory",
        "watchdog": "watchdog",
        "timeout": "timeout",
        "protocol": "protocol",
        "resources": "resources",
    }.get(facts.result, "failed")


def _activating(facts: UnitFacts, context: Context) -> _Verdict | None:
    idle_start = facts.active == "active" and facts.sub in _START_PHASES  # Type=idle calls its start phases active
    if facts.active != "activating" and not idle_start:
        return None
    began = (0.0 if _restarted_directly(facts) else facts.moment("InactiveExit")) or facts.moment("StateChange")
    # A start by hand sets NRestarts back to 0 before this phase, so the restart job of a loop is systemd's own.
    loop = _crash_loop(facts, context) if facts.restarts else None
    if loop:
        return loop
    if context.job_type == "restart":
        return _Verdict(m.RESTARTING, (f"a restart job is running, SubState={facts.sub}",))
    if began and context.now - began > context.limits.start:
        message = f"starting for {context.now - began:.0f} s, more than start_timeout={context.limits.start:.0f} s"
        return _Verdict(m.ERROR, (message,), "start_timeout", began)
    return _Verdict(m.STARTING, (f"ActiveState={facts.active} SubState={facts.sub}",), None, began)


def _deactivating(facts: UnitFacts, context: Context) -> _Verdict | None:
    if facts.active == "maintenance":
        return _Verdict(m.STOPPING, ("systemd cleans the unit's directories",), "cleaning")
    if facts.active != "deactivating":
        return None
    left = facts.moment("ActiveExit")
    # A start that failed was never active: systemd keeps when the run before it ceased to be.
    of_this_run = left >= facts.moment("InactiveExit") and not _restarted_directly(facts)
    began = (left if of_this_run else 0.0) or facts.moment("StateChange")
    reasons = (f"ActiveState=deactivating SubState={facts.sub}",)
    if began and context.now - began > context.limits.stop:
        message = f"stopping for {context.now - began:.0f} s, more than stop_timeout={context.limits.stop:.0f} s"
        return _Verdict(m.STOPPING, (message, *reasons), "stop_overdue", began)
    if context.job_type in ("restart", "try-restart"):
        return _Verdict(m.RESTARTING, ("a restart job is running, the stop is not over",), None, began)
    loop = _loop_goes_on(facts, context)
    if loop:
        return loop
    return _Verdict(m.STOPPING, reasons, None, began)


def _running(facts: UnitFacts, context: Context) -> _Verdict | None:
    if facts.active not in ("active", "reloading", "refreshing"):
        return None
    since = facts.moment("ActiveEnter")
    if facts.sub == "exited":
        if facts.text("Type") == "oneshot":
            return _by_health(facts, context, since, "oneshot with RemainAfterExit: done, and kept active")
        if facts.load != "loaded":  # systemd has forgotten the unit's Type with its file
            return _Verdict(m.RUNNING, (f"done, and kept active; LoadState={facts.load}",), None, since)
        if not context.has_process or context.health.verdict != "none":
            return _by_health(facts, context, since, "its process has ended, and RemainAfterExit keeps it active")
        message = (
            "its process has ended, only RemainAfterExit keeps it active; a probe or has_process=false may tell more"
        )
        return _Verdict(m.ERROR, (message,), "exited", since)
    if facts.text("FreezerState") in ("frozen", "freezing"):
        return _Verdict(m.ERROR, ("the unit is frozen (systemctl freeze)",), FROZEN, since)
    if context.process_state == "T":
        return _Verdict(m.ERROR, ("its main process is stopped by a signal (SIGSTOP)",), SUSPENDED, since)
    young = since and context.now - since < context.limits.thrash_window / max(context.limits.thrash_restarts, 1)
    loop = _crash_loop(facts, context) if young else None
    return loop or _by_health(facts, context, since)


def _by_health(facts: UnitFacts, context: Context, since: float, message: str = "") -> _Verdict:
    health = context.health
    message = message or f"ActiveState={facts.active} SubState={facts.sub}"
    if health.verdict == "unhealthy":
        return _Verdict(m.ERROR, (*health.reasons, message), "unhealthy", since)
    if health.verdict == "pending":
        return _Verdict(m.STARTING, (*health.reasons, message), None, since)
    if health.verdict == "unobservable":
        return _Verdict(m.UNKNOWN, (*health.reasons, message), "probe_broken", since)
    proof = health.reasons if health.verdict == "healthy" else ("no probes: judged by systemd alone",)
    return _Verdict(m.RUNNING, (message, *proof), None, since)


def _inactive(facts: UnitFacts, context: Context) -> _Verdict | None:
    if facts.active != "inactive":
        return None
    if facts.load == "masked":
        return _Verdict(m.STOPPED, ("the unit is masked",), "masked")
    # Only the timestamp says whether the result is one: an unloaded unit shows "no" for conditions never tested.
    if facts.moment("Condition") and facts.text("ConditionResult") == "no":
        return _Verdict(m.STOPPED, ("a Condition of the unit was not met: it was not started",), "condition_failed")
    if facts.moment("Assert") and facts.text("AssertResult") == "no":
        return _Verdict(m.STOPPED, ("an Assert of the unit was not met: it was not started",), "assert_failed")
    if facts.result == "exec-condition":
        return _Verdict(m.STOPPED, ("its ExecCondition was not met: it was not started",), "condition_failed")
    reasons = [f"ActiveState=inactive SubState={facts.sub}"]
    if _ended_by_itself(facts):
        message = f"{_exit(facts)}; nobody had asked systemd to stop it"
        return _Verdict(m.STOPPED, (message, *reasons), ENDED_BY_ITSELF)
    if facts.result not in ("success", ""):
        reasons.append(f"the last run ended with Result={facts.result}")
    if not facts.moment("InactiveEnter"):
        reasons.append("systemd keeps no record of an earlier run")
    return _Verdict(m.STOPPED, tuple(reasons))


def _ended_by_itself(facts: UnitFacts) -> bool:
    """A process that ends by itself ends before its unit leaves the active state; after a stop it is the other way."""
    exited, left = facts.moment("ExecMainExit"), facts.moment("ActiveExit")
    clean = facts.result == "success" and facts.text("Type") != "oneshot" and not facts.job
    return clean and facts.load == "loaded" and 0 < exited <= left and left >= facts.moment("ActiveEnter") > 0


def _exit(facts: UnitFacts) -> str:
    how = _CLD.get(facts.number("ExecMainCode"))
    if how is None:
        return "its main process left no exit status"
    word = "status" if how == "exited" else "signal"
    return f"its main process {how} with {word} {facts.number('ExecMainStatus')}"


def _waiting(context: Context) -> list[str]:
    return [name for name, shown in context.triggers.items() if shown.get("ActiveState") == "active"]


def _remarks(facts: UnitFacts, context: Context) -> list[str]:
    """What a person has to know besides the state."""
    remarks = []
    if facts.flag("NeedDaemonReload"):
        remarks.append("its files were changed since systemd read them: systemctl daemon-reload")
    for name in _waiting(context):
        when = context.triggers[name].get("NextElapseUSecRealtime", "")
        remarks.append(f"{name} is active and starts it again" + (f" at {when}" if when else ""))
    if _has_no_next_run(context):
        remarks.append(f"no next run is planned: {', '.join(context.triggers)} is not active")
    return remarks


def _has_no_next_run(context: Context) -> bool:
    timers = [name for name in context.triggers if name.endswith(".timer")]
    return bool(timers) and not _waiting(context)


def _flags(facts: UnitFacts, context: Context) -> tuple[str, ...]:
    running = facts.active in ("active", "reloading", "refreshing")
    found = {
        "masked": facts.load == "masked",
        "unit_file_missing": running and facts.load == "not-found",
        "unit_file_broken": running and facts.load in ("bad-setting", "error"),
        "changed_on_disk": facts.flag("NeedDaemonReload"),
        "reloading": facts.active == "reloading",
        "refreshing": facts.active == "refreshing",
        "job_pending": bool(facts.job),
        "transient": facts.flag("Transient"),
        "not_enabled": facts.text("UnitFileState") == "disabled",
        "triggered": bool(_waiting(context)),
        "no_next_run": _has_no_next_run(context),
        "uninterruptible": context.process_state == "D",
        "leftover_result": facts.active == "inactive" and facts.result not in ("success", ""),
    }
    return tuple(name for name, present in found.items() if present)
