# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of forked_modules.py, on a host."""

from __future__ import annotations

import importlib
import os
import re
import resource
import sys
import types
import typing as t

import fork_server  # type: ignore[import-not-found]  # beside this file, wherever that is

# What AnsiballZ, basic.py and the modules of this collection import.
_MODULES = (
    "__future__ argparse array ast atexit base64 bisect calendar codecs collections.abc concurrent.futures contextlib"
    " copy ctypes dataclasses datetime enum errno fcntl fnmatch functools getpass glob grp hashlib heapq hmac http.client"
    " importlib.machinery importlib.util inspect io ipaddress itertools json locale logging logging.handlers math"
    " multiprocessing numbers operator os.path pathlib platform pwd queue random re secrets select selectors shlex shutil"
    " signal socket ssl stat string struct subprocess syslog tempfile textwrap threading time token tokenize traceback"
    " types typing unicodedata urllib.error urllib.parse urllib.request uuid warnings weakref zipfile zipimport"
)


_ANSIBLE = "ansible.module_utils.basic", "ansible.module_utils._internal._ansiballz._loader"


class _InArchive(list[str]):
    """Where Python finds what is in a package and has not been imported: in the archive of the module, as ever."""

    def __init__(self, package: str) -> None:
        super().__init__()
        self._folder = package.replace(".", os.sep)

    def __iter__(self) -> t.Iterator[str]:
        return iter([os.path.join(sys.path[0], self._folder)])


def _import_ansible(folder: str) -> str:
    """Import what each module needs of Ansible, whose package may be in ``folder``. Returns its version."""
    if not os.path.isdir(os.path.join(folder, "ansible")):
        return ""
    sys.path.insert(0, folder)
    for name in _ANSIBLE:
        importlib.import_module(name)
    del sys.path[0]
    for name in _imported():
        module: t.Any = sys.modules[name]
        if hasattr(module, "__path__"):
            module.__path__ = _InArchive(name)
    return str(sys.modules["ansible"].__version__)


def _imported() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "ansible"]


def _become(client: int) -> None:
    """Move to where the client is, which is a process id: its control group, groups and limits."""
    with open(f"/proc/{client}/cgroup", encoding="ascii") as stream:
        group = stream.read().rpartition("::")[2].strip()
    with open(f"/sys/fs/cgroup{group}/cgroup.procs", "w", encoding="ascii") as stream:
        stream.write("0")
    with open(f"/proc/{client}/status", encoding="ascii") as stream:
        os.setgroups([int(number) for line in stream if line.startswith("Groups:") for number in line.split()[1:]])
    for limit in {value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}:
        resource.setrlimit(limit, resource.prlimit(client, limit))


def _execute(argv: list[str], version: str) -> None:
    if argv:
        with open(argv[0], "rb") as stream:
            source = stream.read()
    else:
        source = sys.stdin.buffer.read()
    passed = re.search(rb'_ansible_version\\*": \\*"([^"\\]+)', source)  # to each module of Ansible
    if passed is None or passed[1].decode() != version:
        for name in _imported():
            del sys.modules[name]
    file = argv[0] if argv else "<stdin>"
    sys.path[0], sys.argv = os.path.dirname(file), argv or [""]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__file__ = file
    try:
        exec(compile(source, file, "exec", dont_inherit=True), vars(main))
    except Exception as exc:  # Python would show no line of this file
        trace = exc.__traceback__
        while trace and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.excepthook(type(exc), exc.with_traceback(trace), trace)
        sys.exit(1)


if __name__ == "__main__":
    for name in _MODULES.split():
        importlib.import_module(name)
    version = _import_ansible(sys.argv[2])
    request = fork_server.serve(sys.argv[1])
    _become(request.client)
    _execute(request.argv, version)
