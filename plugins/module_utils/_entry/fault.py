# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Injects the fault of a drill, and ends it.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

The guards of a restart are asked by the engine itself, right before the
fault. Its undo is armed on the host before it is made.
"""

from __future__ import annotations

import signal
import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive import ServiceRun
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import describe
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import network_cut
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.faults import HOLDER, UNDO, HostFaults
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import (
    LifecycleError,
    requester,
    run_command,
    state_dir,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import drills as d
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Drill
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import ServiceKind

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# How often the service is observed, in seconds.
_INTERVAL = 0.5
# What the guards have said counts for so long, in seconds, as for every other act.
_GUARDS_HOLD_FOR = 2.0
_ASKED_AT_MOST = 3
# What systemd gives a service by default to end, in seconds: a node closes its database in that time.
_STOPS_WITHIN = 90.0


class FaultRefused(Exception):
    """No fault was injected, because guards refused it."""

    def __init__(self, blocks: t.Sequence[Refusal]) -> None:
        super().__init__(blocks[0].reason)
        self.blocks = tuple(blocks)


class FaultRun:
    """One fault of one service. Raises LifecycleError naming the option that is wrong."""

    # Those that are to be cut, for a fault of the network.
    _ports: network_cut.Ports | None = None

    def __init__(self, options: t.Mapping[str, t.Any], kinds: t.Mapping[str, ServiceKind]) -> None:
        try:
            (self._entry,) = describe([options["service"]], kinds)
        except LifecycleError as exc:
            raise LifecycleError(exc.msg.replace("services[0]", "service"), **exc.details) from exc
        self._kind = kinds[self._entry["kind"]]
        self._goal = d.goal_of(self._kind.machine, self._entry["state"])
        self._wait = options["wait_timeout"]
        self._options = options
        self._run = self._new_run()
        self._host, self._ledger = self._run.host, self._run.host.ledger
        self._clock = self._host.clock
        self._faults = HostFaults(run_command, self._host.systemd, self._clock)
        self._unit = self._host.systemd.own_name(self._run.watched.unit)

    def _new_run(self) -> ServiceRun:
        """A dry run of a restart: what its guards refuse, no drill may do either."""
        return ServiceRun({**self._entry, "state": "restarted"}, self._kind.make, check_mode=True)

    # -- making a fault ------------------------------------------------------------------------

    def make(self, check_mode: bool) -> dict[str, t.Any]:
        """Inject the fault and wait until it is noticed. Raises Refused, LifecycleError."""
        fault = d.Fault(
            self._options["fault"] or "",
            self._options["undo_after"],
            self._wait,
            self._options["path"] or "",
            self._options["port"] or 0,
            self._options["max_mb"] * 1048576,
        )
        fault.check()
        before = self._allowed(fault)
        if check_mode:
            return self._result(before, before, None)
        lock = self._ledger.lock(self._unit, self._run.request.owner)
        holder = lock.acquire()
        if holder is not None:
            raise FaultRefused(
                [Refusal("busy", f"locked by {holder}", "wait until that run has ended, then run again")]
            )
        try:
            drill, before = self._armed(fault, before)
            try:
                self._make(fault, before)
            except LifecycleError:
                self._faults.undo(self._unit, starts=True)
                raise
        finally:
            lock.release()
        return self._watch(drill, before)

    def _allowed(self, fault: d.Fault) -> Observation:
        """The service as it is, where nothing forbids the fault."""
        outcome = self._run.run()
        before = outcome.after
        blocks = [*outcome.blocked_by]
        if outcome.failed and not blocks:
            blocks = [Refusal("error", outcome.msg, "observe it with service_info to see why")]
        on_host = self._host.systemd.related([self._unit])[self._unit]
        own = d.objections(
            before,
            marked=self._entry["drill"],
            scope=self._entry["scope"],
            goal=self._goal,
            on_host=on_host,
        )
        blocks = [*own, *blocks]
        if outcome.also_stops:
            message = f"systemd would stop {', '.join(outcome.also_stops)} with it, and nothing would start them again"
            blocks.append(Refusal("dependants", message, "choose a service whose stop takes no other unit along"))
        if not blocks:
            blocks = self._obstacles(fault)
        if blocks:
            raise FaultRefused(blocks)
        return before

    def _obstacles(self, fault: d.Fault) -> list[Refusal]:
        """What on this host forbids this fault."""
        if self._faults.is_armed():
            message = "another drill on this host has not ended"
            return [Refusal("drill", message, f"wait for its undo: systemctl list-timers {UNDO}.timer")]
        why, hint = "", "choose another fault"
        if fault.kind == d.DISK_FULL:
            why = self._faults.why_not_fill(fault.path, d.LEFT_FREE, fault.max_bytes)
            hint = "name a path on a file system of the service's own"
        elif fault.kind == d.PORT_TAKEN and not self._faults.listens(self._unit, fault.port):
            why, hint = f"{self._unit} does not listen on port {fault.port}", "name a TCP port that it listens on"
        elif fault.kind in d.CUTS:
            why = self._why_not_cut(fault)
        return [Refusal("fault", why, hint)] if why else []

    def _why_not_cut(self, fault: d.Fault) -> str:
        if fault.kind != self._kind.network_fault:
            return f"{fault.kind} is no fault of a service of kind {self._kind.name}"
        self._ports = self._run.watched.kind.ports()
        if self._ports is None:
            return "it is not known by which ports it reaches others"
        return self._faults.network.objection(self._unit, self._ports)

    def _armed(self, fault: d.Fault, before: Observation) -> tuple[Drill, Observation]:
        """The drill, recorded and with its undo armed, and the service right before it."""
        more = network_cut.undo_lines(self._ports) if self._ports else ()
        script = d.undo_script(fault.kind, self._unit, HOLDER, f"{state_dir(False)}/holds", more)
        what = f"Undo of the drill {fault.kind} of {self._unit}"
        asked_at, drill = self._clock.monotonic(), self._begin(fault, before)
        self._ledger.begin_drill(self._unit, drill)
        try:
            self._faults.arm(script, fault.undo_after, what)
        except LifecycleError:
            self._give_up(drill)  # what is armed, if anything, is the undo of another drill
            raise
        for _asked in range(_ASKED_AT_MOST):
            if self._clock.monotonic() - asked_at <= _GUARDS_HOLD_FOR and self._ledger.hold(self._unit) is None:
                drill = replace(self._begin(fault, before), undo_at=drill.undo_at)
                self._ledger.change_drill(self._unit, drill)
                return drill, before
            # To arm it took long, or somebody holds the service since.
            try:
                before, asked_at = self._ask_again(), self._clock.monotonic()
            except FaultRefused:
                self._abandon(drill)
                raise
        self._abandon(drill)
        raise FaultRefused([Refusal("busy", "the host is too slow to act on what its guards say", "run again later")])

    def _ask_again(self) -> Observation:
        outcome = self._new_run().run()
        if outcome.blocked_by or outcome.failed:
            raise FaultRefused(outcome.blocked_by or [Refusal("error", outcome.msg, "run again later")])
        return outcome.after

    def _abandon(self, drill: Drill) -> None:
        self._faults.disarm()
        self._give_up(drill)

    def _give_up(self, drill: Drill) -> None:
        self._ledger.change_drill(self._unit, replace(drill, outcome="abandoned"))

    def _begin(self, fault: d.Fault, before: Observation) -> Drill:
        wall, head = self._clock.wall(), before.details.get("head")
        return Drill(
            at=wall,
            fault=fault.kind,
            owner=self._run.request.owner or requester(),
            undo_at=wall + fault.undo_after,
            invocation=before.facts.invocation if before.facts else "",
            head=head if isinstance(head, int) else None,
            target=self._target(fault),
        )

    def _target(self, fault: d.Fault) -> str:
        if self._ports is not None:
            return network_cut.target(self._ports, self._faults.network.peers(self._unit, self._ports))
        return fault.path if fault.kind == d.DISK_FULL else f"port {fault.port}" if fault.kind == d.PORT_TAKEN else ""

    def _make(self, fault: d.Fault, before: Observation) -> None:
        faults, unit, facts = self._faults, self._unit, before.facts
        if facts is None:
            raise LifecycleError(f"{unit} could not be observed")
        if fault.kind == d.KILLED:
            faults.signal_main(facts, signal.SIGKILL)
        elif fault.kind == d.HUNG:
            faults.signal_main(facts, signal.SIGSTOP)
        elif fault.kind == d.STOPPED:
            faults.ask("stop", unit)
        elif fault.kind == d.DISK_FULL:
            faults.fill(fault.path, d.LEFT_FREE, fault.undo_after)
        elif self._ports is not None:
            faults.network.cut(unit, self._ports)
        else:
            # Its undo must not come before the fault.
            faults.stop(unit, min(_STOPS_WITHIN, fault.undo_after / 2))
            faults.take_port(fault.port, fault.undo_after)
            faults.ask("start", unit)

    def _watch(self, drill: Drill, before: Observation) -> dict[str, t.Any]:
        """Wait until the service shows the fault, for at most ``wait_timeout``."""
        ends = self._clock.monotonic() + self._wait
        while True:
            observed = self._observe()
            if d.is_noticed(drill, observed, self._goal):
                noticed = d.noticed(drill, observed, self._clock.wall())
                if noticed != drill:
                    drill = noticed
                    self._ledger.change_drill(self._unit, drill)
                if d.is_final(drill, observed):
                    return self._result(before, observed, drill)
            if self._clock.monotonic() >= ends:
                return self._result(before, observed, drill)
            self._clock.sleep(_INTERVAL)

    def _observe(self) -> Observation:
        return self._host.observer.observe([self._run.watched])[0]

    # -- ending it -----------------------------------------------------------------------------

    def lift(self, check_mode: bool) -> dict[str, t.Any]:
        """Remove the fault and start nothing. The undo of the host stays armed. Raises LifecycleError."""
        drill, observed = self._open(), self._observe()
        if drill is not None and not check_mode:
            self._faults.undo(self._unit, starts=False)
            drill = d.lifted(drill, self._clock.wall())
            self._ledger.change_drill(self._unit, drill)
        return self._result(observed, observed, drill, changed=drill is not None)

    def end(self, check_mode: bool) -> tuple[dict[str, t.Any], bool]:
        """Remove the fault and wait until the service is in its desired state. Raises LifecycleError."""
        drill, before = self._open(), self._settled()
        if drill is None or check_mode:
            return self._result(before, before, drill, changed=drill is not None), True
        well_before, is_armed = before.state in self._goal, self._faults.is_armed()
        self._faults.undo(self._unit, starts=False)
        if d.is_taken_away(drill, well_before=well_before, is_armed=is_armed):
            wall = self._clock.wall()
            drill = d.lifted(drill, wall if is_armed else min(wall, drill.undo_at))
        ends = self._clock.monotonic() + self._wait
        observed = self._settled()
        while observed.state not in self._goal and self._clock.monotonic() < ends:
            self._clock.sleep(_INTERVAL)
            observed = self._settled()
        well = observed.state in self._goal
        if well:
            self._faults.disarm()
        else:
            self._faults.undo(self._unit, starts=True)
        by_start = self._entry["kind"] == "generic" and not self._entry["probes"]
        by = d.ended_by(drill, self._options["acted"])
        drill = d.ended(drill, observed, self._clock.wall(), well, by_start=by_start, by=by)
        self._ledger.change_drill(self._unit, drill)
        return self._result(before, observed, drill, changed=True), well

    def _settled(self) -> Observation:
        return self._host.observer.observe_settled([self._run.watched])[0]

    def _open(self) -> Drill | None:
        """The open drill of this service."""
        drills = self._ledger.drills(self._unit)
        return drills[-1] if drills and drills[-1].outcome == "open" else None

    def _result(
        self, before: Observation, after: Observation, drill: Drill | None, changed: bool = True
    ) -> dict[str, t.Any]:
        return {
            "changed": changed,
            "reached": True,
            "state": after.state,
            "before": before.as_dict(),
            "after": after.as_dict(),
            "drill": drill.as_dict() if drill else None,
            "blocked_by": [],
            "diff": {"before": {"state": before.state}, "after": {"state": after.state}},
        }


def run_fault(module: AnsibleModule, kinds: t.Mapping[str, ServiceKind]) -> None:
    """Run the module with its options."""
    options = module.params
    try:
        run = FaultRun(options, kinds)
        if options["state"] == "present":
            module.exit_json(**run.make(module.check_mode))
        if options["state"] == "lifted":
            module.exit_json(**run.lift(module.check_mode))
        result, well = run.end(module.check_mode)
    except FaultRefused as exc:
        blocks = [block.as_dict() for block in exc.blocks]
        module.fail_json(msg=f"no fault was injected: {exc}", changed=False, reached=False, blocked_by=blocks)
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, reached=False, blocked_by=[], **exc.details)
    if well:
        module.exit_json(**result)
    message = f"it is {result['state']}; the host has removed the fault and requested a start"
    module.fail_json(msg=message, **{**result, "reached": False})
