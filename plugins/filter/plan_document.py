# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_document
short_description: Turn a plan of a recovery or of a rolling restart into data that a person can approve
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Lists each act of a plan with the state, the invocation and the cause that it is based on, and adds a digest of all
    of it.
  - The result contains no text that a service wrote, and no secret. C(docs/schemas/lifecycle_plan.json) describes its
    shape.
options:
  _input:
    description:
      - The plan, as P(chainops.lifecycle.recovery_plan#filter) or P(chainops.lifecycle.rolling_plan#filter) made it.
    type: dict
    required: true
  settings:
    description: The settings, as M(chainops.lifecycle.check_variables) returns them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Keep the plan
  ansible.builtin.set_stats:
    data:
      lifecycle_plan: "{{ (plan | chainops.lifecycle.plan_document(checked.settings)).document }}"
    per_host: false
    aggregate: false
  run_once: true
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    document:
      description: The plan as data.
      type: dict
    lines:
      description: Its digest, and how long it can be approved.
      type: list
      elements: str
"""

import time
import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _approved_plan
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts


def _document(plan: t.Any, settings: t.Any) -> dict[str, t.Any]:
    make = _approved_plan.restart_document if "run" in plan else _approved_plan.plan_document
    made = make(plan, settings, time.time())
    return {"document": made, "lines": _approved_plan.document_lines(made, settings["lifecycle_plan_max_age"])}


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"plan_document": from_hosts(_document, "plan", "settings")}
