# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wait in slices on the controller: when it continues, its lines of progress, its result.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import as_mappings
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import one_line

_MAX_LINE = 500
_MAX_WORDS = 200


def seconds(value: t.Any) -> float | None:
    """An option as seconds above zero. None for what the module has to refuse, or to take as it is."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


class Slices:
    """The slices of one service together: its state before the first, and whether any of them changed it."""

    def __init__(self) -> None:
        self.first: t.Mapping[str, t.Any] | None = None
        self.changed = False
        self._diagnosis: t.Any = None

    def add(self, observed: t.Mapping[str, t.Any]) -> None:
        if self.first is None and "before" in observed:
            self.first = observed
        self.changed = self.changed or bool(observed.get("changed"))
        self._diagnosis = observed.get("diagnosis") or self._diagnosis

    def whole(self, last: t.Mapping[str, t.Any], spent: float) -> dict[str, t.Any]:
        """The last slice's result, made that of all of them, which took ``spent`` seconds."""
        return {
            **last,
            "changed": self.changed,
            **({"before": self.first["before"]} if self.first else {}),
            **({"duration": round(spent, 3)} if spent else {}),
            **({"diagnosis": self._diagnosis} if self._diagnosis else {}),
        }


class SlicedWait:
    """One wait. ``label``: how its lines begin; ``timeout``: seconds for the whole of it; ``now``: the clock."""

    def __init__(self, label: str, timeout: float, now: t.Callable[[], float]) -> None:
        self._label = label
        self._timeout = timeout
        self._now = now
        self._began = now()
        self._slices = Slices()
        self._first_head: int | None = None
        self._lost = 0
        self._cut = False

    @property
    def spent(self) -> float:
        return self._now() - self._began

    @property
    def left(self) -> float:
        return max(self._timeout - self.spent, 0.0)

    def goes_on(self, observed: t.Mapping[str, t.Any]) -> bool:
        """Take note of a slice. True where another one has to follow."""
        # A host that goes down ends the module before the connection. Twice in a row is something else.
        cut_before, self._cut = self._cut, _is_cut_off(observed)
        if self._cut:
            return self._slices.first is not None and not cut_before and self.left > 0
        again = self._slices.first is not None or self._lost > 0
        if self._first_head is None:
            known = _head((observed.get("before") or {}).get("besu"))
            self._first_head = _head(observed.get("progress")) if known is None else known
        self._slices.add(observed)
        # A service that is still waiting when the time is over is asked once more, and says then how it ended.
        # Between two slices somebody else may take the lock, and a slice that was lost may still be at work.
        return bool(observed.get("waiting")) or (again and is_busy(observed) and self.left > 0)

    def result(self, observed: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """The last slice's result, made that of the whole wait."""
        first = self._slices.first
        if first is None:
            return dict(observed)
        whole = self._slices.whole(observed, self.spent)
        whole["diff"] = {**observed.get("diff", {}), "before": first["diff"]["before"]}
        head = _head(observed.get("progress"))
        if head is not None and self._first_head is not None:
            whole["progress"] = {**observed["progress"], "imported": head - self._first_head}
        return whole

    def lost(self, error: Exception) -> str:
        """The line about a lost connection."""
        self._lost += 1
        words = " ".join(str(error).split())[:_MAX_WORDS]
        return self._line(f"the connection was lost, the wait continues: {words}")

    def line(self, observed: t.Mapping[str, t.Any]) -> str:
        """The line about a slice."""
        if self._cut:
            return self._line("the module was cut off, the wait continues")
        if not observed.get("waiting"):
            return self._line(str(observed.get("msg")))
        return self._line(f"{observed.get('state')}{_how_far(observed)}")

    def _line(self, message: str) -> str:
        return one_line(f"{self._label}: {message} ({self.spent:.0f} of {self._timeout:.0f} s)", _MAX_LINE)


def _head(shown: t.Any) -> int | None:
    head = shown.get("head") if isinstance(shown, dict) else None
    return head if isinstance(head, int) else None


def _is_cut_off(observed: t.Mapping[str, t.Any]) -> bool:
    """Whether a module ended without a result."""
    return "module_stdout" in observed and "reached" not in observed


def is_busy(observed: t.Mapping[str, t.Any]) -> bool:
    """Whether nothing was done because another run has locked the service."""
    blocks = as_mappings(observed.get("blocked_by"))
    return bool(blocks) and all(block.get("guard") == "busy" for block in blocks)


def _how_far(observed: t.Mapping[str, t.Any]) -> str:
    progress = observed.get("progress")
    if not progress:
        return "".join(f", {reason}" for reason in observed["after"]["reasons"][:1])
    head, reference, lag = (progress.get(key) for key in ("head", "reference", "lag"))
    rate, eta, peers = (progress.get(key) for key in ("rate", "eta", "peers"))
    words = [f" at block {head}" + (f" of {reference}" if reference is not None else "")]
    words += [f"{lag} behind"] if lag is not None else []
    words += [f"{rate:.1f} blocks/s"] if rate is not None else []
    words += [f"about {eta} s to go"] if eta is not None else []
    words += [f"{peers} peers"] if peers is not None else []
    return ", ".join(words)
