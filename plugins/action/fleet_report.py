# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import tempfile
import time
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.history import parse_window
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import neutralise
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_data import report_data, report_lines
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_page import render_page


class ActionModule(ActionBase):
    """Writes the report of the hosts of a play on the controller."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _checked, given = self.validate_argument_spec(
            argument_spec={
                "observed": {"type": "str", "default": "lifecycle_observed"},
                "networks": {"type": "str", "default": "lifecycle_networks"},
                "window": {"type": "str", "default": "24h"},
                "format": {"type": "str", "choices": ["html", "json"], "default": "html"},
                "dest": {"type": "path"},
            }
        )
        dest = os.path.abspath(given["dest"] or f"lifecycle-report.{given['format']}")
        if not os.path.isdir(os.path.dirname(dest)):
            raise AnsibleActionFail(
                f"dest: there is no directory {os.path.dirname(dest)}; make it, or give another file"
            )
        if os.path.isdir(dest):
            raise AnsibleActionFail(f"dest: {dest} is a directory; give a file, such as {dest}/lifecycle-report.html")
        data = self._data(given, task_vars or {})
        text = (
            render_page(data)
            if given["format"] == "html"
            else f"{json.dumps(data, indent=1, sort_keys=True, allow_nan=False)}\n"
        )
        written = text.encode("utf-8", "backslashreplace")
        if not self._task.check_mode:
            _write(dest, written)
        lines = report_lines(data, dest, len(written), self._task.check_mode)
        return {
            **result,
            "changed": True,
            "dest": dest,
            "size": len(written),
            "summary": data["summary"],
            "lines": lines,
        }

    def _data(self, given: t.Mapping[str, t.Any], known: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        try:
            window = parse_window(given["window"])
        except LifecycleError as exc:
            raise AnsibleActionFail(exc.msg.replace("history", "window", 1)) from None
        if not window:
            raise AnsibleActionFail("window: 'never' is no window of a report; give a duration such as 24h")
        every, hosts = known.get("hostvars") or {}, known.get("ansible_play_hosts_all") or ()
        # What hosts returned was neutralised on its way in; another play may have made these variables, though.
        observed = {host: neutralise(every[host].get(given["observed"])) for host in hosts}
        described = {host: every[host].get("lifecycle_services") or [] for host in hosts}
        networks = neutralise(known.get(given["networks"]))
        return report_data(observed, described, networks, window, time.time())


def _write(dest: str, data: bytes) -> None:
    """Replace the file as a whole, so that nobody reads half of it. Raises AnsibleActionFail."""
    try:
        handle, name = tempfile.mkstemp(dir=os.path.dirname(dest), prefix=".lifecycle-report-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, dest)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as exc:
        raise AnsibleActionFail(f"dest: {dest} cannot be written: {exc.strerror}; give another file") from None


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
