#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: monitoring_program
short_description: Build the program that writes the metrics of a host's services
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Builds a Python archive from the code of the collection, and a configuration that names the services of a host. The
    archive needs the standard library only. Both files are on the controller, in the temporary directory of Ansible,
    which removes them when it ends. The same code gives the same bytes.
  - The role C(chainops.lifecycle.state_monitoring) installs both. Use the module where your hosts get their files
    another way.
  - The configuration holds the options of the services, among them secrets. Copy it with mode V(0600) and C(no_log).
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
  services:
    description: The services, as C(lifecycle_services) has them. Services of a user (C(scope=user)) are refused.
    type: list
    elements: raw
    required: true
  interval:
    description: Seconds between two runs, from 5 to 3600.
    type: int
    default: 30
  directory:
    description: The directory in which the program writes C(chainops_state.prom).
    type: str
    required: true
  format:
    description:
      - The format of the metrics, V(prometheus) for the text format that node_exporter reads, or V(openmetrics). In
        OpenMetrics the label of C(chainops_service_state) that holds the state has the name of the metric, as that
        format demands.
    type: str
    choices: [prometheus, openmetrics]
    default: prometheus
"""

EXAMPLES = r"""
- name: Build the metrics program
  chainops.lifecycle.monitoring_program:
    services: "{{ lifecycle_services }}"
    directory: /var/lib/prometheus/node-exporter
  register: built
  no_log: true
"""

RETURN = r"""
program:
  description: The path of the program on the controller.
  returned: success
  type: str
config:
  description: The path of the configuration on the controller.
  returned: success
  type: str
build:
  description: The name of the program, which follows from its code.
  returned: success
  type: str
  sample: 6ea81012015cd7fc
output:
  description: The file that the program writes on the host.
  returned: success
  type: str
  sample: /var/lib/prometheus/node-exporter/chainops_state.prom
allowed_addresses:
  description:
    - The addresses that the program needs to reach, in the syntax of C(IPAddressAllow=) of systemd. V(any) if a service
      is reached by a host name or checked by a command, and for a connector, because the program tries the edge.
  returned: success
  type: list
  elements: str
  sample: [localhost]
"""
