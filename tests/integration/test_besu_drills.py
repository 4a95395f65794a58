# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills in a network of four validators and a node: the chain goes on, and a node without peers is shown as such."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host, until

from .besu_networks import PAUSE, BesuNetwork, Played
from .conftest import service_suite

pytestmark = pytest.mark.long

DRILL = "chainops.lifecycle.drill"


@pytest.fixture(scope="module")
def chain(make_fleet: t.Callable[..., Fleet], tmp_path_factory: pytest.TempPathFactory) -> BesuNetwork:
    fleet = make_fleet(*(Group(f"d{number}", 1, service_suite()) for number in range(5)))
    chain = BesuNetwork(list(fleet.hosts.values()), 4, fleet.inventory, Path(tmp_path_factory.mktemp("besu")))
    chain.up()
    chain.let_grant()
    return chain


def drill(chain: BesuNetwork, name: str, fault: str, *arguments: str, **given: t.Any) -> Played:
    services = [{**one, "drill": True, "wait_timeout": 15} for one in chain.services()]
    known = {"lifecycle_drill_service": f"{name}/besu", "lifecycle_drill_fault": fault, **given}
    return chain.play(DRILL, *arguments, lifecycle_services=services, **known)


def told(played: Played) -> str:
    """The summary of a drill."""
    return played.output.rpartition("\nDRILL\n")[2].partition("\nok:")[0]


def kept(host: Host) -> list[dict[str, t.Any]]:
    """The drills that the host keeps."""
    text = host.run("cat", "/var/lib/chainops-lifecycle/drills/besu.service.json").stdout
    return list(json.loads(text))


def cuts(host: Host) -> list[str]:
    """The rules of routing that are no default ones."""
    rules = [line for family in ("-4", "-6") for line in host.run("ip", family, "rule").stdout.splitlines()]
    return [rule for rule in rules if not re.match(r"(0|32766|32767):", rule)]


def test_a_validator_is_killed_and_the_chain_goes_on(chain: BesuNetwork) -> None:
    name, second, *_others = chain.validators
    until(lambda: chain.age(name) > 65, 90, "the validator is no longer young")
    played = drill(chain, name, "killed")
    assert played.code == 0, played.output
    assert "recovered" in played.outcome or "self_recovered" in played.outcome, played.output
    assert played.pause <= PAUSE + played.late
    (made,) = kept(chain.hosts[name])
    assert made["outcome"] == "recovered" and made["ended_by"] in ("recovery", "itself") and made["blocks"] > 0, made
    chain.until_moving()

    # While one of four is missing, no other may be.
    chain.stop(name)
    play = [{"hosts": second, "gather_facts": False, "roles": ["chainops.lifecycle.service_drill"]}]
    (chain.folder / "second.yml").write_text(json.dumps(play))
    entry = [{**one, "drill": True} for one in chain.services()]
    before = chain.invocations()
    refused = chain.play(
        "second.yml", lifecycle_services=entry, service_drill_name="besu", service_drill_fault="killed"
    )
    assert refused.code == 2 and "quorum" in refused.output, refused.output
    assert chain.invocations() == before
    chain.hosts[name].run("systemctl", "start", "besu.service")
    chain.until_moving()


def test_a_node_that_is_cut_off_from_its_peers_is_well_once_the_cut_is_undone(chain: BesuNetwork) -> None:
    name = list(chain.hosts)[-1]
    host, others = chain.hosts[name], {one: chain.show(one, "InvocationID") for one in chain.validators}
    planned = drill(chain, name, "peers_cut", "--check")
    assert planned.code == 0 and planned.outcome["planned"] == [f"{name}/besu"] and not cuts(host), planned.output
    played = drill(chain, name, "peers_cut")
    assert played.code == 0, played.output
    # A single look may take it for a node that is on its way, which is left alone; a restart does not help it.
    assert "then error (no_peers)" in told(played) and "did    recovery: " in told(played), told(played)
    assert "recovery: reached" not in told(played), told(played)
    assert "by the undo" in told(played) and not cuts(host), told(played)
    made = kept(host)[-1]
    assert made["ended_by"] == "undo" and made["detected_after"] < made["lifted_after"] < made["recovered_after"], made
    assert made["target"].startswith("TCP and UDP from port 30303 and to port 30303; connected with 198.1"), made
    assert {one: chain.show(one, "InvocationID") for one in chain.validators} == others
    chain.until_moving()


def test_the_host_gives_the_network_back_where_the_controller_is_gone(chain: BesuNetwork) -> None:
    """The module alone: nobody ends what it has begun."""
    name = list(chain.hosts)[-1]
    host, (entry,) = chain.hosts[name], chain.services()
    fault = {"service": {**entry, "drill": True}, "fault": "peers_cut", "undo_after": 30, "wait_timeout": 5}
    task = {"name": "Cut", "chainops.lifecycle.service_fault": fault}
    (chain.folder / "cut.yml").write_text(json.dumps([{"hosts": name, "gather_facts": False, "tasks": [task]}]))
    began = chain.play("cut.yml")
    assert began.code == 0 and len(cuts(host)) == 8, (began.output, cuts(host))
    until(lambda: chain.call(name, "net_peerCount") == "0x0", 30, "it has no peers")
    until(lambda: not cuts(host), 60, "the host takes the rules away")
    until(lambda: int(chain.call(name, "net_peerCount"), 16) == 4, 30, "it has its peers again")
    host.run("sh", "/run/chainops-lifecycle/drill-undo")
    chain.until_moving()
