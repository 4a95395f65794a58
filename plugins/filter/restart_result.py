# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restart_result
short_description: Combine the results of the restart of one service
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Combines the observation of a service, the hooks that were called, and what the modules returned.
  - It is made for the role P(chainops.lifecycle.rolling_restart#role).
options:
  _input:
    description: The service, as P(chainops.lifecycle.services_to_restart#filter) returns it.
    type: dict
    required: true
  done:
    description: The results of the steps.
    type: dict
    required: true
  check_mode:
    description: Whether this is a dry run.
    type: bool
"""

EXAMPLES = r"""
- name: Make the result of a service that was not restarted
  ansible.builtin.debug:
    msg: "{{ {'name': 'api', 'kind': 'generic', 'label': 'api', 'observation': {'state': 'running'}}
      | chainops.lifecycle.restart_result({'asked': {'reached': false, 'msg': 'held'}}) }}"
"""

RETURN = r"""
_value:
  description: An entry of C(rolling_restart_result).
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._rolling_report import rolling_result


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"restart_result": from_hosts(rolling_result, "service", "done")}
