# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of what connectors, hosts and the API say, under any input; and rules of judgement that always hold."""

from __future__ import annotations

import base64
import json
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import api, classify, endpoints, log
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import log_patterns as words
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import settings as s
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.backoff import reconnect_grace
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import (
    CLOUDFLARED,
    CONNECTED,
    CONNECTING,
    RECONNECTING,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.tunnel_identity import identify
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import procfs as sockets
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpError, Response
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
answers = st.builds(
    Response, st.sampled_from([200, 204, 301, 401, 403, 404, 429, 500, 503]), st.just(""), st.just({}),
    st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()), st.just(0.0),
)  # fmt: skip
ready_bodies = st.fixed_dictionaries(
    {}, optional={"status": json_values, "readyConnections": st.integers(-2, 300) | json_values, "connectorId": st.uuids().map(str) | json_values}
)  # fmt: skip
level_words = st.sampled_from(["INF", "WRN", "ERR", "FTL", "DBG", "XXX"])
phrases = st.sampled_from(
    [
        "Registered tunnel connection connIndex=0",
        "Lost connection with the edge connIndex=1",
        'Register tunnel error from server side error="Unauthorized: Invalid tunnel secret"',
        'Unable to establish connection with Cloudflare edge error="DialContext error: dial tcp 192.0.2.1:7844: i/o timeout"',
        'Failed to dial a quic connection error="failed to dial to edge with quic: timeout" ip=192.0.2.1',
        "You requested 4 HA connections but I can give you at most 1.",
        'Serve tunnel error error="connection with edge closed"',
        "anything else",
    ]
)
log_lines = st.builds(lambda level, text: f"2026-01-01T00:00:00Z {level} {text}", level_words, phrases) | st.text(
    max_size=80
)
logs = st.lists(log_lines, max_size=30).map(lambda lines: [(100.0 + i, line) for i, line in enumerate(lines)])


@given(
    answers
    | st.builds(
        Response,
        st.sampled_from([200, 503]),
        st.just(""),
        st.just({}),
        ready_bodies.map(lambda b: json.dumps(b).encode()),
        st.just(0.0),
    )
)
def test_ready_is_bounded_and_never_contradicts_its_status(answer):
    try:
        ready = endpoints.read_ready(answer)
    except HttpError as exc:
        assert exc.kind == "not_json"
        return
    if ready.connections is None:
        assert ready.problem in ("unsupported", "unexpected")
    else:
        assert 0 <= ready.connections <= 255 and (ready.connections > 0) == (answer.status == 200)
    assert ready.connector_id == "" or UUID.fullmatch(ready.connector_id)


@given(st.text(max_size=500) | st.lists(st.sampled_from([
    "cloudflared_tunnel_tunnel_register_success", "build_info", "process_start_time_seconds", "{", "}", "=", '"', "version", " ", "1", "-", "e9", "NaN", "\n",
])).map("".join))  # fmt: skip
def test_metrics_are_numbers_or_a_word(text):
    found = endpoints.read_metrics(text)
    assert isinstance(found.registered, int) and found.registered >= 0 and found.refused >= 0
    assert len(found.version) <= 60 and found.version.isprintable()


@given(st.text(max_size=300))
def test_files_and_command_lines_never_break(text):
    assert all(isinstance(value, str) for value in s.top_level(text).values())
    seconds = s.duration(text)
    assert seconds is None or seconds >= 0
    found = s.settings_of(["cloudflared", *text.split()], {"TUNNEL_RETRIES": text}, lambda _path: text)
    assert 1 <= found.expected <= 255 and 0 <= found.retries <= 30 and 0 <= found.grace_period <= 180


@given(st.text(alphabet=string.printable, max_size=200))
def test_any_token_file_is_read_without_its_content_in_the_answer(text):
    found = identify(s.Settings({"token_file": "/t"}), lambda _path: text)
    if found.tunnel_id:
        return
    assert found.problem == "token_malformed"
    assert len(text.strip()) < 8 or text.strip() not in repr(found)


@given(st.uuids(), st.binary(min_size=16, max_size=40))
def test_every_token_tells_its_tunnel_and_keeps_its_secret(tunnel, secret):
    kept = base64.b64encode(secret).decode()
    token = base64.b64encode(json.dumps({"a": "0" * 32, "t": str(tunnel), "s": kept}).encode()).decode()
    found = identify(s.Settings({"token": token}, {"token": "argument"}), lambda _path: None)
    assert found.tunnel_id == str(tunnel)
    assert kept not in repr(found) and token not in repr(found)


@given(logs)
def test_a_log_tells_of_trouble_since_the_last_registration_only(records):
    view = log.read_log(records)
    if view.registered_at is not None:
        assert all(line.at > view.registered_at for line in view.trouble)
        assert view.lost_at is None or view.lost_at > view.registered_at
    assert len(view.edge) <= 8 and all(0 < port < 65536 for _host, port in view.edge)


@given(
    st.integers(0, 8) | st.none(), st.integers(0, 9), logs, st.booleans(), st.booleans(), st.sampled_from([m.STARTING, m.RUNNING]),
    st.floats(0, 1000), st.sampled_from(["auto", "quic", "http2"]), st.none() | st.booleans(), st.integers(-1, 3), st.integers(1, 4),
)  # fmt: skip
def test_judgement(count, registered, records, had, remote, state, age, protocol, edge_open, version, minimum):
    ready = classify.Ready(count) if count is not None else classify.Ready(problem="refused")
    unit = classify.ConnectorUnit(state, age, state == m.RUNNING, 150.0)
    rules = classify.Rules(4, minimum, protocol, remote)
    sample = classify.Sample(
        classify.MetricsEndpoint("http://127.0.0.1:1"),
        ready,
        classify.Metrics(registered),
        version,
        had,
        log.read_log(records),
        edge_open,
    )
    verdict = classify.judge(unit, sample, rules)
    assert verdict.reasons and verdict.state in CLOUDFLARED.states
    if verdict.state in (CONNECTED, m.RUNNING):
        assert count is not None and count >= max(minimum, 1)
    if verdict.state in (CONNECTING, RECONNECTING):
        assert count is not None and (count < max(minimum, 1) or verdict.cause == "flapping")
    if count is not None and count >= 1:
        assert verdict.state != m.ERROR  # who serves is not in error for what its log says
    if verdict.state == m.ERROR:
        assert verdict.hard
    if verdict.hard and count == 0:
        assert verdict.state == m.ERROR


@given(st.lists(st.text(max_size=200), max_size=10))
def test_live_causes_are_known_ones_with_their_lines(texts):
    found = words.live_cause(texts)
    if found is not None:
        assert found[0] in words.PATTERNS and 1 <= len(found[1]) <= len(texts)
        assert all(text.isprintable() and len(text) <= 300 for text in found[1])


@given(st.integers(-5, 100), st.booleans())
def test_the_budget_grows_with_the_retries_and_ends(retries, registered):
    assert 15 < reconnect_grace(retries, registered) <= reconnect_grace(retries + 1, registered) <= 3600
    assert reconnect_grace(retries, False) <= reconnect_grace(retries, True)


@given(st.text(max_size=400))
def test_any_socket_table_can_be_read(text):
    for row in sockets.parse_table("head\n" + text):
        assert row.local[1] >= 0


@given(st.text(max_size=80))
def test_any_ssh_connection_can_be_read(text):
    sockets.parse_connection(text)


@given(answers)
def test_every_answer_of_the_api_is_data_or_a_kind(answer):
    try:
        data = api._envelope(answer, "x")
    except api.ApiError as exc:
        assert exc.kind in api.KINDS and exc.msg.isprintable() and len(exc.msg) < 2000
    else:
        assert data["success"] is True and 200 <= answer.status < 300


@given(json_values)
def test_every_connector_is_whole_or_refused(value):
    try:
        found = api._connector(value)
    except api.ApiError:
        return
    assert UUID.fullmatch(found.id) and found.ghost == (found.live == 0)


@given(st.text(max_size=60))
def test_only_a_uuid_is_a_connector(text):
    if UUID.fullmatch(text) and len(text) == 36:
        return
    with pytest.raises(LifecycleError):
        api.ConnectorId(text)
