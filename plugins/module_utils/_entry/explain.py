# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Diagnoses an observation with the evidence on the host.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import (
    AUTO_RESTART,
    CRASH_LOOP,
    PAUSED,
    Observation,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import Diagnosis

_TROUBLED = (m.ERROR, m.RESTARTING)
# Causes that say nothing against the service itself.
_HARMLESS = (None, "probe_broken", "cleaning")
_NOT_FOUND = "unit_not_found"
# What a diagnosis may come to that says no more of a loop than that it is one.
_SAYS_NO_MORE = ("unknown", "crash_loop", "start_limit")


def explain(host: HostContext, watched: MonitoredService, observation: Observation) -> Diagnosis:
    """The diagnosis of the observed service."""
    # What diagnoses is a fifth of the code of an observation, and Python compiles it on each run: for trouble alone.
    from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import Diagnosis
    from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.failed_run import (
        FailedRun,
        forgotten_run,
        last_failed_run,
    )
    from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.gather import examine

    if observation.facts is None:
        return Diagnosis(notes=observation.reasons)
    troubled = observation.state in _TROUBLED or observation.cause not in _HARMLESS
    properties, failed = observation.facts.properties, FailedRun()
    # Between two tries systemd does not tell when it failed: each phase renews the moment of the last change.
    if observation.loops or observation.facts.sub in AUTO_RESTART:
        since = host.clock.wall() - watched.limits.thrash_window
        failed = last_failed_run(host.journal, watched.unit, since)
    elif observation.cause == _NOT_FOUND:
        # What it was is known to the journal alone, of this boot as that of a unit may be.
        failed = forgotten_run(host.journal, watched.unit, host.clock.wall() - host.clock.monotonic())
        properties = {**properties, "InvocationID": ""}
    found = examine(
        {**properties, **failed.properties},
        host.journal,
        show=host.systemd.properties,
        rules=watched.kind.causes(),
        paths=watched.kind.written_paths(properties),
        failing=troubled or None,
        probed=watched.health.ports if watched.health is not None else (),
        paused=observation.cause if observation.cause in PAUSED else "",
    )
    return replace(found, failed_at=failed.at)


def name_loop(host: HostContext, watched: MonitoredService, observation: Observation) -> Observation:
    """A crash loop with the cause of its last failed run, which is the same in each phase of the loop."""
    try:
        cause = explain(host, watched, observation).primary
    except LifecycleError as exc:
        return replace(observation, reasons=(*observation.reasons, exc.msg))
    if cause is None or cause.id in _SAYS_NO_MORE:
        return observation
    message = f"{cause.summary}: {cause.evidence[0]}" if cause.evidence else cause.summary
    reasons = (message, *(reason for reason in observation.reasons if reason != message))
    return replace(observation, cause=cause.id, reasons=reasons, flags=(*observation.flags, CRASH_LOOP))
