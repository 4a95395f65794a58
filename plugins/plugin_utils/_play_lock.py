# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of one play that may only act one after the other.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import typing as t
from pathlib import Path

from ansible import constants
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.fleet import may_be_validator

_TAKES_OFFLINE = ("restarted", "stopped", "reset")


def in_turn(arguments: t.Mapping[str, t.Any], batch: t.Sequence[str]) -> bool:
    """Whether the hosts of a task must run one after another: otherwise all would check the quorum before any acts.

    A reservation, made for one at a time, keeps them apart already; a restart of all is meant to be one together.
    """
    guarded = str(arguments.get("quorum_guard")).lower() not in ("off", "false", "no")
    given = arguments.get("validator")
    validator = may_be_validator(None if given is None else boolean(given, strict=False))
    together = arguments.get("quorum_lost") == "restart_all"
    takes = arguments.get("state") in _TAKES_OFFLINE and len(batch) > 1
    return takes and guarded and validator and not together and not arguments.get("reservation")


@contextlib.contextmanager
def turn(name: str, wait: t.Callable[[], None]) -> t.Iterator[None]:
    """Hold ``name`` against all other processes of this run. ``wait`` is called where another one holds it.

    They share the folder, and the lock ends with the process that holds it.
    """
    path = Path(vars(constants)["DEFAULT_LOCAL_TMP"]) / f"chainops-{name}.lock"
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
