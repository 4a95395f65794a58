# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind: where systemd says one thing of a connector, and the connector another."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Health
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.cloudflared import (
    test_connector as connector,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.cloudflared.test_endpoints import reply
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.hostile import free_port

make = connector.make


def test_a_loop_for_a_hard_cause_has_that_cause(make):
    world = make()
    world.ready = world.registered = 0
    world.line('Register tunnel error from server side error="Unauthorized: Invalid tunnel secret" connIndex=0')
    seen = world.see({**connector.UP, "NRestarts": "7", "ActiveEnterTimestampMonotonic": "999000000"})
    assert (seen.state, seen.cause) == ("error", "unauthorized")


def test_a_start_job_shows_as_connecting(make):
    world = make()
    world.ready = world.registered = 0
    assert world.see(connector.STARTING).state == "connecting"
    assert world.see(connector.STARTING, job_type="restart").state == "connecting"
    world.ready = None
    assert world.see(connector.STARTING).state == "starting"


@pytest.mark.parametrize(
    ("ready", "state", "overdue"), [(4, "running", False), (0, "connecting", False), (None, "error", False)]
)
def test_a_start_without_an_end_is_judged_by_what_the_connector_says(make, ready, state, overdue):
    """As a unit with TimeoutStartSec=0 is, which has no network: systemd lets it wait for ever."""
    world = make()
    world.ready, world.registered = ready, ready or 0
    world.line(f"DialContext error: dial tcp 127.0.0.1:{free_port()}: connect: connection refused")
    seen = world.see({**connector.STARTING, "InactiveExitTimestampMonotonic": "1", "Type": "notify"})
    assert seen.state == state and seen.details
    assert (seen.cause == "start_timeout") == (state == "error")
    assert world.kind.restart_is_due(seen, "reconnected") == overdue
    assert [block.guard for block in world.kind.guards(connector.RESTART, seen)] == (["last_replica"] if ready else [])


def test_where_metrics_do_not_answer_systemd_tells_whether_it_was_connected(make):
    world = make()
    answer = world._body
    world._body = lambda path: reply("broken", 500) if path == b"/metrics" else answer(path)
    world.ready = 0
    seen = world.see()
    assert (seen.state, seen.details["reconnect_grace"]) == ("reconnecting", 37.0)
    assert "not known" in seen.reasons[0]


def test_a_crash_loop_that_connects_is_none_any_more(make):
    world = make()
    looping = {**connector.UP, "NRestarts": "7", "ActiveEnterTimestampMonotonic": "999000000"}
    assert world.see(looping).state == "running"
    world.ready = 0
    for unit, patience in ((looping, None), ({**connector.STARTING, "NRestarts": "7"}, 1.0)):
        seen = world.see(unit)
        assert (seen.state, seen.cause, world.kind.grace_period(seen, "running")) == ("error", "crash_loop", patience)


def test_probes_speak_for_what_is_behind_it(make):
    world = make()
    health = Health("unhealthy", ("the page is broken",))
    seen = world.see(health=health)
    assert (seen.state, seen.cause) == ("error", "unhealthy")
    (rule,) = world.kind.causes()
    assert rule.cause == "unhealthy" and "the page is broken" in rule.summary  # and not what it once said of the edge
    world.ready = 0
    assert world.see(health=health).state == "reconnecting"
    assert "unhealthy" not in {one.cause for one in world.kind.causes()}
