#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
short_description: Write a report of a fleet and its history as one file
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Writes on the controller what M(chainops.lifecycle.service_info) with C(history) returned on the hosts of the play,
    as one HTML page that needs no other file and no network, or as JSON.
  - Hosts that were not reached and services without history are shown as gaps, and named.
  - The page is made with Jinja2 and autoescape. It allows no script and no style but its own, and fetches nothing.
  - Run it once for all hosts, with C(run_once). The playbook C(chainops.lifecycle.report) does.
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.actiongroup_lifecycle
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    support: full
    details:
      - Makes the report and does not write it.
  diff_mode:
    support: none
    details:
      - A report has no diff.
  idempotent:
    support: none
    details:
      - A second report differs from the first, because time has passed.
  platform:
    platforms: posix
options:
  observed:
    description:
      - The name of the variable in which each host has its registered result.
      - It takes a name instead of a value, so that the results of a whole fleet need not pass through a template.
    type: str
    default: lifecycle_observed
  networks:
    description:
      - The name of the variable with what M(chainops.lifecycle.besu_network_info) returned. Without that variable the
        report has no chains.
    type: str
    default: lifecycle_networks
  window:
    description: The C(history) that was asked for, such as V(24h).
    type: str
    default: 24h
  format:
    description:
      - What to write. The JSON has a schema, C(docs/schemas/lifecycle_report.json) in the repository of the collection.
    type: str
    choices: [html, json]
    default: html
  dest:
    description:
      - The file. Its directory has to exist. An existing file is replaced atomically.
      - By default V(lifecycle-report.html) or V(lifecycle-report.json) in the directory in which Ansible was started.
    type: path
seealso:
  - module: chainops.lifecycle.service_info
"""

EXAMPLES = r"""
- name: Observe the services with what happened to them during the last week
  chainops.lifecycle.service_info:
    services: "{{ lifecycle_services }}"
    diagnose: errors
    history: 7d
  register: lifecycle_observed
  ignore_unreachable: true

- name: Write the report
  chainops.lifecycle.fleet_report:
    window: 7d
    dest: "{{ playbook_dir }}/services.html"
  run_once: true
"""

RETURN = r"""
dest:
  description: The file, with its whole path.
  returned: always
  type: str
size:
  description: The bytes of the file.
  returned: always
  type: int
summary:
  description: The headline numbers, as in the JSON.
  returned: always
  type: dict
lines:
  description: The headline numbers and the file as text.
  returned: always
  type: list
  elements: str
"""
