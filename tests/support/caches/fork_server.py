# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forks for each run whose client asks for it: such a run does not import what its server has imported.

fork_client.py is the client, ansible_server.py the server on the controller, module_server.py the one on hosts.
"""

from __future__ import annotations

import contextlib
import gc
import marshal
import os
import random
import resource
import select
import selectors
import signal
import socket
import struct
import sys
import tempfile
import time
import typing as t

from fork_client import SIZE, STREAMS  # type: ignore[import-not-found]  # beside this file, wherever that is

GRACE = 5  # seconds for a client to ask, and for a run to end
USED = ".cpu"  # after the path of a socket: the file with the CPU time of its runs, in seconds


class Request(t.NamedTuple):
    """What a client asks for: a run with its streams, in its environment."""

    streams: list[int]
    argv: list[str]
    environment: dict[str, str]
    folder: str
    umask: int
    client: int  # its process id

    def take_over(self) -> None:
        """Make this process what a Python would be that the client had started."""
        os.setpgid(0, 0)
        for stream, to in zip(self.streams, STREAMS, strict=True):
            os.dup2(stream, to)
            os.close(stream)
        os.environ.clear()
        os.environ.update(self.environment)
        time.tzset()
        os.chdir(self.folder)
        os.umask(self.umask)
        random.seed()
        tempfile.tempdir = None  # the environment names it


class _Run:
    """A run, and the client that waits for it."""

    def __init__(self, pid: int, client: socket.socket) -> None:
        self.pid, self.client, self.descriptor = pid, client, os.pidfd_open(pid)
        self._tell(pid)

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to the run, if it has not ended yet."""
        signal.pidfd_send_signal(self.descriptor, number)

    def end(self, on_end: t.Callable[[], None]) -> None:
        """Wait for the run, call ``on_end`` and tell the client how it has ended."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        on_end()
        self._tell(status)
        self.close()

    def _tell(self, number: int) -> None:
        with contextlib.suppress(BrokenPipeError):  # a client that was killed
            self.client.sendall(f"{number}\n".encode())

    def close(self) -> None:
        self.client.close()
        os.close(self.descriptor)


def serve(path: str, idle: float = float("inf"), on_end: t.Callable[[], None] = lambda: None) -> Request:
    """Fork for each run that is asked for, while the socket is there. Returns in the forks alone.

    ``idle``: seconds without a run after which the server ends. ``on_end`` is called after each run,
    before its client knows.
    """
    listening = socket.socket(socket.AF_UNIX)
    umask = os.umask(0o077)
    listening.bind(f"{path}.new")
    os.umask(umask)
    listening.listen(64)
    gc.collect()
    gc.freeze()  # or each fork would copy all of it to see what is garbage
    os.rename(f"{path}.new", path)  # whoever finds it can connect
    selector = selectors.DefaultSelector()
    selector.register(listening, selectors.EVENT_READ)
    runs: set[_Run] = set()
    last = time.monotonic()
    while os.path.exists(path) and (runs or time.monotonic() - last < idle):
        for key, _events in selector.select(timeout=1):
            last = time.monotonic()
            if key.data in runs:
                if key.fileobj is key.data.client:  # it has gone
                    key.data.kill(signal.SIGKILL)
                selector.unregister(key.data.descriptor)
                selector.unregister(key.data.client)
                key.data.end(on_end)
                runs.remove(key.data)
            elif key.fileobj is listening:
                client = listening.accept()[0]
                request = _receive(client)
                if request is None:
                    client.close()
                    continue
                pid = os.fork()
                if not pid:
                    for run in runs:
                        run.close()
                    client.close()
                    listening.close()
                    selector.close()
                    request.take_over()
                    return request
                for stream in request.streams:
                    os.close(stream)
                run = _Run(pid, client)
                selector.register(run.descriptor, selectors.EVENT_READ, run)
                selector.register(client, selectors.EVENT_READ, run)
                runs.add(run)
    for run in runs:
        run.kill(signal.SIGTERM)  # which Ansible passes on to its workers
    for run in runs:
        if not select.select([run.descriptor], [], [], GRACE)[0]:
            run.kill(signal.SIGKILL)
        run.end(on_end)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    sys.exit()


def _receive(client: socket.socket) -> Request | None:
    """What the client asks for. None: it has gone."""
    client.settimeout(GRACE)
    try:
        size, streams, _flags, _address = socket.recv_fds(client, SIZE, len(STREAMS))
        with client.makefile("rb") as stream:
            text = stream.read(int.from_bytes(size, "big"))
        argv, environment, folder, umask = marshal.loads(text)
    except (OSError, EOFError, ValueError):
        return None
    client.settimeout(None)
    peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return Request(streams, argv, environment, folder, umask, struct.unpack("3i", peer)[0])


def account(path: str) -> None:
    """Write down the CPU time of the server and all its runs so far, which is nobody else's."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    with contextlib.suppress(FileNotFoundError):  # the folder may be gone
        with open(f"{path}.new", "w") as stream:
            stream.write(str(sum(one.ru_utime + one.ru_stime for one in used)))
        os.replace(f"{path}.new", path)
