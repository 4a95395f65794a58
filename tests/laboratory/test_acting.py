# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service on real units, run by ansible-playbook: from each state to each target, twice, and in check mode."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.tests.lab import Fleet

from .acting_table import KINDS, SCENARIOS
from .ansible_steps import Result, Scenario, differences, equip, play


@pytest.fixture(scope="module")
def results(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, int], Result]:
    """One play makes all steps on all hosts, each at its own pace."""
    fleet.each(lambda host: equip(host, KINDS))
    return play(fleet, SCENARIOS, tmp_path_factory.mktemp("acting"))


@pytest.mark.parametrize("of", SCENARIOS, ids=lambda of: of.name)
def test_acting(results: dict[tuple[str, str, int], Result], suite: str, of: Scenario) -> None:
    wrong = [
        f"step {number}: {what} ({results[suite, of.name, number].get('msg')})"
        for number, step in enumerate(of.steps)
        for what in differences(step, results[suite, of.name, number])
    ]
    assert not wrong, "\n".join(wrong)
