# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of one scope of this host, as they are looked at.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

What only some runs need (probes, diagnosis, the ledger) is imported where it
is needed: looking at a healthy fleet has to cost little more than a ping.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils import _args
from ansible_collections.chainops.lifecycle.plugins.module_utils import _machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import (
    Clock,
    SystemClock,
    run_command,
    state_dir,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds.base import Environment, Kind
from ansible_collections.chainops.lifecycle.plugins.module_utils._observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._observer import Observer, Watched
from ansible_collections.chainops.lifecycle.plugins.module_utils._systemd import Systemd, unit_name

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import Diagnosis
    from ansible_collections.chainops.lifecycle.plugins.module_utils._journal import Journal
    from ansible_collections.chainops.lifecycle.plugins.module_utils._ledger import Ledger

# MESSAGE_IDs of systemd, sd-messages.h: "Scheduled restart job".
_RESTART_SCHEDULED = "5eb03494b6584870a536b337290809b3"
_FAILURE_RESULT = "d9b373ed55a64feb8242e02dbe79a49c"  # "Failed with result"
_TROUBLED = (m.ERROR, m.RESTARTING)
MakeKind = t.Callable[[Environment, t.Mapping[str, t.Any]], Kind]


class Host:
    """The service manager of one scope on this host, and what is kept beside it."""

    def __init__(self, scope: str, clock: Clock | None = None) -> None:
        user = scope == "user"
        self.clock: Clock = clock or SystemClock()
        self.systemd = Systemd(run_command, user=user)
        self._user = user
        self.observer = Observer(self.systemd, self.clock, self._count_restarts)

    @property
    def journal(self) -> Journal:
        """The journal of this scope."""
        from ansible_collections.chainops.lifecycle.plugins.module_utils._journal import Journal

        return Journal(run_command, user=self._user)

    @property
    def ledger(self) -> Ledger:
        """What is kept on the host for this scope."""
        from ansible_collections.chainops.lifecycle.plugins.module_utils._ledger import Ledger

        return Ledger.for_scope(self.clock, self._user)

    def has_records(self) -> bool:
        """Whether anything has ever been kept on this host: most hosts of a healthy fleet have nothing."""
        return os.path.isdir(state_dir(self._user))

    def watched(self, params: t.Mapping[str, t.Any], make_kind: MakeKind, where: str = "") -> Watched:
        """The service that options describe. Raises LifecycleError naming the option that is wrong."""
        _args.check_numbers(params, where)
        unit = unit_name(params["name"])
        environment = Environment(params["name"], unit, self.clock, run_command, self.systemd, lambda: self.journal)
        health = None
        if params["probes"]:
            from ansible_collections.chainops.lifecycle.plugins.module_utils._http import HttpClient
            from ansible_collections.chainops.lifecycle.plugins.module_utils._probes import ServiceHealth, parse_probes

            probes = parse_probes(params["probes"])
            health = ServiceHealth(probes, http=HttpClient(), runner=run_command, clock=self.clock)
        return Watched(params["name"], unit, make_kind(environment, params), _args.limits(params), health)

    def diagnose(self, watched: Watched, observation: Observation) -> Diagnosis:
        """Why the service is as it is."""
        from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import Diagnosis
        from ansible_collections.chainops.lifecycle.plugins.module_utils._evidence import examine

        if observation.facts is None:
            return Diagnosis(notes=observation.reasons)
        troubled = observation.state in _TROUBLED or observation.cause is not None
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

    def _last_failure(self, watched: Watched) -> dict[str, str]:
        """Which run of a crash loop failed last: the one that runs right now has not failed yet."""
        since = self.clock.wall() - watched.limits.thrash_window
        for entry in reversed(self.journal.manager_records([watched.unit], since=since).entries):
            if entry.message_id == _FAILURE_RESULT and entry.invocation_id:
                return {"InvocationID": entry.invocation_id, "Result": entry.fields.get("UNIT_RESULT", "")}
        return {}

    def _count_restarts(self, unit: str, window: float) -> int | None:
        found = self.journal.manager_records([unit], since=self.clock.wall() - window)
        if not found.entries:
            return None  # nothing there, or nothing that may be read: the journal cannot tell
        return sum(1 for entry in found.entries if entry.message_id == _RESTART_SCHEDULED)


def plain(_environment: Environment, _params: t.Mapping[str, t.Any]) -> Kind:
    """A service of which nothing is known beyond systemd and its probes."""
    return Kind()
