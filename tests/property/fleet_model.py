# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of a fleet, its faults and its controllers, for the simulation of a recovery in waves.

The plan, the guards, the grants and the outcomes are the collection's own. The
world is made here: hosts that are lost in the middle, services that fall by
themselves or do not come back, and a second controller that restarts what it
likes under the same guards. A step is what happens between two moments at
which others may act.
"""

from __future__ import annotations

import collections
import itertools
import random
import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum as q
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import reservation as r
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.chain_view import ChainView
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import replicas
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import grants as g
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import guards
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Hold
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.state_machine import Step
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _recovery_plan, _regressions, _reports
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import NEEDS_RECOVERY, make_row
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._recovery_steps import not_observed
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._replica_reservation import (
    replica_grants,
    replica_requests,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import ObservationView

LONG_AGO = 1e6
WELL = {"generic": "running", "besu": "consensus", "cloudflared": "running"}
Result = dict[str, t.Any]
Attempt = t.Generator[None, None, Result | None]


@dataclass
class Service:
    """``of``: its chain or tunnel. ``well``: whether it does its work while it is up. ``fixes``: whether an act helps."""

    name: str
    kind: str = "generic"
    of: str = ""
    up: bool = True
    well: bool = True
    held: bool = False
    severity: str = "soft"
    fixes: bool = True
    connections: int = 0
    invocation: int = 1
    address: str = ""
    worked_on: str = ""

    @property
    def state(self) -> str:
        return WELL[self.kind] if self.up and self.well else "error"

    @property
    def serves(self) -> bool:
        return self.up and self.connections > 0

    def details(self) -> dict[str, t.Any]:
        if self.kind == "besu":
            return {"validator": True, "genesis": self.of, "address": self.address}
        return {"tunnel_id": self.of, "connections": self.connections if self.up else 0}

    def as_seen(self) -> dict[str, t.Any]:
        """As service_info returns it."""
        cause = {"id": "oom", "class": self.severity, "summary": "no memory"}
        return {
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "reasons": ["seen"],
            "hold": {"owner": "ann", "reason": "disk"} if self.held else None,
            "unit_facts": {
                "active_state": "active" if self.up else "failed",
                "sub_state": "running" if self.up else "failed",
                "invocation_id": str(self.invocation),
            },
            "diagnosis": {"causes": [] if self.state != "error" else [cause]},
            self.kind: self.details(),
        }

    def observation(self) -> Observation:
        base = "running" if self.state != "error" else "error"
        return Observation(
            self.name, self.name, self.kind, self.state, base, ("seen",), details=self.details() if self.of else {}
        )


@dataclass
class Host:
    name: str
    rack: str | None
    services: list[Service]
    reachable: bool = True
    grants: dict[str, g.Grant] = field(default_factory=dict)

    def seen(self) -> dict[str, t.Any]:
        if not self.reachable:
            return {"unreachable": True, "msg": "no route"}
        return {"services": [one.as_seen() for one in self.services]}

    @property
    def described(self) -> list[dict[str, t.Any]]:
        return [{"name": one.name, "kind": one.kind} for one in self.services]


class Broken(AssertionError):
    """Something that never may happen."""


class World:
    def __init__(self, hosts: t.Sequence[Host], dice: random.Random, trouble: float) -> None:
        self.hosts = {host.name: host for host in hosts}
        self.dice, self.trouble = dice, trouble
        self.now = 0.0
        self.owners = itertools.count()
        self.acts: list[tuple[str, str, str]] = []
        self.rivals: list[t.Iterator[t.Any]] = []
        # How often a service of a chain or a tunnel failed, or its host came or went, by itself.
        self.mishaps: collections.Counter[str] = collections.Counter()

    def services(self, kind: str, of: str) -> list[tuple[Host, Service]]:
        return [
            (host, one) for host in self.hosts.values() for one in host.services if (one.kind, one.of) == (kind, of)
        ]

    def taking_part(self, chain: str) -> set[str]:
        return {one.address for host, one in self.services("besu", chain) if host.reachable and one.up and one.well}

    def serving(self, tunnel: str) -> int:
        return sum(one.serves and host.reachable for host, one in self.services("cloudflared", tunnel))

    def view(self, chain: str) -> ChainView:
        """What two looks at all nodes of a chain show."""
        nodes = self.services("besu", chain)
        members = tuple(one.address for _host, one in nodes)
        part = self.taking_part(chain)
        answer = {one.address for host, one in nodes if host.reachable and one.up}
        return ChainView(
            validators=members,
            next_validators=members,
            first_head=100,
            head=100 + (len(part) >= q.quorum(len(members))),
            head_age=1.0,
            last_proposed={member: 100 - number for number, member in enumerate(sorted(part))},
            proposed_to=100,
            followers={member: member in part for member in answer},
            links={member: frozenset(part - {member}) for member in part},
            witnessed=tuple(frozenset(part - {member}) for member in part),
            genesis=chain,
        )

    def step(self) -> None:
        """A moment passes in which others may act, and things happen by themselves."""
        self.now += self.dice.choice((0.1, 1.0, 3.0))
        if self.rivals and self.dice.random() < 0.7:
            rival = self.dice.choice(self.rivals)
            if next(rival, self) is self:
                self.rivals.remove(rival)
        if self.dice.random() < self.trouble:
            host = self.dice.choice(list(self.hosts.values()))
            service = self.dice.choice(host.services)
            if self.dice.random() < 0.4:
                host.reachable = not host.reachable
                self.mishaps.update(one.of for one in host.services)
            elif not service.worked_on:
                service.up = service.well = False
                self.mishaps[service.of] += 1

    def take(self, who: str, host: Host, service: Service, mishaps: int) -> None:
        """Take a service offline, and see what that does.

        ``mishaps``: those of its chain or tunnel when the hosts were asked. A replica that fails by itself after its
        host has granted is nobody's doing: no host can know of it in time.
        """
        part, serving = self.taking_part(service.of), self.serving(service.of)
        self.acts.append((who, host.name, service.name))
        service.worked_on, service.up = who, False
        left = self.taking_part(service.of)
        needed = q.quorum(len(self.services("besu", service.of)))
        if service.kind == "besu" and left != part and len(left) < needed:
            raise Broken(f"{who} broke the quorum of {service.of} at {host.name}: {len(left)} of {needed} are left")
        of_itself = self.mishaps[service.of] != mishaps
        if service.kind == "cloudflared" and serving and not self.serving(service.of) and not of_itself:
            raise Broken(f"{who} took the last replica of {service.of} away at {host.name}")


def attempt(world: World, host: Host, service: Service, who: str, *, wanted: bool = False) -> Attempt:
    """What the role does for one service: observe, reserve, guard, act, release. ``wanted``: in need or not."""
    view = ObservationView.from_dict(service.as_seen())
    if not wanted and make_row(host.name, view, {}).verdict != NEEDS_RECOVERY:
        return None
    owner = f"{who} {next(world.owners)}"
    holder = owner
    granted: list[tuple[Host, str]] = []
    mishaps = world.mishaps[service.of]
    try:
        if service.kind == "besu" and service.up:
            granted = yield from _ask_chain(world, host, service, owner)
        elif service.kind == "cloudflared" and service.serves:
            granted, holder = yield from _ask_replicas(world, host, service, owner)
        yield
        if not host.reachable:
            return _result(service, unreachable=True, msg="no route")
        refused = _refusals(world, host, service, holder)
        if refused:
            return _result(service, blocked_by=[one.as_dict() for one in refused])
        # The look right before it and the step are one: a host acts on what it has just seen.
        world.take(who, host, service, mishaps)
        while world.dice.random() < 0.5:
            yield
        return _outcome(host, service)
    finally:
        _release(granted, owner)


def _release(granted: t.Iterable[tuple[Host, str]], owner: str) -> None:
    for at, network in granted:
        held = at.grants.get(network)
        if at.reachable and held is not None and held.owner.partition(" for ")[0] == owner:
            del at.grants[network]


def _ask_chain(
    world: World, host: Host, service: Service, owner: str
) -> t.Generator[None, None, list[tuple[Host, str]]]:
    """The host of the validator first, then those of the others, until more than half of the set has granted."""
    nodes = world.services("besu", service.of)
    nodes.sort(key=lambda node: node[1] is not service)
    granted: dict[str, Host] = {}
    for at, node in nodes:
        if at.reachable and not r.enough(granted, [one.address for _host, one in nodes]):
            held = at.grants.get(service.of)
            answer = r.decide(held, owner, service.address, now=world.now, alive_for=LONG_AGO)
            if not answer.refused and answer.grant is not None:
                at.grants[service.of] = answer.grant
                granted[node.address] = at
            yield
    found = [(at, service.of) for at in granted.values()]
    if r.enough(granted, [one.address for _host, one in nodes]):
        return found
    _release(found, owner)
    return []


def _ask_replicas(
    world: World, host: Host, service: Service, name: str
) -> t.Generator[None, None, tuple[list[tuple[Host, str]], str]]:
    described = {one.name: one.described for one in world.hosts.values()}
    key = f"{host.name}/{service.name}"
    turn = {"key": key, "host": host.name, "service": service.name, "tunnel": service.of}
    results: list[dict[str, t.Any]] = []
    granted: list[tuple[Host, str]] = []
    for ask in replica_requests([turn], described, {}, name):
        at = world.hosts[ask["host"]]
        results.append({**_answer(world, at, ask), "ask": ask})
        if results[-1].get("granted"):
            granted.append((at, service.of))
        yield
        if (ask["own"] and not results[-1].get("granted")) or results[-1].get("healthy"):
            break
    return granted, replica_grants(results, "ask")["held"].get(key, "nobody")


def _answer(world: World, at: Host, ask: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What ``cloudflared_reservation`` says on a host."""
    if not at.reachable:
        return {"unreachable": True}
    held = at.grants.get(ask["tunnel"])
    answer = g.decide(held, ask["owner"], ask["target"], now=world.now, alive_for=LONG_AGO, ttl=replicas.TTL)
    if answer.refused or answer.grant is None:
        return {"granted": False, "reason": answer.refused, "holder": {}}
    asked = {one["name"] for one in ask["services"]}
    there = [one for one in at.services if one.name in asked]
    healthy = [one.name for one in there if not replicas.doubt(one.observation(), ask["tunnel"], one.worked_on)]
    if not healthy and not ask["own"]:
        return {"granted": False, "reason": "none is healthy"}
    at.grants[ask["tunnel"]] = answer.grant
    return {"granted": True, "healthy": healthy}


def _refusals(world: World, host: Host, service: Service, owner: str) -> list[Refusal]:
    """Every objection, of the guards of all services and of those of the kind."""
    context = guards.GuardContext(
        step=Step(service.state, "restart" if service.up else "start", "running"),
        observation=service.observation(),
        hold=Hold(service.name, "ann", "disk", 0.0) if service.held else None,
        job_type="restart" if service.worked_on else "",
        cause_severity=service.severity if service.state == "error" else None,
        cause="oom",
    )
    found = list(guards.check(context))
    held = host.grants.get(service.of)
    if service.kind == "besu" and service.up:
        verdict = q.may_stop(world.view(service.of), service.address, q.ChainTiming(), same_chain=True)
        said = "" if verdict.safe else verdict.reason
        part = service.address in verdict.taking_part
        why = said or (r.usable(held, owner, service.address, world.now) if part else "")
        found += [Refusal("quorum" if said else "reservation", why, "look")] if why else []
    if service.kind == "cloudflared" and service.serves:
        refused = replicas.not_reserved(held, owner, service.name, service.of, world.now)
        found += [refused] if refused else []
    return found


def _outcome(host: Host, service: Service) -> Result:
    service.worked_on = ""
    service.up = service.well = service.fixes
    service.invocation += service.fixes
    service.connections = 4 if service.kind == "cloudflared" and service.fixes else 0
    if not host.reachable:
        return _result(service, unreachable=True, msg="lost in the middle")
    step = {"trigger": "restart", "action": "systemctl restart", "applied": True}
    return _result(service, reached=service.fixes, changed=True, after=service.as_seen(), transitions=[step])


def _result(service: Service, **more: t.Any) -> Result:
    said = {"reached": False, "changed": False, "msg": "it stayed as it is", **more}
    return {"name": service.name, "kind": service.kind, "state": service.state, **said}


def rival(world: World) -> t.Iterator[None]:
    """Another controller, which restarts a few services that it likes to, in no order of ours."""
    for _number in range(world.dice.randint(1, 4)):
        host = world.dice.choice(list(world.hosts.values()))
        service = world.dice.choice(host.services)
        if host.reachable and not service.worked_on:
            yield from attempt(world, host, service, "rival", wanted=True)
        yield


@dataclass
class Report:
    """How a run ended. ``entries``: (host, service) -> outcome. ``lost``: hosts that were away during the run.

    ``blind``: those of them that were away when their turn came.
    """

    plan: dict[str, t.Any]
    entries: dict[tuple[str, str], str]
    stopped: bool
    due: set[tuple[str, str]]
    lost: set[str]
    acted: list[tuple[str, str]]
    blind: set[str]


def recover(world: World, pacing: _recovery_plan.Pacing) -> Report:
    """What the playbook does, batch by batch."""
    described = {name: host.described for name, host in world.hosts.items()}
    seen = {name: host.seen() for name, host in world.hosts.items()}
    lost = {name for name, host in world.hosts.items() if not host.reachable}
    down = racks_down(world)
    plan = _recovery_plan.recovery_plan(seen, described, "100%", pacing=pacing)
    needs = [row for row in plan["rows"] if row["verdict"] == NEEDS_RECOVERY]
    results: dict[str, list[Result]] = {}
    regressions: list[dict[str, str]] = []
    began, stopped = len(world.acts), False
    for number, wave in enumerate(plan["waves"], 1):
        hosts = iter(wave["hosts"])
        for size in wave["batches"]:
            batch = [world.hosts[next(hosts)] for _host in range(size)]
            check_batch(world, batch, needs, down)
            _side_by_side(world, batch, results, lost)
            stopped = stopped or _reports.harm(results, plan, 0, regressions)["stops"]
            if stopped:
                break
        if not stopped and wave["observe_after"]:
            world.step()
            again = {name: host.seen() for name, host in world.hosts.items() if "services" in seen[name]}
            regressions += _regressions.regressed_services(again, described, plan, results, number)
            stopped = _reports.harm(results, plan, 0, regressions)["stops"]
        if stopped:
            break
    entries = {(one.host, one.service): one.outcome for one in _reports.recovery_entries(results, plan, regressions)}
    acted = [(host, name) for who, host, name in world.acts[began:] if who == "recover"]
    due = {(row["host"], row["service"]) for row in needs}
    blind = {host for host, done in results.items() if any(one.get("observed") is False for one in done)}
    return Report(plan, entries, stopped, due, lost, acted, blind)


def _side_by_side(world: World, batch: t.Sequence[Host], results: dict[str, list[Result]], lost: set[str]) -> None:
    work = {host.name: _recover_host(world, host, results) for host in batch}
    while work:
        name = world.dice.choice(list(work))
        if next(work[name], world) is world:
            del work[name]
        world.step()
        lost |= {name for name, host in world.hosts.items() if not host.reachable}


def _recover_host(world: World, host: Host, results: dict[str, list[Result]]) -> t.Iterator[None]:
    mine: list[Result] = results.setdefault(host.name, [])
    if not host.reachable:
        mine += not_observed(host.seen(), host.name)
        return
    for service in host.services:
        result = yield from attempt(world, host, service, "recover")
        mine += [result] if result is not None else []


def racks_down(world: World) -> set[str]:
    """The racks in which nothing is up, as far as the controller can know."""
    alive = [host for host in world.hosts.values() if not host.reachable or any(one.up for one in host.services)]
    if any(host.rack is None for host in alive):
        return set()  # it may be in any
    return {host.rack for host in world.hosts.values() if host.rack} - {host.rack for host in alive}


def check_batch(
    world: World, batch: t.Sequence[Host], needs: t.Sequence[t.Mapping[str, t.Any]], down: t.Collection[str]
) -> None:
    """What is worked on side by side shares no rack, chain and tunnel."""
    for one, other in itertools.combinations(batch, 2):
        # Of two racks, one of them not known, that which both may be in is the one that is known.
        known = {rack for rack in (one.rack, other.rack) if rack}
        if (one.rack == other.rack or None in (one.rack, other.rack)) and (not known or known - set(down)):
            raise Broken(f"{one.name} and {other.name} are of one failure domain")
        names = {(row["host"], row["service"]) for row in needs}
        groups = [
            {(s.kind, s.of) for s in host.services if s.of and (host.name, s.name) in names} for host in (one, other)
        ]
        if groups[0] & groups[1]:
            raise Broken(f"{one.name} and {other.name} both have {groups[0] & groups[1]}")
