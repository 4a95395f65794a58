# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for the tests in this folder, booted when the first test asks for one.

Where the laboratory cannot run, its tests are skipped in the words of
``lab check``; with CHAINOPS_REQUIRE_LAB=1 that is an error.
CHAINOPS_LAB_SUITES chooses suites, for example "bookworm trixie".
"""

from __future__ import annotations

import os
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.tests.lab import SUITES, Fleet, Group, Host, LabError, problems
from ansible_collections.chainops.lifecycle.tests.lab.faults import KINDS, FaultUnit, install_fault_units

FleetMaker = t.Callable[..., Fleet]
FaultMaker = t.Callable[[str], FaultUnit]


def chosen_suites() -> list[str]:
    """The suites to test on, oldest systemd first."""
    words = os.environ.get("CHAINOPS_LAB_SUITES", "").replace(",", " ").split()
    unknown = sorted(set(words) - SUITES.keys())
    if unknown:
        raise pytest.UsageError(f"CHAINOPS_LAB_SUITES: no suite {', '.join(unknown)}; there are {', '.join(SUITES)}")
    return [suite for suite in SUITES if suite in (words or SUITES)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "suite" in metafunc.fixturenames:
        metafunc.parametrize("suite", chosen_suites(), scope="session")


@pytest.fixture(scope="session")
def make_fleet() -> t.Iterator[FleetMaker]:
    """A function that boots one more fleet: ``make_fleet(Group("h", 3, "trixie"), ...)``. Down at the session's end."""
    missing = problems()
    if missing:
        words = "the laboratory cannot run here: " + "; ".join(map(str, missing))
        if os.environ.get("CHAINOPS_REQUIRE_LAB") == "1":
            raise LabError(words)
        pytest.skip(words)
    fleets: list[Fleet] = []

    def make(*groups: Group, **options: t.Any) -> Fleet:
        fleet = Fleet(f"pytest-{os.getpid()}-{len(fleets)}", groups, **options)
        fleets.append(fleet)
        return fleet.up()

    yield make
    for fleet in fleets:
        fleet.down()


@pytest.fixture(scope="session")
def fleet(make_fleet: FleetMaker) -> Fleet:
    """One host for each chosen suite, named after it: bookworm1, trixie1, forky1."""
    return make_fleet(*(Group(suite, 1, suite) for suite in chosen_suites()))


@pytest.fixture
def host(fleet: Fleet, suite: str) -> Host:
    """A host of each chosen suite in turn."""
    return fleet[f"{suite}1"]


@pytest.fixture
def fault(host: Host) -> t.Iterator[FaultMaker]:
    """A function that installs a kind of fault unit on ``host`` and gives its (first) unit. Gone after the test."""
    units: list[FaultUnit] = []

    def make(kind: str) -> FaultUnit:
        if kind in KINDS and KINDS[kind].since > SUITES[host.suite]:
            pytest.skip(f"systemd {SUITES[host.suite]} has no {kind}")
        names = install_fault_units(host, [kind])
        units.extend(FaultUnit(host, name) for name in names)
        return FaultUnit(host, names[0])

    yield make
    for unit in units:
        unit.remove()
