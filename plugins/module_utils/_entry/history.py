# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the history of a service from the journal of this host and from the records of this collection.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Journal
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.history import (
    History,
    Present,
    build_history,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Attempt
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import Boot

# The last records before the window tell the state at its beginning; a run writes at most about ten.
_EARLIER = 30
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Records at these levels are debug, info and notice: systemd logs transitions at info.
_INFO = 6


def parse_window(text: str) -> float:
    """The seconds that a duration such as ``90s``, ``15m``, ``24h``, ``7d`` or ``2w`` means; 0.0 for ``never``.

    Raises LifecycleError naming the option.
    """
    if text == "never":
        return 0.0
    match = re.fullmatch(r"([1-9][0-9]{0,6})([smhdw])", text)
    if match is None:
        raise LifecycleError(f"history: {text!r} is no duration; give never, or a number with s, m, h, d or w (24h)")
    return float(int(match[1]) * _UNITS[match[2]])


def read_history(
    journal: Journal,
    seen: Observation,
    boots: t.Sequence[Boot],
    window: float,
    attempts: t.Sequence[Attempt],
    now: float,
) -> History:
    """The history of the observed service over the last ``window`` seconds before ``now`` (seconds since the epoch)."""
    begin = now - window
    recent = journal.history_records(seen.unit, since=begin)
    earlier = journal.history_records(seen.unit, until=begin, limit=_EARLIER)
    facts = seen.facts
    level = facts.text("LogLevelMax") if facts else ""
    return build_history(
        recent.entries,
        earlier.entries,
        begin=begin,
        present=Present(seen.base_state, seen.since, now),
        boots=boots,
        restarts=facts is None or facts.restarts_by_itself,
        silent=level.isdigit() and int(level) < _INFO,
        notes=recent.notes,
        attempts=attempts,
    )
