# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_action import HostAction


class ActionModule(HostAction):
    """Runs the module; what its host returns is neutralised."""
