# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked wrongly gets an answer, and harms nothing else."""

from __future__ import annotations

import asyncio
import datetime
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge import certificates, cloudflared_binary, rpc
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.behaviour import Rules, Selection
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.client import EdgeError, EdgeProcess
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.connector import ACCOUNT, TunnelIdentity
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.diary import Diary
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.registry import Registry
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.session import Session
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.tests.conftest import API_TOKEN, Connect

ROOT = f"accounts/{ACCOUNT}/cfd_tunnel"


def test_codes_of_cloudflares_own_are_answered(edge: EdgeProcess) -> None:
    edge.script_api(faults=[{"kind": "status", "status": 530}, {"kind": "not_json", "status": 521}])
    assert [edge.v4("GET", ROOT, API_TOKEN)[0] for _unused in range(3)] == [530, 521, 200]


@pytest.mark.parametrize(
    ("method", "path", "data", "words"),
    [
        ("PUT", "api", {"faults": [{"kind": "status", "count": "many"}]}, "count is 'many'"),
        ("PUT", "api", {"faults": [{"kind": "status", "count": True}]}, "count is True"),
        ("PUT", "api", {"faults": [{"kind": "status", "status": 99}]}, "status is 99"),
        ("PUT", "api", {"faults": [{"kind": "rate_limit", "retry_after": "soon"}]}, "retry_after is 'soon'"),
        ("PUT", "api", {"faults": [{"kind": "status", "path": 1}]}, "path is 1"),
        ("PUT", "api", {"tokens": {"a": 1}}, "not understood"),
        ("PUT", "behaviour", {"mode": "accept", "select": 5}, "not understood"),
        ("PUT", "tunnels/00000000-0000-4000-8000-000000000001", {"config": "x"}, "config is 'x'"),
    ],
)
def test_a_wrong_word_is_named_and_nothing_is_set(
    edge: EdgeProcess, method: str, path: str, data: dict[str, Any], words: str
) -> None:
    status, answer = edge.call(method, f"/control/{path}", data)
    assert (status, words in answer["error"]) == (400, True), answer
    assert edge.state()["rules"] == []
    assert edge.v4("GET", ROOT, API_TOKEN)[1]["result"] == []


def test_headers_do_not_spoil_the_connection(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    connect(live=4)
    edge.wait_event("configured")
    number = edge.state()["last_event"]
    for headers in ({"X A": "b"}, {"x": "a\r\nb: c"}, {"x": 5}, {"": "x"}):
        with pytest.raises(EdgeError, match="is no header"):
            edge.request(tunnel.id, headers=headers)
    assert edge.request(tunnel.id, headers={"TE": "gzip", "Connection": "close", "X-Fine": " yes "})["status"] == 200
    with pytest.raises(EdgeError):
        edge.request(tunnel.id, body=5)
    assert edge.request(tunnel.id)["status"] == 200
    assert edge.events(number, "lost") == []
    assert edge.events(number, "error") == []


def test_an_answer_counts_where_the_body_was_not_taken(
    edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect
) -> None:
    edge.declare(tunnel.id, config={"ingress": [{"service": "http_status:418"}]})
    connect(live=1)
    edge.wait_event("configured")
    for _unused in range(3):
        answer = edge.request(tunnel.id, method="POST", body="x" * (4 << 20), index=0)
        assert answer["status"] == 418
        assert answer["seconds"] < 10
    assert edge.events(event="lost") == []


@pytest.mark.parametrize(
    ("option", "value"), [("--port", "99999"), ("--port", "7844,x"), ("--port", ""), ("--api", "nowhere")]
)
def test_a_wrong_option_is_one_line(tmp_path: Path, option: str, value: str) -> None:
    package = Path(cloudflared_binary.__file__).parent
    command = [sys.executable, "-m", package.name, "serve", "--port", "0", "--api", "127.0.0.1:0"]
    command += ["--ca-dir", str(tmp_path), option, value]
    done = subprocess.run(command, cwd=package.parent, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"edge: {option}: ")


def test_certificates_are_made_anew_before_they_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_VALID", datetime.timedelta(days=1))
    short = certificates.make(tmp_path).ca.read_bytes()
    monkeypatch.undo()
    fresh = certificates.make(tmp_path).ca.read_bytes()
    assert fresh != short
    assert certificates.make(tmp_path).ca.read_bytes() == fresh


def test_a_connection_on_which_the_edge_fails_does_not_live_on() -> None:
    wish = rpc.Register(
        question=1,
        account=ACCOUNT,
        secret=b"secret",
        tunnel=str(uuid.uuid4()),
        connector=str(uuid.uuid4()),
        conn_index=0,
        version="1",
        arch="linux_amd64",
        features=(),
        previous_attempts=0,
        replace_existing=False,
    )

    class Writer:
        def write(self, _data: bytes) -> None: ...

    class Reader:
        async def read(self, _size: int) -> bytes:
            raise RuntimeError("a fault of ours")

    async def serve() -> None:
        registry = Registry(Diary())
        tunnel = registry.admit(wish, "127.0.0.1")
        session = Session(registry, Rules(), Reader(), Writer(), Selection())  # type: ignore[arg-type]
        session.connection = registry.register(tunnel, wish, "127.0.0.1", 1)
        with pytest.raises(ExceptionGroup):
            await session.run()
        assert tunnel.live == []

    asyncio.run(serve())
