# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a unit as its files have them: what it runs and which paths it names. Reads only.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

``systemctl show`` would tell the same of what is loaded, at the price of
values that hold newlines and secrets. A value with a specifier that depends on
the unit's name or user (``%i``) is left out.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import listed

_MAX_FILE = 256 * 1024
_EXEC_PREFIXES = "@-:+!|"
# The settings by which a service sees other files than the host has under the same names.
OTHER_FILES = tuple(
    "RootDirectory RootImage MountImages ExtensionImages ExtensionDirectories BindPaths BindReadOnlyPaths "
    "TemporaryFileSystem".split()
)
Settings = t.Mapping[str, t.Sequence[str]]


def read_settings(properties: t.Mapping[str, str], *, whole: bool = False) -> dict[str, list[str]]:
    """key -> its values, from FragmentPath and DropInPaths in their order; an empty value resets those before it.

    ``whole``: with the values that hold a specifier, as they are written, for who has to know that there is one.
    """
    found: dict[str, list[str]] = {}
    for path in [properties.get("FragmentPath", ""), *listed(properties.get("DropInPaths", ""))]:
        for key, value in _assignments(path) if path.startswith("/") else ():
            if not value:
                found.pop(key, None)
            elif not re.search(r"%(?!%)", value.replace("%%", "")):
                found.setdefault(key, []).append(value.replace("%%", "%"))
            elif whole:
                found.setdefault(key, []).append(value)
    return found


def _assignments(path: str) -> t.Iterator[tuple[str, str]]:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            text = stream.read(_MAX_FILE)
    except OSError:
        return  # gone, or not for this user
    for line in re.sub(r"\\\n", " ", text).split("\n"):
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith(("#", ";", "[")):
            yield key.strip(), value.strip()


def command_lines(settings: Settings, keys: t.Sequence[str] = ("ExecStart",)) -> list[list[str]]:
    """The commands of a unit, each as its words."""
    found: list[list[str]] = []
    for key in keys:
        for value in settings.get(key, ()):
            words = listed(value)
            if words:
                found.append([words[0].lstrip(_EXEC_PREFIXES), *words[1:]])
    return found


def paths_of(settings: Settings, *keys: str) -> list[str]:
    """The absolute paths that settings with lists of paths name; those that may be missing (``-``) are left out."""
    words = [word for key in keys for value in settings.get(key, ()) for word in listed(value)]
    paths = [word.lstrip("+").partition(":")[0] for word in words if not word.startswith("-")]
    return [path for path in paths if path.startswith("/")]


def argument_paths(settings: Settings) -> list[str]:
    """The absolute paths on the command lines of a unit, its programs first."""
    lines = command_lines(settings, ("ExecStart", "ExecStartPre", "ExecCondition"))
    words = [*(line[0] for line in lines), *(word for line in lines for word in line[1:])]
    parts = [part for word in words for part in (word, word.partition("=")[2])]
    return list(dict.fromkeys(part for part in parts if part.startswith("/") and "\n" not in part))
