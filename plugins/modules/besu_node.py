#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: besu_node
short_description: Drive a Hyperledger Besu node from one state to another, and wait for its sync
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Like M(chainops.lifecycle.service), for a Besu node with QBFT or IBFT2 consensus. It knows the states V(syncing),
    V(synced) and V(consensus), and why a node is unhealthy.
  - Does not rely on what Besu reports about itself. According to C(eth_syncing), C(/readiness) and the sync metric a
    node is in sync even if it has just been started, is isolated, or is in the middle of a SNAP sync. Here the head has
    to be level with that of other nodes and recent, in two samples.
  - A sync that cannot succeed ends the wait at once, with the cause. Running the same task again costs nothing.
  - A task that waits prints a line of progress every O(progress_interval), and continues after a lost connection.
  - Before a validator is stopped or restarted the quorum is checked on the live chain.
  - If the hosts of a play checked the quorum at the same time, each would find it and stop its validator. So a task
    with O(state=restarted), O(state=stopped) or O(state=reset) runs on one host after the other, unless it has
    O(reservation), O(quorum_guard=off), O(validator=false), O(quorum_lost=restart_all) or C(async).
  - A task with another state may restart validators too, see O(recovery). Give it C(throttle=1) or C(serial). If
    several runs may act at the same time, make reservations.
requirements:
  - systemd 239 or newer
  - Python 3.9 or newer
  - Hyperledger Besu 24.x or newer, tested with recordings of 25.7 and 26.8, and a stand-in that answers like them
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.actiongroup_lifecycle
  - chainops.lifecycle._service
  - chainops.lifecycle._service.drive
  - chainops.lifecycle._besu
  - chainops.lifecycle._besu.node
attributes:
  check_mode:
    support: full
    details:
      - Returns the whole plan, made by the same code. The node and O(reference_urls) are asked, which changes nothing.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Not with O(state=restarted), unless O(expected_invocation) is given.
  platform:
    platforms: linux
options:
  state:
    description:
      - V(running) is a node that serves, validator or not.
      - V(synced) is a node that is level with the chain. This is the sync wait.
      - V(consensus) is a validator that takes part. It is never reached by a node that is not in the validator set.
      - V(restarted) makes a new start and waits until the node serves, and takes part if it is a validator.
      - V(stopped), V(reset) and V(started) as in M(chainops.lifecycle.service).
    type: str
    choices: [running, synced, consensus, stopped, restarted, reset, started]
    default: running
  enabled:
    description:
      - Whether the unit is started with the host (C(systemctl enable) and C(disable)). If this is not given, it is left
        as it is.
      - It is changed once O(state) has been reached and proved. A run that is refused or fails does not change it.
      - The guard C(enabled) refuses a unit that is masked, static, indirect, generated or transient before anything is
        done. The guard C(hold) refuses a unit that is held.
      - With V(false) a masked unit is left as it is, because nothing starts it.
      - systemd reads all unit files again when a unit is enabled or disabled, whatever O(daemon_reload) says.
    type: bool
  stop_timeout:
    description:
      - Seconds after which a stop that has not ended is overdue. Besu needs time to close its database.
      - O(force_stop) uses SIGKILL then, which may damage the database.
    default: 300.0
  wait_timeout:
    description: Seconds for the whole wait. A sync may need more than the default.
    default: 600.0
  progress_interval:
    description:
      - Seconds from one line of progress to the next while a task waits for V(running), V(synced) or V(consensus).
      - The task runs the module once for each line, so that a lost connection costs at most this part of the wait.
      - It does so neither with C(async) nor in check mode.
    type: float
    default: 30.0
  wait_id:
    description:
      - The name of a wait that consists of several runs of the module, one after the other. Each run ends after
        O(progress_interval) with RV(waiting), and leaves on the host what the next one has to know, such as that it
        has started the node, and since when there is no progress.
      - The task sets it by itself.
    type: str
  peers_timeout:
    description:
      - Seconds without a peer after which a node that has just been started is V(error), cause V(no_peers). If it is
        not given, an observation uses 20 and this module uses 60.
    default: 60.0
seealso:
  - module: chainops.lifecycle.service
  - module: chainops.lifecycle.besu_network_info
  - module: chainops.lifecycle.besu_reservation
"""

EXAMPLES = r"""
- name: Keep a node running, and a validator in consensus
  chainops.lifecycle.besu_node:
    name: besu
    state: running

- name: Wait up to two hours until it is level with the chain, and change nothing
  chainops.lifecycle.besu_node:
    name: besu
    state: synced
    recovery: never
    wait_timeout: 7200
    reference_urls:
      - http://10.0.0.11:8545
      - http://10.0.0.12:8545

- name: Restart validators one after the other, each only if the others are the quorum
  chainops.lifecycle.besu_node:
    name: besu
    state: restarted
    reference_urls: "{{ groups.validators | map('extract', hostvars, 'besu_rpc_url') }}"
  throttle: 1
"""

RETURN = r"""
reached:
  description: Whether the target was reached and proved. In check mode, whether no guard would refuse it.
  returned: always
  type: bool
waiting:
  description: Whether the wait is not over and another run has to continue it. A task never ends with V(true).
  returned: if O(wait_id) is given and O(progress_interval) has passed
  type: bool
state:
  description: The state at the end. V(unknown) where the node could not be observed.
  returned: always
  type: str
  sample: consensus
before:
  description:
    - The observation at the beginning, as M(chainops.lifecycle.service_info) returns it. Under C(besu) it has C(head),
      C(head_age), C(reference), C(lag), C(peers), C(version), C(chain_id), C(genesis), C(address), C(validators),
      C(validator), C(last_proposed), C(rounds) and C(missing), which says what is not known and which API group would
      report it. C(taking_part) and C(may_stop) count the validators that proposed one of the last blocks, and how many
      of them may stop before the chain does, as the blocks of this node alone show it.
      C(voted) says whether this process has proposed a block or sent a round of its own, C(process_age)
      how many seconds ago it was started, and C(heard) how many seconds ago it first received a message of another
      validator in its round.
  returned: always
  type: dict
after:
  description: The observation at the end.
  returned: always
  type: dict
progress:
  description: How far the sync has come at the end of the run.
  returned: when the node reported its head
  type: dict
  contains:
    head:
      description: Its height.
      type: int
    reference:
      description: The highest head that it or another node knows.
      type: int
    lag:
      description: Blocks between the two.
      type: int
    peers:
      description: Its peers.
      type: int
    rate:
      description: Blocks imported each second.
      type: float
    eta:
      description: Seconds until it is level, if that can be estimated.
      type: int
    imported:
      description: Blocks imported since the wait first saw the head. Only of a task that waited.
      type: int
    state:
      description: The state.
      type: str
transitions:
  description: The steps that were made, and the transitions that were observed. In check mode the plan.
  returned: always
  type: list
  elements: dict
blocked_by:
  description: The guards that refused, with C(guard), C(reason) and C(hint).
  returned: always
  type: list
  elements: dict
attempts:
  description: The attempt budget after the run.
  returned: always
  type: dict
also_stops:
  description: As in M(chainops.lifecycle.service).
  returned: always
  type: list
  elements: str
also_starts:
  description: As in M(chainops.lifecycle.service).
  returned: always
  type: list
  elements: str
duration:
  description: Seconds that the run took on the host. If the task ran the module several times, seconds for all of them.
  returned: always
  type: float
enablement:
  description: Whether the unit is started with the host, in the words of C(systemctl is-enabled).
  returned: when O(enabled) is given
  type: dict
  contains:
    before:
      description: The value before the run.
      type: str
      sample: disabled
    after:
      description: The value after the run. In check mode, the value that it would have.
      type: str
      sample: enabled
resolved:
  description: The hard cause of the failure, the time of the failure, and what shows that the cause is gone.
  returned: when a start was allowed because the host shows that the cause is gone
  type: str
  sample: address_in_use was the cause at 2026-03-01 01:04:12 UTC; port 8080 is free now
diagnosis:
  description: Why the node failed. See M(chainops.lifecycle.service_info).
  returned: on failure, when leaving the state V(error), or when asked for
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.kind import KIND
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive import drive
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.options import (
    AS_SYSTEMD_SERVICE,
    DRIVE_OPTIONS,
    STARTED,
    WATCH_OPTIONS,
)


def main() -> None:
    argument_spec: dict[str, t.Any] = {
        "state": {"type": "str", "choices": [*KIND.machine.targets, STARTED], "default": "running"},
        **WATCH_OPTIONS,
        **DRIVE_OPTIONS,
        **AS_SYSTEMD_SERVICE,
        **KIND.options,
        "stop_timeout": {"type": "float", "default": 300.0},
        "wait_timeout": {"type": "float", "default": 600.0},
        "progress_interval": {"type": "float", "default": 30.0},
        "wait_id": {"type": "str"},
        "peers_timeout": {"type": "float", "default": 60.0},
    }
    drive(LifecycleModule(argument_spec=argument_spec, supports_check_mode=True), KIND.make)


if __name__ == "__main__":
    main()
