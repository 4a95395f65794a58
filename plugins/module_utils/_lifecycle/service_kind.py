# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kind of service adds to the engine: states, evidence, targets, guards. Nothing else.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Journal
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, Runner
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal


@dataclass(frozen=True)
class Environment:
    """What a kind may use of the host it looks at. An HTTP client is the kind's own."""

    name: str
    clock: Clock
    runner: Runner
    systemd: Systemd
    open_journal: t.Callable[[], Journal]


class Kind:
    """One kind, for one service. A new kind is a subclass in a file of its own, and a module.

    An instance lives as long as the module's run and may remember earlier
    samples: the engine calls ``classify`` once for each observation, in order.
    Everything but ``classify`` is free of effects.
    """

    name: str = "generic"
    machine: m.Machine = m.GENERIC
    # Whether ``classify`` waits on the network, so that several services are looked at side by side.
    does_network_io: bool = False

    def classify(self, observation: Observation) -> Observation:
        """The observation with what this kind knows beyond systemd.

        Called with what systemd and the probes gave, whatever the state is.
        A service that cannot be asked is never judged by that: the state
        stays, or becomes unknown, with a reason.
        """
        return observation

    def resample_after(self) -> float:
        """Seconds after which a second observation is wanted before the first can be told (0: one is enough)."""
        return 0.0

    def guards(self, step: m.Step, observation: Observation) -> t.Sequence[Refusal]:
        """What forbids this step, beyond the guards that every service has. Looked at right before acting."""
        return ()

    def grace_period(self, observation: Observation, target: str) -> float | None:
        """Seconds to go on waiting before acting although a plan would act now (None: no wait of the kind's own)."""
        return None

    def restart_is_due(self, observation: Observation, target: str) -> bool:
        """Whether waiting has been long enough, so that a service that is on its way gets restarted all the same."""
        return False

    def unreachable_reason(self, observation: Observation, target: str) -> str | None:
        """Why the target cannot come from here although the machine has a way (ends the wait at once)."""
        return None

    def verify(self, before: Observation, after: Observation, target: str) -> str | None:
        """Why ``after`` does not prove that the target was reached by what was done (None: it does)."""
        return None

    def poll_interval(self, observation: Observation, waited: float) -> float | None:
        """Seconds until the next look while waiting (None: the engine's own pace)."""
        return None

    def progress(self, observation: Observation, target: str) -> t.Mapping[str, t.Any] | None:
        """How far the wait has come, for the result and for a person who watches."""
        return None

    def save_state(self) -> t.Mapping[str, t.Any]:
        """What the next run of a wait should know (plain JSON)."""
        return {}

    def restore_state(self, remembered: t.Mapping[str, t.Any]) -> None:
        """Go on from what an earlier run of the same wait remembered."""

    def causes(self) -> t.Sequence[t.Any]:
        """Rules of diagnosis of this kind, put before the generic ones."""
        return ()


MakeKind = t.Callable[[Environment, t.Mapping[str, t.Any]], Kind]


def plain(_environment: Environment, _params: t.Mapping[str, t.Any]) -> Kind:
    """A service of which nothing is known beyond systemd and its probes."""
    return Kind()


@dataclass(frozen=True)
class KindEntry:
    """A kind as services name it: its machine, the options of its own, nested under its name, and how it is made."""

    machine: m.Machine
    options: dict[str, dict[str, t.Any]]
    make: MakeKind


# What a look at systemd alone can tell apart.
PLAIN_KINDS: t.Mapping[str, KindEntry] = {"generic": KindEntry(m.GENERIC, {}, plain)}
