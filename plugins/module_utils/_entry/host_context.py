# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of one scope of this host, as systemd shows them.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Observing a healthy fleet must cost little more than a ping. Ansible sends
whatever a file imports, so this one imports neither probes nor diagnosis: a
module that needs them asks ``whole_host`` for its host.
"""

from __future__ import annotations

import functools
import os
import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry import options as _args
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import (
    Clock,
    LifecycleError,
    SystemClock,
    run_command,
    state_dir,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd, unit_name
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import (
    HealthCheck,
    MonitoredService,
    Observer,
    unnamed,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Environment, MakeKind

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Journal
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Records
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import Boot


MakeHealth = t.Callable[[t.Sequence[t.Mapping[str, t.Any]], Clock], HealthCheck]

# As systemd 239 to 262 say it: "X was skipped because of an unmet condition check (Condition...=...)." (before 250
# "failed"), "X skipped, unmet condition check Condition...=...", "X: Skipped due to 'exec-condition'."
SKIPPED = re.compile(
    r"skipped.*?((?:Condition|Assert)[A-Za-z]+=[^)]*)|Skipped due to '(exec-condition)'|Condition check resulted in"
)
NameLoop = t.Callable[["HostContext", MonitoredService, Observation], Observation]


class HostContext:
    """The service manager of one scope on this host, and the records that are kept of it."""

    def __init__(
        self,
        scope: str,
        clock: Clock | None = None,
        make_health: MakeHealth | None = None,
        name_loop: NameLoop | None = None,
    ) -> None:
        user = scope == "user"
        self.clock: Clock = clock or SystemClock()
        self.systemd = Systemd(run_command, user=user)
        self._user = user
        self._make_health = make_health
        name = functools.partial(name_loop, self) if name_loop else unnamed
        self.observer = Observer(self.systemd, self.clock, self._count_restarts, name)

    @property
    def journal(self) -> Journal:
        """The journal of this scope."""
        from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Journal

        return Journal(run_command, user=self._user)

    @functools.cached_property
    def boots(self) -> tuple[Boot, ...]:
        """The boots that the journal of this host knows, oldest first."""
        from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import Boot

        return tuple(Boot(*boot) for boot in self.journal.boots())

    @property
    def ledger(self) -> Records:
        """What is kept on the host for this scope."""
        from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Records

        return Records.for_scope(self.clock, self._user)

    def has_records(self) -> bool:
        """Whether anything has ever been kept on this host: most hosts of a healthy fleet have nothing."""
        return os.path.isdir(state_dir(False)) or (self._user and os.path.isdir(state_dir(True)))

    def watched(self, params: t.Mapping[str, t.Any], make_kind: MakeKind, where: str = "") -> MonitoredService:
        """The service that options describe. Raises LifecycleError naming the option that is wrong."""
        _args.check_numbers(params, where)
        unit = unit_name(params["name"])
        environment = Environment(params["name"], self.clock, run_command, self.systemd, lambda: self.journal)
        health = self._health(params["probes"], where) if params["probes"] else None
        kind, limits = make_kind(environment, params), _args.limits(params)
        config = tuple(path for path in params.get("known_good") or () if str(path).startswith("/"))
        return MonitoredService(params["name"], unit, kind, limits, health, params["has_process"], config)

    def _health(self, probes: t.Sequence[t.Mapping[str, t.Any]], where: str) -> HealthCheck:
        if self._make_health is None:
            raise LifecycleError(f"{where}probes: {len(probes)} given to a module that runs none; use service_info")
        return self._make_health(probes, self.clock)

    def count_starts(self, unit: str, since: float) -> int:
        """How often the unit was started since ``since`` (seconds since the epoch), as far as the journal tells."""
        from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import (
            UNIT_JOB_FAILED,
            UNIT_STARTED,
        )

        found = self.journal.manager_records([unit], since=since)
        return sum(1 for entry in found.entries if entry.message_id in (UNIT_STARTED, UNIT_JOB_FAILED))

    def why_skipped(self, unit: str, since: float) -> str:
        """Why systemd skipped a start of the unit since ``since`` (seconds since the epoch); empty where it did not."""
        for entry in reversed(self.journal.manager_records([unit], since=since).entries):
            skipped = SKIPPED.search(entry.message)
            if skipped:
                return skipped[1] or skipped[2] or skipped[0]
        return ""

    def _count_restarts(self, unit: str, window: float) -> int | None:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import UNIT_RESTART_SCHEDULED

        found = self.journal.manager_records([unit], since=self.clock.wall() - window)
        if not found.entries:
            return None  # nothing there, or nothing that may be read: the journal cannot tell
        return sum(1 for entry in found.entries if entry.message_id == UNIT_RESTART_SCHEDULED)
