# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service in a plan, in the identifiers that other runs read back. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import Row

RESTART_ALL = "restart all"
# The guard that keeps a run to the plan that was approved.
APPROVED = "approved_plan"


@dataclass(frozen=True)
class PlannedRow:
    """One service of the plan: the planned action, and why."""

    row: Row
    verb: str
    why: str
    guard: str = ""
    next_step: str = ""

    @property
    def is_refused(self) -> bool:
        return bool(self.guard)

    @property
    def is_left(self) -> bool:
        """Whether it is not as it was approved, and not to be touched."""
        return self.guard == APPROVED
