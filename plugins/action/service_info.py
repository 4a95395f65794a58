# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import entry_options
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import GENERIC
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.state_machine import TROUBLED
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_action import HostAction

# Smaller, and so faster to send: it imports neither probes and diagnosis nor the kinds.
_SMALL = "chainops.lifecycle.__service_state"


class ActionModule(HostAction):
    """Sends a host no more code than its services need: a fleet that is well costs little more than a ping."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result = self._begin(tmp, task_vars)
        diagnose = self._task.args.get("diagnose", "never")
        if not self._task.async_val and diagnose in ("never", "errors") and self._is_plain():
            services = {"services": self._task.args["services"]}
            small: dict[str, t.Any] = self._execute_module(_SMALL, services, task_vars=task_vars)
            rows = small.get("services") or []
            # What the small module refuses is left to the whole one, which says what is wrong.
            if not small.get("failed") and (diagnose == "never" or not any(row["state"] in TROUBLED for row in rows)):
                return {**result, **small}
        return {**result, **self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val))}

    def _is_plain(self) -> bool:
        """Whether systemd alone can tell. What is not understood here is left to the whole module and its errors."""
        services = self._task.args.get("services")
        if set(self._task.args) - {"services", "diagnose"} or not isinstance(services, list):
            return False
        return all(isinstance(entry, str) or (isinstance(entry, dict) and _is_plain_entry(entry)) for entry in services)


def _is_plain_entry(entry: t.Mapping[str, t.Any]) -> bool:
    known = set(entry) <= entry_options({GENERIC.name: GENERIC}).keys()
    return known and entry.get("kind", GENERIC.name) == GENERIC.name and not entry.get("probes")
