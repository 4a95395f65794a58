# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of one scope of this host, with their probes and with the reasons for what is wrong.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import Diagnosis
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.gather import examine, last_failed_run
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import UNIT_JOB_FAILED, UNIT_STARTED
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, LifecycleError, run_command
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import CRASH_LOOP, Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import (
    HealthCheck,
    MonitoredService,
    Observer,
)

# As systemd 239 to 262 say it: "X was skipped because of an unmet condition check (Condition...=...)." (before 250
# "failed"), "X skipped, unmet condition check Condition...=...", "X: Skipped due to 'exec-condition'."
SKIPPED = re.compile(
    r"skipped.*?((?:Condition|Assert)[A-Za-z]+=[^)]*)|Skipped due to '(exec-condition)'|Condition check resulted in"
)
_TROUBLED = (m.ERROR, m.RESTARTING)
# Causes that say nothing against the service itself.
_HARMLESS = (None, "probe_broken", "cleaning")
# What a diagnosis may come to that says no more of a loop than that it is one.
_SAYS_NO_MORE = ("unknown", "crash_loop", "start_limit")


class FullHostContext(HostContext):
    """A host of which everything can be asked."""

    def __init__(self, scope: str, clock: Clock | None = None) -> None:
        super().__init__(scope, clock)
        self.observer = Observer(self.systemd, self.clock, self._count_restarts, self._with_cause)

    def _health(self, probes: t.Sequence[t.Mapping[str, t.Any]]) -> HealthCheck:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpClient
        from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.run import ServiceHealth, parse_probes

        return ServiceHealth(parse_probes(probes), http=HttpClient(), runner=run_command, clock=self.clock)

    def diagnose(self, watched: MonitoredService, observation: Observation) -> Diagnosis:
        """Why the service is as it is."""
        if observation.facts is None:
            return Diagnosis(notes=observation.reasons)
        troubled = observation.state in _TROUBLED or observation.cause not in _HARMLESS
        properties = observation.facts.properties
        if observation.loops:
            since = self.clock.wall() - watched.limits.thrash_window
            properties = {**properties, **last_failed_run(self.journal, watched.unit, since)}
        return examine(
            properties,
            self.journal,
            show=self.systemd.properties,
            rules=watched.kind.causes(),
            failing=troubled or None,
            probed=watched.health.ports if watched.health is not None else (),
        )

    def count_starts(self, unit: str, since: float) -> int:
        """How often the unit was started since ``since`` (seconds since the epoch), as far as the journal tells."""
        found = self.journal.manager_records([unit], since=since)
        return sum(1 for entry in found.entries if entry.message_id in (UNIT_STARTED, UNIT_JOB_FAILED))

    def why_skipped(self, unit: str, since: float) -> str:
        """Why systemd skipped a start of the unit since ``since`` (seconds since the epoch); empty where it did not."""
        for entry in reversed(self.journal.manager_records([unit], since=since).entries):
            said = SKIPPED.search(entry.message)
            if said:
                return said[1] or said[2] or said[0]
        return ""

    def _with_cause(self, watched: MonitoredService, observation: Observation) -> Observation:
        """A crash loop with the cause of its last failed run, which is the same in each phase of the loop."""
        try:
            cause = self.diagnose(watched, observation).primary
        except LifecycleError as exc:
            return replace(observation, reasons=(*observation.reasons, exc.msg))
        if cause is None or cause.id in _SAYS_NO_MORE:
            return observation
        said = f"{cause.summary}: {cause.evidence[0]}" if cause.evidence else cause.summary
        reasons = (said, *(reason for reason in observation.reasons if reason != said))
        return replace(observation, cause=cause.id, reasons=reasons, flags=(*observation.flags, CRASH_LOOP))
