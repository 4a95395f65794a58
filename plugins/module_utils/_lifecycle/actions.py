# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does one step on the host: gathers what the guards look at, then asks systemd.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import signal
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.resolved import resolution_of
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import missing_dependencies
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.disk import Disk, disk_usage, written_paths
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import (
    Clock,
    Completed,
    LifecycleError,
    Runner,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd, UnitFacts, slice_group
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import guards as g
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Attempt, Budget, Records
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Request

# What systemd will not do, whoever asks or for this user: "Transaction is destructive", "Operation refused", ...
_RC_REFUSED = 4
_CONFIG_CHECK_TIMEOUT = 60.0
_START_JOBS = ("start", "restart", "try-restart")
_DOWN = ("inactive", "failed")


class Refused(Exception):
    """A step that systemd would not take, as the guard that it amounts to."""

    def __init__(self, block: Refusal) -> None:
        super().__init__(block.reason)
        self.block = block


@dataclass(frozen=True)
class HostServices:
    """What acting needs of the host, all of it passed in."""

    systemd: Systemd
    ledger: Records
    clock: Clock
    runner: Runner


class Actions:
    """Makes the steps of one service."""

    def __init__(self, unit: str, request: Request, tools: HostServices) -> None:
        self._unit = unit
        self._request = request
        self._tools = tools

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
        self, step: m.Step, observation: Observation, *, acted: bool, diagnosis: t.Any, budget_wait: float
    ) -> g.GuardContext:
        """Everything that the guards look at, read right now."""
        request, systemd = self._request, self._tools.systemd
        facts = observation.facts
        cause = diagnosis.primary if diagnosis is not None and step.source == m.ERROR else None
        disks = self._disks(facts)
        accepted = cause is not None and cause.severity != "fatal" and self._accepted(cause, observation, disks)
        jobs = systemd.jobs() if facts is not None and facts.job else {}
        start_follows = step.action in ("start", "restart") or request.target not in (m.STOPPED, "reset")
        return g.GuardContext(
            step=step,
            observation=observation,
            target=request.target,
            recovery=request.recovery,
            hold=self._tools.ledger.hold(self._unit),
            wall=self._tools.clock.wall(),
            system_state=systemd.system_state(),
            job_type=_conflict(jobs.get(self._unit, ""), step, self._may_cancel(observation)),
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
            dependencies=self._missing_dependencies(facts) if start_follows and facts else {},
            may_force_stop=request.force_stop,
        )

    def config_check(self) -> Refusal | None:
        """Run the configured check. It must change nothing, so it runs in check mode too."""
        argv = self._request.config_check
        if not argv:
            return None
        done = self._tools.runner(argv, timeout=_CONFIG_CHECK_TIMEOUT)
        if done.rc == 0:
            return None
        if done.not_found:
            said = f"{argv[0]} was not found"
        elif done.timed_out:
            said = f"{argv[0]} did not end within {_CONFIG_CHECK_TIMEOUT:.0f} s"
        else:
            how = "could not be started" if done.rc is None else f"ended with {done.rc}"
            said = f"{argv[0]} {how}: {sanitize((done.err or done.out).strip(), 500)}"
        return Refusal("config_check", said, "correct the configuration: the service has been left as it is")

    def act(self, step: m.Step, observation: Observation, cause: str | None) -> tuple[str, ...]:
        """Make the step; returns what was asked of systemd. Raises Refused, LifecycleError."""
        if step.action == "stop":
            return (*self._cancel_start(observation), self._ask("stop"))
        facts = observation.facts
        if step.action != "reset" or self._request.target not in (m.STOPPED, "reset"):
            attempt = Attempt(
                at=self._tools.clock.wall(),
                action=step.action,
                recovery=step.source == m.ERROR or self._unfinished_recovery(),
                before=facts.invocation if facts else "",
                cause=cause,
                owner=self._request.owner,
            )
            self._tools.ledger.begin(self._unit, attempt)
        try:
            return self._make(step, observation)
        except Refused:
            self._tools.ledger.finish(self._unit, "refused")  # nothing was started: that must not use up the budget
            raise

    def _make(self, step: m.Step, observation: Observation) -> tuple[str, ...]:
        facts = observation.facts
        if step.action == "reset":
            return self._reset(observation)
        # A failed unit has nothing to stop; a unit that is up or in a restart loop has.
        down = facts is None or facts.active in _DOWN
        if down:
            return (self._ask("start"),)
        return (*self._cancel_start(observation), self._ask("restart"))

    def force_stop(self, observation: Observation) -> str:
        """SIGKILL for what does not end."""
        done = self._tools.systemd.kill(self._unit, "SIGKILL")
        if done.rc == 0:
            return "systemctl kill --signal=SIGKILL"
        return self.kill_leftovers(observation)

    def kill_leftovers(self, observation: Observation) -> str:
        """SIGKILL for processes that are left in the cgroup of a unit that is down."""
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
            asked += [*self._cancel_start(observation), self._ask("stop")]
        if facts is not None and facts.active == "failed":
            done = self._tools.systemd.reset_failed(self._unit)
            if done.rc != 0:
                raise LifecycleError(f"systemctl reset-failed {self._unit}: {_said(done)}")
            asked.append("reset-failed")
        return tuple(asked)

    def _may_cancel(self, observation: Observation) -> bool:
        """Whether a start job may be cancelled: the start is overdue, or force was asked for."""
        return self._request.force_stop or observation.cause in ("start_timeout", "crash_loop")

    def _cancel_start(self, observation: Observation) -> tuple[str, ...]:
        """A stop is refused while a start job is pending, so a start that never ends has to be cancelled first."""
        facts = observation.facts
        if facts is None or not facts.job or not self._may_cancel(observation):
            return ()
        if self._tools.systemd.jobs().get(self._unit) not in _START_JOBS:
            return ()
        done = self._tools.systemd.cancel(facts.job)
        return ("cancel of the start job",) if done.rc == 0 else ()

    def _ask(self, verb: str) -> str:
        done = self._tools.systemd.enqueue(verb, self._unit)
        if done.rc == 0 or done.timed_out:
            return verb  # after a time-out the next look tells whether the job was taken
        if done.rc == _RC_REFUSED:
            said = _said(done)
            busy = "destructive" in said  # another controller's job is in the way
            hint = "see systemctl list-jobs" if busy else f"run with become: true, or see systemctl cat {self._unit}"
            raise Refused(Refusal("busy" if busy else "unit", f"systemd refused to {verb}: {said}", hint))
        raise LifecycleError(f"systemctl {verb} {self._unit} ended with {done.rc}: {_said(done)}")

    def _unfinished_recovery(self) -> bool:
        rows = self._tools.ledger.attempts(self._unit)
        return bool(rows) and rows[-1].outcome == "open"

    def _accepted(self, cause: t.Any, observation: Observation, disks: tuple[Disk, ...]) -> bool:
        """Whether a cause is no objection any more: a person said so, or the host shows it."""
        if cause.id in self._request.accept_causes:
            return True
        if cause.severity == "soft" or observation.facts is None:
            return False
        failed_at = observation.since if observation.since is not None else self._tools.clock.wall()
        properties = observation.facts.properties
        return resolution_of(cause, properties, failed_at, disks, self._request.min_free_bytes) is not None

    def _disks(self, facts: UnitFacts | None) -> tuple[Disk, ...]:
        properties = facts.properties if facts is not None else {}
        return disk_usage(written_paths(properties, self._request.disk_paths))

    def _missing_dependencies(self, facts: UnitFacts) -> dict[str, str]:
        """Required units that are not there: services have to run, anything else must not be broken."""
        missing = missing_dependencies(facts.properties, self._tools.systemd.properties)
        return {name: state for name, state in missing.items() if name.endswith(".service") or state != "inactive"}


def _conflict(job_type: str, step: m.Step, may_cancel_start: bool) -> str:
    """The job that stands in the way of a step: not one that does the same. SIGKILL needs no job."""
    if step.action == "force_stop" or (may_cancel_start and job_type in _START_JOBS):
        return ""
    same = {"start": ("start", "restart"), "restart": ("restart",), "stop": ("stop",)}
    return "" if job_type in same.get(step.action, ()) else job_type


def _said(done: Completed) -> str:
    return sanitize(" ".join((done.err or done.out).split()), 300)
