# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a connector of a Cloudflare tunnel adds to the engine.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import classify as c
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log_patterns import HARD
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import (
    CLOUDFLARED,
    CONNECTED,
    CONNECTING,
    RECONNECTING,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import (
    CRASH_LOOP,
    PAUSED,
    Observation,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import (
    Environment,
    Kind,
)

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log import ConnectorLog
    from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.monitor import (
        ConnectorMonitor,
        ConnectorSnapshot,
    )
    from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.settings import Settings
    from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.tunnel_identity import Identity
    from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import Cause
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.network_cut import Ports
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.log_states import LogStates
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal

_SERVING = (CONNECTED, m.RUNNING)
_WAITING = (CONNECTING, RECONNECTING)
# Causes of systemd's own that a connector which answers may refute.
_REFUTABLE = ("crash_loop", "unhealthy")
_LOG_EVERY = 2.0
_LOOP_WINDOW = 600.0
_JOURNAL_LAG = 5.0
# One that cannot use an option or a variable ends within this time, and with 0.
_AT_ONCE = 10.0


def _may_serve(observation: Observation, facts: UnitFacts) -> bool:
    """Whether what the connector says of itself decides its state: its process is up, or comes up."""
    if observation.state == m.RUNNING:
        return True
    failed = observation.state == m.ERROR
    if failed and observation.cause in _REFUTABLE and facts.active in ("active", "activating"):
        return True
    slow = failed and observation.cause == "start_timeout"
    return facts.active == "activating" and (slow or observation.state in (m.STARTING, m.RESTARTING))


class CloudflaredKind(Kind):
    """One connector."""

    machine = CLOUDFLARED
    does_network_io = True

    def __init__(self, environment: Environment, params: t.Mapping[str, t.Any], monitor: ConnectorMonitor) -> None:
        self._environment = environment
        self._params = params
        self._monitor = monitor
        self._snapshot: ConnectorSnapshot | None = None
        self._verdict: c.Verdict | None = None
        self._log: tuple[float, str, ConnectorLog] | None = None
        self._failure: tuple[tuple[str, int, str], Cause | None] | None = None
        self._properties: t.Mapping[str, str] = {}
        self._ill: tuple[str, ...] = ()

    def classify(self, observation: Observation) -> Observation:
        self._verdict = self._snapshot = None
        self._ill = ()
        facts = observation.facts
        if facts is None:
            return observation
        self._properties = facts.properties
        if facts.main_pid and _may_serve(observation, facts):
            return self._living(observation, facts)
        if observation.state == m.STOPPING and observation.cause == "stop_overdue" and facts.main_pid:
            return self._draining(observation, facts)
        failed = facts.active == "failed" or facts.sub.startswith("auto-restart")
        if observation.state in (m.ERROR, m.RESTARTING) and failed:
            return self._ended(observation, facts)
        if observation.state == m.STOPPED and facts.load == "loaded":
            return self._stopped(observation, facts)
        if observation.cause in PAUSED and facts.main_pid:
            return self._paused(observation, facts)
        return observation

    def _living(self, observation: Observation, facts: UnitFacts) -> Observation:
        snapshot = self._snapshot = self._take_snapshot(facts)
        self._monitor.poll(snapshot)
        verdict = self._judge(observation, facts, snapshot)
        observed = replace(observation, details=self._details(snapshot, verdict))
        if observation.state == m.ERROR and not verdict.hard and _stands(observation.cause, verdict.state):
            self._ill = observation.reasons if observation.cause == "unhealthy" else ()
            return replace(observed, reasons=(*observation.reasons, *verdict.reasons))
        self._verdict = verdict
        # Where the journal does not tell since when, the time that it is given begins with the first observation.
        since = verdict.since if verdict.since is not None or verdict.state not in _WAITING else snapshot.lost_at
        if since is not None:
            observed = replace(observed, since=since, age=max(self._environment.clock.wall() - since, 0.0))
        return replace(
            observed,
            state=verdict.state,
            base_state=verdict.base_state,
            cause=verdict.cause,
            reasons=(*verdict.reasons, *observation.reasons[:1]),
        )

    def _take_snapshot(self, facts: UnitFacts) -> ConnectorSnapshot:
        control_group = facts.text("ControlGroup")
        return self._monitor.snapshot(
            facts.main_pid, facts.invocation, lambda: self._environment.systemd.processes(control_group)
        )

    def _judge(self, observation: Observation, facts: UnitFacts, snapshot: ConnectorSnapshot) -> c.Verdict:
        clock = self._environment.clock
        began = facts.moment("InactiveExit") or facts.moment("StateChange")
        active = facts.active == "active"
        unit = c.ConnectorUnit(
            m.RUNNING if active else m.STARTING,
            max(clock.monotonic() - began, 0.0),
            active and facts.text("Type") == "notify",
            clock.wall(),
        )
        rules = self._monitor.rules(snapshot)
        sample = c.Sample(
            snapshot.endpoint,
            snapshot.ready,
            snapshot.metrics,
            snapshot.config_version,
            snapshot.had,
            lost=self._lost(snapshot),
        )
        verdict = c.judge(unit, sample, rules)
        if not verdict.wants_log:
            return verdict
        sample = replace(sample, log=self._read_log(facts, snapshot))
        verdict = c.judge(unit, sample, rules)
        if sample.log is not None and verdict.state in _WAITING:
            self._monitor.try_edge(snapshot, sample.log.edge)
            verdict = c.judge(unit, replace(sample, edge_open=snapshot.edge_open), rules)
        if verdict.cause == c.FLAPPING:
            # The log reaches back for some minutes only.
            snapshot.flaps_since = min(snapshot.flaps_since or clock.wall(), verdict.since or clock.wall())
            verdict = replace(verdict, since=snapshot.flaps_since)
        else:
            snapshot.flaps_since = None
        if verdict.cause == "unauthorized":
            verdict = _with_token(verdict, snapshot.identity, unit.wall - unit.age, facts.properties)
        return verdict

    def _lost(self, snapshot: ConnectorSnapshot) -> str:
        """Why a connector that says that it is connected is not."""
        if not snapshot.ready.connections:
            return ""
        lost = snapshot.ready.connector_id in [identity.lower() for identity in self._params["edge_lost"]]
        if snapshot.ready.connector_id and lost:
            snapshot.serves_nobody = True
            return f"the edge no longer knows connector {snapshot.ready.connector_id}"
        failure = self._monitor.try_url(snapshot)
        snapshot.serves_nobody = bool(failure) and snapshot.url_sure
        return failure

    def _read_log(self, facts: UnitFacts, snapshot: ConnectorSnapshot) -> ConnectorLog:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.backoff import longest_silence
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log import read_log

        now = self._environment.clock.monotonic()
        if self._log is not None and self._log[1] == facts.invocation and now - self._log[0] < _LOG_EVERY:
            return self._log[2]
        found = self._environment.open_journal().invocation(facts.unit, facts.invocation)
        own = [
            (entry.timestamp, entry.message)
            for entry in found.entries
            if entry.invocation_id in (facts.invocation, "") and not entry.from_manager
        ]
        silence = longest_silence(snapshot.settings.retries)
        view = read_log(own, snapshot.edge_port, self._environment.clock.wall(), silence)
        self._log = (now, facts.invocation, view)
        return view

    def _details(self, snapshot: ConnectorSnapshot, verdict: c.Verdict) -> dict[str, t.Any]:
        ready, metrics, settings = snapshot.ready, snapshot.metrics, snapshot.settings
        return {
            **_identity(snapshot.identity),
            "connector_id": ready.connector_id or ("unsupported" if ready.connections is not None else None),
            "connections": ready.connections,
            "expected_connections": self._monitor.rules(snapshot).expected,
            "registrations": metrics.registered,
            "refused_registrations": metrics.refused,
            "protocol": settings.protocol,
            "version": metrics.version or None,
            "config_version": snapshot.config_version,
            "metrics_url": snapshot.endpoint.url or None,
            "metrics_found": snapshot.endpoint.how or snapshot.endpoint.problem,
            "retries": settings.retries,
            "grace_period": settings.grace_period,
            "reconnect_grace": self._monitor.budget(snapshot, verdict.state),
            "edge_reachable": snapshot.edge_open,
            "changed_at": verdict.since,
            "pid": snapshot.pid,
            "quick_tunnel": settings.quick,
            "other_connectors": list(snapshot.others),
            "notes": list(settings.notes),
        }

    def _paused(self, observation: Observation, facts: UnitFacts) -> Observation:
        """A process that does not run serves nobody, and is still the connector of its tunnel."""
        snapshot = self._take_snapshot(facts)
        return replace(observation, details=self._details_unconnected(snapshot.settings, snapshot.identity))

    def _draining(self, observation: Observation, facts: UnitFacts) -> Observation:
        """A stop within the grace period is not overdue: requests are being finished."""
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.backoff import stop_time

        snapshot = self._monitor.snapshot(facts.main_pid, facts.invocation, tuple)
        limit = stop_time(snapshot.settings.grace_period)
        if (observation.age or 0.0) >= limit:
            return observation
        reason = f"it drains requests for up to {limit:.0f} s (grace-period)"
        return replace(observation, cause=None, reasons=(reason, *observation.reasons))

    def _ended(self, observation: Observation, facts: UnitFacts) -> Observation:
        """A unit that does not run: its last words say more than systemd's result."""
        cause = self._cause_of_end(observation, facts)
        details = self._details_at_rest(facts)
        if cause is None:
            return replace(observation, details=details)
        words = f"{cause.summary}: {cause.evidence[0]}" if cause.evidence else cause.summary
        looping = (CRASH_LOOP,) if observation.loops else ()
        hard = cause.id in HARD
        return replace(
            observation,
            # Nobody needs to wait for systemd to try again what cannot come true.
            state=m.ERROR if hard else observation.state,
            base_state=m.ERROR if hard else observation.base_state,
            cause=cause.id,
            reasons=(words, *observation.reasons),
            flags=(*observation.flags, *looping),
            details=details,
        )

    def _cause_of_end(self, observation: Observation, facts: UnitFacts) -> Cause | None:
        key = (facts.invocation, facts.restarts, facts.active)
        if self._failure is None or self._failure[0] != key:
            from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.causes import RULES
            from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import diagnose
            from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.failed_run import (
                last_failed_run,
            )

            journal, properties = self._environment.open_journal(), facts.properties
            if observation.loops:
                since = self._environment.clock.wall() - _LOOP_WINDOW
                properties = {**properties, **last_failed_run(journal, facts.unit, since).properties}
            records = journal.invocation(facts.unit, properties.get("InvocationID", ""))
            found = diagnose(properties, records.entries, rules=RULES, failing=True).primary
            cause = None if found is None or found.id == "unknown" else found
            # The journal may be a moment behind systemd: that it says nothing yet is not kept.
            self._failure = (key, cause) if cause is not None or (observation.age or 0.0) > _JOURNAL_LAG else None
            return cause
        return self._failure[1]

    def _stopped(self, observation: Observation, facts: UnitFacts) -> Observation:
        details = self._details_at_rest(facts)
        ran = facts.moment("InactiveEnter") - facts.moment("InactiveExit")
        ended_well = facts.number("ExecMainCode") == 1 and facts.number("ExecMainStatus") == 0
        if not (ended_well and 0 <= ran <= _AT_ONCE and facts.moment("InactiveExit") and facts.invocation):
            return self._ended(observation, facts) if observation.failed else replace(observation, details=details)
        reason = self._exit_at_once(facts)
        if reason is None:
            return self._ended(observation, facts) if observation.failed else replace(observation, details=details)
        return replace(observation, cause="unknown_flag", reasons=(reason, *observation.reasons), details=details)

    def _exit_at_once(self, facts: UnitFacts) -> str | None:
        """What shows that it ended with 0 because it could not use an option; None where it ran, or was told to end."""
        import re

        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log_patterns import PATTERNS

        records = self._environment.open_journal().invocation(facts.unit, facts.invocation)
        entries = [entry for entry in records.entries if entry.invocation_id in (facts.invocation, "")]
        own = [entry for entry in entries if not entry.from_manager]
        usage = next((entry.shown for entry in own if re.search(PATTERNS["unknown_flag"], entry.message)), None)
        stopping = any("topping" in entry.message for entry in entries if entry.from_manager)
        if usage is None and (own or stopping or not entries):
            return None
        return f"it ended with 0 at once: {usage or 'it cannot use the value of a TUNNEL_ variable, and said nothing'}"

    def _details_at_rest(self, facts: UnitFacts) -> dict[str, t.Any]:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.settings import (
            of_unit_files,
            read_file,
        )
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.tunnel_identity import identify

        settings = of_unit_files(facts.properties, self._of_user())
        return self._details_unconnected(settings, identify(settings, read_file, settings.home))

    def _details_unconnected(self, settings: Settings, identity: Identity) -> dict[str, t.Any]:
        return {
            **_identity(identity),
            "connector_id": None,
            "connections": 0,
            "expected_connections": self._params["expected_connections"] or settings.expected,
            "protocol": settings.protocol,
        }

    def resample_after(self) -> float:
        return 3.0 if self._monitor.url_pending(self._snapshot) else 0.0

    def guards(self, step: m.Step, observation: Observation) -> t.Sequence[Refusal]:
        if step.action == "start":
            return self._start_guards(observation)
        snapshot = self._snapshot
        if step.action not in m.TAKES_OFFLINE or snapshot is None:
            return ()
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import guards as guarding

        broken = self._broken_start(step, observation)  # it may take long, so that the replicas are asked after it
        dead = observation.cause == "half_open" and snapshot.serves_nobody
        serving = 0 if dead else snapshot.ready.connections or 0
        blocks = [
            self._keeps_serving(serving, snapshot),
            guarding.own_tunnel(self._monitor.carries_own_connection(snapshot), snapshot.pid),
            broken,
        ]
        return [block for block in blocks if block is not None]

    def _broken_start(self, step: m.Step, observation: Observation) -> Refusal | None:
        if step.action != "restart" or observation.facts is None:
            return None
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import next_start

        runner, properties = self._environment.runner, observation.facts.properties
        own_check = bool(self._params.get("config_check"))
        return next_start.refusal(properties, self._of_user(), runner, validate=not own_check)

    def _of_user(self) -> bool:
        return self._params.get("scope") == "user"

    def _keeps_serving(self, serving: int, snapshot: ConnectorSnapshot) -> Refusal | None:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import guards as guarding

        if snapshot.settings.quick:
            return guarding.quick_tunnel(self._params["may_change_name"])
        return self._replica_guard(serving, snapshot) if self._params["replica_guard"] == "enforce" else None

    def _replica_guard(self, serving: int, snapshot: ConnectorSnapshot) -> Refusal | None:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import guards as guarding

        owner, others = self._params["reservation"], self._params["healthy_replicas"]
        if owner is None:
            return guarding.last_replica(serving, others)
        if serving <= 0:
            return None
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import replicas
        from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.grants import clock

        tunnel = snapshot.identity.tunnel_id
        held = replicas.store_of(tunnel, self._of_user()).held() if tunnel else None
        refused = replicas.not_reserved(held, owner, self._environment.name, tunnel, clock())
        # Who asked the hosts of all replicas knows why none of them granted a reservation.
        return guarding.last_replica(serving, others) if refused is not None and others == 0 else refused

    def _start_guards(self, observation: Observation) -> t.Sequence[Refusal]:
        facts = observation.facts
        accepted = self._params.get("accept_causes") or ()
        if observation.cause != "unknown_flag" or observation.state != m.STOPPED or "unknown_flag" in accepted:
            return ()
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.causes import BY_ID
        from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import Cause
        from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.resolved import resolution_of
        from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal, accept_once

        rule = BY_ID["unknown_flag"]
        cause = Cause(rule.cause, rule.category, rule.severity, rule.summary, (), rule.next_step)
        ended = observation.since if observation.since is not None else self._environment.clock.wall()
        if facts is None or resolution_of(cause, facts.properties, ended):
            return ()
        return [Refusal("cause", observation.reasons[0], accept_once(rule.next_step, rule.cause))]

    def grace_period(self, observation: Observation, target: str) -> float | None:
        """systemd tries again by itself: another start adds nothing while it is the edge that is missing."""
        facts = observation.facts
        looping = observation.state == m.ERROR and observation.loops
        return 1.0 if looping and facts is not None and facts.active in ("activating", "deactivating") else None

    def restart_is_due(self, observation: Observation, target: str) -> bool:
        snapshot, verdict = self._snapshot, self._verdict
        if target != "reconnected" or snapshot is None or verdict is None or observation.state not in _WAITING:
            return False
        # A quic connection that broke says nothing of TCP; where neither can be dialled, the network is out.
        cut = snapshot.settings.protocol == "http2" or verdict.cause in ("edge_unreachable_tcp", "edge_unreachable_udp")
        if verdict.hard or (cut and snapshot.edge_open is False):
            return False  # a restart fixes neither
        return (observation.age or 0.0) >= self._monitor.budget(snapshot, observation.state)

    def lasting_cause(self, observation: Observation, target: str) -> Cause | None:
        verdict = self._verdict
        if verdict is None or verdict.cause is None or not verdict.hard or target == m.STOPPED:
            return None
        from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import Cause

        rule = next((rule for rule in self.causes() if rule.cause == verdict.cause), None)
        category, hint = (rule.category, rule.next_step) if rule is not None else ("unknown", "")
        return Cause(verdict.cause, category, "hard", verdict.reasons[-1], verdict.evidence, hint)

    def verify(self, before: Observation, after: Observation, target: str) -> str | None:
        was, now = before.details.get("connector_id"), after.details.get("connector_id")
        if target != m.STOPPED and was and was == now and was != "unsupported":
            return f"connector {now} is still the previous one: no new one has registered"
        return None

    def poll_interval(self, observation: Observation, waited: float) -> float | None:
        return min(max(waited / 20, 0.25), 1.0) if observation.state in _WAITING else None

    def progress(self, observation: Observation, target: str) -> t.Mapping[str, t.Any] | None:
        if "reconnect_grace" not in observation.details:
            return None
        shown = ("connections", "expected_connections", "connector_id", "reconnect_grace")
        waited = round(observation.age or 0.0, 1) if observation.state in _WAITING else None
        return {"state": observation.state, "waited": waited, **{key: observation.details[key] for key in shown}}

    def ports(self) -> Ports | None:
        snapshot = self._snapshot
        if snapshot is None:
            return None
        from ansible_collections.chainops.lifecycle.plugins.module_utils._host.network_cut import Ports

        return Ports(theirs=frozenset(snapshot.edge_ports), shared_with=snapshot.others)

    def log_states(self, observation: Observation) -> LogStates:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import log_states as log
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.backoff import longest_silence

        details, snapshot, known = observation.details, self._snapshot, log.Known()
        count, expected = details.get("connections"), details.get("expected_connections") or 4
        # The edge may offer fewer addresses than it asks for.
        offered = count if observation.state == m.RUNNING and count else expected
        if snapshot is not None and log.is_logged(self._properties, snapshot.settings.text("log_level")):
            known = log.Known(count, bool(details.get("registrations") or count))
        silence = longest_silence(snapshot.settings.retries if snapshot is not None else 5)
        return log.ConnectorLogStates(min(offered, expected), self._params["min_connections"], silence, known)

    def causes(self) -> t.Sequence[t.Any]:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.causes import (
            RULES,
            observed_rule,
            unhealthy_rule,
        )

        if self._ill:
            return (unhealthy_rule(self._ill),)  # it is connected: nothing that it said of the edge counts now
        verdict = self._verdict
        observed = observed_rule(verdict.cause, verdict.evidence) if verdict is not None and verdict.cause else None
        return [self._with_place(rule) for rule in ((observed, *RULES) if observed is not None else RULES)]

    def _with_place(self, rule: t.Any) -> t.Any:
        """The rule with the place where this unit has its token."""
        if rule.cause != "unauthorized":
            return rule
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import settings as s
        from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import tunnel_identity as ti

        if self._snapshot is not None:
            identity = self._snapshot.identity
        else:
            settings = s.of_unit_files(self._properties, self._of_user())
            identity = ti.identify(settings, s.read_file, settings.home)
        place = ti.place_of(identity, self._properties, self._of_user())
        if not place:
            return rule
        step = f"compare the tunnel id with the dashboard, write the current token into {place}, then restart it"
        return replace(rule, next_step=step)


def _stands(cause: str | None, state: str) -> bool:
    """Whether an error that is not the connector's own holds in spite of the state that it shows."""
    if cause == "unhealthy":
        return state in _SERVING  # its probes speak for what is behind it
    if cause == "start_timeout":
        return state == m.STARTING  # what waits for the edge has started
    return state not in _SERVING  # a loop is one until a connection proves otherwise


def _identity(identity: Identity) -> dict[str, t.Any]:
    return {
        "tunnel_id": identity.tunnel_id or None,
        "tunnel_name": identity.name or None,
        "account_id": identity.account or None,
        "identity_source": identity.source,
        "identity_problem": identity.problem or None,
    }


def _with_token(verdict: c.Verdict, identity: Identity, began: float, properties: t.Mapping[str, str]) -> c.Verdict:
    """A token file that was written after the start is one that the process has not read: a restart takes it."""
    from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.tunnel_identity import variables_of

    paths = [identity.path] if identity.path else []
    if variables_of(identity, properties):
        from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.resolved import environment_files

        paths = environment_files(properties)
    replaced = next((path for path in paths if _written_at(path) > began), "")
    if not replaced:
        named = (f"the token is from {identity.source} {identity.path}".rstrip(),)
        return replace(verdict, evidence=(*verdict.evidence, *named))
    reason = f"{replaced} was replaced after it started, so a restart takes the new one"
    evidence = (*verdict.evidence, reason)
    return replace(verdict, cause="token_replaced", reasons=(*verdict.reasons, reason), evidence=evidence)


def _written_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
