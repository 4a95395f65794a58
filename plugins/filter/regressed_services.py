# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: regressed_services
short_description: Find services that are worse after a wave of a recovery than before
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Compares what M(chainops.lifecycle.service_info) observed after a wave with what was known before. A service has
    regressed if it was recovered and has left its desired state since, or if it was healthy when the plan was made and
    now needs recovery or cannot be observed.
options:
  _input:
    description: A dictionary from host to the registered result.
    type: dict
    required: true
  described:
    description: A dictionary from host to its C(lifecycle_services).
    type: dict
    required: true
  plan:
    description: The plan, as P(chainops.lifecycle.recovery_plan#filter) made it.
    type: dict
    required: true
  results:
    description: A dictionary from host to its C(service_recovery_result).
    type: dict
    required: true
  wave:
    description: The number of the wave, counted from 1.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Name the services that have regressed
  ansible.builtin.debug:
    msg: "{{ observed_by_host | chainops.lifecycle.regressed_services(services_by_host, plan, results_by_host, 1) }}"
"""

RETURN = r"""
_value:
  description: One entry for each such service, with C(host), C(service), C(kind) and C(reason).
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._regressions import regressed_services


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"regressed_services": from_hosts(regressed_services, "observed", "plan", "results")}
