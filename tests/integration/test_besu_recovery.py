# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of one and of four validators on real hosts: recovery, refusal, a lost quorum, a second controller."""

from __future__ import annotations

import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import breaks
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, until

from .besu_networks import PAUSE, BesuNetwork
from .conftest import service_suite

RECOVER = "chainops.lifecycle.recover"
STATUS = "chainops.lifecycle.status"


@pytest.fixture(scope="module")
def chain(make_fleet: t.Callable[..., Fleet], tmp_path_factory: pytest.TempPathFactory) -> BesuNetwork:
    """Four validators, and one node that is none."""
    fleet = make_fleet(*(Group(f"v{number}", 1, service_suite()) for number in range(5)))
    chain = BesuNetwork(list(fleet.hosts.values()), 4, fleet.inventory, Path(tmp_path_factory.mktemp("besu")))
    chain.up()
    return chain


def test_a_network_that_is_well_is_left_alone(chain: BesuNetwork) -> None:
    before = chain.invocations()
    played = chain.play(RECOVER)
    assert (played.code, played.changed) == (0, 0), played.output
    assert "advances at block" in played.output and "4 of 4 take part, quorum ceil(2*4/3) = 3" in played.output
    assert "1 more may stop" in played.output
    assert chain.invocations() == before


def test_what_is_down_comes_back(chain: BesuNetwork) -> None:
    *_others, validator, other = chain.hosts
    chain.stop(validator, other)
    before = chain.invocations()
    planned = chain.play(RECOVER, "--check")
    assert planned.code == 0, planned.output
    assert "PLANNED" in planned.block(validator) and "PLANNED" in planned.block(other)
    assert chain.invocations() == before
    played = chain.play(RECOVER, lifecycle_serial="100%")
    assert played.code == 0, played.output
    assert "proof  consensus, validator, proposed block" in played.block(validator)
    assert "proof  running, at block" in played.block(other)
    assert "3 of 4 take part" in played.output
    assert played.pause <= PAUSE + played.late


@pytest.mark.long
def test_a_lost_quorum_is_told_and_fixed_only_when_asked(chain: BesuNetwork) -> None:
    first, _second, *missing, other = chain.hosts
    until(lambda: chain.age(first) > 65, 90, "the validators are no longer young")
    chain.stop(*missing)
    head = chain.head()
    until(lambda: "Moved to round 3" in chain.hosts[first].sh("journalctl -u besu -n 200 -o cat").stdout, 60, "rounds")
    before = chain.invocations()
    status = chain.play(STATUS)
    assert "STALLED at block" in status.output and "chain_stalled" in status.output
    assert "2 of 4 seen, quorum 3" in status.output and "rounds: " in status.output

    refused = chain.play(RECOVER)
    assert refused.code == 2
    assert "REFUSED: a chain is stalled" in refused.output and "lifecycle_quorum_lost=restart_all" in refused.output
    assert "start the missing validators first" in refused.output and "the rounds converge in about" in refused.output
    assert chain.invocations() == before and chain.head() <= head + 1

    # Where a host has one Besu only, what its unit is called does not matter.
    named = [{**entry, "name": "besu.service"} for entry in chain.services()]
    asked: dict[str, t.Any] = {"own": {first: named}, "lifecycle_quorum_lost": "restart_all"}
    few = chain.play(RECOVER, "--check", "--forks", "3", **asked)
    assert few.code == 2 and "4 validators have to be restarted at the same time" in few.output
    assert "REFUSED" in few.block(missing[0]) and "--forks 4 " in few.block(missing[0])
    assert chain.invocations() == before

    planned = chain.play(RECOVER, "--check", **asked)
    assert planned.code == 0 and len(planned.outcome["planned"]) == 4, planned.output
    assert chain.invocations() == before

    began = time.monotonic()
    fixed = chain.play(RECOVER, **asked)
    assert fixed.code == 0, fixed.output
    print(f"a quorum lost for {fixed.pause:.0f} s was back after {time.monotonic() - began:.0f} s")
    assert len(fixed.outcome["recovered"]) == 4
    after = chain.invocations()
    assert after[other] == before[other]
    assert all(after[name] != before[name] for name in chain.validators)
    chain.until_moving()


def test_two_controllers_never_take_two_validators_offline(chain: BesuNetwork) -> None:
    """Both see that one may stop, and each wants to stop another one."""
    first, second, *_others = chain.hosts
    chain.until_moving(8)
    chain.let_grant()
    stop = chain.services()
    stop[0]["state"] = "stopped"

    with ThreadPoolExecutor(2) as pool:
        played = list(pool.map(lambda name: chain.play(RECOVER, "--limit", name, own={name: stop}), (first, second)))
    stopped = [name for name in (first, second) if chain.show(name, "ActiveState") != "active"]
    assert len(stopped) == 1, "\n".join(one.output for one in played)
    loser = played[1] if stopped == [first] else played[0]
    assert loser.code == 2 and ("has the right to take" in loser.output or "would stop" in loser.output)
    assert all(one.pause <= PAUSE + one.late for one in played)
    chain.up()


@pytest.mark.long
def test_a_refusal_and_a_host_that_vanishes_in_the_middle(chain: BesuNetwork) -> None:
    """One that answers nobody but takes part is restarted while the others are enough, and not for one moment longer."""
    hung, gone, *_others, other = chain.hosts
    until(lambda: chain.age(hung) > 65, 90, "the validators are no longer young")
    chain.fault_until_stopped(hung, hang=True)
    chain.stop(other)
    before = chain.show(hung, "InvocationID")
    vanished = threading.Event()

    def vanish(_head: int) -> None:
        if not vanished.is_set() and chain.show(other, "ActiveState") == "active":
            vanished.set()
            chain.hosts[gone].unplug()

    try:
        # A look after the first wave would stop for the host that is lost, before the guard is asked.
        played = chain.play(RECOVER, watch=vanish, lifecycle_soak=0)
    finally:
        chain.hosts[gone].unplug(False)
    assert vanished.is_set()
    assert played.code == 2
    assert "RECOVERED" in played.block(other) and "REFUSED" in played.block(hung), played.output
    assert "quorum ceil(2*4/3) = 3" in played.block(hung)
    assert chain.show(hung, "InvocationID") == before
    assert played.pause <= PAUSE + played.late

    until(lambda: chain.height(gone) >= chain.head() - 1, 60, "the host is back")
    fixed = chain.play(RECOVER)
    assert fixed.code == 0, fixed.output
    assert "RECOVERED" in fixed.block(hung) and "unresponsive" in fixed.block(hung)
    assert fixed.pause <= PAUSE + fixed.late


def test_a_network_of_one(chain: BesuNetwork, tmp_path: Path) -> None:
    """A validator that is alone is started when it is down; that it is restarted somebody has to allow."""
    host = next(iter(chain.hosts.values()))
    alone = BesuNetwork([host], 1, chain.inventory, tmp_path)
    for other in list(chain.hosts.values()):
        other.sh(breaks.FIXES)
    alone.up()
    alone.stop(host.name)
    played = alone.play(RECOVER)
    assert played.code == 0 and "proof  consensus" in played.block(host.name), played.output
    assert "1 of 1 take part" in played.output
