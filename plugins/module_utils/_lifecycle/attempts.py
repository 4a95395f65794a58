# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records the outcome of recovery attempts, including those of a run that was killed.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Lock, Records


class AttemptRecorder:
    """Records the outcome of one service's attempts. Running well for some seconds clears them."""

    def __init__(self, unit: str, ledger: Records, reset_attempts_after: float) -> None:
        self._unit = unit
        self._ledger = ledger
        self._reset_after = reset_attempts_after

    def earlier(self, lock: Lock, observed: Observation) -> None:
        """Record the outcome of an earlier run's attempt, as far as it can be observed."""
        if not self._settles(observed):
            return
        try:
            if lock.acquire() is None:
                self.settle("verified", observed, renewed=False)
        except LifecycleError:
            pass  # this user may not write, or nobody may: a run that has something to do says so
        finally:
            lock.release()

    def settle(self, outcome: str, observed: Observation, renewed: bool) -> None:
        """Record how the last attempt ended. To be called with the lock held: the last one is this run's only then."""
        if renewed or self._settles(observed):
            self._ledger.finish(self._unit, outcome)
        if not renewed and self._ran_well(observed):
            self._ledger.clear_attempts(self._unit)

    def _settles(self, observed: Observation) -> bool:
        """Whether what is seen proves an attempt of an earlier run that was killed, or clears them all."""
        rows = self._ledger.attempts(self._unit)
        if not rows or observed.base_state != m.RUNNING or observed.facts is None:
            return False
        proved = rows[-1].outcome == "open" and rows[-1].before != observed.facts.invocation
        return proved or self._ran_well(observed)

    def _ran_well(self, observed: Observation) -> bool:
        return observed.state == m.RUNNING and (observed.age or 0.0) >= self._reset_after
