# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file system that fills up while Besu runs: it ends itself with exit 0, and nothing may start it without room."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import network
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, until

from .besu_networks import BesuNetwork
from .conftest import service_suite

RECOVER = "chainops.lifecycle.recover"
STATUS = "chainops.lifecycle.status"
FILLER = f"{network.DATA}/filler"
# Besu's shutdown takes up to 30 s, here until it was looked at.
SHUTDOWN = 600.0


@pytest.fixture(scope="module")
def chain(make_fleet: t.Callable[..., Fleet], tmp_path_factory: pytest.TempPathFactory) -> BesuNetwork:
    """A validator that makes blocks, and a node that follows it, whose data have a small file system of their own."""
    fleet = make_fleet(*(Group(f"d{number}", 1, service_suite()) for number in range(2)))
    chain = BesuNetwork(list(fleet.hosts.values()), 1, fleet.inventory, Path(tmp_path_factory.mktemp("besu")))
    chain.up()
    _validator, name = chain.hosts
    chain.stop(name)
    # As services are: systemd forgets a unit that is down and that nothing refers to, and how it ended.
    chain.hosts[name].run("systemctl", "enable", "besu.service")
    chain.hosts[name].sh(f"mount -t tmpfs -o size=32m,mode=0755 tmpfs {network.DATA}")
    chain.hosts[name].run("systemctl", "start", "besu.service")
    chain.until_moving()
    return chain


def test_it_is_told_by_its_cause_and_not_started_before_there_is_room(chain: BesuNetwork) -> None:
    _validator, name = chain.hosts
    host, services = chain.hosts[name], chain.services(validator=False)

    def play(playbook: str, *arguments: str) -> t.Any:
        return chain.play(
            playbook, "--limit", name, *arguments, lifecycle_services=services, lifecycle_max_unhealthy="100%"
        )

    chain.fault(name, full_exit=0, slow_stop=SHUTDOWN)
    host.sh(f"cat /dev/zero >{FILLER} 2>/dev/null || test -s {FILLER}")
    until(lambda: chain.height(name) < 0, 30, "it ends itself")
    before = chain.invocations()
    during = play(STATUS)
    assert re.search(rf"^{name} +besu +stopping .*disk_full", during.output, re.MULTILINE), during.output
    assert chain.show(name, "ActiveState") == "active"
    chain.fault(name)
    until(lambda: chain.show(name, "ActiveState") != "active", 60, "its shutdown ends")
    assert [chain.show(name, what) for what in ("ActiveState", "Result", "ExecMainStatus")] == [
        "inactive", "success", "0",
    ]  # fmt: skip
    after = play(STATUS)
    assert re.search(rf"^{name} +besu +stopped .*disk_full", after.output, re.MULTILINE), after.output

    for check in (["--check"], []):
        refused = play(RECOVER, *check)
        told = refused.block(name)
        assert refused.code == 2 and "REFUSED" in told and "disk_full" in told, refused.output
        assert network.DATA in told, "the path is named"
        assert chain.invocations() == before, "it was not started"
    # One that systemd has forgotten: what its configuration file names is looked at all the same.
    host.sh("systemctl disable besu.service; systemctl daemon-reload")
    until(lambda: not chain.show(name, "InvocationID"), 15, "systemd forgets it")
    forgotten = play(RECOVER).block(name)
    assert "REFUSED" in forgotten and f"{network.DATA} has 0 MiB" in forgotten, forgotten
    assert not chain.show(name, "InvocationID"), "it was not started"

    host.sh(f"rm {FILLER}")
    mended = play(RECOVER)
    assert mended.code == 0 and "RECOVERED" in mended.block(name), mended.output
    chain.until_moving()
