# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does one step on the host: gathers what the guards check, then asks systemd.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import signal
import time
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.disk import Disk, disk_usage
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.ended_command import said_at_end
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.readiness import unready
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import (
    Clock,
    LifecycleError,
    Runner,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import (
    Systemd,
    UnitFacts,
    parse_span,
    slice_group,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.written_paths import written_paths
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import guards as g
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import (
    Attempt,
    Budget,
    Records,
    owed,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Request
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.surroundings import (
    Surroundings,
    around,
    ends_process,
    forgotten,
)

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import Cause

# What systemd will not do, whoever asks or for this user: "Transaction is destructive", "Operation refused", ...
_RC_REFUSED = 4
_CONFIG_CHECK_TIMEOUT = 60.0
_START_JOBS = ("start", "restart", "try-restart")
_RELOAD_JOBS = ("reload", "reload-or-start", "try-reload")
_DOWN = ("inactive", "failed")
# The seconds after which what the guards have said does not count any more.
_GUARDS_HOLD_FOR = 2.0


class Refused(Exception):
    """A step that systemd refused, reported as a guard would."""

    def __init__(self, block: Refusal) -> None:
        super().__init__(block.reason)
        self.block = block


class Outdated(Exception):
    """The result of the guards is too old, or a hold was set since: the guards have to be checked again."""


class CountStarts(t.Protocol):
    """How often a unit was started since a moment (seconds since the epoch), as far as the journal tells."""

    def __call__(self, unit: str, since: float) -> int:
        """Count them."""


class AskNeighbour(t.Protocol):
    """Returns the refusals of the guards of another service's kind if that service is stopped."""

    def __call__(self, unit: str) -> t.Sequence[Refusal]:
        """The refusals; none for a unit of which nothing is described."""


class WhySkipped(t.Protocol):
    """Why systemd skipped the start of a unit since a moment (seconds since the epoch); empty where it did not."""

    def __call__(self, unit: str, since: float) -> str:
        """The manager's own words."""


def _not_skipped(unit: str, since: float) -> str:
    return ""


def _no_count(unit: str, since: float) -> int:
    return 0


def _no_objection(unit: str) -> t.Sequence[Refusal]:
    return ()


@dataclass(frozen=True)
class HostServices:
    """The services of the host that actions use, all of them passed in."""

    systemd: Systemd
    ledger: Records
    clock: Clock
    runner: Runner
    count_starts: CountStarts = _no_count
    ask_neighbour: AskNeighbour = _no_objection
    why_skipped: WhySkipped = _not_skipped


# What a kind writes to, by the properties of its unit.
WrittenPaths = t.Callable[[t.Mapping[str, str]], t.Sequence[str]]


class Actions:
    """Makes the steps of one service."""

    def __init__(self, unit: str, request: Request, tools: HostServices, written: WrittenPaths | None = None) -> None:
        self._unit = unit
        self._written = written
        self._request = request
        self._tools = tools
        # The cause of the failure that the host has shown to be gone, with what shows it.
        self.resolved = ""

    def budget(self, observation: Observation) -> Budget:
        """The attempts that count now. Good running clears them."""
        request, facts = self._request, observation.facts
        return self._tools.ledger.budget(
            self._unit,
            facts.moment("ActiveEnter") if facts else 0.0,
            facts.moment("ActiveExit") if facts else 0.0,
            observation.base_state == m.RUNNING,
            allowed=request.max_attempts,
            window=request.attempt_window,
            backoff=request.attempt_backoff,
            reset_attempts_after=request.reset_attempts_after,
        )

    def situation(
        self,
        step: m.Step,
        observation: Observation,
        *,
        acted: bool,
        diagnosis: t.Any,
        budget_wait: float,
        cleared: bool = False,
    ) -> g.GuardContext:
        """Everything that the guards check, read right now. ``cleared``: a planned step before clears the failure."""
        request, systemd = self._request, self._tools.systemd
        facts = observation.facts
        cause = diagnosis.primary if diagnosis is not None and observation.failed else None
        disks = self._disks(facts)
        accepted = cause is not None and self._accepted(diagnosis, observation, disks)
        jobs = systemd.jobs() if facts is not None and facts.job else {}
        start_follows = g.leads_to_start(step, request.target)
        surroundings = self.surroundings(step, facts)
        return g.GuardContext(
            promised=self._request.promised,
            step=step,
            observation=observation,
            target=request.target,
            recovery=request.recovery,
            hold=self._tools.ledger.hold(self._unit),
            wall=self._tools.clock.wall(),
            system_state=systemd.system_state(),
            job_type=_conflict(jobs.get(self._unit, ""), step, self._cancelled_jobs(observation)),
            leftovers=self.leftovers(observation),
            expected_state=request.expected_state,
            expected_invocation=request.expected_invocation,
            acted=acted,
            budget=self.budget(observation),
            budget_wait=budget_wait,
            cause_severity=None if cause is None or accepted else cause.severity,
            cause="" if cause is None else cause.id,
            cause_summary="" if cause is None else cause.summary,
            next_step="" if cause is None else cause.next_step,
            disks=disks if start_follows else (),
            min_free=request.min_free_bytes,
            may_force_stop=request.force_stop,
            surroundings=surroundings,
            may_stop_conflicting=request.stop_conflicting,
            recent_starts=0 if cleared else self._recent_starts(surroundings.own),
            forgotten=forgotten(facts),
            unready=self._unready(step, facts) if start_follows else (),
            unmet_conditions=systemd.unmet_conditions(self._unit) if start_follows else (),
        )

    def surroundings(self, step: m.Step, facts: UnitFacts | None) -> Surroundings:
        """What the step does to other units and to the host, and which of their guards refuse."""
        if facts is None or facts.load == "not-found":
            return Surroundings()
        starts = g.leads_to_start(step, self._request.target)
        found = around(step, facts, starts=starts, show=self._tools.systemd.related)
        holds = {name: self._tools.ledger.hold(name) for name in (*found.stops, *found.starts)}
        return replace(
            found,
            holds={name: hold for name, hold in holds.items() if hold is not None},
            refusals={name: self._tools.ask_neighbour(name) for name in found.stops},
        )

    def _unready(self, step: m.Step, facts: UnitFacts | None) -> tuple[Refusal, ...]:
        """What the next start lacks, before what is up is ended for it: it is worth more than what cannot start."""
        if not ends_process(step, facts):
            return ()
        missing = unready(self._tools.systemd.needs(self._unit))
        return tuple(g.not_ready(message) for message in missing)

    def _recent_starts(self, own: t.Mapping[str, str]) -> int:
        """At least how many starts count against systemd's limit; counted only if the limit acts on the host."""
        if own.get("StartLimitAction", "none") in ("none", ""):
            return 0
        attempts = self._tools.ledger.attempts(self._unit)
        since = self._tools.clock.wall() - (parse_span(own.get("StartLimitIntervalUSec", "")) or 0.0)
        if attempts and attempts[-1].action == "reset" and attempts[-1].outcome == "open":
            since = max(since, attempts[-1].at)  # it cleared the count
        made = sum(1 for attempt in attempts if attempt.at >= since and attempt.action in ("start", "restart"))
        return max(made, self._tools.count_starts(self._unit, since))

    def config_check(self) -> Refusal | None:
        """Run the configured check. It must change nothing, so it runs in check mode too."""
        argv = self._request.config_check
        if not argv:
            return None
        done = self._tools.runner(argv, timeout=_CONFIG_CHECK_TIMEOUT)
        if done.rc == 0:
            return None
        if done.not_found:
            message = f"{argv[0]} was not found"
        elif done.timed_out:
            message = f"{argv[0]} did not end within {_CONFIG_CHECK_TIMEOUT:.0f} s"
        else:
            how = "could not be started" if done.rc is None else f"ended with {done.rc}"
            message = f"{argv[0]} {how}: {sanitize((done.err or done.out).strip(), 500)}"
        return Refusal("config_check", message, "correct the configuration: the service has been left as it is")

    def act(
        self, step: m.Step, observation: Observation, cause: str | None, surroundings: Surroundings, asked_at: float
    ) -> tuple[str, ...]:
        """Make the step that the guards allowed at ``asked_at``; returns what was asked of systemd.

        Raises Refused, Outdated, LifecycleError.
        """
        if step.action == "stop":
            return (*self._cancel_job(observation), self._ask("stop"))
        facts = observation.facts
        if step.action != "reset" or self._request.target not in (m.STOPPED, "reset"):
            attempt = Attempt(
                at=self._tools.clock.wall(),
                action=step.action,
                recovery=step.source == m.ERROR or self._unfinished_recovery(),
                before=facts.invocation if facts else "",
                cause=cause,
                owner=self._request.owner,
                took_along=[*self.owed(), *surroundings.to_return],
            )
            self._tools.ledger.begin(self._unit, attempt)
        try:
            self._refuse_outdated(asked_at)
            return self._make(step, observation, surroundings)
        except (Refused, Outdated):
            self._tools.ledger.finish(self._unit, "refused")  # nothing was started: that must not use up the budget
            raise

    def _refuse_outdated(self, asked_at: float) -> None:
        """To write the record may have taken long: the file was locked, or the disk is slow."""
        waited = self._tools.clock.monotonic() - asked_at
        if waited > _GUARDS_HOLD_FOR or self._tools.ledger.hold(self._unit) is not None:
            raise Outdated

    def _make(self, step: m.Step, observation: Observation, surroundings: Surroundings) -> tuple[str, ...]:
        facts = observation.facts
        if step.action == "reset":
            return self._reset(observation)
        # With job mode fail systemd drops the stop of what names this unit in its own Conflicts=, and both would run.
        mode = "replace" if surroundings.conflicting else "fail"
        # A failed unit has nothing to stop; a unit that is up or in a restart loop has.
        if not ends_process(step, facts):
            return (self._ask("start", mode),)
        return (*self._cancel_job(observation), self._ask("restart", mode))

    def owed(self) -> tuple[str, ...]:
        """The units that earlier attempts have stopped as well and that are not proved to run again."""
        return owed(self._tools.ledger.attempts(self._unit), self._tools.clock.wall(), self._request.attempt_window)

    def absent(self, units: t.Sequence[str]) -> dict[str, UnitFacts]:
        """Those of ``units`` that do not run."""
        shown = zip(units, self._tools.systemd.show(units))
        return {unit: facts for unit, facts in shown if facts.active not in ("active", "reloading", "refreshing")}

    def bring_back(self, unit: str) -> str:
        """Start a unit that a step has stopped as well."""
        held = self._tools.ledger.hold(unit)
        if held is not None:
            message = f"{unit} was stopped with {self._unit} and is held by {held.owner}: {held.reason}"
            raise Refused(Refusal("dependants", message, f"ask {held.owner}, then start {unit}"))
        # A target is brought back without all that it wants: somebody may have stopped some of that on purpose.
        self._ask("start", "ignore-dependencies" if unit.endswith(".target") else "fail", unit)
        return f"start of {unit}"

    def skipped(self, observation: Observation, began: float) -> Refusal | None:
        """Why systemd has skipped the start that was asked for at ``began`` (CLOCK_MONOTONIC). It was no attempt."""
        if observation.state != m.STOPPED:
            return None
        clock = self._tools.clock
        why = self._tools.why_skipped(self._unit, clock.wall() - (clock.monotonic() - began))
        if not why and observation.cause not in ("condition_failed", "assert_failed"):
            return None
        self._tools.ledger.finish(self._unit, "refused")
        return g.skipped((why or observation.reasons[0],))

    def daemon_reload(self) -> str:
        """Have systemd read the units' files."""
        done = self._tools.systemd.daemon_reload()
        if done.rc != 0:
            raise LifecycleError(f"systemctl daemon-reload failed: {said_at_end(done)}")
        return "daemon-reload"

    def force_stop(self, observation: Observation) -> str:
        """Send SIGKILL to a unit that does not stop."""
        done = self._tools.systemd.kill(self._unit, "SIGKILL")
        if done.rc == 0:
            return "systemctl kill --signal=SIGKILL"
        return self.kill_leftovers(observation)

    def kill_leftovers(self, observation: Observation) -> str:
        """Send SIGKILL to leftover processes in the cgroup of a unit that is down."""
        for pid in self.leftovers(observation):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself
            except PermissionError as exc:
                raise LifecycleError(f"cannot kill process {pid} of {self._unit}; run with become: true") from exc
        return "kill -KILL of left-over processes"

    def leftovers(self, observation: Observation) -> tuple[int, ...]:
        """Processes in the unit's cgroup although the unit is down."""
        facts = observation.facts
        if facts is None or facts.active not in _DOWN:
            return ()
        # A user's unit may be named like one of the system, whose processes are none of its.
        inside = slice_group(facts.text("Slice") or "system.slice")
        usual = "" if self._tools.systemd.user else f"{inside}/{self._unit}"
        found = self._tools.systemd.processes(facts.text("ControlGroup") or usual)
        # Somebody may have started it since it was observed: then these are no left-overs, and must not be killed.
        return found if found and self._tools.systemd.show([self._unit])[0].active in _DOWN else ()

    def _reset(self, observation: Observation) -> tuple[str, ...]:
        facts = observation.facts
        asked: list[str] = []
        if facts is not None and facts.active not in _DOWN:
            asked += [*self._cancel_job(observation), self._ask("stop")]
        if facts is not None and facts.active == "failed":
            done = self._tools.systemd.reset_failed(self._unit)
            if done.rc != 0:
                raise LifecycleError(f"systemctl reset-failed {self._unit}: {said_at_end(done)}")
            asked.append("reset-failed")
        return tuple(asked)

    def _cancelled_jobs(self, observation: Observation) -> tuple[str, ...]:
        """The types of jobs that may be cancelled: a start that is overdue; what hangs, where force is asked for."""
        if self._request.force_stop:
            return (*_START_JOBS, *_RELOAD_JOBS)
        return _START_JOBS if observation.cause == "start_timeout" or observation.loops else ()

    def _cancel_job(self, observation: Observation) -> tuple[str, ...]:
        """A stop is refused while another job is pending, so a start or reload that never ends has to be cancelled."""
        facts, cancelled = observation.facts, self._cancelled_jobs(observation)
        if facts is None or not facts.job or not cancelled:
            return ()
        job = self._tools.systemd.jobs().get(self._unit)
        if job not in cancelled:
            return ()
        done = self._tools.systemd.cancel(facts.job)
        return (f"cancel of the {'reload' if job in _RELOAD_JOBS else 'start'} job",) if done.rc == 0 else ()

    def _ask(self, verb: str, mode: str = "fail", unit: str = "") -> str:
        unit = unit or self._unit
        done = self._tools.systemd.enqueue(verb, unit, mode)
        if done.rc == 0 or done.timed_out:
            return verb  # after a time-out the next observation tells whether the job was taken
        if done.rc == _RC_REFUSED:
            message = said_at_end(done)
            busy = "destructive" in message  # another controller's job is in the way
            hint = "see systemctl list-jobs" if busy else f"run with become: true, or see systemctl cat {unit}"
            raise Refused(Refusal("busy" if busy else "unit", f"systemd refused to {verb} {unit}: {message}", hint))
        raise LifecycleError(f"systemctl {verb} {unit} ended with {done.rc}: {said_at_end(done)}")

    def _unfinished_recovery(self) -> bool:
        rows = self._tools.ledger.attempts(self._unit)
        return bool(rows) and rows[-1].outcome == "open"

    def is_lasting(self, diagnosis: t.Any, observation: Observation) -> bool:
        """Whether a service fails for a cause that only a person can fix, and that is not fixed yet."""
        cause = diagnosis.primary if diagnosis is not None else None
        if cause is None or cause.severity == "soft":
            return False
        return not self._accepted(diagnosis, observation, self._disks(observation.facts))

    def is_dealt_with(self, cause: Cause, observation: Observation, failed_at: t.Callable[[], float | None]) -> bool:
        """Whether a cause of a kind is resolved: a person accepted it, or the host shows that it is gone.

        What a process that lives has read before a file was corrected stays as it is. ``failed_at``: when the last run
        of a loop failed, in seconds since the epoch.
        """
        if observation.state != m.RESTARTING:
            return cause.severity != "fatal" and cause.id in self._request.accept_causes
        return self._is_resolved(cause, (), observation, self._disks(observation.facts), failed_at())

    def _accepted(self, diagnosis: t.Any, observation: Observation, disks: tuple[Disk, ...]) -> bool:
        failed_at = diagnosis.failed_at
        return self._is_resolved(diagnosis.primary, diagnosis.ports, observation, disks, failed_at)

    def _is_resolved(
        self,
        cause: Cause,
        ports: t.Sequence[int],
        observation: Observation,
        disks: tuple[Disk, ...],
        failed_at: float | None = None,
    ) -> bool:
        """Whether the cause is no objection any more: a person said so, or the host shows it."""
        if cause.severity == "fatal":
            return False
        if cause.id in self._request.accept_causes:
            return True
        if cause.severity == "soft" or observation.facts is None:
            return False
        if observation.facts.flag("NeedDaemonReload"):
            return False  # what was corrected in its files is nothing that systemd has read
        from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.resolved import resolution_of

        if failed_at is None:
            failed_at = observation.since if observation.since is not None else self._tools.clock.wall()
        properties, room = observation.facts.properties, self._request.min_free_bytes
        shown = resolution_of(cause, properties, failed_at, disks, room, ports)
        if shown is None:
            return False
        self.resolved = f"{cause.id} was the cause at {_moment(failed_at)}; {shown}"
        return True

    def _disks(self, facts: UnitFacts | None) -> tuple[Disk, ...]:
        properties = facts.properties if facts is not None else {}
        own = self._written(properties) if self._written else ()
        return disk_usage(written_paths(properties, (*self._request.disk_paths, *own)))


def _moment(seconds: float) -> str:
    """A moment as a person reads it. ``seconds``: since the epoch."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _conflict(job_type: str, step: m.Step, cancelled: t.Collection[str]) -> str:
    """The pending systemd job that conflicts with the step, if any. SIGKILL needs no job."""
    if step.action == "force_stop" or job_type in cancelled:
        return ""
    same = {"start": ("start", "restart"), "restart": ("restart",), "stop": ("stop",)}
    return "" if job_type in same.get(step.action, ()) else job_type
