# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the parts together for a module: from its options to the engine and back to a result.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import getpass
import os
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils import _args
from ansible_collections.chainops.lifecycle.plugins.module_utils import _machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._actor import Tools
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import Diagnosis
from ansible_collections.chainops.lifecycle.plugins.module_utils._engine import Engine
from ansible_collections.chainops.lifecycle.plugins.module_utils._evidence import examine
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import (
    Clock,
    LifecycleError,
    SystemClock,
    run_command,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._journal import Journal
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds.base import Environment, Kind
from ansible_collections.chainops.lifecycle.plugins.module_utils._ledger import Ledger
from ansible_collections.chainops.lifecycle.plugins.module_utils._observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._observer import Observer, Watched
from ansible_collections.chainops.lifecycle.plugins.module_utils._systemd import Systemd, unit_name

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

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
        self.journal = Journal(run_command, user=user)
        self.ledger = Ledger.for_scope(self.clock, user)
        self.observer = Observer(self.systemd, self.clock, self._count_restarts)

    def watched(self, params: t.Mapping[str, t.Any], make_kind: MakeKind, where: str = "") -> Watched:
        """The service that options describe. Raises LifecycleError naming the option that is wrong."""
        _args.check_numbers(params, where)
        unit = unit_name(params["name"])
        environment = Environment(params["name"], unit, self.clock, run_command, self.systemd, self.journal)
        health = None
        if params["probes"]:
            from ansible_collections.chainops.lifecycle.plugins.module_utils._http import HttpClient
            from ansible_collections.chainops.lifecycle.plugins.module_utils._probes import ServiceHealth, parse_probes

            probes = parse_probes(params["probes"])
            health = ServiceHealth(probes, http=HttpClient(), runner=run_command, clock=self.clock)
        return Watched(params["name"], unit, make_kind(environment, params), _args.limits(params), health)

    def diagnose(self, watched: Watched, observation: Observation) -> Diagnosis:
        """Why the service is as it is."""
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


def requester() -> str:
    """Who asks, for the lock and the ledger: the user, and where the connection comes from."""
    user = os.environ.get("SUDO_USER") or getpass.getuser()
    peer = os.environ.get("SSH_CONNECTION", "").split()
    return f"{user} from {peer[0]}" if peer else user


def plain(_environment: Environment, _params: t.Mapping[str, t.Any]) -> Kind:
    """A service of which nothing is known beyond systemd and its probes."""
    return Kind()


def drive(module: AnsibleModule, make_kind: MakeKind = plain) -> None:
    """Run the engine as a module's options say, and end the module with the result."""
    try:
        host = Host(module.params["scope"])
        watched = host.watched(module.params, make_kind)
        request = _args.request(module.params, requester(), module.check_mode)
        tools = Tools(host.systemd, host.ledger, host.clock, run_command)
        engine = Engine(watched, request, host.observer, tools, lambda seen: host.diagnose(watched, seen))
        outcome = engine.run()
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    result = outcome.as_dict()
    if not outcome.failed:
        module.exit_json(**result)
    # A dry run before the unit is there: what would refuse is said, and is no failure of the run.
    missing = outcome.after.facts is not None and outcome.after.facts.load == "not-found"
    if module.check_mode and missing:
        module.warn(f"{watched.unit} does not exist on this host (yet): {outcome.msg}")
        module.exit_json(**result)
    module.fail_json(**result)
