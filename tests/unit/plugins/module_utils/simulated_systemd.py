# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service manager in virtual time, for tests of the engine: it answers as systemctl does.

It is no substitute for the laboratory, where the same code meets systemd
itself; it makes every interleaving reachable within milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed


class VirtualClock:
    """Time that passes only when somebody sleeps. ``on_sleep`` runs what is due in between."""

    def __init__(self, start: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self.now = start
        self._wall_offset = wall - start
        self.listeners: list = []

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self._wall_offset

    def sleep(self, seconds: float) -> None:
        end = self.now + max(seconds, 0.0)
        while True:
            due = min((at for listener in self.listeners for at in listener.due()), default=None)
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            for listener in self.listeners:
                listener.run_due()
        self.now = end


@dataclass
class Unit:
    """One service and how it behaves. Times in seconds."""

    name: str
    type: str = "notify"
    start_takes: float = 0.2
    stop_takes: float = 0.1
    start_fails: bool = False
    exit_status: int = 1
    crash_after: float | None = None
    ends_after: float | None = None
    restart: str = "no"
    restart_sec: float = 0.1
    burst: int = 5
    load: str = "loaded"
    ignores_term: bool = False
    requires: tuple[str, ...] = ()
    comes_back: bool = True
    aliases: tuple[str, ...] = ()
    leaves_processes: bool = False
    extra: dict[str, str] = field(default_factory=dict)
    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    invocation: int = 0
    restarts: int = 0
    job: str = ""
    job_id: int = 0
    pid: int = 0
    status: int = 0
    code: int = 0
    times: dict[str, float] = field(default_factory=dict)
    starts: list[float] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    waiting_stop: bool = False
    enablement: str = "disabled"


class World:
    """Units, and a runner that speaks systemctl's language."""

    def __init__(self, clock: VirtualClock, *units: Unit) -> None:
        self.clock = clock
        self.units = {name: unit for unit in units for name in (unit.name, *unit.aliases)}
        self.calls: list[tuple[str, ...]] = []
        self.verbs: list[tuple[str, str]] = []
        self.system_state = "running"
        self.commands: dict[str, Completed] = {}
        self.broken = False
        self._jobs = 100
        clock.listeners.append(self)

    # Time
    def due(self) -> list[float]:
        return [at for unit in self.units.values() for at, _what in unit.events]

    def run_due(self) -> None:
        for unit in self.units.values():
            ready = sorted(event for event in unit.events if event[0] <= self.clock.now)
            unit.events = [event for event in unit.events if event[0] > self.clock.now]
            for _at, what in ready:
                getattr(self, f"_on_{what}")(unit)

    def _later(self, unit: Unit, seconds: float, what: str) -> None:
        unit.events.append((self.clock.now + seconds, what))

    def _become(self, unit: Unit, active: str, sub: str) -> None:
        now, up = self.clock.now, ("active", "reloading")
        was_down, is_down = unit.active in ("inactive", "failed"), active in ("inactive", "failed")
        if unit.active not in up and active in up:
            unit.times["ActiveEnter"] = now
        if unit.active in up and active not in up:
            unit.times["ActiveExit"] = now
        if was_down and not is_down:
            unit.times["InactiveExit"] = now
        if not was_down and is_down:
            unit.times["InactiveEnter"] = now
        unit.times["StateChange"] = now
        unit.active, unit.sub = active, sub

    # Life
    def _on_begin(self, unit: Unit) -> None:
        recent = [at for at in unit.starts if at > self.clock.now - 10.0]
        if len(recent) >= unit.burst and unit.restart != "no":
            unit.result, unit.job = unit.result if unit.result != "success" else "start-limit-hit", ""
            self._become(unit, "failed", "failed")
            return
        unit.starts.append(self.clock.now)
        unit.invocation += 1
        unit.result, unit.pid, unit.code, unit.status = "success", 4_000_000 + unit.invocation, 0, 0
        if unit.type in ("simple", "exec"):
            unit.job = ""
            self._become(unit, "active", "running")
            if unit.start_fails:
                self._later(unit, unit.start_takes, "crash")
        else:
            self._become(unit, "activating", "start")
            self._later(unit, unit.start_takes, "crash" if unit.start_fails else "ready")
        if unit.crash_after is not None:
            self._later(unit, unit.crash_after, "crash")
        if unit.ends_after is not None:
            self._later(unit, unit.ends_after, "end")

    def _on_ready(self, unit: Unit) -> None:
        if unit.active != "activating":
            return
        unit.job = ""
        if unit.type == "oneshot":
            unit.pid = 0
            self._become(unit, "inactive", "dead")
        else:
            self._become(unit, "active", "running")

    def _on_crash(self, unit: Unit) -> None:
        if unit.active not in ("active", "activating") or unit.sub == "auto-restart":
            return
        unit.events = []
        unit.pid, unit.result, unit.code, unit.status = 0, "exit-code", 1, unit.exit_status
        self._ended(unit, failed=True)

    def _on_end(self, unit: Unit) -> None:
        if unit.active == "active":
            unit.events, unit.pid = [], 0
            self._ended(unit, failed=False)

    def _ended(self, unit: Unit, failed: bool) -> None:
        unit.job = "" if unit.job == "start" else unit.job
        again = unit.restart == "always" or (unit.restart == "on-failure" and failed)
        if again and not unit.job:
            self._become(unit, "activating", "auto-restart")
            self._later(unit, unit.restart_sec, "again")
        else:
            self._become(unit, "failed" if failed else "inactive", "failed" if failed else "dead")

    def _on_again(self, unit: Unit) -> None:
        if unit.sub == "auto-restart":
            unit.restarts += 1
            self._on_begin(unit)

    def _on_stopped(self, unit: Unit) -> None:
        unit.events = []
        unit.pid, unit.job = (unit.pid if unit.leaves_processes else 0), ("" if unit.job == "stop" else unit.job)
        self._become(unit, "inactive", "dead")
        if unit.job == "restart":
            unit.restarts = 0
            unit.job = "start"
            self._on_begin(unit)

    # systemctl
    def __call__(self, argv, *, timeout, max_bytes=0, env=None):
        argv = tuple(argv)
        if argv[0] == "systemd-analyze":
            return self.commands.get(argv[0], Completed(0, b"", b""))
        if argv[0] != "systemctl":
            self.calls.append(argv)
            return self.commands.get(argv[0], Completed(None, b"", b"not found", not_found=True))
        if self.broken:
            return Completed(None, b"", b"", timed_out=True)
        args = [a for a in argv[1:] if a not in ("--no-pager", "--", "--no-legend", "--plain", "--user")]
        return getattr(self, "_do_" + args[0].replace("-", "_"))(args[1:])

    def _do_show(self, args):
        blocks = []
        for name in args[2:]:
            unit = self.units.get(name) or Unit(name, load="not-found")
            blocks.append("\n".join(f"{key}={value}" for key, value in self._properties(unit).items()))
        return Completed(0, ("\n\n".join(blocks) + "\n").encode(), b"")

    def _properties(self, unit: Unit) -> dict[str, str]:
        moments = ("ActiveEnter", "ActiveExit", "InactiveEnter", "InactiveExit", "StateChange")
        return {
            "Id": unit.name,
            "Type": unit.type,
            "LoadState": unit.load,
            "ActiveState": unit.active,
            "SubState": unit.sub,
            "Result": unit.result,
            "Restart": unit.restart,
            "NRestarts": str(unit.restarts),
            "InvocationID": f"{unit.invocation:032x}" if unit.invocation else "",
            "MainPID": str(unit.pid),
            "ExecMainCode": str(unit.code),
            "ExecMainStatus": str(unit.status),
            "Job": str(unit.job_id) if unit.job else "",
            "StartLimitBurst": str(unit.burst),
            "StartLimitIntervalUSec": "10s",
            "Requires": " ".join(unit.requires),
            "RequiredBy": " ".join(u.name for u in self.units.values() if unit.name in u.requires),
            "ControlGroup": "",
            **{f"{key}TimestampMonotonic": str(int(unit.times.get(key, 0) * 1e6)) for key in moments},
            **unit.extra,
        }

    def _do_list_jobs(self, args):
        rows = [f"{u.job_id} {u.name} {u.job} running" for u in self.units.values() if u.job]
        return Completed(0, "\n".join(rows).encode(), b"")

    def _do_is_system_running(self, args):
        return Completed(0, self.system_state.encode(), b"")

    def _do_daemon_reload(self, args):
        self.verbs.append(("daemon-reload", ""))
        for unit in self.units.values():
            unit.extra.pop("NeedDaemonReload", None)
        return Completed(0, b"", b"")

    def _do_is_enabled(self, args):
        unit = self.units.get(args[0])
        if unit is None:
            said = f"Failed to get unit file state for {args[0]}: No such file or directory"
            return Completed(1, b"", said.encode())
        return Completed(0 if unit.enablement == "enabled" else 1, f"{unit.enablement}\n".encode(), b"")

    def _do_enable(self, args):
        self.verbs.append(("enable", args[0]))
        self.units[args[0]].enablement = "enabled"
        return Completed(0, b"", b"Created symlink")

    def _do_disable(self, args):
        self.verbs.append(("disable", args[-1]))
        self.units[args[-1]].enablement = "disabled"
        return Completed(0, b"", b"Removed")

    def _enqueue(self, verb, args):
        assert args[0] == "--no-block" and args[1] in ("--job-mode=fail", "--job-mode=replace"), args
        unit = self.units[args[2]]
        self.verbs.append((verb, unit.name))
        if unit.load != "loaded":
            return unit, Completed(1, b"", f"Unit {unit.name} is {unit.load}.".encode())
        conflict = {"start": ("stop",), "stop": ("start", "restart"), "restart": ("stop",)}[verb]
        if unit.job in conflict:
            return unit, Completed(4, b"", b"Transaction is destructive")
        self._jobs += 1
        unit.job_id = self._jobs
        return unit, None

    def _do_start(self, args):
        unit, refused = self._enqueue("start", args)
        if refused or unit.active in ("active", "activating"):
            return refused or Completed(0, b"", b"")
        self._begin(unit)
        return Completed(0, b"", b"")

    def _begin(self, unit):
        unit.job, unit.restarts = "start", 0
        self._later(unit, 0.01, "begin")
        for name in unit.requires:
            other = self.units.get(name)
            if other is not None and other.active in ("inactive", "failed") and not other.job:
                self._jobs += 1
                other.job_id = self._jobs
                self._begin(other)

    def _do_stop(self, args):
        unit, refused = self._enqueue("stop", args)
        return refused or self._stop(unit, "stop")

    def _do_restart(self, args):
        unit, refused = self._enqueue("restart", args)
        if refused:
            return refused
        if unit.active in ("inactive", "failed"):
            unit.job, unit.restarts = "start", 0
            self._later(unit, 0.01, "begin")
            return Completed(0, b"", b"")
        return self._stop(unit, "restart")

    def _stop(self, unit, job):
        if unit.active in ("inactive", "failed"):
            return Completed(0, b"", b"")
        unit.events, unit.job = [], job
        self._become(unit, "deactivating", "stop-sigterm")
        for other in self.units.values():
            if unit.name in other.requires:
                self._stop(other, job if other.comes_back else "stop")
        if not unit.ignores_term:
            self._later(unit, unit.stop_takes, "stopped")
        return Completed(0, b"", b"")

    def _do_reset_failed(self, args):
        unit = self.units[args[0]]
        self.verbs.append(("reset-failed", unit.name))
        if unit.active == "failed":
            unit.times, unit.result, unit.restarts, unit.status, unit.code = {}, "success", 0, 0, 0
            unit.starts = []
            unit.active, unit.sub = "inactive", "dead"
        return Completed(0, b"", b"")

    def _do_kill(self, args):
        unit = self.units[args[-1]]
        self.verbs.append(("kill", unit.name))
        self._later(unit, 0.01, "stopped")
        return Completed(0, b"", b"")

    def _do_cancel(self, args):
        for unit in self.units.values():
            if str(unit.job_id) == args[0]:
                unit.job = ""
        self.verbs.append(("cancel", args[0]))
        return Completed(0, b"", b"")
