# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of Prometheus for the alerts of this collection. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

What has a threshold of its own for each service is compared with the
threshold that its host exports. An alert about a service takes its time from
a metric that says since when, and not from ``for``: a scrape that meets a
crash loop while it runs ends no alert.
"""

from __future__ import annotations

import re
import typing as t

import yaml

from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring import alerts as a
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring import families as f
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import ALERTS, RUNBOOK, Alert
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.families import Family

GROUP = "chainops-lifecycle"
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# One service of one host, as each of its metrics has it.
_SERVICE = "on (job, instance, service, kind)"


class AlertRuleError(ValueError):
    """A variable has an invalid value. The message names it."""


class AlertSettings(t.NamedTuple):
    """What a site may choose. ``thresholds``: by the identifier of the alert; ``labels``: added to every alert."""

    thresholds: t.Mapping[str, float]
    labels: t.Mapping[str, str]
    runbook: str = RUNBOOK
    min_replicas: int = 2


def _name(family: Family) -> str:
    return family.sample_name


def _elapsed(family: Family) -> str:
    """Seconds since the instant that a metric holds; nothing where it holds 0."""
    return f"(time() - ({_name(family)} > 0))"


def _threshold(alert: Alert) -> str:
    return f'{_SERVICE} group_left () {_name(f.ALERT_THRESHOLD)}{{alert="{alert.id}"}}'


def _in_state(*states: str) -> str:
    return f'{_SERVICE} ({_name(f.STATE)}{{state=~"{"|".join(states)}"}} == 1)'


def _unless(*conditions: str) -> str:
    return "".join(f"\nunless {_SERVICE} ({condition})" for condition in conditions)


_HELD = f"{_name(f.HOLD)} == 1"
_THRASHES = f"{_name(f.THRASHING_START)} > 0"
_STALLED = f"{_name(f.BESU_STALLED)} == 1"
_START_LASTS = f"{_elapsed(f.STARTING_START)} > {_threshold(a.START_OVERDUE)}"
# How many of the set have to agree (BftHelpers of Besu).
_QUORUM = f"ceil(2 * max by (chain) ({_name(f.BESU_VALIDATORS)}) / 3)"
_TAKES_PART = _name(f.BESU_TAKES_PART)
_LOST = f"{_name(f.TUNNEL_CONNECTIONS)} < {_SERVICE} group_left () {_name(f.TUNNEL_EXPECTED)}"


def _expressions(s: AlertSettings) -> dict[str, str]:
    limit = {key: _shown(value) for key, value in s.thresholds.items()}
    stalled = f"avg by (chain) ({_name(f.BESU_STALLED)}) > 0.5"
    late = _late(limit[a.METRICS_LATE.id])
    return {
        # The most telling one of the alerts about one trouble fires.
        a.IN_ERROR.id: f"{_elapsed(f.TROUBLE_START)} > {_threshold(a.IN_ERROR)}"
        + _unless(_THRASHES, _START_LASTS, _STALLED, _HELD),
        a.THRASHING.id: _THRASHES + _unless(_HELD),
        a.START_OVERDUE.id: _START_LASTS + _unless(_THRASHES, _HELD),
        a.STOP_OVERDUE.id: f"{_elapsed(f.STATE_START)} > {_threshold(a.STOP_OVERDUE)}\nand {_in_state('stopping')}"
        + _unless(_HELD),
        # Where no metric is new nothing is observed, and one alert for the host says so.
        # By the last run of the program: between two runs nothing is observed.
        a.NOT_OBSERVED.id: f"({_name(f.EXPORTER_TIME)} - on (job, instance) group_right () {_name(f.OBSERVED_AT)})"
        f" > {_threshold(a.NOT_OBSERVED)}" + _unless(_HELD) + f"\nunless on (job, instance) ({late})",
        a.STALLED.id: stalled,
        # By the blocks of the chain, so that validators which nobody here monitors count as well. A set that can miss
        # none by its size has nothing to lose.
        a.NO_MARGIN.id: f"max by (chain) ({_name(f.BESU_MAY_STOP)}) <= 0\n"
        f"and max by (chain) ({_name(f.BESU_VALIDATORS)}) > {_QUORUM}\n"
        f"unless {stalled}",
        a.LEFT_OUT.id: f"{_elapsed(f.STATE_START)} > {_threshold(a.LEFT_OUT)}\nand {_SERVICE} ({_TAKES_PART} == 0)\n"
        f"and {_in_state('running', 'synced', 'syncing')}" + _unless(_HELD),
        a.DISCONNECTED.id: f"{_elapsed(f.TUNNEL_DOWN_SINCE)} > {_threshold(a.DISCONNECTED)}" + _unless(_HELD),
        a.DEGRADED.id: f"{_elapsed(f.STATE_START)} > {_threshold(a.DEGRADED)}\n"
        f"and {_SERVICE} (({_LOST}) > 0)" + _unless(_HELD),
        a.FEW_REPLICAS.id: f'sum by (tunnel) ({_name(f.TUNNEL_CONNECTIONS)}{{tunnel!=""}} > bool 0) < {s.min_replicas}',
        a.EXHAUSTED.id: f"({_name(f.ATTEMPTS_LEFT)} <= {limit[a.EXHAUSTED.id]})\n"
        f"and {_SERVICE} ({_name(f.TROUBLE_START)} > 0)" + _unless(_HELD),
        a.HOLD_ENDING.id: f"({_name(f.HOLD_END)} - time()) < {limit[a.HOLD_ENDING.id]}\nand {_SERVICE} ({_HELD})",
        a.HOLD_FORGOTTEN.id: f"{_elapsed(f.HOLD_START)} > {limit[a.HOLD_FORGOTTEN.id]}\nand {_SERVICE} ({_HELD})"
        f"\nunless {_SERVICE} {_name(f.HOLD_END)}",
        a.METRICS_LATE.id: late,
        a.METRICS_FAILING.id: _failing(_duration(s.thresholds[a.METRICS_FAILING.id])),
    }


def _late(intervals: str) -> str:
    # The age when it was scraped, however often that is.
    written = _name(f.EXPORTER_TIME)
    return f"(timestamp({written}) - {written}) > on (job, instance) ({intervals} * {_name(f.EXPORTER_INTERVAL)})"


def _failing(window: str) -> str:
    errors = f"sum by (job, instance) (increase({_name(f.EXPORTER_ERRORS)}[{window}]))"
    return f"{errors} > 0\nor (node_textfile_scrape_error == 1 and on (job, instance) {_name(f.EXPORTER_TIME)})"


# Of these no metric says since when, so that Prometheus has to wait.
_WAITS = (a.STALLED.id, a.NO_MARGIN.id, a.FEW_REPLICAS.id)
_SUBJECTS = {
    a.SERVICE: "{{ $labels.service }} on {{ $labels.instance }}",
    a.CHAIN: "chain {{ $labels.chain }}",
    a.TUNNEL: "tunnel {{ $labels.tunnel }}",
    a.HOST: "{{ $labels.instance }}",
}
# The thresholds that a site sets for all its hosts; the others are options of each service.
SITE_THRESHOLDS: dict[str, float] = {alert.id: alert.default for alert in ALERTS if not alert.option}


def rules_text(thresholds: t.Any = None, labels: t.Any = None, runbook: str = "", min_replicas: t.Any = 2) -> str:
    """A rule file as YAML text, of the options as a user gives them. Raises AlertRuleError naming what is wrong.

    ``thresholds``: those of SITE_THRESHOLDS that differ; ``runbook``: where the runbook is.
    """
    if isinstance(min_replicas, bool) or not isinstance(min_replicas, int) or min_replicas < 1:
        raise AlertRuleError(f"min_replicas: {min_replicas!r} is no number above 0; give one, such as 2")
    settings = AlertSettings(
        _thresholds(_mapping("thresholds", thresholds)),
        _labels(_mapping("labels", labels)),
        str(runbook or RUNBOOK),
        min_replicas,
    )
    return yaml.dump(make_rules(settings), Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def _mapping(option: str, value: t.Any) -> t.Mapping[str, t.Any]:
    if value is not None and not isinstance(value, t.Mapping):
        raise AlertRuleError(f"{option}: {type(value).__name__} found; give a dictionary")
    return value or {}


class _Dumper(yaml.SafeDumper):
    """Writes an expression of several lines as such, and indents lists."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def make_rules(settings: AlertSettings) -> dict[str, t.Any]:
    """The content of a rule file."""
    expressions = _expressions(settings)
    return {"groups": [{"name": GROUP, "rules": [_rule(alert, expressions[alert.id], settings) for alert in ALERTS]}]}


def _rule(alert: Alert, expression: str, settings: AlertSettings) -> dict[str, t.Any]:
    rule: dict[str, t.Any] = {"alert": alert.rule_name, "expr": expression}
    if alert.id in _WAITS:
        rule["for"] = _duration(settings.thresholds[alert.id])
    rule["labels"] = {**settings.labels, "severity": alert.severity, "alert_id": alert.id}
    rule["annotations"] = {
        "summary": f"{_SUBJECTS[alert.subject]}: {alert.summary}",
        "description": f"{alert.description} Next: {alert.next_step}",
        "runbook_url": alert.runbook(settings.runbook),
    }
    return rule


def _thresholds(given: t.Mapping[str, t.Any]) -> dict[str, float]:
    found = dict(SITE_THRESHOLDS)
    for name, value in given.items():
        if name not in found:
            of_service = next((alert.option for alert in ALERTS if alert.id == name), "")
            hint = f"set the option {of_service} of a service" if of_service else f"give one of {', '.join(found)}"
            raise AlertRuleError(f"thresholds.{name}: no threshold of a site; {hint}")
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = -1.0
        if isinstance(value, bool) or not (0 < number < float("inf") or (number == 0 and found[name] == 0)):
            raise AlertRuleError(f"thresholds.{name}: {value!r} is no number above 0; give one, such as 300")
        found[name] = number
    return found


def _labels(given: t.Mapping[str, t.Any]) -> dict[str, str]:
    taken = sorted({"severity", "alert_id", "alertname"} & set(given))
    if taken:
        raise AlertRuleError(f"labels.{taken[0]}: the alerts set this label themselves; choose another name")
    for name in given:
        if not _LABEL.fullmatch(str(name)):
            raise AlertRuleError(f"labels.{name}: no name of a label; use letters, digits and underscores")
    return {str(name): str(value) for name, value in given.items()}


def _shown(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _duration(seconds: float) -> str:
    """A duration of Prometheus, which are whole numbers."""
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{max(round(seconds * 1000), 1)}ms"
