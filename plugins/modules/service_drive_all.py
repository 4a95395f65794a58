#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_drive_all
short_description: Drive several services of a host, independent ones at the same time
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Drives each service as M(chainops.lifecycle.service_drive) does, with its guards, its attempt budget and its proof,
    up to O(parallel) of them at the same time. It is one task, and prints a line when it has finished with a service.
  - A service is driven after those that it requires or is ordered after (C(Requires=), C(Requisite=), C(BindsTo=),
    C(PartOf=), C(After=)), and after its C(depends_on). Services that conflict, or whose steps may stop the same unit,
    are driven one after the other. If systemd cannot tell, all services are.
  - Besu nodes and connectors of Cloudflare tunnels are accepted in check mode only. Whether they may be stopped depends
    on other hosts, so drive them one at a time with M(chainops.lifecycle.service_drive).
  - The results are reduced to what a report needs. For a complete result use M(chainops.lifecycle.service_drive).
requirements:
  - what the module of the kind requires
extends_documentation_fragment:
  - chainops.lifecycle._attributes
attributes:
  action:
    description: Checks the entries on the controller, then runs the module on the host, in slices of some seconds.
    support: full
  async:
    description: Can run in the background, see C(async).
    support: none
  check_mode:
    support: full
    details:
      - As in the module of the kind.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - As in the module of the kind.
  platform:
    platforms: linux
options:
  services:
    description: The services, each with what M(chainops.lifecycle.service_drive) takes.
    type: list
    elements: dict
    required: true
    suboptions:
      service:
        description: The entry, a name or a dictionary. Its C(depends_on) names services that are driven before it.
        type: raw
        required: true
      override:
        description: Options of the module that override those of the entry.
        type: dict
        default: {}
      defaults:
        description: Options of the module that apply if the entry does not give them.
        type: dict
        default: {}
      begun:
        description: Whether an earlier run has begun to drive it. The task sets it.
        type: bool
        default: false
  parallel:
    description: How many services may be driven at the same time.
    type: int
    default: 4
  neighbours:
    description: As in M(chainops.lifecycle.service), for all of O(services) that have none of their own.
    type: list
    elements: raw
    default: []
  progress_interval:
    description: Seconds between two checks which services are finished, whose lines the task then prints.
    type: float
    default: 10.0
  wait_id:
    description: The name of the wait that this run is a part of. The task sets it by itself.
    type: str
seealso:
  - module: chainops.lifecycle.service_drive
"""

EXAMPLES = r"""
- name: Restart two independent services in parallel
  chainops.lifecycle.service_drive_all:
    services:
      - service: api
        override: {state: restarted}
      - service: {name: worker, wait_timeout: 300}
        override: {state: restarted}
    parallel: 2
"""

RETURN = r"""
results:
  description:
    - The result of each service, in the order of O(services), with the keys of M(chainops.lifecycle.service). The
      observations are reduced to the state, the reasons and the invocation, the diagnosis to the first causes.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The name of the service.
      type: str
    begun:
      description: Whether its turn has come. It has for all of them when the task ends.
      type: bool
    reached:
      description: Whether the target was reached and proved.
      type: bool
    failed:
      description: Whether the target was not reached. Left out if it was.
      type: bool
  sample: [{name: api, reached: true, changed: true, state: running}]
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive_several import drive_several
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import entry_secrets
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS


def main() -> None:
    """Drive services that are none of a kind with a module of its own."""
    call: dict[str, dict[str, t.Any]] = {
        "service": {"type": "raw", "required": True},
        "override": {"type": "dict", "default": {}},
        "defaults": {"type": "dict", "default": {}},
        "begun": {"type": "bool", "default": False},
    }
    argument_spec: dict[str, dict[str, t.Any]] = {
        "services": {"type": "list", "elements": "dict", "required": True, "options": call},
        "parallel": {"type": "int", "default": 4},
        "neighbours": {"type": "list", "elements": "raw", "default": []},
        "progress_interval": {"type": "float", "default": 10.0},
        "wait_id": {"type": "str"},
    }
    drive_several(LifecycleModule(argument_spec, entry_secrets=entry_secrets(KINDS), supports_check_mode=True), KINDS)


if __name__ == "__main__":
    main()
