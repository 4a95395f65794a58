# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health that follows from the results of probes over time."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import SystemClock
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.parse import TcpCheck
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.run import (
    Probe,
    ProbeResult,
    ProbeTracker,
    ServiceHealth,
    overall,
    parse_probes,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock


def no_runner(*_args, **_kwargs):
    pytest.fail("ran a command")


def result(verdict):
    return ProbeResult("p", "http", verdict, verdict, 0.0)


GOOD, BAD, BLIND = result("healthy"), result("unhealthy"), result("unobservable")


def health(results, *, failures=3, successes=1, grace=0.0, started=None, step=1.0):
    """The health after each of the results, which come ``step`` seconds apart from 0 on."""
    tracker = ProbeTracker(Probe("p", TcpCheck(1), 5, 1, failures, successes, grace), started)
    seen = []
    for number, one in enumerate(results):
        tracker = tracker.add(one, number * step)
        seen.append(tracker.health)
    return seen


P, H, U, X = "pending", "healthy", "unhealthy", "unobservable"


class TestTracker:
    @pytest.mark.parametrize(
        ("results", "options", "expected"),
        [
            ([GOOD], {}, [H]),
            ([BAD, BAD, BAD], {}, [P, P, U]),
            ([GOOD, BAD, BAD, BAD, GOOD], {}, [H, H, H, U, H]),
            ([GOOD, GOOD], {"successes": 2}, [P, H]),
            ([GOOD, BAD, GOOD, GOOD], {"successes": 2}, [P, P, P, H]),
            ([BAD, BAD, GOOD, BAD, BAD], {}, [P, P, H, H, H]),
            ([BAD] * 3 + [GOOD, BAD, GOOD, GOOD], {"successes": 2}, [P, P, U, U, U, U, H]),
            ([BAD], {"failures": 1}, [U]),
            ([BAD] * 6, {"grace": 3.0, "started": 0.0}, [P, P, P, P, P, U]),
            ([BAD, GOOD, BAD, BAD, BAD], {"grace": 99.0, "started": 0.0}, [P, H, H, H, U]),
            ([BAD] * 3, {"grace": 99.0, "started": None}, [P, P, U]),
            ([BLIND] * 3, {}, [P, P, X]),
            ([GOOD, BLIND, BLIND, BLIND, BAD, BAD, BAD], {}, [H, H, H, X, P, P, U]),
            ([BAD, BLIND, BAD, BLIND, BAD], {}, [P, P, P, P, U]),
            ([BAD] * 3 + [BLIND] * 3 + [GOOD], {}, [P, P, U, U, U, X, H]),
        ],
    )
    def test_folding(self, results, options, expected):
        assert health(results, **options) == expected

    def test_overall(self):
        def of(*values):
            return overall([ProbeTracker(Probe("p", TcpCheck(1)), health=value) for value in values])

        assert of() == "none"
        assert (of(H, H), of(H, P), of(P, X), of(X, U, H)) == (H, P, X, U)


class Script:
    """An HTTP client whose probes of a port succeed as scripted, or for ever as the last entry says."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.asked = 0

    def connect(self, _host, _port, *, timeout):
        self.asked += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome is not None:
            raise HttpError(outcome, "scripted")
        return timeout


class TestServiceHealth:
    def make(self, http, **options):
        self.clock = VirtualClock(1000.0, 1000.0)
        probes = parse_probes([{"kind": "tcp", "port": 1, **options}])
        return ServiceHealth(probes, http=http, runner=no_runner, clock=self.clock)

    def settle(self, service, since):
        """As an observer does: look, and again while another look could settle it."""
        found = service.check(since)
        for _number in range(10):
            wait = service.pending_time()
            if not wait:
                return found
            self.clock.sleep(wait)
            found = service.check(since)
        return found

    def test_without_probes(self):
        service = ServiceHealth((), http=Script(None), runner=no_runner, clock=VirtualClock(1000.0, 1000.0))
        assert service.check(1.0).verdict == "none" and service.pending_time() == 0

    def test_healthy_at_once(self):
        service = self.make(Script(None))
        found = self.settle(service, 10.0)
        assert found.verdict == H and "tcp[0]: healthy" in found.reasons[0]
        assert self.clock.now == 1000

    def test_one_failure_of_an_old_service_is_looked_at_again(self):
        http = Script("refused")
        service = self.make(http)
        assert service.check(10.0).verdict == P
        assert self.settle(service, 10.0).verdict == U
        assert http.asked == 3 and self.clock.now == pytest.approx(1002)

    def test_a_broken_probe_ends_as_unobservable(self):
        service = self.make(Script("dns"))
        found = self.settle(service, 10.0)
        assert found.verdict == X and "dns: scripted" in found.reasons[0]

    def test_within_the_grace_nobody_waits_for_its_end(self):
        service = self.make(Script("refused"))
        assert self.settle(service, 999.0).verdict == P
        assert self.clock.now == 1000

    def test_within_the_grace_it_asks_often_but_not_always(self):
        http = Script("refused", "refused", None)
        service = self.make(http)
        for _number in range(9):
            found = service.check(999.0)
            self.clock.sleep(0.0625)
        assert http.asked == 3 and found.verdict == H

    def test_between_intervals_it_does_not_ask(self):
        http = Script("refused")
        service = self.make(http)
        for _number in range(40):
            service.check(10.0)
            self.clock.sleep(0.01)
        assert http.asked == 1 and service.trackers[0].failures == 1

    def test_a_new_start_begins_anew(self):
        http = Script("refused", "refused", "refused", None)
        service = self.make(http)
        assert self.settle(service, 10.0).verdict == U
        self.clock.sleep(1)
        assert service.check(1000.5).verdict == H
        assert service.trackers[0].started_at == 1000.5

    def test_side_by_side(self):
        barrier = threading.Barrier(3)

        class Together:
            def connect(self, _host, _port, *, timeout):
                barrier.wait(5)

        probes = parse_probes([{"kind": "tcp", "port": port} for port in (1, 2, 3)])
        service = ServiceHealth(probes, http=Together(), runner=no_runner, clock=SystemClock())
        assert service.check(0.0).verdict == H
