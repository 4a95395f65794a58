# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes to $BENCH_TIMES how long the tasks of a run took, as JSON: ``all`` from the first one's start to the last one's
end, and ``hosts``, the sum for each host; in seconds."""

from __future__ import annotations

import json
import os
import time
import typing as t
from collections import defaultdict

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: host_times
type: notification
short_description: Write how long hosts took
description: For the figures.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "host_times"

    def __init__(self, *arguments: t.Any, **options: t.Any) -> None:
        super().__init__(*arguments, **options)
        self._started: dict[tuple[str, str], float] = {}
        self._hosts: defaultdict[str, float] = defaultdict(float)
        self._first = self._last = 0.0

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        now = time.monotonic()
        self._first = self._first or now
        self._started[host.name, task._uuid] = now

    def _ended(self, result: t.Any) -> None:
        self._last = time.monotonic()
        began = self._started.pop((result._host.name, result._task._uuid), self._last)
        self._hosts[result._host.name] += self._last - began

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._ended(result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._ended(result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._ended(result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._ended(result)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        with open(os.environ["BENCH_TIMES"], "w", encoding="utf-8") as stream:
            json.dump({"all": self._last - self._first, "hosts": self._hosts}, stream)
