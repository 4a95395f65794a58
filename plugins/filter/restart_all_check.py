# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restart_all_check
short_description: Check whether the validators of stalled Besu networks can be restarted at the same time
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - A task of Ansible works on one service of each host, and on as many hosts at a time as there are forks. This filter
    reports if that is not enough to restart all validators of a network at the same time.
options:
  _input:
    description:
      - A dictionary from host to what P(chainops.lifecycle.services_to_recover#filter) returned with
        O(chainops.lifecycle.services_to_recover#filter:stalled).
    type: dict
    required: true
  forks:
    description: On how many hosts Ansible works at a time.
    type: int
    required: true
  host:
    description: The host whose turns to return.
    type: str
"""

EXAMPLES = r"""
- name: Show why they cannot be restarted at the same time
  ansible.builtin.debug:
    msg: "{{ (stalled_by_host | chainops.lifecycle.restart_all_check(ansible_forks)).reason }}"
"""

RETURN = r"""
_value:
  description: Whether and how it can be done.
  type: dict
  contains:
    by_name:
      description: Whether validators of one name are restarted at the same time, because a host has more than one.
      type: bool
    reason:
      description: Why it cannot be done, empty if it can.
      type: str
    turns:
      description: The labels of the services of the host, one after the other.
      type: list
      elements: str
    hint:
      description: What to do if it cannot be done.
      type: str
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._restart_all_check import turns


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"restart_all_check": from_hosts(turns, "chains")}
