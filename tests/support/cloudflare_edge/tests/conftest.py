# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An edge on loopback and real connectors for it."""

from __future__ import annotations

import itertools
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.client import EdgeProcess
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.cloudflared_binary import (
    BinaryError,
    cloudflared,
)
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.connector import (
    LocalConnector,
    TunnelIdentity,
)

# Connectors in the script's scope are told apart by nothing but their tunnel: all come from 127.0.0.1.
LISTEN = [f"127.0.0.{number}" for number in range(1, 7)]
API_TOKEN = "an-api-token"
_TOKENS = {API_TOKEN: {"write": True}, "read-only": {}, "other-account": {"account": "f" * 32, "write": True}}

Connect = Callable[..., LocalConnector]


@pytest.fixture(scope="session", autouse=True)
def binary() -> Path:
    """The real cloudflared; no test here means anything without it."""
    try:
        return cloudflared()
    except BinaryError as exc:
        pytest.fail(str(exc))


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[EdgeProcess]:
    """An edge of its own for each test, on one port of six addresses, with tokens for its API."""
    with EdgeProcess(LISTEN, tmp_path / "edge") as process:
        process.script_api(tokens=_TOKENS)
        yield process


@pytest.fixture
def tunnel() -> TunnelIdentity:
    return TunnelIdentity()


@pytest.fixture
def connect(edge: EdgeProcess, tunnel: TunnelIdentity, tmp_path: Path) -> Iterator[Connect]:
    """``connect()`` starts a connector, ``connect(live=4)`` waits until it is registered."""
    started: list[LocalConnector] = []
    numbers = itertools.count(1)

    def start(of: TunnelIdentity = tunnel, live: int = 0, **options: Any) -> LocalConnector:
        folder = tmp_path / f"connector{next(numbers)}"
        connector = LocalConnector(of, edge.addresses, edge.ca, folder, **options)
        connector.start()
        started.append(connector)
        if live:
            edge.wait_live(of.id, live, or_more=True)
        return connector

    yield start
    for connector in started:
        connector.__exit__(None, None, None)


def get(address: str, path: str) -> tuple[int, str]:
    """Status and body of a page of a connector's metrics server."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode()
