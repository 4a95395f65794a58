# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard: every query of every panel, asked of a real Prometheus that has the metrics of a small fleet.

The metrics are what the metrics program writes: two hours of them are stored already, the last ones come through
node_exporter, and the alerts come from the rules. Grafana itself has no part in it: its variables are filled in here.
"""

from __future__ import annotations

import json
import math
import re
import time
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring import families as f
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import thresholds_of
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.counters import (
    Batch,
    Moment,
    ObservedState,
    ServiceCounters,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.families import MetricSample, render
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.samples import ProbeSample, service_samples
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._alert_rules import rules_text
from tests.docs.common import ROOT
from tests.support.prometheus_stack import Stack, wait_for

DASHBOARD = json.loads((ROOT / "roles/prometheus_alerts/files/chainops-lifecycle.dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel, target) for panel in PANELS for target in panel["targets"]]
HOST = 'job="node",instance="h1"'
GENESIS = "0x" + "a" * 64
TUNNEL = "8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11"
RANGE, STEP = 3600, 60
# Of what the dashboard shows the last half was in error.
BEGAN, FAILED = 2 * RANGE, RANGE // 2
Series = dict[str, t.Any]


class Service(t.NamedTuple):
    """A service of the fleet, which was in ``before`` until it failed; ``more``: what its row has besides."""

    name: str
    kind: str
    before: str
    state: str
    base: str
    more: t.Mapping[str, t.Any]


def fleet(now: float) -> list[Service]:
    hold = {"owner": "ann", "reason": "an upgrade", "since": now - 600, "expires": now + 600}
    besu = {
        "head": 7, "genesis": GENESIS, "lag": 2, "peers": 3, "head_age": 1.5, "validator": True,
        "validators": ["0x1", "0x2", "0x3", "0x4"], "taking_part": 3, "may_stop": 0,
    }  # fmt: skip
    tunnel = {"tunnel_id": TUNNEL, "connections": 3, "expected_connections": 4}
    return [
        Service("api", "generic", "running", "error", "error", {"attempts": {"used": 1, "allowed": 3}}),
        Service("held", "generic", "running", "running", "running", {"hold": hold}),
        Service("v1", "besu", "consensus", "consensus", "running", {"besu": {**besu, "may_stop": 1}}),
        Service("v2", "besu", "consensus", "synced", "running", {"besu": besu}),
        Service("edge", "cloudflared", "connected", "connected", "running", {"cloudflared": tunnel}),
    ]


class Host:
    """What the metrics program writes at one time after the other."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._counters = {service.name: ServiceCounters() for service in fleet(now)}

    def text(self, at: float) -> str:
        samples: list[MetricSample] = []
        for service in fleet(self._now):
            samples += self._service(service, at)
        ago = self._now - at
        own = {f.EXPORTER_DURATION: 0.2, f.EXPORTER_CPU: 0.1, f.EXPORTER_RUNS: 500 - ago // STEP, f.EXPORTER_TIME: at}
        samples += [MetricSample(family, (), value) for family, value in {**own, f.EXPORTER_INTERVAL: 30}.items()]
        samples += [MetricSample(f.EXPORTER_ERRORS, (step,), 0) for step in f.STEPS]
        return render([*samples, MetricSample(f.EXPORTER_INFO, ("1.0.0",), 1)])

    def _service(self, service: Service, at: float) -> list[MetricSample]:
        failed = self._now - FAILED
        state = service.state if at >= failed else service.before
        base = service.base if at >= failed else "running"
        since = failed if at >= failed and service.state != service.before else self._now - 3 * RANGE
        counters = self._counters[service.name]
        connections = service.more.get("cloudflared", {}).get("connections")
        cause, unit_state = ("exit_code", "error") if base == "error" else (None, "running")
        seen = ObservedState(state, base, since, cause, unit_state, connections=connections)
        counters.advance(Batch(()), seen, Moment(at, at - self._now + 50_000, "b" * 32))
        row = {"name": service.name, "kind": service.kind, "unit": f"{service.name}.service", "state": state,
               "base_state": base, "since": since, **service.more}  # fmt: skip
        probes = [ProbeSample("http[0]", base == "running", 0.01), ProbeSample("tcp[1]", True, 0.02)]
        machine, limits = KINDS[service.kind].machine, thresholds_of({})
        return service_samples(row, machine, counters, at, limits, probes, last_attempt=failed)


def stored(text: str, at: float) -> str:
    """The text of one time as Prometheus would have stored it, for promtool."""
    found = re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE)
    return "".join(
        f"{name}{{{HOST}{',' if labels else ''}{labels}}} {value} {at:.3f}\n" for name, labels, value in found
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Stack]:
    now = time.time()
    host = Host(now)
    times = [now - ago for ago in range(BEGAN, 0, -STEP)]
    history = "".join(stored(host.text(at), at) for at in times)
    started = Stack(tmp_path_factory.mktemp("stack"), rules_text(), "h1", f"{history}# EOF\n")
    try:
        started.write(host.text(now))
        wait_for("metrics in Prometheus", started.is_up, lambda: None)
        firing = "count by (severity) (ALERTS{alertstate='firing'})"
        wait_for("an alert of each severity", lambda: len(started.query(firing)) == 3, lambda: None)
        yield started
    finally:
        started.stop()


EVERYTHING = dict.fromkeys(("instance", "kind", "service", "chain", "tunnel"), ".*")
# As Grafana writes several chosen values, and a single one.
CHOSEN = {
    "instance": "(h1|h2)",
    "kind": "(generic|besu|cloudflared)",
    "service": "(api|held|v1|v2|edge)",
    "chain": GENESIS,
    "tunnel": TUNNEL,
}


def filled(expression: str, variables: t.Mapping[str, str] = EVERYTHING) -> str:
    """The expression with the variables of Grafana filled in; $1 belongs to label_replace."""
    values = {"__range": f"{RANGE}s", "__interval": f"{STEP}s", "__rate_interval": f"{4 * STEP}s", **variables}
    return re.sub(r"\$(\w+)", lambda found: values.get(found[1], found[0]), expression)


def ask(stack: Stack, target: t.Mapping[str, t.Any], variables: t.Mapping[str, str] = EVERYTHING) -> list[Series]:
    """The series of a query, each with ``values``: over the range, or of now."""
    expression = filled(target["expr"], variables)
    if target["instant"]:
        return [{**one, "values": [one["value"]]} for one in stack.query(expression)]
    now = time.time()
    return stack.query_range(expression, now - RANGE, now, STEP)


def named(legend: str, labels: t.Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend)


def last(series: Series) -> float:
    return float(series["values"][-1][1])


def panel_of(title: str) -> t.Any:
    (found,) = (panel for panel in PANELS if panel["title"] == title)
    return found


def by_service(stack: Stack, title: str) -> dict[str, float]:
    (target,) = panel_of(title)["targets"]
    return {one["metric"]["service"]: last(one) for one in ask(stack, target)}


def name_of(panel: t.Any, target: t.Any) -> str:
    return f"{panel['title']} {target['refId']}".replace(" ", "-")


@pytest.mark.parametrize("variables", [EVERYTHING, CHOSEN], ids=["everything", "chosen"])
@pytest.mark.parametrize(("panel", "target"), TARGETS, ids=[name_of(*one) for one in TARGETS])
def test_every_query_has_data(stack: Stack, panel: t.Any, target: t.Any, variables: dict[str, str]) -> None:
    assert not re.search(r"\$(?!1\b)", filled(target["expr"], variables)), "a variable that there is not"
    found = ask(stack, target, variables)
    assert found
    assert all(math.isfinite(float(value)) for one in found for dummy, value in one["values"])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"].replace(" ", "-"))
def test_each_series_has_a_name_of_its_own_and_each_value_a_meaning(stack: Stack, panel: t.Any) -> None:
    names, values = [], set()
    for target in panel["targets"]:
        for one in ask(stack, target):
            values |= {float(value) for dummy, value in one["values"]}
            names.append(named(target["legendFormat"], one["metric"]))
    if panel["type"] in ("timeseries", "state-timeline", "bargauge"):
        assert all(name.strip() for name in names)
        assert len(set(names)) == len(names)
    if panel["type"] == "state-timeline":
        (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
        assert values <= {float(value) for value in mapping["options"]}


@pytest.mark.parametrize("variable", ["instance", "kind", "service", "chain", "tunnel"])
def test_every_variable_lists_what_there_is(stack: Stack, variable: str) -> None:
    (found,) = (one for one in DASHBOARD["templating"]["list"] if one["name"] == variable)
    listed = re.fullmatch(r"label_values\((.*), (\w+)\)", found["query"]["query"])
    assert listed
    expected = {
        "instance": {"h1"},
        "kind": set(KINDS),
        "service": {"api", "held", "v1", "v2", "edge"},
        "chain": {GENESIS},
        "tunnel": {TUNNEL},
    }
    assert set(stack.label_values(filled(listed[1]), listed[2])) == expected[variable]


def test_a_variable_narrows_every_panel_about_services(stack: Stack) -> None:
    only = {**EVERYTHING, "service": "api"}
    seen = {
        one["metric"].get("service", "api")
        for dummy, target in TARGETS
        if "chainops_exporter" not in target["expr"]
        for one in ask(stack, target, only)
    }
    assert seen == {"api"}


def test_the_first_event_of_a_counter_is_seen(stack: Stack) -> None:
    """The series of a counter begins with its first event, which increase() alone does not count."""
    none = dict.fromkeys(("api", "held", "v1", "v2", "edge"), 0)
    assert by_service(stack, "Failures per hour") == pytest.approx({**none, "api": 1}, rel=0.05)
    assert by_service(stack, "Changes of state per hour") == pytest.approx({**none, "api": 1, "v2": 1}, rel=0.05)
    assert by_service(stack, "Failures by cause") == {"api": 1}
    assert by_service(stack, "Time in error") == pytest.approx({"api": FAILED}, rel=0.05)


@pytest.mark.parametrize(
    ("title", "value"),
    [
        ("Services", 5),
        ("In error", 1),
        ("Not observed", 0),
        ("Failures", 1),
        ("Part of the time in error", FAILED / (5 * RANGE)),
        ("Quorum margin", 0),
        ("Connectors that serve", 1),
        ("Lag", 2),
    ],
)
def test_a_number_is_what_happened(stack: Stack, title: str, value: float) -> None:
    (target,) = panel_of(title)["targets"]
    seen = [last(one) for one in ask(stack, target)]
    assert seen == pytest.approx([value] * max(len(seen), 1), rel=0.05)
