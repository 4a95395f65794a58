# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every cause of a failed start made for real, several at a time, and what the playbook ``recover`` makes of it."""

from __future__ import annotations

import functools
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import breaks
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host, until

from .besu_networks import BesuNetwork
from .conftest import service_suite

RECOVER = "chainops.lifecycle.recover"
NODES = 8
# scenario -> the causes that may be told of it.
CAUSES = {
    "start_unknown_option": "config_invalid",
    "start_unknown_key_in_config_file": "config_invalid",
    "start_config_file_missing": "config_missing",
    "start_config_file_malformed": "config_invalid",
    "start_genesis_missing": "config_missing",
    "start_genesis_malformed": "config_invalid",
    "start_genesis_changed": "genesis_mismatch",
    "start_key_malformed": "key_invalid",
    "start_key_unreadable": "key_invalid permission_denied",
    "start_data_not_writable": "permission_denied",
    "start_rpc_port_in_use": "address_in_use",
    "start_p2p_port_in_use": "address_in_use",
    "start_metrics_port_in_use": "address_in_use",
    "start_database_locked": "database_locked",
    "start_database_corrupt_manifest": "database_corrupt",
    "start_database_metadata_of_a_newer_version": "database_version",
    "start_database_of_another_format": "database_format",
    "start_version_downgrade_refused": "database_version",
    "start_java_missing": "java_missing",
    "start_heap_option_invalid": "java_options",
    "start_heap_too_small": "out_of_memory java_options",
    "start_too_few_file_descriptors": "file_descriptors",
    "start_binary_missing": "exec_missing",
    "start_disk_full": "disk_full",
    "node_allowlist_empty": "node_allowlist",
    "start_crash_loop": "config_invalid crash_loop",
}


@pytest.fixture(scope="module")
def chain(make_fleet: t.Callable[..., Fleet], tmp_path_factory: pytest.TempPathFactory) -> BesuNetwork:
    """One validator, which makes blocks, and nodes to break."""
    fleet = make_fleet(*(Group(f"c{number}", 1, service_suite()) for number in range(NODES + 1)))
    folder = tmp_path_factory.mktemp("besu")
    chain = BesuNetwork(list(fleet.hosts.values()), 1, fleet.inventory, Path(folder), block_period=1)
    chain.up()
    return chain


def test_every_cause_is_in_the_table() -> None:
    assert set(CAUSES) == set(breaks.SCRIPTS)


def _break(chain: BesuNetwork, host: Host, scenario: str) -> None:
    host.sh(breaks.FIXES)
    host.sh("rm -rf /var/lib/chainops-lifecycle")
    blocks = 5 if scenario in breaks.NEEDS_DATA else 0
    chain.install(host.name, blocks, unit_lines=["Restart=no"])
    host.sh(breaks.SCRIPTS[scenario])
    host.run("systemctl", "start", "--no-block", "besu.service")
    if scenario == "start_crash_loop":  # which is one once it has used up the thrash budget
        until(lambda: int(chain.show(host.name, "NRestarts")) >= 5, 90, f"{scenario} goes on")
    else:
        until(lambda: chain.show(host.name, "ActiveState") == "failed", 90, f"{scenario} has failed")


def _round(chain: BesuNetwork, broken: dict[str, str], *arguments: str) -> t.Any:
    return chain.play(
        RECOVER,
        "--limit",
        ",".join(broken),
        *arguments,
        lifecycle_services=chain.services(validator=False),
        lifecycle_max_unhealthy="100%",
        lifecycle_serial="100%",
    )


ROUNDS = [dict(list(CAUSES.items())[start : start + NODES]) for start in range(0, len(CAUSES), NODES)]


@pytest.mark.parametrize("scenarios", ROUNDS, ids=lambda scenarios: next(iter(scenarios)))
def test_a_cause_that_no_start_fixes_is_named_and_left_to_a_person(
    chain: BesuNetwork, scenarios: dict[str, str]
) -> None:
    names = [name for name in chain.hosts if name not in chain.validators]
    broken = dict(zip(names, scenarios, strict=False))
    chain.at_once([functools.partial(_break, chain, chain.hosts[name], why) for name, why in broken.items()])
    before = chain.invocations()
    played = _round(chain, broken)
    assert played.code == 2
    wrong = []
    for name, scenario in broken.items():
        block = played.block(name)
        told = [cause for cause in CAUSES[scenario].split() if f", {cause}: " in block]
        if "REFUSED" not in block or not told:
            wrong.append(f"{scenario}: {block}")
    assert not wrong, "\n".join(wrong)
    # Nobody was started; one in a loop is started by systemd.
    loops = {name for name, scenario in broken.items() if scenario == "start_crash_loop"}
    assert {name for name, one in chain.invocations().items() if one != before[name]} <= loops


def test_once_fixed_they_are_recovered(chain: BesuNetwork) -> None:
    """All at once, as no validator is among them; a second run finds nothing to do."""
    names = [name for name in chain.hosts if name not in chain.validators]
    for name in names:
        chain.hosts[name].sh(breaks.FIXES)
    chain.at_once([functools.partial(chain.install, name) for name in names])
    fixed = dict.fromkeys(names, "")
    played = _round(chain, fixed)
    assert played.code == 0, played.output
    assert all("RECOVERED" in played.block(name) for name in names), played.output
    chain.until_moving()
    again = _round(chain, fixed)
    assert (again.code, again.changed) == (0, 0), again.output
