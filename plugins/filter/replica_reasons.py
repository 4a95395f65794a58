# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: replica_reasons
short_description: Add to refused results why there was no reservation
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Adds to the message of each result that has the guard C(reservation) what the hosts have answered.
options:
  _input:
    description: A dictionary from C(host/service) to what M(chainops.lifecycle.cloudflared_tunnel) returned.
    type: dict
    required: true
  refused:
    description: What P(chainops.lifecycle.reservation_result#filter) has as C(refused).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show why
  ansible.builtin.debug:
    msg: "{{ results | chainops.lifecycle.replica_reasons(grants.refused) }}"
"""

RETURN = r"""
_value:
  description: The same results.
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._replica_reservation import replica_reasons


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"replica_reasons": from_hosts(replica_reasons, "runs", "refused")}
