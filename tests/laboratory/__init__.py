# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests on the laboratory's hosts.

Ansible has to be the one who loads the collection: its modules are not found
by what runs Ansible in this process, such as pytest-ansible, if a plain
import came first.
"""

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader()
