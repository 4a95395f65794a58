#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflared_tunnel
short_description: Drive a Cloudflare tunnel connector from one state to another, and bring it back
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Like M(chainops.lifecycle.service), for a cloudflared that systemd runs. It knows the states V(connecting),
    V(connected) and V(reconnecting), and why a connector has no connection.
  - Does not rely on misleading sources. systemd calls a connector active once it has been connected, C(/healthcheck)
    reports OK as long as the process runs, and the metrics C(ha_connections) and C(server_locations) count connections
    that no longer exist.
  - A connector that has lost its connections first gets the time that it needs to come back by itself, then one
    restart. A restart has worked when a new connector id has registered.
  - If no restart can help (token refused or unreadable, option unknown, port taken, no edge address, UDP blocked)
    nothing is restarted. The module fails with the cause and the next step.
requirements:
  - systemd 239 or newer
  - Python 3.9 or newer
  - cloudflared 2020.12.0 or newer, tested with 2026.6.0
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.actiongroup_lifecycle
  - chainops.lifecycle._service
  - chainops.lifecycle._service.drive
  - chainops.lifecycle._cloudflared.connector
attributes:
  check_mode:
    support: full
    details:
      - Returns the whole plan, made by the same code. The connector is asked, which changes nothing.
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
      - V(running) has all expected connections, V(connected) at least O(min_connections). Both start what is down and
        recover from V(error), but a connector on its way is only waited for.
      - V(reconnected) is V(connected), and restarts a connector that has not reconnected within O(reconnect_grace).
      - V(restarted) makes a new start and waits for a connection.
      - V(stopped), V(reset) and V(started) as in M(chainops.lifecycle.service).
    type: str
    choices: [running, connected, reconnected, stopped, restarted, reset, started]
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
  own_tunnel_action:
    description:
      - What to do if the connector carries the connection of this run and needs a restart.
      - V(hand_over) leaves the restart to the host. The task succeeds at once, and RV(handover.outcome) of the next run
        says how it went. That next run makes no restart of its own, not even for O(state=restarted).
    type: str
    choices: [hand_over, refuse]
    default: hand_over
  wait_timeout:
    description: Seconds for the whole run of the module. They have to be enough for O(reconnect_grace) and a restart.
    default: 600.0
seealso:
  - module: chainops.lifecycle.service
  - module: chainops.lifecycle.cloudflare_tunnel_info
  - ref: ansible_collections.chainops.lifecycle.tunnel_reconnect_role
    description: The role that does this for whole tunnels, one connector at a time.
"""

EXAMPLES = r"""
- name: Keep a connector running with all its connections
  chainops.lifecycle.cloudflared_tunnel:
    name: cloudflared

- name: Bring it back after an outage, and restart it if it does not come by itself
  chainops.lifecycle.cloudflared_tunnel:
    name: cloudflared
    state: reconnected

- name: Restart the only connector of a tunnel after its token was changed
  chainops.lifecycle.cloudflared_tunnel:
    name: cloudflared
    state: restarted
    replica_guard: 'off'

- name: Restart one of several that the edge has lost
  chainops.lifecycle.cloudflared_tunnel:
    name: cloudflared
    state: reconnected
    healthy_replicas: 2
    edge_lost: "{{ tunnels.lost }}"
"""

RETURN = r"""
reached:
  description: Whether the target was reached and proved. In check mode, whether no guard would refuse it.
  returned: always
  type: bool
state:
  description: The state at the end. V(unknown) where the connector could not be observed.
  returned: always
  type: str
  sample: running
before:
  description:
    - The observation at the beginning, as M(chainops.lifecycle.service_info) returns it. Under C(cloudflared) it has
      C(tunnel_id), C(tunnel_name), C(account_id), C(identity_source), C(identity_problem), C(connector_id),
      C(connections), C(expected_connections), C(registrations), C(refused_registrations), C(protocol), C(version),
      C(config_version), C(metrics_url), C(metrics_found), C(retries), C(grace_period), C(reconnect_grace),
      C(edge_reachable), C(changed_at), C(pid), C(other_connectors) and C(notes). A token is never among them.
    - A value that an old cloudflared does not report is V(unsupported).
  returned: always
  type: dict
after:
  description: The observation at the end.
  returned: always
  type: dict
progress:
  description: How far the connection has come at the end of the run.
  returned: when there is a process
  type: dict
  contains:
    state:
      description: The state.
      type: str
    waited:
      description: Seconds without a connection.
      type: float
    connections:
      description: The connections that are registered.
      type: int
    expected_connections:
      description: Those that it should have.
      type: int
    connector_id:
      description: The id of the connector, new with each start.
      type: str
    reconnect_grace:
      description: Seconds that it may take to reconnect by itself.
      type: float
handover:
  description: A restart that this run or the one before left to the host.
  returned: always
  type: dict
  contains:
    at:
      description: When, in seconds since the epoch.
      type: float
    invocation_before:
      description: The C(InvocationID) of the unit before.
      type: str
    outcome:
      description: V(pending), V(verified) or V(failed).
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
  description: Seconds that the run took on the host.
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
  description: Why the connector failed. See M(chainops.lifecycle.service_info).
  returned: on failure, when leaving the state V(error), or when asked for
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.kind import KIND
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive_connector import drive_connector
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
        "own_tunnel_action": {"type": "str", "choices": ["hand_over", "refuse"], "default": "hand_over"},
        "wait_timeout": {"type": "float", "default": 600.0},
    }
    drive_connector(LifecycleModule(argument_spec=argument_spec, supports_check_mode=True))


if __name__ == "__main__":
    main()
