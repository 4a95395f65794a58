# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Hyperledger Besu adds to the engine.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.classify import classify, eta_seconds
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.history import (
    SampleHistory,
    append_sample,
    dump,
    restore,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import BesuLog, LogLine, read_log
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.states import BESU, CONSENSUS, SYNCED, SYNCING
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import (
    YOUNG,
    BesuVerdict,
    NodeOptions,
    Reference,
    UnitStatus,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import CRASH_LOOP, Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import (
    Environment,
    Kind,
)

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.quorum import ChainTiming
    from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.quorum_guard import QuorumGuard
    from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import Cause
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.network_cut import Ports
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.log_states import LogStates
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal

_RESTART_WINDOW = 600.0
_LOG_EVERY = 3.0
_JOURNAL_LAG = 5.0
# How long a verdict on the quorum may be used by another check, in seconds.
_QUORUM_HOLDS_FOR = 1.0
_FAILED = (m.ERROR, m.RESTARTING)
# What systemd's own view already explains better than any line of a log.
_OWN_CAUSES = ("suspended", "frozen", "unit_not_found", "unit_broken", "unhealthy", "stop_killed")

Reader = t.Callable[[t.Optional[NodeSample]], NodeSample]
References = t.Callable[[], t.Sequence[Reference]]
# What of a sample is the node's own, and not that of another unit's process on its ports.
OwnPart = t.Callable[[NodeSample, str], NodeSample]


class BesuKind(Kind):
    """One Besu node. ``read`` samples the node once; ``references`` samples others of the same chain."""

    machine = BESU
    does_network_io = True

    def __init__(
        self,
        environment: Environment,
        options: NodeOptions,
        read: Reader,
        references: References | None = None,
        quorum_guard: t.Callable[[], QuorumGuard] | None = None,
        restart_all: bool = False,
        own_part: OwnPart | None = None,
        checks_config: bool = False,
        p2p_port: int = 30303,
    ) -> None:
        self._environment = environment
        self._options = options
        self._read = read
        self._references = references
        self._quorum_guard = quorum_guard
        self._restart_all = restart_all
        self._own_part = own_part
        self._checks_config = checks_config
        self._p2p_port = p2p_port
        self.quorum: t.Any = None
        self._track: SampleHistory | None = None
        self._carried: t.Mapping[str, t.Any] = {}
        self._verdict: BesuVerdict | None = None
        self._log: tuple[float, str, BesuLog] | None = None
        self._failure: tuple[tuple[str, int, str], Cause | None] | None = None
        self._restarts: tuple[int, int] | None = None

    def classify(self, observation: Observation) -> Observation:
        self._verdict = None
        facts = observation.facts
        if facts is None:
            return observation
        if observation.state == m.RUNNING:
            return self._running(observation)
        if not facts.is_up:
            self._track = None
        return self._failed(observation) if observation.failed or observation.state in _FAILED else observation

    def _running(self, observation: Observation) -> Observation:
        facts = observation.facts
        invocation = facts.invocation if facts else ""
        same = self._track is not None and self._track.invocation == invocation
        sample = self._own(self._read(self._track.last if same and self._track else None), observation)
        earlier = self._track if same else restore(self._carried, sample, invocation)
        self._carried = {}
        self._track = track = append_sample(earlier, sample, invocation)
        since = facts.moment("ActiveEnter") if facts else 0.0
        unit = UnitStatus(since=since or None, recent_restarts=self._recent_restarts(observation, sample))
        references = self._references() if self._references else ()
        verdict = classify(unit, track, self._options, references)
        if verdict.wants_log:
            verdict = classify(unit, track, self._options, references, self._read_log(observation))
        self._verdict = verdict
        # The last one of a chain has no peers left.
        if verdict.cause == "chain_stalled" or (verdict.cause == "no_peers" and verdict.details.get("validator")):
            self._verdict = verdict = self._with_stall(verdict, track, observation)
        observed = replace(
            observation,
            state=verdict.state,
            base_state=verdict.base_state,
            reasons=(*verdict.reasons, *observation.reasons[:1]),
            cause=verdict.cause,
            details=verdict.details,
            **self._since(observation, verdict),
        )
        return self._failed(observed) if verdict.cause == CRASH_LOOP else observed

    def _own(self, sample: NodeSample, observation: Observation) -> NodeSample:
        """A sample without answers of another process: a node that finds its ports taken runs only for a moment.

        One that lives longer may have a proxy before it, or a container runtime.
        """
        facts = observation.facts
        if facts is None or self._own_part is None or (observation.age or 0.0) >= YOUNG:
            return sample
        doubtful = sample.p2p_open or (sample.rpc == "ok" and facts.restarts > 0)
        return self._own_part(sample, facts.unit) if doubtful else sample

    def _since(self, observation: Observation, verdict: BesuVerdict) -> dict[str, t.Any]:
        """Since when the state lasts, where it is younger than the process."""
        if verdict.lasted is None or (observation.age is not None and observation.age <= verdict.lasted):
            return {}
        return {"age": verdict.lasted, "since": self._environment.clock.wall() - verdict.lasted}

    def _with_stall(self, verdict: BesuVerdict, track: SampleHistory, observation: Observation) -> BesuVerdict:
        """Who is missing, in which round the rest is, and what each way out takes."""
        from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import chain_view as cv
        from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import stall

        view = cv.chain_view([(track.earlier or track.last, track.last)])
        stalled = stall.stall_report(view, self._read_log(observation), self._pace(), wall=track.last.wall)
        if not stalled.proved:
            return verdict
        details = {**verdict.details, "stall": stalled.as_dict()}
        return replace(verdict, details=details, reasons=(*verdict.reasons, stalled.why, stalled.advice))

    def _failed(self, observation: Observation) -> Observation:
        """A unit that does not run: the node's last words say more than systemd's result."""
        loops = observation.state == m.RESTARTING and self._recent_restarts(observation, None) >= 2
        cause = self._cause_of_failure(observation, loops or observation.loops)
        if cause is None and not loops:
            return observation
        words = (f"{cause.summary}: {cause.evidence[0]}" if cause.evidence else cause.summary,) if cause else ()
        own = observation.cause in _OWN_CAUSES
        named = observation.cause if own or cause is None else cause.id
        if cause is None:
            return replace(observation, cause=CRASH_LOOP)
        looping = (CRASH_LOOP,) if loops or observation.loops else ()
        return replace(
            observation,
            cause=named,
            reasons=(*observation.reasons, *words) if own else (*words, *observation.reasons),
            flags=(*observation.flags, *looping),
        )

    def _cause_of_failure(self, observation: Observation, looping: bool = False) -> Cause | None:
        """Why its last run failed; in a loop that is a run before the one that may be there at this moment."""
        facts = observation.facts
        if facts is None:
            return None
        key = (facts.invocation, facts.restarts, facts.active)
        if self._failure is None or self._failure[0] != key:
            from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.causes import START_RULES
            from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import diagnose
            from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.failed_run import (
                last_failed_run,
            )
            from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.rules import GENERIC_RULES

            journal, properties = self._environment.open_journal(), facts.properties
            if looping:
                since = self._environment.clock.wall() - _RESTART_WINDOW
                properties = {**properties, **last_failed_run(journal, facts.unit, since).properties}
            entries = journal.invocation(facts.unit, properties.get("InvocationID", "")).entries
            found = diagnose(properties, entries, rules=(*START_RULES, *GENERIC_RULES), failing=True)
            primary = found.primary
            cause = None if primary is None or primary.id == "unknown" else primary
            # The journal may be a moment behind systemd: that it says nothing yet is not kept.
            self._failure = (key, cause) if cause is not None or (observation.age or 0.0) > _JOURNAL_LAG else None
            return cause
        return self._failure[1]

    def _recent_restarts(self, observation: Observation, sample: NodeSample | None) -> int:
        """Restarts of systemd's own in the last minutes; asked of the journal only where there were some at all."""
        facts = observation.facts
        if facts is None or facts.restarts < 2 or (sample is not None and not self._unproved(observation)):
            return 0
        if self._restarts is None or self._restarts[0] != facts.restarts:
            from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import UNIT_RESTART_SCHEDULED

            since = self._environment.clock.wall() - _RESTART_WINDOW
            records = self._environment.open_journal().manager_records([facts.unit], since=since)
            count = sum(1 for entry in records.entries if entry.message_id == UNIT_RESTART_SCHEDULED)
            self._restarts = (facts.restarts, min(count, facts.restarts))
        return self._restarts[1]

    def _unproved(self, observation: Observation) -> bool:
        answered = self._track is not None and self._track.answered_at is not None
        return not answered and (observation.age or 0.0) < YOUNG

    def _read_log(self, observation: Observation) -> BesuLog:
        now = self._environment.clock.monotonic()
        invocation = observation.facts.invocation if observation.facts else ""
        if self._log is not None and self._log[1] == invocation and now - self._log[0] < _LOG_EVERY:
            return self._log[2]
        records = self._environment.open_journal().invocation(observation.unit, invocation)
        lines = [
            LogLine(entry.timestamp, entry.message)
            for entry in records.entries
            if entry.invocation_id in (invocation, "") and not entry.from_manager
        ]
        view = read_log(lines)
        self._log = (now, invocation, view)
        return view

    def save_state(self) -> t.Mapping[str, t.Any]:
        return dump(self._track) if self._track is not None else self._carried

    def restore_state(self, remembered: t.Mapping[str, t.Any]) -> None:
        self._carried = remembered

    def resample_after(self) -> float:
        return 0.0 if self._verdict is None or self._verdict.settled else self._verdict.resample

    def guards(self, step: m.Step, observation: Observation) -> t.Sequence[Refusal]:
        """The quorum, before a validator whose process is there goes offline; its configuration, before a restart."""
        blocks = tuple(self._quorum_objections(step, observation))
        if blocks:
            return blocks
        clock = self._environment.clock
        asked_at = clock.monotonic()
        broken = self._broken_config(step, observation)
        if broken is not None:
            return (broken,)
        # To start a JVM takes long: by then another validator may be gone.
        return self._quorum_objections(step, observation) if clock.monotonic() - asked_at > _QUORUM_HOLDS_FOR else ()

    def _broken_config(self, step: m.Step, observation: Observation) -> Refusal | None:
        facts = observation.facts
        if not self._checks_config or facts is None or facts.is_down or step.action != "restart":
            return None
        from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import next_start

        return next_start.refusal(facts.properties, self._environment.runner)

    def _quorum_objections(self, step: m.Step, observation: Observation) -> t.Sequence[Refusal]:
        facts = observation.facts
        if facts is None or facts.is_down or step.action not in m.TAKES_OFFLINE or self._quorum_guard is None:
            return ()
        sample = self._track.last if self._track else None
        given = self._options.address
        if given and sample is not None and sample.address not in (None, given.lower()):
            from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal

            reason = f"address: {given} is not that of the node, which is {sample.address}"
            return (Refusal("quorum", reason, "correct the option, or leave it out"),)
        if sample is not None and sample.has_no_quorum:
            return ()  # no quorum is lost by it
        if sample is not None and self._verdict is not None and self._verdict.details.get("validator") is False:
            return ()
        block, self.quorum = self._quorum_guard().check(sample, self._pace(), lambda: self._read_log(observation))
        return () if block is None else (block,)

    def _pace(self) -> ChainTiming:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import timing

        limit = self._verdict.details.get("head_age_limit") if self._verdict else None
        return timing(self._options, self._track.last if self._track else None, limit)

    def lasting_cause(self, observation: Observation, target: str) -> Cause | None:
        """Of a loop of starts that fail: a cause which no start fixes."""
        failed = self._failure[1] if self._failure is not None else None
        if observation.state != m.RESTARTING or failed is None or failed.severity == "soft" or target == m.STOPPED:
            return None
        return failed._replace(summary=f"{failed.summary} ({'; '.join(failed.evidence[:1])})")

    def unreachable_reason(self, observation: Observation, target: str) -> str | None:
        """A target that this node never has."""
        if self._verdict is not None and self._verdict.futile:
            return self._verdict.futile
        # The set that it knows is that of its own head, which is an old one while it syncs.
        level = observation.state in (SYNCED, m.RUNNING)
        if target == CONSENSUS and level and observation.details.get("validator") is False:
            return f"{observation.details.get('address')} is not in the validator set"
        return None

    def verify(self, before: Observation, after: Observation, target: str) -> str | None:
        was, now = before.details.get("head"), after.details.get("head")
        if was is not None and now is not None and now < was:
            return f"its head is {now}, and was {was} before"
        return None

    def poll_interval(self, observation: Observation, waited: float) -> float | None:
        """Short at the start and near the end of a sync, long in the middle."""
        if observation.state != SYNCING:
            return None
        eta = self._eta(observation)
        return min(max((eta or waited) / 20, 0.5), 10.0)

    def progress(self, observation: Observation, target: str) -> t.Mapping[str, t.Any] | None:
        details = observation.details
        if "head" not in details:
            return None
        eta = self._eta(observation)
        shown = {key: details.get(key) for key in ("head", "reference", "lag", "peers", "rate")}
        return {**shown, "state": observation.state, "eta": None if eta is None else round(eta)}

    def _eta(self, observation: Observation) -> float | None:
        lag = observation.details.get("lag")
        sample = self._track.last if self._track else None
        period = self._options.block_period or (sample.period if sample else None)
        return eta_seconds(observation.details.get("rate"), lag, period) if lag else None

    def ports(self) -> Ports | None:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._host.network_cut import Ports

        # One that does not tell of its peers is taken to reach them by the port that it has itself.
        peers = self._track.last.peers if self._track is not None else None
        theirs = {self._p2p_port, *(peer.port for peer in peers or () if peer.port is not None)}
        return Ports(frozenset((self._p2p_port,)), frozenset(theirs))

    def written_paths(self, properties: t.Mapping[str, str]) -> t.Sequence[str]:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.data_path import data_paths

        return data_paths(properties)

    def log_states(self, observation: Observation) -> LogStates:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log_states import NodeLogStates

        return NodeLogStates(self._pace().age_limit)

    def causes(self) -> t.Sequence[t.Any]:
        from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.causes import START_RULES, trouble_rules

        return (
            *START_RULES,
            *trouble_rules(
                lambda: self._verdict.cause if self._verdict else None,
                lambda: self._verdict.reasons if self._verdict else (),
                lambda: self._verdict.details if self._verdict else {},
                self._restart_all,
            ),
        )
