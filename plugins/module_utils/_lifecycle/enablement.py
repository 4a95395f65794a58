# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a unit is started with the host (``systemctl enable``), and what forbids a change of that.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Hold, Records
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal

GUARD = "enabled"
ENABLED, DISABLED, MISSING = "enabled", "disabled", "not-found"
# Words of systemctl(1), is-enabled. An enablement in /run ends with the next boot: it is a part of what is asked for.
_CHANGEABLE = (ENABLED, DISABLED, "enabled-runtime", "linked", "linked-runtime")
_WHY_NOT = {
    "masked": ("it is masked", "unmask it first: systemctl unmask {unit}"),
    "masked-runtime": ("it is masked until the next boot", "unmask it first: systemctl unmask --runtime {unit}"),
    "static": (
        "it is static: its file has no [Install] section",
        "leave enabled out, or give the unit an [Install] section",
    ),
    "indirect": (
        "it is indirect: its [Install] section names other units only",
        "enable the unit that it names: systemctl cat {unit}",
    ),
    "generated": ("a generator has made its file", "change what it is generated from: systemctl cat {unit}"),
    "transient": ("it is transient, and gone once it has ended", "write a unit file for it"),
    MISSING: ("it does not exist on this host", "install its unit file first"),
}


def differs(found: str, wanted: bool) -> bool:
    """Whether ``found``, the word of systemd, differs from what is requested."""
    if not wanted and (found == "masked" or found.startswith("linked")):
        return False  # nothing starts it with the host
    return found != (ENABLED if wanted else DISABLED)


def refusal(unit: str, found: str, wanted: bool) -> Refusal | None:
    """Why the unit can be neither enabled nor disabled; None if it can, or if no change is needed."""
    if found in _CHANGEABLE or not differs(found, wanted):
        return None
    message, hint = _WHY_NOT.get(
        found, (f"systemctl is-enabled says {found or 'nothing'}", "see systemctl status {unit}")
    )
    verb = "enabled" if wanted else "disabled"
    return Refusal(GUARD, f"{unit} cannot be {verb}: {message}", hint.format(unit=unit))


class Enablement:
    """The enablement of one unit. ``wanted``: whether it should be started with the host."""

    def __init__(self, unit: str, wanted: bool, owner: str, systemd: Systemd, ledger: Records) -> None:
        self._unit = unit
        self._wanted = wanted
        self._owner = owner
        self._systemd = systemd
        self._ledger = ledger
        self.before = self.now = systemd.enablement(unit)

    @property
    def is_due(self) -> bool:
        """Whether there is something to change."""
        return differs(self.now, self._wanted)

    def objection(self) -> Refusal | None:
        """What forbids the change; checked before any step on the service."""
        against = refusal(self._unit, self.now, self._wanted)
        if against is not None or not self.is_due:
            return against
        held = self._ledger.hold(self._unit)
        return None if held is None else _held(held)

    def assume(self) -> None:
        """Record the change as made, for a dry run."""
        self.now = ENABLED if self._wanted else DISABLED

    def change(self) -> Refusal | None:
        """Enable or disable the unit, and prove it. Raises LifecycleError where systemd does not."""
        against = self.objection()  # it may have taken long to get here
        if against is not None:
            return against
        lock = self._ledger.lock(self._unit, self._owner)
        holder = lock.acquire()
        if holder is not None:
            return Refusal("busy", f"locked by {holder}", "wait until that run has ended, then run again")
        try:
            verb = "enable" if self._wanted else "disable"
            done = self._systemd.set_enabled(self._unit, self._wanted, runtime=self.now == "enabled-runtime")
            self.now = self._systemd.enablement(self._unit)
        finally:
            lock.release()
        if self.is_due:
            message = sanitize(" ".join(done.err.split()), 300) or f"it ended with {done.rc}"
            raise LifecycleError(f"systemctl {verb} {self._unit} failed, it is {self.now}: {message}")
        return None

    def as_dict(self) -> dict[str, t.Any]:
        """Both words of systemd, for the result."""
        return {"before": self.before, "after": self.now}


def _held(held: Hold) -> Refusal:
    hint = f"ask {held.owner}, or end the hold with service_hold state=absent"
    return Refusal("hold", f"{held.owner} holds {held.scope}: {held.reason}", hint)
