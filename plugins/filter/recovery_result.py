# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: recovery_result
short_description: Combine the results of the recovery of one service
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Combines the observation of a service, the fixes, and what the modules returned.
  - It is made for the role P(chainops.lifecycle.service_recovery#role).
options:
  _input:
    description: The service, as P(chainops.lifecycle.services_to_recover#filter) returns it.
    type: dict
    required: true
  result:
    description: What M(chainops.lifecycle.service_drive) returned.
    type: dict
  done:
    description: The results of fixes and of the steps before.
    type: dict
  network:
    description: The network of a Besu node afterwards.
    type: dict
  network_info:
    description: The observation of all chains afterwards. The network of a Besu node is taken from it if O(network) is
      not given.
    type: dict
  check_mode:
    description: Whether this is a dry run.
    type: bool
"""

EXAMPLES = r"""
- name: Make the result of a service that was not acted on
  ansible.builtin.debug:
    msg: "{{ {'name': 'api', 'kind': 'generic', 'observation': {'state': 'error'}, 'fixes': no_fixes}
      | chainops.lifecycle.recovery_result({'reached': true, 'changed': false}) }}"
  vars:
    no_fixes: {any: false, hooks: [], free_journal_space: false, clear_start_limit: false, restore_config: false}
"""

RETURN = r"""
_value:
  description: An entry of C(service_recovery_result).
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._recovery_steps import recovery_result


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"recovery_result": from_hosts(recovery_result, "service", "result", "done", "network", "network_info")}
