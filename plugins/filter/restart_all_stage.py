# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restart_all_stage
short_description: Decide the next step in the restart of all validators of a stalled chain
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Decides for one host what it does next while all validators of a stalled chain are restarted at the same time.
  - It is made for the role P(chainops.lifecycle.besu_quorum_restart#role).
options:
  _input:
    description: The newest result of M(chainops.lifecycle.besu_network_info).
    type: dict
    required: true
  service:
    description: The service, as P(chainops.lifecycle.services_to_recover#filter) returns it.
    type: dict
    required: true
  so_far:
    description: What was done and voted so far.
    type: dict
    required: true
  check_mode:
    description: Whether this is a dry run.
    type: bool
"""

EXAMPLES = r"""
- name: Say whether the chain is stalled
  ansible.builtin.debug:
    msg: "{{ ({'networks': []} | chainops.lifecycle.restart_all_stage(
      {'observation': {'kind': 'besu'}}, {})).stalled }}"
"""

RETURN = r"""
_value:
  description:
    - C(stalled), whether the chain is stalled; C(start), whether the node is started first; C(observe), whether the
      node is observed in the next round, for C(interval) seconds; C(ask), whether the guards of this validator are
      asked; C(vote), what is reported to the other hosts; C(waits), whether another round follows; C(restart) and
      C(step), whether and how the validator is restarted; C(verify), whether the role only checks that it is back;
      C(reason) and C(hint), why the validators are not restarted, and what to run next.
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._restart_all_stage import stage


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"restart_all_stage": from_hosts(stage, "network_info", "so_far")}
