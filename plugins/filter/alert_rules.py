# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: alert_rules
short_description: Write the alerts of this collection as a rule file of Prometheus
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Makes the text of a rule file, with the thresholds that a site chooses. The rules evaluate the metrics
    that the collection exports on each host.
  - Thresholds of single services, such as the time in error, are not set here. They are options of the services
    (C(alert_after), C(start_timeout), C(stop_timeout), C(thrash_restarts), C(thrash_window)), which each host exports
    with its metrics.
options:
  _input:
    description:
      - The thresholds that differ from the defaults, by the identifier of the alert, such as C(hold_ending) or
        C(tunnel_replicas_low). Their units are in the guide to the alerts.
    type: dict
    required: true
  labels:
    description: Labels that every alert gets, such as a team.
    type: dict
    default: {}
  runbook:
    description: Where the runbook is. By default the guide in the repository of this collection.
    type: str
  min_replicas:
    description: How many connectors of a tunnel have to serve.
    type: int
    default: 2
"""

EXAMPLES = r"""
- name: Write the rules
  ansible.builtin.copy:
    content: "{{ {'hold_ending': 1800} | chainops.lifecycle.alert_rules(labels={'team': 'chain'}) }}"
    dest: "{{ playbook_dir }}/chainops-lifecycle.yml"
    validate: promtool check rules %s
    mode: "0644"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
_value:
  description: The rule file, as YAML text.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._alert_rules import AlertRuleError, rules_text
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts


def _alert_rules(thresholds: t.Any, labels: t.Any = None, runbook: str = "", min_replicas: t.Any = 2) -> str:
    try:
        return rules_text(thresholds, labels or {}, runbook, min_replicas)
    except AlertRuleError as exc:
        raise AnsibleFilterError(f"alert_rules: {exc}") from exc


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"alert_rules": from_hosts(_alert_rules, "thresholds", "labels", "runbook")}
