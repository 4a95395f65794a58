# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service on real units, run by ansible-playbook: from each state to each target, twice, and in check mode."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet

from .acting_table import KINDS, SCENARIOS
from .ansible_steps import Result, Scenario, equip, faults_of, play


@pytest.fixture(scope="module")
def results(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, int], Result]:
    """One play makes all steps on all hosts, each at its own pace."""
    fleet.each(lambda host: equip(host, KINDS))
    return play(fleet, SCENARIOS, tmp_path_factory.mktemp("acting"))


@pytest.mark.parametrize("of", SCENARIOS, ids=lambda of: of.name)
def test_acting(results: dict[tuple[str, str, int], Result], of: Scenario) -> None:
    wrong = faults_of(of, results)
    assert not wrong, "\n".join(wrong)
