# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.utils.display import Display

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._all_filters import load_filters
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_action import HostAction

# From this verbosity on, ssh prints what a module returns.
_PRINTS_RESULTS = 3

load_filters()


class ActionModule(HostAction):
    """Runs the module; what its host returns is neutralised."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        """With no_log too, ssh says why it cannot reach a host: that is no secret, and a plan has to name it."""
        if Display().verbosity < _PRINTS_RESULTS:
            self._connection._play_context.no_log = False
        return super().run(tmp, task_vars)
