# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From looks to a state: the lies refused, the causes named. Times are seconds of an invented chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import metrics as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.classify import classify
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.history import fold
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import LogLine, read_log
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import BftConfig, Block, Peer, Syncing
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import NodeOptions, Reference, UnitStatus

NOW = 1_795_000_000.0
MEMBERS = tuple("0x" + digit * 40 for digit in "1234")
OWN = MEMBERS[0]
BFT = BftConfig("qbft", 2.0, None, 4.0, 30000)
OLD = UnitStatus(since=-100_000.0)
YOUNG = UnitStatus(since=0.0)


def look(at=1000.0, number=500, age=1.0, peers=(499, 499, 499), **more):
    """A healthy look at a validator that proposed two blocks ago, changed as told."""
    given = {
        "rpc": "ok",
        "head": Block(number, int(NOW + at - age), f"0x{number:064x}", MEMBERS[1]),
        "genesis": "0x" + "a" * 64,
        "chain_id": 1337,
        "peer_count": len(peers),
        "peers": tuple(Peer(None, height, "26.8.0") for height in peers),
        "said_in_sync": True,
        "version": "26.8.0",
        "address": OWN,
        "p2p": "running",
        "bft": BFT,
        "group": "qbft",
        "validators": MEMBERS,
        "next_validators": MEMBERS,
        "last_proposed": {OWN: number - 2},
    }
    given.update(more)
    return NodeSample(at, NOW + at, **given)


def tell(*looks, unit=OLD, options=None, references=(), log=None):
    track = None
    for one in looks:
        track = fold(track, one, "i")
    return classify(unit, track, options or NodeOptions(), references, log)


def told(*looks, **more):
    verdict = tell(*looks, **more)
    return verdict.state, verdict.cause


def steady(**more):
    return look(at=1000.0, **more), look(at=1002.0, **{"number": 501, **more})


def still(**more):
    return look(at=1000.0, **more), look(
        at=1010.0, **{"age": 10.0 + more.get("age", 1.0), **{k: v for k, v in more.items() if k != "age"}}
    )


def lines(*texts, at=NOW):
    return read_log([LogLine(at + index, text) for index, text in enumerate(texts)])


# --- who serves -----------------------------------------------------------------------------------------------------


def test_a_validator_that_takes_part():
    assert told(*steady()) == ("consensus", None)


def test_a_node_that_is_no_validator():
    assert told(*steady(address="0x" + "9" * 40)) == ("running", None)


def test_a_validator_that_was_voted_out_is_an_ordinary_node_although_it_proposed_of_late():
    assert told(*steady(next_validators=MEMBERS[1:])) == ("running", None)


def test_a_validator_that_proposes_nothing_is_synced_and_the_cause_says_why():
    assert told(*steady(last_proposed={OWN: 400})) == ("synced", "not_proposing")


def test_the_head_itself_counts_as_proposed():
    head = Block(501, int(NOW + 1001), "", OWN)
    assert told(look(), look(at=1002.0, head=head, last_proposed={})) == ("consensus", None)


def test_a_block_of_before_the_restart_does_not_count():
    unit = UnitStatus(since=996.0)
    assert told(*steady(last_proposed={OWN: 496}), unit=unit) == ("synced", None)
    assert told(*steady(last_proposed={OWN: 501}), unit=unit) == ("consensus", None)


def test_when_its_last_block_was_made_decides_whose_it_is():
    unit, slow = UnitStatus(since=995.0), {"last_proposed": {OWN: 500}, "age": 1.0}
    assert told(*steady(**slow), unit=unit) == ("synced", None), "how old block 500 is cannot be known"
    before, after = (Block(500, int(NOW + at), "", OWN) for at in (990, 997))
    assert told(*steady(**slow, made=before), unit=unit) == ("synced", None)
    assert told(*steady(**slow, made=after), unit=unit) == ("consensus", None)
    newer = {"last_proposed": {OWN: 501}, "number": 503}
    assert told(look(), look(at=1002.0, made=after, **newer), unit=unit) == ("consensus", None), "501 is newer still"
    assert told(*steady(**slow, made=replace(after, miner=MEMBERS[2])), unit=unit) == ("synced", None)
    lost = look(number=495, last_proposed={}), look(at=1002.0, last_proposed={OWN: 500}, number=501, made=before)
    assert told(*lost, unit=unit) == ("synced", None), "it imports again what it proposed before it lost its data"


def test_too_few_peers_is_not_serving():
    assert told(*steady(), options=NodeOptions(min_peers=5)) == ("synced", None)


def test_without_the_consensus_api_it_is_running_and_says_what_is_missing():
    off = {"qbft:latest": "not_enabled", "ibft:latest": "not_enabled"}
    verdict = tell(*steady(validators=None, next_validators=None, last_proposed=None, group=None, outcomes=off))
    assert (verdict.state, verdict.cause) == ("running", None)
    assert any("--rpc-http-api" in reason for reason in verdict.reasons)
    assert verdict.details["missing"] == ["whether it takes part in consensus (--rpc-http-api=QBFT)"]


def test_the_only_validator_needs_no_peers():
    alone = {"peers": (), "validators": (OWN,), "next_validators": (OWN,), "head": Block(501, int(NOW + 1000), "", OWN)}
    assert told(*steady(**alone)) == ("consensus", None)
    old = {**alone, "head": Block(501, int(NOW + 900), "", OWN)}
    assert told(*steady(**old)) == ("error", "not_proposing")
    assert told(*steady(**old), unit=UnitStatus(since=996.0)) == ("syncing", None), "its head is as old as it was down"


def test_a_node_declared_single_needs_no_reference():
    alone = {"peers": (), "validators": None, "next_validators": None, "group": None}
    assert told(*steady(**alone), options=NodeOptions(single_node=True)) == ("running", None)


# --- what is not believed -------------------------------------------------------------------------------------------


def test_the_start_up_lie():
    """In sync, says everything that can be asked; the peers' heights say otherwise."""
    lie = {"number": 0, "age": NOW + 1000.0, "head": Block(0, 0, "", ""), "peers": (1572, 1572), "said_in_sync": True}
    for looks in ((look(**lie),), (look(**lie), look(at=1005.0, **lie))):
        assert told(*looks, unit=UnitStatus(since=995.0)) == ("syncing", None)


def test_the_start_up_lie_of_a_node_without_peers_yet():
    lie = {"head": Block(0, 0, "", ""), "peers": (), "said_in_sync": True}
    assert told(look(**lie), unit=UnitStatus(since=995.0)) == ("syncing", "no_peers")


def test_one_look_is_no_proof():
    one = tell(look(last_proposed={}), unit=UnitStatus(since=995.0))
    assert (one.state, one.settled) == ("starting", False)
    for sample in (look(), look(peers=()), look(address=None)):
        verdict = tell(sample)
        assert verdict.state != "synced" and not verdict.settled
    assert told(look(), look(at=1000.3)) == told(look())  # two looks so close are one


def test_a_snap_sync_says_in_sync_until_it_is_done():
    snap = {"head": Block(0, 0, "", ""), "peers": (6625, 6625), "said_in_sync": True}
    assert told(look(**snap), look(at=1030.0, **snap)) == ("syncing", None)
    assert told(*steady(state_available=False)) == ("syncing", None)


def test_peers_of_unknown_height_prove_nothing():
    unknown = {"peers": (None, None), "age": 50.0}
    assert told(look(**unknown), look(at=1002.0, **unknown)) == ("syncing", None)


# --- behind ---------------------------------------------------------------------------------------------------------


def test_behind_and_moving():
    verdict = tell(look(number=100, peers=(900,)), look(at=1010.0, number=200, peers=(905,)))
    assert verdict.state == "syncing"
    assert verdict.details["lag"] == 705 and verdict.details["rate"] == 10.0
    assert "705 blocks behind, at 200 of 905" in verdict.reasons[0]


@pytest.mark.parametrize(("lag", "state"), [(0, "consensus"), (2, "consensus"), (3, "syncing")])
def test_tolerance(lag, state):
    assert told(*steady(peers=(501 + lag,)))[0] == state


def test_eth_syncing_with_lag_zero_is_no_sync():
    assert told(*steady(syncing=Syncing(501, 501), said_in_sync=False)) == ("consensus", None)
    assert told(*steady(syncing=Syncing(501, 600), said_in_sync=False)) == ("syncing", None)


def test_another_node_that_was_asked_is_ahead():
    assert told(*steady(), references=[Reference("r", 600)]) == ("syncing", None)


def test_no_progress_for_too_long():
    stuck = {"number": 100, "peers": (900,), "age": 1000.0}
    assert told(look(**stuck), look(at=1050.0, **stuck)) == ("syncing", None)
    assert told(look(**stuck), look(at=1061.0, **stuck)) == ("error", "stuck_sync")
    told_by_log = lines("Header import progress 2.93%", at=NOW + 1030.0)
    assert told(look(**stuck), look(at=1061.0, **stuck), log=told_by_log) == ("syncing", None)


REFUSED = (
    "2026 | x | INFO  | TimestampMoreRecentThanParent | Invalid block header: timestamp 5 is only 0 seconds newer than parent",
    "2026 | x | WARN  | PipelineChainDownloader | Invalid block detected (BREACH_OF_PROTOCOL). Header failed validation: Invalid block 200 (0xf2c",
)


def test_a_block_that_it_refuses_again_and_again():
    stuck = {"number": 100, "peers": (900,), "age": 1000.0}
    log = lines(*REFUSED, at=NOW + 1000.0)
    verdict = tell(look(**stuck), look(at=1030.0, **stuck), log=log)
    assert (verdict.state, verdict.cause, verdict.details["refused_block"]) == ("error", "stuck_sync", 200)
    assert any("Invalid block header" in reason for reason in verdict.reasons)
    without_peers = {**stuck, "peers": ()}
    assert told(look(**stuck), look(at=1030.0, **without_peers), log=log) == ("error", "stuck_sync")


def test_an_invalid_block_of_the_past_means_nothing():
    """A process that was stopped by a signal logs such lines when it goes on, and imports the block later."""
    log = lines(*REFUSED, at=NOW + 900.0)
    assert told(*steady(), log=log) == ("consensus", None)
    imported = lines(*REFUSED, "x | PersistBlockTask | Imported empty block #201 / 0 tx", at=NOW + 1000.0)
    stuck = {"number": 300, "peers": (900,), "age": 1000.0}
    assert told(look(**stuck), look(at=1030.0, **stuck), log=imported) == ("syncing", None)


# --- stalled, skewed ------------------------------------------------------------------------------------------------


def test_a_chain_that_stands_still():
    verdict = tell(*still(age=20.0, peers=(500, 500)))
    assert (verdict.state, verdict.cause, verdict.settled) == ("error", "chain_stalled", True)


def test_a_stall_is_told_of_one_look_but_another_is_wanted():
    verdict = tell(look(age=60.0, peers=(500,)))
    assert (verdict.state, verdict.cause, verdict.settled) == ("error", "chain_stalled", False)


def test_a_proposer_that_is_down_is_no_stall():
    assert told(look(age=1.0), look(at=1008.0, age=8.5)) == ("consensus", None)


def test_seldom_blocks_are_no_stall():
    empty = replace(BFT, empty_block_period=1800.0)
    assert told(*still(age=900.0, bft=empty)) == ("consensus", None)
    assert told(*still(age=900.0), options=NodeOptions(empty_block_period=1800.0)) == ("consensus", None)
    assert told(*still(age=900.0), options=NodeOptions(head_age=1000.0)) == ("consensus", None)


def test_a_restarted_node_of_a_stalled_chain_gets_its_time():
    stale = {"age": 100.0, "peers": (500, 500)}
    log = lines("x | RoundTimer | Moved to round 5 which will expire in 128 seconds", at=NOW + 1000.0)
    assert told(*still(**stale), unit=UnitStatus(since=990.0), log=log) == ("syncing", None)
    verdict = tell(*still(**stale), unit=UnitStatus(since=900.0), log=log)
    assert (verdict.state, verdict.cause) == ("error", "chain_stalled")
    assert "round 5" in " ".join(verdict.reasons)


def test_rounds_of_before_the_last_block_are_no_proof():
    log = lines("x | RoundTimer | Moved to round 5 which will expire in 128 seconds", at=NOW + 700.0)
    verdict = tell(look(age=100.0, peers=(500,)), look(at=1001.0, age=101.0, peers=(500,)), log=log)
    assert not verdict.settled and "round" not in " ".join(verdict.reasons)


def test_a_clock_that_is_ahead_is_no_stall():
    """Old by this clock, and yet new blocks at the chain's pace, here and at the peers."""
    looks = [look(at=1000.0 + 2 * i, number=500 + i, age=100.0, peers=(499 + i,)) for i in range(5)]
    verdict = tell(*looks)
    assert (verdict.state, verdict.cause) == ("consensus", "clock_skew")


def test_catching_up_with_a_chain_that_stands_still_is_no_skew():
    """Old blocks at the pace of a living chain; but the peers have no new ones."""
    looks = [look(at=1000.0 + 2 * i, number=496 + i, age=200.0 - i, peers=(500,)) for i in range(5)]
    assert told(*looks) == ("error", "chain_stalled")
    assert told(*looks, unit=UnitStatus(since=990.0)) == ("syncing", None)


def test_a_clock_that_is_behind():
    assert told(look(age=-40.0), look(at=1004.0, number=502, age=-40.0)) == ("running", "clock_skew")


def test_consensus_thread_that_died():
    log = lines("x | ERROR | BftProcessor | BFT Mining thread has suffered a fatal error, mining has been halted")
    assert told(*still(age=30.0, peers=(500,)), log=log) == ("error", "consensus_halted")
    assert told(*steady(), log=log) == ("consensus", None)


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"references": [Reference("r", 500, genesis="0x" + "b" * 64)]}, "wrong_chain"),
        ({"references": [Reference("r", 500, chain_id=1)]}, "wrong_chain"),
        ({"options": NodeOptions(chain_id=1)}, "wrong_chain"),
        ({"options": NodeOptions(genesis="0x" + "B" * 64)}, "wrong_chain"),
        ({"references": [Reference("r", 501, hash="0x" + "c" * 64)]}, "fork"),
        ({"references": [Reference("r", 500, hash="0x" + "c" * 64)]}, None),
        ({"options": NodeOptions(genesis="0x" + "A" * 64, chain_id=1337)}, None),
    ],
)
def test_another_chain(more, cause):
    assert told(*steady(), **more) == (("error", cause) if cause else ("consensus", None))


# --- not to be asked ------------------------------------------------------------------------------------------------


def gone(at, rpc="refused", **more):
    return NodeSample(at, NOW + at, rpc, **more)


def test_before_rpc_opens():
    assert told(gone(1.0), gone(5.0), unit=YOUNG) == ("starting", None)
    assert told(gone(700.0), unit=YOUNG) == ("error", "start_timeout")
    assert told(gone(700.0), unit=YOUNG, options=NodeOptions(start_timeout=900.0)) == ("starting", None)


def test_rpc_is_open_before_the_network_is():
    assert told(look(at=5.0, p2p="starting"), unit=YOUNG) == ("starting", None)


def test_rpc_that_closed_while_the_process_lives():
    assert told(look(), gone(1002.0)) == ("unknown", "rpc_down")
    assert told(look(), gone(1002.0), gone(1020.0)) == ("error", "rpc_down")
    assert told(look(), gone(1002.0, p2p_open=True), gone(1020.0, p2p_open=True)) == ("error", "rpc_down")
    full = {"rpc": "reset", "p2p_open": True}
    assert told(look(), gone(1002.0, **full), gone(1020.0, **full)) == ("unknown", "reset")


def test_rpc_that_is_off():
    figures = {m.HEIGHT: 500.0, m.BEST_KNOWN: 500.0, m.PEERS: 3.0, m.HEAD_TIMESTAMP: NOW + 1000.0}
    off = {"metrics": figures, "p2p_open": True}
    assert told(gone(1000.0, **off), gone(1002.0, **off)) == ("running", None)
    assert told(gone(1000.0, metrics={**figures, m.BEST_KNOWN: 900.0}, p2p_open=True)) == ("syncing", None)
    assert told(gone(1000.0, p2p_open=True)) == ("unknown", None)
    assert told(gone(5.0, metrics=figures, p2p_open=False), unit=YOUNG) == ("starting", None)


@pytest.mark.parametrize(
    "outcome", ["unauthorized", "host_not_allowed", "tls", "unreachable", "protocol", "timeout_504"]
)
def test_what_cannot_be_asked_is_unknown_and_never_an_error(outcome):
    looks = [gone(1000.0 + 30.0 * i, outcome) for i in range(10)]
    verdict = tell(*looks)
    assert (verdict.state, verdict.cause) == ("unknown", outcome)
    assert told(*looks, unit=YOUNG)[0] == "unknown"


def test_a_port_that_accepts_and_never_answers():
    assert told(look(), gone(1002.0, "hang")) == ("unknown", "unresponsive")
    assert told(look(), gone(1002.0, "hang"), gone(1023.0, "hang")) == ("error", "unresponsive")
    assert told(gone(5.0, "hang"), unit=YOUNG) == ("starting", None)
    log = lines("Exception: java.lang.OutOfMemoryError thrown from the UncaughtExceptionHandler in thread")
    assert told(look(), gone(1002.0, "hang"), log=log) == ("error", "out_of_memory")


def test_it_answers_again():
    assert (
        told(
            look(), gone(1002.0, "hang"), gone(1023.0, "hang"), *(look(at=1030.0 + i, number=510 + i) for i in range(3))
        )[0]
        == "consensus"
    )


def test_a_crash_loop_in_the_making():
    assert told(gone(2.0), unit=UnitStatus(since=0.0, recent_restarts=2)) == ("restarting", "crash_loop")
    assert told(gone(2.0), unit=UnitStatus(since=0.0, recent_restarts=1)) == ("starting", None)
    assert told(*steady(), unit=UnitStatus(since=980.0, recent_restarts=4))[0] == "consensus"


# --- the rest -------------------------------------------------------------------------------------------------------


def test_a_new_process_begins_a_new_track():
    track = fold(fold(None, look(), "a"), look(at=1002.0, number=501), "a")
    assert track.earlier is not None and track.first_number == 500
    again = fold(track, look(at=1004.0, number=501), "b")
    assert again.earlier is None and again.first_number == 501


def test_a_track_stays_small_however_long_it_lasts():
    track = None
    for i in range(5000):
        track = fold(track, look(at=1000.0 + i * 0.3, number=500 + i // 10), "i")
    assert len(track.recent) <= 24 and len(track.points) <= 30
    assert track.rate == pytest.approx(1 / 3, rel=0.1)
