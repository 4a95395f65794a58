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
    UNIT_PROCESS_EXIT,
    UNIT_STARTED,
    UNIT_STOPPING,
    UNIT_SUCCESS,
    Entry,
    Journal,
)

# What a unit is between two runs of a loop; how the process ended is told by the manager's records of that run.
_BETWEEN_RUNS = {"ActiveState": "activating", "SubState": "auto-restart", "ExecMainCode": "0", "ExecMainPID": "0"}
# Of a process that ended well systemd logs no end (src/core/unit.c, unit_log_process_exit: LOG_DEBUG). With the result
# ``protocol`` it ended so before it was ready.
_ENDED_WELL = {"ExecMainCode": "1", "ExecMainStatus": "0"}


class FailedRun(t.NamedTuple):
    """The run of a crash loop that failed last. ``at``: when, in seconds since the epoch; None where none is known.

    ``properties``: those that the unit had then, in place of those of the moment. They are the same in each phase of
    the loop, so that the diagnosis is, too.
    """

    properties: t.Mapping[str, str] = {}
    at: float | None = None


def last_failed_run(journal: Journal, unit: str, since: float) -> FailedRun:
    """The run of a unit that failed last, after ``since`` (seconds since the epoch)."""
    entries = journal.manager_records([unit], since=since).entries
    for entry in reversed(entries):
        if entry.message_id in (UNIT_FAILURE_RESULT, UNIT_SUCCESS) and entry.invocation_id:
            result = _result(entry)
            properties = {**_BETWEEN_RUNS, "InvocationID": entry.invocation_id, "Result": result}
            if result == "protocol" and not _tells_an_exit(entries, entry.invocation_id):
                properties.update(_ENDED_WELL)
            return FailedRun(properties, entry.timestamp)
    return FailedRun()


def _tells_an_exit(entries: t.Sequence[Entry], run: str) -> bool:
    return any(entry.message_id == UNIT_PROCESS_EXIT and entry.invocation_id == run for entry in entries)


def forgotten_run(journal: Journal, unit: str, since: float) -> FailedRun:
    """The last run of a unit that systemd does not know any more, after ``since``; none that was meant to end then.

    That is one which was stopped, or which runs to its end, such as a oneshot: its start is over with it.
    """
    entries = journal.manager_records([unit], since=since).entries
    last = next((entry for entry in reversed(entries) if entry.invocation_id), None)
    if last is None:
        return FailedRun()
    known = {entry.message_id: entry for entry in entries if entry.invocation_id == last.invocation_id}
    ids = [entry.message_id for entry in entries if entry.invocation_id == last.invocation_id]
    ended = known.get(UNIT_FAILURE_RESULT) or known.get(UNIT_SUCCESS)
    if ended is None or UNIT_STOPPING in known:
        return FailedRun()
    if ended.message_id == UNIT_SUCCESS and UNIT_STARTED not in ids[: ids.index(UNIT_SUCCESS)]:
        return FailedRun()
    return FailedRun({"InvocationID": last.invocation_id, "Result": _result(ended)}, ended.timestamp)


def _result(ended: Entry) -> str:
    """What a record of the end of a run says of it; that of a good one has no field for it."""
    return ended.fields.get("UNIT_RESULT", "") or "success"
