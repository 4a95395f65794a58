# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Derives the state of a connector from its answers, its unit and its log. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

What is not believed: systemd's ``active`` (READY=1 is sent once and never
taken back), ``/healthcheck`` (OK while the process lives),
``ha_connections`` (counts attempts), ``server_locations`` (never reset).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log import ConnectorLog
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log_patterns import HARD, live_cause
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import (
    CLOUDFLARED,
    CONNECTED,
    CONNECTING,
    RECONNECTING,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m

# Before its metrics server is up cloudflared looks names up, which a dead resolver can draw out, in seconds.
YOUNG = 60.0
# A registration takes a second or two; no word for longer than this is a finding, in seconds.
MUTE = 20.0
# Times that quic has to fail in a row before its way counts as blocked (each takes 5 s).
BLOCKED_AFTER = 3
# All connections lost this often, each time within this many seconds of the time before, and of now: it flaps.
FLAPS = 3
CALM = 60.0
# Log lines this much older than the newest one tell of another trouble, in seconds.
_RECENT = 120.0
FLAPPING = "flapping"
_LATE = ("refused", "reset", "timeout_connect", "timeout")


@dataclass(frozen=True)
class MetricsEndpoint:
    """A base URL, how it was found, or in ``problem`` why there is none; ``pending``: it may come yet."""

    url: str = ""
    how: str = ""
    problem: str = ""
    pending: bool = False


@dataclass(frozen=True)
class Ready:
    """What ``/ready`` said. ``connections`` None: not answered; ``problem``: a word (an HttpError kind, ...)."""

    connections: int | None = None
    connector_id: str = ""
    problem: str = ""
    message: str = ""


@dataclass(frozen=True)
class Metrics:
    """What ``/metrics`` said. ``registered``: registrations that succeeded since the start; None: not answered.

    ``requests``: what has come through the tunnel since the start, whatever became of it; None: it does not say.
    """

    registered: int | None = None
    requests: int | None = None
    refused: int = 0
    duplicates: int = 0
    started: float | None = None
    version: str = ""
    problem: str = ""


@dataclass(frozen=True)
class ConnectorUnit:
    """What systemd knows. ``state``: starting or running; ``age``: seconds since the start; ``ready``: READY=1 sent."""

    state: str
    age: float
    ready: bool
    wall: float = 0.0


@dataclass(frozen=True)
class Sample:
    """One sample of the connector.

    ``had``: an earlier sample of the same process saw connections;
    ``edge_open``: whether TCP to the edge addresses that failed last works now (None: not tried);
    ``lost``: why it counts as half open although it says that it is connected.
    """

    endpoint: MetricsEndpoint = field(default_factory=MetricsEndpoint)
    ready: Ready = field(default_factory=Ready)
    metrics: Metrics = field(default_factory=Metrics)
    config_version: int | None = None
    had: bool = False
    log: ConnectorLog | None = None
    edge_open: bool | None = None
    lost: str = ""


@dataclass(frozen=True)
class Rules:
    """The expectations: connections expected and at least needed, its protocol, whether the edge configures it."""

    expected: int = 4
    minimum: int = 1
    protocol: str = "auto"
    remote: bool = False


@dataclass(frozen=True)
class Verdict:
    """One state. ``since``: seconds since the epoch, where the log tells; ``wants_log``: the log would say more."""

    state: str
    reasons: tuple[str, ...]
    cause: str | None = None
    since: float | None = None
    evidence: tuple[str, ...] = ()
    wants_log: bool = False

    @property
    def base_state(self) -> str:
        return CLOUDFLARED.base(self.state)

    @property
    def hard(self) -> bool:
        """Whether the cause is one that no restart fixes."""
        return self.cause in HARD


def judge(unit: ConnectorUnit, sample: Sample, rules: Rules) -> Verdict:
    """The state of a connector whose process is there."""
    verdict = _at_this_moment(unit, sample, rules)
    series = _flapping(unit, sample)
    if not series or verdict.hard or verdict.state not in (CONNECTED, RECONNECTING, m.RUNNING):
        return verdict
    spent, ago = series[-1] - series[0], max(unit.wall - series[-1], 0.0)
    message = f"all connections were lost {len(series)} times within {spent:.0f} s, the last time {ago:.0f} s ago"
    return Verdict(
        RECONNECTING, (message, *verdict.reasons[:1]), FLAPPING, series[0], (message, *verdict.evidence[-3:])
    )


def _flapping(unit: ConnectorUnit, sample: Sample) -> tuple[float, ...]:
    """When it lost all its connections, of late and again and again; empty where it did not."""
    series: list[float] = []
    later = unit.wall
    for at in reversed(sample.log.outages if sample.log is not None else ()):
        if later - at > CALM:
            break
        series.append(at)
        later = at
    return tuple(reversed(series)) if len(series) >= FLAPS else ()


def _at_this_moment(unit: ConnectorUnit, sample: Sample, rules: Rules) -> Verdict:
    count = sample.ready.connections
    if count is None:
        return _unanswered(unit, sample)
    expected = expected_connections(sample, rules)
    if count >= 1 and sample.lost:
        message = f"/ready says {count} connections, and yet: {sample.lost}"
        return Verdict(m.ERROR, (message,), "half_open", evidence=(message,))
    if count < rules.minimum or count == 0:
        return _disconnected(unit, sample, rules, count)
    message = f"{count} of {expected} connections are registered"
    if count < expected:
        return _partial(sample, message)
    if rules.remote and sample.config_version == -1:
        return Verdict(CONNECTED, (message, "no configuration has come from the edge yet (/config has version -1)"))
    # Each outage ends with one registration at least; a connector that lost few connections needs no log.
    again = (sample.metrics.registered or 0) - rules.expected
    return Verdict(m.RUNNING, (message,), wants_log=sample.log is None and again >= FLAPS)


def expected_connections(sample: Sample, rules: Rules) -> int:
    """How many connections it can have: the edge may offer fewer addresses than it asks for."""
    offered = sample.log.at_most if sample.log is not None else None
    return rules.expected if offered is None else max(min(rules.expected, offered), 1)


def _unanswered(unit: ConnectorUnit, sample: Sample) -> Verdict:
    ready, endpoint = sample.ready, sample.endpoint
    why = endpoint.problem or ready.message or ready.problem or "its metrics server was not asked"
    early = unit.age < YOUNG and (endpoint.pending or ready.problem in _LATE)
    if unit.state == m.STARTING or early:
        found = _from_log(sample)
        reasons = (f"its metrics server is not there yet: {why}",)
        if found is None:
            return Verdict(m.STARTING, reasons, wants_log=sample.log is None and unit.age > MUTE)
        return Verdict(m.STARTING, (*reasons, found[1][-1]), found[0], evidence=found[1])
    if ready.problem == "unsupported":
        return Verdict(m.UNKNOWN, (f"{why}; update cloudflared (/ready came with 2020.12)",), "ready_unsupported")
    return Verdict(m.UNKNOWN, (why,), "metrics_unreachable", evidence=(why,))


def _partial(sample: Sample, message: str) -> Verdict:
    if sample.log is None:
        return Verdict(CONNECTED, (message,), wants_log=True)
    found = _from_log(sample)
    if found is None:
        return Verdict(CONNECTED, (message,), since=sample.log.lost_at)
    return Verdict(CONNECTED, (message, found[1][-1]), found[0], sample.log.lost_at, found[1])


def _disconnected(unit: ConnectorUnit, sample: Sample, rules: Rules, count: int) -> Verdict:
    had = _had_connection(unit, sample)
    state = RECONNECTING if had else CONNECTING
    message = "no connection is registered" if count == 0 else f"{count} of at least {rules.minimum} connections"
    reason = f"{message} ({_registrations(sample)})"
    began = unit.wall - unit.age
    if sample.log is None:
        return Verdict(state, (reason,), since=None if had else began, wants_log=True)
    lost_at = sample.log.lost_at if count else sample.log.gone_at
    since = lost_at if had else began
    found = _from_log(sample)
    if found is None:
        mute = not had and unit.age > MUTE
        return Verdict(state, (reason,), "edge_mute" if mute else None, since, (message,) if mute else ())
    cause, evidence = _tried(*found, sample, rules)
    state = m.ERROR if cause in HARD and count == 0 else state
    return Verdict(state, (reason, *evidence[-2:]), cause, since, evidence)


def _had_connection(unit: ConnectorUnit, sample: Sample) -> bool:
    """Whether a connection was registered since the start of the process."""
    return (sample.metrics.registered or 0) > 0 or sample.had or (unit.ready and unit.state == m.RUNNING)


def _registrations(sample: Sample) -> str:
    """How many connections were registered since the start of the process."""
    registered = sample.metrics.registered
    if registered is None:
        return "how many there were since its start is not known"
    return f"{registered} registrations since its start" if registered else "none since its start"


def _tried(cause: str, evidence: tuple[str, ...], sample: Sample, rules: Rules) -> tuple[str, tuple[str, ...]]:
    """What the log says, and what an attempt of our own to reach the edge makes of it."""
    pinned = rules.protocol == "quic" and len(evidence) >= BLOCKED_AFTER
    if cause == "edge_unreachable_udp" and pinned and sample.edge_open:
        return "protocol_blocked", (*evidence, "TCP to the same addresses works", f"protocol={rules.protocol}")
    if cause == "edge_closed" and rules.protocol == "http2" and sample.edge_open is False:
        return "edge_unreachable_tcp", (*evidence, "TCP to the edge does not work now")
    if sample.edge_open is None or not cause.startswith("edge_unreachable"):
        return cause, evidence
    return cause, (*evidence, f"TCP to the edge {'works now' if sample.edge_open else 'does not work now either'}")


def _from_log(sample: Sample) -> tuple[str, tuple[str, ...]] | None:
    """The cause that the log names since the last registration, and its last lines, fit to be shown."""
    if sample.log is None or not sample.log.trouble:
        return None
    newest = sample.log.trouble[-1].at
    found = live_cause([line.text for line in sample.log.trouble if newest - line.at <= _RECENT])
    return None if found is None else (found[0], tuple(sanitize(text, 300) for text in found[1][-5:]))
