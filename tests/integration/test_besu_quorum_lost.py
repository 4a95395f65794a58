# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lost quorum, two of four and three of seven down, with nodes that listen at once and answer 5 to 15 s later, as a new JVM does."""

from __future__ import annotations

import itertools
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import breaks, network
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, until

from . import test_monitoring as monitoring
from .besu_networks import BESU, PAUSE, BesuNetwork
from .conftest import service_suite

RECOVER = "chainops.lifecycle.recover"
ASKED: dict[str, t.Any] = {"lifecycle_quorum_lost": "restart_all", "lifecycle_max_unhealthy": "100%"}
# How many seconds after it opened the RPC of each started node begins to answer.
SILENCE = itertools.cycle((5, 15, 9, 12))


@pytest.fixture(scope="module")
def hosts(make_fleet: t.Callable[..., Fleet]) -> Fleet:
    return make_fleet(*(Group(f"v{number}", 1, service_suite()) for number in range(7)))


def chain_of(fleet: Fleet, count: int, folder: Path) -> BesuNetwork:
    hosts = list(fleet.hosts.values())
    for host in hosts:
        host.sh(f"systemctl stop besu || true; {breaks.FIXES}")
    chain = BesuNetwork(hosts[:count], count, fleet.inventory, folder)
    chain.up()
    return chain


def lose(chain: BesuNetwork, count: int, round_: int = 2) -> list[str]:
    """The last validators go down; they, and all others, answer late after their next start. Their names."""
    for name, silence in zip(chain.validators, SILENCE, strict=False):
        chain.fault(name, silent_start=silence)
    missing = chain.validators[-count:]
    first = chain.validators[0]
    until(lambda: chain.age(first) > 65, 90, "the validators are no longer young")
    chain.stop(*missing)
    head = chain.head()
    moved = f"Moved to round {round_}"
    until(lambda: moved in chain.hosts[first].sh("journalctl -u besu -n 200 -o cat").stdout, 60, moved)
    assert chain.head() <= head + 1
    return missing


def test_two_of_four_are_down(hosts: Fleet, tmp_path: Path) -> None:
    chain = chain_of(hosts, 4, tmp_path)
    *_others, wiped, slow = lose(chain, 2)
    # One of them comes back with an empty data directory: it answers, syncs, is level, and does not vote.
    chain.hosts[wiped].sh(f"rm -rf {network.DATA}/*")
    chain.fault(wiped, no_consensus=True)
    single: list[dict[str, t.Any]] = [{**entry, "max_attempts": 1, "attempt_backoff": 60} for entry in chain.services()]
    single[0]["besu"]["hang_timeout"] = 20

    chain.fault(slow, no_consensus=True)
    before = chain.invocations()
    refused = chain.play(RECOVER, lifecycle_services=single, lifecycle_quorum_lost_timeout=25, **ASKED)
    assert refused.code == 2, refused.output
    assert "4 of 4 services on 4 hosts need recovery" in refused.output and "0 of 4 services" not in refused.output
    told = refused.block(chain.validators[0])
    assert "2 of 4 validators are shown to vote, quorum 3" in told, refused.output
    assert f"{wiped}: it answers, and has sent no round since it was started" in told
    assert "-e lifecycle_quorum_lost=restart_all -e lifecycle_quorum_lost_timeout=50" in told
    assert f"ansible {','.join(chain.validators)} --become --forks 4 -m ansible.builtin.systemd_service" in told
    after = chain.invocations()
    assert all(after[name] == before[name] for name in chain.validators[:2]), "those who run were left alone"

    # Each service may be tried once, and the run that failed has started two of them.
    for name in (wiped, slow):
        chain.fault(name, silent_start=5)
    chain.stop(slow)
    until(lambda: chain.age(wiped) > 65, 90, "it is no longer young, and votes after a restart alone")
    observed: list[dict[str, t.Any]] = []

    def stalls() -> bool:
        observed.append(chain.observe(wiped, single))
        return bool(observed[-1]["cause"] == "chain_stalled")

    until(stalls, 60, "it reports the stall as well")
    print(*[(one["age"], one["state"], one["reasons"]) for one in observed], sep="\n")
    before, began = chain.invocations(), time.monotonic()
    mended = chain.play(RECOVER, lifecycle_services=single, **ASKED)
    print(f"a quorum lost for {mended.pause:.0f} s was back after {time.monotonic() - began:.0f} s")
    assert mended.code == 0 and len(mended.outcome["recovered"]) == 4, mended.output
    after = chain.invocations()
    assert all(after[name] != before[name] for name in chain.validators)
    chain.until_moving()


def test_the_metrics_report_the_stall(hosts: Fleet, tmp_path: Path) -> None:
    """Each run of the program takes a sample or two. The first one after the stall finds a newer head than the one before."""
    chain = chain_of(hosts, 4, tmp_path)
    first, *_others = chain.hosts.values()
    first.run("mkdir", "-p", monitoring.FOLDER)
    node = {"name": "besu", "kind": "besu", "besu": {**BESU, "rpc_url": f"http://{first.address}:8545"}}
    monitoring.play(hosts, tmp_path, "--limit", first.name, state_monitoring_services=[node])

    def stalled() -> float:
        first.sh(monitoring.RUN)
        return monitoring.total(monitoring.samples(first), "besu_chain_stalled")

    until(lambda: chain.age(first.name) > 65, 90, "the process is no longer young, and its head may be called old")
    assert [stalled(), stalled()] == [0, 0]
    chain.stop(*chain.validators[2:])
    # Two of the longest pauses of a living chain: as long as that, the head may have advanced since the run before.
    until(lambda: chain.pause(chain.head()) > 2 * PAUSE, 60, "no block comes")
    assert [stalled(), stalled()] == [1, 1]


@pytest.mark.long
def test_three_of_seven_are_down(hosts: Fleet, tmp_path: Path) -> None:
    chain = chain_of(hosts, 7, tmp_path)
    # A round that lasts a minute, so that the rounds do not meet by themselves while the others are asked.
    missing = lose(chain, 3, round_=5)
    patient = chain.services()
    patient[0]["besu"]["hang_timeout"] = 20
    before, began = chain.invocations(), time.monotonic()
    mended = chain.play(RECOVER, "--forks", "7", lifecycle_services=patient, **ASKED)
    print(f"a quorum lost for {mended.pause:.0f} s was back after {time.monotonic() - began:.0f} s")
    assert mended.code == 0 and len(mended.outcome["recovered"]) == 7, mended.output
    assert "7 of 7 services on 7 hosts need recovery" in mended.output
    after = chain.invocations()
    assert all(after[name] != before[name] for name in chain.validators)
    assert all(chain.show(name, "ActiveState") == "active" for name in missing)
    chain.until_moving()
