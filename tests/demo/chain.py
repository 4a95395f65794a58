# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A chain of four validators, and a node that syncs. Besu is a stand-in that answers as the real one was recorded."""

from __future__ import annotations

from ansible_collections.chainops.lifecycle.tests.demo.stage import NETWORK_INTERVAL, Described, Stage, say
from ansible_collections.chainops.lifecycle.tests.integration.besu_networks import BesuNetwork
from ansible_collections.chainops.lifecycle.tests.support.lab import until

HISTORY = 1500  # blocks that the chain has at its start


def start_chain(stage: Stage) -> BesuNetwork:
    """Start four validators, and do not wait for their first block. The node is installed only."""
    fleet = stage.fleet
    folder = stage.folder / "chain"
    folder.mkdir()
    chain = BesuNetwork([*fleet.group("v"), *fleet.group("node")], 4, fleet.inventory, folder)
    chain.each(lambda host: chain.install(host.name, HISTORY if host.name in chain.validators else 0))
    # systemd is told not to restart it, so that there is something to recover.
    first = chain.hosts[chain.validators[0]]
    first.push_text("/etc/systemd/system/besu.service.d/demo.conf", "[Service]\nRestart=no\n")
    first.run("systemctl", "daemon-reload")
    for name in chain.validators:
        chain.hosts[name].run("systemctl", "start", "besu.service")
    return chain


def act_chain(stage: Stage, chain: BesuNetwork) -> Described:
    """One validator is killed and recovered, a node syncs, and a second validator is refused. The services of the hosts."""
    first, second, *_others = chain.validators
    node = next(name for name in chain.hosts if name not in chain.validators)
    services = dict.fromkeys(chain.validators, chain.services())
    everyone = dict.fromkeys(chain.hosts, chain.services())
    until(lambda: all(chain.height(name) > HISTORY + 2 for name in chain.validators), 60, "the chain produces blocks")

    say(f"A chain of four validators: that of {first} is killed (kill -9), and recovered")
    before = chain.head()
    chain.hosts[first].run("systemctl", "kill", "--signal=SIGKILL", "besu.service")
    until(lambda: "failed" in chain.hosts[first].sh("systemctl is-active besu || :").stdout, 20, "systemd has noticed")
    stage.play("chainops.lifecycle.recover", services, **NETWORK_INTERVAL)
    until(lambda: chain.height(first) > before + 2, 60, "the validator follows the chain")
    print(
        f"   The longest time between two blocks meanwhile: {chain.pause(before):.0f} s. The other three kept the quorum."
    )

    say(f"A node that syncs: {node} is {chain.head()} blocks behind")
    chain.fault(node, sync_rate=120)
    chain.hosts[node].run("systemctl", "start", "besu.service")
    stage.play("chainops.lifecycle.besu_sync_wait", everyone, besu_sync_wait_progress_interval=4)

    say(f"What it refuses: {first} is stopped for maintenance, and {second} hangs. A restart would stop the chain")
    until(lambda: chain.age(second) > 65, 90, "the validator is no longer young")
    chain.hosts[first].run("systemctl", "stop", "besu.service")
    stage.hold(first, "besu", "a new disk")
    chain.fault_until_stopped(second, hang=True)
    # Hosts grant nothing in the first minutes after their boot, and the quorum forbids the restart with a grant as well:
    # a second try would change nothing.
    stage.play("chainops.lifecycle.recover", services, expect=2, service_recovery_reserve_tries=1, **NETWORK_INTERVAL)
    return everyone
