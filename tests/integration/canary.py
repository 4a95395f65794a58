# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that must be found nowhere but in files of their own, and the places where they are looked for.

Looked through are everything that was said to a test, the command lines of all processes while the tests run, and in the
end each host (files, journal, command lines and environments) and folders of this computer.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import typing as t
from pathlib import Path

from ansible_collections.chainops.lifecycle.tests.support.lab import Host

from ..support.cloudflare_edge.connector import TunnelIdentity

# New for each session, so that no other one is taken for this one.
SECRET = f"CANARY-{secrets.token_hex(12)}".encode()
API_READ, API_WRITE, API_WRONG = (f"CANARY_{word}_{secrets.token_hex(12)}" for word in ("read", "write", "wrong"))
# Where a secret belongs on a host, or where a test itself has written what it gives to Ansible.
_OF_HOSTS = "/etc/*/token"
_OF_TESTS = ("token", "vars.yml", "play.yml")
_EVERY = 1.0  # seconds

# Gets the needles, base64 and one a line, by its standard input; prints where they are.
_SEARCH = r"""
import base64, fnmatch, os, subprocess, sys
own, *roots = sys.argv[1:]
needles = [base64.b64decode(line) for line in sys.stdin]
def look(where, data):
    if any(needle in data for needle in needles):
        print(where)
def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("cmdline", "environ"):
        look(f"{name} of {read(f'/proc/{pid}/comm').decode().strip()}", read(f"/proc/{pid}/{name}"))
look("journal", subprocess.run(["journalctl", "-o", "export", "--no-pager"], stdout=subprocess.PIPE).stdout)
for root in roots:
    for folder, _folders, names in os.walk(root):
        for path in (os.path.join(folder, name) for name in names):
            if os.path.isfile(path) and not os.path.islink(path) and not fnmatch.fnmatch(path, own):
                look(path, read(path))
"""
_ROOTS = ("/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/var")


def forms(secret: bytes) -> set[bytes]:
    """A secret as it is, and as a token has it."""
    token = TunnelIdentity(secret=secret).token.encode()
    return {secret, base64.b64encode(secret).rstrip(b"="), token.rstrip(b"=")[-60:-4]}


class Canary:
    """What is hidden (``needles``), and where it was found nevertheless (``found``)."""

    def __init__(self, *needles: bytes) -> None:
        self.needles = set(needles)
        self.found: set[str] = set()
        self.heard = 0
        self._hosts: list[Host] = []
        self._folders: list[Path] = []
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def hear(self, where: str, said: t.Any) -> None:
        """Look through a result, or a text."""
        text = said if isinstance(said, str) else json.dumps(said)
        self.heard += 1
        self._look(where, text.encode())

    def guard(self, hosts: t.Iterable[Host] = (), folders: t.Iterable[Path] = ()) -> None:
        """Look through these in the end."""
        self._hosts += hosts
        self._folders += folders

    def _look(self, where: str, data: bytes) -> None:
        if any(needle in data for needle in self.needles):
            self.found.add(where)

    def start(self) -> None:
        """Begin to watch command lines. Those of the hosts, which are containers, are seen from here."""
        self._watcher.start()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                line = _read(path)
                self._look(f"command line {line[:60]!r}", line)

    def finish(self) -> set[str]:
        """Look through hosts and folders; everywhere that a secret was found since the beginning."""
        if self._watcher.is_alive():
            self._over.set()
            self._watcher.join()
        for host in self._hosts:
            given = b"\n".join(base64.b64encode(needle) for needle in self.needles)
            told = host.run("python3", "-c", _SEARCH, _OF_HOSTS, *_ROOTS, stdin=given, timeout=300)
            self.found |= {f"{host.name}: {where}" for where in told.stdout.splitlines()}
        for path in (path for folder in self._folders for path in folder.rglob("*")):
            if path.is_file() and path.name not in _OF_TESTS:
                self._look(str(path), _read(path))
        return self.found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has gone
        return b""
