# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units that a unit requires and that are not active. Pure, but for the call that shows the units.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import shlex
import typing as t

_STATIC_UNITS = (".slice", ".target")

ShowUnits = t.Callable[[t.Sequence[str]], t.Mapping[str, t.Mapping[str, str]]]


def listed(text: str) -> list[str]:
    """The words of a value of a unit: one with a backslash or a space is quoted, by systemctl as in unit files."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()  # cut off within quotes


def missing_dependencies(properties: t.Mapping[str, str], show: ShowUnits) -> dict[str, str]:
    """The units that this one requires and that are not active: unit -> state (``failed``, ``not-found``, ...)."""
    strict = [unit for key in ("Requisite", "BindsTo") for unit in listed(properties.get(key, ""))]
    named = [*listed(properties.get("Requires", "")), *strict]
    units = [unit for unit in dict.fromkeys(named) if not unit.endswith(_STATIC_UNITS)]
    if not units:
        return {}
    missing: dict[str, str] = {}
    for unit, facts in show(units).items():
        active = facts.get("ActiveState", "")
        load = facts.get("LoadState", "loaded")
        if active in ("active", "reloading", "refreshing", "") or (_run_to_its_end(facts) and unit not in strict):
            continue
        missing[unit] = active if load == "loaded" else load
    return missing


def _run_to_its_end(facts: t.Mapping[str, str]) -> bool:
    """Whether it is a unit that systemd runs once more for what requires it, and that rests in between."""
    rests = {"LoadState": "loaded", "Type": "oneshot", "ActiveState": "inactive", "Result": "success"}
    return rests.items() <= facts.items() and facts.get("RemainAfterExit") != "yes"
