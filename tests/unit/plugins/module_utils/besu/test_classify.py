# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From looks to a state: the lies refused, the causes named. Times are seconds of an invented chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import metrics as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.classify import classify
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.history import append_sample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import LogLine, read_log
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import (
    BftConfig,
    Block,
    NonBftConfig,
    Peer,
    Syncing,
)
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
        track = append_sample(track, one, "i")
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


def test_a_stalled_chain():
    verdict = tell(*still(age=20.0, peers=(500, 500)))
    assert (verdict.state, verdict.cause, verdict.settled) == ("error", "chain_stalled", True)


def test_the_age_of_a_head_alone_is_no_stall():
    verdict = tell(look(age=60.0, peers=(500,)))
    assert (verdict.state, verdict.cause, verdict.settled) == ("unknown", None, False)
    slow = replace(BFT, block_period=60.0, request_timeout=120.0)
    seldom = [look(at=1000.0 + 10 * i, age=900.0 + 10 * i, peers=(500,), bft=slow) for i in range(14)]
    assert tell(*seldom[:5]).cause is None and tell(*seldom[:5]).resample > 5
    assert told(*seldom) == ("error", "chain_stalled")


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


SUMMARY = "x | RoundChangeManager | BFT round summary (quorum = 3)"


@pytest.mark.parametrize(
    ("since", "proposed", "said", "voted"),
    [
        (990.0, None, [], None),
        (990.0, None, ["x | Besu | Starting Besu"], False),
        (990.0, 450, ["x | Besu | Starting Besu"], False),
        (-100_000.0, 498, [], True),
        (990.0, None, ["x | RoundTimer | Moved to round 2 which will expire in 16 seconds"], True),
        (990.0, None, [SUMMARY, f"Address: {OWN}  Round: 1 (Local node)"], True),
        (990.0, None, [SUMMARY, f"Address: {MEMBERS[1]}  Round: 3"], False),
    ],
)
def test_a_process_votes_once_it_has_proposed_or_sent_a_round(since, proposed, said, voted):
    """After its data were deleted a validator answers, is level after a sync, and may not vote (besu 8307)."""
    made = {} if proposed is None else {OWN: proposed}
    looks = still(age=100.0, peers=(500, 500), last_proposed=made)
    verdict = tell(*looks, unit=UnitStatus(since=since), log=lines(*said, at=NOW + 1000.0))
    assert verdict.wants_log and verdict.details.get("voted") is voted
    assert verdict.details["process_age"] == 1010.0 - since


def test_of_whom_another_validator_has_heard_and_since_when():
    said = [SUMMARY, f"Address: {MEMBERS[1]}  Round: 3", f"Address: {OWN}  Round: 4 (Local node)"]
    verdict = tell(*still(age=100.0, peers=(500, 500)), log=lines(*said, at=NOW + 1000.0))
    assert verdict.details["heard"] == {MEMBERS[1]: 9.0}


def test_rounds_of_before_the_last_block_are_no_proof():
    log = lines("x | RoundTimer | Moved to round 5 which will expire in 128 seconds", at=NOW + 700.0)
    verdict = tell(look(age=100.0, peers=(500,)), look(at=1001.0, age=101.0, peers=(500,)), log=log)
    assert not verdict.settled and "round" not in " ".join(verdict.reasons)


def lived(age, pace=1.0, seconds=120, period=2.0, ahead=0, **more):
    """Looks once a second at a node that imports at ``pace``; ``age``: how old its head is by this host's clock."""
    config = replace(BFT, block_period=period, request_timeout=2 * period)
    looks = []
    for second in range(seconds):
        number = 500 + int(second * pace / period)
        made = NOW + 1000.0 - age + (number - 500) * period
        head = Block(number, int(made), f"0x{number:064x}", MEMBERS[1])
        peers = (number + ahead,)
        given = {"head": head, "bft": config, "last_proposed": {OWN: number - 2}, **more}
        looks.append(look(at=1000.0 + second, number=number, peers=peers, **given))
    return looks


def test_a_clock_that_is_ahead_is_no_stall():
    """Old by this clock, and yet new blocks at the chain's pace, here and at the peers."""
    looks = lived(age=100.0)
    assert told(*looks[:10]) == ("syncing", None), "it may be behind, and its peers as well"
    assert told(*looks) == ("consensus", "clock_skew")


def test_a_clock_that_is_ahead_shows_at_once_where_a_quorum_is_level():
    tip = Reference("the validators", 503, tip=True)
    assert told(*lived(age=100.0)[:6], references=[tip]) == ("consensus", "clock_skew")
    behind = Reference("the validators", 900, tip=True)
    assert told(*lived(age=100.0)[:6], references=[behind])[0] == "syncing"


@pytest.mark.parametrize("age", [3600.0, 36000.0])
@pytest.mark.parametrize("pace", [1.2, 2.5, 3.0, 100.0])
def test_a_node_and_its_only_peer_that_are_behind_together_are_not_level(age, pace):
    looks = lived(age=age, pace=pace, ahead=1)
    assert {told(*looks[:count]) for count in range(2, 5)} <= {("syncing", None), ("unknown", None)}
    assert {told(*looks[:count]) for count in range(5, len(looks))} == {("syncing", None)}


def test_catching_up_with_a_stalled_chain_is_no_skew():
    """Old blocks at the pace of a living chain; but the peers have no new ones."""
    looks = [look(at=1000.0 + 2 * i, number=496 + i, age=200.0 - i, peers=(500,)) for i in range(5)]
    assert told(*looks) == ("syncing", None)
    stands = [look(at=1010.0 + 2 * i, number=500, age=198.0 + 2 * i, peers=(500,)) for i in range(8)]
    assert told(*looks, *stands) == ("error", "chain_stalled")
    assert told(*looks, *stands, unit=UnitStatus(since=990.0)) == ("syncing", None)


def test_a_clock_that_is_behind():
    looks = lived(age=-40.0)
    assert told(*looks[:4]) == ("syncing", None)
    assert told(*looks) == ("consensus", "clock_skew")


STANDS = {
    "a stall": ({}, ("error", "chain_stalled")),
    "no peers": ({"peers": (), "peer_count": 0}, ("error", "no_peers")),
    "no consensus client": (
        {"group": None, "bft": None, "validators": None},
        ("error", "consensus_client_unreachable"),
    ),
    "the only validator": (
        {"peers": (), "peer_count": 0, "validators": (OWN,), "next_validators": (OWN,)},
        ("error", "not_proposing"),
    ),
}


@pytest.mark.parametrize("tip", [False, True], ids=["", "a quorum was asked"])
@pytest.mark.parametrize("before", [0, 30], ids=["just met", "it had advanced"])
@pytest.mark.parametrize("name", STANDS)
def test_what_stands_is_ill_by_a_clock_that_is_behind_too(name, before, tip):
    """No age of its head ever exceeds a limit there: for how long it was watched tells."""
    change, expected = STANDS[name]
    looks = lived(age=-7200.0, seconds=before)[:before]
    last = looks[-1] if looks else look(number=500, age=-7200.0)
    if name == "no consensus client":
        change = {**change, "head": replace(last.head, difficulty=0), "next_validators": None, "last_proposed": None}
        looks = []
    stood = [replace(last, at=last.at + s, wall=last.wall + s, **change) for s in range(0, 130, 10)]
    level = [Reference("the validators", last.number, tip=True)] if tip else []
    assert told(*looks, *stood, references=level) == expected
    assert told(*stood[:1], references=level)[0] not in ("synced", "running", "consensus")


@pytest.mark.parametrize("period", [15.0, 60.0])
def test_a_clock_that_is_behind_by_less_than_a_period_makes_no_state_flap(period):
    """Each block is in the future when it comes, and is not any more when the next one is due."""
    looks = lived(age=-20.0, period=period, seconds=int(6 * period))
    seen = [told(*looks[:count]) for count in range(2, len(looks), 3)]
    changes = [two for one, two in zip(seen, seen[1:]) if one != two]
    skewed = [("syncing", None), ("consensus", "clock_skew")]
    assert changes[-2:] == (skewed if period < 20.0 else []) and len(changes) <= 3


def test_a_quiet_chain_is_watched_for_as_long_as_a_block_may_take_before_a_clock_is_told_from_a_stall():
    quiet = replace(BFT, empty_block_period=60.0)
    looks = [look(at=1000.0 + s, age=3600.0 + s, bft=quiet) for s in (0, 5, 59, 121)]
    assert [told(*looks[:count])[0] for count in (2, 3, 4)] == ["unknown", "unknown", "error"]


@pytest.mark.parametrize("age", [3600.0, -3600.0])
def test_a_node_without_its_state_is_not_level_by_a_wrong_clock(age):
    looks = [replace(one, state_available=False) for one in lived(age=age)]
    assert told(*looks, references=[Reference("the validators", looks[-1].number, tip=True)])[0] == "syncing"


def test_a_head_that_passes_through_the_present_is_not_level():
    """The clock is an hour behind, and so is the node, which catches up: for a while its head looks fresh."""
    looks = lived(age=40.0, pace=1.3, seconds=180, ahead=1)
    assert {told(*looks[:count])[0] for count in range(5, len(looks))} == {"syncing"}


def test_a_fast_sync_ends_as_soon_as_blocks_come_at_the_chains_pace():
    fast = lived(age=3000.0, pace=500.0, seconds=7)
    last = fast[-1].head
    slow = [
        look(at=1007.0 + i, number=last.number + i // 2, age=1.0 + i % 2, peers=(last.number + i // 2,))
        for i in range(8)
    ]
    assert told(*fast, *slow[:1])[0] == "syncing"
    assert told(*fast, *slow)[0] in ("running", "consensus", "synced")


def test_a_pause_of_some_seconds_is_no_sync():
    """The virtual machine was stalled for five seconds, and three blocks come at once."""
    looks = lived(age=1.0, seconds=60)
    late = [replace(one, head=looks[30].head) if 30 < i < 36 else one for i, one in enumerate(looks)]
    assert {told(*late[:count])[0] for count in range(3, len(late))} == {"consensus"}


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
    track = append_sample(append_sample(None, look(), "a"), look(at=1002.0, number=501), "a")
    assert track.earlier is not None and track.first_number == 500
    again = append_sample(track, look(at=1004.0, number=501), "b")
    assert again.earlier is None and again.first_number == 501


def test_a_track_stays_small_however_long_it_lasts():
    track = None
    for i in range(5000):
        track = append_sample(track, look(at=1000.0 + i * 0.3, number=500 + i // 10), "i")
    assert len(track.recent) <= 24 and len(track.points) <= 30
    assert track.rate == pytest.approx(1 / 3, rel=0.1)


# --- starts, silences, words that last ------------------------------------------------------------------------------


def closed(at, p2p=None, metrics=None):
    return NodeSample(at, NOW + at, "refused", p2p_open=p2p, metrics=metrics)


@pytest.mark.parametrize("open_ports", [{"p2p": True}, {"metrics": {m.PEERS: 0.0, m.HEIGHT: 5.0}}])
def test_ports_that_open_before_rpc_are_no_rpc_that_is_off(open_ports):
    starting = UnitStatus(since=990.0)
    looks = [closed(1000.0 + i, **open_ports) for i in range(20)]
    for count in range(1, 14):
        assert told(*looks[:count], unit=starting) == ("starting", None)
    assert told(*looks, unit=starting)[0] == ("unknown" if "p2p" in open_ports else "syncing")
    assert told(looks[0], unit=OLD)[0] != "starting", "a process that is old is not in a start"


SNAP = "x | INFO | FastImportBlocksStep | Block import progress: 1000 of 9000 (11%), Peer count: 2"


def test_a_snap_sync_is_stuck_only_after_three_missing_lines():
    def at(seconds):
        looks = (look(at=1000.0, number=100, peers=(9000,)), look(at=1000.0 + seconds, number=100, peers=(9000,)))
        log = read_log([LogLine(NOW + 1000.0 - 75.0 * i, SNAP) for i in (3, 2, 1, 0)])
        return told(*looks, log=log)

    assert {at(seconds)[0] for seconds in (30, 61, 150, 220)} == {"syncing"}
    assert at(230) == ("error", "stuck_sync")


@pytest.mark.parametrize(
    ("said", "number", "state", "snap"),
    [
        ([SNAP], 100, None, True),
        ([SNAP], 100, False, True),
        ([SNAP], 0, True, True),
        ([SNAP], 100, True, False),
        ([], 100, False, True),
        ([], 100, True, False),
        ([], 0, True, False),
        (["x | INFO | ImportBlocksStep | Import reached block 100 (0x1), Peer count: 2"], 100, None, False),
        (["x | INFO | BFTPivotSelectorFromPeers | Creating pivot block selector for BFT node"], 0, None, False),
        (["x | WARN | PipelineChainDownloader | Chain download failed. Restarting after short delay."], 9, None, False),
    ],
)
def test_the_middle_of_a_snap_sync(said, number, state, snap):
    looks = still(number=number, peers=(9000,), age=900.0, state_available=state)
    verdict = tell(*looks, log=lines(*said, at=NOW + 900.0))
    assert ("snap_sync" in verdict.details) is snap


def test_a_state_keeps_its_word_while_peers_come_and_go():
    """A peer that turns the node down is connected for a moment, again and again."""
    looks = [look(at=1000.0 + i, age=60.0 + i, peers=(500,) if i > 25 and i % 35 == 4 else ()) for i in range(120)]
    states = [told(*looks[:count])[0] for count in range(30, len(looks))]
    assert set(states) == {"error"}
    back = [look(at=1120.0 + i, number=501 + i, age=1.0, peers=(501 + i,)) for i in range(3)]
    assert told(*looks, *back)[1] is None


def test_a_lone_validator_that_looks_for_peers_makes_no_blocks():
    alone = {"validators": (OWN,), "next_validators": (OWN,), "peers": (), "age": 100.0}
    log = lines(
        "x | FullSyncTargetManager | Unable to find sync target. Waiting for 1 peers minimum. Currently checking 0"
    )
    for since, state in ((975.0, "error"), (995.0, "syncing")):
        assert told(*still(**alone), unit=UnitStatus(since=since), log=log)[0] == state
    assert told(*still(**alone), unit=UnitStatus(since=975.0))[0] == "syncing"


def test_the_age_of_block_0_is_not_told():
    began = {"number": 0, "age": 1.7e9, "peers": (0,), "last_proposed": {}}
    verdict = tell(*still(**began))
    assert "block 0, the chain has not begun" in verdict.reasons[0] and "head_age" not in verdict.details


def test_a_state_lasts_since_the_last_block_and_not_since_the_start():
    verdict = tell(*still(age=120.0, peers=()))
    assert verdict.state == "error" and verdict.lasted == 130.0
    assert tell(*steady()).lasted is None


def test_two_networks_with_one_chain_id_are_told_apart_by_block_0():
    ours = Reference("x2", 501, genesis="0x" + "A" * 64, chain_id=1337)
    other = Reference("y1", 70, genesis="0x" + "b" * 64, chain_id=1337)
    assert told(*steady(), references=[other, ours])[1] is None
    higher = replace(other, number=90_000, tip=True)
    assert told(*steady(), references=[higher, ours]) == ("consensus", None), "its height is not one of this chain"
    assert told(*steady(), references=[other]) == ("error", "wrong_chain")
    assert told(*steady(), references=[ours, other], options=NodeOptions(genesis="0x" + "b" * 64)) == (
        "error",
        "wrong_chain",
    )


def test_a_period_that_is_not_told_is_measured():
    slow = {"bft": None, "group": None, "validators": None, "next_validators": None, "peers": (None, None, None)}
    assert told(*still(age=40.0, **slow))[0] == "syncing"
    assert told(*still(age=40.0, measured_period=60.0, **slow)) == ("running", None)


@pytest.mark.parametrize(
    ("config", "age", "expected", "word"),
    [
        (NonBftConfig("Clique", 2.0), 1.0, ("running", None), "a Clique network: no quorum agrees on its blocks"),
        (NonBftConfig("Clique", 2.0), 5.0, ("running", None), "no quorum guard applies"),
        (NonBftConfig("Clique", 2.0), 900.0, ("error", "chain_stalled"), ""),
        (NonBftConfig("Clique", None, True), 900.0, ("running", None), "only where there is a transaction"),
        (NonBftConfig("development", None, True), 900.0, ("running", None), "a development network"),
    ],
)
def test_networks_without_a_quorum(config, age, expected, word):
    off = {"qbft:latest": "not_enabled", "ibft:latest": "not_enabled"}
    bare = {"bft": None, "group": None, "validators": None, "next_validators": None, "last_proposed": None}
    verdict = tell(*still(age=age - 1.0, peers=(500, 500), non_bft=config, outcomes=off, **bare))
    if age < 10:
        verdict = tell(*steady(age=age, peers=(501, 501), non_bft=config, outcomes=off, **bare))
    assert (verdict.state, verdict.cause) == expected
    said = " ".join(verdict.reasons)
    assert word in said and "QBFT" not in said + " ".join(verdict.details["missing"])


# --- an execution client --------------------------------------------------------------------------------------------

ENGINE = {"bft": None, "group": None, "validators": None, "next_validators": None, "peers": (None, None)}


def slots(*ages, seconds=12):
    """Looks at an execution client: one each ``seconds``, ``ages``: how old its head is."""
    looks = []
    for index, age in enumerate(ages):
        at = 1000.0 + seconds * index
        head = Block(500 + int((at - age) // 12), int(NOW + at - age), f"0x{int(at - age):064x}", "", 0)
        looks.append(look(at=at, **{**ENGINE, "head": head, "outcomes": {"qbft:latest": "not_enabled"}}))
    return looks


def test_missed_slots_of_an_execution_client_are_no_stall():
    verdict = tell(*slots(4, 16, 28, 40))
    assert (verdict.state, verdict.cause) == ("running", None)
    assert "no quorum guard applies" in verdict.reasons[1] and verdict.details["missing"] == []


def test_an_execution_client_without_its_consensus_client():
    looks = slots(40, 52, 64, 76, 88)
    assert told(*looks[:2]) in (("unknown", None), ("running", None))
    verdict = tell(*looks)
    assert (verdict.state, verdict.cause) == ("error", "consensus_client_unreachable")
    log = lines(
        "x | WARN | EngineQosTimer | Execution engine not called in 120 seconds, consensus client may not be connected"
    )
    assert told(*slots(100, 112), log=log) == ("error", "consensus_client_unreachable")
    began = replace(look(**ENGINE), head=Block(0, 5, "0x" + "0" * 64, "", 17))
    assert told(began, replace(began, at=1010.0), log=log) == ("error", "consensus_client_unreachable")
    again = lines(
        "x | WARN | EngineQosTimer | Execution engine not called in 120 seconds, consensus client may not be connected",
        "x | INFO | AbstractEngineNewPayload | Imported #500 / 12 tx / 1 blobs",
    )
    assert again.engine_silent == ""


@pytest.mark.parametrize("config", [NonBftConfig("proof-of-work"), NonBftConfig("Clique", 2.0, True), None])
def test_the_blocks_and_not_the_genesis_file_tell_an_execution_client(config):
    """With ADMIN a node of mainnet shows the proof of work of its genesis file."""
    told_off = [replace(one, non_bft=config) for one in slots(40, 52, 64, 76, 88)]
    assert told(*told_off) == ("error", "consensus_client_unreachable")
    fresh = tell(*(replace(one, non_bft=config) for one in slots(4, 4)))
    assert fresh.state == "running" and "an execution client" in " ".join(fresh.reasons)


def test_no_qbft_is_asked_for_before_the_blocks_of_the_merge_are_reached():
    early = [
        replace(one, non_bft=NonBftConfig("proof-of-work"), head=replace(one.head, difficulty=7)) for one in slots(4, 4)
    ]
    verdict = tell(*early)
    assert "QBFT" not in " ".join((*verdict.reasons, *verdict.details["missing"])), verdict


def test_a_chain_with_difficulty_is_no_execution_client():
    clique = [replace(one, head=replace(one.head, difficulty=2)) for one in slots(4, 4)]
    assert not clique[0].is_execution_client and "QBFT" in " ".join(tell(*clique).reasons)


def test_a_shutdown_under_way_is_no_start():
    log = lines("x | ERROR | RocksDBTransaction | Disk full detected: No space left on device", "x | Stopping Network.")
    verdict = tell(closed(1000.0), closed(1002.0), unit=UnitStatus(since=691.0), log=log)
    assert (verdict.state, verdict.cause) == ("stopping", "disk_full")


@pytest.mark.parametrize(("age", "reads"), [(3.0, False), (6.0, True), (18.0, True), (90.0, True)])
def test_the_log_of_a_silent_start_is_read_soon(age, reads):
    """A look of a controller that has never seen it answer cannot tell a start from a shutdown otherwise."""
    verdict = tell(closed(1000.0), closed(1002.0), unit=UnitStatus(since=1002.0 - age))
    assert (verdict.state, verdict.wants_log) == ("starting", reads)


# --- how many take part -----------------------------------------------------------------------------------------------


def margin(**more):
    made = {member: 500 - i for i, member in enumerate(MEMBERS)}
    found = tell(*steady(**{"last_proposed": made, "proposed_to": 500, **more})).details
    return found.get("taking_part"), found.get("may_stop")


def test_every_member_that_proposed_lately_takes_part():
    assert margin() == (len(MEMBERS), len(MEMBERS) - -(-2 * len(MEMBERS) // 3))


def test_one_that_proposed_none_of_as_many_blocks_as_there_are_members_does_not():
    made = {member: 500 - i for i, member in enumerate(MEMBERS)}
    gone = {**made, MEMBERS[0]: 500 - len(MEMBERS)}
    assert margin(last_proposed=gone)[0] == len(MEMBERS) - 1


def test_no_validator_takes_part_in_a_stalled_chain():
    assert margin(age=3600.0) == (0, 0)


def test_a_node_that_does_not_tell_who_proposed_has_no_margin():
    assert margin(last_proposed=None, proposed_to=None) == (None, None)
