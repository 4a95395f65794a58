# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: parallel_recovery_result
short_description: Collect the results of services of a host that were recovered in one task
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Makes entries of C(service_recovery_result) from what M(chainops.lifecycle.service_drive_all) returned, and lists
    the services that are left to be recovered one after the other.
  - It is made for the role P(chainops.lifecycle.service_recovery#role).
options:
  _input:
    description: The services, as P(chainops.lifecycle.services_to_recover#filter) returns them.
    type: list
    elements: dict
    required: true
  run:
    description: What M(chainops.lifecycle.service_drive_all) returned.
    type: dict
    required: true
  done:
    description: The results of services that were recovered before.
    type: list
    elements: dict
    default: []
  check_mode:
    description: Whether this is a dry run.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Name the services that are left
  ansible.builtin.debug:
    msg: "{{ ([need] | chainops.lifecycle.parallel_recovery_result({'skipped': true})).left }}"
  vars:
    need: {name: api, label: api, kind: generic, entry: {name: api}}
"""

RETURN = r"""
_value:
  description: C(results), the entries of C(service_recovery_result), and C(left), the labels of the others.
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._parallel_recovery import parallel_recovery_result


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"parallel_recovery_result": from_hosts(parallel_recovery_result, "run", "done")}
