# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics, and how they are written. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

The metric reference of the documentation is generated from ``FAMILIES``.
Two formats: the Prometheus text format, which the textfile collector of
node_exporter reads, and OpenMetrics 1.0 (https://openmetrics.io) for others.
"""

from __future__ import annotations

import math
import typing as t

GAUGE, COUNTER, INFO, STATESET = "gauge", "counter", "info", "stateset"


class Family(t.NamedTuple):
    """One metric. ``name`` is without the suffix that its type adds to samples (``_total``, ``_info``)."""

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def sample_name(self) -> str:
        return self.name + {COUNTER: "_total", INFO: "_info"}.get(self.type, "")


class MetricSample(t.NamedTuple):
    """One value of a family, its labels in the order in which the family names them."""

    family: Family
    labels: tuple[str, ...]
    value: float


_SERVICE = ("service", "kind")

STATE = Family(
    "chainops_service_state", STATESET, "The state of the service: 1 for the current one.", (*_SERVICE, "state")
)
STATE_INDEX = Family("chainops_service_state_index", GAUGE, "The number of the current state.", _SERVICE)
SERVICE_INFO = Family("chainops_service", INFO, "The unit of the service.", (*_SERVICE, "unit"))
STATE_START = Family(
    "chainops_service_state_start_time_seconds", GAUGE, "Since when the service is in its state.", _SERVICE
)
TROUBLE_START = Family(
    "chainops_service_trouble_start_time_seconds",
    GAUGE,
    "Since when the service has been unhealthy; 0 while it is healthy. A crash loop counts from its first failure.",
    _SERVICE,
)
THRASHING_START = Family(
    "chainops_service_thrashing_start_time_seconds",
    GAUGE,
    "Since when the service fails again and again; 0 while it does not.",
    _SERVICE,
)
STARTING_START = Family(
    "chainops_service_starting_start_time_seconds",
    GAUGE,
    "Since when a start is in progress, even if it has taken too long; 0 while there is none.",
    _SERVICE,
)
OBSERVED_AT = Family(
    "chainops_service_observation_time_seconds", GAUGE, "When the state of the service was last known.", _SERVICE
)
ALERT_THRESHOLD = Family(
    "chainops_service_alert_threshold_seconds",
    GAUGE,
    "For how long the service may be in the state that an alert is about.",
    (*_SERVICE, "alert"),
)
STATE_SECONDS = Family(
    "chainops_service_state_seconds", COUNTER, "Seconds that the service has spent in each state.", (*_SERVICE, "state")
)
TRANSITIONS = Family("chainops_service_transitions", COUNTER, "Changes of state.", (*_SERVICE, "from", "to", "trigger"))
ERRORS = Family("chainops_service_errors", COUNTER, "Failures of the service.", (*_SERVICE, "cause"))
RESTARTS = Family(
    "chainops_service_automatic_restarts", COUNTER, "Restarts by systemd after the service ended by itself.", _SERVICE
)
ATTEMPTS_LEFT = Family(
    "chainops_service_attempts_left", GAUGE, "Recovery attempts that the budget still allows.", _SERVICE
)
HOLD = Family("chainops_service_hold", GAUGE, "Whether a hold forbids action on the service.", _SERVICE)
HOLD_START = Family("chainops_service_hold_start_time_seconds", GAUGE, "When the hold began.", _SERVICE)
HOLD_END = Family(
    "chainops_service_hold_expiry_time_seconds", GAUGE, "When the hold ends; absent where it has no end.", _SERVICE
)
LAST_ATTEMPT = Family(
    "chainops_service_last_attempt_time_seconds", GAUGE, "When this collection last acted on the service.", _SERVICE
)
PROBE = Family("chainops_probe_success", GAUGE, "Whether the probe succeeded.", (*_SERVICE, "probe"))
PROBE_DURATION = Family("chainops_probe_duration_seconds", GAUGE, "How long the probe took.", (*_SERVICE, "probe"))
_CHAIN = (*_SERVICE, "chain")
BESU_LAG = Family("chainops_besu_lag_blocks", GAUGE, "Blocks that the node is behind.", _CHAIN)
BESU_PEERS = Family("chainops_besu_peers", GAUGE, "Peers of the node.", _CHAIN)
BESU_HEAD_AGE = Family("chainops_besu_head_age_seconds", GAUGE, "Age of the node's newest block.", _CHAIN)
BESU_VALIDATOR = Family("chainops_besu_validator", GAUGE, "Whether the node is in the validator set.", _CHAIN)
BESU_VALIDATORS = Family("chainops_besu_validators", GAUGE, "Validators in the set, as the node sees it.", _CHAIN)
BESU_TAKING_PART = Family(
    "chainops_besu_validators_taking_part",
    GAUGE,
    "Validators that proposed one of the last n blocks, n being the size of the set; 0 while the chain is stalled.",
    _CHAIN,
)
BESU_MAY_STOP = Family(
    "chainops_besu_validators_may_stop",
    GAUGE,
    "How many more validators may stop before the chain does, as the node's blocks show it.",
    _CHAIN,
)
BESU_STALLED = Family(
    "chainops_besu_chain_stalled", GAUGE, "Whether the whole chain is stalled, as the node sees it.", _CHAIN
)
BESU_TAKES_PART = Family(
    "chainops_besu_takes_part", GAUGE, "Whether the node, as a validator, takes part in the consensus.", _CHAIN
)
TUNNEL_CONNECTIONS = Family(
    "chainops_tunnel_connections", GAUGE, "Connections of the connector to the edge.", (*_SERVICE, "tunnel")
)
TUNNEL_EXPECTED = Family(
    "chainops_tunnel_expected_connections", GAUGE, "Connections that the connector should have.", (*_SERVICE, "tunnel")
)
TUNNEL_DOWN_SINCE = Family(
    "chainops_tunnel_disconnected_start_time_seconds",
    GAUGE,
    "Since when the connector has no connection; 0 while it has one.",
    (*_SERVICE, "tunnel"),
)
EXPORTER_INFO = Family("chainops_exporter", INFO, "The program that writes these metrics.", ("version",))
EXPORTER_DURATION = Family("chainops_exporter_duration_seconds", GAUGE, "How long the last run took.")
EXPORTER_CPU = Family("chainops_exporter_cpu_seconds", GAUGE, "CPU time of the last run.")
EXPORTER_RUNS = Family("chainops_exporter_runs", COUNTER, "Runs since the program was installed.")
EXPORTER_ERRORS = Family("chainops_exporter_errors", COUNTER, "What a run could not do, by step.", ("step",))
EXPORTER_TIME = Family("chainops_exporter_last_run_time_seconds", GAUGE, "When the last run ended.")
EXPORTER_INTERVAL = Family("chainops_exporter_interval_seconds", GAUGE, "Seconds between two runs.")

# What a run may fail to do.
STEPS = ("journal", "output", "records", "service", "state")

FAMILIES: tuple[Family, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Family))

# A label longer than this is cut: systemd allows unit names of 255 characters.
_MAX_LABEL = 255


def render(samples: t.Iterable[MetricSample], openmetrics: bool = False) -> str:
    """The samples, each family with its metadata, in the order of FAMILIES.

    In the Prometheus text format, or as OpenMetrics, which has types that the
    former has not: there a stateset names its state in a label that is called
    as the metric, as OpenMetrics demands. Raises ValueError for a sample that
    its family does not describe.
    """
    grouped: dict[str, list[MetricSample]] = {}
    for sample in samples:
        if len(sample.labels) != len(sample.family.labels):
            raise ValueError(f"{sample.family.name}: labels {sample.labels!r} do not match {sample.family.labels!r}")
        grouped.setdefault(sample.family.name, []).append(sample)
    lines: list[str] = []
    for family in FAMILIES:
        found = grouped.get(family.name)
        if not found:
            continue
        name = family.name if openmetrics else family.sample_name
        shown = family.type if openmetrics else _PLAIN_TYPES.get(family.type, family.type)
        lines += [f"# HELP {name} {_escape(family.help, quotes=openmetrics)}", f"# TYPE {name} {shown}"]
        names = _label_names(family, openmetrics)
        # Of two with the same labels, which were cut, one: node_exporter would refuse the whole file.
        unlike = {_series(sample, names): sample.value for sample in reversed(found)}
        lines += [f"{series} {_number(value)}" for series, value in reversed(unlike.items())]
    return "\n".join([*lines, *(["# EOF"] if openmetrics else []), ""])


# The Prometheus text format, which node_exporter reads, has no types of these names.
_PLAIN_TYPES = {INFO: "gauge", STATESET: "gauge"}


def _label_names(family: Family, openmetrics: bool) -> tuple[str, ...]:
    return (*family.labels[:-1], family.name) if openmetrics and family.type == STATESET else family.labels


def _series(sample: MetricSample, names: t.Sequence[str]) -> str:
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, sample.labels))
    return f"{sample.family.sample_name}{{{pairs}}}" if pairs else sample.family.sample_name


def _escape(text: str, quotes: bool = True) -> str:
    """A label value or help text on one line, what does not print shown as its number."""
    printing = (char if char.isprintable() or char == "\n" else f"U+{ord(char):04X}" for char in text)
    shown = "".join(printing)[:_MAX_LABEL]
    shown = shown.replace("\\", "\\\\").replace("\n", "\\n")
    return shown.replace('"', '\\"') if quotes else shown


def _number(value: float) -> str:
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
    return str(int(value)) if float(value).is_integer() else repr(round(float(value), 6))
