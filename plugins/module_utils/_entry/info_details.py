# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What service_info returns beyond an observation: the history of a service, and its diagnosis.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.explain import explain
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info import RowDetails
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import (
    RETRYING,
    Observation,
    in_own_try,
    of_last_run,
    unproved_time,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import Diagnosis
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.history import History


def requested_details(options: t.Mapping[str, t.Any]) -> RowDetails:
    """The details that the options request. Raises LifecycleError for a window that is no duration."""
    window, diagnose = _window(options["history"]), options["diagnose"]

    def details(host: HostContext, watched: MonitoredService, observed: Observation) -> dict[str, t.Any]:
        found: dict[str, t.Any] = {}
        if window:
            found["history"] = _history(host, watched, observed, window).as_dict()
            found["drills"] = _drills(host, observed, window)
        retries = observed.state != m.ERROR and in_own_try(observed, unproved_time(observed))
        if diagnose == "always" or (
            diagnose == "errors" and (observed.failed or observed.state in m.TROUBLED or retries)
        ):
            found.update(_why(host, watched, observed, retries))
        if options.get("staleness"):
            found["stale"] = _stale(host, watched, observed)
        # By it a later run tells a start that it goes on with from one that is none of its business.
        if options.get("staleness") or observed.state == m.STARTING:
            found["last_start"] = _last_start(host, observed)
        return found

    return details


def _window(duration: str) -> float:
    if duration == "never":
        return 0.0
    from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.history import parse_window

    return parse_window(duration)


def _history(host: HostContext, watched: MonitoredService, observed: Observation, window: float) -> History:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.history import read_history
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.history import unreadable_history

    now = host.clock.wall()
    try:
        attempts = host.ledger.attempts(observed.unit) if host.has_records() else ()
        return read_history(host.journal, observed, host.boots, window, attempts, now, watched.kind)
    except LifecycleError as exc:
        return unreadable_history(now - window, now, exc.msg)


def _drills(host: HostContext, observed: Observation, window: float) -> list[dict[str, t.Any]] | None:
    """The faults that were made on purpose within the window; None where their records cannot be read."""
    begin = host.clock.wall() - window
    try:
        made = host.ledger.drills(observed.unit) if host.has_records() else ()
    except LifecycleError:
        return None
    return [one.as_dict() for one in made if one.at >= begin]


def _diagnosis(host: HostContext, watched: MonitoredService, observed: Observation) -> Diagnosis:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import Diagnosis

    try:
        return explain(host, watched, observed)
    except LifecycleError as exc:  # what is known of it and of the others is worth more than nothing
        return Diagnosis(notes=(exc.msg,))


def _why(host: HostContext, watched: MonitoredService, observed: Observation, retries: bool) -> dict[str, t.Any]:
    """The diagnosis; of a try of systemd's own also that it must fail, where that is so.

    ``retries``: whether systemd tries again by itself. The cause is then that of the run before, in each phase.
    """
    if not retries:
        return {"diagnosis": _diagnosis(host, watched, observed).as_dict()}
    found = _diagnosis(host, watched, of_last_run(observed))
    if found.failed_at is None and observed.state not in m.TROUBLED:
        return {}  # the run that failed is older than what the journal was asked for
    why: dict[str, t.Any] = {"diagnosis": found.as_dict()}
    if found.primary is not None and found.primary.severity != "soft":
        why.update(cause=found.primary.id, flags=[*observed.flags, RETRYING])
    return why


def _stale(host: HostContext, watched: MonitoredService, observed: Observation) -> dict[str, t.Any]:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.staleness import staleness

    version = observed.details.get("version")
    known = version if isinstance(version, str) else ""
    return staleness(observed.facts, host.clock.wall(), config=watched.config, version=known).as_dict()


def _last_start(host: HostContext, observed: Observation) -> dict[str, t.Any] | None:
    """The last start that was made through this collection."""
    try:
        made = (
            [one for one in host.ledger.attempts(observed.unit) if one.action != "reset"] if host.has_records() else []
        )
    except LifecycleError:
        return None  # the row has the reason already
    if not made:
        return None
    last = made[-1]
    age = max(host.clock.wall() - last.at, 0.0)
    return {"at": round(last.at, 3), "age": round(age, 3), "owner": last.owner, "outcome": last.outcome}
