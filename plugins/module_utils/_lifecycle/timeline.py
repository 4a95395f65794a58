# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decode the service manager's journal records into transitions of the state machine. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Only structured fields decide (``MESSAGE_ID``, ``JOB_TYPE``, ``JOB_RESULT``,
``INVOCATION_ID``, ``UNIT_RESULT``), never the text, which ``StatusUnitFormat=``
and translations change. The ids are stable from systemd 239 on (sd-messages.h).
systemd leaves no record of ``reset-failed``, of a cancelled job or of a start
whose condition failed: ``reconcile`` compares the end of the timeline with an
observation and marks what happened unrecorded.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import journal as j
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m

# Who caused a transition.
OPERATOR, SERVICE, HOST, COLLECTION, UNRECORDED = "operator", "service", "host", "collection", "unrecorded"
TRIGGERS = (OPERATOR, SERVICE, HOST, COLLECTION, UNRECORDED)
# A state that the service's own log tells, while systemd only knows that it runs.
LOG = "log"
HISTORY_TRIGGERS = (*TRIGGERS, LOG)

_KINDS = {
    j.UNIT_STARTING: "starting",
    j.UNIT_STARTED: "started",
    j.UNIT_JOB_FAILED: "job_failed",
    j.UNIT_STOPPING: "stopping",
    j.UNIT_STOPPED: "stopped",
    j.UNIT_FAILURE_RESULT: "failure",
    j.UNIT_SUCCESS: "success",
    j.UNIT_SKIPPED: "skipped",
    j.UNIT_RESTART_SCHEDULED: "restart_scheduled",
    j.UNIT_PROCESS_EXIT: "process_exit",
}
# The end of a run: whether systemd restarts it is known by the record that follows.
_ENDS = frozenset({"failure", "success", "skipped"})
_MAX_CLOSED = 64
# A run that lasts this long, in seconds, ends a crash loop.
WELL = 60.0
_RESULT_CAUSES = {
    "exit-code": "exit_code",
    "signal": "signal",
    "core-dump": "core_dump",
    "oom-kill": "out_of_memory",
    "start-limit-hit": "start_limit",
}


class Record(t.NamedTuple):
    """One record of the manager about the unit. ``at``: seconds since the epoch; ``monotonic``: seconds of its boot."""

    kind: str
    at: float
    monotonic: float
    boot_id: str
    invocation: str = ""
    job_type: str = ""
    job_result: str = ""
    result: str = ""
    command: str = ""


class Transition(t.NamedTuple):
    """A change of state. ``at``: seconds since the epoch; ``trigger``: one of HISTORY_TRIGGERS."""

    at: float
    before: str
    after: str
    trigger: str
    cause: str | None = None
    owner: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "at": round(self.at, 3),
            "from": self.before,
            "to": self.after,
            "trigger": self.trigger,
            "cause": self.cause,
            "owner": self.owner or None,
        }


class Boot(t.NamedTuple):
    """One boot of the host, from the first to the last record of it, in seconds since the epoch."""

    boot_id: str
    first: float
    last: float


def is_failure(state: str, cause: str | None) -> bool:
    """Whether a run failed where ``state`` is entered for ``cause``: in a crash loop each failed run counts."""
    return state == m.ERROR or (state == m.RESTARTING and bool(cause))


def read_records(entries: t.Iterable[j.Entry]) -> list[Record]:
    """The records among ``entries`` that show transitions. Records of other processes are no evidence."""
    return [
        Record(
            _KINDS[entry.message_id],
            entry.timestamp,
            entry.monotonic,
            entry.boot_id,
            # Only the manager's own field: _SYSTEMD_INVOCATION_ID would be that of PID 1.
            entry.fields.get("INVOCATION_ID") or entry.fields.get("USER_INVOCATION_ID", ""),
            entry.fields.get("JOB_TYPE", ""),
            entry.fields.get("JOB_RESULT", ""),
            entry.fields.get("UNIT_RESULT", ""),
            entry.fields.get("COMMAND", ""),
        )
        for entry in entries
        if entry.message_id in _KINDS and entry.from_manager
    ]


class Decoder:
    """Follows one unit through its records; may be saved between two batches and restored.

    ``restarts``: whether the unit has ``Restart=`` other than no. Before
    systemd 254 every automatic restart is logged as a stop, too.
    """

    def __init__(self, restarts: bool = True, boots: t.Sequence[Boot] = ()) -> None:
        # Until the first record nothing is known, but that nothing ran before a boot.
        self.state = m.UNKNOWN
        self._restarts = restarts
        self._boots: dict[str, Boot] = {}
        self.use_boots(boots)
        self._boot_id = ""
        self._stopping = False
        self._failed_in_stop = False
        self._looping = False
        self._failure: str | None = None
        self._closed: list[str] = []
        self._pending: Record | None = None
        self._found: list[Transition] = []

    def use_boots(self, boots: t.Sequence[Boot]) -> None:
        """Know these boots of the host."""
        self._boots = {boot.boot_id: boot for boot in boots}

    def feed(self, records: t.Iterable[Record]) -> list[Transition]:
        """The transitions that the next records show, oldest first.

        The end of a run waits for the record after it: ``flush`` decides
        it where none comes.
        """
        self._found = []
        for record in records:
            if record.boot_id != self._boot_id:
                self._decide(None)
                self._reboot(record)
            if record.kind != "process_exit":
                self._decide(record)
            if record.kind in _ENDS:
                self._pending = record
            else:
                self._apply(record)
        return self._found

    def flush(self, restarting: bool = False) -> list[Transition]:
        """Decide about the end of a run that no record follows yet; ``restarting``: systemd is known to restart it."""
        self._found = []
        self._end(restarting)
        return self._found

    def dump(self) -> dict[str, t.Any]:
        """What ``load`` needs to go on, as plain JSON."""
        return {
            "state": self.state,
            "boot_id": self._boot_id,
            "stopping": self._stopping,
            "failed_in_stop": self._failed_in_stop,
            "looping": self._looping,
            "failure": self._failure,
            "closed": list(self._closed),
            "pending": list(self._pending) if self._pending else None,
        }

    def load(self, saved: t.Mapping[str, t.Any]) -> None:
        """Go on from what ``dump`` gave. Raises KeyError, TypeError or ValueError where it is none."""
        if saved["state"] not in m.GENERIC.states:
            raise ValueError(f"{saved['state']!r} is no state")
        self.state = saved["state"]
        self._boot_id = str(saved["boot_id"])
        self._stopping = bool(saved["stopping"])
        self._failed_in_stop = bool(saved["failed_in_stop"])
        self._looping = bool(saved["looping"])
        self._failure = saved["failure"]
        self._closed = [str(invocation) for invocation in saved["closed"]]
        self._pending = Record(*saved["pending"]) if saved["pending"] else None

    @property
    def boot_id(self) -> str:
        """The boot of the last record."""
        return self._boot_id

    @property
    def is_undecided(self) -> bool:
        """Whether a run has ended, and the record after it decides what that was."""
        return self._pending is not None

    def settle(self, state: str) -> None:
        """Go on from a state that an observation showed and no record told of."""
        self.state = state
        self._stopping = self._failed_in_stop = self._looping = False

    def enter_boot(self, boot_id: str, at: float) -> list[Transition]:
        """What it means that the host runs in this boot, which began at ``at`` (seconds since the epoch)."""
        self._found = []
        if boot_id != self._boot_id:
            self._decide(None)
            self._reboot(Record("boot", at, 0.0, boot_id))
        return self._found

    def _go(self, at: float, state: str, trigger: str, cause: str | None = None) -> None:
        if state != self.state:
            self._found.append(Transition(at, self.state, state, trigger, cause))
            self.state = state

    def _reboot(self, record: Record) -> None:
        """What ran when the host went down has stopped, with or without a record of it."""
        ended, began = self._boots.get(self._boot_id), self._boots.get(record.boot_id)
        if self._boot_id:
            self._go(ended.last if ended else began.first if began else record.at, m.STOPPED, HOST, "reboot")
        self._boot_id = record.boot_id
        self._stopping = self._failed_in_stop = self._looping = False
        self._closed = []

    def _decide(self, following: Record | None) -> None:
        """Apply the end of a run, now that the record after it is known (None: there is none)."""
        logged_as_stop = self._restarts and not self._stopping and following is not None and following.kind == "stopped"
        self._end(following is not None and (following.kind == "restart_scheduled" or logged_as_stop))

    def _end(self, automatic: bool) -> None:
        record, self._pending = self._pending, None
        if record is None:
            return
        self._close(record.invocation)
        if record.kind == "failure":
            self._failed_in_stop = self._failed_in_stop or self._stopping
            self._failure = _RESULT_CAUSES.get(record.result, record.result.replace("-", "_") or "failed")
            self._looping = automatic
            self._go(record.at, m.RESTARTING if automatic else m.ERROR, SERVICE, self._failure)
        elif not self._stopping:
            self._looping = automatic
            self._go(record.at, m.RESTARTING if automatic else m.STOPPED, SERVICE)

    def _apply(self, record: Record) -> None:
        getattr(self, f"_on_{record.kind}")(record)

    def _on_process_exit(self, record: Record) -> None:
        # The main process ended by itself: the unit stops until the record of its result comes.
        if record.command == "ExecStart" and self.state == m.RUNNING:
            self._go(record.at, m.STOPPING, SERVICE)

    def _on_starting(self, record: Record) -> None:
        self._stopping = False
        self._go(record.at, m.STARTING, self._who_starts())

    def _on_started(self, record: Record) -> None:
        self._stopping = False
        if record.invocation and record.invocation not in self._closed:
            # A unit of Type=simple logs no beginning of its start: then the job made it run.
            at_once = self.state not in (m.STARTING, m.RUNNING)
            self._go(record.at, m.RUNNING, self._who_starts() if at_once else SERVICE)
        elif self.state in (m.STOPPING, m.STARTING, m.RESTARTING):
            # A oneshot that is done, or a start that systemd skipped for a condition.
            self._go(record.at, m.STOPPED, SERVICE)
        self._looping = False

    def _on_stopping(self, record: Record) -> None:
        self._stopping, self._failed_in_stop, self._looping = True, False, False
        self._go(record.at, m.STOPPING, OPERATOR)

    def _on_restart_scheduled(self, record: Record) -> None:
        self._stopping, self._looping = False, True
        self._go(record.at, m.RESTARTING, SERVICE, self._failure)

    def _on_stopped(self, record: Record) -> None:
        self._close(record.invocation)
        if record.job_type == "restart":  # before systemd 254 an automatic restart is such a job, too
            self._go(record.at, m.RESTARTING, self._who_starts())
        elif self._stopping and self._failed_in_stop:
            self._go(record.at, m.ERROR, SERVICE, self._failure)
        elif self.state != m.ERROR or self._restarts:
            self._go(record.at, m.STOPPED, OPERATOR if record.job_type == "stop" else SERVICE)
        self._stopping = False

    def _on_job_failed(self, record: Record) -> None:
        if record.job_result == "failed" and self.state != m.RESTARTING:
            self._go(record.at, m.ERROR, SERVICE, self._failure or "start_failed")

    def _who_starts(self) -> str:
        return SERVICE if self._looping else OPERATOR

    def _close(self, invocation: str) -> None:
        """A run that has ended. A oneshot is reported as started after that, under the same invocation."""
        if invocation:
            self._closed = [*self._closed, invocation][-_MAX_CLOSED:]
