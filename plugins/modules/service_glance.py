#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_glance
short_description: Observe the state of services by systemd alone
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - The part of M(chainops.lifecycle.service_info) that needs no probes, no clients of Besu and cloudflared and no
    diagnosis. M(chainops.lifecycle.service_info) uses it by itself wherever it is enough.
requirements:
  - systemd 239 or newer
  - Python 3.9 or newer
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.info_module
  - chainops.lifecycle._attributes.actiongroup_lifecycle
attributes:
  platform:
    platforms: linux
options:
  services:
    description:
      - The services to look at, as in M(chainops.lifecycle.service_info). Those with probes, and those of a kind other
        than C(generic), are refused.
    type: list
    elements: raw
    required: true
seealso:
  - module: chainops.lifecycle.service_info
"""

EXAMPLES = r"""
- name: Look at two services
  chainops.lifecycle.service_glance:
    services: [cron, worker]
"""

RETURN = r"""
services:
  description:
    - One observation of each service, in the order of O(services), with the keys that
      M(chainops.lifecycle.service_info) documents, but without a diagnosis.
  returned: always
  type: list
  elements: dict
"""

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info import ServiceInfo
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import entry_secrets
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import GENERIC


def main() -> None:
    services = {"type": "list", "elements": "raw", "required": True}
    kinds = {GENERIC.name: GENERIC}
    secrets = entry_secrets(kinds)
    module = LifecycleModule({"services": services}, entry_secrets=secrets, supports_check_mode=True)
    ServiceInfo(kinds).inform(module)


if __name__ == "__main__":
    main()
