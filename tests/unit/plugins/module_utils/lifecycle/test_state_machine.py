# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state machine: every state, target and policy has a verdict, and the verdicts are the right ones."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.states import BESU
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m

MACHINES = {kind.name: kind.machine for kind in KINDS.values()}
CELLS = [
    (machine.name, state, target, recovery)
    for machine in MACHINES.values()
    for state in machine.states
    for target in machine.targets
    for recovery in m.RECOVERY_TRIGGERS
]


def actions(machine, state, target, recovery="restart"):
    plan = m.make_plan(MACHINES[machine], state, target, recovery=recovery)
    return None if plan.refusal else [step.action for step in plan.steps]


def test_indexes_are_those_that_were_released():
    """Metrics carry these numbers: adding one is fine, changing one never is."""
    released = {
        "stopped": 0, "starting": 1, "running": 2, "stopping": 3, "error": 4, "restarting": 5, "unknown": 6,
        "syncing": 10, "synced": 11, "consensus": 12, "connecting": 20, "connected": 21, "reconnecting": 22,
    }  # fmt: skip
    found = {state.name: state.index for machine in MACHINES.values() for state in machine.states.values()}
    assert found == released
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("machine", MACHINES.values(), ids=lambda machine: machine.name)
def test_the_machine_is_whole(machine):
    bases = {"stopped", "starting", "running", "stopping", "error", "restarting", "unknown"}
    assert {state.base for state in machine.states.values()} <= bases
    for edge in machine.edges:
        assert edge.source in machine.states and edge.target in machine.states
        assert edge.who in (m.OPERATOR, m.SERVICE)
        assert not (edge.progress and edge.who == m.OPERATOR)
    assert len({(e.source, e.trigger) for e in machine.edges}) == len(machine.edges), "one trigger, one edge"
    for goal in machine.targets.values():
        assert goal and goal <= set(machine.states)


@pytest.mark.parametrize("machine, state, target, recovery", CELLS)
def test_every_cell_has_a_verdict_and_every_plan_is_made_of_edges(machine, state, target, recovery):
    found = m.make_plan(MACHINES[machine], state, target, recovery=recovery)
    assert bool(found.refusal) != bool(found.steps) or state in _reached(machine, target, state)
    if found.refusal:
        assert found.hint and not found.steps
        return
    here = state
    for step in found.steps:
        edge = next(e for e in MACHINES[machine].edges if (e.source, e.target) == (here, step.target))
        assert step.source == here
        assert (step.action == "wait") == (edge.who == m.SERVICE)
        here = step.target
    assert here in _reached(machine, target, state)


def _reached(machine, target, state):
    goal = MACHINES[machine].targets[target]
    return goal | {state} if target == "reset" and state != "error" else goal


@pytest.mark.parametrize("machine, state, target, recovery", [cell for cell in CELLS if cell[1] == "unknown"])
def test_nothing_is_planned_from_unknown(machine, state, target, recovery):
    assert actions(machine, state, target, recovery) is None


@pytest.mark.parametrize("machine, state, target, recovery", [cell for cell in CELLS if cell[1] == "error"])
def test_error_is_left_only_as_far_as_recovery_allows(machine, state, target, recovery):
    found = actions(machine, state, target, recovery)
    if target == "reset":
        assert found == ["reset"]
    elif recovery == "never":
        assert found is None
    elif target == "stopped":
        assert found == ["reset"], "clearing starts nothing"
    else:
        assert found[0] == {"restart": "restart", "reset_start": "reset"}[recovery]
        assert [a for a in found if a != "wait"] == {"restart": ["restart"], "reset_start": ["reset", "start"]}[
            recovery
        ]


@pytest.mark.parametrize(
    "machine, state, target, expected",
    [
        ("generic", "stopped", "running", ["start", "wait"]),
        ("generic", "running", "running", []),
        ("generic", "starting", "running", ["wait"]),
        ("generic", "restarting", "running", ["wait", "wait"]),
        ("generic", "stopping", "running", ["wait", "start", "wait"]),
        ("generic", "running", "stopped", ["stop", "wait"]),
        ("generic", "starting", "stopped", ["stop", "wait"]),
        ("generic", "restarting", "stopped", ["stop", "wait"]),
        ("generic", "running", "restarted", ["restart", "wait", "wait"]),
        ("generic", "stopped", "restarted", ["start", "wait"]),
        ("generic", "starting", "restarted", ["wait", "restart", "wait", "wait"]),
        ("besu", "syncing", "synced", ["wait"]),
        ("besu", "consensus", "running", []),
        ("besu", "synced", "consensus", ["wait", "wait"]),
        ("besu", "syncing", "stopped", ["stop", "wait"]),
        ("cloudflared", "reconnecting", "connected", ["wait"]),
        ("cloudflared", "connected", "reconnected", []),
        ("cloudflared", "running", "stopped", ["stop", "wait"]),
    ],
)
def test_plans(machine, state, target, expected):
    assert actions(machine, state, target) == expected


def test_a_restart_that_was_made_is_not_planned_again():
    assert m.make_plan(m.GENERIC, "running", "restarted", renewed=True).steps == ()
    waiting = m.make_plan(m.GENERIC, "starting", "restarted", renewed=True)
    assert [step.action for step in waiting.steps] == ["wait"]


def test_what_comes_by_itself():
    assert m.GENERIC.comes_by_itself("starting", {"running"})
    assert m.GENERIC.comes_by_itself("restarting", {"running"})
    assert not m.GENERIC.comes_by_itself("error", {"running"})
    assert not m.GENERIC.comes_by_itself("stopped", {"running"})
    assert BESU.comes_by_itself("syncing", {"consensus"})
    assert not BESU.comes_by_itself("consensus", {"syncing"}), "falling back is no progress"


@pytest.mark.parametrize(
    "call", [lambda: m.make_plan(m.GENERIC, "on", "running"), lambda: m.make_plan(m.GENERIC, "running", "up")]
)
def test_words_that_the_machine_does_not_have(call):
    with pytest.raises(KeyError):
        call()
