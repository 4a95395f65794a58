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
import json
import os
import pkgutil
import random
import resource
import runpy
import selectors
import signal
import socket
import sys
import tempfile

from forked_ansible import SIZE, STREAMS  # type: ignore[import-not-found]  # in this folder, which is on the path

USED = ".cpu"  # after the path of a socket: the file with the CPU time of its runs, in seconds


class _Run:
    """A run, and the client that waits for it."""

    def __init__(self, pid: int, client: socket.socket) -> None:
        self.pid, self.client, self.descriptor = pid, client, os.pidfd_open(pid)
        client.sendall(f"{pid}\n".encode())

    def end(self, used: str, *, kill: bool) -> None:
        """Tell the client how the run has ended, by itself or as it is killed here. ``used``: the path of its account."""
        if kill:
            os.killpg(self.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        _account(used)
        with contextlib.suppress(BrokenPipeError):  # a client that was killed
            self.client.sendall(f"{status}\n".encode())
        self.close()

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
    while os.path.exists(path):
        for key, _events in selector.select(timeout=1):
            if key.data in runs:
                selector.unregister(key.data.descriptor)
                selector.unregister(key.data.client)
                key.data.end(f"{path}{USED}", kill=key.fileobj is key.data.client)
                runs.remove(key.data)
            elif key.fileobj is listening:
                client = listening.accept()[0]
                asked = _receive(client)
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
        run.end(f"{path}{USED}", kill=True)
    sys.exit()


def _account(path: str) -> None:
    """Write down the CPU time of all runs so far, which is nobody else's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with contextlib.suppress(FileNotFoundError), open(path, "w") as stream:  # the folder may be gone
        stream.write(str(used.ru_utime + used.ru_stime))


def _receive(client: socket.socket) -> tuple[list[int], list[str], dict[str, str], str]:
    """The standard streams of a run, its arguments, environment and folder."""
    size, streams, _flags, _address = socket.recv_fds(client, SIZE, len(STREAMS))
    with client.makefile("rb") as stream:
        text = stream.read(int.from_bytes(size, "big"))
    return streams, *json.loads(text)


def _import_ansible() -> None:
    """Import Ansible with what it comes with, and read what that declares."""
    from ansible.plugins import loader
    from ansible.utils.collection_loader import _collection_finder as finder

    finder._meta_yml_to_dict = functools.cache(finder._meta_yml_to_dict)
    loader.init_plugin_loader()
    for kind in ("action", "become", "cache", "callback", "inventory", "shell", "strategy", "vars"):
        for _plugin in getattr(loader, f"{kind}_loader").all(class_only=True):
            pass
    for kind in ("filter", "test"):
        for module in pkgutil.iter_modules(importlib.import_module(f"ansible.plugins.{kind}").__path__):
            importlib.import_module(f"ansible.plugins.{kind}.{module.name}")
    # Each run has collections of its own.
    finder._AnsibleCollectionFinder._remove()
    for name in [name for name in sys.modules if name.partition(".")[0] == "ansible_collections"]:
        del sys.modules[name]


def _become(streams: list[int], argv: list[str], environment: dict[str, str], folder: str) -> None:
    """Make this fork what a Python would be that has been started for the run and has imported Ansible."""
    os.setpgid(0, 0)
    for stream, to in zip(streams, STREAMS, strict=True):
        os.dup2(stream, to)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = argv
    random.seed()
    tempfile.tempdir = None  # the environment names it

    from ansible import constants
    from ansible.config import manager

    config = constants.config
    config._config_file = manager.find_ini_config_file()
    config._parsers.clear()
    config._get_ini_config_value.cache_clear()
    if config._config_file:
        config._parse_config_file()
    atexit.unregister(manager.cleanup_tmp_file)  # the folder of the server
    for name in ("CONFIG_FILE", "COLLECTIONS_PATHS", "DEFAULT_LOCAL_TMP"):
        constants.set_constant(name, config.get_config_value(name, variables=vars(constants)))


if __name__ == "__main__":
    _import_ansible()
    serve(sys.argv[2])
    runpy.run_path(sys.argv[0], run_name="__main__")
