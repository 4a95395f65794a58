# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API's answers: shapes, refusals, faults, and that they are what the edge sees."""

from __future__ import annotations

import socket
import time
import urllib.parse
import urllib.request
from typing import Any

import pytest

from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.client import EdgeProcess
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.connector import ACCOUNT, TunnelIdentity
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.tests.conftest import API_TOKEN, Connect

ROOT = f"accounts/{ACCOUNT}/cfd_tunnel"


def result(edge: EdgeProcess, path: str, method: str = "GET") -> Any:
    """The result of a call that succeeds."""
    status, data = edge.v4(method, path, API_TOKEN)
    assert (status, data["success"], data["errors"], data["messages"]) == (200, True, [], [])
    return data["result"]


def test_the_api_shows_what_the_edge_sees(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    edge.declare(tunnel.id, name="shop")
    assert result(edge, f"{ROOT}/{tunnel.id}")["status"] == "inactive"
    connect(live=4)
    edge.wait_live(tunnel.id, 4)
    seen = edge.tunnel(tunnel.id)
    row = result(edge, f"{ROOT}/{tunnel.id}")
    assert (row["id"], row["name"], row["account_tag"], row["status"]) == (tunnel.id, "shop", ACCOUNT, "healthy")
    assert (row["config_src"], row["tun_type"], row["deleted_at"]) == ("cloudflare", "cfd_tunnel", None)
    (connector,) = result(edge, f"{ROOT}/{tunnel.id}/connections")
    assert [connector["id"]] == list(seen["connectors"])
    assert connector["version"] == "2026.6.0"
    truth = seen["connectors"][connector["id"]]["connections"]
    assert [(one["id"], one["opened_at"]) for one in connector["conns"]] == [
        (one["id"], one["opened_at"]) for one in truth
    ]
    for one in connector["conns"]:
        assert one["uuid"] == one["id"]
        assert (one["client_id"], one["is_pending_reconnect"]) == (connector["id"], False)
        assert (one["origin_ip"], one["colo_name"], one["client_version"]) == ("127.0.0.1", "tst01", "2026.6.0")
    assert result(edge, f"{ROOT}/{tunnel.id}/connectors/{connector['id']}") == connector


def test_ghosts_stay_for_a_while(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    connector = connect(live=4)
    edge.wait_live(tunnel.id, 4)
    connector.__exit__(None, None, None)  # killed
    edge.wait_live(tunnel.id, 0)
    (ghost,) = result(edge, f"{ROOT}/{tunnel.id}/connections")
    assert [one["is_pending_reconnect"] for one in ghost["conns"]] == [True] * 4
    assert result(edge, f"{ROOT}/{tunnel.id}")["status"] == "down"
    connect(live=4)
    edge.wait_live(tunnel.id, 4)
    assert len(result(edge, f"{ROOT}/{tunnel.id}/connections")) == 2
    assert result(edge, f"{ROOT}/{tunnel.id}")["status"] == "degraded"
    edge.settings(ghost_seconds=0.1)
    deadline = time.monotonic() + 10
    while len(rows := result(edge, f"{ROOT}/{tunnel.id}/connections")) != 1:
        assert time.monotonic() < deadline, rows
        time.sleep(0.05)
    assert [one["is_pending_reconnect"] for one in rows[0]["conns"]] == [False] * 4
    assert rows[0]["id"] != ghost["id"]


def test_a_connector_can_be_removed(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    gone = connect(live=4)
    edge.wait_live(tunnel.id, 4)
    (ghost,) = edge.tunnel(tunnel.id)["connectors"]
    gone.__exit__(None, None, None)
    edge.wait_live(tunnel.id, 0)
    connect(live=4)
    edge.wait_live(tunnel.id, 4)
    (other,) = edge.tunnel(tunnel.id)["connectors"].keys() - {ghost}
    assert result(edge, f"{ROOT}/{tunnel.id}/connections?client_id={ghost}", "DELETE") is None
    assert list(edge.tunnel(tunnel.id)["connectors"]) == [other]
    assert edge.live(tunnel.id) == 4
    # A living one is cut, and comes back.
    assert result(edge, f"{ROOT}/{tunnel.id}/connections?client_id={other}", "DELETE") is None
    assert edge.live(tunnel.id) < 4
    edge.wait_live(tunnel.id, 4, timeout=90)
    call = [one for one in edge.api_calls() if one["method"] == "DELETE"][-1]
    assert (call["query"], call["status"]) == ({"client_id": other}, 200)


def test_without_client_id_all_are_removed(edge: EdgeProcess, tunnel: TunnelIdentity, connect: Connect) -> None:
    connect(live=4)
    result(edge, f"{ROOT}/{tunnel.id}/connections", "DELETE")
    assert len(edge.events(event="forgotten")) >= 4


def test_list(edge: EdgeProcess) -> None:
    mine = [TunnelIdentity().id for _unused in range(5)]
    for number, name in enumerate(mine):
        edge.declare(name, name=f"{'web' if number % 2 else 'db'}-{number}")
    edge.declare(TunnelIdentity().id, name="not-mine", account="f" * 32)
    edge.delete(mine[4])

    def names(query: str) -> list[str]:
        return sorted(row["name"] for row in result(edge, f"{ROOT}?{query}"))

    assert names("") == ["db-0", "db-2", "db-4", "web-1", "web-3"]
    assert names("is_deleted=false") == ["db-0", "db-2", "web-1", "web-3"]
    assert names("is_deleted=true") == ["db-4"]
    assert names("name=web-1") == ["web-1"]
    assert names(f"uuid={mine[2]}") == ["db-2"]
    assert names("include_prefix=web") == ["web-1", "web-3"]
    assert names("exclude_prefix=web&is_deleted=false") == ["db-0", "db-2"]
    assert names("status=healthy") == []
    pages = [edge.v4("GET", f"{ROOT}?page={page}&per_page=2", API_TOKEN)[1] for page in (1, 2, 3, 4)]
    assert [page["result_info"]["count"] for page in pages] == [2, 2, 1, 0]
    assert pages[0]["result_info"] == {"page": 1, "per_page": 2, "count": 2, "total_count": 5}
    assert sorted(row["name"] for page in pages for row in page["result"]) == names("")


@pytest.mark.parametrize(
    ("token", "method", "status", "code"),
    [("wrong", "GET", 401, 1000), ("other-account", "GET", 403, 10000), ("read-only", "DELETE", 403, 10000)],
)
def test_tokens(edge: EdgeProcess, token: str, method: str, status: int, code: int) -> None:
    tunnel = TunnelIdentity().id
    edge.declare(tunnel)
    found, data = edge.v4(method, f"{ROOT}/{tunnel}/connections?client_id=x", token)
    assert (found, data["success"], data["result"], data["errors"][0]["code"]) == (status, False, None, code)


def test_without_a_token(edge: EdgeProcess) -> None:
    status, data = edge.call("GET", f"/client/v4/{ROOT}")
    assert (status, data["errors"]) == (401, [{"code": 10000, "message": "Authentication error"}])


def test_what_is_not_there(edge: EdgeProcess) -> None:
    unknown = TunnelIdentity().id
    edge.declare(unknown)
    for path in (f"{ROOT}/{TunnelIdentity().id}", f"{ROOT}/{unknown}/connectors/{unknown}", "nowhere"):
        assert edge.v4("GET", path, API_TOKEN)[0] == 404


def test_faults(edge: EdgeProcess) -> None:
    edge.script_api(
        faults=[
            {"kind": "status", "status": 503},
            {"kind": "refused"},
            {"kind": "bare_error", "status": 400},
            {"kind": "not_json", "status": 502},
        ]
    )
    answers = [edge.v4("GET", ROOT, API_TOKEN) for _unused in range(5)]
    assert [status for status, _unused in answers] == [503, 200, 400, 502, 200]
    assert answers[1][1]["success"] is False
    assert isinstance(answers[1][1]["errors"][0]["code"], str)
    assert answers[2][1] == {"error": "the request could not be carried out"}
    assert isinstance(answers[3][1], str)
    assert answers[4][1]["success"] is True


def test_the_rate_limit_says_how_long(edge: EdgeProcess) -> None:
    edge.script_api(faults=[{"kind": "rate_limit", "retry_after": 7}])
    url = f"{edge.base}/client/v4/{ROOT}"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {API_TOKEN}"}), timeout=5)
    with caught.value as answer:
        assert (answer.code, answer.headers["retry-after"]) == (429, "7")
        assert answer.headers["ratelimit"] == '"default";r=0;t=30'
        assert answer.headers["ratelimit-policy"] == '"default";q=1200;w=300'
    assert [one["status"] for one in edge.api_calls()] == [429]


def test_an_api_that_hangs(edge: EdgeProcess) -> None:
    edge.script_api(faults=[{"kind": "hang"}])
    where = urllib.parse.urlsplit(edge.base)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=1) as one:
        one.sendall(f"GET /client/v4/{ROOT} HTTP/1.1\r\nHost: api\r\n\r\n".encode())
        with pytest.raises(TimeoutError):
            one.recv(1)
    assert edge.v4("GET", ROOT, API_TOKEN)[0] == 200


def test_no_token_is_in_the_log_of_calls(edge: EdgeProcess) -> None:
    edge.v4("GET", ROOT, API_TOKEN)
    assert API_TOKEN not in str(edge.api_calls()) + edge.event_log.read_text()
