# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_action import HostAction
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._service_entry import (
    EntryError,
    driven_entry,
    without_secrets,
)


class ActionModule(HostAction):
    """Checks the entry on the controller, then runs the module."""

    _supports_async = False

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result = self._begin(tmp, task_vars)
        given = {**self._task.args}
        entry = given.pop("service", None)
        override, defaults = given.pop("override", None) or {}, given.pop("defaults", None) or {}
        # What only those ask for who would start it again: that it carries this connection refuses a fault in any case.
        override = {name: value for name, value in override.items() if name != "own_tunnel_action"}
        try:
            # Whether it is marked, and the state that it is meant to have, is said by the entry alone.
            own = {name: entry[name] for name in ("drill", "state") if isinstance(entry, t.Mapping) and name in entry}
            service = {**driven_entry(entry, override, defaults), "state": "running", **own}
        except EntryError as exc:
            raise AnsibleActionFail(without_secrets(str(exc), self._task.args)) from None
        options = {**given, "service": service}
        return {**result, **self._execute_module(module_args=options, task_vars=task_vars)}
