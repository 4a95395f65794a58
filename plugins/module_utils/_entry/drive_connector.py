# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a connector: the engine, and the restart of a connector that carries Ansible's own connection.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import detached_restart as h
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.kind import KIND
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import CONNECTED
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive import ServiceRun, end
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.actions import Actions

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Outcome


class ConnectorRun(ServiceRun):
    """One run of the module. Raises LifecycleError."""

    def __init__(self, params: t.Mapping[str, t.Any], check_mode: bool) -> None:
        super().__init__(params, KIND.make, check_mode)
        self._params = params

    def run_and_schedule_restart(self) -> tuple[Outcome, h.Handover | None]:
        """The outcome of the engine, and the restart that was handed over now or earlier."""
        host, earlier = self.host, None
        if host.has_records():
            self.watched.unit = host.systemd.own_name(self.watched.unit)
            earlier = h.pending(self.watched.unit, host.ledger, host.clock)
        if earlier is not None:
            # It may not have begun yet; a clock that was set back must not make this wait long.
            host.clock.sleep(min(earlier.at + h.DELAY + 1.0 - host.clock.wall(), h.DELAY + 1.0))
            if earlier.outcome == "open" and self.request.target == "restarted":
                # This run is the one that says how that restart went; the next one may make another.
                self.request = replace(self.request, target=CONNECTED)
        outcome = self.run()
        if h.is_needed(outcome, self.request) and self._params["own_tunnel_action"] == "hand_over":
            return outcome, self._schedule_restart(outcome)
        if earlier is None:
            return outcome, None
        found = h.outcome_of(earlier, outcome.after, host.clock)
        if found.outcome != "pending" and earlier.outcome == "open" and not self.request.check_mode:
            host.ledger.finish(self.watched.unit, found.outcome)
        return outcome, found

    def _schedule_restart(self, outcome: Outcome) -> h.Handover | None:
        unit, request, tools = self.watched.unit, self.request, self.tools
        refused = Actions(unit, request, tools).config_check()
        if refused is not None:
            outcome.blocked_by, outcome.msg = (refused,), f"{unit}: {refused.reason}"
            return None
        outcome.failed, outcome.changed, outcome.blocked_by = False, True, ()
        if request.check_mode:
            outcome.msg = f"{unit} carries this connection: the host would restart it"
            return None
        lock = tools.ledger.lock(unit, request.owner)
        holder = lock.acquire()
        if holder is not None:
            raise LifecycleError(f"{unit} is locked by {holder} (another run is in progress)")
        try:
            user = self._params["scope"] == "user"
            made = h.schedule_restart(unit, user, outcome.after, request.owner, tools.ledger, tools.clock, tools.runner)
        finally:
            lock.release()
        outcome.msg = (
            f"{unit} carries this connection: the host restarts it in {h.DELAY:.0f} s; run again to see how it went"
        )
        return made


def drive_connector(module: AnsibleModule) -> None:
    """Run as a module's options say, and end the module with the result."""
    try:
        driven = ConnectorRun(module.params, module.check_mode)
        outcome, handed = driven.run_and_schedule_restart()
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    end(module, driven.watched.unit, outcome, handover=handed.as_dict() if handed is not None else None)
