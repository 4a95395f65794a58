#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: check_variables
short_description: Check the variables of the playbooks before any host is touched
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Reads the C(lifecycle_*) variables as inventories, C(-e) and surveys of AWX give them. Refuses misspelt names,
    invalid values, a target that matches no host, and a fleet without services.
  - Refuses an approved plan that is too old, was changed, or was made for another fleet, version or other settings.
  - It is made for the playbooks of this collection.
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.info_module
  - chainops.lifecycle._attributes.actiongroup_lifecycle
attributes:
  action:
    description: Runs on the controller.
    support: full
  platform:
    platforms: posix
options:
  target:
    description: The pattern of hosts.
    type: str
    default: all
  kind:
    description: The kind of services that the playbook is about.
    type: str
  playbook:
    description: The playbook whose approved plan C(lifecycle_plan_approved) may give.
    type: str
    choices: [recover, rolling_restart]
    default: recover
  required:
    description: The variables that have to be given.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Check the variables
  chainops.lifecycle.check_variables:
    target: "{{ lifecycle_target | default('all', true) }}"
  run_once: true
  register: lifecycle_settings
"""

RETURN = r"""
settings:
  description: The variables with their types, by their names.
  returned: success
  type: dict
domains:
  description: A dictionary from host to variable to its failure domains, for what C(lifecycle_failure_domain) names.
  returned: success
  type: dict
approved:
  description: The plan that C(lifecycle_plan_approved) gives, with C(acts), C(digest), C(run). Empty where none is.
  returned: success
  type: dict
again:
  description: Whether a playbook of this collection has run before in the same run of C(ansible-playbook).
  returned: success
  type: bool
began:
  description: When the run began, in seconds since the epoch.
  returned: success
  type: float
width:
  description: The width of the terminal in characters.
  returned: success
  type: int
"""
