# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detects whether a hard cause has been fixed since the failure (file present, port free, configuration changed).

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

A hard cause asks for a person. Once the person has been there (the missing
file exists, the broken one was changed, the port is free), a new start is
worth an attempt, and nobody has to say so. The object of a cause is what its
evidence names, else what the unit's own settings name for it. What cannot be
seen stays hard.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.addresses import ports_in, ports_of
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import Cause
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import listed
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.disk import Disk, disk_usage
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.procfs import lock_holders, port_holders
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.unit_files import (
    Settings,
    argument_paths,
    command_lines,
    paths_of,
    read_settings,
)

_PATH = re.compile(r"(?<![\w.:/])/(?:[\w.@+-]+/)*[\w.@+-]*[\w@+-]")
_ENVIRONMENT_FILE = re.compile(r"(/.+?) \(ignore_errors=(yes|no)\)")
_ADDRESS = re.compile(
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])|\[([0-9a-f:]{2,40})\]|\"([0-9a-f:]{3,40})\"", re.IGNORECASE
)
_COMMAND = re.compile(r"([\w./+-]{1,80}): (?:command )?not found|exec: \"([\w./+-]{1,80})\"")
_NAMED_USER = re.compile(r"get(?:pw|gr)nam\(\"?([\w.-]{1,32})|(?:user|group) ['\"]?([\w.-]{1,32})['\"]?", re.IGNORECASE)
_NOT_BEFORE = re.compile(r"current time \S{10,40} is before (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z")
_PID = re.compile(r"\bpid:? ?(\d{1,10})\b", re.IGNORECASE)
# Directories in which something changes all the time, and what a service itself writes to.
_BUSY = frozenset(
    "/ /etc /var /var/log /var/lib /var/run /run /tmp /var/tmp /srv /opt /usr /usr/bin /home /root".split()
)
_WRITTEN = ("/var/log/", "/run/", "/var/run/", "/tmp/", "/var/tmp/", "/proc/", "/dev/", "/sys/")
_DIRECTORIES = {
    "StateDirectory": "/var/lib",
    "LogsDirectory": "/var/log",
    "CacheDirectory": "/var/cache",
    "RuntimeDirectory": "/run",
    "ConfigurationDirectory": "/etc",
}
_VIEW = ("BindPaths", "BindReadOnlyPaths", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "ExecPaths",
         "NoExecPaths", "RootDirectory", "RootImage")  # fmt: skip
_SANDBOX = ("ProtectSystem", "ProtectHome", "ReadOnlyPaths", "InaccessiblePaths", "DynamicUser", "RootDirectory")
_MAX_FIRST_LINE = 256


@dataclass(frozen=True)
class Signs:
    """What a cause can be compared with: its evidence, the unit's settings, when it failed, and the host."""

    cause: Cause
    properties: t.Mapping[str, str]
    failed_at: float
    disks: t.Sequence[Disk]
    min_free: int
    ports: t.Sequence[int]
    settings: Settings

    @property
    def named(self) -> list[str]:
        """The paths in the evidence."""
        return [path for line in self.cause.evidence for path in _PATH.findall(line)]

    def values(self, key: str) -> list[str]:
        """The words of a setting, as loaded or else as the unit's files have it."""
        return listed(self.properties.get(key, "")) or self.written(key)

    def written(self, key: str) -> list[str]:
        """The words of a setting as the unit's files have it."""
        return [word for value in self.settings.get(key, ()) for word in listed(value)]


Check = t.Callable[[Signs], "str | None"]


def resolution_of(
    cause: Cause,
    properties: t.Mapping[str, str],
    failed_at: float,
    disks: t.Sequence[Disk] = (),
    min_free: int = 0,
    ports: t.Sequence[int] = (),
) -> str | None:
    """The evidence that the cause is gone; None if there is none.

    ``failed_at``: when the service failed, in seconds since the epoch. ``ports``: those of the service's probes.
    """
    signs = Signs(cause, properties, failed_at, disks, min_free, ports, read_settings(properties))
    if cause.id == "disk_full":
        return _room(signs)
    check = CHECKS.get(cause.id)
    return (check(signs) if check is not None else None) or _changed(signs)


def environment_files(properties: t.Mapping[str, str]) -> list[str]:
    """The files that a unit takes its environment from, as ``systemctl show`` names them."""
    return [path for path, _optional in _ENVIRONMENT_FILE.findall(properties.get("EnvironmentFiles", ""))]


def unit_ports(settings: Settings, ports: t.Sequence[int] = ()) -> tuple[int, ...]:
    """The ports of a service that its log does not name: those of its probes and of its command line."""
    words = [" ".join(line) for line in command_lines(settings)]
    words += [word for value in settings.get("Environment", ()) for word in listed(value)]
    named = [
        int(port)
        for text in words
        for port in re.findall(r"(?i)\bport[= ](\d{2,5})\b|(?<=\s)-p (\d{2,5})\b", text)
        for port in port
        if port
    ]
    return tuple(
        dict.fromkeys([*ports, *named, *(port for text in words for word in text.split() for port in ports_of(word))])
    )


def _changed(signs: Signs) -> str | None:
    """A file that the service reads was changed since: what its evidence, unit, environment or command line names."""
    loaded = signs.properties.get("NeedDaemonReload") != "yes"  # what systemd has not read fixes nothing
    unit = [signs.properties.get("FragmentPath", ""), *listed(signs.properties.get("DropInPaths", ""))]
    arguments = [path for path in argument_paths(signs.settings) if not path.startswith(_WRITTEN)]
    files = [path for path in arguments if os.path.isfile(path) or signs.cause.id.startswith("database_")]
    parents = [os.path.dirname(path) for path in signs.named]
    around = [path for path in parents if path not in _BUSY]
    paths = [*signs.named, *(unit if loaded else ()), *environment_files(signs.properties), *files, *around]
    changed = next((path for path in paths if path and _changed_at(path) > signs.failed_at), None)
    return f"{changed} was changed since it failed" if changed else None


def _room(signs: Signs) -> str | None:
    named = signs.named
    # What the log names need not be among what systemd knows of; where it names nothing it may be a scratch file.
    disks = (*signs.disks, *disk_usage(named or ["/tmp", "/var/tmp", "/dev/shm"]))
    enough = disks and all(disk.free >= signs.min_free and disk.inodes for disk in disks)
    return "there is room now" if enough else None


def _all_there(paths: t.Sequence[str]) -> str | None:
    return f"{paths[0]} exists now" if paths and all(_is_there(path) for path in paths) else None


def _named_file(signs: Signs) -> str | None:
    """Every file that the evidence names is there, or the directory of one that the service writes itself."""
    written = [*signs.values("PIDFile"), *_outputs(signs)]
    paths = [os.path.dirname(path) if path in written else path for path in signs.named]
    return _all_there(paths)


def _outputs(signs: Signs) -> list[str]:
    """The files of its output, by the unit's files: systemctl show has ``append`` for ``append:/path``."""
    words = [*signs.written("StandardOutput"), *signs.written("StandardError")]
    return [word.partition(":")[2] for word in words if word.startswith(("file:", "append:", "truncate:"))]


def _program(signs: Signs) -> str | None:
    lines = command_lines(signs.settings, ("ExecStartPre", "ExecStart"))
    return _all_there(signs.named or [line[0] for line in lines if line[0].startswith("/")])


def _environment(signs: Signs) -> str | None:
    found = _ENVIRONMENT_FILE.findall(signs.properties.get("EnvironmentFiles", ""))
    return _all_there([path for path, optional in found if optional == "no"])


def _working_directory(signs: Signs) -> str | None:
    paths = [path.lstrip("-!") for path in signs.values("WorkingDirectory")]
    there = paths and all(os.path.isdir(path) for path in paths if path.startswith("/"))
    return f"{paths[0]} exists now" if there else None


def _credentials(signs: Signs) -> str | None:
    words = [*signs.values("LoadCredential"), *signs.values("LoadCredentialEncrypted")]
    paths = [word.partition(":")[2] for word in words]
    return _all_there([path for path in paths if path.startswith("/")])


def _view(signs: Signs) -> str | None:
    return _all_there(paths_of(signs.settings, *_VIEW))


def _streams(signs: Signs) -> str | None:
    inputs = [word.partition(":")[2] for word in signs.written("StandardInput") if word.startswith("file:")]
    return _all_there([*inputs, *(os.path.dirname(path) for path in _outputs(signs))])


def _unit_directories(signs: Signs) -> str | None:
    """No part of a directory of the unit is a file any more."""
    pairs = [(base, word) for key, base in _DIRECTORIES.items() for word in signs.values(key)]
    paths = [os.path.join(base, word.partition(":")[0]) for base, word in pairs]
    blocked = [
        path for path in paths for part in _and_parents(path) if os.path.exists(part) and not os.path.isdir(part)
    ]
    return f"{paths[0]} can be made now" if paths and not blocked and _was_touched(paths, signs.failed_at) else None


def _was_touched(paths: t.Sequence[str], failed_at: float) -> bool:
    nearest = [next(part for part in _and_parents(path) if os.path.exists(part)) for path in paths]
    return any(_changed_at(part) > failed_at for part in nearest)


def _and_parents(path: str) -> t.Iterator[str]:
    while path not in ("/", ""):
        yield path
        path = os.path.dirname(path)
    yield "/"


def _setup(signs: Signs) -> str | None:
    namespaces = paths_of(signs.settings, "NetworkNamespacePath")
    pam = [f"/etc/pam.d/{name}" for name in signs.values("PAMName")]
    return _all_there([*namespaces, *pam])


def _accounts(signs: Signs) -> str | None:
    words = "\n".join(line for line in signs.cause.evidence if "nam(" in line or "unknown" in line.lower())
    names = [name for pair in _NAMED_USER.findall(words) for name in pair if name]
    if names:
        return f"{names[0]} exists now" if all(_known_user(name) or _known_group(name) for name in names) else None
    return _own_accounts(signs)


def _own_accounts(signs: Signs) -> str | None:
    """The accounts that the unit names all exist."""
    users, groups = signs.values("User"), [*signs.values("Group"), *signs.values("SupplementaryGroups")]
    known = all(map(_known_user, users)) and all(map(_known_group, groups))
    wanted = users if signs.cause.id == "user_missing" else groups
    kind = "user" if signs.cause.id == "user_missing" else "group"
    return f"the {kind} {', '.join(wanted)} exists now" if wanted and known else None


def _executable(signs: Signs) -> str | None:
    paths = [
        line[0] for line in command_lines(signs.settings, ("ExecStartPre", "ExecStart")) if line[0].startswith("/")
    ]
    good = paths and all(os.access(path, os.X_OK) and not _noexec(path) for path in paths)
    return f"{paths[0]} may be executed now" if good else None


def _noexec(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_NOEXEC)
    except OSError:
        return True


def _port(signs: Signs) -> str | None:
    ports = ports_in(signs.cause.evidence) or unit_ports(signs.settings, signs.ports)
    return f"port {', '.join(map(str, ports))} is free now" if ports and not port_holders(ports) else None


def _address(signs: Signs) -> str | None:
    """The address is one of this host now: the kernel lets a socket have it (UDP, any port, for no time at all)."""
    found = [match for line in signs.cause.evidence for match in _ADDRESS.finditer(line)]
    addresses = [match.group(1) or match.group(2) or match.group() for match in found]
    return f"this host has {addresses[0]} now" if addresses and all(map(_is_ours, addresses)) else None


def _is_ours(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _unprivileged(signs: Signs) -> str | None:
    ports = ports_in(signs.cause.evidence)
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as stream:
            first = int(stream.read(16))
    except (OSError, ValueError):
        return None
    return f"ports from {first} on are for everyone now" if ports and min(ports) >= first else None


def _lock(signs: Signs) -> str | None:
    """The process that the evidence names is gone, or no process holds a lock on the file that it names."""
    pids = [int(pid) for line in signs.cause.evidence for pid in _PID.findall(line)]
    if pids:
        gone = not any(os.path.exists(f"/proc/{pid}") for pid in pids)
        return f"process {pids[0]} has ended" if gone else None
    files = [path for path in signs.named if os.path.isfile(path)]
    return f"nobody holds {files[0]} now" if files and not lock_holders(files) else None


def _writable(signs: Signs) -> str | None:
    if any(signs.settings.get(key) for key in _SANDBOX):
        return None  # the host's view is not that of the service
    parts = [next(part for part in _and_parents(path) if os.path.exists(part)) for path in signs.named]
    good = parts and not any(os.statvfs(part).f_flag & os.ST_RDONLY for part in parts)
    return f"{signs.named[0]} is on a file system that can be written now" if good else None


def _command(signs: Signs) -> str | None:
    found = [pair for line in signs.cause.evidence for pair in _COMMAND.findall(line)]
    names = [name for pair in found for name in pair if name and not name.isdigit()]
    return f"{names[0]} is there now" if names and all(shutil.which(name) for name in names) else None


def _clock(signs: Signs) -> str | None:
    """The certificate is valid by the clock of now."""
    starts = [text for line in signs.cause.evidence for text in _NOT_BEFORE.findall(line)]
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    return f"the clock has passed {starts[0]} now" if starts and now >= max(starts) else None


def _conditions(signs: Signs) -> str | None:
    """Every path that a Condition or an Assert asks for is there, or is not, as asked for."""
    prefix = "Assert" if signs.cause.id == "assert_failed" else "Condition"
    tests = {"PathExists": os.path.exists, "PathIsDirectory": os.path.isdir, "FileIsExecutable": _runs,
             "FileNotEmpty": _is_filled, "DirectoryNotEmpty": _is_filled}  # fmt: skip
    keys = [key for key in signs.settings if key.startswith(prefix)]
    if not keys or any(key[len(prefix) :] not in tests for key in keys):
        return None
    values = [(tests[key[len(prefix) :]], value) for key in keys for value in signs.settings[key]]
    if any(value.startswith("|") for _test, value in values):
        return None  # one of several is enough: which one is meant cannot be told
    good = all(test(value.lstrip("!")) is not value.startswith("!") for test, value in values)
    return f"{values[0][1]} holds now" if good else None


def _runs(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _is_filled(path: str) -> bool:
    try:
        return bool(os.listdir(path)) if os.path.isdir(path) else os.stat(path).st_size > 0
    except OSError:
        return False


def _is_there(path: str) -> bool:
    """Whether a file is there, and if it is a script, its interpreter too."""
    try:
        if not os.path.isfile(path):
            return os.path.exists(path)  # a FIFO would keep us waiting
        with open(path, "rb") as stream:
            first = stream.readline(_MAX_FIRST_LINE)
    except OSError:
        return os.path.exists(path)
    words = first[2:].split() if first.startswith(b"#!") else []
    return not words or os.path.exists(words[0])


def _changed_at(path: str) -> float:
    """When content, owner or mode changed last (ctime), 0 where the file is not there."""
    try:
        return os.stat(path).st_ctime
    except OSError:
        return 0.0


def _known_user(name: str) -> bool:
    import pwd

    try:
        pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        return name.isdigit()  # a number needs no entry
    return True


def _known_group(name: str) -> bool:
    import grp

    try:
        grp.getgrgid(int(name)) if name.isdigit() else grp.getgrnam(name)
    except KeyError:
        return name.isdigit()
    return True


CHECKS: t.Mapping[str, Check] = {
    "file_missing": _named_file,
    "config_missing": _named_file,
    "token_unreadable": _named_file,
    "exec_missing": _program,
    "exec_not_permitted": _executable,
    "environment_file_missing": _environment,
    "working_directory_missing": _working_directory,
    "credentials_missing": _credentials,
    "namespace_failed": _view,
    "output_not_opened": _streams,
    "directory_not_prepared": _unit_directories,
    "setup_failed": _setup,
    "user_missing": _accounts,
    "group_missing": _accounts,
    "address_in_use": _port,
    "address_not_available": _address,
    "port_not_permitted": _unprivileged,
    "lock_held": _lock,
    "database_locked": _lock,
    "read_only_filesystem": _writable,
    "command_missing": _command,
    "tls_failed": _clock,
    "edge_certificate": _clock,
    "assert_failed": _conditions,
    "condition_unmet": _conditions,
}
