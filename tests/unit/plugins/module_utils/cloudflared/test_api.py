# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API client against a real HTTP server that speaks the shapes of the API, and against hostile ones."""

from __future__ import annotations

import json
import re
import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import api
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpClient
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.hostile import (
    SLACK,
    free_port,
    hang,
    servers,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock

ACCOUNT = "0123456789abcdef0123456789abcdef"
TUNNEL = "8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11"
ID = "19dfd5eb-87fc-4f30-ad94-bc189e47f0bc"
OTHER = "29dfd5eb-87fc-4f30-ad94-bc189e47f0bc"
TOKEN = "CANARY_api_token_0123456789"


def reply(data, status=200, extra=""):
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def good(result, **info):
    return {"success": True, "errors": [], "messages": [], "result": result, **({"result_info": info} if info else {})}


def bad(*errors):
    return {"success": False, "errors": list(errors), "messages": [], "result": None}


def client(server, clock=None, **more):
    url = server if isinstance(server, str) else f"http://127.0.0.1:{server.port}/client/v4"
    return api.TunnelApi(
        HttpClient(), clock or VirtualClock(), account_id=ACCOUNT, token=TOKEN, base_url=url, timeout=2.0, **more
    )


def serve(start, answers):
    """Answers in turn, the last one for ever."""
    left = list(answers)

    def handle(server, sock):
        if server.read_request(sock):
            sock.sendall(left.pop(0) if len(left) > 1 else left[0])

    return start(handle)


def row(identity=TUNNEL, **more):
    return {"id": identity, "name": "web", "status": "healthy", "config_src": "cloudflare", **more}


def connector(identity=ID, pending=(False, False), **more):
    conns = [
        {"colo_name": "lax01", "is_pending_reconnect": p, "opened_at": "t", "origin_ip": "192.0.2.1"} for p in pending
    ]
    return {"id": identity, "version": "2026.6.0", "run_at": "t", "config_version": 3, "conns": conns, **more}


def test_paging():
    pages = [
        good([row(f"{i:08x}-3c1d-4f5f-9c36-2f1f4a7d0c11") for i in range(n, n + 100)], total_count=201)
        for n in (0, 100)
    ]
    pages.append(good([row()], total_count=201))
    with servers() as start:
        server = serve(start, [reply(page) for page in pages])
        assert len(client(server).tunnels()) == 201
        wanted = [re.findall(rb"[?&]page=(\d+)", request)[0] for request in server.requests]
        assert wanted == [b"1", b"2", b"3"]
        assert all(b"is_deleted=false" in request for request in server.requests)


def test_paging_without_totals_ends_with_a_page_that_is_not_full():
    full = [row(f"{i:08x}-3c1d-4f5f-9c36-2f1f4a7d0c11") for i in range(100)]
    with servers() as start:
        server = serve(start, [reply(good(full)), reply(good([row(OTHER)]))])
        assert len(client(server).tunnels()) == 101
        assert len(server.requests) == 2


def test_paging_ends_whatever_the_totals_say():
    with servers() as start:
        server = serve(start, [reply(good([row()], total_count=10**9)), reply(good([], total_count=10**9))])
        assert len(client(server).tunnels()) == 1
        assert len(client(serve(start, [reply(good([row()]))])).tunnels()) == 1


def test_a_name_is_matched_whole_and_quoted():
    with servers() as start:
        server = serve(start, [reply(good([row(), row(OTHER, name="web&x=1")], total_count=2))])
        assert [tunnel.id for tunnel in client(server).tunnels(name="web&x=1")] == [OTHER]
        assert b"name=web%26x%3D1" in server.requests[0]


def test_connectors_and_ghosts():
    with servers() as start:
        found = client(
            serve(start, [reply(good([connector(), connector(OTHER, (True,)), connector(ID, ())]))])
        ).connectors(TUNNEL)
    assert [(one.live, one.ghost) for one in found] == [(2, False), (0, True), (0, True)]
    assert found[0].connections[0].as_dict() == {
        "colo": "lax01",
        "pending_reconnect": False,
        "opened_at": "t",
        "origin_ip": "192.0.2.1",
    }
    assert api.assign(found[:2], {"h1": ID.upper(), "h2": ""}) == {ID: "h1", OTHER: None}
    assert api.lost(found[:2], {"h1": ID, "h2": OTHER, "h3": TUNNEL, "h4": ""}) == ["h2", "h3"]


@pytest.mark.parametrize(
    ("status", "data", "kind", "said"),
    [
        (403, bad({"code": 10000, "message": "Authentication error"}), "auth", "Authentication error (code 10000)"),
        (403, bad({"code": "9109", "message": "Invalid"}), "auth", "Invalid (code 9109)"),
        (200, bad({"code": 1003, "message": "no"}), "refused", "no (code 1003)"),
        (404, bad({"code": 1003, "message": "Tunnel not found"}), "not_found", "Tunnel not found"),
        (400, {"success": False, "error": "old form"}, "refused", "old form"),
        (401, b"", "auth", "status 401"),
        (502, b"<html>", "unavailable", "status 502"),
        (500, bad(), "unavailable", "status 500"),
        (302, b"", "unreadable", "status 302"),
        (200, b"<html>hello", "unreadable", "no JSON object"),
        (200, b"[]", "unreadable", "no JSON object"),
        (200, {"success": "true", "result": []}, "refused", "status 200"),
        (200, {"result": []}, "refused", "status 200"),
        (200, good("x"), "unreadable", "result is no list"),
        (200, good([{"name": "x"}]), "unreadable", "an entry has no id"),
        (200, good([[]]), "unreadable", "an entry has no id"),
        (403, bad({"message": "\x1b[1m{{ x }}"}, "text", 7, None), "auth", "text, 7"),
    ],
)
def test_errors_have_a_kind_and_words(status, data, kind, said):
    with servers() as start, pytest.raises(api.ApiError) as caught:
        client(serve(start, [reply(data, status)])).connectors(TUNNEL)
    assert (caught.value.kind, caught.value.details["kind"]) == (kind, kind)
    assert said in caught.value.msg
    assert TOKEN not in caught.value.msg and "{{" not in caught.value.msg and "\x1b" not in caught.value.msg


def test_the_rate_limit_is_waited_for():
    clock = VirtualClock()
    began = clock.monotonic()
    limited = reply(bad({"code": 971, "message": "slow down"}), 429, "Retry-After: 17\r\n")
    with servers() as start:
        server = serve(start, [limited, limited, reply(good([connector()]))])
        asked = client(server, clock, seconds=60.0)
        assert len(asked.connectors(TUNNEL)) == 1
    assert clock.monotonic() - began == pytest.approx(34)
    assert asked.calls == 3


@pytest.mark.parametrize(
    ("header", "after"),
    [
        ("Retry-After: 300\r\n", 300.0),
        ("", None),
        ("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", None),
        ("Retry-After: -1\r\n", None),
    ],
)
def test_a_rate_limit_that_does_not_fit_is_told(header, after):
    with servers() as start, pytest.raises(api.ApiError) as caught:
        client(serve(start, [reply(bad(), 429, header)]), seconds=60.0).connectors(TUNNEL)
    assert (caught.value.kind, caught.value.retry_after) == ("rate_limited", after)


def test_a_retry_after_of_nothing_ends_at_the_deadline():
    clock = VirtualClock()
    with servers() as start:
        asked = client(serve(start, [reply(bad(), 429, "Retry-After: 0\r\n")]), clock, seconds=60.0)
        with pytest.raises(api.ApiError) as caught:
            asked.connectors(TUNNEL)
    assert caught.value.kind in ("rate_limited", "network")
    assert asked.calls <= 31


def test_all_calls_go_over_one_connection():
    def handle(server, sock):
        while server.read_request(sock):
            sock.sendall(reply(good([])))

    with servers() as start:
        server = start(handle)
        asked = client(server)
        for _call in range(3):
            asked.connectors(TUNNEL)
        assert (server.accepted, len(server.requests)) == (1, 3)


def test_hanging_and_flooding_apis_are_left_in_time():
    with servers() as start:
        began = time.monotonic()
        with pytest.raises(api.ApiError) as caught:
            client(start(hang)).connectors(TUNNEL)
        assert caught.value.kind == "network" and caught.value.details["error"] == "timeout"
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n"
        with pytest.raises(api.ApiError):
            client(start(head)).connectors(TUNNEL)
        assert time.monotonic() - began < 2 * 2.0 + SLACK
    with pytest.raises(api.ApiError):
        client(f"http://127.0.0.1:{free_port()}").connectors(TUNNEL)


def test_a_connector_is_removed_by_its_id():
    with servers() as start:
        server = serve(start, [reply(good(None))])
        client(server).remove_connector(TUNNEL, api.ConnectorId(ID))
        line = server.requests[0].split(b"\r\n")[0].decode()
    assert line == f"DELETE /client/v4/accounts/{ACCOUNT}/cfd_tunnel/{TUNNEL}/connections?client_id={ID} HTTP/1.1"


@pytest.mark.parametrize("text", ["", " ", "*", ID[:-1], ID + "&client_id=", ID.upper(), None, TUNNEL + "\n"])
def test_there_is_no_id_that_means_all(text):
    with pytest.raises(LifecycleError, match="connector_id"):
        api.ConnectorId(text)


def test_nothing_but_an_id_can_be_removed():
    """By construction: the only method that deletes takes a ConnectorId, and its one request carries it."""
    with servers() as start:
        server = serve(start, [reply(good(None))])
        for wrong in ("", None, ID):
            with pytest.raises(AttributeError):
                client(server).remove_connector(TUNNEL, wrong)
        with pytest.raises(LifecycleError, match="tunnel"):
            client(server).remove_connector("../accounts", api.ConnectorId(ID))
        assert server.requests == []


def test_the_token_is_sent_in_its_header_only():
    with servers() as start:
        server = serve(start, [reply(good([row()], total_count=1))])
        client(server).tunnels()
        head = server.requests[0].decode()
    assert f"Authorization: Bearer {TOKEN}" in head
    assert TOKEN not in head.split("\r\n")[0]


@pytest.mark.parametrize(
    ("more", "option"),
    [
        ({"account_id": "web"}, "account_id"),
        ({"account_id": "../" + "0" * 29}, "account_id"),
        ({"token": ""}, "api_token"),
        ({"token": "a\r\nX: y"}, "api_token"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "http://api.example/client/v4"}, "base_url"),
    ],
)
def test_wrong_options_are_named(more, option):
    given = {"account_id": ACCOUNT, "token": TOKEN, "base_url": "https://h/v4", **more}
    with pytest.raises(LifecycleError, match=option) as caught:
        api.TunnelApi(HttpClient(), VirtualClock(), **given)
    assert TOKEN not in caught.value.msg
