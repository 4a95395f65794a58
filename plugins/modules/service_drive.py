#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_drive
short_description: Drive a service as its inventory entry describes it
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Takes an entry of C(lifecycle_services) as a whole, and runs the module of its kind with the options that the entry
    has, M(chainops.lifecycle.service), M(chainops.lifecycle.besu_node) or M(chainops.lifecycle.cloudflared_tunnel).
  - Returns what that module returns. C(module_defaults) of that module and of the group
    C(group/chainops.lifecycle.lifecycle) apply to it as well.
  - In a loop over entries Ansible prints each entry. If entries hold secrets, loop over their numbers, or set
    C(no_log) for the task.
requirements:
  - what the module of the kind requires
extends_documentation_fragment:
  - chainops.lifecycle._attributes
attributes:
  action:
    description: Checks the entry on the controller, then runs the module of its kind on the host.
    support: full
  async:
    description: Can run in the background, see C(async).
    support: none
  check_mode:
    support: full
    details:
      - As in the module of the kind.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - As in the module of the kind.
  platform:
    platforms: linux
options:
  service:
    description:
      - The entry, a name or a dictionary with C(name), C(kind), the options of M(chainops.lifecycle.service), and under
        the name of its kind the options that this kind has beyond them.
      - Keys that only the roles use, such as C(depends_on), are accepted and not passed on.
    type: raw
    required: true
  override:
    description: Options of the module that override those of the entry, such as C(state=restarted).
    type: dict
    default: {}
  defaults:
    description: Options of the module that apply if the entry does not give them.
    type: dict
    default: {}
seealso:
  - module: chainops.lifecycle.service
  - module: chainops.lifecycle.besu_node
  - module: chainops.lifecycle.cloudflared_tunnel
"""

EXAMPLES = r"""
- name: Restart every service of the host, each by the module of its kind
  chainops.lifecycle.service_drive:
    service: "{{ lifecycle_services[item] }}"
    override:
      state: restarted
    defaults:
      wait_timeout: 300
  loop: "{{ range(lifecycle_services | length) | list }}"
"""

RETURN = r"""
reached:
  description:
    - Whether the target was reached and proved. The other keys are those of the module of the kind, see
      M(chainops.lifecycle.service), M(chainops.lifecycle.besu_node) and M(chainops.lifecycle.cloudflared_tunnel).
  returned: always
  type: bool
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive import drive_entry
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import entry_secrets
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS


def main() -> None:
    """Drive a service of a kind that has no module of its own; the action plugin runs the module of every other."""
    argument_spec: dict[str, dict[str, t.Any]] = {
        "service": {"type": "raw", "required": True},
        "override": {"type": "dict", "default": {}},
        "defaults": {"type": "dict", "default": {}},
    }
    drive_entry(LifecycleModule(argument_spec, entry_secrets=entry_secrets(KINDS), supports_check_mode=True), KINDS)


if __name__ == "__main__":
    main()
