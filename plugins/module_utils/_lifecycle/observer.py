# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes services: asks systemd once for all of them, then the probes and the kind of each.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd, UnitFacts, process_state
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import (
    CRASH_LOOP,
    Context,
    Health,
    Limits,
    Observation,
    classify,
    unobserved,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind

_DOWN = ("inactive", "failed")
_SHORT_START = 1.0
_NO_HEALTH = Health()


class HealthCheck(t.Protocol):
    """The probes of one service."""

    def check(self, active_since: float) -> Health:
        """Run the probes once; ``active_since`` (CLOCK_MONOTONIC) is when the service became active."""

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of this host that the probes ask."""

    def pending_time(self) -> float:
        """Seconds until another round could settle what this one left open; 0 where it is settled."""


@dataclass
class MonitoredService:
    """A service to observe: its unit, its kind (which may remember samples), its probes.

    ``config``: files of its configuration that are known apart from those of its command line.
    From the first observation on, ``unit`` is the unit's own name, also where an alias was asked for.
    """

    name: str
    unit: str
    kind: Kind
    limits: Limits = field(default_factory=Limits)
    health: HealthCheck | None = None
    has_process: bool = True
    config: tuple[str, ...] = ()


class RestartCounter(t.Protocol):
    """How often systemd restarted a unit by itself within the last seconds; None where the journal cannot tell."""

    def __call__(self, unit: str, window: float) -> int | None:
        """Count them for ``unit`` within ``window`` seconds."""


class NameLoop(t.Protocol):
    """The observation of a crash loop with the cause for which its last run failed."""

    def __call__(self, watched: MonitoredService, observation: Observation) -> Observation:
        """The observation, with that cause where it is known."""


def unnamed(watched: MonitoredService, observation: Observation) -> Observation:
    return observation


class Observer:
    """Observes any number of services of one service manager."""

    def __init__(
        self, systemd: Systemd, clock: Clock, count_restarts: RestartCounter, name_loop: NameLoop = unnamed
    ) -> None:
        self._systemd = systemd
        self._clock = clock
        self._count_restarts = count_restarts
        self._name_loop = name_loop

    def observe(self, watched: t.Sequence[MonitoredService]) -> list[Observation]:
        """One observation of each, in order. What cannot be observed is ``unknown`` with the reason, never a guess."""
        try:
            shown = self._systemd.show([w.unit for w in watched])
            jobs = self._systemd.jobs() if any(facts.job for facts in shown) else {}
            triggers = self._triggers_of(shown)
        except LifecycleError as exc:
            return [unobserved(w.name, w.unit, exc.msg, w.kind.name) for w in watched]
        pairs = list(zip(watched, shown))
        for one, facts in pairs:
            one.unit = facts.unit
        if len([w for w in watched if w.health is not None or w.kind.does_network_io]) < 2:
            return [self._one(w, facts, jobs, triggers) for w, facts in pairs]
        # Probes and clients wait on the network: in parallel, the slowest decides.
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=min(len(pairs), 16)) as pool:
            return list(pool.map(lambda pair: self._one(pair[0], pair[1], jobs, triggers), pairs))

    def _triggers_of(self, shown: t.Sequence[UnitFacts]) -> dict[str, t.Mapping[str, str]]:
        """The units that start one of these, with their properties."""
        named = {name for facts in shown for name in _triggers(facts)}
        asked = self._systemd.triggers(sorted(named)) if named else {}
        return {name: found for name, found in asked.items() if found.get("LoadState") != "not-found"}

    def observe_settled(self, watched: t.Sequence[MonitoredService], within: float = math.inf) -> list[Observation]:
        """Like ``observe``, with further observations of services whose kind or probes need more than one sample.

        ``within``: seconds after which none of these begins; a service that needs another one stays undecided.
        """
        ends = self._clock.monotonic() + within
        observed = self.observe(watched)
        rounds = 0
        while rounds < 10:
            left = ends - self._clock.monotonic()
            waits = [wait if wait <= left else 0.0 for wait in map(_more, watched, observed)]
            if not any(waits):
                break
            self._clock.sleep(max(waits))
            again = [w for w, wait in zip(watched, waits) if wait]
            renewed = dict(zip((w.name for w in again), self.observe(again)))
            observed = [renewed.get(w.name, old) for w, old in zip(watched, observed)]
            rounds += 1
        return observed

    def _one(
        self,
        watched: MonitoredService,
        facts: UnitFacts,
        jobs: t.Mapping[str, str],
        triggers: t.Mapping[str, t.Mapping[str, str]],
    ) -> Observation:
        now = self._clock.monotonic()
        health = _NO_HEALTH
        process = process_state(facts.main_pid)
        # What is stopped by a signal answers no probe: it would cost the whole time-out to learn nothing.
        answers = process != "T"
        if watched.health is not None and facts.is_up and answers:
            health = watched.health.check(facts.moment("ActiveEnter"))
        recent = None
        if facts.restarts >= watched.limits.thrash_restarts:
            counted = self._count_restarts(watched.unit, watched.limits.thrash_window)
            # systemd counts since the last start by hand, the journal within the window: both must be over budget.
            recent = None if counted is None else min(counted, facts.restarts)
        context = Context(
            now=now,
            wall=self._clock.wall(),
            process_state=process,
            job_type=jobs.get(facts.unit, ""),
            recent_restarts=recent,
            health=health,
            triggers={name: triggers[name] for name in _triggers(facts) if name in triggers},
            has_process=watched.has_process,
            limits=watched.limits,
        )
        observation = watched.kind.classify(classify(watched.name, facts, context, watched.kind.name))
        return self._name_loop(watched, observation) if observation.cause == CRASH_LOOP else observation


def _triggers(facts: UnitFacts) -> tuple[str, ...]:
    """The units that start one that is down.

    systemd does not know of a timer that is neither enabled nor active: of a oneshot it is asked by its usual name.
    """
    if facts.active not in _DOWN:
        return ()
    usual = facts.unit.rpartition(".service")[0] + ".timer"
    return facts.words("TriggeredBy") or ((usual,) if facts.text("Type") == "oneshot" else ())


def _more(watched: MonitoredService, observation: Observation) -> float:
    """Seconds after which another observation is needed, 0 if this one is enough."""
    up = observation.facts is not None and observation.facts.is_up
    pending = watched.health.pending_time() if watched.health is not None and up else 0.0
    return max(pending, watched.kind.resample_after(), _young_restart(observation))


def _young_restart(observation: Observation) -> float:
    """Seconds until a process that systemd started again just now is no longer that young.

    In a loop it may end within these: how it ended says more than that it starts.
    """
    facts = observation.facts
    if facts is None or not facts.restarts or facts.active != "activating" or observation.base_state != m.STARTING:
        return 0.0
    return max(facts.moment("StateChange") + _SHORT_START - observation.observed_at, 0.0)
