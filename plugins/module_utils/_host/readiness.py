# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks what the next start of a unit needs, before a running process is ended. Reads only.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Only what is certainly missing is told: where a unit has a root of its own, a
specifier in a path or a user that systemd makes up, nothing is known.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import listed

PROPERTIES = (
    "Id",
    "ExecStartPre",
    "ExecStart",
    "EnvironmentFiles",
    "WorkingDirectory",
    "RootDirectory",
    "RootImage",
    "User",
    "Group",
    "SupplementaryGroups",
    "DynamicUser",
    "AmbientCapabilities",
    "FragmentPath",
    "DropInPaths",
)
# Of a command only the path is read: its arguments may hold secrets.
_COMMAND = re.compile(r"\{ path=(/[^;]*?) ; argv\[\]=.*?; ignore_errors=(yes|no) ;")
_ENVIRONMENT_FILE = re.compile(r"(/\S.*?) \(ignore_errors=(yes|no)\)")
_CREDENTIAL = re.compile(r"^LoadCredential(?:Encrypted)?=[^:\n]+:(/[^\n]+?)\s*$", re.MULTILINE)
_SHEBANG = re.compile(rb"^#! *(/[^\s]+)")
_MAX_UNIT_FILE = 1024 * 1024


@dataclass(frozen=True)
class Account:
    """The user and groups that a unit runs as."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def unready(properties: t.Mapping[str, str]) -> list[str]:
    """What is missing for the next start, each as a sentence."""
    found: list[str] = []
    account = None
    try:
        account = _account(properties)
    except KeyError as exc:
        found.append(str(exc.args[0]))
    if not properties.get("RootDirectory") and not properties.get("RootImage"):
        found += [message for path in _commands(properties) for message in _command_missing(path, account)]
        found += _directory_missing(properties.get("WorkingDirectory", ""), account)
    found += [f"the environment file {path} is not there" for path in _environment(properties) if _gone(path)]
    found += [f"the credential file {path} is not there" for path in _credentials(properties) if _gone(path)]
    return list(dict.fromkeys(found))


def _account(properties: t.Mapping[str, str]) -> Account | None:
    """The unit's account; None where it is root's, made up by systemd, or helped by capabilities."""
    name = properties.get("User", "")
    if not name or properties.get("DynamicUser") == "yes" or "cap_dac" in properties.get("AmbientCapabilities", ""):
        return None
    try:
        entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        raise KeyError(f"there is no user {name}") from None
    extra = [_group(group) for group in listed(properties.get("SupplementaryGroups", ""))]
    gid = _group(properties["Group"]) if properties.get("Group") else entry.pw_gid
    groups = {*os.getgrouplist(entry.pw_name, gid), *extra}
    return Account(entry.pw_name, entry.pw_uid, gid, tuple(sorted(groups)))


def _group(name: str) -> int:
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise KeyError(f"there is no group {name}") from None


def _commands(properties: t.Mapping[str, str]) -> list[str]:
    text = f"{properties.get('ExecStartPre', '')} {properties.get('ExecStart', '')}"
    return [path for path, ignored in _COMMAND.findall(text) if ignored == "no"]


def _environment(properties: t.Mapping[str, str]) -> list[str]:
    found = _ENVIRONMENT_FILE.findall(properties.get("EnvironmentFiles", ""))
    return [path for path, ignored in found if ignored == "no" and not set(path) & set("*?[")]


def _credentials(properties: t.Mapping[str, str]) -> list[str]:
    """The files that LoadCredential= names: systemd does not print them."""
    texts = [_text(path) for path in [properties.get("FragmentPath", ""), *listed(properties.get("DropInPaths", ""))]]
    return [path for text in texts for path in _CREDENTIAL.findall(text) if "%" not in path]


def _text(path: str) -> str:
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(_MAX_UNIT_FILE)
    except OSError:
        return ""  # of a unit whose file is gone the guard of the unit tells


def _gone(path: str) -> bool:
    """Whether a path certainly does not exist; one that this user may not see may exist."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _command_missing(path: str, account: Account | None) -> list[str]:
    if _gone(path):
        return [f"{path} is not there"]
    if os.path.isdir(path) or not os.access(path, os.X_OK):
        return [f"{path} cannot be executed"] if os.path.isdir(path) or os.geteuid() == 0 else []
    interpreter = _interpreter(path)
    if interpreter and _gone(interpreter):
        return [f"{interpreter}, the interpreter of {path}, is not there"]
    return [] if may(account, path, os.X_OK) else [f"{path} cannot be executed by {account.name if account else 'it'}"]


def _interpreter(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            found = _SHEBANG.match(stream.read(256))
    except OSError:
        return ""
    return os.fsdecode(found[1]) if found else ""


def _directory_missing(value: str, account: Account | None) -> list[str]:
    if not value.startswith("/"):
        return []  # none, the home of its user, or one that may be missing
    if _gone(value):
        return [f"the working directory {value} is not there"]
    if may(account, value, os.X_OK):
        return []
    return [f"the working directory {value} is closed to {account.name if account else 'it'}"]


def may(account: Account | None, path: str, mode: int) -> bool:
    """Whether an account has access to a path, asked of the kernel in a process of that account (so with ACLs)."""
    if account is None or account.uid == os.geteuid() or os.geteuid() != 0:
        return True  # not known to be wrong
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(account.groups)
            os.setgid(account.gid)
            os.setuid(account.uid)
            os._exit(0 if os.access(path, mode) else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 1
