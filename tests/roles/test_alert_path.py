# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the metrics of a service to a webhook, through the real node_exporter, Prometheus and Alertmanager."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring import families as f
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import IN_ERROR, thresholds_of
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.counters import (
    Batch,
    Moment,
    ObservedState,
    ServiceCounters,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.families import MetricSample, render
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.samples import service_samples
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._alert_rules import rules_text
from tests.support.prometheus_stack import Stack, wait_for

THRESHOLD = 4.0
HOLD = {"owner": "ann", "reason": "a test", "since": time.time(), "expires": None}


def metrics(state: str, since: float, hold: t.Any = None) -> str:
    """What a host exports of a service that has been in a state since then."""
    now = time.time()
    counters = ServiceCounters()
    seen = ObservedState(state, state, since, None, state)
    counters.advance(Batch(()), seen, Moment(now, time.monotonic(), "b" * 32))
    row = {"name": "api", "kind": "generic", "unit": "api.service", "state": state, "base_state": state, "hold": hold}
    limits = thresholds_of({"alert_after": {"error": THRESHOLD}})
    samples = service_samples({**row, "since": since}, KINDS["generic"].machine, counters, now, limits)
    return render([*samples, MetricSample(f.EXPORTER_RUNS, (), 1)])


@pytest.fixture
def stack(tmp_path: Path) -> t.Iterator[Stack]:
    started = Stack(tmp_path, rules_text(labels={"team": "chain"}), "h1")
    try:
        started.write(metrics("running", time.time()))
        wait_for("metrics in Prometheus", started.is_up, lambda: None)
        yield started
    finally:
        started.stop()


def test_an_alert_reaches_the_webhook_is_silenced_by_a_hold_and_ends_with_the_trouble(stack: Stack) -> None:
    name, began = IN_ERROR.rule_name, time.time()

    def waits(what: str, status: str, times: int) -> None:
        wait_for(what, lambda: len(stack.heard(status, name)) == times, lambda: None)

    stack.write(metrics("error", began))
    waits("the alert", "firing", 1)
    [fired] = stack.heard("firing", name)
    assert time.time() - began > THRESHOLD
    assert fired["labels"] == {
        "alertname": name,
        "alert_id": "in_error",
        "severity": "critical",
        "team": "chain",
        "job": "node",
        "instance": "h1",
        "service": "api",
        "kind": "generic",
    }
    assert fired["annotations"]["summary"] == f"api on h1: {IN_ERROR.summary}"
    stack.write(metrics("error", began, HOLD))
    waits("silence by the hold", "resolved", 1)
    stack.write(metrics("error", began))
    waits("the alert once the hold is gone", "firing", 2)
    stack.write(metrics("running", time.time()))
    waits("its end", "resolved", 2)
    assert {one["labels"]["alertname"] for one in stack.webhook.alerts} == {name}, "one trouble is one alert"
    assert len(stack.heard("firing", name)) == 2
