# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts, and which of them an observation proves. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

``ALERTS`` is the one table: ``alerts[]`` of an observation, the rules of
Prometheus and the runbook are all made from it. A single observation does not
know what happened before it: without a history it tells what its ``since`` and
its causes prove, and no more.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import CRASH_LOOP

CRITICAL, WARNING, INFO = "critical", "warning", "info"
SEVERITIES = (CRITICAL, WARNING, INFO)
# What an alert is about: its labels name the one that is meant.
SERVICE, CHAIN, TUNNEL, HOST = "service", "chain", "tunnel", "host"
RUNBOOK = "https://github.com/chainops/ansible-lifecycle/blob/main/docs/docsite/rst/guide_alerts.rst"

START_TIMEOUT, CHAIN_STALLED = "start_timeout", "chain_stalled"
_TROUBLED = (m.ERROR, m.RESTARTING)
# The states of a validator that runs and takes no part.
_BESIDE_CONSENSUS = (m.RUNNING, "synced", "syncing")


class Alert(t.NamedTuple):
    """One alert.

    ``subject``: what it is about. ``option``: the option of a service that
    sets its threshold, empty where a variable of the role does. ``default``:
    the threshold, in ``unit``.
    """

    id: str
    severity: str
    subject: str
    summary: str
    description: str
    next_step: str
    default: float
    option: str = ""
    unit: str = "seconds"

    @property
    def rule_name(self) -> str:
        """Its name in Prometheus."""
        return "Chainops" + "".join(word.capitalize() for word in self.id.split("_"))

    @property
    def title(self) -> str:
        """The title of its section in the runbook."""
        return self.id.replace("_", " ").capitalize()

    def runbook(self, base: str = RUNBOOK) -> str:
        return f"{base}#{self.id.replace('_', '-')}"


_DIAGNOSE = "ansible-playbook chainops.lifecycle.status -e lifecycle_diagnose=always"
_PLAN = "ansible-playbook chainops.lifecycle.recover --check"

IN_ERROR = Alert(
    "in_error", CRITICAL, SERVICE,
    "the service has been unhealthy for too long",
    "It has failed, or it fails whenever it is started. A restart on purpose and a hold do not count.",
    f"see what recovery would do: {_PLAN}", 300, "alert_after.error",
)  # fmt: skip
THRASHING = Alert(
    "thrashing", CRITICAL, SERVICE,
    "the service fails again and again",
    "It failed as often as thrash_restarts says within thrash_window, although it may run at this moment.",
    f"find the cause: {_DIAGNOSE}", 5, "thrash_restarts", "failures",
)  # fmt: skip
START_OVERDUE = Alert(
    "start_overdue", CRITICAL, SERVICE,
    "the service has been starting for too long",
    "A start is in progress and does not end. A Besu node that syncs and makes progress does not count.",
    f"find what it waits for: {_DIAGNOSE}", 600, "start_timeout",
)  # fmt: skip
STOP_OVERDUE = Alert(
    "stop_overdue", WARNING, SERVICE,
    "the service has been stopping for too long",
    "It was told to stop and its processes are still there. A Besu node may need minutes to write its data.",
    "read what it does: journalctl -u UNIT -n 50; never kill a Besu that still writes", 120, "stop_timeout",
)  # fmt: skip
NOT_OBSERVED = Alert(
    "not_observed", WARNING, SERVICE,
    "the state of the service is not known",
    "It could not be observed, so no other alert about it can be relied on.",
    "read the reasons: ansible-playbook chainops.lifecycle.status", 300, "alert_after.unknown",
)  # fmt: skip
STALLED = Alert(
    "chain_stalled", CRITICAL, CHAIN,
    "the chain makes no blocks",
    "Most of its nodes that answer report that it is stalled: too few validators take part.",
    "start the missing validators; the lines about the chain name them: ansible-playbook chainops.lifecycle.status", 60,
)  # fmt: skip
NO_MARGIN = Alert(
    "no_validator_may_stop", CRITICAL, CHAIN,
    "none of the active validators may stop",
    "The validators that take part are just the quorum, or fewer. The next one that stops halts the chain.",
    f"bring the missing validators back: {_PLAN}", 300,
)  # fmt: skip
LEFT_OUT = Alert(
    "validator_left_out", WARNING, SERVICE,
    "the validator does not take part in the consensus",
    "It runs and is in the validator set, but proposes no blocks.",
    f"find the cause: {_DIAGNOSE}", 600, "alert_after.left_out",
)  # fmt: skip
DISCONNECTED = Alert(
    "tunnel_disconnected", CRITICAL, SERVICE,
    "the connector has no connection",
    "Its process runs but serves no requests.",
    "see what a reconnect would do: ansible-playbook chainops.lifecycle.tunnel_reconnect --check", 120,
    "alert_after.disconnected",
)  # fmt: skip
DEGRADED = Alert(
    "tunnel_degraded", WARNING, SERVICE,
    "the connector has fewer connections than it should have",
    "It serves, with less redundancy than expected.",
    f"find the cause: {_DIAGNOSE}", 600, "alert_after.degraded",
)  # fmt: skip
FEW_REPLICAS = Alert(
    "tunnel_replicas_low", WARNING, TUNNEL,
    "the tunnel has fewer than two connectors that serve",
    "The next connector that stops takes the tunnel down.",
    "see which are down: ansible-playbook chainops.lifecycle.tunnel_reconnect --check", 300,
)  # fmt: skip
EXHAUSTED = Alert(
    "attempts_exhausted", WARNING, SERVICE,
    "the recovery attempts are used up",
    "The service is in trouble and recovery leaves it alone until the window has passed.",
    f"find the cause and fix it: {_DIAGNOSE}", 0, unit="attempts left",
)  # fmt: skip
HOLD_ENDING = Alert(
    "hold_ending", INFO, SERVICE,
    "the hold ends soon",
    "After that recovery acts on the service again, and its alerts fire again.",
    "extend the hold with chainops.lifecycle.service_hold, or finish the work", 900,
)  # fmt: skip
HOLD_FORGOTTEN = Alert(
    "hold_forgotten", WARNING, SERVICE,
    "a hold without an end has been in force for long",
    "Nobody acts on the service and its alerts are silent.",
    "ask its owner; release it with chainops.lifecycle.service_hold (state: absent)", 86400,
)  # fmt: skip
METRICS_LATE = Alert(
    "metrics_late", WARNING, HOST,
    "the metrics are no longer written",
    "The metrics program has completed no run for several intervals: every other value of the host is old.",
    "see why: systemctl status 'chainops-*' on the host", 3, unit="intervals",
)  # fmt: skip
METRICS_FAILING = Alert(
    "metrics_failing", WARNING, HOST,
    "the metrics program fails",
    "A part of its work failed within the threshold, or node_exporter cannot read its file.",
    "read its messages: journalctl -u 'chainops-*' -n 20 on the host", 900,
)  # fmt: skip

ALERTS: tuple[Alert, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Alert))
ALERTS_BY_ID: t.Mapping[str, Alert] = {alert.id: alert for alert in ALERTS}

# For how long a service may be in trouble, by alert: the option ``alert_after`` of a service.
AFTER: dict[str, Alert] = {
    alert.option.partition(".")[2]: alert for alert in ALERTS if alert.option.startswith("alert_after.")
}


def thresholds_of(params: t.Mapping[str, t.Any]) -> dict[str, float]:
    """The thresholds in seconds that the options of a service set, by the identifier of the alert."""
    given = params.get("alert_after") or {}
    found = {alert.id: _number(given.get(name), alert.default) for name, alert in AFTER.items()}
    for alert in (START_OVERDUE, STOP_OVERDUE):
        found[alert.id] = _number(params.get(alert.option), alert.default)
    return found


def _number(value: t.Any, default: float) -> float:
    return default if value is None else float(value)


class _Facts(t.NamedTuple):
    """An observation as service_info returns it, the options of the service, and the time."""

    row: t.Mapping[str, t.Any]
    params: t.Mapping[str, t.Any]
    now: float

    @property
    def state(self) -> str:
        return str(self.row["state"])

    @property
    def cause(self) -> str:
        return str(self.row.get("cause") or "")

    @property
    def since(self) -> float | None:
        return self.row.get("since")

    @property
    def hold(self) -> t.Mapping[str, t.Any]:
        return self.row.get("hold") or {}

    def details(self, kind: str) -> t.Mapping[str, t.Any]:
        return self.row.get(kind) or {}

    def lasts(self, alert: Alert, since: float | None) -> float | None:
        """``since``, where that is longer ago than the threshold."""
        after = thresholds_of(self.params).get(alert.id, alert.default)
        return since if since is not None and self.now - since > after else None


def firing(row: t.Mapping[str, t.Any], params: t.Mapping[str, t.Any], now: float) -> list[dict[str, t.Any]]:
    """The alerts that an observation proves, the most severe first.

    ``row``: what service_info returns of the service; ``params``: the options
    of the service; ``now``: seconds since the epoch. Alerts about a chain, a
    tunnel or the metrics need more than one observation and are left to Prometheus,
    but for a stalled chain, which a node sees itself.
    """
    facts = _Facts(row, params, now)
    found: list[_Firing] = []
    for rule in _HOLDS if facts.hold else _RULES:
        fires = rule(facts)
        if fires is not None:
            found.append(fires)
    return [
        _as_dict(alert, since) for alert, since in sorted(found, key=lambda one: SEVERITIES.index(one.alert.severity))
    ]


def _as_dict(alert: Alert, since: float | None) -> dict[str, t.Any]:
    return {
        "id": alert.id,
        "severity": alert.severity,
        "summary": alert.summary,
        "description": alert.description,
        "next_step": alert.next_step,
        "since": None if since is None else round(since, 3),
        "runbook": alert.runbook(),
    }


class _Firing(t.NamedTuple):
    alert: Alert
    since: float | None


def _in_trouble(f: _Facts) -> _Firing | None:
    """One alert for one trouble: the most telling one."""
    if f.cause == CHAIN_STALLED:
        return _Firing(STALLED, f.since)
    if f.cause == START_TIMEOUT:
        return _Firing(START_OVERDUE, f.since)
    history = f.row.get("history") or {}
    trouble = history.get("trouble_since")
    times = _failures(history, f.now - _number(f.params.get("thrash_window"), 600.0))
    limit = int(_number(f.params.get("thrash_restarts"), THRASHING.default))
    if len(times) >= limit or f.cause == CRASH_LOOP or CRASH_LOOP in f.row.get("flags", ()):
        known = f.since if trouble is None else trouble
        return _Firing(THRASHING, times[limit - 1] if len(times) >= limit else known)
    if trouble is None and f.state == m.ERROR:
        trouble = f.since
    since = f.lasts(IN_ERROR, trouble)
    return None if since is None else _Firing(IN_ERROR, since)


def _failures(history: t.Mapping[str, t.Any], begin: float) -> list[float]:
    """When the service failed from ``begin`` on, since somebody last acted on it on purpose."""
    times: list[float] = []
    for change in history.get("transitions", ()):
        if change["trigger"] in ("operator", "collection", "host"):
            times = []
        elif change["to"] in _TROUBLED and change["at"] > begin:
            times.append(change["at"])
    return times


def _start(f: _Facts) -> _Firing | None:
    since = f.lasts(START_OVERDUE, f.since) if f.state == m.STARTING else None
    return None if since is None else _Firing(START_OVERDUE, since)


def _stop(f: _Facts) -> _Firing | None:
    since = f.lasts(STOP_OVERDUE, f.since) if f.state == m.STOPPING else None
    return None if since is None else _Firing(STOP_OVERDUE, since)


def _unknown(f: _Facts) -> _Firing | None:
    """How long it has been unknown an observation cannot tell: it says what it sees."""
    return _Firing(NOT_OBSERVED, None) if f.state == m.UNKNOWN else None


def _left_out(f: _Facts) -> _Firing | None:
    outside = f.details("besu").get("validator") and f.state in _BESIDE_CONSENSUS
    since = f.lasts(LEFT_OUT, f.since) if outside else None
    return None if since is None else _Firing(LEFT_OUT, since)


def _connections(f: _Facts) -> _Firing | None:
    details = f.details("cloudflared")
    count, expected = details.get("connections"), details.get("expected_connections")
    if count is None or expected is None or count >= expected:
        return None
    unit = f.row.get("unit_facts") or {}
    if unit and not unit.get("main_pid"):
        return (
            None  # it does not run: that it failed is said elsewhere, and one that was stopped has nothing to connect
        )
    alert = DEGRADED if count else DISCONNECTED
    since = f.lasts(alert, f.since)
    return None if since is None else _Firing(alert, since)


def _attempts(f: _Facts) -> _Firing | None:
    attempts = f.row.get("attempts") or {}
    used_up = bool(attempts) and attempts["used"] >= attempts["allowed"]
    return _Firing(EXHAUSTED, None) if used_up and f.state in _TROUBLED else None


def _hold_ends(f: _Facts) -> _Firing | None:
    ends = f.hold.get("expires")
    return _Firing(HOLD_ENDING, f.hold["since"]) if ends is not None and ends - f.now < HOLD_ENDING.default else None


def _hold_lasts(f: _Facts) -> _Firing | None:
    since = f.lasts(HOLD_FORGOTTEN, f.hold["since"]) if f.hold.get("expires") is None else None
    return None if since is None else _Firing(HOLD_FORGOTTEN, since)


_Rule = t.Callable[[_Facts], "_Firing | None"]
_RULES: tuple[_Rule, ...] = (
    _in_trouble, _start, _stop, _unknown, _connections, _left_out, _attempts,
)  # fmt: skip
# A hold silences what it is about, and may be forgotten itself.
_HOLDS = (_hold_ends, _hold_lasts)
