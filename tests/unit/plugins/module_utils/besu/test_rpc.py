# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON-RPC client against what a real Besu answers, byte for byte."""

from __future__ import annotations

import json

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.rpc import RpcClient
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.rpc_answers import OUTCOMES, answer_of
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpError, Response, parse_url

CALLS = [("eth_blockNumber", ()), ("admin_peers", ()), ("net_peerCount", ())]
UNAUTHORIZED = '{"jsonrpc":"2.0","id":null,"error":{"code":-40100,"message":"Unauthorized"}}'
DENIED = '"error":{"code":-40100,"message":"Unauthorized"}'
BATCH = (
    '[{"jsonrpc":"2.0","id":0,"result":"0x0"},'
    '{"jsonrpc":"2.0","id":1,"error":{"code":-32604,"message":"Method not enabled"}},'
    '{"jsonrpc":"2.0","id":2,"result":"0x2"}]'
)


class Wire:
    """Stands for the HTTP client and its connection: answers one after the other, and keeps what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def connection(self, url, *, tls=None):
        self.url = parse_url(url)
        return self

    def close(self):
        pass

    def request(self, method, target=None, *, headers=None, body=None, **limits):
        self.asked.append((method, target, dict(headers or {}), json.loads(body) if body else None, limits))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, text = answer
        return Response(status, "", {}, text.encode(), 0.01)


def asked(wire, **options):
    return RpcClient(wire, options.pop("url", "http://10.0.0.1:8545"), **options).batch(CALLS)


def outcomes(*answers, **options):
    return [answer.outcome for answer in asked(Wire(*answers), **options)]


def test_a_batch_with_a_method_that_is_off():
    wire = Wire((200, BATCH))
    assert [(a.outcome, a.result) for a in asked(wire)] == [("ok", "0x0"), ("not_enabled", None), ("ok", "0x2")]
    method, _target, headers, body, limits = wire.asked[0]
    assert (method, headers) == ("POST", {"content-type": "application/json"})
    assert [call["id"] for call in body] == [0, 1, 2]
    assert limits["timeout"] > 0 and limits["connect_timeout"] <= limits["timeout"]


def test_answers_in_another_order_are_told_apart_by_id():
    shuffled = json.dumps(list(reversed(json.loads(BATCH))))
    assert [a.result for a in asked(Wire((200, shuffled)))] == ["0x0", None, "0x2"]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ((401, UNAUTHORIZED), "unauthorized"),
        ((403, '{"message":"Host not authorized."}'), "host_not_allowed"),
        ((504, ""), "timeout_504"),
        ((200, '{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"exceeds max batch size"}}'), "protocol"),
        ((400, '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}'), "protocol"),
        ((201, ""), "protocol"),
        ((200, "<html>"), "protocol"),
        ((200, "[]"), "protocol"),
        ((200, '"text"'), "protocol"),
        ((200, "[" * 100000), "protocol"),
        ((200, '{"jsonrpc":"2.0","id":0,"result":"0x0"}'), "protocol"),
        ((200, '[{"id":0,"result":1},{"id":0,"result":2},{"id":2,"result":3}]'), "protocol"),
        ((200, '[{"id":7,"result":1},{"id":1,"result":2},{"id":2,"result":3}]'), "protocol"),
        ((200, '[{"id":true,"result":1},{"id":1,"result":2},{"id":2,"result":3}]'), "protocol"),
        (HttpError("refused", "x"), "refused"),
        (HttpError("reset", "x"), "reset"),
        (HttpError("timeout", "x"), "hang"),
        (HttpError("timeout_connect", "x"), "unreachable"),
        (HttpError("dns", "x"), "unreachable"),
        (HttpError("tls", "x"), "tls"),
        (HttpError("too_large", "x"), "protocol"),
        (HttpError("protocol", "x"), "protocol"),
    ],
)
def test_every_way_to_fail_has_its_outcome(answer, outcome):
    assert outcomes(answer) == [outcome] * 3
    assert outcome in OUTCOMES


def test_a_full_queue_on_the_loopback_is_a_process_that_hangs():
    assert outcomes(HttpError("timeout_connect", "x"), url="http://127.0.0.1:8545") == ["hang"] * 3


@pytest.mark.parametrize("kind", ["bad_request", "tls_settings"])
def test_wrong_options_are_no_outcome_of_the_peer(kind):
    with pytest.raises(HttpError):
        outcomes(HttpError(kind, "no such file"))


def test_an_answer_that_is_missing_costs_only_its_call():
    assert outcomes((200, '[{"id":0,"result":1},{"id":2,"result":null}]')) == ["ok", "protocol", "ok"]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ({"error": {"code": -32601, "message": "Method not found"}}, "unknown_method"),
        ({"error": {"code": -32000, "message": "P2P network is not running"}}, "rpc_error"),
        ({"error": "text"}, "rpc_error"),
        ({"error": {"code": True}}, "rpc_error"),
        ({}, "protocol"),
        ([], "protocol"),
        (None, "protocol"),
        ({"result": None}, "ok"),
    ],
)
def test_one_reply(reply, outcome):
    assert answer_of(reply).outcome == outcome


def test_log_in_and_the_token_in_every_request():
    wire = Wire((200, '{"token":"T1"}'), (200, BATCH), (200, BATCH))
    client = RpcClient(wire, "http://10.0.0.1:8545/", username="operator", password="p")
    client.batch(CALLS)
    client.batch(CALLS)
    assert [call[:2] for call in wire.asked] == [
        ("POST", "/login"),
        ("POST", None),
        ("POST", None),
    ]
    assert wire.asked[0][3] == {"username": "operator", "password": "p"}
    assert wire.asked[1][2]["authorization"] == wire.asked[2][2]["authorization"] == "Bearer T1"
    assert client.requests == 3


def test_a_token_that_died_with_the_process_is_renewed_once():
    refused = json.dumps([{"id": i, "error": {"code": -40100, "message": "Unauthorized"}} for i in range(3)])
    off = BATCH.replace('"result":"0x0"', DENIED).replace('"result":"0x2"', DENIED)
    for first in ((401, UNAUTHORIZED), (200, refused), (200, off)):
        wire = Wire((200, '{"token":"T1"}'), first, (200, '{"token":"T2"}'), (200, BATCH))
        assert [a.outcome for a in asked(wire, username="u", password="p")] == ["ok", "not_enabled", "ok"]
        assert wire.asked[3][2]["authorization"] == "Bearer T2"


def test_a_method_that_is_not_permitted_does_not_ask_for_a_new_token():
    mixed = '[{"id":0,"result":1},{"id":1,"error":{"code":-40100,"message":"Unauthorized"}},{"id":2,"result":3}]'
    wire = Wire((200, '{"token":"T1"}'), (200, mixed))
    assert [a.outcome for a in asked(wire, username="u", password="p")] == ["ok", "unauthorized", "ok"]
    assert not wire.answers


def test_a_token_that_permitted_more_before_has_died():
    """Where some methods need no token (--rpc-http-api-methods-no-auth) these go on to be answered."""
    free = BATCH.replace('"result":"0x0"', DENIED)
    wire = Wire((200, '{"token":"T1"}'), (200, BATCH), (200, free), (200, '{"token":"T2"}'), (200, free), (200, free))
    client = RpcClient(wire, "http://10.0.0.1:8545", username="u", password="p")
    assert [a.outcome for a in client.batch(CALLS)] == ["ok", "not_enabled", "ok"]
    for _look in range(2):  # that the new one permits less is no reason for a third
        assert [a.outcome for a in client.batch(CALLS)] == ["unauthorized", "not_enabled", "ok"]
    assert [call[1] for call in wire.asked] == ["/login", None, None, "/login", None, None]


def test_a_token_is_renewed_before_it_ends():
    now = [0.0]
    wire = Wire((200, '{"token":"T1"}'), (200, BATCH), (200, '{"token":"T2"}'), (200, BATCH))
    client = RpcClient(wire, "http://10.0.0.1:8545", username="u", password="p", monotonic=lambda: now[0])
    client.batch(CALLS)
    now[0] = 280.0
    client.batch(CALLS)
    assert wire.asked[3][2]["authorization"] == "Bearer T2"


@pytest.mark.parametrize(
    ("answer", "outcome", "word"),
    [
        ((401, "Authentication failed: the username or password is incorrect."), "unauthorized", "incorrect"),
        ((400, ""), "unauthorized", "no log-in"),
        ((403, '{"message":"Host not authorized."}'), "host_not_allowed", "Host"),
        ((200, "{}"), "protocol", "token"),
        ((200, "[]"), "protocol", "token"),
        ((200, "x"), "protocol", "JSON"),
        ((200, '{"token":"a\\nb"}'), "protocol", "token"),
        ((200, '{"token":""}'), "protocol", "token"),
        ((200, '{"token":"\\u0663"}'), "protocol", "token"),
        ((200, '{"token":{"a":1}}'), "protocol", "token"),
        ((500, ""), "protocol", "500"),
        (HttpError("refused", "nobody"), "refused", "nobody"),
    ],
)
def test_a_log_in_that_fails(answer, outcome, word):
    answers = asked(Wire(answer), username="u", password="secret-word")
    assert {a.outcome for a in answers} == {outcome}
    assert word in answers[0].message
    assert "secret-word" not in answers[0].message


def test_a_given_token_is_used_as_it_is():
    wire = Wire((401, UNAUTHORIZED))
    assert {a.outcome for a in asked(wire, token="J")} == {"unauthorized"}
    assert wire.asked[0][2]["authorization"] == "Bearer J"


def test_get_keeps_a_prefix_of_the_path():
    wire = Wire((503, '{\n  "status" : "DOWN"\n}'), HttpError("refused", "x"))
    client = RpcClient(wire, "http://10.0.0.1/besu/")
    assert client.get("/readiness")[:2] == ("ok", 503)
    assert wire.asked[0][1] == "/besu/readiness"
    assert client.get("/readiness") == ("refused", 0, "")
    for url, target in (("http://10.0.0.1:9545/metrics", "/metrics"), ("http://10.0.0.1:9545", "/")):
        wire = Wire((200, "x 1"))
        assert RpcClient(wire, url).get("") == ("ok", 200, "x 1")
        assert wire.asked[0][1] == target


def test_the_text_of_an_error_is_made_harmless():
    hostile = {"error": {"code": -32000, "message": "\x1b[31m{{ lookup('pipe','x') }}" + "y" * 5000}}
    message = answer_of(hostile).message
    assert len(message) <= 200 and "\x1b" not in message and "{{" not in message
