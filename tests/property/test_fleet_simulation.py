# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random fleets are recovered in waves while hosts are lost, services fall and a second controller is at work.

After every step: no quorum and no tunnel was broken by a controller. Of each batch: no two of a failure domain, of a
chain, of a tunnel. Of each run: the canary before the rest, everything recoverable recovered, everything else named.
``CHAINOPS_SIMULATED_FLEETS`` sets the number of fleets, 10,000 for a release.
"""

from __future__ import annotations

import os
import random
import typing as t
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum as q
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import replicas
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _outcomes as o
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _waves
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._recovery_plan import Pacing
from ansible_collections.chainops.lifecycle.tests.property import fleet_model as f

FLEETS = int(os.environ.get("CHAINOPS_SIMULATED_FLEETS", "500"))
SIZES: list[dict[str, t.Any]] = [
    {"waves": None}, {"waves": [1]}, {"waves": ["100%"]}, {"waves": [2, "50%"]}, {"serial": 3}, {"serial": [1, "100%"]},
]  # fmt: skip


class Fleet(t.NamedTuple):
    hosts: list[f.Host]
    pacing: Pacing
    trouble: float
    rivals: int
    seed: int


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    racks = draw(st.sampled_from(["r1", "r1 r2", "r1 r2 r3 r4 r5 r6 r7 r8"])).split()
    unknown = draw(st.booleans()) and draw(st.booleans())
    hosts = [_host(draw, number, racks, unknown) for number in range(draw(st.integers(1, 8)))]
    for host in hosts:
        host.reachable = draw(st.integers(0, 9)) > 0
    domains = {host.name: {"rack": [host.rack] if host.rack else []} for host in hosts}
    pacing = Pacing(**draw(st.sampled_from(SIZES)), domains=domains, soak=draw(st.sampled_from([0.0, 5.0])))
    trouble = draw(st.sampled_from([0.0, 0.0, 0.03, 0.15]))
    return Fleet(hosts, pacing, trouble, draw(st.integers(0, 2)), draw(st.integers(0, 2**32)))


def _host(draw: st.DrawFn, number: int, racks: list[str], unknown: bool) -> f.Host:
    kinds = draw(st.lists(st.sampled_from(["generic", "besu", "cloudflared"]), min_size=1, max_size=3, unique=True))
    services = [_service(draw, kind, number) for kind in kinds]
    rack = None if unknown and draw(st.booleans()) else draw(st.sampled_from(racks))
    return f.Host(f"h{number}", rack, services)


def _service(draw: st.DrawFn, kind: str, number: int) -> f.Service:
    of = draw(st.sampled_from(["0xa", "0xa", "0xb"] if kind == "besu" else ["t1", "t2"])) if kind != "generic" else ""
    service = f.Service(kind, kind, of, address=f"0x{number}")
    how = draw(st.sampled_from(["well", "well", "down", "hung"]))
    service.up, service.well = how != "down", how == "well"
    service.connections = 4 if service.kind == "cloudflared" and (how == "well" or draw(st.booleans())) else 0
    if how != "well":
        service.held, service.fixes = draw(st.integers(0, 9)) == 0, draw(st.integers(0, 9)) > 0
        service.severity = draw(st.sampled_from(["soft"] * 5 + ["hard"]))
    return service


def make(fleet: Fleet) -> f.World:
    world = f.World(fleet.hosts, random.Random(fleet.seed), fleet.trouble)
    world.rivals = [f.rival(world) for _number in range(fleet.rivals)]
    return world


def check(world: f.World, report: f.Report, fleet: Fleet, quiet: bool) -> None:
    planned = [host for wave in report.plan["waves"] for host in wave["hosts"]]
    assert len(planned) == len(set(planned)) and set(planned) == {host for host, _service in report.due}
    for host, service in report.due:
        check_outcome(world, report, host, service, quiet)
    unknown = [name for name in world.hosts if name in report.plan["unknown"]]
    assert all(report.entries[name, ""] == o.UNKNOWN for name in unknown)
    if fleet.pacing.waves is None and fleet.pacing.serial is None and planned:
        check_canary(report, planned[0])


def check_outcome(world: f.World, report: f.Report, host: str, name: str, quiet: bool) -> None:
    """The outcome of a service in need; ``quiet``: nothing but the run acted on it."""
    outcome = report.entries[host, name]
    assert outcome != (o.HEALTHY if report.stopped else o.NOT_ATTEMPTED)
    assert host not in report.blind or outcome in (o.UNKNOWN, o.FAILED)
    if host in report.lost or not quiet:
        return
    is_back = outcome in (o.RECOVERED, o.SELF_RECOVERED)
    now = next(one for one in world.hosts[host].services if one.name == name)
    assert not is_back or (now.up and now.well)
    assert is_back or report.stopped or not can_be_recovered(now, world), (host, name, outcome)


def check_canary(report: f.Report, canary: str) -> None:
    """It is the first wave, and nobody comes after it where it was harmed."""
    assert report.plan["waves"][0]["batches"] == [1]
    acted = [host for host, _service in report.acted]
    assert canary not in acted or acted[0] == canary
    harmed = any(report.entries[key] == o.FAILED for key in report.due if key[0] == canary)
    assert not harmed or report.stopped
    assert not report.stopped or acted[-1:] != [canary] or set(acted) == {canary}


def can_be_recovered(service: f.Service, world: f.World) -> bool:
    """Whether nothing stands against it, as far as this does not depend on what others did before."""
    if service.held or service.severity != "soft" or not service.fixes:
        return False
    if service.kind == "besu" and service.invocation == 1 and service.up:
        return False  # it hangs still: the quorum may need it
    return not (service.kind == "cloudflared" and service.invocation == 1 and service.serves)


def run(fleet: Fleet, counts: Counter[str] | None = None) -> None:
    world = make(fleet)
    quiet = not fleet.trouble and not fleet.rivals
    report = f.recover(world, fleet.pacing)
    check(world, report, fleet, quiet)
    if counts is not None:
        counts.update(report.entries.values())
        counts.update(["fleets", "stopped"] if report.stopped else ["fleets"])
    # Whatever became of that run, the next one goes on where the fleet is. A person has fixed what did not come back.
    world.trouble, world.rivals, world.now = 0.0, [], world.now + 1000.0
    for host in world.hosts.values():
        host.reachable = True
        for service in host.services:
            service.fixes, service.worked_on = True, ""
    again = f.recover(world, fleet.pacing)
    assert not again.stopped and again.due == {key for key in again.entries if key in again.due}
    check(world, again, fleet, quiet=True)


def test_random_fleets() -> None:
    counts: Counter[str] = Counter()

    @settings(max_examples=FLEETS, deadline=None, suppress_health_check=list(HealthCheck))
    @given(fleets())
    def simulate(fleet: Fleet) -> None:
        run(fleet, counts)

    simulate()
    print("\n" + ", ".join(f"{number} {word}" for word, number in sorted(counts.items())))
    # The world was no paradise, and the guards no wall.
    assert min(counts[word] for word in (o.RECOVERED, o.REFUSED, o.FAILED, o.UNKNOWN, "stopped")) > 0


@pytest.mark.parametrize(
    ("name", "careless"),
    [
        ("racks", lambda monkeypatch: monkeypatch.setattr(_waves, "in_batches", _all_at_once)),
        ("quorum", lambda monkeypatch: monkeypatch.setattr(q, "_too_few", lambda *_arguments: "")),
        ("replicas", lambda monkeypatch: monkeypatch.setattr(replicas, "not_reserved", lambda *_arguments: None)),
    ],
)
def test_the_model_shows_the_harm_of_a_careless(
    monkeypatch: pytest.MonkeyPatch, name: str, careless: t.Callable[[pytest.MonkeyPatch], None]
) -> None:
    careless(monkeypatch)
    # The first that breaks will do: a smaller one says no more here.
    few = settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    find(fleets(), _breaks, settings=few)


def _all_at_once(members: t.Sequence[_waves.WaveMember]) -> _waves.Wave:
    return [[member.host for member in members]] if members else []


def _breaks(fleet: Fleet) -> bool:
    try:
        f.recover(make(fleet), fleet.pacing)
    except f.Broken:
        return True
    return False
