# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What any log makes of a history: whatever it says, the time adds up, and only the time of a process has its states."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log_states import NodeLogStates
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.states import BESU
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log_states import (
    ConnectorLogStates,
    Known,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import CLOUDFLARED
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import log_states as ls
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.history import History
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import (
    HISTORY_TRIGGERS,
    TRIGGERS,
    Transition,
)

from .besu_replay import load, manifest

BEGIN, END = 1_000_000.0, 1_003_600.0
MOMENT = st.floats(BEGIN - 700.0, END + 10.0, allow_nan=False)
LIVE = ("starting", "running")
INDEX = st.integers(0, 5)
CONNECTOR = st.one_of(
    st.sampled_from(
        [
            "2026-08-14T12:00:00Z INF Starting tunnel tunnelID=3f3a",
            "2026-08-14T12:00:00Z INF Starting metrics server on 127.0.0.1:20241/metrics",
            "2026-08-14T12:00:00Z INF You requested 4 HA connections but I can give you at most 2.",
        ]
    ),
    INDEX.map("2026-08-14T12:00:00Z INF Registered tunnel connection connIndex={}".format),
    INDEX.map("2026-08-14T12:00:00Z INF Lost connection with the edge connIndex={}".format),
    INDEX.map("2026-08-14T12:00:00Z WRN Connection terminated connIndex={}".format),
    INDEX.map("2026-08-14T12:00:00Z ERR Serve tunnel error connIndex={}".format),
    INDEX.map('{{"level":"info","connIndex":{},"message":"Registered tunnel connection"}}'.format),
)
NUMBER = st.integers(0, 60)
NODE = st.one_of(
    NUMBER.map("t | m | INFO  | PersistBlockTask | Imported empty block #{:,} / 0 tx / 0 om".format),
    NUMBER.map("t | m | INFO  | QbftBesuControllerBuilder | Produced empty block #{:,} / 0 tx".format),
    NUMBER.map("t | m | INFO  | FullImportBlockStep | Import reached block {} (0x1), - Mg/s".format),
    st.sampled_from(
        [
            "t | m | INFO  | Besu | Starting Besu",
            "t | m | INFO  | Runner | Ethereum main loop is up.",
            "t | m | INFO  | BftMiningCoordinator | Stopping BFT mining coordinator while we are syncing",
            "t | m | INFO  | MainnetBlockValidator | Invalid block 200 (0x1): no",
        ]
    ),
)
TEXT = st.text(max_size=60)
KNOWN = st.builds(Known, st.none() | st.integers(0, 5), st.booleans())
KINDS = {
    "besu": (BESU, NODE, st.builds(NodeLogStates, st.floats(0.0, 100.0))),
    "cloudflared": (CLOUDFLARED, CONNECTOR, st.builds(ConnectorLogStates, st.integers(1, 5), known=KNOWN)),
}


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A history as systemd alone tells it."""
    names = st.sampled_from(["stopped", *LIVE, "stopping", "error", "restarting"])
    state = first = draw(names | st.none())
    changes = []
    for at in sorted(draw(st.lists(st.floats(BEGIN, END, allow_nan=False), max_size=8))):
        after = draw(names)
        if after != state:
            changes.append(Transition(at, state or "unknown", after, draw(st.sampled_from(TRIGGERS))))
            state = after
    return History(BEGIN, END, first, tuple(changes), stepped_at=draw(st.none() | MOMENT))


def lines(of: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[float, str]]]:
    return st.lists(st.tuples(MOMENT, of | TEXT), max_size=25).map(sorted)


def state_at(history: History, moment: float) -> str | None:
    return next((state for begin, end, state in history.spans() if begin <= moment < end), None)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), base=histories())
def test_the_time_adds_up_and_belongs_to_the_process(kind: str, data: st.DataObject, base: History) -> None:
    machine, line, knowledge = KINDS[kind]
    states = data.draw(knowledge)
    seen = ls.LastObserved(data.draw(st.sampled_from(sorted(machine.states))), data.draw(st.none() | MOMENT))
    drops = tuple(data.draw(st.lists(MOMENT, max_size=2).map(sorted)))
    reading = ls.Reading(data.draw(lines(line)), data.draw(st.just(BEGIN - 600.0) | MOMENT), drops=drops)
    found = ls.with_log_states(base, states, reading, seen, machine)
    assert found == ls.with_log_states(base, states, reading, seen, machine)
    assert sum(found.seconds().values()) == pytest.approx(END - BEGIN, abs=0.1)
    assert [change.at for change in found.transitions] == sorted(change.at for change in found.transitions)
    before = found.first
    for change in found.transitions:
        assert BEGIN <= change.at <= END and change.before == (before or "unknown") != change.after
        assert change.after in machine.states and change.trigger in HISTORY_TRIGGERS
        assert change.trigger != "log" or state_at(base, change.at) in (*LIVE, None), change
        before = change.after
    assert before == seen.state or seen.state == "unknown"
    cut = next((change.at for change in found.transitions[-1:] if change.trigger == "unrecorded"), END)
    for begin, end, state in base.spans():
        middle = (begin + end) / 2
        if state not in LIVE and middle < cut:
            assert state_at(found, middle) == state, "what systemd knows stands"
    for told in (found.trouble_since(), found.longest_error()):
        assert told is None or told >= 0
    assert not {text for _at, text in reading.lines if len(text) > 12} & set(found.notes)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_comes_later_changes_nothing_of_what_was_told(kind: str, data: st.DataObject) -> None:
    """Of a process that began within the window: its log may be cut anywhere, and read in two pieces."""
    _machine, line, knowledge = KINDS[kind]
    states = data.draw(knowledge)
    whole = [one for one in data.draw(lines(line)) if one[0] < END]
    cut = data.draw(st.floats(BEGIN, END, allow_nan=False))
    found = states.states(ls.Stretch(BEGIN, END, whole, BEGIN - 700.0, True, True))
    early = states.states(ls.Stretch(BEGIN, cut, [one for one in whole if one[0] < cut], BEGIN - 700.0, True, False))
    assert [moment for moment in early if moment[0] < cut] == [moment for moment in found if moment[0] < cut]


def windows() -> list[tuple[str, dict[str, t.Any]]]:
    """The windows of the recordings in which there is a process that is well, with the scenario of each."""
    found = []
    for name, scenario in manifest().items():
        recorded = load(name).get("journal") or {}
        for window in scenario["windows"]:
            bases = window["base_state"] if isinstance(window["base_state"], list) else [window["base_state"]]
            if window["host"] in recorded and {"error", "stopped", "restarting"}.isdisjoint(bases):
                found.append((name, window))
    return found


def states_of(name: str, host: str) -> list[ls.Moment]:
    log = [(one["t"], one["message"]) for one in load(name)["journal"].get(host, ())]
    return NodeLogStates(8.0).states(ls.Stretch(log[0][0], 1e6, log, log[0][0], False, True)) if log else []


@pytest.mark.parametrize(("name", "window"), windows(), ids=lambda one: one if isinstance(one, str) else one["host"])
def test_the_log_of_a_real_node_says_nothing_that_was_not_so(name: str, window: dict[str, t.Any]) -> None:
    """Within a second. That a validator takes part shows with its first block only; where it starts, systemd says."""
    found = states_of(name, window["host"])
    true = {window["state"]} if isinstance(window["state"], str) else set(window["state"])
    allowed = true | {"unknown"} | ({"running"} if "consensus" in true else set())
    starts = [at for at, state in found if state == "starting" and window["from"] < at < window["to"]]
    low, high = max([window["from"] + 1, *starts]), window["to"] - 1
    until = [at for at, _state in found[1:]] + [1e6]
    held = {state for (at, state), end in zip(found, until, strict=True) if end > low and at < high}
    assert held <= allowed, (held, window)


STALLS = [
    "quorum_lost_then_regained",
    "quorum_lost_v25_7",
    "validator_isolated_then_back",
    "sync_stuck_on_invalid_block",
]


@pytest.mark.parametrize("name", STALLS)
def test_a_node_that_makes_no_progress_is_not_said_to_make_some(name: str) -> None:
    for window in manifest()[name]["windows"]:
        if window["base_state"] == "error":
            found = states_of(name, window["host"])
            assert [state for at, state in found if at < window["to"]][-1:] in ([], ["unknown"]), window
