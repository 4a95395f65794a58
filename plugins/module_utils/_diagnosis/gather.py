# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathering what a diagnosis goes by: the journal, the disks, the dependencies, who holds a port. Reads only.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import FailureCase, HostFacts, Rule
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import (
    Diagnosis,
    build_case,
    diagnose,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.predicates import ports_in
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.rules import ADDRESS_IN_USE, GENERIC_RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import (
    ShowUnits,
    missing_dependencies,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.disk import disk_usage, written_paths
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Entry, Journal

# What a diagnosis reads of the unit; a property that is not given is taken as not set.
DIAGNOSIS_PROPERTIES = (
    "Id LoadState LoadError UnitFileState FragmentPath ActiveState SubState Result InvocationID Restart NRestarts "
    "ExecMainPID ExecMainCode ExecMainStatus StartLimitBurst StartLimitIntervalUSec InactiveExitTimestampMonotonic "
    "ActiveEnterTimestampMonotonic ConditionResult ConditionTimestampMonotonic AssertResult AssertTimestampMonotonic "
    "StatusText User Group LogLevelMax LogNamespace StandardOutput StandardError LimitNOFILE MemoryMax TasksMax "
    "Requires Requisite BindsTo WorkingDirectory StateDirectory LogsDirectory CacheDirectory RuntimeDirectory "
    "ReadWritePaths EnvironmentFiles"
).split()

_LISTENING = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}


def examine(
    properties: t.Mapping[str, str],
    journal: Journal,
    *,
    show: ShowUnits | None = None,
    rules: t.Sequence[Rule] = (),
    paths: t.Sequence[str] = (),
    failing: bool | None = None,
    root: str = "/",
) -> Diagnosis:
    """Gather the evidence and diagnose. One call of journalctl, at most two, and at most one of ``show``.

    ``properties``: those named in DIAGNOSIS_PROPERTIES. ``show`` gives the
    properties (at least ActiveState) of other units. ``rules`` are those of
    the kind. ``paths``: what else the service writes to. ``failing``: see ``diagnose``.
    """
    pid = properties.get("ExecMainPID", "")
    records = journal.invocation(
        properties.get("Id", ""), properties.get("InvocationID", ""), main_pid=int(pid) if pid.isdigit() else 0
    )
    case, _own = build_case(properties, records.entries, HostFacts(), failing)
    kernel: tuple[Entry, ...] = ()
    notes = list(records.notes)
    if _maybe_out_of_memory(case) and case.manager:
        kills = journal.kernel_kills(case.manager[0].timestamp)
        kernel = kills.entries
    host = HostFacts(
        disks=disk_usage(written_paths(properties, paths, root)),
        dependencies=missing_dependencies(properties, show) if show else {},
        listeners=_listeners(case, root),
        kernel=kernel,
    )
    return diagnose(
        properties, records.entries, rules=(*rules, *GENERIC_RULES), host=host, failing=failing, notes=notes
    )


def _maybe_out_of_memory(case: FailureCase) -> bool:
    ended = case.exit
    return case.failing and ended is not None and (ended.status in (9, 137) or case.text("Result") == "oom-kill")


def _listeners(case: FailureCase, root: str) -> dict[int, str]:
    lines = [line.text for line in case.lines if re.search(ADDRESS_IN_USE, line.text, re.IGNORECASE)]
    return port_holders(ports_in(lines), root) if lines else {}


def port_holders(ports: t.Sequence[int], root: str = "/") -> dict[int, str]:
    """Who listens on each of ``ports``: the process and its unit, as far as this user may see them."""
    inodes = {inode: port for port in ports for inode in _sockets(port, root)}
    held = dict.fromkeys(inodes.values(), "a process that this user may not see")
    for pid in _pids(root) if inodes else ():
        for inode in _open_sockets(pid, root) & set(inodes):
            held[inodes[inode]] = _describe(pid, root)
    return held


def _sockets(port: int, root: str) -> set[str]:
    found: set[str] = set()
    for protocol, state in _LISTENING.items():
        for line in _read(os.path.join(root, "proc/net", protocol)).splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == state and fields[1].endswith(f":{port:04X}"):
                found.add(fields[9])
    return found


def _pids(root: str) -> list[str]:
    try:
        return [name for name in os.listdir(os.path.join(root, "proc")) if name.isdigit()]
    except OSError:
        return []  # no /proc: nothing is known of processes


def _open_sockets(pid: str, root: str) -> set[str]:
    folder = os.path.join(root, "proc", pid, "fd")
    found: set[str] = set()
    try:
        for name in os.listdir(folder):
            target = os.readlink(os.path.join(folder, name))
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        return found  # it ended, or belongs to another user
    return found


def _describe(pid: str, root: str) -> str:
    name = _read(os.path.join(root, "proc", pid, "comm")).strip()
    units = re.findall(r"/([^/\n]+\.(?:service|scope))", _read(os.path.join(root, "proc", pid, "cgroup")))
    return f"{name} (pid {pid}{', ' + units[-1] if units else ''})"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(1024 * 1024)
    except OSError:
        return ""  # gone, or not for this user
