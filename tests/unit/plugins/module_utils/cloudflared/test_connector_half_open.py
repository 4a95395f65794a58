# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind: connectors that say that they are connected, and are not. What proves it, and what only looks like it."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.cloudflared import (
    test_connector as connector,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.cloudflared.test_endpoints import reply
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.hostile import servers

make = connector.make
NO_CONNECTOR = reply("x", 530)


def test_half_open_by_the_word_of_the_edge(make):
    world = make(edge_lost=[connector.IDS[0].upper()])
    seen = world.see()
    assert (seen.state, seen.cause) == ("error", "half_open")
    assert world.kind.causes()[0].severity == "soft"
    assert world.kind.guards(connector.RESTART, seen) == []  # it serves nobody
    world.identity = connector.IDS[1]
    assert world.see().state == "running"


def through(tmp_path, start, answer, requests=None, rises=False, **params):
    """A world whose tunnel gives ``answer``; ``requests``: its counter, which ``rises`` with each request or not."""
    worlds: list[connector.World] = []

    def serve(server, sock):
        server.read_request(sock)
        worlds[0].requests = requests + server.accepted if rises else requests
        if answer is None:
            server.over.wait(5)
        else:
            sock.sendall(answer)

    worlds.append(connector.World(tmp_path, start, tunnel_url=start(serve).url, tunnel_url_timeout=0.5, **params))
    worlds[0].requests = requests
    return worlds[0]


@pytest.mark.parametrize(
    ("answer", "state"),
    [(reply("x", 200), "running"), (reply("x", 502), "running"), (NO_CONNECTOR, "error"), (b"", "error")],
)
def test_half_open_by_a_request_through_the_tunnel(tmp_path, answer, state):
    with servers() as start:
        world = through(tmp_path, start, answer)
        world.see()
        assert (world.kind.resample_after() > 0) == (state == "error")
        world.clock.sleep(3)
        assert world.see().state == state
        assert world.kind.resample_after() == 0


@pytest.mark.parametrize("answer", [None, b"", NO_CONNECTOR])
def test_a_request_that_was_counted_came_through_and_its_origin_is_to_blame(tmp_path, answer):
    with servers() as start:
        world = through(tmp_path, start, answer, requests=7, rises=True, healthy_replicas=0)
        world.see()
        world.clock.sleep(3)
        seen = world.see()
        assert (seen.state, seen.cause) == ("running", None)
        assert [block.guard for block in world.kind.guards(connector.RESTART, seen)] == ["last_replica"]


@pytest.mark.parametrize(
    ("answer", "requests", "replicas", "guards"),
    [
        (NO_CONNECTOR, None, None, []),
        (NO_CONNECTOR, 7, 0, []),
        (None, 7, None, ["last_replica"]),
        (None, None, 0, ["last_replica"]),
        (None, 7, 0, []),
        (None, None, 1, []),
    ],
)
def test_silence_proves_only_of_a_single_connector_that_it_serves_nobody(tmp_path, answer, requests, replicas, guards):
    with servers() as start:
        world = through(tmp_path, start, answer, requests=requests, healthy_replicas=replicas)
        world.see()
        world.clock.sleep(3)
        seen = world.see()
        assert (seen.state, seen.cause) == ("error", "half_open")
        assert [block.guard for block in world.kind.guards(connector.RESTART, seen)] == guards
