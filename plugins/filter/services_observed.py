# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: services_observed
short_description: Count the services of a fleet that could be observed
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Counts the services whose state is known.
options:
  _input:
    description: A dictionary from host to what M(chainops.lifecycle.service_info) returned.
    type: dict
    required: true
  described:
    description: A dictionary from host to its C(lifecycle_services).
    type: dict
"""

EXAMPLES = r"""
- name: Fail if no state is known
  ansible.builtin.fail:
    msg: no service could be observed
  when: observed_by_host | chainops.lifecycle.services_observed == 0
"""

RETURN = r"""
_value:
  description: The number of services.
  type: int
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import UNKNOWN, read_fleet
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts


def _observed(observed: t.Any, described: t.Any = None) -> int:
    return sum(row.verdict != UNKNOWN for row in read_fleet(observed, described))


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"services_observed": from_hosts(_observed, "observed")}
