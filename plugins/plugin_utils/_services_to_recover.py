# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services of a host need recovery, and what may be done for each.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _fleet, _recovery_steps
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._playbook_vars import is_given, listed, read_one
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import ObservationView


def services_to_recover(
    observed: t.Any, described: t.Any, stalled: bool = False, fixes: t.Any = None, hooks: t.Any = None
) -> list[dict[str, t.Any]]:
    """The entries of a host's services that need recovery, with what is known about each. Raises FleetError.

    ``stalled``: those of a chain that has stalled as well.
    """
    if isinstance(observed, t.Mapping):
        if "services" not in observed:
            return []
        observed = observed["services"]
    may_fix = read_one("service_recovery_fixes", fixes) if is_given(fixes) else []
    hooked = read_one("service_recovery_hooks", hooks) if is_given(hooks) else {}
    entries = _fleet.observed_entries(described, observed)
    verdicts = (_fleet.CHAIN_STALLED, _fleet.NEEDS_RECOVERY) if stalled else (_fleet.NEEDS_RECOVERY,)
    found: list[dict[str, t.Any]] = []
    for entry, given in zip(entries, observed, strict=True):
        view = ObservationView.from_dict(given)
        row = _fleet.resumed(_fleet.make_row("", view, entry))
        if row.verdict not in verdicts or (stalled and not row.in_network):
            continue
        causes = [cause.id for cause in view.diagnosis.causes] + ([view.cause] if view.cause else [])
        need = {
            "kind": "generic",
            **entry,
            "entry": entry,
            "observation": given,
            "causes": causes,
            "label": row.label,
            "may_vote": row.may_vote,
        }
        # What the module refuses for its precondition is not fixed before either.
        may, hooks_now = (may_fix, hooked) if _is_as_expected(view, entry) else ((), {})
        found.append(
            {
                **need,
                "fixes": _recovery_steps.fixes(need, may, hooks_now),
                "takes_offline": _recovery_steps.takes_offline(need),
                "serves": _recovery_steps.serves(need),
            }
        )
    return found


def _is_as_expected(view: ObservationView, entry: t.Mapping[str, t.Any]) -> bool:
    states, invocation = entry.get("expected_state"), entry.get("expected_invocation")
    in_state = not is_given(states) or not listed(states) or view.state in listed(states)
    return in_state and (invocation is None or str(invocation) == view.invocation)
