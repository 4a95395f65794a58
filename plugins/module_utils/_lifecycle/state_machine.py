# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state machine: states, edges and the plans that follow from them. Pure data and pure functions.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

The diagrams and tables of the documentation are generated from this file.
"""

from __future__ import annotations

import typing as t
from collections import deque
from dataclasses import dataclass

STOPPED = "stopped"
STARTING = "starting"
RUNNING = "running"
STOPPING = "stopping"
ERROR = "error"
RESTARTING = "restarting"
UNKNOWN = "unknown"

# A target: a service that runs to its end has succeeded, and a next run is planned.
SUCCEEDED = "succeeded"

# In these there is something to diagnose.
TROUBLED = (ERROR, RESTARTING, UNKNOWN)

OPERATOR = "operator"
SERVICE = "service"


@dataclass(frozen=True)
class State:
    """A state. ``index`` is its number in metrics and never changes once released."""

    name: str
    index: int
    base: str
    meaning: str
    typical: str
    verified_by: str


class Edge(t.NamedTuple):
    """A transition. ``who`` may trigger it; ``progress`` marks an edge of the service's own that leads onwards."""

    source: str
    trigger: str
    target: str
    who: str
    progress: bool = False


# The actions of a step that have systemd stop what runs.
TAKES_OFFLINE = ("stop", "restart", "reset")


class Step(t.NamedTuple):
    """One thing to do: an operator's trigger, or ``wait`` for an edge of the service's own."""

    source: str
    action: str
    target: str

    @property
    def acts(self) -> bool:
        return self.action != "wait"


class Plan(t.NamedTuple):
    """The steps from a state to a target. No steps: already there. ``refusal`` set: there is no allowed way."""

    steps: tuple[Step, ...] = ()
    refusal: str | None = None
    hint: str | None = None


class Machine(t.NamedTuple):
    """The states and edges of one kind of service, and what each target asks for."""

    name: str
    states: t.Mapping[str, State]
    edges: tuple[Edge, ...]
    targets: t.Mapping[str, frozenset[str]]

    def base(self, state: str) -> str:
        return self.states[state].base

    def edge(self, source: str, trigger: str) -> Edge | None:
        return next((e for e in self.edges if e.source == source and e.trigger == trigger), None)

    def comes_by_itself(self, state: str, goal: t.Collection[str]) -> bool:
        """Whether the service can get from ``state`` into ``goal`` with nobody acting."""
        visited, queue = {state}, deque([state])
        while queue:
            here = queue.popleft()
            if here in goal:
                return True
            for edge in self.edges:
                if edge.source == here and edge.progress and edge.target not in visited:
                    visited.add(edge.target)
                    queue.append(edge.target)
        return False


_BASE_STATES = (
    State(STOPPED, 0, STOPPED, "not running, on purpose or never started", "-", "unit inactive, nothing in its cgroup"),
    State(STARTING, 1, STARTING, "started, not yet ready", "seconds", "unit activating, or probes within their grace"),
    State(RUNNING, 2, RUNNING, "ready", "-", "unit active, probes pass, held for stable_for"),
    State(STOPPING, 3, STOPPING, "told to stop, not yet gone", "seconds", "unit deactivating"),
    State(ERROR, 4, ERROR, "failed, crash-looping, unhealthy or broken", "-", "unit failed, or a cause that is named"),
    State(RESTARTING, 5, RESTARTING, "between a stop and the next start", "RestartSec", "auto-restart or restart job"),
    State(UNKNOWN, 6, UNKNOWN, "could not be observed; nobody acts on it", "-", "the reason it could not be seen"),
)

_BASE_EDGES = (
    Edge(STOPPED, "start", STARTING, OPERATOR),
    Edge(STARTING, "initialized", RUNNING, SERVICE, progress=True),
    Edge(STARTING, "initialization_failed", ERROR, SERVICE),
    Edge(RUNNING, "stop", STOPPING, OPERATOR),
    Edge(STOPPING, "stopped", STOPPED, SERVICE, progress=True),
    Edge(STOPPING, "stop_failed", ERROR, SERVICE),
    Edge(RUNNING, "runtime_error", ERROR, SERVICE),
    Edge(RUNNING, "restart", RESTARTING, OPERATOR),
    Edge(RESTARTING, "started", STARTING, SERVICE, progress=True),
    Edge(ERROR, "reset", STOPPED, OPERATOR),
    Edge(ERROR, "restart", STARTING, OPERATOR),
    # What systemd does besides: without these a crash loop or a start in progress could never be ended.
    Edge(STARTING, "stop", STOPPING, OPERATOR),
    Edge(RESTARTING, "stop", STOPPING, OPERATOR),
    Edge(RUNNING, "ended", STOPPED, SERVICE),
    Edge(STARTING, "ended", STOPPED, SERVICE),
    Edge(RUNNING, "auto_restart", RESTARTING, SERVICE),
    Edge(STARTING, "auto_restart", RESTARTING, SERVICE),
    Edge(RESTARTING, "gave_up", ERROR, SERVICE),
)


def process_edges(name: str, operator_edges: t.Collection[str] = ("stop", "restart")) -> tuple[Edge, ...]:
    """The edges that a state of a kind has because a process is there."""
    return (
        *(Edge(name, verb, STOPPING if verb == "stop" else RESTARTING, OPERATOR) for verb in operator_edges),
        Edge(name, "runtime_error", ERROR, SERVICE),
        Edge(name, "ended", STOPPED, SERVICE),
        Edge(name, "auto_restart", RESTARTING, SERVICE),
    )


def make_machine(
    name: str, states: tuple[State, ...], edges: tuple[Edge, ...], targets: t.Mapping[str, t.Collection[str]]
) -> Machine:
    """The machine of a kind: the base machine with the kind's own states, edges and targets."""
    # The kind's own states lie between starting and running, and replace the edge between the two.
    base = tuple(e for e in _BASE_EDGES if not (edges and e.trigger == "initialized"))
    common = {
        STOPPED: {STOPPED},
        "restarted": {RUNNING},
        "reset": {STOPPED, RUNNING} | {s.name for s in states if s.base in (RUNNING, STARTING)},
    }
    return Machine(
        name=name,
        states={s.name: s for s in (*_BASE_STATES, *states)},
        edges=(*base, *edges),
        targets={k: frozenset(v) for k, v in {**common, **targets}.items()},
    )


GENERIC = make_machine("generic", (), (), {RUNNING: {RUNNING}, SUCCEEDED: {STOPPED, RUNNING}})

# From error: how far each value of the option ``recovery`` may go.
RECOVERY_TRIGGERS: t.Mapping[str, frozenset[str]] = {
    "never": frozenset(),
    "restart": frozenset({"restart"}),
    "reset_start": frozenset({"reset"}),
}


def make_plan(machine: Machine, state: str, target: str, *, recovery: str = "restart", renewed: bool = False) -> Plan:
    """The shortest allowed way from ``state`` to ``target``.

    For C(restarted), and from error for C(succeeded), the way has to pass a start; ``renewed`` says that this
    run has made one already. Raises KeyError for a state or target that the
    machine does not have.
    """
    goal = machine.targets[target]
    if machine.states[state].name == UNKNOWN:
        return Plan(refusal="the state could not be observed", hint="fix the observation first; see reasons")
    if target == "reset" and state != ERROR:
        goal = goal | {state}
    # A failure is not made a success by clearing it: the service has to run once more.
    needs_start = not renewed and (target == "restarted" or (target == SUCCEEDED and state == ERROR))
    steps = _search(machine, state, goal, needs_start, _allowed(target, recovery))
    if steps is not None:
        return Plan(steps)
    if state == ERROR:
        return Plan(
            refusal=f"recovery={recovery} does not allow leaving error towards {target}",
            hint="set recovery to restart or reset_start",
        )
    return Plan(refusal=f"the state machine has no way from {state} to {target}", hint="choose another target state")


def _allowed(target: str, recovery: str) -> t.Callable[[Edge], bool]:
    triggers = RECOVERY_TRIGGERS[recovery]
    # Clearing a failed unit starts nothing, so these two targets need no more than leave to act at all.
    clears = target == "reset" or (target == STOPPED and recovery != "never")

    def allowed(edge: Edge) -> bool:
        if edge.who == SERVICE:
            return edge.progress
        if edge.source == ERROR:
            return edge.trigger in triggers or (clears and edge.trigger == "reset")
        if edge.source in (STARTING, RESTARTING) and target not in (STOPPED,):
            return False  # an outcome is on its way: wait for it
        if edge.trigger == "restart":
            return target == "restarted"
        if edge.trigger == "stop":
            return target == STOPPED
        return target not in (STOPPED, "reset")

    return allowed


def _search(
    machine: Machine, state: str, goal: t.Collection[str], needs_start: bool, allowed: t.Callable[[Edge], bool]
) -> tuple[Step, ...] | None:
    """Breadth-first search over (state, has a start been made)."""
    first = (state, not needs_start)
    ways: dict[tuple[str, bool], tuple[Step, ...]] = {first: ()}
    queue = deque([first])
    while queue:
        here, started = node = queue.popleft()
        if here in goal and started:
            return ways[node]
        for edge in machine.edges:
            if edge.source != here or not allowed(edge):
                continue
            action = edge.trigger if edge.who == OPERATOR else "wait"
            following = (edge.target, started or action in ("start", "restart"))
            if following not in ways:
                ways[following] = (*ways[node], Step(here, action, edge.target))
                queue.append(following)
    return None
