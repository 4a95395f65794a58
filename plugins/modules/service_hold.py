#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_hold
short_description: Hold a service or a host, so that nobody acts on it
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - While a hold is in force, the modules of this collection observe and refuse to act. The refusal names the owner and
    the reason.
  - The hold is kept on the host, across reboots.
requirements:
  - Python 3.9 or newer
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.actiongroup_lifecycle
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - The same hold again is no change. O(expires_in) counts from when it was first set.
  platform:
    platforms: linux
options:
  name:
    description:
      - The service to hold, by any of its unit's names. Without it, the whole host.
      - A hold on the whole host with O(scope=system) covers the services of users as well.
    type: str
  scope:
    description: Which service manager has the service.
    type: str
    choices: [system, user]
    default: system
  state:
    description: V(present) sets the hold, V(absent) ends it.
    type: str
    choices: [present, absent]
    default: present
  reason:
    description: Why. It is shown to whoever is refused.
    type: str
  owner:
    description:
      - Who to ask. By default the user, and where the connection comes from.
      - With C(become) often only the login name is known, because C(sudo) drops the rest. If several people share a
        login, set this. Otherwise they count as one owner.
    type: str
  expires_in:
    description: Seconds until the hold ends by itself. Without it, it lasts until it is ended.
    type: float
seealso:
  - module: chainops.lifecycle.service
"""

EXAMPLES = r"""
- name: Hold the whole host while its disk is replaced
  chainops.lifecycle.service_hold:
    reason: the disk is being replaced
    owner: storage team
    expires_in: 14400

- name: Hold one service
  chainops.lifecycle.service_hold:
    name: besu
    reason: a database copy is running
    expires_in: 3600

- name: End it
  chainops.lifecycle.service_hold:
    name: besu
    state: absent
"""

RETURN = r"""
hold:
  description: The hold that is in force now, null if there is none.
  returned: success
  type: dict
  contains:
    scope:
      description: The unit by its own name, or V(_host).
      type: str
    owner:
      description: Who to ask.
      type: str
    reason:
      description: Why.
      type: str
    since:
      description: Seconds since the epoch.
      type: float
    expires:
      description: Seconds since the epoch, null for no end.
      type: float
"""

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.hold import hold_or_release


def main() -> None:
    hold_or_release(
        LifecycleModule(
            argument_spec={
                "name": {"type": "str"},
                "scope": {"type": "str", "choices": ["system", "user"], "default": "system"},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "reason": {"type": "str"},
                "owner": {"type": "str"},
                "expires_in": {"type": "float"},
            },
            required_if=[("state", "present", ["reason"])],
            supports_check_mode=True,
        )
    )


if __name__ == "__main__":
    main()
