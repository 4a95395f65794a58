# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A refusal, apart from the guards that make it: what only looks has no use for these.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t


class Refusal(t.NamedTuple):
    """A refusal: which guard, what it saw, and the next safe step."""

    guard: str
    reason: str
    hint: str

    def as_dict(self) -> dict[str, str]:
        return {"guard": self.guard, "reason": self.reason, "hint": self.hint}
