# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module on a host safely, for every action plugin of the collection.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

What comes back is text of the host: it is neutralised here, once, and cannot
steer the controller. And it comes within a limit of time: a host that is lost
in the middle of a module looks like one that is at work, for as long as the
connection takes to notice, which may be for ever.
"""

from __future__ import annotations

import contextlib
import re
import signal
import time
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import neutralise
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._sliced_wait import seconds

# What a module may take beyond its own wait: to be sent, to observe the service and its journal, to check a file.
GRACE = 120.0
# Before a host is asked again that was lost, or that another run works on.
PAUSE = 3.0
# The limit of a module that does not wait.
LIMIT = 900.0
# What ansible-core obeys in any result: they make facts, hosts, groups, and the job's statistics (artifacts in AWX).
_STEERING = ("ansible_facts", "ansible_stats", "add_host", "add_group")
_SUMMARIES = ("warnings", "deprecations")
_INTERPRETER = re.compile(r"/[\w./+-]{1,255}")


class _Over(BaseException):
    """The limit is over. No Exception, as the connection ssh catches these to try again, without a limit."""


class HostAction(ActionBase):
    """Runs the module of its name as Ansible would, but for what its host may do to the controller."""

    _supports_check_mode = True
    _supports_async = True
    _is_limited = False

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result = self._begin(tmp, task_vars)
        return {**result, **self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val))}

    def _begin(self, tmp: t.Any, task_vars: t.Any) -> dict[str, t.Any]:
        """What every action begins with, for those that do more than to run one module."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        return result

    def _execute_module(self, *args: t.Any, **kwargs: t.Any) -> dict[str, t.Any]:
        given = kwargs.get("module_args") or self._task.args
        with self._limited(None if kwargs.get("wrap_async") else time_limit(given)):
            return harmless(super()._execute_module(*args, **kwargs))

    def _low_level_execute_command(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        with self._limited(LIMIT):
            return super()._low_level_execute_command(*args, **kwargs)

    def _show_progress(self, line: str) -> None:
        """Print the progress of a long task, unless no_log forbids it."""
        if not self._task.no_log:
            Display().display(line)

    def _reconnect(self) -> None:
        """Begin a new connection after one that was lost."""
        time.sleep(PAUSE)
        try:
            self._connection.reset()
        except AnsibleError as exc:
            Display().vvv(f"cannot reset the connection: {exc}")

    @contextlib.contextmanager
    def _limited(self, limit: float | None) -> t.Iterator[None]:
        """Raise AnsibleConnectionFailure after ``limit`` seconds; the task's own ``timeout`` goes first."""
        if limit is None or self._task.timeout or self._is_limited:
            with self._harmless_failure():
                yield
            return

        def over(_number: int, _frame: t.Any) -> None:
            raise _Over

        before = signal.signal(signal.SIGALRM, over)
        signal.setitimer(signal.ITIMER_REAL, limit)
        self._is_limited = True
        try:
            with self._harmless_failure():
                yield
        except _Over:
            raise AnsibleConnectionFailure(
                f"no answer in {limit:.0f} s: the host was lost while a module ran there, or the module hangs; the "
                f"module keeps running there until it ends by itself"
            ) from None
        finally:
            self._is_limited = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    @contextlib.contextmanager
    def _harmless_failure(self) -> t.Iterator[None]:
        """What ssh passes on of a host that cannot be reached is text of that host, too."""
        try:
            yield
        except AnsibleConnectionFailure as exc:
            raise AnsibleConnectionFailure(neutralise(str(exc))) from None


def time_limit(arguments: t.Mapping[str, t.Any]) -> float:
    """The seconds after which a module with these arguments does not answer any more."""
    if "wait_timeout" not in arguments:
        return _services(arguments) * LIMIT
    waits = [seconds(arguments.get(option)) or 0.0 for option in ("wait_timeout", "stable_for")]
    return _services(arguments) * sum(waits) + GRACE


def _services(arguments: t.Mapping[str, t.Any]) -> int:
    """How many services a module drives one after the other."""
    named = next((arguments[key] for key in ("name", "service", "unit") if arguments.get(key)), None)
    return max(len(named.split(",") if isinstance(named, str) else named if isinstance(named, list) else ()), 1)


def harmless(result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The result of a module without what would steer the controller or be templated there."""
    kept = {key: value for key, value in result.items() if key not in (*_STEERING, *_SUMMARIES)}
    found = {str(key): value for key, value in neutralise(kept).items()}
    # ansible-core 2.19 and newer has objects here, and takes texts as warnings only.
    warnings = [_message(item) for key in _SUMMARIES for item in result.get(key) or ()]
    if warnings:
        found["warnings"] = warnings
    facts = result.get("ansible_facts")
    # Ansible itself puts these there, so that the next task need not look for Python again.
    interpreters = {
        key: value
        for key, value in (facts.items() if isinstance(facts, t.Mapping) else ())
        if str(key).startswith("discovered_interpreter_") and _INTERPRETER.fullmatch(str(value))
    }
    return {**found, "ansible_facts": interpreters} if interpreters else found


def _message(summary: t.Any) -> str:
    """The words of a warning or deprecation: a text, a dictionary, or an object of ansible-core's own."""
    message = (
        summary.get("msg") if isinstance(summary, t.Mapping) else getattr(getattr(summary, "event", None), "msg", None)
    )
    return str(neutralise(message if isinstance(message, str) else str(summary)))
