# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services of a host the role service_recovery drives in one task, and what it keeps of their results. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._besu_networks import endpoints
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._recovery_steps import drive_options, recovery_result
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import as_mapping, as_mappings, as_texts

_WITHOUT_MODULE = ("service", "service_drive")

Need = t.Mapping[str, t.Any]


def goes_alone(need: Need) -> bool:
    """Whether a service is recovered alone: its kind depends on other hosts, or it has fixes that are tasks."""
    kind, fixes = KINDS.get(str(need.get("kind"))), as_mapping(need.get("fixes"))
    has_tasks = any(fixes.get(name) for name in ("hooks", "dependencies", "free_journal_space", "files"))
    return has_tasks or kind is None or kind.module not in _WITHOUT_MODULE


def parallel_needs(needs: t.Sequence[Need]) -> list[Need]:
    """The services that one task drives: those without steps of their own that depend on none with such steps."""
    alone = {str(need["name"]) for need in needs if goes_alone(need)}
    while True:
        behind = {str(need["name"]) for need in needs if alone & set(as_texts(need.get("depends_on")))}
        if behind <= alone:
            return [need for need in needs if need["name"] not in alone]
        alone |= behind


def drive_calls(
    needs: t.Sequence[Need],
    settings: t.Mapping[str, t.Any],
    done: t.Collection[str] = (),
    dry_run: bool = False,
    everyone: bool = False,
    host: str = "",
    described: t.Mapping[str, t.Any] | None = None,
    observed: t.Mapping[str, t.Any] | None = None,
    network_info: t.Mapping[str, t.Any] | None = None,
) -> list[dict[str, t.Any]]:
    """The ``services`` of service_drive_all for those of ``needs`` that go together, or for all of them.

    ``done``: the labels of those that are recovered already. ``described``,
    ``observed`` and ``network_info`` as in ``endpoints``, for what a Besu node compares
    itself with.
    """
    chosen = needs if everyone else parallel_needs(needs)
    calls = []
    for need in chosen:
        if need["label"] in done:
            continue
        own = dict(settings)
        if need.get("kind") == "besu":
            others = endpoints(described or {}, observed, host, str(need["name"]), network_info, certain=True)[1:]
            own["reference_urls"] = [other["url"] for other in others]
        calls.append(drive_options(need, own, dry_run=dry_run))
    return calls


def parallel_recovery_result(
    needs: t.Sequence[Need], run: t.Any, done: t.Sequence[t.Mapping[str, t.Any]] = (), check_mode: bool = False
) -> dict[str, t.Any]:
    """The entries of service_recovery_result after the task, in ``results``, and the labels of who is ``left``.

    ``run``: what service_drive_all returned; ``done``: the results before. One
    that was refused for want of another, which is still to come, comes again after that.
    """
    before = {result.get("label") for result in done}
    paired = _paired([need for need in parallel_needs(needs) if need["label"] not in before], as_mapping(run))
    chosen_labels = {need["label"] for need, _result in paired}
    alone = [need for need in needs if need["label"] not in {*before, *chosen_labels}]
    again = [need for need, result in paired if alone and _waits_for_another(result)]
    labels = {need["label"] for need in again}
    results = [
        recovery_result(need, result, check_mode=check_mode) for need, result in paired if need["label"] not in labels
    ]
    left = [need["label"] for need in [*alone, *again]]
    return {"results": [*done, *results], "left": left}


def _paired(chosen: t.Sequence[Need], run: t.Mapping[str, t.Any]) -> list[tuple[Need, t.Mapping[str, t.Any]]]:
    """Each service with its result; without results of its own, what became of the task is that of each."""
    if not run or run.get("skipped"):
        return []
    found = as_mappings(run.get("results")) or [run] * len(chosen)
    return list(zip(chosen, found, strict=False))


def _waits_for_another(result: t.Mapping[str, t.Any]) -> bool:
    guards = {block.get("guard") for block in as_mappings(result.get("blocked_by"))}
    return not result.get("changed") and "dependency" in guards
