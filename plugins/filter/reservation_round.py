# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: reservation_round
short_description: What the hosts that were asked for a reservation have granted
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Judges the answers of M(chainops.lifecycle.besu_reservation) in a loop over the hosts of validators.
  - It is made for the role P(chainops.lifecycle.service_recovery#role).
options:
  _input:
    description: The items of the registered result, or with O(asks_next) the registered variable within the loop.
    type: raw
    required: true
  host:
    description: The host of the validator that is to go offline.
    type: str
    required: true
  run:
    description: The result of what was then done to the validator.
    type: dict
  state:
    description: The state that the validator was to reach.
    type: str
  asks_next:
    description: Whether to return instead whether the next host is asked.
    type: bool
"""

EXAMPLES = r"""
- name: Say whether the validator may go offline
  ansible.builtin.debug:
    msg: "{{ (answers | chainops.lifecycle.reservation_round(inventory_hostname)).held }}"
  vars:
    answers: [] # the results of the loop over the hosts that were asked
"""

RETURN = r"""
_value:
  description:
    - C(held), whether enough have granted; C(busy), whether another owner has the grant of a host; C(owner), whose
      reservation that is; C(granted), the hosts that have granted; C(refusal), why the round ended without a
      reservation; C(release), whether what was granted is given back now; C(again), whether another round follows,
      and C(next), its number.
  type: raw
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._reservation_round import asks_next as next_is_asked
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._reservation_round import reservation_round


def _round(results: t.Any, host: str, run: t.Any = None, state: str = "running", asks_next: bool = False) -> t.Any:
    return next_is_asked(results, host) if asks_next else reservation_round(results, host, run, state)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"reservation_round": from_hosts(_round, "results", "run")}
