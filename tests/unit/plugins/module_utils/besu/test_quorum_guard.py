# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quorum guard between two chains, and with a node that can be asked by several URLs."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum as q
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum_guard as guarding
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import BesuLog
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import Block
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.besu_world import MEMBERS, World


@pytest.mark.parametrize("others", [(0, 1, 2, 3), (0, 1, 2)])
def test_one_that_answers_by_another_url_is_not_the_one_that_is_left(others):
    """reference_urls may list the node itself, and rpc_url be a wrong one."""
    world = World(others=others)
    look, closed = world.chain.look, NodeSample(0.0, 0.0, "refused", p2p_open=False)
    guard = guarding.QuorumGuard(world.clock, lambda: closed, lambda: [look(i) for i in others])
    block, _seen = guard.check(closed, q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
    assert block is not None and "own address is not known" in block.reason


OTHER = {"genesis": "0x" + "b" * 64, "chain_id": 2}
OTHER_MEMBERS = tuple("0x" + digit * 40 for digit in "5678")


def elsewhere(world, who):
    """A validator of a second chain, which is higher."""
    seen = world.chain.look(who)
    number = seen.head.number + 500
    more = {**OTHER, "validators": OTHER_MEMBERS, "next_validators": OTHER_MEMBERS, "address": OTHER_MEMBERS[who]}
    head = Block(number, seen.head.timestamp, f"0x{number:063x}b", OTHER_MEMBERS[who])
    made = {member: number - i for i, member in enumerate(OTHER_MEMBERS)}
    return NodeSample(**{**vars(seen), "head": head, "last_proposed": made, "proposed_to": number, "peers": (), **more})


@pytest.mark.parametrize("own", [(), (1, 2), (1, 2, 3)])
@pytest.mark.parametrize("address", [MEMBERS[0], "0x" + "f" * 40, None])
@pytest.mark.parametrize("options", [{}, {"genesis": "0x" + "A" * 64}, {"chain_id": 1337}])
@pytest.mark.parametrize("quorum_lost", ["refuse", "restart_all"])
@pytest.mark.parametrize("stands", [False, True])
def test_nodes_of_another_chain_prove_nothing(own, address, options, quorum_lost, stands):
    world = World()
    if stands:
        world.chain.stands_at = world.clock.now - 100.0
    hung = NodeSample(world.clock.now, world.clock.wall(), "hang")
    guard = guarding.QuorumGuard(
        world.clock,
        lambda: hung,
        lambda: [*(world.chain.look(i) for i in own), *(elsewhere(world, i) for i in range(4))],
        address=address,
        reservation="nobody",
        quorum_lost=quorum_lost,
        **options,
    )
    block, _seen = guard.check(hung, q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
    assert block is not None


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({}, False),
        ({"genesis": "0x" + "a" * 64}, True),
        ({"chain_id": 1337}, True),
        ({"genesis": "0x" + "b" * 64}, False),
        ({"chain_id": 2}, False),
    ],
)
def test_a_hanging_node_is_no_validator_only_of_the_chain_that_it_has(options, allowed):
    world = World()
    hung = NodeSample(world.clock.now, world.clock.wall(), "hang")
    guard = guarding.QuorumGuard(
        world.clock, lambda: hung, lambda: [world.chain.look(i) for i in range(4)], address="0x" + "f" * 40, **options
    )
    block, _seen = guard.check(hung, q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
    assert (block is None) is allowed
    before = NodeSample(world.clock.now, world.clock.wall(), "hang", genesis="0x" + "a" * 64)
    if not options:
        assert guard.check(before, q.ChainTiming(2.0, 4.0, 9.0), BesuLog)[0] is None, "it told its block 0 before"
