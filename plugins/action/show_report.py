# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import one_line

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
                "lines": {"type": "list", "elements": "str"},
                "report": {"type": "dict"},
                "failure": {"type": "str"},
            },
            mutually_exclusive=[("lines", "report")],
            required_one_of=[("lines", "report")],
        )
        report = arguments["report"] or {}
        shown = [str(line) for line in report.get("lines", [])] if arguments["lines"] is None else arguments["lines"]
        title = [arguments["title"]] if arguments["title"] else []
        lines = [one_line(line, _MAX_LINE) for line in (*title, *shown)]
        if shown:
            Display().display("\n".join(lines))  # as one: each call is an event of a job, some 900 bytes
        if arguments["report"] is not None:
            # What was printed is in the output; every event of a job carries results as a whole.
            result["report"] = {name: value for name, value in report.items() if name not in ("lines", "outcome")}
        if report.get("outcome"):
            data = {"lifecycle_outcome": report["outcome"]}
            result["ansible_stats"] = {"data": data, "per_host": False, "aggregate": False}
        if arguments["failure"]:
            return {**result, "failed": True, "changed": False, "msg": arguments["failure"]}
        return {**result, "changed": False}
