#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_fault
short_description: Inject one fault into a service for a drill, which the host undoes by itself
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Injects one fault, and waits until the service shows it. The role P(chainops.lifecycle.service_drill#role) and the
    playbook C(chainops.lifecycle.drill) use it for drills. The playbook observes the whole fleet first.
  - The fault is injected only if a restart of the service would be allowed now. The same code checks the guards of a
    restart, right before the fault, such as the hold, the quorum of a Besu network and the last replica of a tunnel.
  - The fault is also refused if the entry does not have C(drill=true), if the service is not healthy, if systemd would
    stop other units with it, if a failure of the unit would reboot the host (C(FailureAction) and the like), and while
    another drill on the host has not ended.
  - Before the fault is injected, a systemd timer is started on the host. After O(undo_after) it removes the fault and
    starts the service if it is down, even if the controller is gone. If somebody holds the service or the host by then,
    nothing is started. The script that it runs, C(/run/chainops-lifecycle/drill-undo), can be run by hand and more than
    once.
  - Drills are only for services of the system, not for those of a user.
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
      - Reports whether the fault would be injected. It observes and checks the same as a real run.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Not with O(state=present). Each run injects the fault again.
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
      - V(present) injects the fault, and waits until the service shows it.
      - V(lifted) removes the fault and starts nothing. The timer on the host keeps running.
      - V(absent) removes the fault, waits until the service is in its desired state, stops the timer and keeps the
        result on the host. If the service does not reach that state, it requests a start and keeps the timer running.
      - V(lifted) and V(absent) change nothing if the service has no open drill.
    type: str
    choices: [present, lifted, absent]
    default: present
  fault:
    description:
      - The fault. It is needed with O(state=present).
      - V(killed) sends SIGKILL to the main process.
      - V(stopped) stops the unit, as if somebody had called C(systemctl stop).
      - V(hung) sends SIGSTOP to the main process. The process exists and does nothing.
      - V(disk_full) fills the file system of O(path) except for 1 MiB, with a file that has no name and disappears with
        the process that holds it. It is refused for a file system of the system itself, such as that of C(/) or
        C(/var).
      - V(port_taken) stops the unit, has another process listen on O(port), and starts the unit.
      - V(peers_cut) cuts a Besu node off from its peers, and V(edge_cut) a connector from the edge, by rules of policy
        routing (C(ip rule), of iproute2). Packets that this host sends from the p2p port of the node, or to the ports
        of its peers or of the edge, find no route, over TCP and UDP and to any address. Open connections are closed
        with C(ss --kill), if the kernel supports that. Everything else on the host keeps working, SSH included.
      - V(peers_cut) and V(edge_cut) are refused if another process of the host has connections through these ports, or
        if another connector runs on it.
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
    description: Seconds after which the host removes the fault by itself, from 30 to 3600.
    type: float
    default: 300.0
  wait_timeout:
    description:
      - For how many seconds the module waits. With O(state=present) it waits until the service shows the fault, and
        the time has to be less than O(undo_after). With O(state=absent) it waits until the service is healthy again.
    type: float
    default: 60.0
  acted:
    description: Whether a recovery has acted since the fault. With O(state=absent), for C(drill.ended_by).
    type: bool
    default: false
  override:
    description: Options that override those of the entry, as in M(chainops.lifecycle.service_drive).
    type: dict
    default: {}
  defaults:
    description: Options that apply if the entry does not give them.
    type: dict
    default: {}
seealso:
  - module: chainops.lifecycle.service_drive
  - module: chainops.lifecycle.service_hold
"""

EXAMPLES = r"""
- name: Let the API hang for at most two minutes, to see whether anybody notices
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
  description: Whether the fault was injected, or with O(state=absent) whether the service is healthy again.
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
      description: What it found.
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
  description: The record of the drill on the host, null in check mode and if no drill is open.
  returned: unless it was refused
  type: dict
  contains:
    at:
      description: When the fault was injected, in seconds since the epoch.
      type: float
    fault:
      description: The fault.
      type: str
    owner:
      description: Who injected it.
      type: str
    undo_at:
      description: When the host removes it by itself, in seconds since the epoch.
      type: float
    invocation:
      description: The invocation of the service before the fault.
      type: str
    head:
      description: The head of a Besu node before the fault.
      type: float
    target:
      description: What the fault was applied to, such as the path, the port, or the ports that were cut.
      type: str
      sample: TCP and UDP to port 7844; connected with 198.51.100.7
    outcome:
      description:
        - V(open) until it is ended, then V(recovered) or V(failed). V(abandoned) if no fault was injected after all, or
          if another drill began before this one was ended.
      type: str
    detected_after:
      description: Seconds until the service showed the fault. Null if it did not.
      type: float
    detected_as:
      description: The state, with the cause, in which it showed.
      type: str
      sample: error (signal)
    lifted_after:
      description: Seconds until the fault was removed, null if the service was healthy again before that.
      type: float
    recovered_after:
      description: Seconds from the fault until the service was healthy again.
      type: float
    lost:
      description:
        - Seconds during which the service did not serve, from the fault, or with V(disk_full) from when it showed,
          until it was healthy again.
      type: float
    blocks:
      description:
        - By how many blocks the head of a Besu node has advanced since the fault. At most these were made without it.
      type: float
    ended_by:
      description:
        - What ended it. V(recovery) if a recovery acted, V(itself) if systemd or the service did, V(undo) if the fault
          was removed first. Empty if the service is not healthy.
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
