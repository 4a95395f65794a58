# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the samples of the metrics from an observation and its counters. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

No log text becomes a label, and of the options of a service only its name, its
unit and the names of its probes: states, causes and triggers are words of this
collection or of systemd's, so that their number is bounded.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.state_machine import (
    ERROR,
    STARTING,
    Machine,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring import families as f
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import CHAIN_STALLED, START_TIMEOUT
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.counters import ServiceCounters
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.families import MetricSample


class ProbeSample(t.NamedTuple):
    """The last result of one probe. ``seconds``: how long it took."""

    name: str
    ok: bool
    seconds: float


def service_samples(
    row: t.Mapping[str, t.Any],
    machine: Machine,
    counters: ServiceCounters,
    observed_at: float,
    thresholds: t.Mapping[str, float],
    probes: t.Sequence[ProbeSample] = (),
    last_attempt: float | None = None,
) -> list[MetricSample]:
    """The samples of one service.

    ``row``: an observation as service_info returns it; ``observed_at`` and
    ``last_attempt``: seconds since the epoch; ``thresholds``: seconds by alert, see alerts.
    """
    name, kind, state = str(row["name"]), str(row["kind"]), str(row["state"])
    own = (name, kind)
    found = [MetricSample(f.STATE, (*own, one), float(one == state)) for one in machine.states]
    found += [
        MetricSample(f.STATE_INDEX, own, machine.states[state].index),
        MetricSample(f.SERVICE_INFO, (*own, str(row["unit"])), 1),
        MetricSample(f.STARTING_START, own, _starting_since(row)),
        MetricSample(f.OBSERVED_AT, own, observed_at),
        MetricSample(f.RESTARTS, own, counters.automatic_restarts),
    ]
    if counters.state:
        found.append(MetricSample(f.STATE_START, own, _start(row, counters)))
        found.append(MetricSample(f.TROUBLE_START, own, counters.trouble_since))
        found.append(MetricSample(f.THRASHING_START, own, counters.thrashing_since))
    found += [MetricSample(f.ALERT_THRESHOLD, (*own, alert), seconds) for alert, seconds in sorted(thresholds.items())]
    found += [MetricSample(f.STATE_SECONDS, (*own, one), seconds) for one, seconds in sorted(counters.seconds.items())]
    found += [MetricSample(f.TRANSITIONS, (*own, *key), count) for key, count in sorted(counters.transitions.items())]
    found += [MetricSample(f.ERRORS, (*own, cause), count) for cause, count in sorted(counters.errors.items())]
    found += [s for probe in probes for s in (
        MetricSample(f.PROBE, (*own, probe.name), float(probe.ok)),
        MetricSample(f.PROBE_DURATION, (*own, probe.name), probe.seconds),
    )]  # fmt: skip
    if last_attempt is not None:
        found.append(MetricSample(f.LAST_ATTEMPT, own, last_attempt))
    return [*found, *_records(row, own), *_besu(row, own), *_tunnel(row, own, counters)]


def _starting_since(row: t.Mapping[str, t.Any]) -> float:
    # A start that takes too long is an error; its cause still tells that it is in progress.
    under_way = row["state"] == STARTING or row.get("cause") == START_TIMEOUT
    return float(row.get("since") or 0.0) if under_way else 0.0


def _start(row: t.Mapping[str, t.Any], counters: ServiceCounters) -> float:
    """Since when the state lasts that is shown. A crash loop has lasted since its first failure."""
    if row["state"] == counters.state:
        return counters.since
    looping = row["base_state"] == ERROR and counters.trouble_since
    return counters.trouble_since if looping else row.get("since") or counters.since


def _records(row: t.Mapping[str, t.Any], own: tuple[str, str]) -> list[MetricSample]:
    attempts, hold = row.get("attempts") or {}, row.get("hold") or {}
    found = [MetricSample(f.HOLD, own, float(bool(hold)))]
    if hold.get("since") is not None:
        found.append(MetricSample(f.HOLD_START, own, hold["since"]))
    if hold.get("expires") is not None:
        found.append(MetricSample(f.HOLD_END, own, hold["expires"]))
    if attempts:
        found.append(MetricSample(f.ATTEMPTS_LEFT, own, max(attempts["allowed"] - attempts["used"], 0)))
    return found


_BESU_GAUGES = (
    (f.BESU_LAG, "lag"),
    (f.BESU_PEERS, "peers"),
    (f.BESU_HEAD_AGE, "head_age"),
    (f.BESU_VALIDATOR, "validator"),
    (f.BESU_TAKING_PART, "taking_part"),
    (f.BESU_MAY_STOP, "may_stop"),
)


def _besu(row: t.Mapping[str, t.Any], own: tuple[str, str]) -> list[MetricSample]:
    details = row.get("besu")
    if not details:
        return []
    # Two networks may have one chain id: the genesis block tells them apart.
    labels = (*own, str(details.get("genesis") or details.get("chain_id") or ""))
    found = [
        MetricSample(family, labels, float(details[key]))
        for family, key in _BESU_GAUGES
        if details.get(key) is not None
    ]
    if details.get("validators") is not None:
        found.append(MetricSample(f.BESU_VALIDATORS, labels, len(details["validators"])))
    if details.get("head") is not None:
        found.append(MetricSample(f.BESU_STALLED, labels, float(row.get("cause") == CHAIN_STALLED)))
    if details.get("validator"):
        found.append(MetricSample(f.BESU_TAKES_PART, labels, float(row["state"] == "consensus")))
    return found


def _tunnel(row: t.Mapping[str, t.Any], own: tuple[str, str], counters: ServiceCounters) -> list[MetricSample]:
    details = row.get("cloudflared")
    if not details:
        return []
    labels = (*own, str(details.get("tunnel_id") or ""))
    connections = details.get("connections")
    found = []
    if connections is not None:
        found.append(MetricSample(f.TUNNEL_CONNECTIONS, labels, connections))
        found.append(MetricSample(f.TUNNEL_DOWN_SINCE, labels, counters.disconnected_since))
    if details.get("expected_connections") is not None:
        found.append(MetricSample(f.TUNNEL_EXPECTED, labels, details["expected_connections"]))
    return found
