# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: host_pattern
short_description: Make the host pattern of a play from what a person or a survey gives
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Makes one host pattern from what a person or a survey of AWX gives as the target of a playbook.
  - Ansible resolves C(hosts) before it starts processes for tasks. A play that uses this filter there loads the filters
    of this collection once, and not in the process of every task of every host.
options:
  _input:
    description:
      - A pattern, several with commas or as a list, or a list as JSON. Blank and null stand for C(all).
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Check that a list from a survey names two hosts
  ansible.builtin.assert:
    that: "{{ ['web1', 'web2'] | chainops.lifecycle.host_pattern == 'web1,web2' }}"
"""

RETURN = r"""
_value:
  description: The pattern.
  type: str
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._playbook_vars import host_pattern


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"host_pattern": from_hosts(host_pattern)}
