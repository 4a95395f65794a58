# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alert rules, evaluated by Prometheus' own promtool: each alert fires, does not fire, and at its threshold.

A case is a row of metrics and the whole set of alerts that fire, so that it also shows that one trouble is one alert.
"""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import ALERTS, Alert, thresholds_of
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._alert_rules import AlertRuleError, rules_text

BY_ID = {alert.id: alert for alert in ALERTS}
# The instant at which the rules are looked at, and that of a start which is exactly so long ago, in seconds.
NOW, STEP = 99_000, 300
LAST = NOW // STEP
HOST = {"job": "node", "instance": "h1"}
API = {**HOST, "service": "api", "kind": "generic"}
Series = tuple[str, dict[str, str], t.Any]


def ago(seconds: float) -> float:
    return NOW - seconds


def row(family: str, value: t.Any, labels: t.Mapping[str, str] = API, **more: str) -> Series:
    return f"chainops_{family}", {**labels, **more}, value


def service(labels: t.Mapping[str, str] = API, state: str = "running", **values: t.Any) -> list[Series]:
    """A service that runs well, but for the given values."""
    given = {
        "state_start_time_seconds": ago(50_000),
        "trouble_start_time_seconds": 0.0,
        "thrashing_start_time_seconds": 0.0,
        "starting_start_time_seconds": 0.0,
        "observation_time_seconds": ago(10),
        "attempts_left": 3.0,
        "hold": 0.0,
        **values,
    }
    states = ("stopped", "starting", "running", "stopping", "error", "restarting", "unknown", "synced", "consensus")
    return [
        *(row(f"service_{name}", value, labels) for name, value in given.items()),
        *(row("service_state", float(one == state), labels, state=one) for one in states),
        *(
            row("service_alert_threshold_seconds", value, labels, alert=name)
            for name, value in thresholds_of({}).items()
        ),
    ]


def exporter(instance: str = "h1", last: float = 10, interval: float = 15) -> list[Series]:
    host = {"job": "node", "instance": instance}
    return [
        row("exporter_last_run_time_seconds", ago(last), host),
        row("exporter_interval_seconds", interval, host),
        row("exporter_runs_total", 5000.0, host),
    ]


def validators(may_stop: int, size: int, stalled: float = 0.0, behind: int = 0) -> list[Series]:
    """Two nodes of a chain, which see how many of the set may stop; one of them sees ``behind`` fewer."""
    found: list[Series] = []
    for number, seen in enumerate((may_stop, may_stop - behind)):
        labels = {"job": "node", "instance": f"v{number}", "service": "besu", "kind": "besu"}
        chain = {**labels, "chain": "0xabc"}
        found += service(labels, "consensus")
        found.append(row("besu_validators", float(size), chain))
        found.append(row("besu_validators_may_stop", float(seen), chain))
        found.append(row("besu_chain_stalled", stalled, chain))
    return found


def connector(
    connections: float, *, down_for: float = 0, since: float = 50_000, host: str = "h1", **values: float
) -> list[Series]:
    labels = {"job": "node", "instance": host, "service": "cloudflared", "kind": "cloudflared"}
    tunnel = {**labels, "tunnel": "t1"}
    return [
        *service(labels, "running", state_start_time_seconds=ago(since), **values),
        row("tunnel_connections", connections, tunnel),
        row("tunnel_expected_connections", 4.0, tunnel),
        row("tunnel_disconnected_start_time_seconds", ago(down_for) if down_for else 0.0, tunnel),
    ]


def left_out(since: float, state: str = "running") -> list[Series]:
    labels = {**HOST, "service": "besu", "kind": "besu"}
    return [
        *service(labels, state, state_start_time_seconds=ago(since)),
        row("besu_takes_part", 0.0, labels, chain="0xabc"),
    ]


def errors(values: str) -> list[Series]:
    return [*exporter(), row("exporter_errors_total", values, HOST, step="state")]


def trouble(seconds: float, **values: t.Any) -> list[Series]:
    return service(state="error", trouble_start_time_seconds=ago(seconds), **values)


def held(**values: float) -> list[Series]:
    return service(API, "running", **{**HELD, **values})


def replica(connections: t.Any) -> list[Series]:
    return connector(connections, host="h2")


HELD: dict[str, t.Any] = {"hold": 1.0, "hold_start_time_seconds": 50_000.0, "hold_expiry_time_seconds": NOW + 5000.0}
SERVING = [*connector(4.0), *replica(4.0)]

# Alert, what the case is, its metrics, the identifiers of all alerts that fire.
CASES: list[tuple[str, str, list[Series], set[str]]] = [
    ("in_error", "fires", trouble(4000), {"in_error"}),
    ("in_error", "a crash loop that is met running", service(trouble_start_time_seconds=ago(4000)), {"in_error"}),
    ("in_error", "not while held", trouble(4000, **HELD), set()),
    ("in_error", "not for a restart on purpose", service(state="restarting", state_start_time_seconds=ago(4000)), set()),
    ("in_error", "edge: exactly", trouble(300), set()),
    ("in_error", "edge: past", trouble(301), {"in_error"}),
    ("thrashing", "fires alone", trouble(4000, thrashing_start_time_seconds=ago(3900)), {"thrashing"}),
    ("thrashing", "met running", service(thrashing_start_time_seconds=ago(1)), {"thrashing"}),
    ("thrashing", "not while held", trouble(4000, thrashing_start_time_seconds=ago(3900), **HELD), set()),
    ("thrashing", "edge: not yet", trouble(10, thrashing_start_time_seconds=0.0), set()),
    ("start_overdue", "fires", service(state="starting", starting_start_time_seconds=ago(4000)), {"start_overdue"}),
    ("start_overdue", "as an error, alone", trouble(4000, starting_start_time_seconds=ago(4000)), {"start_overdue"}),
    ("start_overdue", "a Besu that syncs", service(state="syncing", state_start_time_seconds=ago(90_000)), set()),
    ("start_overdue", "edge: exactly", service(state="starting", starting_start_time_seconds=ago(600)), set()),
    ("start_overdue", "edge: past", service(state="starting", starting_start_time_seconds=ago(601)), {"start_overdue"}),
    ("stop_overdue", "fires", service(state="stopping", state_start_time_seconds=ago(4000)), {"stop_overdue"}),
    ("stop_overdue", "not when stopped", service(state="stopped", state_start_time_seconds=ago(4000)), set()),
    ("stop_overdue", "edge: exactly", service(state="stopping", state_start_time_seconds=ago(120)), set()),
    ("stop_overdue", "edge: past", service(state="stopping", state_start_time_seconds=ago(121)), {"stop_overdue"}),
    ("not_observed", "fires", [*service(observation_time_seconds=ago(4000)), *exporter()], {"not_observed"}),
    (
        "not_observed",
        "not where the metrics are old",
        [*service(observation_time_seconds=ago(4000)), *exporter(last=4000)],
        {"metrics_late"},
    ),
    ("not_observed", "never observed at all", [*service(observation_time_seconds=0.0), *exporter()], {"not_observed"}),
    (
        "not_observed",
        "not between two runs that are far apart",
        [*service(observation_time_seconds=ago(599)), *exporter(last=599, interval=600)],
        set(),
    ),
    ("not_observed", "edge: exactly", [*service(observation_time_seconds=ago(310)), *exporter(last=10)], set()),
    ("not_observed", "edge: past", [*service(observation_time_seconds=ago(311)), *exporter(last=10)], {"not_observed"}),
    ("chain_stalled", "fires alone", validators(0, 4, stalled=1.0), {"chain_stalled"}),
    ("chain_stalled", "not where one node of three says so", [
        *validators(1, 4),
        row("besu_chain_stalled", 1.0, {**HOST, "service": "rpc", "kind": "besu"}, chain="0xabc"),
    ], set()),
    ("chain_stalled", "edge: half of them", [
        row("besu_chain_stalled", 1.0, API, chain="c"),
        row("besu_chain_stalled", 0.0, {**API, "instance": "h2"}, chain="c"),
    ], set()),
    ("chain_stalled", "edge: not for as long", [row("besu_chain_stalled", f"0x{LAST - 1} 1", API, chain="c")], set()),
    ("no_validator_may_stop", "fires", validators(0, 4), {"no_validator_may_stop"}),
    ("no_validator_may_stop", "fires below the quorum", validators(-1, 7), {"no_validator_may_stop"}),
    ("no_validator_may_stop", "not where a node is behind", validators(1, 4, behind=1), set()),
    ("no_validator_may_stop", "not for a set that needs all", validators(0, 2), set()),
    ("no_validator_may_stop", "edge: one more may", validators(1, 4), set()),
    ("no_validator_may_stop", "edge: not for as long", [
        row("besu_validators", 4.0, API, chain="c"), row("besu_validators_may_stop", f"1x{LAST - 1} 0", API, chain="c"),
    ], set()),
    ("validator_left_out", "fires", left_out(4000), {"validator_left_out"}),
    ("validator_left_out", "not in error", left_out(4000, "error"), set()),
    ("validator_left_out", "edge: exactly", left_out(600), set()),
    ("validator_left_out", "edge: past", left_out(601), {"validator_left_out"}),
    ("tunnel_disconnected", "fires", [
        *connector(0.0, down_for=4000), *replica(4.0), *connector(4.0, host="h3"),
    ], {"tunnel_disconnected"}),
    ("tunnel_disconnected", "not while held", [
        *connector(0.0, down_for=4000, **HELD), *replica(4.0), *connector(4.0, host="h3"),
    ], set()),
    ("tunnel_disconnected", "edge: exactly", [
        *connector(0.0, down_for=120, since=120), *replica(4.0), *connector(4.0, host="h3"),
    ], set()),
    ("tunnel_disconnected", "edge: past", [
        *connector(0.0, down_for=121, since=121), *replica(4.0), *connector(4.0, host="h3"),
    ], {"tunnel_disconnected"}),
    ("tunnel_degraded", "fires", [*connector(3.0, since=4000), *replica(4.0)], {"tunnel_degraded"}),
    ("tunnel_degraded", "not with all connections", SERVING, set()),
    ("tunnel_degraded", "edge: exactly", [*connector(3.0, since=600), *replica(4.0)], set()),
    ("tunnel_degraded", "edge: past", [*connector(3.0, since=601), *replica(4.0)], {"tunnel_degraded"}),
    ("tunnel_replicas_low", "fires", connector(4.0), {"tunnel_replicas_low"}),
    ("tunnel_replicas_low", "not for a connector of no known tunnel", [
        row("tunnel_connections", 4.0, API, tunnel=""),
    ], set()),
    ("tunnel_replicas_low", "edge: two", SERVING, set()),
    ("tunnel_replicas_low", "edge: not for as long", [*connector(4.0), *replica(f"4x{LAST - 1} 0")], set()),
    ("attempts_exhausted", "fires", trouble(10, attempts_left=0.0), {"attempts_exhausted"}),
    ("attempts_exhausted", "not when it runs again", service(attempts_left=0.0), set()),
    ("attempts_exhausted", "edge: one left", trouble(10, attempts_left=1.0), set()),
    ("hold_ending", "fires", held(hold_expiry_time_seconds=NOW + 10.0), {"hold_ending"}),
    ("hold_ending", "not long before", held(), set()),
    ("hold_ending", "edge: exactly", held(hold_expiry_time_seconds=NOW + 900.0), set()),
    ("hold_ending", "edge: nearer", held(hold_expiry_time_seconds=NOW + 899.0), {"hold_ending"}),
    ("hold_forgotten", "fires", service(hold=1.0, hold_start_time_seconds=ago(90_000)), {"hold_forgotten"}),
    ("hold_forgotten", "not with an end", held(hold_start_time_seconds=ago(90_000)), set()),
    ("hold_forgotten", "edge: exactly", service(hold=1.0, hold_start_time_seconds=ago(86_400)), set()),
    ("hold_forgotten", "edge: past", service(hold=1.0, hold_start_time_seconds=ago(86_401)), {"hold_forgotten"}),
    ("metrics_late", "fires", exporter(last=4000), {"metrics_late"}),
    ("metrics_late", "not in time", exporter(), set()),
    ("metrics_late", "edge: exactly", exporter(last=45), set()),
    ("metrics_late", "edge: past", exporter(last=46), {"metrics_late"}),
    ("metrics_failing", "fires", errors(f"1x{LAST - 1} 2"), {"metrics_failing"}),
    ("metrics_failing", "not for one long ago", errors(f"1x50 2x{LAST - 51}"), set()),
    ("metrics_failing", "unreadable", [*exporter(), ("node_textfile_scrape_error", HOST, 1.0)], {"metrics_failing"}),
    ("metrics_failing", "edge: at the beginning of the window", errors(f"1x{LAST - 4} 2x2"), set()),
]  # fmt: skip


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules with their defaults."""
    written = tmp_path_factory.mktemp("rules") / "rules.yml"
    written.write_text(rules_text())
    return written


def selector(name: str, labels: t.Mapping[str, str]) -> str:
    pairs = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{pairs}}}"


def evaluate(folder: Path, rules: Path, *cases: tuple[str, list[Series], set[str]]) -> None:
    """Have promtool evaluate the rules at NOW: in each case exactly the named alerts fire."""
    tests = []
    for name, series, firing in cases:
        counted = [{"labels": f'{{alertname="{BY_ID[one].rule_name}"}}', "value": 1} for one in sorted(firing)]
        question = {"expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": f"{NOW}s"}
        tests.append(
            {
                "name": name,  # for whoever reads the file: promtool of Debian 12 does not print it
                "interval": f"{STEP}s",
                "input_series": [
                    {
                        "series": selector(metric, labels),
                        "values": value if isinstance(value, str) else f"{value}x{LAST}",
                    }
                    for metric, labels, value in series
                ],
                "promql_expr_test": [{**question, "exp_samples": counted}],
            }
        )
    written = folder / "test.yml"
    content = {"rule_files": [str(rules)], "evaluation_interval": f"{NOW // 10}s", "tests": tests}
    written.write_text(yaml.safe_dump(content, width=1000))
    promtool("test", "rules", written)


@pytest.mark.parametrize("alert", ALERTS, ids=[alert.id for alert in ALERTS])
def test_the_rules_fire_as_they_should(alert: Alert, rules: Path, tmp_path: Path) -> None:
    evaluate(tmp_path, rules, *((case, series, firing) for one, case, series, firing in CASES if one == alert.id))


def test_a_wrong_expectation_is_noticed(rules: Path, tmp_path: Path) -> None:
    """A case that would pass whatever the rules say proves nothing."""
    with pytest.raises(AssertionError, match="ChainopsInError"):
        evaluate(tmp_path, rules, ("no trouble", trouble(4000), set()))


@pytest.mark.parametrize("alert", ALERTS, ids=[alert.id for alert in ALERTS])
def test_each_alert_has_a_case_that_fires_one_that_does_not_and_one_at_its_edge(alert: Alert) -> None:
    mine = [(case, firing) for one, case, _series, firing in CASES if one == alert.id]
    assert any(alert.id in firing for _case, firing in mine)
    assert any(alert.id not in firing for case, firing in mine if not case.startswith("edge"))
    assert any(case.startswith("edge") for case, _firing in mine)


def test_promtool_accepts_the_rules(rules: Path) -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", rules)


def test_an_alert_names_the_service_the_next_step_and_the_runbook(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(rules_text(labels={"team": "chain"}, runbook="https://wiki.example.org/alerts"))
    series = [{"series": selector(name, labels), "values": f"{value}x{LAST}"} for name, labels, value in trouble(4000)]
    alert = BY_ID["in_error"]
    expected = {
        "exp_labels": {**API, "severity": "critical", "alert_id": "in_error", "team": "chain"},
        "exp_annotations": {
            "summary": f"api on h1: {alert.summary}",
            "description": f"{alert.description} Next: {alert.next_step}",
            "runbook_url": "https://wiki.example.org/alerts#in-error",
        },
    }
    test = {
        "interval": f"{STEP}s",
        "input_series": series,
        "alert_rule_test": [{"eval_time": f"{NOW}s", "alertname": alert.rule_name, "exp_alerts": [expected]}],
    }
    written = tmp_path / "test.yml"
    written.write_text(
        yaml.safe_dump(
            {"rule_files": [str(rules)], "evaluation_interval": f"{NOW // 10}s", "tests": [test]}, width=1000
        )
    )
    promtool("test", "rules", written)


def test_the_thresholds_of_a_site_are_used(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(rules_text({"hold_ending": 6000}, min_replicas=1))
    evaluate(tmp_path, rules, ("held", held(), {"hold_ending"}), ("one connector", connector(4.0), set()))


@pytest.mark.parametrize("fraction", [0.5, 1.5])
def test_a_threshold_may_be_a_fraction_of_a_second(fraction: float, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    names = [alert.id for alert in ALERTS if not alert.option and alert.default]
    rules.write_text(rules_text(dict.fromkeys(names, fraction)))
    promtool("check", "rules", rules)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"thresholds": {"nonsense": 1}}, "thresholds.nonsense: no threshold of a site; give one of chain_stalled"),
        ({"thresholds": {"in_error": 1}}, "thresholds.in_error: .*set the option alert_after.error of a service"),
        ({"thresholds": {"hold_ending": "soon"}}, "thresholds.hold_ending: 'soon' is no number above 0"),
        ({"thresholds": {"hold_ending": 0}}, "thresholds.hold_ending: 0 is no number above 0"),
        ({"thresholds": {"hold_ending": True}}, "thresholds.hold_ending: True is no number"),
        ({"thresholds": {"hold_ending": float("nan")}}, "thresholds.hold_ending: nan is no number"),
        ({"thresholds": [1]}, "thresholds: list found; give a dictionary"),
        ({"labels": {"severity": "page"}}, "labels.severity: the alerts set this label themselves"),
        ({"labels": {"a-b": "c"}}, "labels.a-b: no name of a label"),
        ({"min_replicas": 0}, "min_replicas: 0 is no number above 0"),
    ],
)
def test_what_means_nothing_is_refused_by_name(options: dict[str, t.Any], said: str) -> None:
    with pytest.raises(AlertRuleError, match=said):
        rules_text(**options)
