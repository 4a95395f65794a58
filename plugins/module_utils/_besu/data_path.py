# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data directory of a Besu, as its configuration file names it.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

A ``--data-path`` of the command line and a BESU_DATA_PATH of the unit are among the paths that the unit itself names.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.next_start import configuration
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.unit_files import read_settings

_MAX_FILE = 1 << 20
_DATA_PATH = re.compile(r"""^[ \t]*["']?data-path["']?[ \t]*=[ \t]*(?:"([^"\\\r\n]+)"|'([^'\r\n]+)')""", re.MULTILINE)


def data_paths(properties: t.Mapping[str, str]) -> tuple[str, ...]:
    """The data directory that the configuration file names; nothing where there is none, or it cannot be read.

    ``properties``: where the unit's files are.
    """
    _program, path = configuration(read_settings(properties, whole=True))
    if not path:
        return ()
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            found = _DATA_PATH.search(stream.read(_MAX_FILE))
    except OSError:
        return ()  # not there, or not for this user: the check of the next start says so
    named = (found[1] or found[2]) if found else ""
    return (named,) if named.startswith("/") else ()
