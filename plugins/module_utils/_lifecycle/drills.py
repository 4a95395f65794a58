# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of drills: what each may be applied to, when it was noticed, and how much time it cost. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import shlex
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Drill
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal

KILLED = "killed"
STOPPED = "stopped"
HUNG = "hung"
DISK_FULL = "disk_full"
PORT_TAKEN = "port_taken"
PEERS_CUT = "peers_cut"
EDGE_CUT = "edge_cut"

# Each kind of fault, and what it does.
FAULTS: t.Mapping[str, str] = {
    KILLED: "SIGKILL for the main process",
    STOPPED: "the service is stopped, as if somebody had called systemctl stop",
    HUNG: "SIGSTOP for the main process: it is there, and does nothing",
    DISK_FULL: "the file system behind a path is filled by a file that is never visible",
    PORT_TAKEN: "another process takes the port of the service between its stop and its start",
    PEERS_CUT: "the network of a Besu node to its peers is cut",
    EDGE_CUT: "the network of a connector to the edge is cut",
}
# Those of which nothing stays that could be taken away: a start is all that the service needs.
OVER_AT_ONCE = (KILLED, STOPPED)
# Those that belong to one kind of service only, see ServiceKind.network_fault.
CUTS = (PEERS_CUT, EDGE_CUT)

RECOVERED = "recovered"
FAILED = "failed"
# All that the record of a drill may say of its end.
OUTCOMES = ("open", RECOVERED, FAILED, "abandoned")
# What has ended a fault: a recovery, systemd or the service itself, or that the fault was taken away.
BY_RECOVERY, BY_ITSELF, BY_UNDO = "recovery", "itself", "undo"
ENDINGS = {BY_RECOVERY: "by recovery", BY_ITSELF: "by itself", BY_UNDO: "by the undo"}
_HOST_ACTIONS = ("FailureAction", "StartLimitAction", "JobTimeoutAction", "SuccessAction")

# Longer than the guards of a validator and a recovery may take; shorter than the memory of who began it.
UNDO_AFTER = (30.0, 3600.0)
# What the fault leaves of a file system, in bytes: the journal and the records of the recovery may be on it.
LEFT_FREE = 1024 * 1024


@dataclass(frozen=True)
class Fault:
    """The requested fault. ``undo_after``, ``wait_timeout`` in seconds; ``max_bytes``: the most to fill a disk with."""

    kind: str
    undo_after: float
    wait_timeout: float
    path: str = ""
    port: int = 0
    max_bytes: int = 0

    def check(self) -> None:
        """Raise LifecycleError naming the option that is missing or invalid."""
        low, high = UNDO_AFTER
        if not low <= self.undo_after <= high:
            raise LifecycleError(f"undo_after: {self.undo_after:g} is not from {low:g} to {high:g} s; give seconds")
        if not 0 < self.wait_timeout < self.undo_after:
            raise LifecycleError(
                f"wait_timeout: {self.wait_timeout:g} is not above 0 and below undo_after, {self.undo_after:g} s"
            )
        if self.kind == DISK_FULL and not self.path.startswith("/"):
            raise LifecycleError(f"path: {self.path!r} is no absolute path; name a directory, such as /var/lib/besu")
        if self.kind == PORT_TAKEN and not 0 < self.port < 65536:
            raise LifecycleError(f"port: {self.port} is no port; give that which the service listens on, such as 8545")


def objections(
    observed: Observation,
    *,
    marked: bool,
    scope: str,
    goal: t.Collection[str],
    on_host: t.Mapping[str, str],
) -> tuple[Refusal, ...]:
    """What forbids a drill of this service beyond the guards of a restart.

    ``marked``: whether its entry has ``drill: true``; ``goal``: the states in which it is as it is meant to be;
    ``on_host``: what systemd does to the host where the service fails (``FailureAction`` and the like).
    """
    found: list[Refusal] = []
    if not marked:
        hint = "set drill: true in its entry of lifecycle_services, where the service may be taken down on purpose"
        found.append(Refusal("drill", "the service is not marked for drills", hint))
    if scope != "system":
        found.append(Refusal("drill", "it is a service of a user", "drills are for services of the system"))
    if observed.state not in goal or observed.facts is None or not observed.facts.main_pid:
        message = f"it is {observed.state}" + "".join(f": {reason}" for reason in observed.reasons[:1])
        hint = "a drill begins with a healthy service that has a process: recover it first"
        found.append(Refusal("drill", message, hint))
    for name in _HOST_ACTIONS:
        if on_host.get(name, "none") not in ("none", ""):
            message = f"{name}={on_host[name]}: the fault might make systemd do that to the host"
            found.append(Refusal("host_action", message, "choose a service whose failure does not act on its host"))
    return tuple(found)


def goal_of(machine: m.Machine, desired: str) -> t.Collection[str]:
    """The states that count as the desired state of a service."""
    return machine.targets.get(desired, machine.targets[m.RUNNING])


def is_noticed(drill: Drill, observed: Observation, goal: t.Collection[str]) -> bool:
    """Whether an observation shows the fault: the service has left its desired state, or was started again since."""
    if observed.state == m.UNKNOWN:
        return False
    # With a port that is taken the fault itself has started the service anew.
    invocation = observed.facts.invocation if observed.facts is not None and drill.fault != PORT_TAKEN else ""
    anew = invocation not in ("", drill.invocation)
    return anew or observed.state not in goal


def noticed(drill: Drill, observed: Observation, wall: float) -> Drill:
    """The drill whose fault shows at ``wall`` (seconds since the epoch), as an error where it becomes one."""
    after, shown = (
        round(max(wall - drill.at, 0.0), 1),
        f"{observed.state} ({observed.cause})" if observed.cause else observed.state,
    )
    if drill.detected_after is None:
        return replace(drill, detected_after=after, detected_as=shown)
    if observed.base_state != m.ERROR or m.ERROR in drill.detected_as:
        return drill
    return replace(drill, detected_as=f"{drill.detected_as}, then {shown}")


def is_final(drill: Drill, observed: Observation) -> bool:
    """Whether recovery may begin: a service that is cut off is first given time to reconnect by itself."""
    return drill.fault not in CUTS or observed.base_state == m.ERROR


def is_taken_away(drill: Drill, *, well_before: bool, is_armed: bool) -> bool:
    """Whether the end of the drill, or the undo of the host before it, has removed the fault.

    ``well_before``: whether the service was well before the drill was ended; ``is_armed``: whether the undo of the host
    was still to come then.
    """
    return not is_armed or (not well_before and drill.fault not in OVER_AT_ONCE)


def ended_by(drill: Drill, acted: bool) -> str:
    """What ended the fault of a drill whose service is healthy. ``acted``: whether a recovery has changed anything."""
    if drill.lifted_after is not None:
        return BY_UNDO
    return BY_RECOVERY if acted else BY_ITSELF


def lifted(drill: Drill, wall: float) -> Drill:
    """The drill whose fault was taken away at ``wall`` (seconds since the epoch), if it had not been before."""
    return drill if drill.lifted_after is not None else replace(drill, lifted_after=round(max(wall - drill.at, 0.0), 1))


def ended(
    drill: Drill, observed: Observation, wall: float, recovered: bool, *, by_start: bool = True, by: str = ""
) -> Drill:
    """The drill with its outcome. ``observed``: the service as it is now, at ``wall`` (seconds since the epoch).

    ``by_start``: whether its start is all that it takes to be well. One that has probes, or that has to find others,
    came to that later, which systemd does not tell: it counts from when it was seen so. ``by``: what has ended it.
    """
    head = observed.details.get("head")
    blocks = max(head - drill.head, 0) if isinstance(head, int) and drill.head is not None else None
    if not recovered:
        return replace(drill, outcome=FAILED, blocks=blocks)
    since = observed.since if by_start and observed.since is not None and observed.since > drill.at else wall
    after = max(since - drill.at, 0.0)
    # With a full disk a service may go on for a while; every other fault ends at once what it serves.
    served = drill.detected_after if drill.fault == DISK_FULL else 0.0
    lost = 0.0 if drill.detected_after is None else max(after - (served or 0.0), 0.0)
    well = replace(drill, outcome=RECOVERED, recovered_after=round(after, 1), lost=round(lost, 1))
    return replace(well, blocks=blocks, ended_by=by)


UNDO_SCRIPT = """\
# Undoes the drill {fault} of {unit}. It may be run at any time, and more than once.
{more}
unit={unit} holds={holds} starts=${{1:-start}} tries=${{1:+1}}
systemctl stop -- {holder} 2>/dev/null
systemctl kill --signal=SIGCONT -- "$unit" 2>/dev/null
[ "$starts" = start ] || exit 0
in_force() {{
    [ -e "$1" ] || return 1
    expires=$(sed -n 's/^ *"expires": *\\([0-9][0-9]*\\)[.0-9]* *$/\\1/p' "$1")
    [ -z "$expires" ] || [ "$expires" -ge "$(date +%s)" ]
}}
# systemd refuses a start while a stop that was asked for is on its way, which may take minutes.
tries=${{tries:-120}}
while :; do
    # A hold of the service or the host means that nothing is done to it.
    if in_force "$holds/$unit.json" || in_force "$holds/_host.json"; then exit 0; fi
    if systemctl is-active --quiet -- "$unit"; then exit 0; fi
    systemctl reset-failed -- "$unit" 2>/dev/null
    if systemctl --no-block --job-mode=fail start -- "$unit"; then exit 0; fi
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || exit 1
    sleep 5
done
"""


def undo_script(fault: str, unit: str, holder: str, holds: str, more: t.Sequence[str] = ()) -> str:
    """The shell script that removes a fault and, unless its argument is ``stay``, starts a service that is down.

    ``holder``: the unit of the process that holds a port or a disk; ``holds``: the folder of the holds; ``more``: lines
    that undo what only this fault has done.
    """
    return UNDO_SCRIPT.format(
        fault=fault,
        unit=shlex.quote(unit),
        holder=shlex.quote(holder),
        holds=shlex.quote(holds),
        more="\n".join(more),
    )
