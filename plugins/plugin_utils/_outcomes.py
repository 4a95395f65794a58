# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How services ended in a run, in the identifiers and the shape that all playbooks share. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

The shape is public: docs/schemas/lifecycle_outcome.json describes it, and a
change that breaks a reader raises SCHEMA_VERSION.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import ServiceResult
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import one_line

SCHEMA_VERSION = 1

RECOVERED = "recovered"
SELF_RECOVERED = "self_recovered"
RESTARTED = "restarted"
SYNCED = "synced"
HEALTHY = "healthy"
PLANNED = "planned"
RESTART_SCHEDULED = "restart_scheduled"
SKIPPED = "skipped"
TRANSITIONING = "transitioning"
NOT_ATTEMPTED = "not_attempted"
REFUSED = "refused"
FAILED = "failed"
UNKNOWN = "unknown"

MEANING: t.Mapping[str, str] = {
    RECOVERED: "it was acted on, and its desired state was proved",
    SELF_RECOVERED: "it needed recovery, and reached its desired state before anything was done",
    RESTARTED: "it was healthy and was restarted as asked, and its desired state was proved",
    SYNCED: "it reached the state that was waited for",
    HEALTHY: "it was in its desired state from the start; it is counted, and has no entry",
    PLANNED: "check mode: the run would act on it",
    RESTART_SCHEDULED: "its host restarts it after this run, because it carries Ansible's own connection",
    SKIPPED: "it was left as it is on purpose: it is held, or described as stopped",
    TRANSITIONING: "it was on its way to its desired state by itself, and the run did not wait for it",
    REFUSED: "a guard refused, and nothing was done to it",
    FAILED: "its desired state was not reached",
    NOT_ATTEMPTED: "it needs recovery, but the run ended before its turn",
    UNKNOWN: "it could not be observed, so nothing was done to it",
}
# What a run must not end well with.
BAD = (REFUSED, FAILED, UNKNOWN, NOT_ATTEMPTED)

_MAX_REASON = 300


@dataclass(frozen=True)
class OutcomeEntry:
    """How one service ended. ``service`` is empty where the whole host is meant; ``guard``: which one refused."""

    host: str
    service: str
    kind: str
    outcome: str
    reason: str = ""
    guard: str = ""

    @property
    def key(self) -> str:
        return f"{self.host}/{self.service}" if self.service else self.host

    def as_dict(self) -> dict[str, str | None]:
        return {
            "host": self.host,
            "service": self.service or None,
            "kind": self.kind or None,
            "outcome": self.outcome,
            "reason": one_line(self.reason, _MAX_REASON) or None,
            "guard": self.guard or None,
        }


def artifact(playbook: str, entries: t.Sequence[OutcomeEntry], check_mode: bool = False) -> dict[str, t.Any]:
    """The variable ``lifecycle_outcome``: an entry for each service that is not healthy, and the counts of all."""
    return {
        "version": SCHEMA_VERSION,
        "playbook": playbook,
        "check_mode": check_mode,
        "counts": {outcome: sum(entry.outcome == outcome for entry in entries) for outcome in MEANING},
        "entries": [entry.as_dict() for entry in entries if entry.outcome != HEALTHY],
    }


def counted(entries: t.Sequence[OutcomeEntry]) -> str:
    """The counts for a line of text, such as ``2 recovered, 1 refused``."""
    counts = {outcome: sum(entry.outcome == outcome for entry in entries) for outcome in MEANING}
    return ", ".join(f"{count} {shown(outcome)}" for outcome, count in counts.items() if count)


def shown(outcome: str) -> str:
    """An outcome as text for people."""
    return outcome.replace("_", " ")


def outcome_of(result: ServiceResult) -> str:
    """The outcome that a module's result means."""
    if not result.observed:
        return UNKNOWN
    if result.reached:
        if result.is_planned:
            return PLANNED
        return RECOVERED if result.changed else SELF_RECOVERED
    return REFUSED if result.is_refused else FAILED


def entry_of(host: str, result: ServiceResult, outcome: str | None = None) -> OutcomeEntry:
    """The entry of a result."""
    word = outcome or outcome_of(result)
    service = "" if result.name == "-" else result.name
    if word not in BAD:
        state = result.after.state if result.after else result.state
        return OutcomeEntry(host, service, result.kind, word, state)
    refusal = next(iter(result.refusals), None)
    reason = refusal.reason if refusal and refusal.reason else result.msg or "no reason given"
    return OutcomeEntry(host, service, result.kind, word, reason, refusal.guard if refusal else "")
