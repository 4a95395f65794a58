# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints how many bytes ansible sends to a host for a module."""

import sys

from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, module_loader
from ansible.template import Templar

init_plugin_loader()
found = module_loader.find_plugin_with_context(sys.argv[1])
built = modify_module(
    module_name=found.resolved_fqcn,
    module_path=found.plugin_resolved_path,
    module_args={},
    templar=Templar(loader=DataLoader()),
    task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
    module_compression="ZIP_DEFLATED",
    async_timeout=0,
    become_plugin=None,
    environment={},
)
print(len(built.b_module_data))
