#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service
short_description: Drive a systemd service from one state to another, guarded and proved
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Observes the service, plans the steps to O(state) on the state machine, checks the guards, acts, and verifies.
  - Reports C(changed) only after the new state is proved. A start has to be a new invocation, the probes have to pass,
    the state has to hold for O(stable_for), and after a stop no process may be left.
  - Calls C(systemctl) with C(--no-block) and C(--job-mode=fail), so that it never cancels a job of another controller,
    except with O(stop_conflicting). A lock on the host keeps two runs of these modules apart.
  - What systemd stops together with the service is part of the plan (RV(also_stops)) and of the guards. After a start
    it has to run again, or the run fails.
  - If the run is killed, whenever that is, running the same task again continues it.
requirements:
  - systemd 239 or newer
  - Python 3.9 or newer
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.actiongroup_lifecycle
  - chainops.lifecycle._service
  - chainops.lifecycle._service.drive
attributes:
  check_mode:
    support: full
    details:
      - Returns the whole plan, made by the same code. Probes and O(config_check) do run, because they change nothing.
      - A unit that does not exist is a warning in check mode, because in a real run an earlier task may install it.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Not with O(state=restarted), unless O(expected_invocation) is given.
  platform:
    platforms: linux
options:
  name:
    description:
      - The unit, such as V(api) or V(worker@1), or several, which are driven one after the other, each with all these
        options. The ending C(.service) is implied.
      - If one of several fails, the others are still driven. The task fails at its end.
    type: list
    elements: str
    required: true
    aliases: [service, unit]
  state:
    description:
      - V(running) and V(stopped) are reached from wherever the service is. V(started) is an alias of V(running).
      - V(restarted) makes a new start. A oneshot service is run once to its end.
      - V(succeeded) is for services that run to their end, such as those of timers. It is reached if the last run
        has not failed and, if the unit has timers, one of them is active. A service whose last run failed is run once
        more.
      - V(reset) takes the service out of V(error) and starts nothing. It clears a failure, and stops a service that is
        up although it is in V(error), such as an unhealthy one.
      - If this is not given it is V(running), unless O(enabled) is given. Then the state is left as it is.
    type: str
    choices: [running, stopped, restarted, reset, succeeded, started]
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
seealso:
  - module: ansible.builtin.systemd_service
  - module: chainops.lifecycle.service_info
  - module: chainops.lifecycle.service_hold
"""

EXAMPLES = r"""
- name: Keep an API running, proved by its own health endpoint
  chainops.lifecycle.service:
    name: api
    state: running
    probes:
      - kind: http
        url: http://127.0.0.1:8080/health
        json_path: status
        json_value: UP

- name: Recover it from any failure
  chainops.lifecycle.service:
    name: api
    recovery: reset_start

- name: Restart it after a new configuration, if that is valid
  chainops.lifecycle.service:
    name: api
    state: restarted
    config_check: [/usr/bin/python3, -m, json.tool, /etc/api.json]

# The same options as for ansible.builtin.systemd_service, but a list needs no loop.
- name: Enable and start the services of the shop
  chainops.lifecycle.service:
    name: [api, worker]
    state: started
    enabled: true

- name: Stop it, with SIGKILL if it does not end
  chainops.lifecycle.service:
    name: api
    state: stopped
    stop_timeout: 30
    force_stop: true
"""

RETURN = r"""
reached:
  description:
    - Whether the target was reached and proved. In check mode, whether no guard would refuse it.
    - With several services, whether all have reached it.
  returned: always
  type: bool
state:
  description: The state at the end. V(unknown) where the service could not be observed.
  returned: always
  type: str
  sample: running
before:
  description:
    - The observation at the beginning. See M(chainops.lifecycle.service_info) for its keys.
  returned: always
  type: dict
  sample: {name: api, state: error, base_state: error, cause: exit_code}
after:
  description: The observation at the end.
  returned: always
  type: dict
  sample: {name: api, state: running, base_state: running, cause: null}
transitions:
  description: The steps that were made, and the transitions that were observed. In check mode the plan.
  returned: always
  type: list
  elements: dict
  contains:
    from:
      description: The state before.
      type: str
    to:
      description: The state after.
      type: str
    trigger:
      description: The edge of the state machine.
      type: str
    action:
      description: What was requested from systemd. V(none) for a transition that the service made by itself.
      type: str
    started:
      description: Seconds since the epoch, on the host's clock.
      type: float
    duration:
      description: Seconds.
      type: float
    applied:
      description: Whether it has happened. False in check mode.
      type: bool
blocked_by:
  description: The guards that refused, with the reason and the next safe step.
  returned: always
  type: list
  elements: dict
  contains:
    guard:
      description: The name of the guard.
      type: str
    reason:
      description: What it found.
      type: str
    hint:
      description: What to do.
      type: str
attempts:
  description: The attempt budget after the run.
  returned: always
  type: dict
  contains:
    used:
      description: The attempts that count towards the limit, within O(attempt_window).
      type: int
    allowed:
      description: O(max_attempts).
      type: int
    window:
      description: O(attempt_window), in seconds.
      type: float
    next_in:
      description: Seconds until the next one may be made.
      type: float
also_stops:
  description:
    - The units that the plan stops in addition to the service. They are running and require it (C(Requires=),
      C(Requisite=), C(BindsTo=), C(PartOf=), C(StopPropagatedFrom=)), or with O(stop_conflicting) conflict with it.
    - After O(state=running) and O(state=restarted) those that require it have been proved to run again.
  returned: always
  type: list
  elements: str
  sample: [api.service]
also_starts:
  description: The units that systemd starts in the same transaction, because the service requires them.
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
results:
  description:
    - The result of each service, with its C(name), C(failed) and C(msg).
    - The result of the task then has RV(reached), and none of the other keys.
  returned: when O(name) has more than one entry
  type: list
  elements: dict
resolved:
  description: The hard cause of the failure, the time of the failure, and what shows that the cause is gone.
  returned: when a start was allowed because the host shows that the cause is gone
  type: str
  sample: address_in_use was the cause at 2026-03-01 01:04:12 UTC; port 8080 is free now
diagnosis:
  description: Why the service failed. See M(chainops.lifecycle.service_info).
  returned: on failure, when leaving the state V(error), or when asked for
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive import drive_named
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.options import (
    AS_SYSTEMD_SERVICE,
    DRIVE_OPTIONS,
    STARTED,
    WATCH_OPTIONS,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import GENERIC


def main() -> None:
    argument_spec: dict[str, t.Any] = {
        "state": {"type": "str", "choices": [*GENERIC.machine.targets, STARTED]},
        **WATCH_OPTIONS,
        **DRIVE_OPTIONS,
        **AS_SYSTEMD_SERVICE,
        "name": {"type": "list", "elements": "str", "required": True, "aliases": ["service", "unit"]},
    }
    drive_named(LifecycleModule(argument_spec=argument_spec, supports_check_mode=True))


if __name__ == "__main__":
    main()
