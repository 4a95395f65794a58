# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of this collection. NAME.yml documents the filter NAME.

They are in one file because a process that needs one filter of a collection looks into each file of filters there, and
Ansible has a process for each task of each host.
"""

from __future__ import annotations

import functools
import time
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import (
    _approved_plan,
    _besu_networks,
    _drills,
    _fleet,
    _outcomes,
    _parallel_recovery,
    _playbook_vars,
    _recovery_plan,
    _recovery_steps,
    _regressions,
    _replica_reservation,
    _reports,
    _reservation,
    _reservation_round,
    _restart_all_check,
    _restart_all_stage,
    _rolling_plan,
    _rolling_report,
    _service_entry,
    _services_to_recover,
    _sync_report,
    _tunnel_plan,
    _tunnel_report,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._alert_rules import AlertRuleError, rules_text
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._chain_report import chain_lines
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import WIDTH


def _filter(function: t.Callable[..., t.Any], *names: str) -> t.Callable[..., t.Any]:
    """The filter ``function`` whose arguments ``names`` hold what hosts returned; wrong input fails the task."""

    @functools.wraps(function)
    def run(*args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            return function(*args, **kwargs)
        except FleetError as exc:
            raise AnsibleFilterError(str(exc)) from exc

    return from_hosts(run, *names)


def _alert_rules(thresholds: t.Any, labels: t.Any = None, runbook: str = "", min_replicas: t.Any = 2) -> str:
    try:
        return rules_text(thresholds, labels or {}, runbook, min_replicas)
    except AlertRuleError as exc:
        raise AnsibleFilterError(f"alert_rules: {exc}") from exc


def _besu_network(network_info: t.Any, genesis: str | None = None) -> dict[str, t.Any]:
    return dict(_besu_networks.find_network(network_info, genesis) or {})


def _drill_result(
    fault: t.Any, recovery: t.Any, ended: t.Any, again: t.Any = None, check_mode: bool = False, refused: str = ""
) -> t.Any:
    found = _drills.drill_result(fault, recovery, ended, again, check_mode, refused)
    return {**found, "lines": _drills.result_lines(found)}


def _fleet_status(
    observed: t.Any, described: t.Any = None, network_info: t.Any = None, width: int = WIDTH
) -> list[str]:
    chain = chain_lines(_fleet.read_fleet(observed, described), network_info or {})
    return _reports.status_lines(observed, described, width) + (["", *chain] if chain else [])


def _plan_document(plan: t.Any, settings: t.Any) -> dict[str, t.Any]:
    make = _approved_plan.restart_document if "run" in plan else _approved_plan.plan_document
    made = make(plan, settings, time.time())
    return {"document": made, "lines": _approved_plan.document_lines(made, settings["lifecycle_plan_max_age"])}


def _make_recovery_plan(
    observed: t.Any,
    described: t.Any,
    max_unhealthy: t.Any = "50%",
    network_info: t.Any = None,
    quorum_lost: str = "refuse",
    dry_runs: t.Any = None,
    width: int = WIDTH,
    approved: t.Any = None,
    has_fixes: bool = True,
    **pacing: t.Any,
) -> dict[str, t.Any]:
    plan = _approved_plan.ApprovedPlan.from_dict(approved) if approved else None
    pace = _recovery_plan.Pacing(**pacing)
    return _recovery_plan.recovery_plan(
        observed, described, max_unhealthy, network_info, quorum_lost, dry_runs, width, pace, plan, has_fixes
    )


def _recovery_summary(
    results: t.Any,
    plan: t.Any = None,
    check_mode: bool = False,
    width: int = WIDTH,
    regressions: t.Any = (),
    observed: t.Any = None,
) -> dict[str, t.Any]:
    plan = plan or {"due": [host for host, done in results.items() if done], "rows": []}
    entries = _reports.recovery_entries(results, plan, regressions, observed)
    return {
        "lines": _reports.summary_lines(results, plan, width, regressions, observed),
        "outcome": _outcomes.artifact("recover", entries, check_mode),
        "bad": _reports.bad_hosts(entries, plan),
        "failure": _reports.failure(results),
        "failed": [entry.key for entry in entries if entry.outcome in (_outcomes.REFUSED, _outcomes.FAILED)],
    }


def _reservation_plan(
    network_info: t.Any,
    host: str,
    genesis: str | None = None,
    address: str | None = None,
    owner: str = "",
    number: int = 0,
    tries: int = 0,
) -> dict[str, t.Any]:
    plan = _besu_networks.reservation(network_info, host, genesis or None, address or None)
    return {**plan, "requests": _reservation_round.requests(plan, owner, host, number, tries)}


def _make_rolling_plan(
    observed: t.Any,
    described: t.Any,
    settings: t.Any,
    now: float,
    dry_runs: t.Any = None,
    width: int = WIDTH,
    domains: t.Any = None,
    approved: t.Any = None,
) -> dict[str, t.Any]:
    plan = _approved_plan.ApprovedPlan.from_dict(approved) if approved else None
    return _rolling_plan.rolling_plan(observed, described, settings, float(now), dry_runs, width, domains, plan)


def _rolling_summary(results: t.Any, plan: t.Any = None, check_mode: bool = False) -> dict[str, t.Any]:
    if plan:
        return _rolling_report.rolling_summary(results, plan, check_mode)
    return _rolling_report.without_plan(results)


def _services_observed(observed: t.Any, described: t.Any = None) -> int:
    return sum(row.verdict != _fleet.UNKNOWN for row in _fleet.read_fleet(observed, described))


def _services_to_restart(
    observed: t.Any, described: t.Any, labels: t.Any = None, hooks: t.Any = None, expected: t.Any = None
) -> list[dict[str, t.Any]]:
    if not isinstance(observed, t.Mapping) or "services" not in observed:
        return []
    return _rolling_plan.services_to_restart(observed, described, labels, hooks, expected)


def _valid_services(described: t.Any) -> list[t.Any]:
    return _service_entry.split_entries(described)[0]


_FILTERS = {
    "alert_rules": _filter(_alert_rules, "thresholds", "labels", "runbook"),
    "approved_services": _filter(_approved_plan.approved_services, "acts"),
    "besu_endpoints": _filter(_besu_networks.endpoints, "observed", "network_info"),
    "besu_network": _filter(_besu_network, "network_info", "genesis"),
    "drill_plan": _filter(_drills.drill_plan, "observed"),
    "drill_result": _filter(_drill_result, "fault", "recovery", "ended", "again", "refused"),
    "drill_summary": _filter(_drills.drill_summary, "result", "plan"),
    "drive_calls": _filter(_parallel_recovery.drive_calls, "observed", "network_info"),
    "drive_options": _filter(_recovery_steps.drive_options, "done", "reservation"),
    "fleet_status": _filter(_fleet_status, "observed", "network_info"),
    "host_pattern": _filter(_playbook_vars.host_pattern),
    "parallel_recovery_result": _filter(_parallel_recovery.parallel_recovery_result, "run", "done"),
    "plan_document": _filter(_plan_document, "plan", "settings"),
    "recovery_harm": _filter(_reports.harm, "results", "plan", "regressions"),
    "recovery_plan": _filter(_make_recovery_plan, "observed", "network_info", "dry_runs"),
    "recovery_result": _filter(_recovery_steps.recovery_result, "service", "result", "done", "network", "network_info"),
    "recovery_summary": _filter(_recovery_summary, "results", "plan", "regressions", "observed"),
    "regressed_services": _filter(_regressions.regressed_services, "observed", "plan", "results"),
    "replica_reasons": _filter(_replica_reservation.replica_reasons, "runs", "refused"),
    "replica_requests": _filter(_replica_reservation.replica_requests, "turns", "plan"),
    "reservation_continues": _filter(_reservation.continues, "previous"),
    "reservation_plan": _filter(_reservation_plan, "network_info", "genesis", "address"),
    "reservation_result": _filter(_reservation.reservation_result, "results", "before"),
    "reservation_state": _filter(_reservation.reservation_state, "result", "run"),
    "restart_all_check": _filter(_restart_all_check.turns, "chains"),
    "restart_all_stage": _filter(_restart_all_stage.stage, "network_info", "so_far"),
    "restart_result": _filter(_rolling_report.rolling_result, "service", "done"),
    "rolling_plan": _filter(_make_rolling_plan, "observed", "dry_runs"),
    "rolling_summary": _filter(_rolling_summary, "results", "plan"),
    "services_not_observed": _filter(_recovery_steps.not_observed, "observed"),
    "services_observed": _filter(_services_observed, "observed"),
    "services_to_recover": _filter(_services_to_recover.services_to_recover, "observed"),
    "services_to_restart": _filter(_services_to_restart, "observed"),
    "sync_summary": _filter(_sync_report.sync_summary, "results"),
    "tunnel_plan": _filter(_tunnel_plan.tunnel_plan, "observed", "edge", "done"),
    "tunnel_summary": _filter(_tunnel_report.tunnel_summary, "plan", "results", "after", "edge"),
    "valid_services": _filter(_valid_services),
}


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return _FILTERS
