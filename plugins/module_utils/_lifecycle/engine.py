# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""observe -> plan -> guard -> act -> verify: one loop for every kind of service.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Nothing is remembered between two rounds but what this run did, so a run that
is killed anywhere is continued by running the same task again.
"""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import guards as g
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.actions import (
    Actions,
    HostServices,
    Outdated,
    Refused,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.attempts import AttemptRecorder
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import (
    Observation,
    in_own_try,
    of_last_run,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService, Observer
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.planning import (
    Planning,
    force_stop_step,
    is_retryable,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Outcome, Request
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.resumable_wait import ResumableWait
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.surroundings import Surroundings
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timing import (
    LastKnownState,
    poll_delay,
    stability_window,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.transitions import TransitionLog

_ACTION_LIMIT = 8
# Guards that check what the unit's files say.
_OF_UNIT_FILES = ("unit", "cause", "condition", "ready", "dependency")


class Diagnose(t.Protocol):
    """Why a service is in the state it is in."""

    def __call__(self, observation: Observation) -> t.Any:
        """The diagnosis."""


class TargetNotReached(Exception):
    """The run is over and has not reached its target."""

    def __init__(self, msg: str, blocks: t.Sequence[Refusal] = ()) -> None:
        super().__init__(msg)
        self.msg = msg
        self.blocks = tuple(blocks)


class SliceExpired(Exception):
    """The run is over, and another one continues the wait."""


class Engine:
    """Drives one service towards one target."""

    def __init__(
        self, watched: MonitoredService, request: Request, observer: Observer, tools: HostServices, diagnose: Diagnose
    ) -> None:
        self._watched = watched
        self._kind = watched.kind
        self._machine = watched.kind.machine
        self._request = request
        self._observer = observer
        self._tools = tools
        self._diagnose = diagnose
        self._clock = tools.clock
        self._started = self._clock.monotonic()
        if request.wait_id:
            watched.unit = tools.systemd.own_name(watched.unit)
        tools.ledger.patience = lambda: max(self._left(), 0.0)
        self._wait = ResumableWait(watched.unit, request, tools.ledger, watched.kind, self._started)
        last = self._wait.last
        self._trace = TransitionLog(self._machine, self._clock, self._wait.transitions, last[1] if last else None)
        self._acts = self._wait.acts
        left = self._wait.memory
        self._forced: set[str] = set(left.get("forced", ()))
        self._in_the_way: tuple[Refusal, ...] = ()
        self._ended = ""
        self._notes: list[str] = []
        self._around = Surroundings()
        self._also_stops: dict[str, None] = dict.fromkeys(left.get("also_stops", ()))
        self._also_starts: dict[str, None] = dict.fromkeys(left.get("also_starts", ()))
        self._brought_back: set[str] = set(left.get("brought_back", ()))
        self._displaced: tuple[str, ...] = tuple(left.get("displaced", ()))
        self._reloaded = bool(left.get("reloaded"))
        self._reached_since: float | None = None
        self._diagnosis: t.Any = None
        self._judged: tuple[str, int, str] | None = None
        self._last_failure: tuple[str, float | None] | None = None
        self._before = self._last = observer.observe_settled([watched])[0]
        self._actor = Actions(watched.unit, request, tools, watched.kind.written_paths)
        self._planning = Planning(watched.kind, request, self._actor)
        self._settling = AttemptRecorder(watched.unit, tools.ledger, request.reset_attempts_after)
        self._renewed = self._wait.renewed(_invocation(self._before))
        if last:
            self._trace.observed(last[0], self._before.state)
        self._sight = LastKnownState(self._kind, self._clock, last)
        self._sight.saw(self._before)

    def run(self) -> Outcome:
        """Reach the target, or say why not. Errors become a failed outcome, with all that was seen."""
        try:
            self._run_locked()
        except LifecycleError as exc:
            return self._failure(exc.msg)
        except TargetNotReached as end:
            return self._failure(end.msg, end.blocks)
        except SliceExpired:
            outcome = self._outcome()
            outcome.waiting = True
            return outcome
        return self._outcome()

    def _run_locked(self) -> None:
        if self._request.diagnose:
            self._diagnosis = self._diagnose(self._before)
        if self._request.check_mode:
            self._plan_only(self._before)
            return
        lock = self._tools.ledger.lock(self._watched.unit, self._request.owner)
        before = self._before
        if self._is_reached(before) and self._is_stable(before) and not self._is_incomplete(before):
            self._settling.earlier(lock, before)
            return
        holder = lock.acquire()
        if holder is not None:
            raise TargetNotReached(
                f"{self._watched.unit} is locked by {holder} (another run is in progress)",
                [Refusal("busy", f"locked by {holder}", "wait until that run has ended, then run again")],
            )
        try:
            self._loop()
            self._settling.settle("verified", self._last, self._renewed)
        except (LifecycleError, TargetNotReached):
            if self._renewed:
                self._best_effort(lambda: self._settling.settle("failed", self._last, True), None)
            raise
        except SliceExpired:
            self._save()
            raise
        finally:
            lock.release()

    def _plan_only(self, observation: Observation) -> None:
        """Check mode: the whole plan with the same code, and what would refuse it; nothing is touched."""
        plan = self._planning.plan(observation, self._renewed)
        if plan.refusal:
            raise self._no_way(plan, observation)
        steps = self._planning.predicted(plan.steps, observation)
        self._trace.planned(steps)
        if steps and not steps[0].acts:
            self._end_if_futile(observation)
        self._end_if_lasting(observation)
        cleared = False
        for step in steps:
            blocks = self._objections(step, observation, cleared) if step.acts else ()
            cleared = cleared or step.action == "reset"
            if blocks and not is_retryable(blocks):
                raise TargetNotReached(
                    f"{self._watched.unit} is {observation.state}; would refuse: {blocks[0].reason}", blocks
                )

    def _loop(self) -> None:
        observation = self._observe()
        while True:
            if self._is_reached(observation):
                if not self._is_stable(observation):
                    self._end_if_lasting(observation)
                    self._pause(observation, towards_soak=True)
                elif self._planning.leftovers_matter(observation):
                    self._end_leftovers(observation)
                elif self._absent(observation):
                    self._bring_back(observation)
                else:
                    self._verify(observation)
                    return
            else:
                self._reached_since = None
                self._step(observation)
            observation = self._observe()

    def _is_incomplete(self, observation: Observation) -> bool:
        """Whether the target is reached and there is something to do all the same."""
        return self._planning.leftovers_matter(observation) or bool(self._absent(observation))

    def _absent(self, observation: Observation) -> dict[str, UnitFacts]:
        """The units that attempts to start the service have stopped as well and that do not run again."""
        if observation.base_state != m.RUNNING or self._request.target in (m.STOPPED, "reset"):
            return {}
        owed = self._actor.owed()
        return self._actor.absent(owed) if owed else {}

    def _bring_back(self, observation: Observation) -> None:
        """What ran before has to run afterwards: wait for systemd to start it, or start it once."""
        self._check_deadline(observation)
        for unit, facts in self._absent(observation).items():
            if facts.job or facts.active == "activating":
                continue
            if unit in self._brought_back:
                message = f"{unit} was stopped with it and is {facts.active}, {facts.result}"
                raise TargetNotReached(f"{self._watched.unit} is {observation.state}, but {message}")
            began = self._clock.monotonic()
            self._brought_back.add(unit)
            try:
                asked = self._actor.bring_back(unit)
            except Refused as refused:
                raise TargetNotReached(f"{self._watched.unit}: {refused.block.reason}", [refused.block]) from refused
            self._acts += 1
            self._trace.acted(m.Step(observation.state, "restart", observation.state), f"systemctl {asked}", began)
        self._pause(observation)

    def _step(self, observation: Observation) -> None:
        """One round: act if the plan begins with an act, else wait."""
        self._end_if_out_of_reach(observation)
        self._in_the_way = ()
        plan = self._planning.plan(observation, self._renewed)
        if observation.state == m.UNKNOWN and self._sight.may_clear_up():
            self._pause(observation)  # one observation that failed must not end a wait of hours
            return
        if plan.refusal:
            raise self._no_way(plan, observation)
        if observation.cause == "stop_overdue":
            self._force_stop(observation)
        elif self._acts and _job(observation):
            self._pause(observation)  # systemd has not finished what was asked of it
        elif plan.steps and plan.steps[0].acts and not self._planning.is_patient(plan.steps[0], observation):
            self._end_if_lasting(observation)
            self._act(plan.steps[0], observation)
        else:
            self._end_if_futile(observation)
            self._pause(observation)

    def _end_if_futile(self, observation: Observation) -> None:
        """End a wait at once that cannot reach the target. A cause that lasts is a refusal where nothing was done."""
        target = self._request.target
        cause = self._known_to_kind(observation)
        if cause is None:
            self._end_if_lasting(observation)
        message = cause.reason if cause else self._kind.unreachable_reason(observation, target)
        if message:
            raise self._futile(observation, message, cause)

    def _end_if_lasting(self, observation: Observation) -> None:
        """End at once in a loop whose cause no start corrects, between two tries of systemd's and within one."""
        cause = self._lasting(observation)
        if cause is not None:
            raise self._futile(observation, cause.reason, cause)

    def _futile(self, observation: Observation, message: str, cause: Refusal | None) -> TargetNotReached:
        blocks = [cause] if cause and not self._acts else []
        return TargetNotReached(f"{self._watched.unit} is {observation.state}: {message}", blocks)

    def _known_to_kind(self, observation: Observation) -> Refusal | None:
        """The cause that the kind itself knows, unless it was dealt with."""
        cause = self._kind.lasting_cause(observation, self._request.target)
        proved_anew = self._acts and observation.state != m.RESTARTING
        failed_at = functools.partial(self._failed_at, observation)
        if cause is None or (not proved_anew and self._actor.is_dealt_with(cause, observation, failed_at)):
            return None
        return g.lasting(cause.id, cause.severity, cause.summary, cause.next_step)

    def _failed_at(self, observation: Observation) -> float | None:
        """When the last run of a loop failed, in seconds since the epoch; None where that is not known."""
        run = _invocation(observation)
        if self._last_failure is None or self._last_failure[0] != run:
            self._last_failure = (run, self._diagnose(of_last_run(observation)).failed_at)
        return self._last_failure[1]

    def _lasting(self, observation: Observation) -> Refusal | None:
        """Why systemd's next try, or the one under way, must fail as the last one did; None where it may work.

        Each phase of a run is judged once. What is in error is judged by the guards.
        """
        facts = observation.facts
        wanted = self._request.target not in (m.STOPPED, "reset") and observation.state != m.ERROR
        if facts is None or not wanted or not in_own_try(observation, stability_window(self._request, observation)):
            return None
        run = (facts.invocation, facts.restarts, facts.sub)
        if run == self._judged:
            return None
        self._judged = run
        diagnosis = self._diagnose(of_last_run(observation))
        if not self._actor.is_lasting(diagnosis, observation):
            return None
        self._diagnosis, cause = diagnosis, diagnosis.primary
        return g.lasting(cause.id, cause.severity, cause.summary, cause.next_step)

    def _no_way(self, plan: m.Plan, observation: Observation) -> TargetNotReached:
        message = plan.refusal or ""
        if observation.state == m.UNKNOWN:
            message += "".join(f": {reason}" for reason in observation.reasons[:1])
        return TargetNotReached(
            f"{self._watched.unit} is {observation.state}: {message}", [Refusal("edge", message, plan.hint or "")]
        )

    def _act(self, step: m.Step, observation: Observation) -> None:
        left = self._planning.ends_leftovers(step, observation)
        if left and force_stop_step(observation).source in self._forced:
            self._end_leftovers(observation)  # what the step needs was observed before the first of them was killed
            return
        if not self._is_allowed(step, observation):
            return
        asked_at = self._clock.monotonic()
        if self._needs_reload(step, observation):
            self._reload(observation)
            return
        wait = self._actor.budget(observation).wait or 0.0
        if wait > 0 and step.action != "stop" and self._request.target not in (m.STOPPED, "reset"):
            self._clock.sleep(min(wait, max(self._wait.ends - self._clock.monotonic(), 0.0)))
            return  # an observation of what has become of it, and the guards again
        if left:
            self._end_leftovers(observation)
            return
        began = self._clock.monotonic()
        if step.action in ("start", "restart"):
            self._wait.starts(_invocation(observation))
            self._save()
        try:
            asked = self._actor.act(step, observation, observation.cause, self._around, asked_at)
        except Outdated:
            return  # an observation of what has become of it, and the guards again
        except Refused as refused:
            raise TargetNotReached(f"{self._watched.unit}: {refused.block.reason}", [refused.block]) from refused
        self._note_act(step, observation, asked, began)

    def _note_act(self, step: m.Step, observation: Observation, asked: t.Sequence[str], began: float) -> None:
        """Remember what was done, for the wait that follows and for the next run."""
        self._acts += 1
        self._displaced = tuple(other.unit for other in self._around.conflicting)
        self._renewed = self._renewed or step.action in ("start", "restart")
        if self._request.target == m.STOPPED and step.action == "stop" and observation.facts is not None:
            self._ended = observation.facts.invocation
        self._wait.since = began
        self._trace.acted(step, "systemctl " + ", ".join(asked), began)
        self._save()

    def _needs_reload(self, step: m.Step, observation: Observation) -> bool:
        """Whether systemd has to read the unit's files before the step, and may."""
        changed = observation.facts is not None and observation.facts.flag("NeedDaemonReload")
        leads = g.leads_to_start(step, self._request.target)
        return changed and leads and self._request.daemon_reload and not self._reloaded

    def _reload(self, observation: Observation) -> None:
        began = self._clock.monotonic()
        asked = self._actor.daemon_reload()
        self._reloaded = True
        self._acts += 1
        self._trace.acted(m.Step(observation.state, "reset", observation.state), f"systemctl {asked}", began)

    def _is_allowed(self, step: m.Step, observation: Observation) -> bool:
        """Whether nothing forbids the step. What only has to end first is waited for."""
        blocks = self._objections(step, observation)
        if is_retryable(blocks):
            self._in_the_way = blocks
            self._pause(observation)
            return False
        if blocks:
            raise TargetNotReached(f"{self._watched.unit} is {observation.state}; not done: {blocks[0].reason}", blocks)
        return True

    def _save(self) -> None:
        memory = {
            "forced": self._forced,
            "also_stops": self._also_stops,
            "also_starts": self._also_starts,
            "brought_back": self._brought_back,
            "displaced": self._displaced,
            "reloaded": ["yes"] if self._reloaded else [],
        }
        self._wait.keep(self._last.state, self._acts, self._trace, memory)

    def _objections(self, step: m.Step, observation: Observation, cleared: bool = False) -> tuple[Refusal, ...]:
        if observation.failed and self._diagnosis is None:
            self._diagnosis = self._diagnose(observation)  # before anything clears the evidence
        blocks = self._ask_guards(step, observation, cleared)
        if blocks or not self._request.config_check or not g.leads_to_start(step, self._request.target):
            return blocks
        refused = self._actor.config_check()
        # It may have taken long: what must be true at the moment of the step is checked once more.
        return (refused,) if refused else self._ask_guards(step, observation, cleared)

    def _ask_guards(self, step: m.Step, observation: Observation, cleared: bool) -> tuple[Refusal, ...]:
        situation = self._actor.situation(
            step,
            observation,
            acted=self._acts > 0,
            diagnosis=self._diagnosis,
            budget_wait=self._left(),
            cleared=cleared,
        )
        reloads = self._needs_reload(step, observation)
        self._around = situation.surroundings
        self._also_stops.update(dict.fromkeys(self._around.stops))
        self._also_starts.update(dict.fromkeys(self._around.starts))
        if situation.forgotten and step.source == m.ERROR and situation.leads_to_start:
            self._note(f"{situation.forgotten}; so it is started without that")
        blocks = [*g.check(situation), *self._kind.guards(step, observation)]
        if reloads:
            # What systemd has not read yet says nothing against a start: the guards are asked again afterwards.
            blocks = [block for block in blocks if block.guard not in _OF_UNIT_FILES]
            self._note("systemd reads the unit's changed files first (daemon_reload)")
        return tuple(blocks)

    def _note(self, message: str) -> None:
        if message not in self._notes:
            self._notes.append(message)

    def _force_stop(self, observation: Observation) -> None:
        step = force_stop_step(observation)
        if step.source in self._forced:
            self._pause(observation)
        elif self._is_allowed(step, observation):
            self._kill(step, observation, self._actor.force_stop)
            self._pause(observation)

    def _end_leftovers(self, observation: Observation) -> None:
        """Give what is left of a unit that is down time to end, or end it."""
        step, forced = force_stop_step(observation), self._request.force_stop
        pids = self._actor.leftovers(observation)
        self._in_the_way = (g.left_over(pids, forced),) if pids else ()
        self._check_deadline(observation)
        if not forced or self._is_allowed(step, observation):
            if forced:
                self._kill(step, observation, self._actor.kill_leftovers)
            self._pause(observation)

    def _kill(self, step: m.Step, observation: Observation, kill: t.Callable[[Observation], str]) -> None:
        began = self._clock.monotonic()
        asked = kill(observation)
        if step.source not in self._forced:  # again and again is one act
            self._forced.add(step.source)
            self._acts += 1
            self._trace.acted(step, asked, began)

    def _is_reached(self, observation: Observation) -> bool:
        if observation.state == m.UNKNOWN or (self._acts and _job(observation)):
            return False
        if self._ran_once(observation):
            return True
        plan = self._planning.plan(observation, self._renewed)
        return not plan.refusal and not plan.steps

    def _ran_once(self, observation: Observation) -> bool:
        """Whether a service that runs to its end, and was started by this run, has ended well."""
        facts = observation.facts
        if facts is None or not self._renewed or facts.text("Type") != "oneshot" or facts.flag("RemainAfterExit"):
            return False
        return observation.state == m.STOPPED and observation.cause is None and not facts.job

    def _is_stable(self, observation: Observation) -> bool:
        """Whether the target has held for ``stable_for``."""
        now = self._clock.monotonic()
        if self._reached_since is None:
            self._reached_since = now
        if self._machine.base(observation.state) != m.RUNNING:
            return True
        held = now - self._reached_since
        # What is asked for by default is whether its process lives on, and not whether what it serves does.
        if observation.state == m.RUNNING and (self._request.stable_for is None or not self._trace.so_far):
            held = max(held, observation.age or 0.0)
        return held >= stability_window(self._request, observation)

    def _verify(self, observation: Observation) -> None:
        """The state is not enough: a start has to be a new one, a stop a whole one."""
        unit = self._watched.unit
        if self._renewed and observation.base_state == m.RUNNING and observation.facts:
            if not self._wait.renewed(observation.facts.invocation):
                raise TargetNotReached(
                    f"{unit} is {observation.state}, yet in the same invocation as before: it was not started"
                )
        both = [name for name in self._displaced if name not in self._actor.absent(self._displaced)]
        if both:
            raise TargetNotReached(f"{unit} is {observation.state}, and so is {both[0]}, with which it conflicts")
        why = self._kind.verify(self._before, observation, self._request.target) if self._acts else None
        if why:
            raise TargetNotReached(f"{unit} is {observation.state}, not proved: {why}")

    def _end_if_out_of_reach(self, observation: Observation) -> None:
        """End at once on a state from which the target cannot come any more."""
        unit, found = self._watched.unit, f"{observation.state}: {'; '.join(observation.reasons)}"
        fell = observation.state in (m.ERROR, m.STOPPED) and not _job(observation)
        skipped = self._actor.skipped(observation, self._wait.since) if self._renewed and fell else None
        if skipped is not None:
            self._acts, self._renewed = self._acts - 1, False
            raise TargetNotReached(f"{unit} was not started: {skipped.reason}", [skipped])
        if self._renewed and fell and self._request.target != m.STOPPED:
            raise TargetNotReached(f"{unit} was started, and is {found}")
        facts = observation.facts
        revived = facts and facts.active in ("active", "activating") and facts.invocation != self._ended
        if self._ended and revived and not _job(observation):
            raise TargetNotReached(f"{unit} was stopped, but something else has started it again; it is {found}")
        if self._acts >= _ACTION_LIMIT:
            raise TargetNotReached(f"{unit} did not stabilize after {self._acts} actions; last state {found}")
        self._check_deadline(observation)

    def _check_deadline(self, observation: Observation) -> None:
        if self._left() <= 0:
            waited = self._clock.monotonic() - self._wait.began
            in_the_way = [block.reason for block in self._in_the_way]
            found = "; ".join([f"{observation.state}: {'; '.join(observation.reasons)}", *in_the_way])
            wanted = f"{self._watched.unit} to be {self._request.target}"
            raise TargetNotReached(f"waited {waited:.1f} s for {wanted}; last seen {found}", self._in_the_way)
        if self._clock.monotonic() >= self._wait.ends:
            raise SliceExpired

    def _left(self) -> float:
        return self._started + self._request.wait_timeout - self._clock.monotonic()

    def _pause(self, observation: Observation, towards_soak: bool = False) -> None:
        waited = self._clock.monotonic() - self._wait.since
        self._clock.sleep(poll_delay(self._request, self._kind, observation, waited, towards_soak))

    def _observe(self) -> Observation:
        observation = self._observer.observe([self._watched])[0]
        self._trace.observed(self._last.state, observation.state)
        self._last = observation
        self._sight.saw(observation)
        return observation

    def _failure(self, msg: str, blocks: tuple[Refusal, ...] = ()) -> Outcome:
        troubled = self._last.state in (m.ERROR, m.RESTARTING, m.STARTING) or self._acts > 0
        # What was captured before the act describes the failure before it: after a start there is a newer one.
        if troubled and (self._diagnosis is None or self._renewed):
            self._diagnosis = self._best_effort(lambda: self._diagnose(self._last), self._diagnosis)
        outcome = self._outcome()
        outcome.failed, outcome.blocked_by = True, blocks
        outcome.msg = "; ".join(dict.fromkeys((msg, *self._notes)))
        outcome.changed = self._acts > 0  # what was only planned will not come
        return outcome

    def _outcome(self) -> Outcome:
        transitions = self._trace.finished()
        if self._request.target == m.STOPPED and "triggered" in self._last.flags:
            self._note(f"it is stopped, but {self._last.reasons[-1]}")
        planned = any(not step.applied and step.action != "wait" for step in transitions)
        budget = self._best_effort(lambda: self._actor.budget(self._last), None)
        return Outcome(
            before=self._before,
            after=self._last,
            changed=self._acts > 0 or planned,
            msg="; ".join(self._notes),
            transitions=transitions,
            budget=budget,
            duration=self._clock.monotonic() - self._started,
            diagnosis=self._diagnosis,
            progress=self._kind.progress(self._last, self._request.target),
            also_stops=tuple(sorted(self._also_stops)),
            also_starts=tuple(sorted(self._also_starts)),
            resolved=self._actor.resolved,
        )

    def _best_effort(self, tell: t.Callable[[], t.Any], otherwise: t.Any) -> t.Any:
        """What the result should tell besides, or a note on why it cannot: that must not hide what was done."""
        try:
            return tell()
        except LifecycleError as exc:
            self._notes.append(exc.msg)
            return otherwise


def _invocation(observation: Observation) -> str:
    return observation.facts.invocation if observation.facts else ""


def _job(observation: Observation) -> bool:
    return observation.facts is not None and observation.facts.job > 0
