# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what a process was started from is newer on disk than the process. Reads only.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

A package, ``cp -p`` and ``tar`` keep the time at which a file was written elsewhere, so what counts is its ctime, which
the kernel sets at every change of content, owner, mode and name. A program that runs cannot be written to (ETXTBSY): of
it the file itself is compared, and not its time.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import stat
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import listed
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.unit_files import (
    argument_paths,
    command_lines,
    read_settings,
)

# The start of a process is known to 10 ms (USER_HZ), the time of a file to the kernel's tick, and a clock is slewed.
SLACK = 0.25
_MAX_MAPS = 4 * 1024 * 1024
_MAX_EVIDENCE = 20
_MAX_LINKS = 40
# systemd's generators write their units anew with every daemon-reload; what set-property writes is in force at once.
_NO_UNIT_CHANGES = ("/run/systemd/generator", "/run/systemd/transient/", "/etc/systemd/system.control/",
                    "/run/systemd/system.control/")  # fmt: skip
# What services write themselves, and file systems that hold no files.
_STATE = tuple("/run/ /var/run/ /var/log/ /var/lib/ /var/cache/ /var/tmp/ /tmp/ /dev/ /proc/ /sys/".split())
_OWN_FOLDERS = {"StateDirectory": "/var/lib/", "LogsDirectory": "/var/log/", "CacheDirectory": "/var/cache/",
                "RuntimeDirectory": "/run/"}  # fmt: skip
# Deleted files that a program maps on purpose: memory that it shares, and code that it unpacks.
_NO_LIBRARIES = ("/dev/", "/memfd:", "/SYSV", "/tmp/", "/var/tmp/", "/run/", "/var/run/", "/[aio]", "/drm", "/i915")
_ENVIRONMENT_FILE = re.compile(r"(/\S.*?) \(ignore_errors=(?:yes|no)\)")
_VERSION = re.compile(r"(?<![\d.])(\d+\.\d+(?:\.\d+)+)(?![\d.]*\d)")
_DELETED = " (deleted)"


@dataclass(frozen=True)
class Newer:
    """One thing on disk that the process does not run with.

    ``kind``: unit, environment_file, executable, library, config, link or version. ``changed``: seconds since the
    epoch, None where the file itself tells and not its time.
    """

    kind: str
    path: str
    reason: str
    changed: float | None = None

    def as_dict(self) -> dict[str, t.Any]:
        changed = None if self.changed is None else round(self.changed, 3)
        return {"kind": self.kind, "path": self.path, "reason": self.reason, "changed": changed}


@dataclass(frozen=True)
class Staleness:
    """What a process was started from and is newer on disk. ``started``: seconds since the epoch; ``age``: seconds.

    ``unknown``: what could not be checked.
    """

    started: float | None = None
    age: float | None = None
    evidence: tuple[Newer, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def is_stale(self) -> bool | None:
        """None if that is not known: there is no process, or something could not be checked."""
        if self.evidence:
            return True
        return None if self.started is None or self.unknown else False

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "is_stale": self.is_stale,
            "started": None if self.started is None else round(self.started, 3),
            "age": None if self.age is None else round(self.age, 3),
            "evidence": [one.as_dict() for one in self.evidence[:_MAX_EVIDENCE]],
            "unknown": list(self.unknown),
        }


def staleness(
    facts: UnitFacts | None,
    wall: float,
    *,
    config: t.Sequence[str] = (),
    version: str = "",
    proc: str = "/proc",
    boottime: float | None = None,
) -> Staleness:
    """The files on disk that are newer than the main process of a unit.

    ``wall``: now, in seconds since the epoch; ``boottime``: now, on CLOCK_BOOTTIME. ``config``: files of the
    configuration that the command line does not name. ``version``: the one that the process says it has.
    """
    pid = facts.main_pid if facts else 0
    if facts is None or pid <= 0:
        return Staleness(unknown=("it has no main process",))
    now = time.clock_gettime(time.CLOCK_BOOTTIME) if boottime is None else boottime
    born = _born(pid, proc)
    if born is None:
        return Staleness(unknown=(f"its main process {pid} is gone",))
    age = max(now - born, 0.0)
    comparison = _FileComparison(pid, wall - age, wall, proc)
    comparison.at_unit(facts)
    if comparison.has_own_root():
        comparison.unknown.append("it runs in a root directory of its own (RootDirectory, RootImage)")
    else:
        settings = read_settings(facts.properties)
        programs = [line[0] for line in command_lines(settings) if line[0].startswith("/")]
        comparison.at_environment(facts)
        comparison.at_program(programs)
        comparison.at_config(facts, [path for path in argument_paths(settings) if path not in programs], config)
        comparison.at_version(version, programs)
    return Staleness(wall - age, age, tuple(comparison.found.values()), tuple(dict.fromkeys(comparison.unknown)))


def _born(pid: int, proc: str) -> float | None:
    """When a process was started, on CLOCK_BOOTTIME. See proc(5), starttime."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as stream:
            fields = stream.read(4096).rpartition(b")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


class _FileComparison:
    """Compares the files of a process that began at ``started``."""

    def __init__(self, pid: int, started: float, wall: float, proc: str) -> None:
        self._mine = f"{proc}/{pid}"
        self._started = started
        self._wall = wall
        self.found: dict[tuple[str, str], Newer] = {}
        self.unknown: list[str] = []

    def has_own_root(self) -> bool:
        try:
            return os.readlink(f"{self._mine}/root") != "/"
        except OSError:
            return False  # its other files tell whether this user may read them

    def at_unit(self, facts: UnitFacts) -> None:
        if facts.flag("NeedDaemonReload"):
            self._add(Newer("unit", facts.text("FragmentPath"), "systemd has not read its changed files yet"))
        for path in (facts.text("FragmentPath"), *listed(facts.text("DropInPaths"))):
            if path.startswith("/") and not path.startswith(_NO_UNIT_CHANGES):
                self._by_time("unit", path)

    def at_environment(self, facts: UnitFacts) -> None:
        for pattern in _ENVIRONMENT_FILE.findall(facts.text("EnvironmentFiles")):
            for path in sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]:
                self._by_time("environment_file", path)

    def at_program(self, programs: t.Sequence[str]) -> None:
        runs: os.stat_result | None = None
        name, replaced = "", False
        try:
            runs, target = os.stat(f"{self._mine}/exe"), os.readlink(f"{self._mine}/exe")
            path = target[: -len(_DELETED)] if target.endswith(_DELETED) else target
            name = os.path.basename(path)
            replaced = not _is_same(runs, path)
            if replaced:
                self._add(Newer("executable", path, "the file that runs was replaced or removed"))
            self._mapped()
            self._archives()
        except OSError as exc:
            self._cannot("the program that runs", exc)
        for path in programs:
            self._links(path)
            if runs is None or _is_same(runs, path):
                continue
            self._by_time("executable", path)  # a script, or a program that starts another one, unless it is the same
            there = os.path.realpath(path)
            if os.path.basename(there) == name and os.path.exists(there) and not replaced:
                self._add(Newer("executable", path, f"it leads to {there}, which is not the file that runs"))

    def _mapped(self) -> None:
        """Libraries that the process has mapped to execute and that were deleted, as needrestart checks it."""
        with open(f"{self._mine}/maps", encoding="utf-8", errors="replace") as stream:
            lines = stream.read(_MAX_MAPS).split("\n")
        for line in lines:
            fields = line.split(None, 5)
            if len(fields) == 6 and "x" in fields[1] and fields[5].endswith(_DELETED):
                path = fields[5][: -len(_DELETED)]
                if (
                    path.startswith("/")
                    and not path.startswith(_NO_LIBRARIES)
                    and ("executable", path) not in self.found
                ):
                    self._add(Newer("library", path, "the library that it runs with was replaced or removed"))

    def _archives(self) -> None:
        """Java keeps its archives open."""
        for name in os.listdir(f"{self._mine}/fd"):
            try:
                target = os.readlink(f"{self._mine}/fd/{name}")
            except OSError:
                continue  # closed meanwhile
            if target.endswith(f".jar{_DELETED}"):
                path = target[: -len(_DELETED)]
                self._add(Newer("library", path, "the archive that it runs with was replaced or removed"))

    def at_config(self, facts: UnitFacts, arguments: t.Sequence[str], more: t.Sequence[str]) -> None:
        own = [f"{root}{name.partition(':')[0]}/" for key, root in _OWN_FOLDERS.items() for name in facts.words(key)]
        written = self._writes()
        for path in arguments:
            if not path.startswith((*_STATE, *own)) and os.path.realpath(path) not in written:
                self._by_time("config", path)
        for path in more:
            self._by_time("config", path)

    def _writes(self) -> set[str]:
        """The files that the process has open to write: a log, a database."""
        found: set[str] = set()
        try:
            for name in os.listdir(f"{self._mine}/fd"):
                try:
                    path = os.readlink(f"{self._mine}/fd/{name}")
                    with open(f"{self._mine}/fdinfo/{name}", encoding="ascii") as stream:
                        flags = re.search(r"^flags:\s*([0-7]+)", stream.read(4096), re.MULTILINE)
                except OSError:
                    continue  # closed meanwhile
                if flags and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY:
                    found.add(path)
        except OSError as exc:
            self._cannot("the files that it has open", exc)
        return found

    def at_version(self, version: str, programs: t.Sequence[str]) -> None:
        """The version in the name of the folder that a program is in, where it has one."""
        runs = _VERSION.search(version)
        for path in programs if runs else ():
            there = _VERSION.findall(os.path.realpath(path))
            if runs and len(set(there)) == 1 and there[0] != runs[1]:
                self._add(Newer("version", path, f"{there[0]} is on disk, {runs[1]} runs"))

    def _by_time(self, kind: str, path: str) -> None:
        self._links(path)
        try:
            status = os.stat(path)
        except OSError as exc:
            if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
                self._cannot(path, exc)
            return  # what is not there was not there for a start either, or the start to come says so
        if stat.S_ISREG(status.st_mode):
            self._compare(kind, path, status, "it was changed")

    def _links(self, path: str) -> None:
        """The links on the way to a file: a release is often switched by one."""
        rest = [part for part in path.split("/") if part]
        here, followed = "", 0
        while rest and followed < _MAX_LINKS:
            here = f"{here}/{rest.pop(0)}"
            try:
                status = os.lstat(here)
                if not stat.S_ISLNK(status.st_mode):
                    continue
                target = os.readlink(here)
            except OSError:
                return  # the check of the file itself says so
            self._compare("link", here, status, f"it leads to {target} now")
            followed += 1
            parent = here.rpartition("/")[0]
            whole = os.path.normpath(target if target.startswith("/") else f"{parent}/{target}")
            here, rest = "", [part for part in whole.split("/") if part] + rest

    def _compare(self, kind: str, path: str, status: os.stat_result, message: str) -> None:
        changed = status.st_ctime
        if changed > self._wall + SLACK:
            self.unknown.append(f"{path} has a time in the future: the clock was set back")
        elif changed > self._started + SLACK:
            after = f"{changed - self._started:.0f} s after the process was started"
            self._add(Newer(kind, path, f"{message}, {after}", changed))

    def _cannot(self, what: str, exc: OSError) -> None:
        self.unknown.append(f"{what}: {os.strerror(exc.errno or 0)}")

    def _add(self, newer: Newer) -> None:
        self.found.setdefault((newer.kind, newer.path), newer)


def _is_same(runs: os.stat_result, path: str) -> bool:
    try:
        there = os.stat(path)
    except OSError:
        return False
    return (runs.st_dev, runs.st_ino) == (there.st_dev, there.st_ino)
