# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets and ends holds.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import (
    Clock,
    LifecycleError,
    SystemClock,
    requester,
    run_command,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd, unit_name
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import HOST, Hold, Records

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def hold_or_release(module: AnsibleModule) -> None:
    """Run the module with its options."""
    clock = SystemClock()
    user = module.params["scope"] == "user"
    ledger, systemd = Records.for_scope(clock, user), Systemd(run_command, user=user)
    try:
        missing = unknown_unit(systemd, module.params)
        if missing:
            module.warn(missing)
        result = apply(ledger, systemd, clock, module.params, module.check_mode)
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    module.exit_json(**result)


def unknown_unit(systemd: Systemd, params: t.Mapping[str, t.Any]) -> str:
    """The warning for a hold on a name that no unit of this host has; empty if one has it."""
    if params["name"] is None or params["state"] == "absent":
        return ""
    unit = unit_name(params["name"])
    try:
        (facts,) = systemd.show([unit])
    except LifecycleError:
        return ""  # systemd does not say: nothing is known against the name
    if facts.load != "not-found":
        return ""
    return f"name: {unit} does not exist on this host (yet); the hold is set, and protects nothing else"


def apply(
    ledger: Records, systemd: Systemd, clock: Clock, params: t.Mapping[str, t.Any], check_mode: bool
) -> dict[str, t.Any]:
    """Set or end a hold; the module's result. Raises LifecycleError."""
    scope = HOST if params["name"] is None else systemd.own_name(unit_name(params["name"]))
    before = ledger.stored_hold(scope)
    wall = clock.wall()
    if params["state"] == "absent":
        if before is not None and not check_mode:
            ledger.clear_hold(scope)
        return _result(before, None, before is not None)
    wanted = _new_hold(scope, params, wall)
    if before is not None and before.active(wall) and before.owner != wanted.owner:
        raise LifecycleError(
            f"{before.owner} holds this already: {before.reason}; ask {before.owner}, or end that hold first",
            hold=before.as_dict(),
        )
    if before is not None and before.active(wall) and _same(before, wanted, params):
        return _result(before, before, False)
    if not check_mode:
        ledger.set_hold(wanted)
    return _result(before, wanted, True)


def _new_hold(scope: str, params: t.Mapping[str, t.Any], wall: float) -> Hold:
    if not (params["reason"] or "").strip():
        raise LifecycleError("reason: it must not be empty: it is shown to whoever is refused")
    seconds = params["expires_in"]
    if seconds is not None and not seconds > 0:
        raise LifecycleError(f"expires_in: {seconds} is not above 0; give seconds, or leave it out for no end")
    expires = None if seconds is None else wall + seconds
    owner = sanitize(params["owner"] or requester(), 200)
    return Hold(scope, owner, sanitize(params["reason"], 500), wall, expires)


def _same(before: Hold, wanted: Hold, params: t.Mapping[str, t.Any]) -> bool:
    """The same hold again is no change: a length is counted from when it was first set."""
    if before.reason != wanted.reason:
        return False
    if before.expires is None or wanted.expires is None:
        return before.expires == wanted.expires
    return bool(abs((before.expires - before.since) - params["expires_in"]) < 1e-3)


def _result(before: Hold | None, after: Hold | None, changed: bool) -> dict[str, t.Any]:
    shown_before = before.as_dict() if before else None
    shown_after = after.as_dict() if after else None
    return {
        "changed": changed,
        "hold": shown_after,
        "diff": {"before": shown_before or {}, "after": shown_after or {}},
    }
