# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Consensus: proposers in turn, rounds after a loss, quorum lost and regained, votes, and never two chains."""

from __future__ import annotations

import random
import re
import signal
import time

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import rlp
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.consensus import quorum
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.conftest import MakeNetwork
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import Node, until
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.recorded import comparable, recorded_lines

Nodes = dict[str, Node]


def _fast(make_network: MakeNetwork, *sizes: int) -> Nodes:
    """Blocks each 0.1 s, first round 0.2 s."""
    return _running(make_network(*sizes, block_scale=0.05))


def _running(nodes: Nodes, height: int = 4) -> Nodes:
    for node in nodes.values():
        node.start()
    until(lambda: all(node.height >= height for node in nodes.values()))
    return nodes


def _miners(node: Node, first: int, last: int) -> list[str]:
    blocks = [node.call("eth_getBlockByNumber", hex(number), False) for number in range(first, last + 1)]
    return [str(block["miner"]) for block in blocks]


def _hashes(node: Node, last: int) -> list[str]:
    return [str(node.call("eth_getBlockByNumber", hex(n), False)["hash"]) for n in range(last + 1)]


def _round(node: Node, number: int) -> int:
    """The round in which a block was made, from its header."""
    fields = rlp.decode(bytes.fromhex(node.call("eth_getBlockByNumber", hex(number), False)["extraData"][2:]))
    assert isinstance(fields, list)
    return int.from_bytes(fields[3], "big")


def _count(node: Node, text: str) -> int:
    return sum(text in line for line in node.lines())


@pytest.mark.parametrize(
    ("validators", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (8, 6), (9, 6), (10, 7), (13, 9)]
)
def test_quorum(validators: int, needed: int) -> None:
    assert quorum(validators) == needed


def test_proposers_take_turns_over_the_sorted_set(make_network: MakeNetwork) -> None:
    nodes = _running(make_network(4, 1), 9)
    order = sorted(node.address for name, node in nodes.items() if name != "b5")

    def in_turn() -> bool:
        height = nodes["b5"].height
        miners = _miners(nodes["b5"], height - 4, height)
        turn = order.index(miners[0])
        return miners == [order[(turn + i) % 4] for i in range(5)]

    until(in_turn)
    until(lambda: all(_count(nodes[name], "Produced empty block") for name in ("b1", "b2", "b3", "b4")))
    assert _count(nodes["b5"], "Produced empty block") == 0
    ours = {line for node in nodes.values() for line in comparable(node.lines()) if "mpty block" in line}
    recorded = comparable(recorded_lines("one_of_four_validators_down", "b1"))
    assert ours <= set(recorded)


def test_one_validator_of_one(make_network: MakeNetwork) -> None:
    nodes = _running(make_network(1))
    assert nodes["b1"].peers == 0
    assert nodes["b1"].get("/readiness").status == 503
    assert nodes["b1"].get("/readiness?minPeers=0").status == 200


def test_one_validator_down_costs_a_round_and_no_more(make_network: MakeNetwork) -> None:
    nodes = _running(make_network(4))
    down = nodes.pop("b4")
    moved = _count(nodes["b1"], "Moved to round")
    assert down.stop() == 143
    height = nodes["b1"].height
    until(lambda: nodes["b1"].height >= height + 7)
    assert down.address not in _miners(nodes["b1"], height + 2, height + 7)

    def rounds() -> set[str]:
        return {line for line in comparable(nodes["b1"].lines()) if "QbftRound" in line}

    until(lambda: len(rounds()) > 0)
    assert rounds() <= set(comparable(recorded_lines("one_of_four_validators_down", "b1")))
    assert _count(nodes["b1"], "Moved to round") == moved, "round 1 is enough"
    down.start()
    until(lambda: down.height >= height + 7)
    back = down.height
    until(lambda: down.address in _miners(down, back, down.height))


def _lose_quorum(nodes: Nodes, round_: int) -> None:
    for name in ("b3", "b4"):
        nodes[name].stop()
    until(lambda: _count(nodes["b1"], f"Moved to round {round_} ") >= 1)


def test_quorum_lost_looks_healthy_but_for_the_log(make_network: MakeNetwork) -> None:
    nodes = _running(make_network(4, 1))
    _lose_quorum(nodes, 3)
    stalled = nodes["b1"].height
    for node in (nodes["b1"], nodes["b5"]):
        assert node.call("eth_syncing") is False
        assert node.get("/readiness").status == 200
        assert node.height == stalled

    def rounds(lines: list[str]) -> list[str]:
        """What is said in the rounds 2 and 3."""
        own = [line.split("|", 1)[1] for line in lines if "| RoundTimer |" in line or "| RoundChangeManager |" in line]
        begin = max((i for i, line in enumerate(own) if "Moved to round 2 " in line), default=len(own))
        end = next((i for i in range(begin, len(own)) if "Moved to round 4 " in own[i]), len(own))
        return own[begin:end]

    recorded = rounds(recorded_lines("quorum_lost_then_regained", "b1"))
    # Whether the other validator's message comes before this one's timer is chance; so is the order in a summary.
    until(lambda: set(comparable(rounds(nodes["b1"].lines()))) >= set(comparable(recorded)))
    ours = rounds(nodes["b1"].lines())
    assert set(comparable(ours)) == set(comparable(recorded))
    timers = [line for line in recorded if "RoundTimer" in line]
    assert len(timers) == 2 and [line for line in ours if "RoundTimer" in line] == timers
    for name, local in (("b1", " (Local node)"), ("b2", "")):
        assert any(re.search(f"Address: {nodes[name].address}  Round: [23]{re.escape(local)}$", line) for line in ours)
    assert not any(nodes[name].address in line for name in ("b3", "b4") for line in ours)


def test_natural_regain_takes_as_long_as_the_stall(make_network: MakeNetwork) -> None:
    nodes = _fast(make_network, 4)
    began = time.monotonic()
    _lose_quorum(nodes, 4)
    stalled = nodes["b1"].height
    stall = time.monotonic() - began
    nodes["b3"].start()
    took = until(lambda: nodes["b1"].height > stalled)
    assert took > stall * 0.7
    assert _round(nodes["b1"], stalled + 1) >= 4


def test_restart_together_begins_at_round_zero(make_network: MakeNetwork) -> None:
    nodes = _running(make_network(4, block_scale=0.2))  # they do not start at the very same time
    _lose_quorum(nodes, 4)
    stalled = nodes["b1"].height
    for name in ("b1", "b2"):
        nodes[name].stop()
    for node in nodes.values():
        node.start()
    # One round of natural regain alone would be 16 times the first one, after the start.
    until(lambda: nodes["b1"].height > stalled)
    assert _round(nodes["b1"], stalled + 1) <= 3


def _vote(nodes: Nodes, names: tuple[str, ...], subject: str, add: bool) -> None:
    for name in names:
        assert nodes[name].call("qbft_proposeValidatorVote", subject, add) is True


def test_votes_out_and_in(make_network: MakeNetwork) -> None:
    nodes = _running(make_network(4))
    subject = nodes["b4"].address

    def size(block: str = "latest") -> int:
        validators = nodes["b1"].call("qbft_getValidatorsByBlockNumber", block)
        assert isinstance(validators, list)
        return len(validators)

    _vote(nodes, ("b1", "b2"), subject, False)
    assert nodes["b1"].call("qbft_getPendingVotes") == {subject: False}
    height = nodes["b1"].height
    until(lambda: nodes["b1"].height > height + 6)
    assert size() == 4, "two of four are not enough"
    _vote(nodes, ("b3",), subject, False)
    until(lambda: size() == 3)
    height = nodes["b4"].height
    until(lambda: nodes["b4"].height > height + 4)
    assert subject not in _miners(nodes["b4"], height + 1, nodes["b4"].height)
    for name in ("b1", "b2", "b3"):
        nodes[name].call("qbft_discardValidatorVote", subject)
    _vote(nodes, ("b1", "b2"), subject, True)
    until(lambda: size() == 4)
    height = nodes["b4"].height
    until(lambda: subject in _miners(nodes["b4"], height, nodes["b4"].height))
    changes = [line for line in comparable(nodes["b1"].lines()) if "Validator list change" in line]
    say = comparable(
        recorded_lines("validator_voted_out_and_in", "b4") + recorded_lines("validator_voted_out_and_in", "b1")
    )
    assert changes and set(changes) <= {line for line in say if "Validator list change" in line}


def test_versions_that_do_not_understand_each_other(make_network: MakeNetwork) -> None:
    nodes = make_network(4)
    for name in ("b3", "b4"):
        nodes[name].environment["BESU_STANDIN_VERSION"] = "25.7.0"
    for node in nodes.values():
        node.start()
    until(lambda: all(node.peers == 3 for node in nodes.values()))
    time.sleep(2)
    assert {node.height for node in nodes.values()} == {0}


def test_empty_blocks_may_come_less_often(make_network: MakeNetwork) -> None:
    nodes = _running(make_network(1, block_period=1, empty_block_period=10), 1)
    node = nodes["b1"]
    shown = node.call("admin_nodeInfo")["protocols"]["eth"]["config"]["qbft"]
    assert shown == {"epochLength": 30000, "blockPeriodSeconds": 1, "requestTimeoutSeconds": 4}
    height = node.height
    until(lambda: node.height > height)
    assert until(lambda: node.height > height + 1) > 0.7


def test_ibft2(make_network: MakeNetwork) -> None:
    nodes = make_network(4, consensus="ibft2")
    for node in nodes.values():
        node.options["rpc-http-api"] = ["ETH", "NET", "ADMIN", "IBFT"]
    _running(nodes)
    validators = nodes["b1"].call("ibft_getValidatorsByBlockNumber", "latest")
    assert validators == sorted(node.address for node in nodes.values())
    assert nodes["b1"].call("qbft_getValidatorsByBlockNumber", "latest") == {
        "code": -32604, "message": "Method not enabled",
    }  # fmt: skip


def test_all_nodes_keep_one_chain_while_validators_crash(make_network: MakeNetwork) -> None:
    chance = random.Random(7)
    nodes = _running(make_network(4, 1))
    for _turn in range(8):
        node = nodes[chance.choice(("b1", "b2", "b3", "b4"))]
        node.stop(chance.choice((signal.SIGKILL, signal.SIGTERM)))
        time.sleep(chance.uniform(0, 0.6))
        node.start()
        until(lambda node=node: node.height >= 0)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.6))
    height = nodes["b5"].height
    until(lambda: all(node.height > height + 3 for node in nodes.values()), 40)
    common = min(node.height for node in nodes.values())
    chains = [_hashes(node, common) for node in nodes.values()]
    assert all(chain == chains[0] for chain in chains)
