# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._all_filters import load_filters
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_action import HostAction
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._service_entry import (
    COLLECTION,
    ITSELF,
    EntryError,
    module_call,
    without_secrets,
)

load_filters()


class ActionModule(HostAction):
    """Runs the module of a service's kind with the options of its inventory entry."""

    _supports_async = False

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result = self._begin(tmp, task_vars)
        _checked, given = self.validate_argument_spec(
            argument_spec={
                "service": {"type": "raw", "required": True},
                "override": {"type": "dict", "default": {}},
                "defaults": {"type": "dict", "default": {}},
            }
        )
        try:
            module, options = module_call(given["service"], given["override"], given["defaults"])
        except EntryError as exc:
            raise AnsibleActionFail(without_secrets(str(exc), given)) from None
        return {**result, **self._run(module, {**self._module_defaults(module), **options}, task_vars)}

    def _run(self, module: str, options: dict[str, t.Any], task_vars: t.Any) -> dict[str, t.Any]:
        itself = module == f"{COLLECTION}.{ITSELF}"
        if itself or not self._shared_loader_obj.action_loader.has_plugin(module):
            return dict(self._execute_module(module_name=module, module_args=options, task_vars=task_vars))
        task = self._task.copy()
        task.action, task.args = module, options
        action = self._shared_loader_obj.action_loader.get(
            module,
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        return dict(action.run(task_vars=task_vars))

    def _module_defaults(self, module: str) -> dict[str, t.Any]:
        """The ``module_defaults`` of the module and its groups, which Ansible applies to the name in the task only."""
        parent: t.Any = self._task._parent
        groups = parent._play._action_groups.get(module, ())  # as ansible.builtin.package finds them
        names = [*(f"group/{group}" for group in groups), module]
        layers = [layer for layer in self._task.module_defaults or () if layer]
        found: dict[str, t.Any] = {}
        for name in names:
            for layer in layers:
                found.update(self._templar.template(layer.get(name)) or {})
        return found
