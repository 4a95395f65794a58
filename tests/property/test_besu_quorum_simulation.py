# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks under faults, with two controllers: the guard and the reservation never break a quorum.

``CHAINOPS_SIMULATED_NETWORKS`` sets the number of networks, 10,000 for a release.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import quorum
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.chain_view import ChainView
from ansible_collections.chainops.lifecycle.tests.property.besu_chain_model import Tally, simulate

NETWORKS = int(os.environ.get("CHAINOPS_SIMULATED_NETWORKS", "3000"))


def lines(tally: Tally) -> str:
    counts = "\n".join(f"  {name}: {count}" for name, count in sorted(tally.counts.items()))
    reasons = "\n".join(f"  {count} x {reason}" for reason, count in tally.refusals.most_common())
    return f"\n{counts}\nquorums broken by us: {len(tally.broken)}\nrefused though it was safe, because:\n{reasons}"


def test_two_controllers_never_break_a_quorum(capsys: pytest.CaptureFixture[str]) -> None:
    tally = simulate(NETWORKS)
    with capsys.disabled():
        print(lines(tally))
    assert tally.broken == []
    assert tally.counts["networks"] == NETWORKS
    # The world was no paradise, and the guard no wall.
    assert tally.counts["refused rightly"] > NETWORKS / 10
    assert tally.counts["restart"] > NETWORKS
    assert tally.counts["refused though safe"] < tally.counts["allowed"] / 5


def test_three_controllers_do_not_either() -> None:
    assert simulate(500, controllers=3, seed=1_000_000).broken == []


def test_the_model_shows_the_harm_without_a_reservation() -> None:
    """Two controllers that only look, and look well, stop two different validators at once."""
    assert len(simulate(1000, reserve=False).broken) > 50


def _everybody(view: ChainView, member: str) -> str:
    return ""


def _in_a_wider_window(view: ChainView, member: str) -> str:
    members = view.next_validators or ()
    return _INACTIVITY(replace(view, proposed_to=view.proposed_to - len(members)), member)


_INACTIVITY = quorum._own_inactivity


@pytest.mark.parametrize(
    ("name", "careless", "networks"),
    [
        pytest.param("_own_inactivity", _everybody, 600, id="believes that everybody takes part"),
        pytest.param("_own_inactivity", _in_a_wider_window, 3000, id="takes 2n blocks for the last ones"),
        pytest.param("connected_group", lambda view, members: tuple(members), 3000, id="takes sites for one network"),
        pytest.param("_doubtful", lambda view, part: 0, 3000, id="does not count nodes without an address"),
    ],
)
def test_the_model_shows_the_harm_of_a_guard_that(
    monkeypatch: pytest.MonkeyPatch, name: str, careless: Callable[..., object], networks: int
) -> None:
    monkeypatch.setattr(quorum, name, careless)
    assert simulate(networks, until_broken=True).broken


def test_one_controller_that_is_alone_gets_its_work_done() -> None:
    """Without faults and rivals the guard stands in nobody's way but where the arithmetic does."""
    tally = simulate(300, controllers=1, seconds=120.0, seed=77)
    assert tally.broken == []
    assert tally.counts["not reserved"] < tally.counts["judged"] / 3
