# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
import typing as t
import uuid

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_action import GRACE, PAUSE, HostAction
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._play_lock import in_turn, turn
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._sliced_wait import SlicedWait, seconds

_WAITS_FOR = ("running", "started", "synced", "consensus")
_WAIT_TIMEOUT = 600.0
_PROGRESS_INTERVAL = 30.0


class ActionModule(HostAction):
    """Waits in slices: a line of progress for each, and a lost connection costs one slice and not the wait."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result = self._begin(tmp, task_vars)
        arguments = self._task.args
        timeout = seconds(arguments.get("wait_timeout", _WAIT_TIMEOUT))
        interval = seconds(arguments.get("progress_interval", _PROGRESS_INTERVAL))
        one_piece = self._task.async_val or self._task.check_mode or arguments.get("wait_id")
        label = f"[{(task_vars or {}).get('inventory_hostname')}] {arguments.get('name')}"
        at_once = self._task.async_val or self._task.check_mode
        if not at_once and in_turn(arguments, (task_vars or {}).get("ansible_play_batch") or ()):
            with turn(
                "besu-validators", lambda: self._show_progress(f"{label}: waits until another host of the play is done")
            ):
                return {**result, **self._execute_module(task_vars=task_vars)}
        if one_piece or arguments.get("state", "running") not in _WAITS_FOR or not timeout or not interval:
            return {**result, **self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val))}
        self._low_level_execute_command("true", sudoable=False)  # a host that is not there at all is told at once
        wait = SlicedWait(label, timeout, time.monotonic)
        return {**result, **self._wait(wait, interval, task_vars)}

    def _wait(self, wait: SlicedWait, interval: float, task_vars: t.Any) -> dict[str, t.Any]:
        identity = uuid.uuid4().hex
        stable = seconds(self._task.args.get("stable_for")) or 0.0  # which a run waits for in one piece
        while True:
            given = {**self._task.args, "wait_id": identity, "wait_timeout": wait.left}
            try:
                with self._limited(interval + stable + GRACE):
                    observed: dict[str, t.Any] = self._execute_module(module_args=given, task_vars=task_vars)
            except AnsibleConnectionFailure as exc:
                if wait.left <= PAUSE:
                    raise
                self._show_progress(wait.lost(exc))
                self._reconnect()
                continue
            if not wait.goes_on(observed):
                return wait.result(observed)
            self._show_progress(wait.line(observed))
            if not observed.get("waiting"):
                time.sleep(PAUSE)  # somebody else works on it, or the host goes down
