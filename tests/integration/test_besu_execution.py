# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Besu as an execution client on hosts: no quorum that could be guarded, whether its consensus client calls it or not."""

from __future__ import annotations

import re
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import deploy
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, until

from .besu_networks import SCALE, BesuNetwork
from .conftest import service_suite

RECOVER = "chainops.lifecycle.recover"
STATUS = "chainops.lifecycle.status"
# A slot has 12 seconds, here half of that.
BLOCK_SCALE, SLOT = 0.5, 6
APIS = ["ETH", "NET", "WEB3", "ADMIN"]


class ExecutionClients(BesuNetwork):
    def install(self, name: str, blocks: int = 0, **options: t.Any) -> None:
        deploy.install(
            self.hosts[name], self.plan, name, scale=SCALE, block_scale=BLOCK_SCALE, rpc_http_api=APIS, **options
        )

    def head_age(self) -> float:
        head = self.call(next(iter(self.hosts)), "eth_getBlockByNumber", "latest", False)
        return time.time() - int(head["timestamp"], 16)


@pytest.fixture(scope="module")
def nodes(make_fleet: t.Callable[..., Fleet], tmp_path_factory: pytest.TempPathFactory) -> ExecutionClients:
    fleet = make_fleet(*(Group(f"x{number}", 1, service_suite()) for number in range(2)))
    folder = Path(tmp_path_factory.mktemp("besu"))
    nodes = ExecutionClients(list(fleet.hosts.values()), 0, fleet.inventory, folder, consensus="engine")
    nodes.up()
    return nodes


def test_no_quorum_of_validators_is_looked_for(nodes: ExecutionClients) -> None:
    well = nodes.play(STATUS)
    assert well.code == 0 and well.output.count(" running ") == 2, well.output
    said = "no quorum of validators decides on blocks here, and no quorum guard applies"
    assert said in " ".join(well.output.split()) and "QBFT" not in well.output, well.output


@pytest.fixture
def silent(nodes: ExecutionClients) -> t.Iterator[ExecutionClients]:
    """The consensus client of the first one has been silent for longer than missed slots explain."""
    name = next(iter(nodes.hosts))
    nodes.fault(name, no_consensus_client=True)
    until(lambda: nodes.head_age() > 8 * SLOT, 90, "it gets no block any more")
    yield nodes
    nodes.fault(name)


def test_recover_does_not_restart_what_waits_for_its_consensus_client(silent: ExecutionClients) -> None:
    """Neither as it is, nor where everything is allowed; the next step is at the consensus client."""
    name, other = silent.hosts
    before = silent.invocations()
    looked = silent.play(STATUS)
    assert re.search(rf"^{name} +besu +error .*consensus_client_unreachable", looked.output, re.MULTILINE)
    everything = {"lifecycle_quorum_lost": "restart_all"}
    for arguments, asked in ((["--check"], {}), ([], {}), ([], everything)):
        played = silent.play(RECOVER, *arguments, lifecycle_max_unhealthy="100%", **asked)
        told = " ".join(played.block(name).split())
        assert played.code == 2 and "REFUSED" in told, played.output
        assert "consensus_client_unreachable" in told and f" {other} besu: " not in played.output, played.output
        assert "start or repair the consensus client" in played.output, "the next step is there"
        assert silent.invocations() == before, "neither it nor the other one was restarted"


def test_whose_consensus_client_is_silent_may_be_stopped_without_a_reservation(nodes: ExecutionClients) -> None:
    """One of two, and the other one after it."""
    for name in nodes.hosts:
        nodes.fault(name, no_consensus_client=True)
    until(lambda: nodes.head_age() > 8 * SLOT, 90, "no block comes any more")
    stopped = nodes.services()
    stopped[0]["state"] = "stopped"
    played = nodes.play(RECOVER, lifecycle_services=stopped, lifecycle_max_unhealthy="100%")
    assert played.code == 0, played.output
    assert "active" not in [nodes.show(name, "ActiveState") for name in nodes.hosts]
