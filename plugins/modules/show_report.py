#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: show_report
short_description: Print lines of text as they are
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Prints lines on the controller, without the quotes that P(ansible.builtin.debug#module) puts around them.
  - Control characters are escaped, so that what a host has logged cannot act on a terminal.
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
  title:
    description: A line to print first.
    type: str
  lines:
    description: The lines. Either these or O(report).
    type: list
    elements: str
  report:
    description:
      - What a filter such as P(chainops.lifecycle.recovery_plan#filter) returned. Its C(lines) are printed, if it has
        any, and its C(outcome) becomes the statistic C(lifecycle_outcome), an artifact of a job of AWX.
    type: dict
  failure:
    description: The message with which the task fails after it has printed the lines. If empty, it does not fail.
    type: str
"""

EXAMPLES = r"""
- name: Show the fleet
  chainops.lifecycle.show_report:
    title: FLEET
    lines: "{{ observed_by_host | chainops.lifecycle.fleet_status }}"
  run_once: true
"""

RETURN = r"""
report:
  description: O(report) without the keys that were printed or set as a statistic.
  returned: with O(report)
  type: dict
"""
