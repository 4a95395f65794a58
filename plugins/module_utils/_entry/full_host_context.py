# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of one scope of this host, with their probes and with the reasons for what is wrong.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import Diagnosis
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.gather import examine
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import (
    UNIT_FAILURE_RESULT,
    UNIT_JOB_FAILED,
    UNIT_STARTED,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import run_command
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import (
    HealthCheck,
    MonitoredService,
)

_TROUBLED = (m.ERROR, m.RESTARTING)
# Causes that say nothing against the service itself.
_HARMLESS = (None, "probe_broken", "cleaning")


class FullHostContext(HostContext):
    """A host of which everything can be asked."""

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
        if observation.cause == "crash_loop":
            properties = {**properties, **self._last_failure(watched)}
        return examine(
            properties,
            self.journal,
            show=self.systemd.properties,
            rules=watched.kind.causes(),
            failing=troubled or None,
        )

    def count_starts(self, unit: str, since: float) -> int:
        """How often the unit was started since ``since`` (seconds since the epoch), as far as the journal tells."""
        found = self.journal.manager_records([unit], since=since)
        return sum(1 for entry in found.entries if entry.message_id in (UNIT_STARTED, UNIT_JOB_FAILED))

    def _last_failure(self, watched: MonitoredService) -> dict[str, str]:
        """Which run of a crash loop failed last: the one that runs right now has not failed yet."""
        since = self.clock.wall() - watched.limits.thrash_window
        for entry in reversed(self.journal.manager_records([watched.unit], since=since).entries):
            if entry.message_id == UNIT_FAILURE_RESULT and entry.invocation_id:
                return {"InvocationID": entry.invocation_id, "Result": entry.fields.get("UNIT_RESULT", "")}
        return {}
