# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from hosts, made harmless at the edge of the controller. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

Whoever rules a managed host chooses every string that a module returns from
there. Ansible marks such strings as unsafe, but ansible-core loses the mark on
the way through ``hostvars``, ``extract`` and ``set_fact`` in releases that this
collection supports, and then templates them on the controller. So nothing that
a template engine acts on gets past this module, whatever becomes of the mark.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import escape_control

MAX_DEPTH = 64
# What ansible-core 2.19 and newer puts into results and has deprecated; ``skip_reason`` has the same.
_DEPRECATED = ("skipped_reason",)
MAX_TEXT = 1_000_000
# Most strings are plain words, which cost no more than this search.
_SUSPECT = re.compile(r"[^ -~]|[{}<]|#jinja2", re.IGNORECASE)
# At the start of a string this changes the delimiters, so that none of the usual ones is needed.
_OVERRIDE = re.compile(r"#(?=jinja2\s*:)", re.IGNORECASE)


def neutralise(value: t.Any, _depth: int = 0) -> t.Any:
    """A copy of ``value``, keys included, in which no string is a template, or part of one that others complete."""
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if _depth >= MAX_DEPTH:
        return "[nested too deep]"
    if isinstance(value, t.Mapping):
        # ansible-core warns about each read of a value that it has deprecated.
        names = [key for key in value if key not in _DEPRECATED]
        return {neutralise(key, _depth + 1): neutralise(value[key], _depth + 1) for key in names}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [neutralise(item, _depth + 1) for item in value]
    return _text(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))


def _text(text: str) -> str:
    if not _SUSPECT.search(text):
        return str(text)
    lines = "\n".join(escape_control(line, MAX_TEXT) for line in text[:MAX_TEXT].split("\n"))
    lines = _OVERRIDE.sub("# ", lines)
    # A delimiter may also come about where a template joins two strings.
    return f"{lines} " if lines.endswith("{") else lines


def from_hosts(function: t.Callable[..., t.Any], *names: str) -> t.Callable[..., t.Any]:
    """The filter ``function`` whose arguments ``names`` hold what hosts returned."""
    signature = inspect.signature(function)
    unknown = set(names) - set(signature.parameters)
    if unknown:
        raise TypeError(f"{function.__name__} has no argument {', '.join(sorted(unknown))}")

    @functools.wraps(function)
    def edge(*args: t.Any, **kwargs: t.Any) -> t.Any:
        given = signature.bind(*args, **kwargs)
        for name in names:
            if name in given.arguments:
                given.arguments[name] = neutralise(given.arguments[name])
        return function(*given.args, **given.kwargs)

    return edge
