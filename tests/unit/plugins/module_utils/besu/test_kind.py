# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind: what it adds to an observation, what it refuses, when it wants another look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum as q
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import reservation as r
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import BesuLog
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import Block, NonBftConfig
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.states import CONSENSUS, SYNCED, SYNCING
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import NodeOptions
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import UNIT_FAILURE_RESULT
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.besu_world import (
    FAILED,
    MEMBERS,
    RESTART,
    UP,
    World,
    entry,
)

STOP = m.Step(CONSENSUS, "stop", m.STOPPING)
RESTART_STEP = m.Step(CONSENSUS, "restart", m.RESTARTING)


def test_two_looks_and_it_is_told():
    world = World()
    world.see()
    assert world.kind.resample_after() > 0
    seen = world.see()
    assert (seen.state, seen.base_state) == ("consensus", "running")
    assert world.kind.resample_after() == 0
    assert seen.as_dict()["besu"]["validator"] is True
    assert world.journal.asked == 0


def test_a_new_invocation_forgets_the_old_one():
    world = World()
    world.see()
    world.see()
    seen = world.see(InvocationID="other", ActiveEnterTimestampMonotonic=str(int(5003e6)))
    assert seen.state == "starting"


def test_a_failed_unit_is_told_by_its_own_words():
    world = World(entry("\x1b[31mUnknown option: '--no-such-option=1'\x1b[m"))
    seen = world.see(**FAILED)
    assert (seen.state, seen.cause) == ("error", "config_invalid")
    assert "--no-such-option" in seen.reasons[0]
    world.see(**FAILED)
    assert world.journal.asked == 1


def test_silence_of_a_journal_that_lags_is_not_kept():
    world = World()
    just = {**FAILED, "StateChangeTimestampMonotonic": str(int(5001e6))}
    assert world.see(**just).cause == "exit_code"
    world.journal.entries = (entry("Unknown option: '-x'"),)
    assert world.see(wait=0.5, **just).cause == "config_invalid"


def test_a_clean_stop_stays_one():
    seen = World(entry("x")).see(**{**FAILED, "ExecMainStatus": "143"})
    assert (seen.state, seen.cause) == ("stopped", None)


def test_a_clean_exit_that_nobody_asked_for_is_diagnosed_like_a_failure():
    """Its disk is full: Besu ends with exit code 0, and systemd sees nothing wrong."""
    moments = {"ActiveExitTimestampMonotonic": "1003100000", "ExecMainExitTimestampMonotonic": "1003000000"}
    clean = {
        **FAILED,
        **moments,
        "ActiveState": "inactive",
        "SubState": "dead",
        "Result": "success",
        "ExecMainStatus": "0",
    }
    line = "2026 | EthScheduler | ERROR | RocksDBTransaction | Disk full detected: No space left on device"
    seen = World(entry(line)).see(**{**clean, "LoadState": "loaded"})
    assert (seen.state, seen.cause) == ("stopped", "disk_full")
    assert seen.failed, "no start before the cause is known to be dealt with"
    asked_for = {**clean, "LoadState": "loaded", "ExecMainExitTimestampMonotonic": "1003200000"}
    assert not World(entry(line)).see(**asked_for).failed


@pytest.mark.parametrize(
    ("active", "state"),
    [
        ({"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code"}, "restarting"),
        ({}, "restarting"),
    ],
)
def test_a_crash_loop_before_systemd_says_so(active, state):
    world = World(entry("Unknown option: '-x'"), RESTART, RESTART, RESTART)
    world.chain.down = {0}
    young = {
        "NRestarts": "3",
        "ActiveEnterTimestampMonotonic": str(int(5001e6)),
        "StateChangeTimestampMonotonic": str(int(5001e6)),
    }
    seen = world.see(**{**UP, **young, **active})
    assert (seen.state, seen.cause) == (state, "config_invalid")
    assert "crash_loop" in seen.flags


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("Failed to start Besu: org.rocksdb.RocksDBException: Corruption: bad block", "database_corrupt"),
        ("Port(s) '[8545]' already in use. Check for other processes using the port(s).", "address_in_use"),
        ("java.lang.OutOfMemoryError: Java heap space", "out_of_memory"),
    ],
)
def test_a_loop_has_one_cause_and_one_decision_at_any_moment(line, cause):
    """Ten looks, each by a controller that knows nothing of the others: in a run and between two."""
    between = {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code"}
    found = set()
    failed = entry("Failed with result 'exit-code'.", UNIT_FAILURE_RESULT, "1")
    failed = replace(failed, fields={**failed.fields, "UNIT_RESULT": "exit-code"})
    for number in range(10):
        world = World(entry(line), RESTART, RESTART, RESTART, failed)
        world.chain.down = {0}
        began = str(int(5002e6 - 0.7e6 * number))
        young = {"NRestarts": "3", "ActiveEnterTimestampMonotonic": began, "StateChangeTimestampMonotonic": began}
        seen = world.see(**{**UP, **young, **(between if number % 2 else {})})
        found.add((seen.state, seen.cause, "crash_loop" in seen.flags, world.kind.lasting_cause(seen, m.RUNNING)))
    ((state, told, looping, _reason),) = found
    assert (state, told, looping) == ("restarting", cause, True)


def test_a_start_that_finds_its_ports_taken_is_not_the_node_that_has_them():
    """Another Besu of the host answers on the ports for the second or two that such a process lives."""
    asked = []

    def own_part(sample, unit):
        asked.append(unit)
        return NodeSample(sample.at, sample.wall, "refused")

    world = World(RESTART, RESTART)
    world.kind._own_part = own_part
    young = {"ActiveEnterTimestampMonotonic": "5001000000", "StateChangeTimestampMonotonic": "5001000000"}
    assert world.see(NRestarts="1", **young).state == "starting"
    assert world.see(NRestarts="2", **young).cause == "crash_loop"
    assert set(asked) == {"besu.service"}
    old = World()
    old.kind._own_part = own_part
    old.see(NRestarts="5")
    assert old.see(NRestarts="5").state == "consensus", "one that lives longer may have a proxy before it"


def test_old_restarts_are_no_loop():
    world = World()
    seen = [world.see(NRestarts="4") for _look in range(2)][-1]
    assert seen.state == "consensus"


def test_a_loop_of_starts_that_no_start_fixes_is_hopeless():
    loop = {
        **UP,
        "ActiveState": "activating",
        "SubState": "auto-restart",
        "Result": "exit-code",
        "ExecMainCode": "1",
        "ExecMainStatus": "2",
    }
    world = World(entry("Unknown option: '-x'"))
    seen = world.see(**loop)
    assert seen.state == "restarting"
    cause = world.kind.lasting_cause(seen, m.RUNNING)
    assert (cause.id, cause.severity) == ("config_invalid", "hard")
    assert "Unknown option: '-x'" in cause.summary
    world = World(entry("java.net.SomethingElse: unheard of"))
    assert world.kind.lasting_cause(world.see(**loop), m.RUNNING) is None


# --- the guard ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [STOP, RESTART_STEP, m.Step(m.ERROR, "reset", m.STOPPED)])
def test_a_validator_may_go_while_three_others_take_part(step):
    world = World()
    world.see()
    assert world.kind.guards(step, world.see()) == ()
    assert world.kind.quorum.safe and "3 without it" in world.kind.quorum.arithmetic


def test_not_while_another_is_away():
    world = World()
    world.chain.down = {2}
    world.see()
    (block,) = world.kind.guards(RESTART_STEP, world.see())
    assert block.guard == "quorum" and "quorum ceil(2*4/3) = 3" in block.reason
    assert MEMBERS[2] in block.hint


def test_starting_what_is_down_takes_nothing_away():
    world = World()
    world.chain.down = {0, 1}
    assert world.kind.guards(m.Step(m.ERROR, "restart", m.STARTING), world.see(**FAILED)) == ()
    assert world.kind.guards(m.Step(m.STOPPED, "start", m.STARTING), world.see()) == ()


def test_a_node_that_is_no_validator_needs_no_quorum():
    world = World()
    original = world.chain.look
    world.chain.look = lambda who=0, before=None: NodeSample(
        **{**vars(original(who, before)), "next_validators": MEMBERS[1:]}
    )
    world.see()
    world.chain.down = {1, 2}
    assert world.kind.guards(STOP, world.see()) == ()


def test_a_network_without_a_quorum_has_none_to_protect():
    world = World()
    original = world.chain.look
    other = {"non_bft": NonBftConfig("Clique", 2.0), "bft": None, "group": None, "validators": None}
    bare = {**other, "next_validators": None, "last_proposed": None}
    world.chain.look = lambda who=0, before=None: NodeSample(**{**vars(original(who, before)), **bare})
    world.see()
    seen = world.see()
    assert seen.state == "running" and world.kind.guards(STOP, seen) == ()


def test_a_hanging_validator_is_judged_by_the_others():
    world = World(address=MEMBERS[0])
    world.see()
    world.see()
    look = world.chain.look

    def hangs(who=0, before=None):
        return NodeSample(world.clock.now, world.clock.wall(), "hang") if who == 0 else look(who)

    world.chain.look = hangs
    seen = world.see(wait=30.0)
    seen = world.see(wait=30.0)
    assert (seen.state, seen.cause) == ("error", "unresponsive")
    assert world.kind.guards(m.Step(m.ERROR, "restart", m.STARTING), seen) == ()


def test_its_address_may_come_from_its_log():
    line = entry("x | DefaultP2PNetwork | Node address " + MEMBERS[0])
    world = World(line)
    world.chain.down = {0}
    seen = world.see()
    assert world.kind.guards(RESTART_STEP, seen) == ()


@pytest.mark.parametrize("told", [MEMBERS[1], "0x" + "9" * 40])
def test_a_wrong_address_does_not_switch_the_guard_off(told):
    world = World()
    world.chain.down = {2}
    world.kind._options = NodeOptions(address=told)
    world.see()
    (block,) = world.kind.guards(RESTART_STEP, world.see())
    assert block.guard == "quorum" and block.reason.startswith(f"address: {told} is not that of the node")
    world.kind._options = NodeOptions(address=MEMBERS[0].upper().replace("X", "x"))
    (block,) = world.kind.guards(RESTART_STEP, world.see())
    assert "too few would be left" in block.reason


def hangs(world):
    """The node itself accepts connections and answers nothing."""
    look = world.chain.look

    def at(who=0, before=None):
        return NodeSample(world.clock.now, world.clock.wall(), "hang") if who == 0 else look(who)

    world.chain.look = at
    return world


def test_one_that_does_not_tell_its_address_is_the_only_one_that_is_left():
    world = hangs(World())
    assert world.kind.guards(RESTART_STEP, world.see()) == ()
    world = hangs(World())
    world.chain.down = {1}
    (block,) = world.kind.guards(RESTART_STEP, world.see())
    assert "address" in block.reason


def stalled(**options):
    world = World(**options)
    world.see()
    world.chain.stands_at = world.clock.now
    world.chain.down = {2, 3}
    world.see(wait=60.0)
    return world, world.see(wait=10.0)


def test_a_stalled_chain_is_told_and_nobody_restarts_for_it():
    world, seen = stalled()
    assert (seen.state, seen.cause) == ("error", "chain_stalled")
    (block,) = world.kind.guards(m.Step(m.ERROR, "restart", m.STARTING), seen)
    assert block.guard == "chain_stalled" and "start the missing validators first" in block.hint


def test_restart_all_only_when_the_missing_are_back():
    world, seen = stalled(quorum_lost="restart_all")
    step = m.Step(m.ERROR, "restart", m.STARTING)
    assert [block.guard for block in world.kind.guards(step, seen)] == ["chain_stalled"]
    world.chain.down = set()
    assert world.kind.guards(step, world.see()) == ()
    world, seen = stalled()
    world.chain.down = set()
    assert [block.guard for block in world.kind.guards(step, world.see())] == ["chain_stalled"]


class Store:
    def __init__(self, grant):
        self.grant = grant

    def __call__(self, network):
        return self

    def held(self):
        return self.grant


@pytest.mark.parametrize(
    ("grant", "word"),
    [
        (r.Grant("me", MEMBERS[0], 1e18), None),
        (None, "no grant"),
        (r.Grant("you", MEMBERS[0], 1e18), "you has"),
        (r.Grant("me", MEMBERS[1], 1e18), MEMBERS[1]),
        (r.Grant("me", MEMBERS[0], 1.0), "no grant"),
    ],
)
def test_a_reservation_that_was_asked_for_has_to_hold(grant, word):
    world = World(reservation="me", store=Store(grant))
    world.see()
    blocks = world.kind.guards(STOP, world.see())
    if word is None:
        assert blocks == ()
    else:
        assert blocks[0].guard == "reservation" and word in blocks[0].reason


@pytest.mark.parametrize("age_limit", [9.0, 8.7])
def test_the_guard_waits_for_a_block_but_not_for_ever(age_limit):
    world = World()
    world.chain.stands_at = world.clock.now - 4.0
    began = world.clock.now
    block, _seen = world.guard().check(world.chain.look(0), q.ChainTiming(2.0, 4.0, age_limit), BesuLog)
    assert block is not None
    assert age_limit <= world.clock.now - began <= 15.0


# --- waiting --------------------------------------------------------------------------------------------------------


def test_the_guard_knows_the_period_of_an_idle_chain():
    world = World()
    world.see()
    world.chain.stands_at = world.clock.now
    world.kind._options = NodeOptions(empty_block_period=300.0)
    world.see(wait=100.0)
    seen = world.see()
    assert (seen.state, seen.cause) == ("consensus", None)
    assert world.kind.guards(RESTART_STEP, seen) == ()
    world.kind._options = NodeOptions()
    seen = world.see()
    assert seen.cause == "chain_stalled" and world.kind.guards(RESTART_STEP, seen)


def test_a_node_outside_the_set_never_reaches_consensus():
    world = World()
    world.see()
    seen = world.see()
    assert world.kind.unreachable_reason(seen, CONSENSUS) is None
    outside = replace(seen, state=m.RUNNING, details={**seen.details, "validator": False})
    assert "not in the validator set" in world.kind.unreachable_reason(outside, CONSENSUS)
    assert world.kind.unreachable_reason(outside, m.RUNNING) is None
    # The set of an old head: it may have been voted in since.
    assert world.kind.unreachable_reason(replace(outside, state=SYNCING), CONSENSUS) is None


@pytest.mark.parametrize("target", [m.RUNNING, SYNCED, CONSENSUS])
def test_a_wait_ends_where_nothing_can_tell_a_stall(target):
    world = World()
    original = world.chain.look
    off = {"peers": None, "peer_count": 3, "bft": None}
    world.chain.look = lambda who=0, before=None: NodeSample(**{**vars(original(who, before)), **off})
    world.chain.stands_at = world.clock.now - 7200.0
    world.see()
    seen = world.see(wait=50.0)
    assert (seen.state, world.kind.unreachable_reason(seen, target)) == ("syncing", None)
    seen = world.see(wait=20.0)
    assert seen.state == "syncing" and "reference_urls" in world.kind.unreachable_reason(seen, target)


def test_a_head_that_went_back_proves_nothing():
    world = World()
    before, after = world.see(), world.see()
    assert world.kind.verify(before, after, m.RUNNING) is None
    assert "was" in world.kind.verify(after, before, m.RUNNING)


def test_progress_of_a_sync():
    world = World()
    original = world.chain.look
    world.chain.look = lambda who=0, before=None: NodeSample(
        **{**vars(original(who, before)), "head": Block(int(world.clock.now - 5000) * 20, 0, "", "")}
    )
    world.see()
    seen = world.see(wait=10.0)
    assert seen.state == "syncing"
    shown = world.kind.progress(seen, SYNCED)
    assert shown["rate"] == 20.0 and shown["lag"] == shown["reference"] - shown["head"] and 0 < shown["eta"] < 1000
    assert 0.5 <= world.kind.poll_interval(seen, 10.0) <= 10.0
    assert world.kind.poll_interval(World().see(), 1.0) is None
