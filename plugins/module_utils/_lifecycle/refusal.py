# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a guard refused a step. Kept out of guards.py so that read-only modules do not import the guards.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import typing as t


class Refusal(t.NamedTuple):
    """A refusal: which guard, what it found, and the next safe step."""

    guard: str
    reason: str
    hint: str

    def as_dict(self) -> dict[str, str]:
        return {"guard": self.guard, "reason": self.reason, "hint": self.hint}


# What stands for the host in an advice: the host itself does not know what the inventory calls it.
ANY_HOST = "HOST"


def accept_once(next_step: str, cause: str) -> str:
    """The advice where a person has to deal with a cause. Its acceptance is for one run, and stays in no inventory."""
    accepted = json.dumps({"service_recovery_accept_causes": [cause]})
    run = f"ansible-playbook chainops.lifecycle.recover --limit {ANY_HOST} -e '{accepted}'"
    return f"{next_step}; once it is fixed, accept it for one run only: {run}"
