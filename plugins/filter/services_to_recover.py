# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: services_to_recover
short_description: Find the services of a host that are not in their desired state
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Compares what M(chainops.lifecycle.service_info) observed with the entry of each service, and returns the services
    that need recovery. Services that are in transition, held or unknown, or whose chain is stalled, are left out.
options:
  _input:
    description: The observations, RV(chainops.lifecycle.service_info#module:services).
    type: list
    elements: dict
    required: true
  described:
    description: The C(lifecycle_services) of the host.
    type: list
    elements: raw
    required: true
  stalled:
    description:
      - Whether to return instead the Besu services that need recovery or whose chain is stalled.
    type: bool
    default: false
  fixes:
    description: The fixes that the role may apply, as a list or as text with commas.
    type: raw
  hooks:
    description: A dictionary from a cause to its hook.
    type: raw
"""

EXAMPLES = r"""
- name: Name the services that need recovery
  ansible.builtin.debug:
    msg: "{{ observed.services | chainops.lifecycle.services_to_recover(lifecycle_services) | map(attribute='name') }}"
"""

RETURN = r"""
_value:
  description:
    - The entries of the services that need recovery. Each has C(observation), C(causes), the identifiers of the causes
      that were found, the most specific first, C(label), a name that no other service of the host has, and
      C(may_vote), whether it may be a validator of Besu.
    - C(entry) is the entry alone, for M(chainops.lifecycle.service_drive), and C(fixes) the fixes to apply first.
      C(takes_offline) says whether the recovery may take a validator offline, C(serves) whether the service is a
      connector that serves and may be taken offline only with a reservation.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _fleet, _recovery_steps
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import from_hosts
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._playbook_vars import is_given, listed, read_one
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import ObservationView


def _needs(
    observed: t.Any, described: t.Any, stalled: bool = False, fixes: t.Any = None, hooks: t.Any = None
) -> list[dict[str, t.Any]]:
    if isinstance(observed, t.Mapping):
        if "services" not in observed:
            return []
        observed = observed["services"]
    try:
        may_fix = read_one("service_recovery_fixes", fixes) if is_given(fixes) else []
        hooked = read_one("service_recovery_hooks", hooks) if is_given(hooks) else {}
        entries = _fleet.observed_entries(described, observed)
    except FleetError as exc:
        raise AnsibleFilterError(str(exc)) from None
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


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"services_to_recover": from_hosts(_needs, "observed")}
