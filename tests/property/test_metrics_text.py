# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the metrics program writes is read by the parsers of Prometheus, whatever names services have."""

from __future__ import annotations

import shutil
import subprocess
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring import families as f
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.counters import (
    Batch,
    Moment,
    ObservedState,
    ServiceCounters,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.families import (
    FAMILIES,
    Family,
    MetricSample,
    render,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.samples import ProbeSample, service_samples

NOW = 1_800_000_000.0
NAMES = st.text(max_size=300)


def counters(state: str, **more: t.Any) -> ServiceCounters:
    """Counters of a service that was observed twice, a minute apart."""
    found = ServiceCounters()
    for later in (0.0, 60.0):
        seen = ObservedState(state, "running", NOW - 100, None, "running", **more)
        found.advance(Batch(()), seen, Moment(NOW + later, 1000.0 + later, "b" * 32))
    found.transitions[("running", "error", "service")] = 2
    found.errors["exit_code"] = 2
    return found


def row(kind: str, state: str, **more: t.Any) -> dict[str, t.Any]:
    return {
        "name": "node",
        "kind": kind,
        "unit": "node.service",
        "state": state,
        "base_state": "running",
        "since": NOW - 100,
        "hold": {"owner": "ann", "reason": "an upgrade", "since": NOW - 5, "expires": NOW + 600},
        "attempts": {"used": 1, "allowed": 3},
        "reasons": ["a line of a log with a token"],
        **more,
    }


LIMITS = {"in_error": 300.0}
BESU = {
    "head": 7,
    "genesis": "0x" + "a" * 64,
    "lag": 2,
    "peers": 5,
    "head_age": 1.5,
    "validator": True,
    "validators": ["0x1", "0x2", "0x3", "0x4"],
    "taking_part": 4,
    "may_stop": 1,
}
TUNNEL = {"tunnel_id": "8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11", "connections": 3, "expected_connections": 4}


def every_sample() -> list[MetricSample]:
    """A sample of every family there is."""
    probes = [ProbeSample("http[0]", True, 0.01), ProbeSample("tcp[1]", False, 2.0)]
    samples = [
        *service_samples(
            row("besu", "consensus", besu=BESU),
            KINDS["besu"].machine,
            counters("consensus"),
            NOW,
            LIMITS,
            probes,
            NOW - 30,
        ),
        *service_samples(
            row("cloudflared", "running", name="tunnel", cloudflared=TUNNEL),
            KINDS["cloudflared"].machine,
            counters("running", connections=3),
            NOW,
            LIMITS,
        ),
    ]
    own: list[tuple[Family, tuple[str, ...], float]] = [
        (f.EXPORTER_INFO, ("1.0.0",), 1),
        (f.EXPORTER_DURATION, (), 0.2),
        (f.EXPORTER_CPU, (), 0.1),
        (f.EXPORTER_RUNS, (), 3),
        (f.EXPORTER_ERRORS, ("journal",), 1),
        (f.EXPORTER_TIME, (), NOW),
        (f.EXPORTER_INTERVAL, (), 30),
    ]
    return [*samples, *(MetricSample(*one) for one in own)]


def test_every_family_has_a_sample() -> None:
    assert {sample.family.name for sample in every_sample()} == {family.name for family in FAMILIES}


def test_the_parser_of_openmetrics_reads_it() -> None:
    found = {one.name: one for one in parse_openmetrics(render(every_sample(), openmetrics=True))}
    assert {name: one.type for name, one in found.items()} == {family.name: family.type for family in FAMILIES}
    assert {name: one.documentation for name, one in found.items()} == {one.name: one.help for one in FAMILIES}
    states = [one for one in found["chainops_service_state"].samples if one.labels["service"] == "node"]
    assert [one.labels["chainops_service_state"] for one in states if one.value] == ["consensus"]


def test_the_parser_of_the_text_format_reads_it() -> None:
    found = {one.name: one for one in parse_text(render(every_sample()))}
    assert {name.removesuffix("_info") for name in found} == {family.name for family in FAMILIES}
    assert {one.type for one in found.values()} == {"gauge", "counter"}
    (taking_part,) = found["chainops_besu_validators_taking_part"].samples
    assert taking_part.value == 4 and taking_part.labels["chain"] == BESU["genesis"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian package prometheus) is not installed")
def test_promtool_finds_nothing_to_improve() -> None:
    text = render(every_sample())
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@given(NAMES, NAMES, st.floats(), st.booleans())
def test_no_name_breaks_the_text(service: str, probe: str, value: float, openmetrics: bool) -> None:
    samples = [
        MetricSample(f.PROBE, (service, "generic", probe), value),
        MetricSample(f.STATE, (service, "generic", "running"), 1),
    ]
    text = render(samples, openmetrics)
    found = {one.name: one for one in (parse_openmetrics if openmetrics else parse_text)(text)}
    (shown,) = found["chainops_probe_success"].samples
    assert len(shown.labels["service"]) <= 255 and shown.labels["kind"] == "generic"
    if service.isprintable() and len(service) <= 255:
        assert shown.labels["service"] == service
    assert shown.value == pytest.approx(value, abs=1e-6, nan_ok=True)
    # No character steers a terminal or turns the writing around.
    assert all(char.isprintable() or char == "\n" for char in text)


def test_two_names_that_are_cut_alike_do_not_cost_the_file() -> None:
    samples = [MetricSample(f.PROBE, ("api", "generic", "x" * 255 + end), float(end)) for end in "10"]
    (one,) = parse_text(render(samples))
    assert [sample.value for sample in one.samples] == [1.0]


def test_nothing_but_names_and_words_of_this_collection_becomes_a_label() -> None:
    text = render(every_sample())
    assert "token" not in text and "upgrade" not in text and "ann" not in text.replace("annot", "")


def test_a_sample_that_its_family_does_not_describe_is_refused() -> None:
    with pytest.raises(ValueError, match="chainops_probe_success"):
        render([MetricSample(f.PROBE, ("api",), 1.0)])


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_follow_the_conventions(family: Family) -> None:
    assert family.name.startswith("chainops_")
    assert not family.name.endswith(("_total", "_info", "_count", "_sum", "_bucket", "_milliseconds", "_ms"))
    assert family.help.endswith(".") and len(family.help) < 140
    assert ("time" not in family.name and "duration" not in family.name) or family.name.endswith("_seconds")
