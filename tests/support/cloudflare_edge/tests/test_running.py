# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each scripted behaviour does to a connector that was registered: it never ends by itself."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.client import EdgeProcess
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.connector import (
    LocalConnector,
    TunnelIdentity,
)
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.tests.conftest import Connect, get


def ready(connector: LocalConnector) -> dict[str, Any]:
    return dict(json.loads(get(connector.metrics_address(), "/ready")[1]))


def wait_again(connector: LocalConnector, text: str, before: int, timeout: float = 30.0) -> None:
    """Until it says a text that it had said ``before`` times."""
    deadline = time.monotonic() + timeout
    while len(connector.said(text)) <= before:
        assert time.monotonic() < deadline, f"not said in {timeout} s: {text}\n{connector.log()[-8:]}"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ({"mode": "refuse"}, "connection refused"),
        ({"mode": "bad-certificate"}, "TLS handshake with edge error"),
        ({"mode": "close"}, "Lost connection with the edge"),
        ({"mode": "no-preface"}, "Lost connection with the edge"),
        ({"mode": "no-answer"}, "context deadline exceeded"),
        ({"mode": "reject", "cause": "the account is suspended"}, "the account is suspended"),
        ({"mode": "reject", "cause": "try again later", "retry": True}, "try again later"),
        ({"mode": "unauthorized"}, "Unauthorized: Invalid tunnel secret"),
        ({"mode": "duplicate"}, "already connected to this server"),
    ],
)
def test_it_reconnects_in_place(
    edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect, script: dict[str, Any], said: str
) -> None:
    connector = connect(live=4, retries=0)  # to be back within 11 s instead of 22
    name = ready(connector)["connectorId"]
    before = len(connector.said(said))
    edge.behave(**script, reset=True)
    # Each of the four connections says this of the cut, too.
    wait_again(connector, said, before + 4 if said.startswith("Lost connection") else before)
    assert ready(connector) == {"status": 503, "readyConnections": 0, "connectorId": name}
    assert edge.live(tunnel.id) == 0
    assert connector.exit_code is None
    edge.clear()
    edge.wait_live(tunnel.id, 4, timeout=60)
    assert list(edge.tunnel(tunnel.id)["connectors"]) == [name]


def test_a_connection_without_a_control_stream_hangs_until_it_is_cut(
    edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect
) -> None:
    """The others serve; the edge's return to normal does not help the one that hangs."""
    connector = connect(live=4, retries=0)  # to be back within 11 s instead of 22
    (one, *_others) = edge.tunnel(tunnel.id)["connectors"].values()
    edge.behave("no-control-stream")
    assert edge.reset({"tunnel": tunnel.id, "port": one["connections"][-1]["port"]}) == 1
    edge.wait_live(tunnel.id, 3)
    deadline = time.monotonic() + 40
    while edge.state()["connections"] < 4:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    edge.clear()
    time.sleep(3)
    assert edge.live(tunnel.id) == ready(connector)["readyConnections"] == 3
    assert edge.request(tunnel.id)["status"] == 200
    edge.reset()
    edge.wait_live(tunnel.id, 4, timeout=60)
