# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import escape_control

_MAX_LINE = 500


class ActionModule(ActionBase):
    """Prints lines as they are, where debug would print them as JSON."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _checked, arguments = self.validate_argument_spec(
            argument_spec={
                "title": {"type": "str"},
                "lines": {"type": "list", "elements": "str", "required": True},
                "failure": {"type": "str"},
            }
        )
        title = ["", arguments["title"]] if arguments["title"] else []
        lines = [escape_control(line, _MAX_LINE) for line in (*title, *arguments["lines"])]
        if arguments["lines"]:
            Display().display("\n".join([*lines, ""]))  # as one: each call is an event of a job, some 900 bytes
        if arguments["failure"]:
            return {**result, "failed": True, "changed": False, "msg": arguments["failure"]}
        return {**result, "changed": False}
