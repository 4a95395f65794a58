#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_fault
short_description: Make one fault of a service on purpose, for a drill, with an undo that the host makes by itself
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Makes a fault of one kind, and waits until the service shows it. It is what the role
    P(chainops.lifecycle.service_drill#role) and the playbook C(chainops.lifecycle.drill) make drills with. The
    playbook looks at the whole fleet before.
  - The fault is made only where a restart of the service would be allowed now. Its guards are asked by the same code,
    right before the fault. These are the hold, the quorum of a Besu network and the last replica of a tunnel among
    others.
  - It is also refused where the entry does not have C(drill=true), where the service is not healthy, where systemd
    would stop other units with it, where a failure of the unit would reboot the host (C(FailureAction) and the like),
    and while another drill of the host is not over.
  - A timer of systemd on the host is started before the fault is made. After O(undo_after) it takes the fault away and
    starts the service where it is down, whatever has become of the controller. Where somebody holds the service or the
    host by then, nothing is started. The script that it runs, C(/run/chainops-lifecycle/drill-undo), can be run by
    hand and more than once.
  - Drills are for services of the system.
requirements:
  - systemd 239 or newer
  - iproute2 4.17 or newer and a kernel of the same age, for V(peers_cut) and V(edge_cut)
  - Python 3.9 or newer
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.actiongroup_lifecycle
attributes:
  action:
    description: Checks the entry on the controller, then runs the module on the host.
    support: full
  async:
    description: Can run in the background, see C(async).
    support: none
  check_mode:
    support: full
    details:
      - Says whether the fault would be made. Of the services it asks the same as a run.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Not with O(state=present). Each run makes a fault once more.
  platform:
    platforms: linux
options:
  service:
    description:
      - The entry of C(lifecycle_services), a dictionary with C(drill=true).
    type: raw
    required: true
  state:
    description:
      - V(present) makes the fault, and waits until the service shows it.
      - V(lifted) takes the fault away and starts nothing. The timer of the host goes on.
      - V(absent) takes the fault away, waits until the service is as its entry describes it, stops the timer and keeps
        the result on the host. Where the service does not come to that, it asks for a start and lets the timer go on.
      - V(lifted) and V(absent) are no change where no drill of the service is open.
    type: str
    choices: [present, lifted, absent]
    default: present
  fault:
    description:
      - The fault. It is needed with O(state=present).
      - V(killed) sends SIGKILL to the main process.
      - V(stopped) stops the unit, as if somebody had called C(systemctl stop).
      - V(hung) sends SIGSTOP to the main process. It is there and does nothing.
      - V(disk_full) fills the file system behind O(path) but for 1 MiB, with a file that has no name and is gone with
        its process. It is refused for a file system of the system itself, such as that of C(/) or C(/var).
      - V(port_taken) stops the unit, has another process listen on O(port), and starts the unit.
      - V(peers_cut) cuts a Besu node off from its peers, and V(edge_cut) a connector from the edge, by rules of policy
        routing (C(ip rule), of iproute2). What this host sends from the p2p port of the node, or to the ports of its
        peers or of the edge, finds no route, by TCP and UDP and whatever the address is. Connections that are there are
        closed with C(ss --kill), where the kernel can do that. Everything else of the host goes on, SSH included.
      - It is refused where another process of the host has connections through these ports, or where another connector
        runs on it.
    type: str
    choices: [killed, stopped, hung, disk_full, port_taken, peers_cut, edge_cut]
  path:
    description: A directory on the file system to fill, for O(fault=disk_full).
    type: path
  port:
    description: The TCP port to take, for O(fault=port_taken). The service has to listen on it.
    type: int
  max_mb:
    description: The most that O(fault=disk_full) may fill, in MiB. A file system with more room is left alone.
    type: int
    default: 4096
  undo_after:
    description: Seconds after which the host takes the fault away by itself, from 30 to 3600.
    type: float
    default: 300.0
  wait_timeout:
    description:
      - For how many seconds the module waits, with O(state=present) until the service shows the fault, and with
        O(state=absent) until it is well again. With O(state=present) it has to be less than O(undo_after).
    type: float
    default: 60.0
  acted:
    description: Whether a recovery has acted since the fault. With O(state=absent), for C(drill.ended_by).
    type: bool
    default: false
  override:
    description: Options of the entry that go before what it says, as in M(chainops.lifecycle.service_drive).
    type: dict
    default: {}
  defaults:
    description: Options of the entry where it does not give them.
    type: dict
    default: {}
seealso:
  - module: chainops.lifecycle.service_drive
  - module: chainops.lifecycle.service_hold
"""

EXAMPLES = r"""
- name: Have the API hang for at most two minutes, and see whether anybody notices
  chainops.lifecycle.service_fault:
    service: {name: api, drill: true}
    fault: hung
    undo_after: 120

- name: End the drill
  chainops.lifecycle.service_fault:
    service: {name: api, drill: true}
    state: absent
"""

RETURN = r"""
reached:
  description: Whether the fault was made, or with O(state=absent) whether the service is well again.
  returned: always
  type: bool
blocked_by:
  description: The guards that refused the fault, with the reason and the next safe step.
  returned: always
  type: list
  elements: dict
  contains:
    guard:
      description: The name of the guard.
      type: str
    reason:
      description: What it saw.
      type: str
    hint:
      description: What to do.
      type: str
state:
  description: The state of the service at the end.
  returned: unless it was refused
  type: str
  sample: error
before:
  description: The observation before. See M(chainops.lifecycle.service_info) for its keys.
  returned: unless it was refused
  type: dict
after:
  description: The observation at the end.
  returned: unless it was refused
  type: dict
drill:
  description: What the host keeps of the drill, null in check mode and where no drill is open.
  returned: unless it was refused
  type: dict
  contains:
    at:
      description: When the fault was made, in seconds since the epoch.
      type: float
    fault:
      description: The fault.
      type: str
    owner:
      description: Who made it.
      type: str
    undo_at:
      description: When the host takes it away by itself, in seconds since the epoch.
      type: float
    invocation:
      description: The invocation of the service before the fault.
      type: str
    head:
      description: The head of a Besu node before the fault.
      type: float
    target:
      description: What the fault was made of, such as the path, the port, or what was cut.
      type: str
      sample: TCP and UDP to port 7844; connected with 198.51.100.7
    outcome:
      description:
        - V(open) until it is ended, then V(recovered) or V(failed). V(abandoned) where no fault was made after all, or
          another drill was begun before it was ended.
      type: str
    detected_after:
      description: Seconds until the service showed the fault. Null where it did not.
      type: float
    detected_as:
      description: The state, with the cause, in which it showed.
      type: str
      sample: error (signal)
    lifted_after:
      description: Seconds until the fault was taken away, null where the service was well again before.
      type: float
    recovered_after:
      description: Seconds from the fault until the service was well again.
      type: float
    lost:
      description:
        - Seconds for which the service did not serve. That is from the fault, or with V(disk_full) from when it
          showed, until it was well again.
      type: float
    blocks:
      description: How far the head of a Besu node has come since the fault. These blocks were made without it, at most.
      type: float
    ended_by:
      description:
        - What has ended it. V(recovery) where a recovery acted, V(itself) where systemd or the service did, V(undo)
          where the fault was taken away first. Empty where the service is not well.
      type: str
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.fault import run_fault
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import entry_secrets
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.drills import FAULTS


def main() -> None:
    argument_spec: dict[str, dict[str, t.Any]] = {
        "service": {"type": "raw", "required": True},
        "state": {"type": "str", "choices": ["present", "lifted", "absent"], "default": "present"},
        "fault": {"type": "str", "choices": list(FAULTS)},
        "path": {"type": "path"},
        "port": {"type": "int"},
        "max_mb": {"type": "int", "default": 4096},
        "undo_after": {"type": "float", "default": 300.0},
        "wait_timeout": {"type": "float", "default": 60.0},
        "acted": {"type": "bool", "default": False},
        "override": {"type": "dict", "default": {}},
        "defaults": {"type": "dict", "default": {}},
    }
    run_fault(
        LifecycleModule(
            argument_spec,
            entry_secrets=entry_secrets(KINDS),
            required_if=[
                ("state", "present", ["fault"]),
                ("fault", "disk_full", ["path"]),
                ("fault", "port_taken", ["port"]),
            ],
            supports_check_mode=True,
        ),
        KINDS,
    )


if __name__ == "__main__":
    main()
