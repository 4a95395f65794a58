# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths that a unit writes to. Reads only.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import listed
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.unit_files import argument_paths, read_settings

_DIRECTORIES = {
    "StateDirectory": "var/lib",
    "LogsDirectory": "var/log",
    "CacheDirectory": "var/cache",
    "RuntimeDirectory": "run",
}
_MAX_PATHS = 16


def written_paths(properties: t.Mapping[str, str], extra: t.Sequence[str] = (), root: str = "/") -> tuple[str, ...]:
    """The directories that the service writes to, as far as its unit says; the root directory where it says nothing.

    A file system that anybody can fill (/tmp) counts only where the unit names it.
    """
    found = [*extra]
    for key, base in _DIRECTORIES.items():
        found += [os.path.join("/", base, name.partition(":")[0]) for name in listed(properties.get(key, ""))]
    for word in [properties.get("WorkingDirectory", ""), *listed(properties.get("ReadWritePaths", ""))]:
        found.append(word.lstrip("-!+~"))
    for key in ("StandardOutput", "StandardError"):
        found.append(os.path.dirname(properties.get(key, "").partition(":")[2]))
    settings = read_settings(properties)
    values = [word.partition("=")[2] for value in settings.get("Environment", ()) for word in listed(value)]
    found += [path for path in (*argument_paths(settings), *values) if path.startswith("/") and os.path.isdir(path)]
    paths = [os.path.join(root, path.lstrip("/")) for path in found if path.startswith("/")]
    return tuple(dict.fromkeys(paths or [root]))[:_MAX_PATHS]
