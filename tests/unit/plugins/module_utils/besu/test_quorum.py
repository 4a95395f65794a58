# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic of a quorum, what refuses, and what a stall needs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import access, stall
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import chain_view as cv
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum as q
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import BesuLog, Round
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.options import ACCESS_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import BftConfig, Block, Peer
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock

PACE = q.ChainTiming(2.0, 4.0, 9.0)


def names(n):
    return tuple(f"0x{i:040x}" for i in range(1, n + 1))


# BftHelpersTest of Besu, and the documents' table.
@pytest.mark.parametrize(
    ("n", "needed", "down"),
    [
        (1, 1, 0),
        (2, 2, 0),
        (3, 2, 1),
        (4, 3, 1),
        (5, 4, 1),
        (6, 4, 2),
        (7, 5, 2),
        (8, 6, 2),
        (9, 6, 3),
        (10, 7, 3),
        (15, 10, 5),
        (20, 14, 6),
    ],
)
def test_arithmetic(n, needed, down):
    assert q.quorum(n) == needed
    assert q.may_be_down(n) == down


def view(n=4, head=100, **more):
    """A healthy network of n validators, each asked itself."""
    members = names(n)
    given = {
        "validators": members,
        "next_validators": members,
        "first_head": head - 1,
        "head": head,
        "head_age": 1.0,
        "last_proposed": {member: head - i for i, member in enumerate(members)},
        "proposed_to": head,
        "followers": dict.fromkeys(members, True),
        "versions": dict.fromkeys(members, "26.8.0"),
        "observers": n,
    }
    return cv.ChainView(**{**given, **more})


def without(base, *gone, stopped_following=True):
    return replace(
        base,
        followers={a: a not in gone for a in base.followers},
        last_proposed={a: 1 if a in gone else n for a, n in base.last_proposed.items()},
    )


@pytest.mark.parametrize(
    ("n", "gone", "safe"),
    [
        (1, 0, False),
        (2, 0, False),
        (3, 0, True),
        (3, 1, False),
        (4, 0, True),
        (4, 1, False),
        (5, 1, False),
        (6, 1, True),
        (7, 1, True),
        (7, 2, False),
        (9, 2, True),
        (10, 2, True),
        (10, 3, False),
    ],
)
def test_one_may_go_only_while_the_rest_is_the_quorum(n, gone, safe):
    members = names(n)
    verdict = q.may_stop(without(view(n), *members[n - gone :]), members[0], PACE)
    assert verdict.safe is safe
    assert verdict.may_stop == max(n - gone - q.quorum(n), 0)
    assert str(q.quorum(n)) in verdict.arithmetic and f"{n - gone} of {n} take part" in verdict.arithmetic


TARGET = names(4)[0]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"next_validators": None}, "not known"),
        ({"next_validators": ()}, "not known"),
        ({"next_validators": names(5)}, "changes with the next block"),
        ({"first_head": 100}, "did not advance"),
        ({"first_head": None}, "did not advance"),
        ({"head_age": 20.0, "followers": {}}, "old"),
        ({"head_age": 20.0, "first_head": 100}, "old"),
        ({"head_age": None}, "old"),
        ({"disagreement": "there are two blocks 7"}, "two blocks"),
        ({"followers": {}}, "too few"),
        ({"last_proposed": {}}, "too few"),
        ({"versions": {**dict.fromkeys(names(4), "26.8.0"), names(4)[3]: "25.12.0"}}, "do not understand"),
    ],
)
def test_what_cannot_be_proved_is_refused(change, word):
    verdict = q.may_stop(view(**change), TARGET, PACE)
    assert not verdict.safe and word in verdict.reason


@pytest.mark.parametrize("n", [1, 2])
def test_the_stop_of_one_of_two_is_told_as_a_stop_of_the_chain(n):
    verdict = q.may_stop(view(n), names(n)[0], PACE)
    assert not verdict.safe and f"a network of {n} needs all of its validators" in verdict.reason


@pytest.mark.parametrize("age", [30.0, 3600.0, -3600.0])
def test_a_wrong_clock_refuses_nothing_where_a_quorum_is_level_and_moves(age):
    assert q.may_stop(view(head_age=age), TARGET, PACE).safe


def test_no_address_no_leave():
    assert not q.may_stop(view(), None, PACE).safe


def test_nothing_is_taken_where_nothing_is_there():
    for verdict in (
        q.may_stop(view(), "0x" + "f" * 40, PACE, same_chain=True),
        q.may_stop(view(head_age=500.0), TARGET, PACE, target_runs=False),
        q.may_stop(without(view(), TARGET), TARGET, PACE),
    ):
        assert verdict.safe and "nothing is taken" in verdict.reason


def test_a_node_of_an_unknown_chain_is_not_taken_for_no_validator():
    verdict = q.may_stop(view(), "0x" + "f" * 40, PACE)
    assert not verdict.safe and "give genesis_hash" in verdict.reason


def test_who_is_left_when_all_but_one_were_asked():
    members = names(4)
    assert q.only_one_left(view(followers=dict.fromkeys(members[1:], True))) == members[0]
    for followers in (members[2:], members):  # where all were, it may be one of them, asked by another URL
        assert q.only_one_left(view(followers=dict.fromkeys(followers, True))) is None
    assert q.only_one_left(cv.ChainView()) is None


def test_a_validator_voted_out_with_the_next_block_is_still_one():
    assert not q.may_stop(view(next_validators=names(4)[1:]), TARGET, PACE).safe
    assert not q.may_stop(view(next_validators=names(4)[1:]), TARGET, PACE, same_chain=True).safe
    assert not q.may_stop(view(validators=names(4)[1:]), TARGET, PACE, same_chain=True).safe


def test_peers_count_only_where_they_cannot_be_asked_and_everybody_answers():
    members = names(4)
    linked = view(followers={TARGET: True}, links={TARGET: frozenset(members[1:])}, witnessed=(frozenset(members[1:]),))
    assert q.may_stop(linked, TARGET, PACE).safe
    fewer = frozenset(members[1:3])
    assert not q.may_stop(replace(linked, links={TARGET: fewer}, witnessed=(fewer,)), TARGET, PACE).safe
    silent = q.may_stop(replace(linked, doubtful=1), TARGET, PACE)
    assert not silent.safe and "do not answer or lag" in silent.reason
    none_left = q.spare_validators(replace(linked, doubtful=1), PACE)
    assert none_left.may_stop == 0
    assert none_left.reason == "1 of them may be nodes that do not answer or lag, and do not count"


def test_seldom_blocks_need_no_new_one_between_two_looks():
    for slow in (q.ChainTiming(60.0, 120.0, 400.0), q.ChainTiming(2.0, 4.0, 400.0, quiet=300.0)):
        assert q.may_stop(view(first_head=100), TARGET, slow).safe
        assert not q.may_stop(view(first_head=100, head_age=500.0), TARGET, slow).safe


@pytest.mark.parametrize(
    ("versions", "mixed"),
    [
        (("26.1.0", "26.8.0"), False),
        (("25.7.0", "25.12.0"), False),
        (("25.12.0", "26.1.0"), True),
        (("24.3", "26.3-develop"), True),
        (("x", "26.8.0"), False),
        ((), False),
    ],
)
def test_versions(versions, mixed):
    members = names(4)
    assert bool(q.incompatible(dict(zip(members, versions)), members)) is mixed


# --- from samples ---------------------------------------------------------------------------------------------------


def node(i, n=4, height=100, **more):
    members = names(n)
    given = {
        "rpc": "ok",
        "head": Block(height, 1000 + 2 * height, f"0x{height:064x}", members[height % n]),
        "genesis": "0x" + "a" * 64,
        "peers": tuple(Peer(a, height, "26.8.0") for a in members if a != members[i]),
        "address": members[i],
        "version": "26.8.0",
        "validators": members,
        "next_validators": members,
        "last_proposed": {members[j % n]: j for j in range(height - n, height)},
        "proposed_to": height,
    }
    given.update(more)
    return NodeSample(float(height), 1000.0 + 2 * height + 1, **given)


def test_a_healthy_network_as_samples():
    seen = cv.chain_view([(node(i), node(i, height=101)) for i in range(4)])
    assert (seen.first_head, seen.head, seen.observers, seen.doubtful) == (100, 101, 4, 0)
    verdict = q.may_stop(seen, names(4)[2], PACE)
    assert verdict.safe and verdict.may_stop == 1 and set(verdict.which) == set(names(4))


def test_the_last_blocks_are_known_from_both_looks():
    """The metrics leave out the head, and the second look may be a light one with the metrics of the first."""
    first = [node(i) for i in range(4)]
    later = [replace(one, head=Block(102, 1204, "", names(4)[2])) for one in first]
    assert q.active_validators(cv.chain_view(list(zip(first, later)))) == names(4)


@pytest.mark.parametrize(("hub", "peers", "safe"), [(0, 1, False), (0, 2, True), (3, 1, False)])
@pytest.mark.parametrize("hangs", [False, True])
def test_those_that_have_one_peer_and_do_not_name_it_may_have_the_one_that_is_to_stop(hub, peers, safe, hangs):
    """Without discovery, where all have the same static node: it carries the votes of all others (ADMIN off)."""
    hidden = [node(i, peers=None, peer_count=3 if i == hub else peers) for i in range(4)]
    later = [replace(one, head=Block(101, 1202, "", names(4)[1])) for one in hidden]
    if hangs:
        later[hub] = replace(later[hub], rpc="hang", head=None)
    seen = cv.chain_view(list(zip(hidden, later)))
    assert q.may_stop(seen, names(4)[hub], PACE).safe is safe
    elsewhere = {names(4)[1]: frozenset(names(4))}
    assert q.may_stop(replace(seen, links=elsewhere), names(4)[hub], PACE).safe, "their peer is the one that names them"


def test_a_node_that_answered_before_and_not_now_does_not_take_part():
    looks = [(node(i), node(i, height=101)) for i in range(3)] + [(node(3), NodeSample(1.0, 1.0, "unreachable"))]
    seen = cv.chain_view(looks)
    assert seen.followers[names(4)[3]] is False
    assert not q.may_stop(seen, names(4)[0], PACE).safe


def test_a_node_that_never_answered_may_be_any_of_those_seen_as_peers():
    dead = NodeSample(1.0, 1.0, "unreachable")
    seen = cv.chain_view([(node(i), node(i, height=101)) for i in range(3)] + [(dead, dead)])
    assert seen.doubtful == 1
    assert not q.may_stop(seen, names(4)[0], PACE).safe


def test_a_node_that_stays_behind_does_not_take_part():
    looks = [(node(i), node(i, height=103)) for i in range(3)] + [(node(3), node(3))]
    assert (
        q.inactivity_reason(cv.chain_view(looks), names(4)[3])
        == "does not have the head that the others have, or has no peers"
    )


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"genesis": "0x" + "b" * 64}, "genesis"),
        ({"next_validators": names(5)}, "validator set"),
        ({"head": Block(101, 1202, "0x" + "f" * 64, "")}, "two blocks 101"),
    ],
)
def test_nodes_that_contradict_each_other(more, word):
    looks = [(node(i), node(i, height=101)) for i in range(3)] + [(node(3), node(3, height=101, **more))]
    assert word in cv.chain_view(looks).disagreement


@pytest.mark.parametrize("more", [{"genesis": "0x" + "b" * 64}, {"chain_id": 2}])
@pytest.mark.parametrize("height", [1, 101, 5000])
def test_a_node_of_another_chain_among_those_asked_refuses_whatever_its_head(more, height):
    other = node(3, height=height, next_validators=names(9)[5:], validators=names(9)[5:], **more)
    looks = [(node(i, chain_id=1), node(i, height=101, chain_id=1)) for i in range(3)] + [(other, other)]
    seen = cv.chain_view(looks)
    assert "differ in" in seen.disagreement
    for target in (names(4)[0], names(9)[8], "0x" + "f" * 40):
        assert not q.may_stop(seen, target, PACE, same_chain=True).safe


@pytest.mark.parametrize("silent", range(4))
def test_one_node_without_the_consensus_api_hides_the_set_of_nobody(silent):
    off = {"validators": None, "next_validators": None, "last_proposed": None, "proposed_to": None}
    looks = [
        (node(i, **(off if i == silent else {})), node(i, height=101, **(off if i == silent else {}))) for i in range(4)
    ]
    for order in (looks, looks[::-1]):
        seen = cv.chain_view(order)
        assert seen.next_validators == names(4)
        assert q.may_stop(seen, names(4)[0], PACE).safe


OBSERVER = "0x" + "e" * 40


def peers_of(*addresses, height=101):
    return tuple(Peer(address, height, "26.8.0") for address in addresses)


def test_validators_that_only_a_cut_off_observer_has_as_peers_do_not_count():
    """Two sites: the observer and two of seven validators are cut off, and their own RPC cannot be asked."""
    members = names(7)
    near = members[:5]
    observer = node(0, 7, height=101, address=OBSERVER, peers=peers_of(*members[5:]))
    looks = [
        (node(i, 7), node(i, 7, height=101, peers=peers_of(*(m for m in near if m != members[i])))) for i in range(5)
    ]
    for height in (101, 97):  # with seldom blocks it has the head of the others, later it is behind
        seen = cv.chain_view([*looks, (observer, node(0, 7, height=height, address=OBSERVER, peers=observer.peers))])
        assert q.active_validators(seen) == near
        assert not q.may_stop(seen, members[0], PACE).safe
        assert q.inactivity_reason(seen, members[6])


def test_observers_on_both_sides_of_a_cut_are_no_link():
    members = names(4)
    sides = [peers_of(*members[:2]), peers_of(*members[2:])]
    looks = [(node(0, address=None, peers=side), node(0, height=101, address=None, peers=side)) for side in sides]
    assert len(q.active_validators(cv.chain_view(looks))) == 2


def test_a_validator_without_peers_does_not_take_part():
    for isolated in ({"peers": (), "peer_count": 0}, {"peers": None, "peer_count": 0}, {"peers": peers_of(OBSERVER)}):
        looks = [(node(i), node(i, height=101)) for i in range(3)] + [(node(3), node(3, height=101, **isolated))]
        seen = cv.chain_view(looks)
        assert len(q.active_validators(seen)) == 3
        assert not q.may_stop(seen, names(4)[0], ChainTiming60).safe
        assert q.may_stop(seen, names(4)[3], PACE).safe, "restarting the one that is cut off takes nothing offline"


ChainTiming60 = q.ChainTiming(60.0, 120.0, 240.0)


def test_two_pairs_that_see_only_each_other_are_no_quorum():
    members = names(4)
    pairs = {0: 1, 1: 0, 2: 3, 3: 2}
    looks = [(node(i), node(i, height=101, peers=peers_of(members[pairs[i]]))) for i in range(4)]
    seen = cv.chain_view(looks)
    assert len(q.active_validators(seen)) == 2 and not q.may_stop(seen, members[0], PACE).safe


def test_a_validator_that_alone_links_another_may_not_stop():
    """A line of five: without the one in the middle nobody is left that reaches a quorum."""
    members = names(6)
    line = {i: [members[j] for j in (i - 1, i + 1) if 0 <= j < 6] for i in range(6)}
    looks = [(node(i, 6), node(i, 6, height=101, peers=peers_of(*line[i]))) for i in range(6)]
    seen = cv.chain_view(looks)
    assert len(q.active_validators(seen)) == 6
    assert not q.may_stop(seen, members[2], PACE).safe and q.may_stop(seen, members[0], PACE).safe
    assert q.spare_validators(seen, PACE).may_stop == 0


@pytest.mark.parametrize("more", [{"height": 97}, {"height": 101, "peers": (), "peer_count": 0}])
def test_one_that_lags_and_does_not_tell_its_address_is_a_laggard(more):
    """Seven validators, one is down, one lags and has neither ADMIN nor NET."""
    members = names(7)
    anonymous = {"address": None, **more}
    looks = [
        (node(i, 7), node(i, 7, height=101, peers=peers_of(*(m for m in members if m not in (members[i], members[5])))))
        for i in range(5)
    ]
    looks.append((node(6, 7, address=None), node(6, 7, **{"peers": None, **anonymous})))
    seen = cv.chain_view(looks)
    assert seen.doubtful == 1
    assert not q.may_stop(seen, members[0], PACE).safe


@pytest.mark.parametrize("apis", ["none", "one", "target"])
def test_without_lists_of_peers_counts_have_to_do(apis):
    """Only some nodes have the ADMIN API."""
    tells = {"none": (), "one": (1,), "target": (0,)}[apis]
    more = [{} if i in tells else {"peers": None, "peer_count": 3} for i in range(4)]
    seen = cv.chain_view([(node(i), node(i, height=101, **more[i])) for i in range(4)])
    assert q.active_validators(seen) == names(4)
    assert q.may_stop(seen, names(4)[0], PACE).safe


@pytest.mark.parametrize("ago", [4, 5, 7, 9, 15])
def test_the_window_of_proposals_is_n_blocks_and_no_more(ago):
    """A member that proposed none of the last n blocks has missed its turn."""
    base = view(head=100)
    one = replace(base, last_proposed={**base.last_proposed, names(4)[3]: 100 - ago})
    assert len(q.active_validators(one)) == 3
    assert not q.may_stop(one, TARGET, PACE).safe
    assert q.may_stop(replace(one, last_proposed={**base.last_proposed, names(4)[3]: 97}), TARGET, PACE).safe


def test_rolling_back_the_first_upgraded_validator_is_allowed():
    members = names(4)
    mixed = {**dict.fromkeys(members, "25.12.0"), members[3]: "26.8.0"}
    fresh = view(versions=mixed)  # its last proposal is of the process before
    gone = replace(fresh, last_proposed={**fresh.last_proposed, members[3]: 20})
    for seen in (fresh, gone):
        assert q.may_stop(seen, members[3], PACE).safe
        assert not q.may_stop(seen, members[0], PACE).safe
    upgrading = q.may_stop(
        view(7, versions={**dict.fromkeys(names(7), "25.12.0"), names(7)[6]: "26.8.0"}), names(7)[5], PACE
    )
    assert upgrading.safe, "five of seven that understand each other are left"


def test_validators_of_both_encodings_that_all_propose_understand_each_other():
    """The upgrade from 25.x with Xbft-legacy-protocol-encoding: each is told apart, and none is refused for that."""
    members = names(4)
    for new in (1, 2, 3):
        mixed = {m: "26.8.0" if number < new else "25.12.0" for number, m in enumerate(members)}
        seen = view(versions=mixed, proposers=frozenset(members))
        assert q.incompatible(mixed, members) and q.may_stop(seen, members[3], PACE).safe
        assert q.spare_validators(seen, PACE).safe
        for silent in members:
            unproved = replace(seen, proposers=frozenset(members) - {silent})
            verdict = q.may_stop(unproved, members[3], PACE)
            # Three new ones are a quorum by themselves, and so is whoever is left without the one that did not propose.
            assert verdict.safe is (new == 3 or silent == members[3]), (new, silent)


def test_who_has_proposed_since_the_first_look_and_with_which_version():
    firsts = [node(i, version="25.7.0" if i else "26.8.0") for i in range(4)]
    lasts = [node(i, height=104, version="26.8.0" if i < 2 else "25.7.0") for i in range(4)]
    seen = cv.chain_view(list(zip(firsts, lasts)))
    proposed = {m for m in names(4) if seen.last_proposed.get(m, 0) > (seen.first_head or 0)}
    assert len(proposed) >= 3 and names(4)[1] in proposed
    assert seen.proposers == proposed - {names(4)[1]}, "one was upgraded between the two looks"


def test_by_a_clock_that_is_behind_no_block_is_overdue_so_that_the_next_one_has_to_be_seen():
    slow = q.ChainTiming(60.0, 120.0, 400.0)
    assert "in the future" in q.may_stop(view(first_head=100, head_age=-3600.0), TARGET, slow).reason
    assert q.may_stop(view(head_age=-3600.0), TARGET, slow).safe


def test_a_block_that_is_overdue_refuses_where_blocks_are_seldom():
    """A proposer is missing: a round change is under way, and who is missing does not show yet."""
    assert q.may_stop(view(first_head=100, head_age=62.0), TARGET, ChainTiming60).safe
    late = q.may_stop(view(first_head=100, head_age=99.0), TARGET, ChainTiming60)
    assert not late.safe and "overdue" in late.reason
    assert q.may_stop(view(first_head=99, head_age=99.0), TARGET, ChainTiming60).safe


@pytest.mark.parametrize("later", [0.0, 0.3, 1.0, 3.0])
def test_answers_that_come_one_after_the_other_are_compared_at_one_moment(later):
    """With five blocks a second a node that is asked a second later has more of them."""
    config = BftConfig("qbft", 0.2, None, 1.0, None)
    height = 101 + round(later / 0.2)
    looks = [(node(0, bft=config), replace(node(0, height=101, bft=config), at=50.0))]
    looks += [(node(i, bft=config), replace(node(i, height=height, bft=config), at=50.0 + later)) for i in range(1, 4)]
    assert q.active_validators(cv.chain_view(looks)) == names(4)


def test_nobody_answers():
    dead = NodeSample(1.0, 1.0, "refused")
    assert not q.may_stop(cv.chain_view([(dead, dead)]), names(4)[0], PACE).safe
    assert cv.chain_view([]) == cv.ChainView()


# --- lost -----------------------------------------------------------------------------------------------------------


def stalled(heard, age=100.0, round_number=4, at=1000.0, lasts=64.0, **more):
    log = BesuLog(
        round=round_number,
        round_seconds=lasts,
        round_at=at - 20.0,
        rounds=tuple(Round(names(4)[i], r, i == 0) for i, r in heard.items()),
        rounds_at=at - 20.0,
        quorum=3,
    )
    base = view(first_head=100, head_age=age, followers={}, **more)
    return stall.stall_report(base, log, PACE, wall=at)


def test_two_of_four_are_missing():
    found = stalled({0: 4, 1: 4})
    assert found.proved and found.missing == names(4)[2:] and found.round == 4
    assert (
        found.natural is None and "start the missing validators first" in found.advice and "block 101" in found.advice
    )


def test_one_has_come_back_and_climbs():
    """It entered round 1 twenty seconds ago, so that it is in round 2 now and reaches round 4 before the others leave."""
    found = stalled({0: 4, 1: 4, 2: 1}, witnessed=(frozenset(names(4)[:3]),))
    assert found.missing == names(4)[3:]
    assert found.natural == 36.0 and "a restart of all validators at the same time about 26 s" in found.advice


@pytest.mark.parametrize(
    ("round_number", "left", "seconds"),
    [(4, 14.6, 124.0), (0, 4.0, 4.0), (1, 4.0, 4.0), (2, 16.0, 12.0), (10, 100.0, 8188.0)],
)
def test_natural_regain(round_number, left, seconds):
    """Two wait in a round, and a third one comes back: measured 130 s after a stall of 100 s."""
    places = [stall.Place(round_number, left)] * 2 + [stall.Place(0, 4.0)]
    assert stall.rounds_converge_in(4.0, 3, places) == seconds
    assert stall.rounds_converge_in(4.0, 3, places[:2]) is None


def test_rounds_that_are_far_apart_take_hours():
    """besu-eth/besu 7642: rounds 6, 9 and 10, the next expiring in 4,096 s."""
    far = [stall.Place(6, 200.0), stall.Place(9, 1500.0), stall.Place(10, 4096.0)]
    assert stall.rounds_converge_in(4.0, 3, far) == 200.0 + 4 * (1024 - 128), "round 6 climbs to 10"
    found = stalled({0: 10, 1: 9, 2: 6}, round_number=10, lasts=4096.0, witnessed=(frozenset(names(4)[:3]),))
    assert "quorum_lost=restart_all" in found.advice and "hours" in found.advice


def test_rounds_are_seen_from_the_one_that_came_back_too():
    """Its own log has no round yet, but the summary names the rounds of the others."""
    log = BesuLog(
        rounds=(Round(names(4)[2], 0, True, 990.0), *(Round(names(4)[i], 4, False, 970.0) for i in (0, 1))),
        rounds_at=998.0,
        quorum=3,
    )
    base = view(first_head=100, head_age=100.0, followers={})
    found = stall.stall_report(base, log, PACE, wall=1000.0)
    assert found.round == 4 and found.natural == 114.0, "they are in round 5 when it gets there"


def test_hours_against_minutes_after_a_night():
    night = stall.rounds_converge_in(4.0, 3, [stall.Place(12, 1000.0)] * 2 + [stall.Place(0, 4.0)])
    assert night is not None and night > 4 * 3600 > 60 * (stall.RESTART_SECONDS + 6.0) / 2


def test_no_stall_where_the_head_moves_or_is_young():
    assert not stalled({0: 4}, age=5.0).proved
    assert not stall.stall_report(view(), BesuLog(), PACE, wall=1.0).proved
    assert not stall.stall_report(cv.ChainView(), BesuLog(), PACE, wall=1.0).proved


# --- limits, of which each decides something ------------------------------------------------------------------------


@pytest.mark.parametrize(("period", "safe"), [(19.9, False), (20.0, True), (30.0, True)])
def test_from_which_period_on_no_new_block_is_waited_for(period, safe):
    assert q.may_stop(view(first_head=100), TARGET, q.ChainTiming(period, 4.0, 400.0)).safe is safe


@pytest.mark.parametrize(
    ("period", "age", "safe"), [(20.0, 23.0, True), (20.0, 23.1, False), (120.0, 132.0, True), (120.0, 132.1, False)]
)
def test_from_which_age_on_a_block_is_overdue(period, age, safe):
    assert q.may_stop(view(first_head=100, head_age=age), TARGET, q.ChainTiming(period, 4.0, 400.0)).safe is safe


@pytest.mark.parametrize(("age", "safe"), [(9.0, True), (9.1, False)])
def test_from_which_age_on_a_head_is_old(age, safe):
    members = names(4)
    base = view(head_age=age, followers={TARGET: True}, witnessed=(frozenset(members),))
    assert q.may_stop(base, TARGET, PACE).safe is safe


@pytest.mark.parametrize(("level", "safe"), [(2, False), (3, True)])
def test_how_many_level_validators_outweigh_the_clock(level, safe):
    members = names(4)
    followers = dict.fromkeys(members[:level], True)
    base = view(head_age=3600.0, followers=followers, witnessed=(frozenset(members),))
    assert q.may_stop(base, TARGET, PACE).safe is safe


@pytest.mark.parametrize(("new", "safe"), [("26.1.0", False), ("26.0.9", True)])
def test_from_which_version_on_the_encoding_is_the_new_one(new, safe):
    versions = {**dict.fromkeys(names(4), "25.12.0"), names(4)[3]: new}
    assert q.may_stop(view(versions=versions), TARGET, PACE).safe is safe


@pytest.mark.parametrize(
    ("old", "new", "target", "safe"),
    [
        (1, 6, "new", True),  # five of the new ones are left, which are the quorum of seven
        (2, 5, "new", False),
        (6, 1, "old", True),
        (5, 2, "old", False),
        (9, 1, "old", True),
        (1, 9, "new", True),
        (3, 7, "new", False),
    ],
)
def test_enough_have_to_be_left_that_understand_each_other(old, new, target, safe):
    members = names(old + new)
    who = members[0] if target == "old" else members[-1]
    for first in ("26.1.0", "26.8.0"):
        versions = {m: "25.12.0" if number < old else first for number, m in enumerate(members)}
        assert q.may_stop(view(old + new, versions=versions), who, PACE).safe is safe


@pytest.mark.parametrize(("doubtful", "unasked", "safe"), [(2, 1, True), (1, 1, True), (1, 2, True), (2, 2, False)])
def test_those_that_do_not_tell_who_they_are_are_doubtful_once_each(doubtful, unasked, safe):
    """Seven, of whom five are needed: as many as are doubtful, and no more than were not asked themselves."""
    members = names(7)
    asked = dict.fromkeys(members[unasked:], True)
    witness = frozenset(members)
    seen = view(7, followers=asked, witnessed=(witness,), doubtful=doubtful)
    assert q.may_stop(seen, members[-1], PACE).safe is safe


def test_each_chain_that_is_asked_has_a_tip_of_its_own(monkeypatch):
    """Another chain with a higher head, and with the same chain id."""
    ours = [node(i, height=100 + i) for i in range(3)]
    theirs = [replace(node(i, height=9000), genesis="0x" + "b" * 64) for i in range(3)]
    params = {name: option.get("default") for name, option in ACCESS_OPTIONS.items()}
    params["reference_urls"] = [f"http://10.0.0.{i}:8545" for i in range(6)]
    monkeypatch.setattr(access, "sample_all", lambda *_args: [*theirs, *ours])
    tips = [one for one in access.OtherNodes(params, VirtualClock(0.0, 0.0))() if one.tip]
    assert {(one.genesis, one.number) for one in tips} == {(ours[0].genesis, 102), (theirs[0].genesis, 9000)}


def test_the_tip_needs_a_quorum_of_the_set_on_one_chain():
    looks = [node(i, height=100 + i) for i in range(4)]
    assert q.tip_of(looks[:3]).number == 102
    assert q.tip_of(looks[:2]) is None and q.tip_of([]) is None
    assert q.tip_of([looks[0], looks[1], looks[1]]) is None, "one that is asked twice is one"
    assert q.tip_of([*looks[:2], replace(looks[2], rpc="hang")]) is None
    assert q.tip_of([*looks[:2], replace(looks[2], head=None)]) is None
    assert q.tip_of([*looks[:2], replace(looks[2], address=OBSERVER)]) is None
    for other in ("0x" + "b" * 64, "0x" + "0" * 64):
        assert q.tip_of([replace(looks[0], genesis=other), *looks[1:3]]) is None
    assert q.tip_of([*looks[:3], node(0, height=500, address=OBSERVER)]).number == 102
    assert q.tip_of([replace(one, next_validators=None) for one in looks[:3]]).number == 102, "by the set of its head"
    assert q.tip_of([node(0, height=0), node(1, height=1), node(2, height=0)]).number == 1


@pytest.mark.parametrize(
    ("more", "cut_off"),
    [
        ({}, True),
        ({"witnessed": ()}, False),
        ({"witnessed": (frozenset(names(4)),)}, False),
        ({"followers": {TARGET: True}}, False),
    ],
)
def test_who_is_cut_off(more, cut_off):
    base = {"followers": {TARGET: False}, "witnessed": (frozenset(names(4)[1:]),)}
    assert q.is_cut_off(view(**{**base, **more}), TARGET) is cut_off


@pytest.mark.parametrize(("n", "spare"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 2), (7, 2), (9, 3), (10, 3)])
def test_how_many_may_stop_of_a_healthy_network(n, spare):
    found = q.spare_validators(view(n), PACE)
    assert (found.may_stop, found.safe, found.which) == (spare, spare > 0, names(n) if spare else ())


def test_nobody_may_stop_where_the_set_is_not_known():
    found = q.spare_validators(view(next_validators=None), PACE)
    assert (found.safe, found.may_stop, found.which) == (False, 0, ())


def test_words_for_what_is_missing():
    lost = q.spare_validators(without(view(), *names(4)[2:]), PACE)
    just = q.spare_validators(without(view(), names(4)[3]), PACE)
    assert (lost.reason, just.reason) == ("quorum is lost", "only as many take part as the quorum needs")
    assert set(just.missing) == {names(4)[3]} and just.safe is False and just.which == ()
    assert q.spare_validators(view(), PACE).missing == {}


def test_two_without_lists_of_peers_are_not_joined_with_one_that_a_witness_has():
    members = names(4)
    base = view(followers=dict.fromkeys(members, True), links={}, witnessed=(frozenset(members[:2]),))
    assert set(q.active_validators(base)) in ({*members[:2]}, {*members[2:]})
