# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at services of every kind, with their probes, and says why something is wrong.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import Diagnosis
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.full_host_context import FullHostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.history import parse_window, read_history
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info import ServiceInfo
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.history import History, unreadable_history
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService


class FullServiceInfo(ServiceInfo):
    """Everything that can be known of a service."""

    def __init__(self) -> None:
        super().__init__(KINDS, FullHostContext)

    def _row(
        self,
        host: HostContext,
        watched: MonitoredService,
        seen: Observation,
        params: t.Mapping[str, t.Any],
        options: t.Mapping[str, t.Any],
    ) -> dict[str, t.Any]:
        row = super()._row(host, watched, seen, params, options)
        window = parse_window(options["history"])
        if window:
            row["history"] = self._history(host, seen, window).as_dict()
        wanted = options["diagnose"]
        if isinstance(host, FullHostContext) and (
            wanted == "always" or (wanted == "errors" and (seen.failed or seen.state in m.TROUBLED))
        ):
            row["diagnosis"] = self._why(host, watched, seen).as_dict()
        return row

    def _observe(
        self, described: t.Sequence[dict[str, t.Any]], options: t.Mapping[str, t.Any]
    ) -> list[dict[str, t.Any]]:
        parse_window(options["history"])  # refuse a wrong duration before any service is observed
        return super()._observe(described, options)

    def _history(self, host: HostContext, seen: Observation, window: float) -> History:
        now = host.clock.wall()
        try:
            attempts = host.ledger.attempts(seen.unit) if host.has_records() else ()
            return read_history(host.journal, seen, host.boots, window, attempts, now)
        except LifecycleError as exc:
            return unreadable_history(now - window, now, exc.msg)

    def _why(self, host: FullHostContext, watched: MonitoredService, seen: Observation) -> Diagnosis:
        try:
            return host.diagnose(watched, seen)
        except LifecycleError as exc:  # what is known of it and of the others is worth more than nothing
            return Diagnosis(notes=(exc.msg,))
