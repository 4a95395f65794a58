# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs Ansible as a fork of a process that has imported it already, which saves three quarters of a short run's CPU time.

The program that a test starts becomes a client: it passes its arguments, environment, folder and standard streams on to
a server, waits for the run, and ends as the run has ended. Ansible reads most settings as it is imported, so that each
set of them has a server of its own. The second run with the same settings starts it. It ends when its socket is removed.
A run at a terminal gets no fork.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys

import fork_client  # type: ignore[import-not-found]  # in this folder, which is on the path then

VARIABLE = "CHAINOPS_FORKS"  # names the folder of the sockets

# What a fork reads anew; see ansible_server.py.
_READ_ANEW = {"ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_CONFIG", "ANSIBLE_LOCAL_TEMP"}
_SETTINGS = ("ANSIBLE_", "CHAINOPS_", "PYTHON", "LC_", "LANG", "HOME", "USER", "LOGNAME", "NO_COLOR", "TERM", "COLUMNS")


def run(folder: str) -> None:
    """Have the run of this process made by a fork, and end with it. Returns where there is no server for it."""
    program = sys.orig_argv[1]
    if not os.path.isfile(program) or not os.path.isdir(folder) or any(map(os.isatty, fork_client.STREAMS)):
        return
    path = os.path.join(folder, _digest(program))
    server = fork_client.connect(path)
    if server is None:
        _consider(path)
    else:
        fork_client.run(server, sys.orig_argv[1:])


def _digest(program: str) -> str:
    """A name for what the run shares with its server."""
    settings = sorted(
        pair for pair in os.environ.items() if pair[0].startswith(_SETTINGS) and pair[0] not in _READ_ANEW
    )
    shared = [os.getuid(), os.getgroups(), sys.prefix, program, settings]
    shared += _with_its_place([value for _name, value in settings], os.getcwd())
    config = _config()
    if os.path.isfile(config):
        with open(config) as stream:
            lines = stream.read().splitlines()
        shared += [lines, *_with_its_place([line.partition("=")[2] for line in lines], os.path.dirname(config))]
    return hashlib.sha1(json.dumps(shared).encode(), usedforsecurity=False).hexdigest()[:16]


def _with_its_place(values: list[str], folder: str) -> list[str]:
    """The folder, if one of the values may be the path of what is there: Ansible has made that absolute for the server."""
    words = {word.strip() for value in values for word in re.split("[:,]", value)} - {""}
    named = any(
        "CWD" in word or os.path.exists(os.path.join(folder, word)) for word in words if not os.path.isabs(word)
    )
    return [folder] if named else []


def _config() -> str:
    return os.path.abspath(os.environ.get("ANSIBLE_CONFIG") or "ansible.cfg")


def _consider(path: str) -> None:
    """Start a server for the second run that would have had one."""
    for step in ("first", "second"):
        try:
            os.close(os.open(f"{path}.{step}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        if step == "second":
            _start(path)
        return


def _start(path: str) -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:  # this process must not go on with the run, whatever happens
        os.setsid()
        if not os.fork():
            _become_server(path)
    finally:
        os._exit(0)


def _become_server(path: str) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    with open(f"{path}.log", "ab") as log:
        for stream, to in zip(fork_client.STREAMS, (nothing, log.fileno(), log.fileno()), strict=True):
            os.dup2(to, stream)
    folder = os.path.dirname(path)
    own = {"ANSIBLE_CONFIG": _config(), "ANSIBLE_LOCAL_TEMP": folder}
    environment = {name: value for name, value in {**os.environ, **own}.items() if name != VARIABLE}
    server = os.path.join(os.path.dirname(__file__), "ansible_server.py")
    os.execve(sys.executable, [sys.executable, server, sys.orig_argv[1], path], environment)
