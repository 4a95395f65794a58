# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kind of service adds to the engine: states, evidence, targets, guards. Nothing else.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import Cause
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Journal
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.network_cut import Ports
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, Runner
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.log_states import LogStates
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
    from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal


class Environment(t.NamedTuple):
    """What a kind may use of the host that it observes. An HTTP client is the kind's own."""

    name: str
    clock: Clock
    runner: Runner
    systemd: Systemd
    open_journal: t.Callable[[], Journal]


class Kind:
    """One kind, for one service. A new kind is a folder with a subclass and a ServiceKind, listed in ``_kinds``.

    An instance lives as long as the module's run and may remember earlier
    samples: the engine calls ``classify`` once for each observation, in order.
    Everything but ``classify`` and ``restore_state`` is free of effects.
    """

    machine: m.Machine = m.GENERIC
    # Whether ``classify`` waits on the network, so that several services are observed in parallel.
    does_network_io: bool = False

    @property
    def name(self) -> str:
        return self.machine.name

    def classify(self, observation: Observation) -> Observation:
        """The observation with what this kind knows beyond systemd.

        Called with what systemd and the probes gave, whatever the state is.
        A service that cannot be asked is never judged by that: the state
        stays, or becomes unknown, with a reason.
        """
        return observation

    def resample_after(self) -> float:
        """Seconds after which a second observation is needed before the first can be judged (0: one is enough)."""
        return 0.0

    def guards(self, step: m.Step, observation: Observation) -> t.Sequence[Refusal]:
        """What forbids this step, beyond the guards that every service has. Checked right before acting."""
        return ()

    def grace_period(self, observation: Observation, target: str) -> float | None:
        """Seconds to go on waiting before acting although a plan would act now (None: no wait of the kind's own)."""
        return None

    def restart_is_due(self, observation: Observation, target: str) -> bool:
        """Whether a service in transition has had enough time, so that it is restarted all the same."""
        return False

    def lasting_cause(self, observation: Observation, target: str) -> Cause | None:
        """The cause that no restart corrects (ends the wait at once, unless it was dealt with)."""
        return None

    def unreachable_reason(self, observation: Observation, target: str) -> str | None:
        """Why the target cannot come from here although the machine has a way (ends the wait at once)."""
        return None

    def verify(self, before: Observation, after: Observation, target: str) -> str | None:
        """Why ``after`` does not prove that the target was reached by what was done (None: it does)."""
        return None

    def poll_interval(self, observation: Observation, waited: float) -> float | None:
        """Seconds until the next observation while waiting (None: the engine's own pace)."""
        return None

    def progress(self, observation: Observation, target: str) -> t.Mapping[str, t.Any] | None:
        """How far the wait has come, for the result and for a person who watches."""
        return None

    def save_state(self) -> t.Mapping[str, t.Any]:
        """What the next run of a wait should know (plain JSON)."""
        return {}

    def restore_state(self, remembered: t.Mapping[str, t.Any]) -> None:
        """Go on from what an earlier run of the same wait remembered."""

    def ports(self) -> Ports | None:
        """The ports by which the service, as last observed, reaches its network (None: not known)."""
        return None

    def written_paths(self, properties: t.Mapping[str, str]) -> t.Sequence[str]:
        """The directories that it writes to by its own configuration, beside those that its unit names.

        ``properties``: where the unit's files are.
        """
        return ()

    def log_states(self, observation: Observation) -> LogStates | None:
        """What the service's log shows about its past states, given the present one (None: nothing is read)."""
        return None

    def causes(self) -> t.Sequence[t.Any]:
        """Rules of diagnosis of this kind, put before the generic ones."""
        return ()


MakeKind = t.Callable[[Environment, t.Mapping[str, t.Any]], Kind]


def plain(_environment: Environment, _params: t.Mapping[str, t.Any]) -> Kind:
    """The kind of a service that systemd and its probes describe fully."""
    return Kind()


class CauseText(t.Protocol):
    """A cause as the documentation shows it."""

    @property
    def category(self) -> str:
        """The category of causes that it belongs to."""

    @property
    def severity(self) -> str:
        """Whether a new start can help."""

    @property
    def summary(self) -> str:
        """What it means."""

    @property
    def next_step(self) -> str:
        """What to do."""


Details = t.Mapping[str, t.Any]


def _no_vote(_details: Details, _options: Details) -> bool:
    return False


def _no_causes() -> t.Sequence[tuple[str, CauseText]]:
    return ()


class FleetTraits(t.NamedTuple):
    """What the controller must know of a kind to recover a fleet of it in a safe order.

    ``details`` are what an observation holds under the name of the kind, ``options`` what the inventory entry does.
    ``may_vote``: whether a quorum may depend on the service, given its details and options.
    ``network_of``: the network that a service belongs to, given its details and options, for a kind whose services form
    networks.
    ``stall_cause``: the cause that says that the whole network has halted, and not this service alone.
    ``replica_of``: what other services serve as well, for a kind that is run in replicas.
    """

    may_vote: t.Callable[[Details, Details], bool] = _no_vote
    network_of: t.Callable[[Details, Details], str | None] | None = None
    stall_cause: str | None = None
    replica_of: t.Callable[[Details], str | None] | None = None


class ServiceKind(t.NamedTuple):
    """One kind of service: everything that the rest of the collection needs to know of it.

    ``options``: its own ones, which an inventory entry nests under the name of the kind.
    ``make``: the kind of one service, made of its options.
    ``module``: the module that drives it; service_drive itself drives a kind without one.
    ``guards``: those of its own, name -> when a step passes it. ``causes``: those that its diagnosis adds, by name.
    ``network_fault``: the fault of a drill that cuts it off from what it belongs to, empty for a kind that has none.
    """

    machine: m.Machine
    options: dict[str, dict[str, t.Any]]
    make: MakeKind
    module: str = "service_drive"
    guards: t.Mapping[str, str] = {}
    causes: t.Callable[[], t.Sequence[tuple[str, CauseText]]] = _no_causes
    traits: FleetTraits = FleetTraits()
    network_fault: str = ""

    @property
    def name(self) -> str:
        return self.machine.name


# A service of which nothing is known beyond systemd and its probes.
GENERIC = ServiceKind(m.GENERIC, {}, plain, module="service")
