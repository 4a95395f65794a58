# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as pytest-ansible calls them on the laboratory's hosts: each call twice, the second changes nothing."""

from __future__ import annotations

import typing as t

import pytest

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
UNIT = """[Service]
Type=exec
ExecStart=/bin/sleep infinity
"""


@pytest.fixture
def hosts(fleet: Fleet, ansible_adhoc: t.Any) -> t.Iterator[t.Any]:
    """Every host, with a unit on each."""
    for host in fleet.hosts.values():
        host.sh('printf %s "$1" >/etc/systemd/system/called.service; systemctl daemon-reload', UNIT)
    yield ansible_adhoc(inventory=str(fleet.inventory), host_pattern="all").all
    for host in fleet.hosts.values():
        host.sh("systemctl stop called; rm /etc/systemd/system/called.service; systemctl daemon-reload")


def answers(called: t.Any, fleet: Fleet) -> list[dict[str, t.Any]]:
    assert set(called.contacted) == set(fleet.hosts), called.dark
    return [dict(answer) for answer in called.contacted.values()]


def test_every_host_answers(hosts: t.Any, fleet: Fleet) -> None:
    assert [answer["ping"] for answer in answers(hosts.ping(), fleet)] == ["pong"] * len(fleet.hosts)


def test_service_brings_it_to_each_state_once(hosts: t.Any, fleet: Fleet) -> None:
    module = getattr(hosts, "chainops.lifecycle.service")
    for state, found in (("running", "stopped"), ("stopped", "running")):
        for changed in (True, False):
            for answer in answers(module(name="called", state=state, stable_for=0.1), fleet):
                assert (answer["changed"], answer["state"]) == (changed, state), answer
                assert answer["before"]["state"] == (found if changed else state)


def test_service_info_sees_what_systemd_does(hosts: t.Any, fleet: Fleet) -> None:
    look = getattr(hosts, "chainops.lifecycle.service_info")
    for command, state in (("start", "running"), ("kill --signal=KILL", "error"), ("reset-failed", "stopped")):
        for host in fleet.hosts.values():
            host.sh(
                f"systemctl {command} called; while systemctl is-active -q called && [ {state} = error ]; do :; done"
            )
        assert [answer["services"][0]["state"] for answer in answers(look(services=["called"]), fleet)] == [
            state
        ] * len(fleet.hosts)


def test_a_bad_option_is_named(hosts: t.Any, fleet: Fleet) -> None:
    for answer in answers(getattr(hosts, "chainops.lifecycle.service")(name="called", max_attempts=0), fleet):
        assert answer["failed"] and answer["msg"] == "max_attempts: 0 is less than 1; give 1 or more"
