# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for the tests in this folder, booted when the first test asks for one.

Where the laboratory cannot run, its tests are skipped in the words of
``lab check``; with CHAINOPS_REQUIRE_LAB=1 that is an error.
CHAINOPS_LAB_SUITES chooses suites, for example "bookworm trixie".
"""

from __future__ import annotations

import itertools
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import SUITES, Fleet, Group, Host, LabError, problems
from ansible_collections.chainops.lifecycle.tests.support.lab.faults import KINDS, FaultUnit, install_fault_units

from ..support.cloudflare_edge.connector import TunnelIdentity
from .ansible_config import write_config
from .canary import API_READ, API_WRITE, API_WRONG, SECRET, Canary, forms
from .connectors import Connectors, new_edge
from .tunnels import Tunnels

FleetMaker = t.Callable[..., Fleet]
FaultMaker = t.Callable[[str], FaultUnit]
_NUMBERS = itertools.count()
# Files that take the longest, by minutes; a worker that gets one of them last would be waited for by all the others.
_LONGEST_FIRST = (
    "test_besu_upgrade",
    "test_besu_drills",
    "test_besu_rolling",
    "test_tunnel_drills",
    "test_waves",
    "test_tunnel_reconnect",
    "test_cloudflared",
    "test_neighbours",
    "test_besu_causes",
    "test_besu_quorum_lost",
    "test_tunnel_recover",
    "test_documents",
    "test_acting",
    "test_besu_execution",
    "test_guards_real",
    "test_drills",
    "test_cloudflared_reconnect",
    "test_besu_recovery",
    "test_report",
    "test_besu_sync",
    "test_lab_itself",
    "test_restart_loop",
    "test_tunnel_rolling",
    "test_besu_disk_full",
)


def chosen_suites() -> list[str]:
    """The suites to test on, oldest systemd first."""
    words = os.environ.get("CHAINOPS_LAB_SUITES", "").replace(",", " ").split()
    unknown = sorted(set(words) - SUITES.keys())
    if unknown:
        raise pytest.UsageError(f"CHAINOPS_LAB_SUITES: no suite {', '.join(unknown)}; there are {', '.join(SUITES)}")
    return [suite for suite in SUITES if suite in (words or SUITES)]


def service_suite() -> str:
    """The one suite for tests in which all versions of systemd say the same, such as those of Besu and cloudflared."""
    suites = chosen_suites()
    return "trixie" if "trixie" in suites else suites[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first; with ``--no-loadscope-reorder`` that is the order in which xdist hands the files out."""
    place = {name: number for number, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "suite" not in metafunc.fixturenames:
        return
    suites: list[t.Any] = chosen_suites()
    if metafunc.definition.get_closest_marker("alike"):
        long = pytest.mark.long
        suites = [suite if suite == service_suite() else pytest.param(suite, marks=long) for suite in suites]
    metafunc.parametrize("suite", suites, scope="session")


def selected_suites(request: pytest.FixtureRequest) -> list[str]:
    """The suites for which tests of the module of ``request`` were selected, oldest systemd first."""
    of_module = (item for item in request.session.items if item.path == request.path)
    selected = {item.callspec.params.get("suite") for item in of_module if hasattr(item, "callspec")}
    return [suite for suite in chosen_suites() if suite in selected]


def _fleets() -> t.Iterator[FleetMaker]:
    missing = problems()
    if missing:
        words = "the laboratory cannot run here: " + "; ".join(map(str, missing))
        if os.environ.get("CHAINOPS_REQUIRE_LAB") == "1":
            raise LabError(words)
        pytest.skip(words)
    fleets: list[Fleet] = []

    def make(*groups: Group, **options: t.Any) -> Fleet:
        fleet = Fleet(f"pytest-{os.getpid()}-{next(_NUMBERS)}", groups, **options)
        fleets.append(fleet)
        return fleet.up()

    yield make
    for fleet in fleets:
        fleet.down()


@pytest.fixture(scope="module")
def make_fleet() -> t.Iterator[FleetMaker]:
    """A function that boots one more fleet: ``make_fleet(Group("h", 3, "trixie"), ...)``. Down after the file's tests."""
    yield from _fleets()


@pytest.fixture(scope="session")
def keep_fleet() -> t.Iterator[FleetMaker]:
    """The same for a fleet that serves several files of tests. Down at the session's end."""
    yield from _fleets()


@pytest.fixture(scope="session", autouse=True)
def _configured(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[None]:
    """For runs of Ansible that bring no configuration of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_CONFIG", str(write_config(tmp_path_factory.mktemp("config"))))
        yield


@pytest.fixture(scope="session")
def fleet(keep_fleet: FleetMaker) -> Fleet:
    """One host for each chosen suite, named after it: bookworm1, trixie1, forky1."""
    return keep_fleet(*(Group(suite, 1, suite) for suite in chosen_suites()))


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


@pytest.fixture(scope="session")
def canary(keep_fleet: FleetMaker, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Canary]:
    """Fails at the end of the session where a secret of the tests of cloudflared is anywhere but in its own file."""
    hidden = Canary(*forms(SECRET), *(token.encode() for token in (API_READ, API_WRITE, API_WRONG)))
    home = Path(os.environ.get("ANSIBLE_HOME", "~/.ansible")).expanduser()
    hidden.guard(folders=[tmp_path_factory.getbasetemp(), home / "tmp", Path("~/.ansible/tmp").expanduser()])
    hidden.start()
    yield hidden
    assert hidden.heard
    assert hidden.finish() == set()


@pytest.fixture(scope="session")
def all_connectors(
    keep_fleet: FleetMaker, canary: Canary, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[Connectors]:
    """A host with the real cloudflared and a tunnel of its own."""
    fleet = keep_fleet(Group("connector", 1, service_suite()))
    canary.guard(fleet.hosts.values())
    with new_edge(fleet, Path(tmp_path_factory.mktemp("edge"))) as edge:
        tunnels = {name: TunnelIdentity(secret=SECRET) for name in fleet.hosts}
        yield Connectors.install(fleet, edge, tunnels, canary)


@pytest.fixture
def world(all_connectors: Connectors) -> Connectors:
    """All connectors connected."""
    all_connectors.heal()
    return all_connectors


@pytest.fixture(scope="session")
def all_replicas(
    keep_fleet: FleetMaker, canary: Canary, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[Tunnels]:
    """Three hosts with a replica of each of two tunnels."""
    suite = service_suite()
    fleet = keep_fleet(*(Group(f"{letter}{suite}", 1, suite) for letter in "abc"))
    canary.guard(fleet.hosts.values())
    folder = Path(tmp_path_factory.mktemp("edge"))
    with new_edge(fleet, folder) as edge:
        yield Tunnels(fleet, edge, folder, canary)


@pytest.fixture
def replicas(all_replicas: Tunnels) -> Tunnels:
    """All of them connected."""
    all_replicas.heal()
    return all_replicas
