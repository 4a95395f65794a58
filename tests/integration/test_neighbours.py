# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Acting on one unit of a real host, and what becomes of the others."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet

from .ansible_steps import Result, Scenario, equip, faults_of, play
from .neighbours_table import SCENARIOS as NEIGHBOURS
from .starts_table import SCENARIOS as STARTS

SCENARIOS = (*NEIGHBOURS, *STARTS)


@pytest.fixture(scope="module")
def results(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, int], Result]:
    """One play makes all steps on all hosts, each at its own pace."""
    fleet.each(lambda host: equip(host, ()))
    return play(fleet, SCENARIOS, tmp_path_factory.mktemp("neighbours"))


@pytest.mark.parametrize("of", SCENARIOS, ids=lambda of: of.name)
def test_neighbours(results: dict[tuple[str, str, int], Result], of: Scenario) -> None:
    wrong = faults_of(of, results)
    assert not wrong, "\n".join(wrong)
