# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transitions of one run: the steps that were made, and the transitions that were observed.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import RunTransition


class TransitionLog:
    """Collects transitions. A step lasts until the service leaves the state in which the step was made."""

    def __init__(
        self, machine: m.Machine, clock: Clock, earlier: t.Sequence[RunTransition] = (), entered: float | None = None
    ) -> None:
        self._machine = machine
        self._clock = clock
        self._transitions = list(earlier)
        self._open_since: float | None = None
        self._entered = clock.monotonic() if entered is None else entered

    @property
    def entered(self) -> float:
        """Since when the last state has been seen (CLOCK_MONOTONIC)."""
        return self._entered

    def planned(self, steps: t.Sequence[m.Step]) -> None:
        """Record a plan that is not carried out."""
        for step in steps:
            trigger = step.action if step.acts else self._trigger(step.source, step.target)
            self._transitions.append(RunTransition(step.source, step.target, trigger, step.action, applied=False))

    def acted(self, step: m.Step, action: str, began: float) -> None:
        """A step was made at ``began`` (CLOCK_MONOTONIC)."""
        self._close()
        started = self._clock.wall() - (self._clock.monotonic() - began)
        self._transitions.append(RunTransition(step.source, step.target, step.action, action, started))
        self._open_since = began

    def observed(self, source: str, target: str) -> None:
        """The state was ``source`` at the last observation and is ``target`` now."""
        if source == target:
            return
        if self._open_since is not None:
            self._close()
            source = self._transitions[-1].target
            if source == target:
                self._entered = self._clock.monotonic()
                return
        now = self._clock.monotonic()
        took = now - self._entered
        self._transitions.append(
            RunTransition(source, target, self._trigger(source, target), "none", self._clock.wall() - took, took)
        )
        self._entered = now

    @property
    def so_far(self) -> list[RunTransition]:
        return list(self._transitions)

    def finished(self) -> list[RunTransition]:
        self._close()
        return list(self._transitions)

    def _close(self) -> None:
        if self._open_since is not None:
            now = self._clock.monotonic()
            self._transitions[-1] = replace(self._transitions[-1], duration=now - self._open_since)
            self._open_since = None
            self._entered = now

    def _trigger(self, source: str, target: str) -> str:
        for edge in self._machine.edges:
            if edge.source == source and edge.target == target and edge.who == m.SERVICE:
                return edge.trigger
        return "observed"
