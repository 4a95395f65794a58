# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the history of a service costs, and what its kind has to do with it."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log_states import (
    ConnectorLogStates,
    Known,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import CLOUDFLARED
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.history import read_history
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import journal as j
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import Boot

BOOT = "b" * 32
NOW, WINDOW = 10_000.0, 1000.0
UNIT = "cloudflared.service"


class Connector(Kind):
    machine = CLOUDFLARED

    def log_states(self, observation: Observation) -> ConnectorLogStates:
        return ConnectorLogStates(known=Known(observation.details.get("connections"), True))


class Journal(j.Journal):
    """Answers with these records and lines, and keeps what it was asked."""

    def __init__(self, *records: tuple[float, str, dict[str, str]], lines: t.Sequence[tuple[float, str]] = ()) -> None:
        self.records, self.lines = records, tuple(lines)
        self.asked: list[tuple[str, str, float]] = []

    def history_records(self, unit: str, **window: t.Any) -> j.JournalRecords:
        since, until = window.get("since") or 0.0, window.get("until") or NOW
        found = [
            json.dumps(
                {
                    "__REALTIME_TIMESTAMP": str(int(at * 1e6)),
                    "__MONOTONIC_TIMESTAMP": str(int(at * 1e6)),
                    "_BOOT_ID": BOOT,
                    "_PID": "1",
                    "MESSAGE_ID": message,
                    **more,
                }
            )
            for at, message, more in self.records
            if since <= at < until
        ]
        return j.JournalRecords(j.parse("\n".join(found)))

    def own_lines(self, unit: str, pattern: str, *, since: float) -> j.LogLines:
        self.asked.append((unit, pattern, since))
        return j.LogLines(self.lines, since)


STARTED = (100.0, j.UNIT_STARTED, {"INVOCATION_ID": "i1", "JOB_TYPE": "start"})
STOPPED = (200.0, j.UNIT_STOPPED, {"INVOCATION_ID": "i1", "JOB_TYPE": "stop"})


def seen(state: str = "running", base: str = "running", active: str = "active", **more: t.Any) -> Observation:
    properties = {"ActiveState": active, "MainPID": "7" if active == "active" else "0", "Restart": "always"}
    properties["ActiveEnterTimestampMonotonic"] = str(100 * 10**6)
    return Observation(
        "cloudflared", UNIT, "cloudflared", state, base, facts=UnitFacts(UNIT, properties), observed_at=NOW, **more
    )


def history(journal: Journal, observed: Observation, kind: Kind | None) -> t.Any:
    return read_history(journal, observed, (Boot(BOOT, 0.0, NOW),), WINDOW, (), NOW, kind)


@pytest.mark.parametrize("kind", [None, Kind()])
def test_for_a_kind_that_adds_nothing_no_line_of_a_log_is_read(kind: Kind | None) -> None:
    journal = Journal(STARTED)
    assert history(journal, seen(), kind).seconds() == {"running": WINDOW}
    assert journal.asked == []


def test_nor_for_a_service_that_was_stopped_all_the_time() -> None:
    journal = Journal(STARTED, STOPPED)
    assert history(journal, seen("stopped", "stopped", "inactive"), Connector()).seconds() == {"stopped": WINDOW}
    assert journal.asked == []


def test_the_window_is_read_and_what_the_kind_needs_before_it() -> None:
    journal = Journal(STARTED)
    found = history(journal, seen(details={"connections": 4}), Connector())
    assert journal.asked == [(UNIT, ConnectorLogStates.pattern, NOW - WINDOW - 600.0)]
    assert (found.first, found.transitions, found.notes) == ("running", (), ())


def test_what_the_kind_has_observed_is_the_end_and_hides_nothing_of_before() -> None:
    """That no connection is left is no restart of systemd's, from whenever it is."""
    lost = [
        (9900.0 + n / 10, f"2026-08-14T12:00:00Z {'ERR' if n == 3 else 'WRN'} Connection terminated connIndex={n}")
        for n in range(4)
    ]
    observed = seen("reconnecting", "restarting", since=9900.3, details={"connections": 0})
    found = history(Journal(STARTED, lines=lost), observed, Connector())
    assert [(change.at, change.after, change.trigger) for change in found.transitions] == [
        (9900.0, "connected", "log"),
        (9900.3, "reconnecting", "log"),
    ]
    assert found.trouble_since() == 9900.3 and found.gaps == ()


def test_messages_that_were_dropped_of_this_service_end_what_is_known() -> None:
    def dropped(of: str) -> t.Any:
        message = {"MESSAGE": f"Suppressed 9 messages from {of}", "_TRANSPORT": "driver"}
        found = history(Journal(STARTED, (9800.0, j.JOURNAL_DROPPED, message)), observed, Connector())
        return found.seconds()

    observed = seen(details={"connections": 4})
    assert dropped("other.service") == {"running": WINDOW}
    assert dropped(UNIT)["unknown"] >= 60.0
