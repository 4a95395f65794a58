# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host: the engine put together as a module does it, with a way to die at any of its effects.

engine_on_host OPTIONS: runs once with these options (JSON) and prints the result.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import typing as t

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry import options as _args
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive import make_request
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.explain import explain
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.whole_host import whole_host
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import private_files as _files
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed, run_command
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import actions as _actor
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.engine import Engine
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import Observer
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import plain

VERBS = frozenset({"start", "stop", "restart", "reset-failed", "kill", "cancel"})
_DEFAULTS = {name: spec.get("default") for name, spec in {**_args.WATCH_OPTIONS, **_args.DRIVE_OPTIONS}.items()}


class Fate:
    """Counts the moments before and after each effect, and ends this process with SIGKILL at the chosen one."""

    def __init__(self, deadly: int = 0) -> None:
        self._deadly = deadly
        self.moments: list[str] = []

    def reach(self, moment: str) -> None:
        self.moments.append(moment)
        if len(self.moments) == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, what: str, work: t.Callable[[], t.Any]) -> t.Any:
        self.reach(f"before {what}")
        done = work()
        self.reach(f"after {what}")
        return done

    def runner(self, argv: t.Sequence[str], **options: t.Any) -> Completed:
        verb = next((word for word in argv if word in VERBS), None) if argv[0] == "systemctl" else None
        if verb is None:
            return run_command(argv, **options)
        return t.cast(Completed, self.around(f"systemctl {verb}", lambda: run_command(argv, **options)))


class _FatefulFiles:
    """The module ``os`` as the files of the records and the actor use it."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate

    def __getattr__(self, name: str) -> t.Any:
        real = getattr(os, name)
        if name not in ("replace", "unlink", "kill"):
            return real
        return lambda *words, **options: self._fate.around(f"os.{name}", lambda: real(*words, **options))


def engine(options: t.Mapping[str, t.Any], fate: Fate | None = None) -> Engine:
    """The engine for these options of the module ``service``; it has made its first observation."""
    params = {**_DEFAULTS, **options}
    host = whole_host(params["scope"])
    runner: t.Any = run_command
    if fate is not None:
        runner = fate.runner
        host.systemd = Systemd(runner, user=params["scope"] == "user")
        host.observer = Observer(host.systemd, host.clock, host._count_restarts)
        _files.os = _actor.os = _FatefulFiles(fate)
    watched = host.watched(params, plain)
    request = make_request(params, params["owner"] or "test", False)
    tools = _actor.HostServices(host.systemd, host.ledger, host.clock, runner)
    return Engine(watched, request, host.observer, tools, lambda seen: explain(host, watched, seen))


def in_child(work: t.Callable[[], t.Any]) -> tuple[int, t.Any]:
    """Run ``work`` in a process of its own: (how it ended, what it returned, None where it was killed)."""
    return Child(work).wait()


class Child:
    """A process that works, and what comes of it."""

    def __init__(self, work: t.Callable[[], t.Any]) -> None:
        self._reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(writer)
            return
        try:
            os.write(writer, json.dumps(work()).encode())
        except BaseException as exc:
            os.write(2, f"{type(exc).__name__}: {exc}\n".encode())
            os._exit(3)
        os._exit(0)

    def wait(self) -> tuple[int, t.Any]:
        with os.fdopen(self._reader, "rb") as stream:
            said = stream.read()
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return status, json.loads(said) if status == 0 else None


if __name__ == "__main__":
    print(json.dumps(engine(json.loads(sys.argv[1])).run().as_dict()))
