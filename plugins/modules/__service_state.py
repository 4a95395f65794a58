#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# A private part of service_info: its action plugin sends this smaller module to hosts of which systemd alone can tell.
# Two underscores keep it out of the documentation and out of ansible-doc.
DOCUMENTATION = r"""
module: __service_state
short_description: A private part of service_info
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Use M(chainops.lifecycle.service_info). This module is not for tasks, and can change at any time.
options:
  services:
    description: Services of the kind C(generic) without probes.
    type: list
    elements: raw
    required: true
"""

EXAMPLES = r"""
- name: Use service_info, which runs this module where it is enough
  chainops.lifecycle.service_info:
    services: [cron]
"""

RETURN = r"""
services:
  description: As M(chainops.lifecycle.service_info) returns them.
  returned: always
  type: list
  elements: dict
"""

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info import run_info
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import entry_secrets
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import GENERIC


def main() -> None:
    kinds = {GENERIC.name: GENERIC}
    services = {"type": "list", "elements": "raw", "required": True}
    secrets = entry_secrets(kinds)
    run_info(LifecycleModule({"services": services}, entry_secrets=secrets, supports_check_mode=True), kinds)


if __name__ == "__main__":
    main()
