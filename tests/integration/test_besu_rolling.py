# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seven validators and two other nodes recovered in one run while more goes wrong: the chain must not notice."""

from __future__ import annotations

import re
import threading
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import deploy
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, until

from .besu_networks import PERIOD, TIMEOUT, BesuNetwork
from .conftest import service_suite

pytestmark = pytest.mark.long

RECOVER = "chainops.lifecycle.recover"
# The time-outs of two rounds, as each is twice the one before, and the block itself; blocks have whole seconds.
TWO_ROUNDS = TIMEOUT + 2 * TIMEOUT + PERIOD


@pytest.fixture(scope="module")
def chain(make_fleet: t.Callable[..., Fleet], tmp_path_factory: pytest.TempPathFactory) -> BesuNetwork:
    fleet = make_fleet(Group("r", 9, service_suite()))
    chain = BesuNetwork(list(fleet.hosts.values()), 7, fleet.inventory, Path(tmp_path_factory.mktemp("besu")))
    chain.up()
    return chain


def test_a_rolling_recovery_under_faults(chain: BesuNetwork) -> None:
    """One is down, one has lost its consensus, one answers nobody yet takes part, two more fail meanwhile."""
    down, halted, hung, killed, cut, *_rest = chain.validators
    other = list(chain.hosts)[-1]
    until(lambda: chain.age(hung) > 65, 90, "the validators are no longer young")
    chain.let_grant()
    before = chain.invocations()
    chain.stop(down, other)
    chain.fault_until_stopped(hung, hang=True)
    chain.fault_until_stopped(halted, halt_mining=True)
    head = chain.head()
    until(lambda: chain.head() > head + 16, 60, "one is seen to propose nothing any more")

    events: list[str] = []

    def more(_head: int) -> None:
        if not events and chain.show(down, "ActiveState") == "active":
            events.append("killed")
            chain.hosts[killed].sh("systemctl kill --signal=SIGKILL besu.service")
        elif len(events) == 1 and chain.show(halted, "InvocationID") != before[halted]:
            events.append("cut")
            chain.fault(cut, isolate=True)
            threading.Timer(6, deploy.clear, (chain.hosts[cut],)).start()

    # A look after a wave would count those that fail meanwhile as harm, and stop.
    played = chain.play(RECOVER, watch=more, lifecycle_soak=0)
    print(
        f"the longest pause of the head in {played.seconds:.0f} s: {played.pause:.1f} s by the blocks' own times, "
        f"{played.polled:.1f} s as polled from outside; two round time-outs are {TWO_ROUNDS} s"
    )
    assert played.code == 0, played.output
    assert events == ["killed", "cut"]
    assert set(played.outcome["recovered"]) >= {f"{name}/besu" for name in (down, halted, hung, other)}
    assert played.pause <= TWO_ROUNDS + 1 + played.late
    # Down already, then no validators, then validators.
    waves = re.findall(r"^Wave \d of 3: (.*)$", played.output, re.MULTILINE)
    assert waves == [down, other, f"{halted}; {hung}"], played.output
    chain.until_moving()
    again = chain.play(RECOVER)
    assert (again.code, again.changed) == (0, 0), again.output
