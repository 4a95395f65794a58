# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quorum guard between two chains, and with a node that can be asked by several URLs."""

from __future__ import annotations

from dataclasses import replace

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
    if "genesis" in options:  # genesis decides: the nodes of the other chain are left out of the judgement
        plain = guarding.QuorumGuard(
            world.clock,
            lambda: hung,
            lambda: [world.chain.look(i) for i in own],
            address=address,
            reservation="nobody",
            quorum_lost=quorum_lost,
            **options,
        )
        alone, _seen = plain.check(hung, q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
        assert (block and block.guard) == (alone and alone.guard)
    else:
        assert block is not None


@pytest.mark.parametrize("rpc", ["hang", "refused", "unauthorized", "reset"])
def test_a_shared_chain_id_makes_no_validator_of_one_chain_a_stranger_of_the_other(rpc):
    """Two chains with one id: the references are of the other one, and the node does not tell its block 0."""
    world = World()
    silent = NodeSample(world.clock.now, world.clock.wall(), rpc)
    guard = guarding.QuorumGuard(
        world.clock,
        lambda: silent,
        lambda: [world.chain.look(i) for i in range(4)],
        address="0x" + "f" * 40,
        chain_id=1337,
    )
    block, _seen = guard.check(silent, q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
    assert block is not None and "its own block 0 is not known" in block.reason


def test_nodes_of_a_second_chain_with_the_same_id_do_not_refuse_for_ever():
    world = World()

    def foreign(who):
        return replace(elsewhere(world, who), chain_id=1337)

    guard = guarding.QuorumGuard(
        world.clock,
        lambda: world.chain.look(0),
        lambda: [*(world.chain.look(i) for i in (1, 2, 3)), *(foreign(i) for i in range(4))],
    )
    assert guard.check(world.chain.look(0), q.ChainTiming(2.0, 4.0, 9.0), BesuLog)[0] is None


def test_an_option_that_is_not_the_nodes_own_block_0_is_named():
    world = World()
    guard = guarding.QuorumGuard(
        world.clock,
        lambda: world.chain.look(0),
        lambda: [world.chain.look(i) for i in (1, 2, 3)],
        genesis=OTHER["genesis"],
    )
    block, _seen = guard.check(world.chain.look(0), q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
    assert block is not None and "genesis_hash" in block.reason


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({}, False),
        ({"genesis": "0x" + "a" * 64}, True),
        ({"chain_id": 1337}, False),
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


def stalled_world():
    world = World()
    world.chain.stands_at = world.clock.now - 100.0
    return world


@pytest.mark.parametrize("quorum_lost", ["refuse", "restart_all"])
@pytest.mark.parametrize("wedged", [{"rpc": "hang", "head": None}, {"peers": (), "peer_count": 0}])
def test_the_restart_of_one_that_is_cut_off_is_the_cure_of_a_stalled_chain(quorum_lost, wedged):
    """One host is dead, and nobody lists this node as a peer any more: its restart takes nothing offline."""
    world = stalled_world()
    world.chain.down = {2, 3}

    def own():
        world.chain.down = {2}
        seen = replace(world.chain.look(3), **wedged)
        world.chain.down = {2, 3}
        return seen

    guard = guarding.QuorumGuard(
        world.clock, own, lambda: [world.chain.look(i) for i in (0, 1, 2)], address=MEMBERS[3], quorum_lost=quorum_lost
    )
    assert guard.check(own(), q.ChainTiming(2.0, 4.0, 9.0), BesuLog)[0] is None


def test_one_that_hangs_and_is_still_a_peer_may_vote():
    world = stalled_world()
    hung = NodeSample(world.clock.now, world.clock.wall(), "hang")
    guard = guarding.QuorumGuard(
        world.clock, lambda: hung, lambda: [world.chain.look(i) for i in (0, 1, 2)], address=MEMBERS[3]
    )
    block, _seen = guard.check(hung, q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
    assert block is not None and block.guard == "chain_stalled"


def shown(genesis, numbers=(100, 101), **more):
    """Two looks at a validator of the invented chain, as ``judge`` takes them."""
    world = World()
    first, last = (
        replace(world.chain.look(1), genesis=genesis, head=Block(n, int(world.clock.wall()), "", MEMBERS[1]), **more)
        for n in numbers
    )
    return first, last


@pytest.mark.parametrize("own", [None, "0x" + "a" * 64])
@pytest.mark.parametrize("other", [None, "0x" + "a" * 64])
def test_a_stranger_to_the_set_is_no_validator_only_where_block_0_is_known_on_both_sides(own, other):
    stranger = "0x" + "f" * 40
    found = guarding.judge([shown(own, address=stranger), shown(other)], stranger, q.ChainTiming())
    # A node counts for the chain that it is on, so that its own block 0 is that of the view where it is known.
    assert found.verdict.safe is (own is not None)
    first, last = shown(own, address=stranger)
    found = guarding.judge([(replace(first, genesis=None), last), shown(other)], stranger, q.ChainTiming())
    assert found.verdict.safe is (own is not None), "the last look counts"


@pytest.mark.parametrize("digit", ["0", "9", "f"])
def test_a_node_of_a_chain_with_another_block_0_does_not_count_whichever_is_greater(digit):
    ours, theirs = "0x" + "a" * 64, "0x" + digit * 64
    pairs = [shown(ours), shown(theirs), shown(None)]
    assert guarding.of_chain(pairs, ours) == [pairs[0], pairs[2]]
    mute = replace(pairs[1][1], genesis=None)
    for once in ((mute, pairs[1][1]), (pairs[1][1], mute)):
        assert guarding.of_chain([pairs[0], once], ours) == [pairs[0]], "one look is enough to tell whose node it is"
    guard = guarding.QuorumGuard(World().clock, lambda: pairs[0][1], list, genesis=theirs)
    block, _seen = guard.check(pairs[0][1], q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
    assert block is not None and "genesis_hash" in block.reason


@pytest.mark.parametrize(("rpc", "looks"), [("ok", 2), ("refused", 2), ("hang", 1), ("timeout", 2)])
def test_one_that_hangs_is_looked_at_once_and_all_others_twice(rpc, looks):
    world, asked = World(), []

    def read():
        asked.append(1)
        return replace(world.chain.look(0), rpc=rpc)

    guard = guarding.QuorumGuard(world.clock, read, lambda: [world.chain.look(i) for i in (1, 2, 3)])
    guard.check(world.chain.look(0), q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
    assert len(asked) >= looks and (looks > 1 or len(asked) == 1)


@pytest.mark.parametrize(("period", "seconds"), [(2.0, 6 * 2.0 + 4.0), (1.0, 6 * 1.0 + 4.0), (0.2, 6 * 1.0 + 4.0)])
def test_versions_that_may_not_understand_each_other_are_watched_until_each_had_its_turn(period, seconds):
    """One was upgraded between the looks, so that its blocks prove nothing; four turns, two to spare, and a round."""
    world, looks = World(), []

    def others():
        looks.append(world.clock.now)
        seen = [world.chain.look(i) for i in (1, 2, 3)]
        return [replace(seen[0], version="25.12.0" if len(looks) == 1 else "26.8.0"), *seen[1:2],
                replace(seen[2], version="25.12.0")]  # fmt: skip

    guard = guarding.QuorumGuard(world.clock, lambda: world.chain.look(0), others)
    began = world.clock.now
    block, _seen = guard.check(world.chain.look(0), q.ChainTiming(period, 4.0, 5.0), BesuLog)
    assert block is not None and "do not understand each other" in block.reason
    assert seconds <= world.clock.now - began <= seconds + max(period, 1.0)


def test_an_address_that_an_earlier_look_had_is_known():
    """Two of the four are not asked, so that the set does not tell who is left."""
    world = World()
    guard = guarding.QuorumGuard(
        world.clock, lambda: replace(world.chain.look(0), address=None), lambda: [world.chain.look(i) for i in (1, 2)]
    )
    timing = q.ChainTiming(2.0, 4.0, 9.0)
    assert guard.check(world.chain.look(0), timing, BesuLog)[0] is None
    first = guarding.QuorumGuard(
        world.clock, lambda: world.chain.look(0), lambda: [world.chain.look(i) for i in (1, 2)]
    )
    assert first.check(None, timing, BesuLog)[0] is None, "nobody has looked before"
    block, _seen = guard.check(replace(world.chain.look(0), address=None), timing, BesuLog)
    assert block is not None and "the node's own address is not known" in block.reason


def test_a_healthy_chain_is_watched_for_one_block_and_one_that_nobody_knows_for_no_longer():
    world = World()
    began = world.clock.now
    assert world.guard().check(world.chain.look(0), q.ChainTiming(2.0, 4.0, 9.0), BesuLog)[0] is None
    assert world.clock.now - began <= 3.0
    world.chain.down, began = {0, 1, 2, 3}, world.clock.now
    assert world.guard().check(world.chain.look(0), q.ChainTiming(2.0, 4.0, 9.0), BesuLog)[0] is not None
    assert world.clock.now - began <= 1.0


def test_whose_node_it_is_that_is_judged():
    """Its own word, or else the option's; all of two others were asked, so that nobody is left to guess."""
    world = World()
    own, other = world.chain.look(0), world.chain.look(1)
    pairs = [(own, own), (other, other)]
    assert guarding.judge(pairs, None, q.ChainTiming()).address == MEMBERS[0]
    mute = replace(own, address=None)
    assert guarding.judge([(mute, mute), (other, other)], MEMBERS[3], q.ChainTiming()).address == MEMBERS[3]


@pytest.mark.parametrize(("down", "allowed"), [({3}, True), ({2, 3}, False)])
def test_a_restart_of_all_needs_as_many_as_the_quorum_and_no_more(down, allowed):
    world = World(quorum_lost="restart_all")
    world.chain.stands_at, world.chain.down = world.clock.now - 100.0, down
    block, _seen = world.guard().check(world.chain.look(0), q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
    assert (block is None) is allowed


@pytest.mark.parametrize("change", [{"address": "0x" + "f" * 40, "genesis": None}, {"chain_id": 2}])
def test_a_restart_of_all_is_for_members_of_a_set_that_all_agree_on(change):
    world = World(quorum_lost="restart_all")
    world.chain.stands_at = world.clock.now - 100.0
    guard = guarding.QuorumGuard(
        world.clock, lambda: replace(world.chain.look(0), **change), lambda: [world.chain.look(i) for i in (1, 2, 3)],
        quorum_lost="restart_all",
    )  # fmt: skip
    own = replace(world.chain.look(0), **change)
    block, _seen = guard.check(own, q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
    assert block is not None


def test_one_that_takes_no_part_needs_no_reservation():
    world = World()

    def behind(who):
        """Nobody has seen a block of the first validator for long."""
        look = world.chain.look(who)
        proposed = {**look.last_proposed, MEMBERS[0]: look.number - 50}
        return replace(look, last_proposed=proposed, head=replace(look.head, miner=MEMBERS[1]))

    guard = guarding.QuorumGuard(
        world.clock, lambda: behind(0), lambda: [behind(i) for i in (1, 2, 3)], reservation="me", store=NoGrant
    )
    block, verdict = guard.check(behind(0), q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
    assert block is None and MEMBERS[0] not in verdict.taking_part


class NoGrant:
    def __init__(self, network):
        self.network = network

    def held(self):
        return None


@pytest.mark.parametrize(
    ("option", "seen", "refused"),
    [(1337, None, False), (2, None, True), (None, 2, True), (None, 1337, False), (2, 1337, True), (None, None, False)],
)
def test_the_chain_id_of_a_node_that_does_not_answer_is_that_of_its_option_or_its_last_look(option, seen, refused):
    world = World()
    silent = {"rpc": "hang", "chain_id": None, "genesis": None, "head": None}
    last = replace(world.chain.look(0), **{**silent, "chain_id": seen})
    guard = guarding.QuorumGuard(
        world.clock, lambda: replace(world.chain.look(0), **silent), lambda: [world.chain.look(i) for i in (1, 2, 3)],
        chain_id=option,
    )  # fmt: skip
    block, _seen = guard.check(last, q.ChainTiming(2.0, 4.0, 9.0), BesuLog)
    assert (block is not None) is refused and (not refused or "differ in chain id" in block.reason)
