# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards: what forbids a step. Pure functions over what was observed, one name each.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.disk import Disk
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts, parse_span
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Budget, Hold
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal, accept_once
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.surroundings import (
    Surroundings,
    ends_process,
)

_STARTS = ("start", "restart")
_ENDS = ("stop", "force_stop")
_GOING_DOWN = ("stopping", "initializing", "maintenance", "offline")


@dataclass(frozen=True)
class GuardContext:
    """Everything that a guard may check, gathered right before the step."""

    step: m.Step
    observation: Observation
    target: str = m.RUNNING
    recovery: str = "restart"
    hold: Hold | None = None
    wall: float = 0.0
    system_state: str = "running"
    job_type: str = ""
    leftovers: tuple[int, ...] = ()
    expected_state: tuple[str, ...] = ()
    expected_invocation: str | None = None
    acted: bool = False
    budget: Budget | None = None
    budget_wait: float = 0.0
    cause_severity: str | None = None
    cause: str | None = None
    cause_summary: str = ""
    next_step: str = ""
    disks: tuple[Disk, ...] = ()
    min_free: int = 0
    may_force_stop: bool = False
    surroundings: Surroundings = field(default_factory=Surroundings)
    may_stop_conflicting: bool = False
    recent_starts: int = 0
    forgotten: str = ""
    unmet_conditions: tuple[str, ...] = ()
    unready: tuple[Refusal, ...] = ()
    promised: tuple[str, ...] = ()

    @property
    def starts(self) -> bool:
        return self.step.action in _STARTS

    @property
    def leads_to_start(self) -> bool:
        """Whether the step is part of a way that ends in a start (a reset may be either)."""
        return leads_to_start(self.step, self.target)


def leads_to_start(step: m.Step, target: str) -> bool:
    """Whether the step is part of a way to the target that ends in a start."""
    return step.action in _STARTS or (step.action == "reset" and target not in (m.STOPPED, "reset"))


Guard = t.Callable[[GuardContext], t.Optional[Refusal]]


def edge(s: GuardContext) -> Refusal | None:
    """The state was observed: it is not ``unknown``. This edge is one of the state machine, not Cloudflare's."""
    if s.observation.state == m.UNKNOWN:
        why = "; ".join(s.observation.reasons)
        return Refusal("edge", f"the state is unknown: {why}", "fix the observation, then run again")
    return None


def host_going_down(s: GuardContext) -> Refusal | None:
    """The host is not shutting down, booting or in rescue mode."""
    if s.system_state in _GOING_DOWN:
        return Refusal("host_going_down", f"systemd says {s.system_state}", "wait until the host runs again")
    return None


def hold(s: GuardContext) -> Refusal | None:
    """Nobody holds the service or the host."""
    if s.hold is None:
        return None
    what = "the host" if s.hold.scope == "_host" else s.hold.scope
    until = "without an end" if s.hold.expires is None else f"for {s.hold.expires - s.wall:.0f} s more"
    return Refusal(
        "hold",
        f"{s.hold.owner} holds {what} {until}: {s.hold.reason}",
        f"ask {s.hold.owner}, or end the hold with service_hold state=absent",
    )


def unit(s: GuardContext) -> Refusal | None:
    """The unit exists, loads, is not masked and may be started and stopped by hand."""
    facts = s.observation.facts
    if facts is None:
        return None
    if facts.load == "masked" and s.leads_to_start:
        return Refusal("unit", "the unit is masked", f"systemctl unmask {facts.unit}, if it is meant to run")
    if facts.load in ("not-found", "bad-setting", "error") and s.step.action not in _ENDS:
        return Refusal("unit", f"systemd has LoadState={facts.load}", f"fix the unit file: systemctl cat {facts.unit}")
    if s.forgotten and s.step.action == "reset":
        return Refusal(
            "unit", s.forgotten, f"start it as it is with systemctl restart {facts.unit}, or write a unit file"
        )
    found = _start_of(s, facts) if s.leads_to_start else None
    if found is not None:
        return found
    if (
        facts.flag("RefuseManualStop")
        and s.step.action in m.TAKES_OFFLINE
        and facts.active not in ("inactive", "failed")
    ):
        return Refusal("unit", "the unit has RefuseManualStop=yes", "stop what pulls it in")
    return None


def _start_of(s: GuardContext, facts: UnitFacts) -> Refusal | None:
    """What of the unit forbids its start."""
    if not s.surroundings.needed:
        message = (
            "the unit has StopWhenUnneeded=yes, and nothing that needs it is running: systemd would stop it at once"
        )
        return Refusal("unit", message, "start what needs it")
    if facts.flag("NeedDaemonReload") and ends_process(s.step, facts):
        message = "its files were changed since systemd read them: a restart would run what nobody has tested"
        return Refusal("unit", message, "set daemon_reload=true, or systemctl daemon-reload")
    if facts.flag("RefuseManualStart"):
        return Refusal("unit", "the unit has RefuseManualStart=yes", "start what pulls it in")
    return None


def oneshot(s: GuardContext) -> Refusal | None:
    """The unit is not a oneshot that would have to be kept running: such a service runs to its end."""
    facts = s.observation.facts
    if facts is None or facts.text("Type") != "oneshot" or facts.flag("RemainAfterExit"):
        return None
    if s.step.action == "reset" and s.target == m.STOPPED:
        message = "its last run failed, and clearing that would make it look as if it had not"
        return Refusal("oneshot", message, "use state=succeeded to run it again, or state=reset to clear the failure")
    if not s.leads_to_start:
        return None
    if s.target in ("restarted", m.SUCCEEDED):
        return None
    return Refusal(
        "oneshot",
        "Type=oneshot without RemainAfterExit ends by itself",
        "use state=succeeded, or restarted to run it once",
    )


def frozen(s: GuardContext) -> Refusal | None:
    """The unit is not frozen: systemd would not act on it."""
    if s.observation.cause == "frozen":
        return Refusal("frozen", "the unit is frozen", f"systemctl thaw {s.observation.unit}, or ask who froze it")
    return None


def precondition(s: GuardContext) -> Refusal | None:
    """The state and the invocation are still what the caller expects. Checked before the first step only."""
    return None if s.acted else unexpected(s.observation, s.expected_state, s.expected_invocation)


def unexpected(observed: Observation, states: t.Collection[str], expected: str | None) -> Refusal | None:
    """Refuse if the state or the invocation is not what the caller expects; either may be left out."""
    if states and observed.state not in states:
        message = f"expected_state is {' or '.join(states)}, the service is {observed.state}"
        return Refusal("precondition", message, "its state has changed: observe it again, then decide")
    invocation = observed.facts.invocation if observed.facts else ""
    if expected is not None and expected != invocation:
        message = f"expected_invocation is {expected}, the service has {invocation or 'none'}"
        return Refusal("precondition", message, "it has been started since: observe it again, then decide")
    return None


def job(s: GuardContext) -> Refusal | None:
    """No other run works on the service, and systemd has no conflicting job for it."""
    if not s.job_type:
        return None
    return Refusal("busy", f"systemd has a {s.job_type} job for the unit", "wait for it, or see systemctl list-jobs")


def start_limit(s: GuardContext) -> Refusal | None:
    """systemd would accept a start: its rate limit has expired, or the run is going to clear it."""
    facts = s.observation.facts
    if facts is None or s.observation.cause != "start_limit" or not s.starts or s.step.source != m.ERROR:
        return None
    interval = parse_span(facts.text("StartLimitIntervalUSec"))
    if interval is None or (s.observation.age or 0.0) > interval:
        return None
    hint = "wait for it to be over" if s.forgotten else "use recovery=reset_start to clear it"
    return Refusal("start_limit", f"systemd refuses starts for {interval:.0f} s", hint)


def leftovers(s: GuardContext) -> Refusal | None:
    """No process of an earlier run is left before a start: a second copy would share its data and ports."""
    if not s.leftovers or s.may_force_stop or not (s.leads_to_start or s.step.action == "force_stop"):
        return None
    return left_over(s.leftovers)


def left_over(pids: t.Sequence[int], killed: bool = False) -> Refusal:
    """The refusal for leftover processes of a unit."""
    message = f"leftover processes of the previous run: {', '.join(str(pid) for pid in pids[:10])}"
    hint = "SIGKILL does not end them: see their STAT in ps" if killed else "set force_stop=true, or end them by hand"
    return Refusal("leftovers", message, hint)


def stuck_stop(s: GuardContext) -> Refusal | None:
    """The stop does not hang, or ``force_stop`` allows ending it with SIGKILL."""
    if s.observation.cause != "stop_overdue" or s.may_force_stop:
        return None
    hint = "wait longer, or set force_stop=true (SIGKILL: what it has not written is lost)"
    return Refusal("force_stop", s.observation.reasons[0], hint)


def dependency(s: GuardContext) -> Refusal | None:
    """The units that this one requires are running, or systemd can start them with it."""
    if not s.leads_to_start:
        return None
    missing = sorted(s.surroundings.missing.items())
    down = [f"{name} is {state}" for name, state in missing if name not in s.promised]
    if down:
        return Refusal("dependency", f"units that it requires are not active: {', '.join(down)}", "bring them up first")
    for name in s.surroundings.starts:
        held = s.surroundings.holds.get(name)
        if held is not None:
            message = f"systemd would start {name} with it, which {held.owner} holds: {held.reason}"
            return Refusal("dependency", message, f"ask {held.owner}, or end the hold with service_hold state=absent")
    return None


def dependants(s: GuardContext) -> Refusal | None:
    """Units that systemd stops together with this one may be stopped: not held, and allowed by their kind's guards."""
    for name in s.surroundings.stops:
        held = s.surroundings.holds.get(name)
        if held is not None:
            message = f"it would also stop {name}, which {held.owner} holds: {held.reason}"
            return Refusal("dependants", message, f"ask {held.owner}, or end the hold with service_hold state=absent")
        for own in s.surroundings.refusals.get(name, ()):
            return Refusal("dependants", f"it would also stop {name}: {own.guard}: {own.reason}", own.hint)
    return None


def conflicts(s: GuardContext) -> Refusal | None:
    """No unit is running that conflicts with this one, or ``stop_conflicting`` allows stopping it."""
    if not s.leads_to_start or s.may_stop_conflicting or not s.surroundings.conflicting:
        return None
    message = ", ".join(f"{one.unit} ({one.relation} of {one.of})" for one in s.surroundings.conflicting)
    hint = "stop it first, or set stop_conflicting=true to stop it with the start"
    return Refusal("conflicts", f"it conflicts with running units: {message}", hint)


def host_action(s: GuardContext) -> Refusal | None:
    """The step does not make systemd reboot or power off the host (``StartLimitAction`` and the like)."""
    setting = _start_limit_action(s) or _action_of_a_failure(s) or _action_of_an_end(s)
    if not setting:
        return None
    hint = f"if the host may go down, do it by hand: systemctl {s.step.action.replace('_', ' ')} {s.observation.unit}"
    if setting.startswith("StartLimitAction"):
        hint = "wait until the limit is over, or clear its count: systemctl reset-failed " + s.observation.unit
    return Refusal("host_action", setting, hint)


def _start_limit_action(s: GuardContext) -> str:
    own = s.surroundings.own
    action, burst = own.get("StartLimitAction", ""), own.get("StartLimitBurst", "")
    interval = parse_span(own.get("StartLimitIntervalUSec", ""))
    if not s.starts or not _acts_on_host(action) or not burst.isdigit() or not int(burst) or not interval:
        return ""
    if s.recent_starts < int(burst):
        return ""
    many = f"{s.recent_starts} starts within {interval:.0f} s, StartLimitBurst={burst}"
    return f"StartLimitAction={action}: one more start would do that to the host ({many})"


def _action_of_a_failure(s: GuardContext) -> str:
    """Whether the host suffers if the service fails once more, where that is to be expected."""
    own = s.surroundings.own
    if s.step.action != "force_stop" and not (s.step.source == m.ERROR and s.leads_to_start):
        return ""
    if _acts_on_host(own.get("FailureAction", "")):
        return f"FailureAction={own['FailureAction']}: systemd would do that to the host if it fails again"
    timed = [own.get(key, "infinity") for key in ("JobTimeoutUSec", "JobRunningTimeoutUSec")]
    if _acts_on_host(own.get("JobTimeoutAction", "")) and any(value not in ("infinity", "0", "") for value in timed):
        return f"JobTimeoutAction={own['JobTimeoutAction']}: systemd would do that to the host if the start hangs"
    return ""


def _action_of_an_end(s: GuardContext) -> str:
    if not ends_process(s.step, s.observation.facts):
        return ""
    around = [(one.unit, one.properties) for one in (*s.surroundings.conflicting, *s.surroundings.also_stops)]
    for name, properties in [(s.observation.unit, s.surroundings.own), *around]:
        if _acts_on_host(properties.get("SuccessAction", "")):
            return f"{name} has SuccessAction={properties['SuccessAction']}: its stop would do that to the host"
    return ""


def _acts_on_host(action: str) -> bool:
    return action not in ("", "none")


def condition(s: GuardContext) -> Refusal | None:
    """The conditions and assertions of the unit are met: systemd would not skip the start."""
    if not s.unmet_conditions or not s.leads_to_start:
        return None
    return skipped(s.unmet_conditions)


def skipped(unmet: t.Sequence[str]) -> Refusal:
    """The refusal for a start that systemd would skip."""
    message = f"systemd would skip the start: {', '.join(unmet)}"
    return Refusal("condition", message, "meet these conditions, or change them in the unit file")


def not_ready(missing: str) -> Refusal:
    """The refusal for something that the next start needs and that is missing."""
    return Refusal("ready", f"the next start would fail: {missing}", "fix that first: the service was not touched")


def ready(s: GuardContext) -> Refusal | None:
    """What the next start needs is there. Checked before a running process is ended."""
    return next(iter(s.unready), None) if s.leads_to_start else None


def disk(s: GuardContext) -> Refusal | None:
    """The paths that the service writes to have free space."""
    full = [d for d in s.disks if d.free < s.min_free or d.inodes == 0]
    if not full or not s.leads_to_start:
        return None
    message = ", ".join(f"{d.path} has {d.free // 1048576} MiB and {d.inodes} inodes free" for d in full)
    return Refusal("disk_full", message, "free some space first: it would fail again, and may harm its data")


def cause(s: GuardContext) -> Refusal | None:
    """A new start can help with the cause of the failure."""
    if not s.observation.failed or s.cause_severity in (None, "soft") or not s.leads_to_start:
        return None
    return _of_cause(f"{s.cause}: {s.cause_summary}", s.cause or "", s.cause_severity, s.next_step)


def lasting(cause: str, severity: str, summary: str, next_step: str) -> Refusal:
    """The refusal for a cause that would make the next start by systemd fail as well."""
    return _of_cause(f"{cause}, which no restart corrects: {summary}", cause, severity, next_step)


def _of_cause(message: str, cause: str, severity: str | None, next_step: str) -> Refusal:
    if severity == "fatal":
        return Refusal("cause", message, next_step or "a start would not help, or would do harm")
    return Refusal("cause", message, accept_once(next_step, cause))


def attempts(s: GuardContext) -> Refusal | None:
    """The attempt budget is not exhausted, and the back-off is over or short enough to wait for."""
    if s.budget is None or not s.leads_to_start:
        return None
    if s.budget.left <= 0:
        when = "" if s.budget.wait is None else f"; the next one is possible in {s.budget.wait:.0f} s"
        message = f"{s.budget.used} of {s.budget.allowed} attempts within {s.budget.window:.0f} s are used{when}"
        return Refusal("attempts", message, "find the cause: see diagnosis; then raise max_attempts for one run")
    if s.budget.wait is not None and s.budget.wait > s.budget_wait:
        message = f"attempt {s.budget.used + 1} may be made in {s.budget.wait:.0f} s (exponential back-off)"
        return Refusal("attempts", message, "run again then, or raise wait_timeout")
    return None


# In this order; the first that objects is the reason that is shown first.
GUARDS: tuple[tuple[str, Guard], ...] = (
    ("edge", edge),
    ("host_going_down", host_going_down),
    ("hold", hold),
    ("precondition", precondition),
    ("unit", unit),
    ("oneshot", oneshot),
    ("frozen", frozen),
    ("busy", job),
    ("force_stop", stuck_stop),
    ("start_limit", start_limit),
    ("leftovers", leftovers),
    ("dependency", dependency),
    ("dependants", dependants),
    ("conflicts", conflicts),
    ("host_action", host_action),
    ("condition", condition),
    ("ready", ready),
    ("disk_full", disk),
    ("cause", cause),
    ("attempts", attempts),
)


def check(situation: GuardContext) -> tuple[Refusal, ...]:
    """Every objection to the step, in the order of GUARDS."""
    return tuple(block for block in (guard(situation) for _name, guard in GUARDS) if block is not None)
