# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.state_machine import TROUBLED
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_action import HostAction


class ActionModule(HostAction):
    """Sends a host no more code than its services need: a fleet that is well costs little more than a ping."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result = self._begin(tmp, task_vars)
        wanted = self._task.args.get("diagnose", "never")
        if not self._task.async_val and wanted in ("never", "errors") and self._plain():
            services = {"services": self._task.args["services"]}
            glance = "chainops.lifecycle.service_glance"
            seen: dict[str, t.Any] = self._execute_module(glance, services, task_vars=task_vars)
            rows = seen.get("services") or []
            # What it refuses is left to the module, which knows every kind and says what is wrong.
            if not seen.get("failed") and (wanted == "never" or not any(row["state"] in TROUBLED for row in rows)):
                return {**result, **seen}
        return {**result, **self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val))}

    def _plain(self) -> bool:
        """Whether systemd alone can tell. What is not understood here is left to the module and its errors."""
        services = self._task.args.get("services")
        if set(self._task.args) - {"services", "diagnose"} or not isinstance(services, list):
            return False
        return all(
            isinstance(entry, str)
            or (isinstance(entry, dict) and entry.get("kind", "generic") == "generic" and not entry.get("probes"))
            for entry in services
        )
