# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Four validators upgraded one by one by a rolling restart that is killed in the middle: the chain must not notice."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group

from .besu_networks import PERIOD, TIMEOUT, BesuNetwork, Played
from .conftest import service_suite

pytestmark = pytest.mark.long

ROLLING = "chainops.lifecycle.rolling_restart"
OLD, NEW = "25.7.0", "26.8.0"
TWO_ROUNDS = TIMEOUT + 2 * TIMEOUT + PERIOD
# The upgrade of a package replaces the program and its unit; of the stand-in the unit says which version it is. Without
# the encoding of 25.x the first one would not take part again.
UPGRADE = [
    {
        "name": "Lose the controller",
        "ansible.builtin.debug": {"msg": "{{ lookup('ansible.builtin.pipe', 'kill -KILL $(ps -o ppid= -p $PPID)') }}"},
        "when": "inventory_hostname == lost_at | default('')",
    },
    {
        "name": "Upgrade the package",
        "ansible.builtin.replace": {
            "path": "/etc/systemd/system/besu.service",
            "regexp": f"BESU_STANDIN_VERSION={OLD}",
            "replace": f"BESU_STANDIN_VERSION={NEW}\nEnvironment=BESU_XBFT_LEGACY_PROTOCOL_ENCODING=true",
        },
    },
]


@pytest.fixture(scope="module")
def chain(make_fleet: t.Callable[..., Fleet], tmp_path_factory: pytest.TempPathFactory) -> BesuNetwork:
    fleet = make_fleet(Group("u", 4, service_suite()))
    chain = BesuNetwork(list(fleet.hosts.values()), 4, fleet.inventory, Path(tmp_path_factory.mktemp("besu")))
    chain.each(lambda host: chain.install(host.name, version=OLD))
    chain.each(lambda host: host.run("systemctl", "start", "besu.service"))
    chain.until_moving(3)
    chain.let_grant()
    return chain


def versions(chain: BesuNetwork) -> list[str]:
    return [chain.call(name, "web3_clientVersion").split("/")[1].lstrip("v") for name in chain.hosts]


def order(played: Played) -> str:
    found = re.search(r"^Order: (.*)$", played.output, re.MULTILINE)
    assert found, played.output
    return found[1]


def test_an_upgrade_that_is_interrupted_and_goes_on(chain: BesuNetwork, tmp_path: Path) -> None:
    first, second, third, fourth = chain.validators
    hook = tmp_path / "upgrade.yml"
    hook.write_text(yaml.safe_dump(UPGRADE))
    before = chain.invocations()
    planned = chain.play(ROLLING, "--check", rolling_restart_before=[str(hook)])
    assert order(planned) == " | ".join(chain.validators) and chain.invocations() == before
    assert sorted(planned.outcome["planned"]) == [f"{name}/besu" for name in chain.validators]
    chain.let_grant()

    killed = chain.play(ROLLING, rolling_restart_before=[str(hook)], lost_at=third)
    assert killed.code != 0 and not killed.outcome, killed.output
    middle = chain.invocations()
    assert [middle[name] != before[name] for name in chain.validators] == [True, True, False, False], killed.output
    assert versions(chain) == [NEW, NEW, OLD, OLD]

    chain.until_moving()
    upgraded = chain.play(ROLLING, rolling_restart_before=[str(hook)])
    assert upgraded.code == 0, upgraded.output
    assert "continues run" in upgraded.output and order(upgraded) == f"{third} | {fourth}"
    mixed = re.search(r"^Versions in 0x\w+: (.*)$", upgraded.output, re.MULTILINE)
    assert mixed and mixed[1] == f"{OLD} on {third}, {fourth}; {NEW} on {first}, {second}"
    assert upgraded.outcome == {"restarted": [f"{third}/besu", f"{fourth}/besu"]}
    told = upgraded.block(third)
    assert f"was    consensus, {OLD}" in told and f"is     consensus, {NEW}" in told and "upgrade.yml" in told
    after = chain.invocations()
    assert [after[name] != middle[name] for name in chain.validators] == [False, False, True, True]
    assert versions(chain) == [NEW] * 4
    for played in (killed, upgraded):
        print(f"the longest pause of the head: {played.pause:.1f} s; two round time-outs are {TWO_ROUNDS} s")
        assert played.pause <= TWO_ROUNDS + 1 + played.late

    again = chain.play(ROLLING, lifecycle_only_stale=True)
    assert (again.code, again.changed) == (0, 0) and "0 of 4 services on 4 hosts to restart" in again.output


def test_a_validator_without_which_there_is_no_quorum_is_refused_and_its_package_is_left(
    chain: BesuNetwork, tmp_path: Path
) -> None:
    missing = chain.validators[-1]
    chain.stop(missing)
    hook = tmp_path / "touch.yml"
    hook.write_text(yaml.safe_dump([{"ansible.builtin.file": {"path": "/run/upgraded", "state": "touch"}}]))
    before = chain.invocations()
    refused = chain.play(ROLLING, rolling_restart_before=[str(hook)], lifecycle_restart_since="now")
    chain.hosts[missing].run("systemctl", "start", "besu.service")
    assert refused.code == 2 and sorted(refused.outcome["refused"]) == [f"{name}/besu" for name in chain.validators]
    assert "quorum" in refused.output
    for name in chain.validators[:-1]:
        assert chain.invocations()[name] == before[name]
        chain.hosts[name].sh("! test -e /run/upgraded")
