# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run of a unit in a restart loop failed last.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import (
    UNIT_FAILURE_RESULT,
    UNIT_SUCCESS,
    Journal,
)

# What a unit is between two runs of a loop; how the process ended is told by the manager's records of that run.
_BETWEEN_RUNS = {"ActiveState": "activating", "SubState": "auto-restart", "ExecMainCode": "0", "ExecMainPID": "0"}


class FailedRun(t.NamedTuple):
    """The run of a crash loop that failed last. ``at``: when, in seconds since the epoch; None where none is known.

    ``properties``: those that the unit had then, in place of those of the moment. They are the same in each phase of
    the loop, so that the diagnosis is, too.
    """

    properties: t.Mapping[str, str] = {}
    at: float | None = None


def last_failed_run(journal: Journal, unit: str, since: float) -> FailedRun:
    """The run of a unit that failed last, after ``since`` (seconds since the epoch)."""
    for entry in reversed(journal.manager_records([unit], since=since).entries):
        if entry.message_id in (UNIT_FAILURE_RESULT, UNIT_SUCCESS) and entry.invocation_id:
            result = entry.fields.get("UNIT_RESULT", "") or "success"
            properties = {**_BETWEEN_RUNS, "InvocationID": entry.invocation_id, "Result": result}
            return FailedRun(properties, entry.timestamp)
    return FailedRun()
