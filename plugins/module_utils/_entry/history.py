# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the history of a service from the journal of this host and from the records of this collection.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import (
    JOURNAL_DROPPED,
    JOURNAL_MISSED,
    Journal,
    JournalRecords,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.history import (
    History,
    Present,
    build_history,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Attempt
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import Boot

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.log_states import LogStates
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind

# What systemd says of a unit whose process is there, and since when.
_UP = {
    "activating": (m.STARTING, "InactiveExit"),
    "active": (m.RUNNING, "ActiveEnter"),
    "reloading": (m.RUNNING, "ActiveEnter"),
    "refreshing": (m.RUNNING, "ActiveEnter"),
}
# The last records before the window tell the state at its beginning; a run writes at most about ten.
_EARLIER = 30
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
# Records at these levels are debug, info and notice: systemd logs transitions at info.
_INFO = 6


def parse_window(text: str) -> float:
    """The seconds that a duration such as ``90s``, ``15m``, ``24h``, ``7d`` or ``2w`` means; 0.0 for ``never``.

    Minutes may be ``m`` or ``min``. Raises LifecycleError naming the option.
    """
    if text == "never":
        return 0.0
    match = re.fullmatch(r"([1-9][0-9]{0,6})(min|[smhdw])", text)
    if match is None:
        raise LifecycleError(f"history: {text!r} is no duration; give never, or a number with s, m, h, d or w (24h)")
    return float(int(match[1]) * _UNITS[match[2]])


def read_history(
    journal: Journal,
    observed: Observation,
    boots: t.Sequence[Boot],
    window: float,
    attempts: t.Sequence[Attempt],
    now: float,
    kind: Kind | None = None,
) -> History:
    """The history of the observed service over the last ``window`` seconds before ``now`` (seconds since the epoch)."""
    begin = now - window
    states = kind.log_states(observed) if kind is not None else None
    recent = journal.history_records(observed.unit, since=begin)
    earlier = journal.history_records(observed.unit, until=begin, limit=_EARLIER)
    facts = observed.facts
    level = facts.text("LogLevelMax") if facts else ""
    history = build_history(
        recent.entries,
        earlier.entries,
        begin=begin,
        present=Present(observed.base_state, observed.since, now) if states is None else _process(observed, now),
        boots=boots,
        restarts=facts is None or facts.restarts_by_itself,
        silent=level.isdigit() and int(level) < _INFO,
        notes=recent.notes,
        attempts=attempts,
    )
    return history if states is None or kind is None else _with_log(history, states, journal, observed, recent, kind)


def _process(observed: Observation, now: float) -> Present:
    """What systemd alone knows of a service at present: what its kind knows comes from its log."""
    facts = observed.facts
    if facts is None or not facts.main_pid or facts.active not in _UP:
        return Present(observed.base_state, observed.since, now)
    state, moment = _UP[facts.active]
    since = facts.moment(moment)
    return Present(state, now - max(observed.observed_at - since, 0.0) if since else None, now)


def _with_log(
    history: History, states: LogStates, journal: Journal, observed: Observation, recent: JournalRecords, kind: Kind
) -> History:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import log_states as log

    if not log.has_lived(history):
        return history
    found = journal.own_lines(observed.unit, states.pattern, since=history.begin - states.lead)
    # journald names the service whose messages it drops; what was lost in a damaged journal may be anybody's.
    drops = tuple(
        entry.timestamp
        for entry in recent.entries
        if entry.fields.get("_TRANSPORT") == "driver"
        and (
            entry.message_id == JOURNAL_MISSED
            or (entry.message_id == JOURNAL_DROPPED and entry.message.split()[-1:] == [observed.unit])
        )
    )
    reading = log.Reading(found.lines, found.since, found.notes, drops)
    return log.with_log_states(history, states, reading, log.LastObserved(observed.state, observed.since), kind.machine)
