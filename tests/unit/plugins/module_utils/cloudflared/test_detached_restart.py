# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restart of a connector that carries the connection of the run: left to the host, its outcome read later."""

from __future__ import annotations

import os
import types
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import detached_restart as h
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive_connector import ConnectorRun
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed, LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Context, classify
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Records
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.request import Outcome, Request
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock

UNIT = "cloudflared.service"


def seen(clock, invocation="one"):
    """A connector that runs."""
    facts = UnitFacts(UNIT, {"ActiveState": "active", "SubState": "running", "InvocationID": invocation})
    return classify("cloudflared", facts, Context(clock.now, clock.wall()), "cloudflared")


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def ledger(clock, tmp_path):
    return Records(clock, str(tmp_path / "records"), str(tmp_path / "run"))


class Ran:
    def __init__(self, done):
        self.done: t.Any = done
        self.argv: t.Any = None
        self.env: t.Any = None

    def __call__(self, argv, **options):
        self.argv, self.env = list(argv), options.get("env")
        return self.done


def test_the_restart_is_left_to_the_host(clock, ledger):
    run = Ran(Completed(0, b"", b""))
    made = h.schedule_restart("cloudflared.service", False, seen(clock), "me", ledger, clock, run)
    assert (made.before, made.outcome) == ("one", "pending")
    assert not run.env
    assert run.argv[0] == "systemd-run" and run.argv[-4:] == ["--job-mode=fail", "restart", "--", "cloudflared.service"]
    earlier = h.pending("cloudflared.service", ledger, clock)
    assert h.outcome_of(earlier, seen(clock), clock).outcome == "pending"
    assert h.outcome_of(earlier, seen(clock, "two"), clock).outcome == "verified"
    clock.sleep(301)
    assert h.outcome_of(earlier, seen(clock), clock).outcome == "failed"
    clock.sleep(300)
    assert h.pending("cloudflared.service", ledger, clock) is None


def test_a_host_that_does_not_take_it_is_told(clock, ledger):
    with pytest.raises(LifecycleError, match="handed over"):
        h.schedule_restart("c.service", True, seen(clock), "me", ledger, clock, Ran(Completed(1, b"", b"no\n")))
    assert ledger.attempts("c.service")[-1].outcome == "failed"


def test_the_manager_of_a_user_is_found_behind_sudo(clock, ledger):
    run = Ran(Completed(0, b"", b""))
    h.schedule_restart(UNIT, True, seen(clock), "me", ledger, clock, run)
    assert run.argv[:2] == ["systemd-run", "--user"] and run.argv.count("--user") == 2
    assert run.env == {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"}


@pytest.mark.parametrize(
    ("guards", "target", "wanted"),
    [
        (["own_tunnel"], "reconnected", True),
        (["own_tunnel"], "stopped", False),
        (["own_tunnel", "last_replica"], "restarted", False),
        ([], "restarted", False),
    ],
)
def test_when_a_restart_is_handed_over(clock, guards, target, wanted):
    last = seen(clock)
    blocks = tuple(Refusal(guard, "r", "h") for guard in guards)
    assert h.is_needed(Outcome(last, last, failed=True, blocked_by=blocks), Request(target)) == wanted


class Run(ConnectorRun):
    """A run of the module on a host where the connector carries this connection; the engine is left out."""

    def __init__(self, clock, ledger, target, invocation):
        systemd = types.SimpleNamespace(own_name=lambda unit: unit)
        self.host: t.Any = types.SimpleNamespace(clock=clock, ledger=ledger, systemd=systemd, has_records=lambda: True)
        self.watched: t.Any = types.SimpleNamespace(unit=UNIT)
        self.request = Request(target)
        self._params = {"own_tunnel_action": "hand_over", "scope": "system"}
        self.seen = seen(clock, invocation)

    def run(self):
        blocks = (Refusal("own_tunnel", "r", "h"),) if self.request.target == "restarted" else ()
        return Outcome(self.seen, self.seen, failed=bool(blocks), blocked_by=blocks)

    def _schedule_restart(self, outcome):
        return h.schedule_restart(UNIT, False, outcome.after, "me", self.host.ledger, self.host.clock, Ran(DONE))


DONE = Completed(0, b"", b"")


def test_a_restart_that_was_handed_over_is_reported_before_there_is_another(clock, ledger):
    found = []
    for invocation in ("one", "one", "two", "two"):
        _outcome, handed = Run(clock, ledger, "restarted", invocation).run_and_schedule_restart()
        found.append((handed.outcome, len(ledger.attempts(UNIT))))
    assert found == [("pending", 1), ("pending", 1), ("verified", 1), ("pending", 2)]
