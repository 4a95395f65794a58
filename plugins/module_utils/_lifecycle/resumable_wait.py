# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wait that consists of several runs of a module, and what each run saves for the next.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

It is left on the host and not with the caller, whose connection may be lost
in the middle of a run: a start that such a run has made is not made again.
"""

from __future__ import annotations

import typing as t
from dataclasses import asdict

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.private_files import misshapen
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Request, RunTransition

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Records
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.transitions import TransitionLog


class ResumableWait:
    """This run's part of a wait. Without ``wait_id`` it is the whole of it and nothing is kept. Moments: monotonic."""

    def __init__(self, unit: str, request: Request, ledger: Records, kind: Kind, now: float) -> None:
        self._unit = unit
        self._id = request.wait_id
        self._ledger = ledger
        self._kind = kind
        left = ledger.load_wait(unit, self._id) if self._id else {}
        self.ends = now + request.slice_length
        # Those of the runs before.
        self.transitions: list[RunTransition] = []
        # The state at the end of the run before, and since when it was seen.
        self.last: tuple[str, float] | None = None
        # What else they have done or seen, by name.
        self.memory: dict[str, list[str]] = {}
        try:
            self._started_from = None if left.get("started_from") is None else str(left["started_from"])
            self.began, self.since = float(left.get("began", now)), float(left.get("since", now))
            self.acts = int(left.get("acts", 0))
            self.transitions = [RunTransition(**row) for row in left.get("transitions", ())]
            if left:
                self.last = str(left["state"]), float(left["entered"])
                self.memory = {str(name): [str(one) for one in some] for name, some in left.get("memory", {}).items()}
            kind.restore_state(left.get("kind", {}))
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise misshapen(ledger.wait_path(unit), repr(exc)) from exc

    def renewed(self, invocation: str) -> bool:
        """Whether an earlier run has started the service, and that start had an effect."""
        return self._started_from is not None and self._started_from != invocation

    def starts(self, invocation: str) -> None:
        """Note that a start is about to be made."""
        self._started_from = invocation

    def keep(self, state: str, acts: int, trace: TransitionLog, memory: t.Mapping[str, t.Iterable[str]]) -> None:
        """Save what the next run has to know."""
        if self._id is None:
            return
        left = {
            "began": self.began,
            "since": self.since,
            "started_from": self._started_from,
            "acts": acts,
            "state": state,
            "entered": trace.entered,
            "transitions": [asdict(step) for step in trace.so_far],
            "kind": dict(self._kind.save_state()),
            "memory": {name: list(some) for name, some in memory.items()},
        }
        self._ledger.save_wait(self._unit, self._id, left)
