# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes and the HTTP client under any input: thresholds hold, parsers never break."""

from __future__ import annotations

import socket
import threading

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpError, Response, parse_url
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.message import Wire, read_answer
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.transport import ERROR_KINDS, Deadline
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.parse import (
    PROBE_OPTIONS,
    Probe,
    ProbeOptionError,
    TcpCheck,
    follow_json_path,
    parse_json_path,
    parse_probes,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.run import ProbeResult, ProbeTracker, run_probe

HEALTHY, UNHEALTHY, UNOBSERVABLE, PENDING = "healthy", "unhealthy", "unobservable", "pending"

thresholds = st.integers(1, 5)
verdicts = st.lists(st.sampled_from([HEALTHY, UNHEALTHY, UNOBSERVABLE]), max_size=40)


def fold(found, *, failures=1, successes=1, grace=0.0, started=None, step=1.0):
    """Every tracker on the way, and the time of its result."""
    tracker = ProbeTracker(Probe("p", TcpCheck(1), 1, 1, failures, successes, grace), started)
    trackers = []
    for number, verdict in enumerate(found):
        at = number * step
        tracker = tracker.add(ProbeResult("p", "tcp", verdict, "", 0.0), at)
        trackers.append((at, tracker))
    return trackers


def row(found, verdict):
    """How many observable results at the end are this verdict."""
    count = 0
    for one in reversed([one for one in found if one != UNOBSERVABLE]):
        if one != verdict:
            return count
        count += 1
    return count


@given(verdicts, thresholds, thresholds)
def test_a_change_of_verdict_needs_its_row(found, failures, successes):
    before = PENDING
    for number, (_at, tracker) in enumerate(fold(found, failures=failures, successes=successes), 1):
        if tracker.health != before:
            if tracker.health == UNHEALTHY:
                assert row(found[:number], UNHEALTHY) >= failures
            elif tracker.health == HEALTHY:
                assert row(found[:number], HEALTHY) >= successes
            elif tracker.health == UNOBSERVABLE:
                assert number >= failures and set(found[number - failures : number]) == {UNOBSERVABLE}
            else:
                assert before == UNOBSERVABLE
        before = tracker.health


@given(verdicts, thresholds, thresholds)
def test_a_row_long_enough_always_decides(found, failures, successes):
    for verdict, needed in ((UNHEALTHY, failures), (HEALTHY, successes), (UNOBSERVABLE, failures)):
        trackers = fold(found + [verdict] * needed, failures=failures, successes=successes)
        assert trackers[-1][1].health == verdict


@given(verdicts, thresholds, st.floats(0, 50), st.floats(0.1, 5))
def test_never_unhealthy_in_the_grace_unless_it_was_healthy(found, failures, grace, step):
    was_healthy = False
    for at, tracker in fold(found, failures=failures, grace=grace, started=0.0, step=step):
        was_healthy = was_healthy or tracker.health == HEALTHY
        if at < grace and not was_healthy:
            assert tracker.health != UNHEALTHY
    # and it ends: enough failures after it always decide
    after = [UNHEALTHY] * (int(grace / step) + 1 + failures)
    assert fold(found + after, failures=failures, grace=grace, started=0.0, step=step)[-1][1].health == UNHEALTHY


@given(st.lists(st.integers(1, 4), min_size=1, max_size=20), thresholds)
def test_flapping_below_the_threshold_stays_healthy(bursts, successes):
    found = [HEALTHY] * successes
    for burst in bursts:
        found += [UNHEALTHY] * burst + [HEALTHY]
    healths = {tracker.health for _at, tracker in fold(found, failures=5, successes=successes)[successes - 1 :]}
    assert healths == {HEALTHY}


@given(verdicts, thresholds, st.floats(0, 50))
def test_what_is_not_open_was_decided_or_waits_for_a_start(found, failures, grace):
    for at, tracker in fold(found, failures=failures, grace=grace, started=0.0):
        if not tracker.open(at):
            assert tracker.health != PENDING or tracker.in_grace(at)


keys = st.text(st.characters(exclude_characters=".[]\"'$", exclude_categories=("Cs", "Z", "C")), min_size=1, max_size=8)


@given(st.lists(st.one_of(keys, st.integers(0, 3)), min_size=1, max_size=6))
def test_json_paths_are_read_as_written(steps):
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
    assert parse_json_path(text) == tuple(steps)
    document = "found"
    for step in reversed(steps):
        document = [document] * (step + 1) if isinstance(step, int) else {step: document}
    assert follow_json_path(document, parse_json_path(text)) == "found"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.text(max_size=30), json_values)
def test_any_json_path_is_taken_or_refused(text, document):
    try:
        path = parse_json_path(text)
    except ValueError:
        return
    try:
        follow_json_path(document, path)
    except LookupError:
        pass


option_values = (
    json_values | st.floats() | st.binary(max_size=5) | st.sampled_from(["http", "tcp", "command", "http://h"])
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.dictionaries(st.sampled_from(sorted(PROBE_OPTIONS["options"])), option_values) | option_values, max_size=3
    )
)
def test_any_options_are_taken_or_refused_by_name(options):
    try:
        assert len(parse_probes(options)) == len(options)
    except ProbeOptionError as exc:
        assert exc.option.startswith("probes[")


@given(st.text(max_size=60) | st.text("htp:/@[]%?#.x1", max_size=30).map(lambda text: "http://" + text))
def test_any_url_is_taken_or_refused(text):
    try:
        url = parse_url(text)
    except HttpError as exc:
        assert exc.kind == "bad_url"
        return
    assert 0 < url.port < 65536 and url.host and url.target.startswith("/")
    assert not url.userinfo or f"{url.userinfo}@" not in url.safe


sendable = "".join(chr(code) for code in range(256) if chr(code).isprintable())
secrets = st.text(sendable, min_size=4, max_size=30).filter(lambda text: text.strip() == text)


@given(secrets, st.text(max_size=50), st.text(max_size=50), st.sampled_from([200, 500]))
def test_no_header_value_comes_back(secret, before, after, status):
    class Echo:
        def request(self, *_args, **_kwargs):
            return Response(status, "", {}, f"{before}{secret}{after}".encode("utf-8", "replace"), 0.0)

    class Clock:
        def monotonic(self):
            return 0.0

    options = {"kind": "http", "url": "http://h", "headers": {"X-Key": secret}, "body_regex": r"(?!)"}
    detail = run_probe(parse_probes([options])[0], http=Echo(), runner=None, clock=Clock()).detail
    fixed = f"status {status}, not 200" if status != 200 else "the body does not match body_regex"
    assert detail.startswith(fixed)
    assert secret not in detail.removeprefix(fixed).replace("[redacted]", "")


pieces = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.0 204 X", b"\r\n", b"\n", b": ", b"Content-Length", b"Transfer-Encoding", b"chunked"]
    + [b"5", b"0", b"ff", b";a", b"hello", b"Content-Encoding: gzip", b"Connection: close", b"HTTP/1.1 100 C\r\n\r\n"]
)
streams = st.binary(max_size=200) | st.lists(pieces | st.binary(max_size=4), max_size=25).map(b"".join)


@given(streams, st.sampled_from(["GET", "HEAD"]), st.integers(0, 50))
def test_any_bytes_are_an_answer_within_the_limit_or_an_error(stream, method, limit):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(stream)
        theirs.shutdown(socket.SHUT_WR)
        wire = Wire(ours, "test")
        wire.deadline = Deadline(5)
        try:
            response, _keep = read_answer(wire, method, limit)
        except HttpError as exc:
            assert exc.kind in ("protocol", "too_large", "encoding", "reset") and exc.kind in ERROR_KINDS
        else:
            assert len(response.body) <= limit and 200 <= response.status <= 999


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=3000), st.lists(st.integers(1, 700), min_size=1, max_size=10), st.booleans())
def test_the_cut_into_packets_changes_nothing(body, sizes, chunked):
    if chunked:
        framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:1000], body[1000:]) if part)
        stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"
    else:
        stream = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    ours, theirs = socket.socketpair()

    def send():
        at = number = 0
        while at < len(stream):
            size = sizes[number % len(sizes)]
            theirs.sendall(stream[at : at + size])
            at, number = at + size, number + 1

    with ours, theirs:
        thread = threading.Thread(target=send)
        thread.start()
        wire = Wire(ours, "test")
        wire.deadline = Deadline(5)
        response, keep = read_answer(wire, "GET", 3000)
        thread.join()
    assert response.body == body and keep and not wire.buffer
