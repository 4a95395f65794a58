# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the result of every task to the file $LIFECYCLE_RESULTS, a line of JSON for each."""

from __future__ import annotations

import json
import os
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: write_results
type: notification
short_description: Write results to a file
description: For the laboratory's tests.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "write_results"

    def _write(self, result: t.Any, failed: bool = False) -> None:
        said = {**result.result, "failed": failed}
        row = {"host": result.host.name, "task": result.task.name, "result": said}
        with open(os.environ["LIFECYCLE_RESULTS"], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, default=str) + "\n")

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._write(result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._write(result, True)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._write(result, True)
