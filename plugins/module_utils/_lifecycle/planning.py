# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the steps of a run from the present state of a service. Reads only.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.neighbours import DOWN
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import guards as g
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.actions import Actions
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Request
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.surroundings import forgotten


class Planning:
    """Plans the steps of one service to the requested target."""

    def __init__(self, kind: Kind, request: Request, actor: Actions) -> None:
        self._kind = kind
        self._request = request
        self._actor = actor

    def plan(self, observation: Observation, renewed: bool) -> m.Plan:
        """The steps of the state machine. ``renewed``: this run has made a start."""
        target = self._request.target
        if target == m.SUCCEEDED and "no_next_run" in observation.flags:
            return m.Plan(refusal=observation.reasons[-1], hint="start the timer: systemctl enable --now")
        if target not in (m.STOPPED, "reset") and not renewed and self._kind.restart_is_due(observation, target):
            target = "restarted"
        machine, recovery = self._kind.machine, self._recovery(observation)
        return m.make_plan(machine, observation.state, target, recovery=recovery, renewed=renewed)

    def _recovery(self, observation: Observation) -> str:
        """How far it may go from error: nothing is stopped, and no failure cleared, where a restart does.

        A restart of what is up keeps the units that depend on it, as systemd restarts them in the same transaction;
        a unit that systemd would forget is started from its failure.
        """
        recovery, facts = self._request.recovery, observation.facts
        if recovery == "reset_start" and self._request.target == m.SUCCEEDED:
            return "restart"
        if recovery != "reset_start" or self._request.target in (m.STOPPED, "reset") or facts is None:
            return recovery
        return "restart" if facts.active not in DOWN or forgotten(facts) else recovery

    def predicted(self, steps: tuple[m.Step, ...], observation: Observation) -> tuple[m.Step, ...]:
        """The steps of a plan with what a run would do besides: wait for longer, or kill."""
        if steps and observation.cause == "stop_overdue":
            return (force_stop_step(observation), *steps[1:])
        if steps and self.is_patient(steps[0], observation):
            return (m.Step(observation.state, "wait", steps[-1].target),)
        if self.leftovers_matter(observation):
            return (*steps, m.Step(m.STOPPED, "force_stop", m.STOPPED))
        if any(self.ends_leftovers(step, observation) for step in steps):
            return (force_stop_step(observation), *steps)
        return steps

    def is_patient(self, step: m.Step, observation: Observation) -> bool:
        """Whether the service is given time to come back by itself before it is started."""
        target = self._request.target
        return g.leads_to_start(step, target) and bool(self._kind.grace_period(observation, target))

    def ends_leftovers(self, step: m.Step, observation: Observation) -> bool:
        """Whether processes are left that have to be killed before the step."""
        starts = g.leads_to_start(step, self._request.target)
        return starts and self._request.force_stop and bool(self._actor.leftovers(observation))

    def leftovers_matter(self, observation: Observation) -> bool:
        """Whether processes are left although the service has to be stopped."""
        return self._request.target == m.STOPPED and bool(self._actor.leftovers(observation))


def force_stop_step(observation: Observation) -> m.Step:
    """The step that kills processes: of a unit that does not stop, or left over from one that is down."""
    return m.Step(observation.state, "force_stop", m.STOPPED if observation.state == m.STOPPING else observation.state)


def is_retryable(blocks: t.Sequence[Refusal]) -> bool:
    """Whether there are refusals, all of which will end by themselves."""
    return bool(blocks) and all(block.guard == "busy" for block in blocks)
