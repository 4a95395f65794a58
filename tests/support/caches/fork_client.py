# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has the run of this process made by a fork of a server, and ends as the fork ends; see fork_server.py.

Each run pays for what this imports, so that it is what Python has imported or built in.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the enums of signal take as long as all the rest
import _socket
import marshal
import os
import sys

LOST = 70  # the exit status of a run whose server has ended; EX_SOFTWARE of sysexits.h
STREAMS = (0, 1, 2)
SIZE = 8  # of the length of a request, in bytes
_PASSED_ON = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)


def connect(path: str) -> _socket.socket | None:
    """A connection to the server. None: there is none, or none any more, or it is somebody else's."""
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        server.connect(path)
    except OSError:
        server.close()
        return None
    return server


def run(server: _socket.socket, argv: list[str]) -> None:
    """Have the program ``argv`` run, and end with it. Returns where the server has ended before it took the run."""
    umask = os.umask(0)
    os.umask(umask)
    request = marshal.dumps([argv, dict(os.environ), os.getcwd(), umask])
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in STREAMS)
    try:
        server.sendmsg([len(request).to_bytes(SIZE, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
        server.sendall(request)
    except BrokenPipeError:
        pass
    pid = _read_number(server)
    if pid is not None:
        _follow(pid, server)


def _read_number(server: _socket.socket) -> int | None:
    """A line of the server. None: it has ended."""
    line = b""
    while not line.endswith(b"\n"):
        try:
            got = server.recv(1)
        except ConnectionResetError:
            got = b""
        if not got:
            return None
        line += got
    return int(line)


def _follow(pid: int, server: _socket.socket) -> None:
    """End as the run does. Never returns, or this process would make it once more."""

    def pass_on(number: int, _frame: object) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    status = LOST
    try:
        for number in _PASSED_ON:
            _signal.signal(number, pass_on)
        answer = _read_number(server)
        if answer is None:
            os.write(2, b"The server of fork_server.py has ended before the run.\n")
            pass_on(_signal.SIGKILL, None)
        else:
            status = answer
        if status < 0:
            for number in _PASSED_ON:
                _signal.signal(number, _signal.SIG_DFL)
            os.kill(os.getpid(), -status)
    finally:
        os._exit(status)
