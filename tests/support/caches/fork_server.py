# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports Ansible once, and forks for each of the runs whose clients ask for it; see forked_ansible.py."""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import inspect
import json
import os
import pkgutil
import random
import resource
import runpy
import select
import selectors
import signal
import socket
import sys
import tempfile
import time
import types
import typing as t

from forked_ansible import SIZE, STREAMS  # type: ignore[import-not-found]  # in this folder, which is on the path

GRACE = 5  # seconds for a client to ask, and for a run to end
IDLE = 600  # seconds without a run after which a server ends, whoever forgot it
USED = ".cpu"  # after the path of a socket: the file with the CPU time of its runs, in seconds


class _Run:
    """A run, and the client that waits for it."""

    def __init__(self, pid: int, client: socket.socket) -> None:
        self.pid, self.client, self.descriptor = pid, client, os.pidfd_open(pid)
        self._tell(pid)

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to the run, if it has not ended yet."""
        signal.pidfd_send_signal(self.descriptor, number)

    def end(self, used: str) -> None:
        """Wait for the run and tell the client how it has ended. ``used``: the path of the account."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        _account(used)
        self._tell(status)
        self.close()

    def _tell(self, number: int) -> None:
        with contextlib.suppress(BrokenPipeError):  # a client that was killed
            self.client.sendall(f"{number}\n".encode())

    def close(self) -> None:
        self.client.close()
        os.close(self.descriptor)


def serve(path: str) -> None:
    """Fork for each run that is asked for, while the socket is there. Returns in the forks alone."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{path}.new")
    listening.listen(64)
    gc.collect()
    gc.freeze()  # or each fork would copy all of it to see what is garbage
    os.rename(f"{path}.new", path)  # whoever finds it can connect
    selector = selectors.DefaultSelector()
    selector.register(listening, selectors.EVENT_READ)
    runs: set[_Run] = set()
    account = f"{path}{USED}"
    last = time.monotonic()
    while os.path.exists(path) and (runs or time.monotonic() - last < IDLE):
        for key, _events in selector.select(timeout=1):
            last = time.monotonic()
            if key.data in runs:
                if key.fileobj is key.data.client:  # it has gone
                    key.data.kill(signal.SIGKILL)
                selector.unregister(key.data.descriptor)
                selector.unregister(key.data.client)
                key.data.end(account)
                runs.remove(key.data)
            elif key.fileobj is listening:
                client = listening.accept()[0]
                asked = _receive(client)
                if asked is None:
                    client.close()
                    continue
                pid = os.fork()
                if not pid:
                    for run in runs:
                        run.close()
                    client.close()
                    listening.close()
                    selector.close()
                    _become(*asked)
                    return
                for stream in asked[0]:
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
        run.end(account)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    sys.exit()


def _account(path: str) -> None:
    """Write down the CPU time of the server and all its runs so far, which is nobody else's."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    with contextlib.suppress(FileNotFoundError):  # the folder may be gone
        with open(f"{path}.new", "w") as stream:
            stream.write(str(sum(one.ru_utime + one.ru_stime for one in used)))
        os.replace(f"{path}.new", path)


def _receive(client: socket.socket) -> tuple[list[int], list[str], dict[str, str], str, int] | None:
    """The standard streams of a run, its arguments, environment, folder and umask. None: the client has gone."""
    client.settimeout(GRACE)
    try:
        size, streams, _flags, _address = socket.recv_fds(client, SIZE, len(STREAMS))
        with client.makefile("rb") as stream:
            text = stream.read(int.from_bytes(size, "big"))
        argv, environment, folder, umask = json.loads(text)
    except (OSError, ValueError):
        return None
    client.settimeout(None)
    return streams, argv, environment, folder, umask


def _import_ansible() -> None:
    """Import Ansible with what it comes with, and read what that declares."""
    for name in ("cli.playbook", "cli.adhoc", "plugins.connection.local", "plugins.connection.ssh"):
        importlib.import_module(f"ansible.{name}")
    from ansible.plugins import loader
    from ansible.utils.collection_loader import _collection_finder as finder

    finder._meta_yml_to_dict = functools.cache(finder._meta_yml_to_dict)  # type: ignore[attr-defined]
    loader.init_plugin_loader()
    for kind in ("action", "become", "cache", "callback", "inventory", "shell", "strategy"):
        plugins = getattr(loader, f"{kind}_loader")
        list(plugins.all(class_only=True))
        plugins._paths = None  # each run finds more
    for kind in ("filter", "test"):
        for module in pkgutil.iter_modules(importlib.import_module(f"ansible.plugins.{kind}").__path__):
            importlib.import_module(f"ansible.plugins.{kind}.{module.name}")
    _make_ready()
    # Each run has collections of its own.
    finder._AnsibleCollectionFinder._remove()
    for name in [name for name in sys.modules if name.partition(".")[0] == "ansible_collections"]:
        del sys.modules[name]


def _make_ready() -> None:
    """Make once what each worker would make for its task."""
    import kept_templates  # type: ignore[import-not-found]  # which imports Ansible
    from ansible._internal._task import UnifiedTaskResult
    from ansible.module_utils._internal import _stack

    stack: t.Any = _stack
    kept_templates.install(os.environ["CHAINOPS_BYTECODE"])
    for source_is_module in (False, True):
        UnifiedTaskResult.get_result_key_to_resolved_field_mapping(source_is_module)
    # Ansible looks for its caller in the stack for each task that it skips, and never at the lines of source in it.
    stack._inspect = types.SimpleNamespace(stack=_stack_without_source, FrameInfo=inspect.FrameInfo)


def _stack_without_source() -> t.Iterator[inspect.FrameInfo]:
    """What inspect.stack returns, without what it reads from files and looks for in all modules."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame:
        yield inspect.FrameInfo(frame, frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name, None, None)
        frame = frame.f_back


def _become(streams: list[int], argv: list[str], environment: dict[str, str], folder: str, umask: int) -> None:
    """Make this fork what a Python would be that has been started for the run and has imported Ansible."""
    os.setpgid(0, 0)
    for stream, to in zip(streams, STREAMS, strict=True):
        os.dup2(stream, to)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    os.umask(umask)
    sys.argv, sys.path[0] = argv, os.path.dirname(argv[0])
    random.seed()
    tempfile.tempdir = None  # the environment names it

    from ansible import constants
    from ansible.config import manager

    config = constants.config
    config._config_file = manager.find_ini_config_file()
    config._parsers.clear()
    config._get_ini_config_value.cache_clear()  # type: ignore[attr-defined]
    if config._config_file:
        config._parse_config_file()
    atexit.unregister(manager.cleanup_tmp_file)  # type: ignore[attr-defined]  # the folder of the server
    for name in ("CONFIG_FILE", "COLLECTIONS_PATHS", "DEFAULT_LOCAL_TMP"):
        constants.set_constant(name, config.get_config_value(name, variables=vars(constants)))


if __name__ == "__main__":
    _import_ansible()
    serve(sys.argv[2])
    runpy.run_path(sys.argv[0], run_name="__main__")
