# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timing of the wait loop: poll interval, stability window, tolerance for unobservable states.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import (
    Observation,
    unproved_time,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Request
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind

_FIRST_POLL = 0.05
_LAST_QUICK_POLL = 0.15
_QUICK_PHASE = 120.0
_BLIND = 30.0


def stability_window(request: Request, observation: Observation) -> float:
    """Seconds that the target has to hold before it counts."""
    return unproved_time(observation) if request.stable_for is None else request.stable_for


def poll_delay(
    request: Request, kind: Kind, observation: Observation, waited: float, towards_soak: bool = False
) -> float:
    """Seconds to the next observation, ``waited`` seconds after the last step."""
    pace = kind.poll_interval(observation, waited)
    if pace is None:
        quick = min(max(waited * 0.02, _FIRST_POLL), _LAST_QUICK_POLL)
        pace = quick if waited < _QUICK_PHASE else max(request.wait_interval, quick)
    return max(pace, min(stability_window(request, observation) / 4, request.wait_interval)) if towards_soak else pace


class LastKnownState:
    """When the state was known last. ``last``: the state at the end of the run before, and since when it was seen."""

    def __init__(self, kind: Kind, clock: Clock, last: tuple[str, float] | None) -> None:
        self._kind = kind
        self._clock = clock
        self._known_at: float | None = None
        if last is not None:
            self._known_at = last[1] if last[0] == m.UNKNOWN else clock.monotonic()

    def saw(self, observation: Observation) -> None:
        if observation.state != m.UNKNOWN:
            self._known_at = self._clock.monotonic()

    def may_clear_up(self) -> bool:
        """Whether an unknown state was known a moment ago, or the kind needs more samples to tell it."""
        if self._known_at is None:
            return False
        return self._clock.monotonic() - self._known_at < _BLIND or self._kind.resample_after() > 0
