# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: recovery_harm
short_description: Check whether a recovery has to stop because too many services were harmed
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - A service is harmed if it was acted on and afterwards is not in its desired state, or its chain is stalled. A
    refused service is not harmed.
options:
  _input:
    description: A dictionary from host to its C(service_recovery_result).
    type: dict
    required: true
  plan:
    description: What P(chainops.lifecycle.recovery_plan#filter) returned.
    type: dict
    required: true
  max_failed:
    description: On how many hosts services may be harmed, as a number or a share of those in need.
    type: raw
  regressions:
    description: What P(chainops.lifecycle.regressed_services#filter) found after the waves so far.
    type: list
    elements: dict
"""

EXAMPLES = r"""
- name: Stop
  ansible.builtin.fail:
    msg: "{{ (results_by_host | chainops.lifecycle.recovery_harm(plan)).reason }}"
  when: (results_by_host | chainops.lifecycle.recovery_harm(plan)).stops
"""

RETURN = r"""
_value:
  description: C(stops), whether to stop; C(hosts), those with a harmed service; C(reason), in one sentence.
  type: dict
"""

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._reports import harm


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"recovery_harm": from_hosts(harm, "results", "plan", "regressions")}
