# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards on real hosts, through ansible-playbook; a host that goes down; check mode beside a host left untouched."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host, until
from ansible_collections.chainops.lifecycle.tests.support.lab.faults import FaultUnit, install_fault_units

from .ansible_steps import Result, Scenario, equip, faults_of, hold, play, scenario, service
from .conftest import chosen_suites
from .guards_table import KINDS, SCENARIOS
from .shipping import run_driver, ship

Results = dict[tuple[str, str, int], Result]

# What a run could change: units and their invocations, our files, units' files, what systemd has logged.
_SNAPSHOT = """
systemctl show -p Id,LoadState,ActiveState,SubState,Result,InvocationID,NRestarts,MainPID,Job,UnitFileState \
    -p StateChangeTimestampMonotonic,FreezerState 'fault-*.service'
find /etc/systemd /run/systemd/system /var/lib/chainops-lifecycle /run/chainops-lifecycle /etc/faultd /run/faultd \
    /var/lib/faultd -printf '%p %T@ %s\\n' 2>/dev/null | sort || :
systemctl list-jobs --no-legend
journalctl --sync
journalctl -b -q -o cat --output-fields=MESSAGE _PID=1 | grep -c fault- || :
"""


@pytest.fixture(scope="module")
def hosts(make_fleet: t.Callable[..., Fleet]) -> Fleet:
    """A host of each suite, of its own: they are held, filled up and shut down."""
    fleet = make_fleet(*(Group(suite, 1, suite) for suite in chosen_suites()))
    fleet.each(lambda host: equip(host, KINDS))
    return fleet


@pytest.fixture(scope="module")
def results(hosts: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return play(hosts, SCENARIOS, tmp_path_factory.mktemp("guards"))


@pytest.mark.parametrize("of", SCENARIOS, ids=lambda of: of.name)
def test_guard(results: Results, of: Scenario) -> None:
    wrong = faults_of(of, results)
    assert not wrong, "\n".join(wrong)


def test_check_mode_leaves_the_host_as_it_was(hosts: Fleet, results: Results, tmp_path: t.Any) -> None:
    """Units in every state, and every way to ask: afterwards the host is what it was before."""

    def prepare(host: Host) -> str:
        host.sh(
            ". /opt/words.sh; failed fault-java; up fault-simple; fresh fault-stubborn fault-always; rm -f /run/faultd/*;"
            "behave fault-always '{\"start_exit\": 1}'; mkdir -p /run/systemd/system/fault-always.service.d;"
            "printf '[Service]\\nRestartSec=600\\n' >/run/systemd/system/fault-always.service.d/x.conf;"
            "systemctl daemon-reload; systemctl start fault-always; becomes fault-always SubState auto-restart"
        )
        return snapshot(host)

    states = ("stopped", "restarted", "reset", "running")
    asked = [{"state": "running", "recovery": "never"}, *({"state": x, "recovery": "reset_start"} for x in states)]
    units = ("fault-java", "fault-simple", "fault-stubborn", "fault-always")
    steps = [service(unit, {}, check=True, force_stop=True, wait_timeout=3, **options)
             for unit in units for options in asked]  # fmt: skip
    steps.append(hold({}, check=True, name="fault-java", reason="x", owner="ann"))
    before = hosts.each(prepare)
    found = play(hosts, [scenario("everything", *steps)], tmp_path)
    assert sum(bool(result.get("changed")) for result in found.values()) >= 8 * len(before), "there was much to do"
    after = hosts.each(snapshot)
    for name, text in before.items():
        assert after[name].splitlines() == text.splitlines(), name
        hosts[name].sh("rm -r /run/systemd/system/fault-always.service.d; systemctl daemon-reload")


def snapshot(host: Host) -> str:
    return host.sh(_SNAPSHOT).stdout


def test_a_host_that_goes_down_is_left_alone(hosts: Fleet, results: Results) -> None:
    options = json.dumps({"name": "fault-java", "state": "running", "wait_timeout": 5, "owner": "test"})

    def ask_while_it_goes_down(host: Host) -> tuple[t.Any, t.Any, t.Any]:
        ship(host, "engine_on_host.py")
        install_fault_units(host, ["slow-stop"])
        host.sh("systemctl stop fault-java; rm -rf /var/lib/chainops-lifecycle/attempts")
        slow = FaultUnit(host, "fault-slow-stop")
        slow.set(term_delay=15, now=False)
        slow.systemctl("start")
        boots = host.status["boots"]
        host.run("systemctl", "reboot", "--no-block")
        until(
            lambda: host.run("systemctl", "is-system-running", check=False).stdout.strip() == "stopping",
            20,
            "goes down",
        )
        during = run_driver(host, "engine_on_host.py", options)
        until(lambda: host.status["boots"] > boots and host.status["state"] == "running", 90, "it is up again")
        host.drop_connections()
        started = FaultUnit(host, "fault-java").show("ActiveState")["ActiveState"]
        return during, started, run_driver(host, "engine_on_host.py", options)

    for name, (during, between, after) in hosts.each(ask_while_it_goes_down).items():
        assert [block["guard"] for block in during["blocked_by"]][:1] == ["host_going_down"], (name, during)
        assert (during["changed"], between) == (False, "inactive"), name
        assert (after["reached"], after["changed"], after["state"]) == (True, True, "running"), (name, after)
