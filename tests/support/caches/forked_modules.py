# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs what Ansible sends to a host as a fork of a process that has imported Ansible's part of a module.

That is three quarters of the CPU time of a ping. Each Python on the host calls it as it starts; root's runs of a script
alone over SSH, as Ansible's are, get a fork. On a Python before 3.10, which does not tell how it was started, none does.
"""

from __future__ import annotations

import os
import sys

import fork_client  # type: ignore[import-not-found]  # beside this file, wherever that is

# Streams of another encoding would have to be made anew.
_STREAMS = ("utf-8", "surrogateescape")


def run(socket: str) -> None:
    """Have this run made by a fork of the server at ``socket``, and end with it. Returns where there is none for it."""
    if os.getuid() or "SSH_CONNECTION" not in os.environ or "PYTHONPATH" in os.environ:
        return
    if not _is_script(getattr(sys, "orig_argv", [])):
        return
    if any((stream is None or (stream.encoding, stream.errors) != _STREAMS) for stream in (sys.stdin, sys.stdout)):
        return
    server = fork_client.connect(socket)
    if server is not None:
        fork_client.run(server, sys.orig_argv[1:])


def _is_script(argv: list[str]) -> bool:
    if len(argv) == 1:
        return not os.isatty(0)
    return len(argv) == 2 and os.path.basename(argv[1]).startswith("AnsiballZ_")
