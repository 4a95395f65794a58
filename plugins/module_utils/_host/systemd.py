# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only file that calls systemctl.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Works with systemd 239 to 262 and without D-Bus bindings. Exit codes are not
believed, as systemctl(1) itself advises: the state of the unit is.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import neighbours, readiness
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed, LifecycleError, Runner

# Only properties without raw newlines: no Exec* values, which may also hold secrets.
PROPERTIES = (
    "Id Names LoadState LoadError UnitFileState FragmentPath DropInPaths Transient NeedDaemonReload ActiveState "
    "SubState Result Type RemainAfterExit Restart RestartMode NRestarts InvocationID Job MainPID ExecMainPID "
    "ExecMainCode ExecMainStatus ExecMainExitTimestampMonotonic StateChangeTimestampMonotonic "
    "ActiveEnterTimestampMonotonic ActiveExitTimestampMonotonic InactiveEnterTimestampMonotonic "
    "InactiveExitTimestampMonotonic ConditionResult ConditionTimestampMonotonic AssertResult "
    "AssertTimestampMonotonic FreezerState StatusText ControlGroup Slice User Group SupplementaryGroups "
    "TimeoutStopUSec StartLimitBurst StartLimitIntervalUSec Requires Requisite BindsTo RefuseManualStart "
    "TriggeredBy "
    "RefuseManualStop LogLevelMax LogNamespace StandardOutput StandardError LimitNOFILE MemoryMax TasksMax "
    "EnvironmentFiles WorkingDirectory StateDirectory LogsDirectory CacheDirectory RuntimeDirectory ReadWritePaths"
).split()

_UNIT_NAME = re.compile(r"^[A-Za-z0-9:_.\\@-]{1,255}$")
_SUFFIXES = frozenset(
    {"service", "socket", "target", "timer", "mount", "automount", "swap", "path", "slice", "scope", "device"}
)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d|w|month|y)")
_SPAN_SECONDS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "month": 2629800.0,
    "y": 31557600.0,
}
SHOW_TIMEOUT = 20.0
VERB_TIMEOUT = 30.0
# A unit has some 2 KiB of these properties; lists of paths and dependencies may be long.
_SHOW_BYTES = 512 * 1024
_MAX_BYTES = 4 * 1024 * 1024
RELOAD_TIMEOUT = 90.0
_UNMET = re.compile(r"^(?:\S+: )?((?:Condition|Assert)[A-Za-z]+=.*) failed\.$", re.MULTILINE)


def unit_name(name: str) -> str:
    """The full unit name; ``.service`` is implied. Raises LifecycleError for what is not a service's name."""
    stem, dot, suffix = name.rpartition(".")
    full = name if dot and suffix in _SUFFIXES else f"{name}.service"
    if not _UNIT_NAME.match(full) or full.startswith(("-", ".")):
        raise LifecycleError(f"name: {name!r} is not a unit name; give the name of a service, such as besu or besu@1")
    if not full.endswith(".service"):
        raise LifecycleError(f"name: {name!r} is a {suffix} unit; this collection drives services only")
    if full.endswith("@.service"):
        raise LifecycleError(f"name: {name!r} is a template; name an instance of it, such as {stem or name}1")
    return full


def parse_span(text: str) -> float | None:
    """A time span as systemd prints it (``1min 30s``) in seconds; None for ``infinity`` and for what is not a span."""
    if text.isdigit():
        return int(text) / 1e6
    parts = _SPAN.findall(text)
    return sum(float(number) * _SPAN_SECONDS[unit] for number, unit in parts) if parts else None


def no_process_is_there(active: str, sub: str) -> bool:
    """Whether a unit has no process that a step would end: it is down, or waits for its automatic restart."""
    return active in ("inactive", "failed") or sub.startswith("auto-restart")


class UnitFacts(t.NamedTuple):
    """What ``systemctl show`` said of one unit. Times are CLOCK_MONOTONIC in seconds, 0.0 where there is none.

    ``unit`` is the unit's own name, also where an alias was asked for.
    """

    unit: str
    properties: t.Mapping[str, str]

    def text(self, key: str) -> str:
        return self.properties.get(key, "")

    def number(self, key: str) -> int:
        value = self.properties.get(key, "")
        return int(value) if value.isdigit() else 0

    def flag(self, key: str) -> bool:
        return self.properties.get(key) == "yes"

    def moment(self, key: str) -> float:
        return self.number(f"{key}TimestampMonotonic") / 1e6

    def words(self, key: str) -> tuple[str, ...]:
        return tuple(self.text(key).split())

    @property
    def active(self) -> str:
        return self.text("ActiveState")

    @property
    def sub(self) -> str:
        return self.text("SubState")

    @property
    def is_up(self) -> bool:
        """Whether systemd calls the unit active, also while it reloads."""
        return self.active in ("active", "reloading", "refreshing")

    @property
    def is_down(self) -> bool:
        return no_process_is_there(self.active, self.sub)

    @property
    def load(self) -> str:
        return self.text("LoadState")

    @property
    def result(self) -> str:
        return self.text("Result")

    @property
    def main_pid(self) -> int:
        return self.number("MainPID")

    @property
    def invocation(self) -> str:
        return self.text("InvocationID")

    @property
    def restarts_by_itself(self) -> bool:
        """Whether systemd starts the unit again after it has ended (``Restart=``)."""
        return self.text("Restart") not in ("no", "")

    @property
    def restarts(self) -> int:
        return self.number("NRestarts")

    @property
    def job(self) -> int:
        return self.number("Job")


def slice_group(name: str) -> str:
    """The cgroup of a slice: each dash in its name marks a slice within the previous one. See systemd.slice(5)."""
    parts = name.rpartition(".slice")[0].split("-")
    below = ["-".join(parts[: depth + 1]) for depth in range(len(parts))]
    return "" if name == "-.slice" else "".join(f"/{part}.slice" for part in below)


def manager_environment(user: bool) -> dict[str, str]:
    """What a command needs to find the manager of the calling user, whose session sudo does not open."""
    return {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"} if user else {}


class Systemd:
    """The service manager of the system, or with ``user=True`` the one of the calling user."""

    def __init__(self, runner: Runner, *, user: bool = False, cgroup_root: str = "/sys/fs/cgroup") -> None:
        self._runner = runner
        self.user = user
        self._cgroup_root = cgroup_root
        self._env = manager_environment(user)

    def _call(self, *args: str, timeout: float = VERB_TIMEOUT, max_bytes: int = _MAX_BYTES) -> Completed:
        argv = ["systemctl", *(["--user"] if self.user else []), "--no-pager", *args]
        return self._runner(argv, timeout=timeout, max_bytes=max_bytes, env=self._env)

    def show(self, units: t.Sequence[str], properties: t.Sequence[str] = PROPERTIES) -> list[UnitFacts]:
        """The facts of each of ``units`` in one call, in their order.

        Raises LifecycleError where systemd did not answer; a unit that does
        not exist is an answer (LoadState=not-found).
        """
        if not units:
            return []
        limit = _SHOW_BYTES * len(units)
        done = self._call("show", "-p", ",".join(properties), "--", *units, timeout=SHOW_TIMEOUT, max_bytes=limit)
        if done.truncated:
            raise LifecycleError(
                f"systemctl show printed more than {limit} bytes for {len(units)} units, which is no answer; "
                f"see what it prints for {units[0]}"
            )
        if done.rc is None or (done.rc != 0 and not done.stdout):
            raise LifecycleError(self._why_not(done))
        blocks = [block for block in done.out.split("\n\n") if block.strip()]
        if len(blocks) != len(units):
            raise LifecycleError(f"systemctl show answered for {len(blocks)} of {len(units)} units: {_message(done)}")
        found = [_parse(block) for block in blocks]
        return [UnitFacts(shown.get("Id") or unit, shown) for unit, shown in zip(units, found)]

    def own_name(self, unit: str) -> str:
        """The name under which everything of a unit is kept; the one that is asked for where systemd says nothing."""
        try:
            return self.show([unit])[0].unit
        except LifecycleError:
            return unit

    def properties(self, units: t.Sequence[str]) -> dict[str, t.Mapping[str, str]]:
        """The raw properties of each of ``units``."""
        return {unit: facts.properties for unit, facts in zip(units, self.show(units))}

    def _why_not(self, done: Completed) -> str:
        if done.not_found:
            return "systemctl was not found: this host does not run systemd, or PATH lacks it"
        if done.timed_out:
            return f"systemctl did not answer within {SHOW_TIMEOUT:.0f} s"
        why = _message(done)
        if self.user:
            why += "; scope=user needs a running user manager (loginctl enable-linger, or a session)"
        return f"systemctl failed: {why}"

    def related(self, units: t.Sequence[str]) -> dict[str, t.Mapping[str, str]]:
        """How each of ``units`` is related to others, and what it does to the host when it fails or ends."""
        shown = self.show(units, neighbours.PROPERTIES)
        return {unit: facts.properties for unit, facts in zip(units, shown)}

    def enqueue(self, verb: str, unit: str, mode: str = "fail") -> Completed:
        """Ask for a job and return at once. ``--job-mode=fail`` never cancels another controller's job (rc 4)."""
        return self._call(verb, "--no-block", f"--job-mode={mode}", "--", unit)

    def reset_failed(self, unit: str) -> Completed:
        return self._call("reset-failed", "--", unit)

    def cancel(self, job: int) -> Completed:
        return self._call("cancel", "--", str(job))

    def kill(self, unit: str, signal: str) -> Completed:
        return self._call("kill", f"--signal={signal}", "--", unit)

    def stop(self, unit: str) -> Completed:
        """Stop a unit of the collection's own and wait for it."""
        return self._call("stop", "--", unit)

    def needs(self, unit: str) -> t.Mapping[str, str]:
        """What the unit's start needs, as far as systemd prints it. It may hold secrets: the arguments of commands."""
        return self.show([unit], readiness.PROPERTIES)[0].properties

    def enablement(self, unit: str) -> str:
        """Whether the unit is started with the host, in systemd's words (is-enabled): ``enabled``, ``static``, ...

        Raises LifecycleError where systemd did not answer.
        """
        done = self._call("is-enabled", "--", unit, timeout=SHOW_TIMEOUT)
        word = "".join(done.out.split("\n")[:1]).strip()
        if word:
            return sanitize(word, 60)
        # Before systemd 254 a unit that is not there has a sentence, and no word.
        if done.rc is not None and ("No such file" in done.err or "does not exist" in done.err):
            return "not-found"
        raise LifecycleError(self._why_not(done))

    def set_enabled(self, unit: str, enabled: bool, *, runtime: bool = False) -> Completed:
        """Enable or disable the unit; systemd reads all unit files again. ``runtime``: what ends with the next boot."""
        verb = "enable" if enabled else "disable"
        return self._call(verb, *(["--runtime"] if runtime and not enabled else []), "--", unit, timeout=RELOAD_TIMEOUT)

    def daemon_reload(self) -> Completed:
        return self._call("daemon-reload", timeout=RELOAD_TIMEOUT)

    def triggers(self, units: t.Sequence[str]) -> dict[str, t.Mapping[str, str]]:
        """Whether each of the sockets, timers and paths ``units`` waits for something, and when a timer elapses."""
        properties = ("Id", "LoadState", "ActiveState", "NextElapseUSecRealtime")
        return {unit: facts.properties for unit, facts in zip(units, self.show(units, properties))}

    def unmet_conditions(self, unit: str) -> tuple[str, ...]:
        """The conditions and assertions for which systemd would skip a start now; none where it cannot tell (< 250)."""
        argv = ["systemd-analyze", *(["--user"] if self.user else []), "condition", f"--unit={unit}"]
        done = self._runner(argv, timeout=SHOW_TIMEOUT, max_bytes=_SHOW_BYTES, env=self._env)
        if done.rc in (0, None):
            return ()
        return tuple(dict.fromkeys(_UNMET.findall(done.out + done.err)))

    def jobs(self) -> dict[str, str]:
        """The job of each unit that has one: unit -> job type (start, stop, restart, ...)."""
        done = self._call("list-jobs", "--no-legend", "--plain", timeout=SHOW_TIMEOUT)
        rows = (line.split() for line in done.out.split("\n"))
        return {row[1]: row[2] for row in rows if len(row) >= 3 and row[0].isdigit()}

    def system_state(self) -> str:
        """``running``, ``degraded``, ``stopping``, ... as is-system-running has it, ``unknown`` if it does not say."""
        done = self._call("is-system-running", timeout=SHOW_TIMEOUT)
        words = done.out.split()
        return words[0] if words else "unknown"

    def processes(self, control_group: str) -> tuple[int, ...]:
        """The processes in a unit's cgroup and below it; empty where the cgroup is gone."""
        if not control_group:
            return ()
        found: list[int] = []
        for root in (self._cgroup_root, f"{self._cgroup_root}/systemd", f"{self._cgroup_root}/unified"):
            for folder, _folders, files in os.walk(root + control_group):
                if "cgroup.procs" in files:
                    found.extend(_read_pids(os.path.join(folder, "cgroup.procs")))
            if found:
                break
        # 0 stands for what is outside of our PID namespace; a zombie has nothing left that it could disturb.
        return tuple(sorted(pid for pid in set(found) if pid > 0 and process_state(pid) not in ("", "Z")))


def _read_pids(path: str) -> list[int]:
    try:
        with open(path, encoding="ascii") as stream:
            return [int(line) for line in stream if line.strip().isdigit()]
    except OSError:
        return []  # the cgroup went away while it was read: nothing is in it


def _parse(block: str) -> dict[str, str]:
    properties: dict[str, list[str]] = {}
    for line in block.split("\n"):  # and at nothing else: a StatusText may hold what splitlines() takes for an end
        key, equals, value = line.partition("=")
        if equals:  # a list may be printed as one line for each entry
            properties.setdefault(key, []).append(value)
    return {key: " ".join(values) for key, values in properties.items()}


def _message(done: Completed) -> str:
    return sanitize(" ".join(done.err.split()), 300)


def process_state(pid: int) -> str:
    """The state letter of a process (``R``, ``S``, ``D``, ``T`` ...), empty where it is gone. See proc(5)."""
    if pid <= 0:
        return ""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
    rest = text.rpartition(")")[2].split()
    return rest[0] if rest else ""
