# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdicts of a rolling restart, and the part of a state that it shows. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    ObservationView,
    as_mapping,
    as_number,
    as_text,
)

PLAYBOOK = "rolling_restart"
# What the run does with a service of the selection, in addition to the verdicts of a fleet.
DUE = "due"
DONE = "done"
FRESH = "fresh"
NOT_MEANT = "not_meant"


def shown_state(observed: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A state as hooks, the summary and the results have it: what a restart or an upgrade may change."""
    view = ObservationView.from_dict(observed)
    stale = as_mapping(observed.get("stale"))
    return {
        "state": view.state,
        "version": as_text(view.details.get("version")) or None,
        "invocation": view.invocation or None,
        "process_age": as_number(stale.get("age")),
        "stale": stale.get("is_stale") if isinstance(stale.get("is_stale"), bool) else None,
    }
