# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two go for one service at the same moment: one acts, the other is told who holds it. Two hundred times and more."""

from __future__ import annotations

import re
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Host
from ansible_collections.chainops.lifecycle.tests.support.lab.faults import install_fault_units

from .conftest import chosen_suites
from .shipping import run_driver, ship

pytestmark = pytest.mark.long

UNIT = "fault-java"
RACES = 201
WITH_OPERATOR = 45
SEED = 20261124
HOLDER = re.compile(r"^locked by (alice|bob) \(pid \d+\) for \d+ s$")

Race = dict[str, t.Any]


@pytest.fixture(scope="module")
def races(fleet: Fleet) -> dict[str, dict[str, list[Race]]]:
    """suite -> the races on its host. The hosts share the races and work at the same time."""
    share = len(chosen_suites())

    def work(host: Host) -> t.Any:
        ship(host, "engine_on_host.py", "races_driver.py")
        host.sh("rm -rf /var/lib/chainops-lifecycle")
        install_fault_units(host, ["java"])
        counts = (RACES // share, WITH_OPERATOR // share, SEED)
        return run_driver(host, "races_driver.py", UNIT, *map(str, counts), timeout=1800)

    done = fleet.each(work, at_once=share)
    return {fleet[name].suite: rows for name, rows in done.items()}


def test_two_controllers(races: dict[str, dict[str, list[Race]]], capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(suite, race) for suite in races for race in races[suite]["controllers"]]
    wrong = [f"{suite}: {what}: {race}" for suite, race in rows for what in faults_of(race)]
    met = sum(overlap(race) for _suite, race in rows)
    with capsys.disabled():
        print(f"\n{len(rows)} races of two controllers, {met} at the very same time, {len(wrong)} ended wrong")
    assert wrong == []
    assert met >= len(rows) * 0.95 and len(rows) >= 200


def overlap(race: Race) -> bool:
    (first, last), (other_first, other_last) = (end["span"] for end in race["ends"])
    return bool(first < other_last and other_first < last)


def faults_of(race: Race) -> t.Iterator[str]:
    """What is wrong with a race of two controllers."""
    if any(end is None for end in race["ends"]):
        yield "one of the two ended by an error"
        return
    if set(race["jobs"]) - {"done"}:
        yield "a job was not done"
    winners = [end for end in race["ends"] if end["acted"]]
    if not overlap(race):
        return  # one came when the other had gone: both were right to act
    if len(winners) != 1 or not (winners[0]["reached"] and winners[0]["changed"]):
        yield "not exactly one acted and reached its target"
        return
    loser = next(end for end in race["ends"] if end is not winners[0])
    block = (loser["blocked_by"] or [{"guard": "", "reason": ""}])[0]
    told = HOLDER.match(block["reason"])
    if loser["changed"] or loser["reached"] or block["guard"] != "busy" or not told or told[1] != winners[0]["owner"]:
        yield "the other was not told who holds it, and for how long"
    starts = 0 if winners[0]["target"] == "stopped" else 1
    if race["starts"] != starts:
        yield f"{race['starts']} starts instead of {starts}"
    if race["shown"] != ("active" if starts else "inactive"):
        yield "the end is not what was asked for"


def test_a_controller_and_an_operator(
    races: dict[str, dict[str, list[Race]]], capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator's systemctl replaces jobs; ours may be refused or lose, but never cancels and never lies."""
    rows = [(suite, race) for suite in races for race in races[suite]["operator"]]
    wrong = [f"{suite}: {what}: {race}" for suite, race in rows for what in faults_beside_operator(race)]
    yielded = sum(not race["ends"][0]["reached"] for _suite, race in rows if race["ends"][0])
    with capsys.disabled():
        print(f"\n{len(rows)} races with an operator, ours gave way in {yielded}, {len(wrong)} ended wrong")
    assert wrong == []


def faults_beside_operator(race: Race) -> t.Iterator[str]:
    ours, operator = race["ends"]
    if ours is None or operator is None:
        yield "one of the two ended by an error"
        return
    if operator["rc"] != 0:
        yield "the operator's job did not get done"
    if race["starts"] > 2 or len(ours["acted"]) > 1:
        yield "acted more often than asked"
    if ours["reached"] and ours["span"][1] > operator["span"][1] + 0.1:
        wanted = "inactive" if ours["target"] == "stopped" else "active"
        if race["shown"] != wanted:
            yield "said that it was reached, and it is not"
    if not ours["reached"] and not ours["msg"]:
        yield "gave way without a word"
