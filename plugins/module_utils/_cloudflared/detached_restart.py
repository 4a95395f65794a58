# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detached restart via systemd-run, for a connector that carries Ansible's own SSH connection.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

A timer of systemd's own makes the restart when this run has given its answer,
so that the controller gets the answer before the tunnel goes. The record in
the ledger is written before; the next run compares it with what it sees.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import CONNECTED
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import manager_environment
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Attempt

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, Runner
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Records
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Outcome, Request

ACTION = "hand_over"
# Seconds that the answer has to reach the controller.
DELAY = 5.0
# Seconds after which a restart that left no trace has failed.
_LIMIT = 300.0
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Handover:
    """A restart that was left to the host. ``outcome``: pending, verified or failed."""

    at: float
    before: str
    outcome: str

    def as_dict(self) -> dict[str, t.Any]:
        return {"at": round(self.at, 3), "invocation_before": self.before, "outcome": self.outcome}


def is_needed(outcome: Outcome, request: Request) -> bool:
    """Whether only the guard own_tunnel refuses a restart."""
    blocks = outcome.blocked_by
    only = bool(blocks) and all(block.guard == "own_tunnel" for block in blocks)
    return outcome.failed and only and request.target not in (m.STOPPED, "reset")


def schedule_restart(
    unit: str, user: bool, observation: Observation, owner: str, ledger: Records, clock: Clock, run: Runner
) -> Handover:
    """Schedule a restart of the unit by systemd in a few seconds. Raises LifecycleError if systemd refuses."""
    facts = observation.facts
    before = facts.invocation if facts is not None else ""
    recovery = observation.state == m.ERROR
    now = clock.wall()
    ledger.begin(unit, Attempt(now, ACTION, recovery, before, observation.cause, owner))
    scope = ["--user"] if user else []
    done = run(
        [
            *(
                "systemd-run",
                *scope,
                "--quiet",
                "--collect",
                f"--unit=chainops-lifecycle-{re.sub(r'[^A-Za-z0-9_.-]', '_', unit)}",
            ),
            *(
                f"--on-active={DELAY:.0f}",
                "--timer-property=AccuracySec=100ms",
                f"--description=Restart {unit} (handed over)",
            ),
            *("systemctl", *scope, "--no-block", "--job-mode=fail", "restart", "--", unit),
        ],
        timeout=_TIMEOUT,
        env=manager_environment(user),
    )
    if done.rc != 0:
        ledger.finish(unit, "failed")
        message = "systemd-run was not found" if done.not_found else sanitize(" ".join(done.err.split()), 300)
        raise LifecycleError(f"{unit}: its restart could not be handed over to the host: {message}")
    return Handover(now, before, "pending")


def pending(unit: str, ledger: Records, clock: Clock) -> Attempt | None:
    """The restart that was handed over last, if nothing was done after it and it is not long ago."""
    attempts = ledger.attempts(unit)
    recent = attempts and attempts[-1].action == ACTION and clock.wall() - attempts[-1].at < 2 * _LIMIT
    return attempts[-1] if recent else None


def outcome_of(attempt: Attempt, after: Observation, clock: Clock) -> Handover:
    """The outcome of the restart. Pure except for the time."""
    facts = after.facts
    renewed = facts is not None and facts.invocation not in ("", attempt.before)
    if renewed and after.state in (CONNECTED, m.RUNNING):
        word = "verified"
    else:
        word = "pending" if clock.wall() - attempt.at < _LIMIT and after.state != m.ERROR else "failed"
    return Handover(attempt.at, attempt.before, word)
