#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_outcome
short_description: Mark a host as failed or unreachable
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Fails on the host that has the failure, so that the play recap, AWX and a relaunch on failed hosts name that host.
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
  msg:
    description: Why.
    type: str
    required: true
  unreachable:
    description: Whether the host could not be reached.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Fail on a host whose service was not recovered
  chainops.lifecycle.host_outcome:
    msg: api was not recovered
  when: service_recovery_result | default([]) | selectattr('failed') | list | length > 0
"""

RETURN = r"""
#
"""
