# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From answers, unit and log to a state: a table, and what a real cloudflared said in each trouble."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import causes
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import log_patterns as words
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.backoff import reconnect_grace
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.classify import (
    YOUNG,
    ConnectorUnit,
    Metrics,
    MetricsEndpoint,
    Ready,
    Rules,
    Sample,
    judge,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.endpoints import (
    read_metrics,
    read_ready,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.guards import last_replica, own_tunnel
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log import (
    ConnectorLog,
    read_line,
    read_log,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import (
    CLOUDFLARED,
    CONNECTED,
    CONNECTING,
    RECONNECTING,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import diagnose
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.rules import GENERIC_RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import Response
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Entry
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.cloudflared.test_endpoints import (
    RECORDED,
    recording,
)

HERE = MetricsEndpoint("http://127.0.0.1:20241", "given")
STARTING = ConnectorUnit(m.STARTING, 5.0, False, 1000.0)
LONG = ConnectorUnit(m.STARTING, 50.0, False, 1000.0)
ACTIVE = ConnectorUnit(m.RUNNING, 500.0, True, 1000.0)
SIMPLE = ConnectorUnit(m.RUNNING, 5.0, False, 1000.0)
OLD = ConnectorUnit(m.RUNNING, 500.0, False, 1000.0)
NOTHING = ConnectorLog()


def look(connections=0, registered=None, **more):
    ready = Ready(connections) if isinstance(connections, int) else Ready(problem=connections)
    return Sample(HERE, ready, Metrics(registered=registered), **more)


@pytest.mark.parametrize(
    ("unit", "sample", "rules", "state", "cause"),
    [
        (ACTIVE, look(4, 4), Rules(), m.RUNNING, None),
        (SIMPLE, look(4, 4), Rules(), m.RUNNING, None),
        (ACTIVE, look(2, 2), Rules(expected=2), m.RUNNING, None),
        (ACTIVE, look(3, 9, log=NOTHING), Rules(), CONNECTED, None),
        (STARTING, look(1, 1, log=NOTHING), Rules(), CONNECTED, None),
        (ACTIVE, look(4, 4, config_version=-1), Rules(remote=True), CONNECTED, None),
        (ACTIVE, look(4, 4, config_version=0), Rules(remote=True), m.RUNNING, None),
        (ACTIVE, look(4, 4, config_version=None), Rules(remote=True), m.RUNNING, None),
        (ACTIVE, look(4, 4, config_version=-1), Rules(), m.RUNNING, None),
        (ACTIVE, look(1, 1, log=ConnectorLog(at_most=1)), Rules(), m.RUNNING, None),
        (ACTIVE, look(1, 1, log=NOTHING), Rules(minimum=2), RECONNECTING, None),
        (STARTING, look(0, 0, log=NOTHING), Rules(), CONNECTING, None),
        (LONG, look(0, 0, log=NOTHING), Rules(), CONNECTING, "edge_mute"),
        (SIMPLE, look(0, 0, log=NOTHING), Rules(), CONNECTING, None),
        (SIMPLE, look(0, 3, log=NOTHING), Rules(), RECONNECTING, None),
        (SIMPLE, look(0, None, had=True, log=NOTHING), Rules(), RECONNECTING, None),
        # READY=1 is sent at the first registration: an active unit of Type=notify had one.
        (ACTIVE, look(0, 0, log=NOTHING), Rules(), RECONNECTING, None),
        (STARTING, look("refused"), Rules(), m.STARTING, None),
        (SIMPLE, look("refused"), Rules(), m.STARTING, None),
        (OLD, look("refused"), Rules(), m.UNKNOWN, "metrics_unreachable"),
        (ACTIVE, look("timeout"), Rules(), m.UNKNOWN, "metrics_unreachable"),
        (SIMPLE, look("not_json"), Rules(), m.UNKNOWN, "metrics_unreachable"),
        (ACTIVE, look("unsupported"), Rules(), m.UNKNOWN, "ready_unsupported"),
        (OLD, Sample(MetricsEndpoint(problem="give metrics")), Rules(), m.UNKNOWN, "metrics_unreachable"),
        (SIMPLE, Sample(MetricsEndpoint(problem="become root")), Rules(), m.UNKNOWN, "metrics_unreachable"),
        (SIMPLE, Sample(MetricsEndpoint(problem="nowhere yet", pending=True)), Rules(), m.STARTING, None),
        (OLD, Sample(MetricsEndpoint(problem="nowhere yet", pending=True)), Rules(), m.UNKNOWN, "metrics_unreachable"),
        (ACTIVE, look(4, 4, lost="the edge no longer knows it"), Rules(), m.ERROR, "half_open"),
        (ACTIVE, look(0, 4, log=NOTHING, lost="the edge no longer knows it"), Rules(), RECONNECTING, None),
    ],
)
def test_states(unit, sample, rules, state, cause):
    verdict = judge(unit, sample, rules)
    assert (verdict.state, verdict.cause) == (state, cause), verdict
    assert verdict.reasons and all(verdict.reasons)
    assert verdict.base_state == CLOUDFLARED.base(state)


def test_the_log_is_wanted_only_where_it_can_say_more():
    assert not judge(ACTIVE, look(4, 4), Rules()).wants_log
    assert judge(ACTIVE, look(3, 4), Rules()).wants_log
    assert judge(ACTIVE, look(0, 4), Rules()).wants_log
    assert not judge(ACTIVE, look(0, 4, log=NOTHING), Rules()).wants_log


def test_a_young_process_may_lack_its_metrics_server():
    assert judge(ConnectorUnit(m.RUNNING, YOUNG - 1, False), look("refused"), Rules()).state == m.STARTING
    assert judge(ConnectorUnit(m.RUNNING, YOUNG, False), look("refused"), Rules()).state == m.UNKNOWN


def records(lines, at=900.0, step=1.0):
    return [(at + index * step, line) for index, line in enumerate(lines)]


def replayed(name, moment="first", unit=LONG, **more):
    seen = recording(name)
    answers = seen["answers"][moment]
    ready = read_ready(Response(answers["/ready"]["status"], "", {}, answers["/ready"]["body"].encode(), 0.0))
    sample = Sample(
        HERE, ready, read_metrics(answers["/metrics"]["body"]), log=read_log(records(until(seen["log"]))), **more
    )
    return judge(unit, sample, Rules(protocol="http2", remote=True))


def until(lines):
    """The log up to the moment of the look: it was told to end only afterwards."""
    ends = [i for i, line in enumerate(lines) if "Initiating graceful shutdown" in line]
    return lines[: ends[0]] if ends else lines


@pytest.mark.parametrize(
    ("name", "state", "cause"),
    [
        ("unauthorized", m.ERROR, "unauthorized"),
        ("unauthorized_json", m.ERROR, "unauthorized"),
        ("edge_refuses_tcp", CONNECTING, "edge_unreachable_tcp"),
        ("edge_drops_packets", CONNECTING, "edge_unreachable_tcp"),
        ("edge_certificate_untrusted", m.ERROR, "edge_certificate"),
        ("duplicate_connection", CONNECTING, "duplicate_connection"),
        ("control_stream_never_opened", CONNECTING, "edge_mute"),
        ("quic_blocked_pinned", CONNECTING, "edge_unreachable_udp"),
        ("quic_blocked_auto", CONNECTING, "edge_unreachable_udp"),
    ],
)
def test_what_a_real_connector_says(name, state, cause):
    verdict = replayed(name)
    assert (verdict.state, verdict.cause) == (state, cause), verdict
    assert verdict.hard == (state == m.ERROR)


def test_a_real_cut_and_the_way_back():
    seen = recording("connect_cut_reconnect")
    lines = seen["log"]
    cut_at = next(i for i, line in enumerate(lines) if "Lost connection" in line)
    view = read_log(records(lines[: cut_at + 14]))
    assert view.registered_at is not None and view.lost_at == 900.0 + cut_at
    answers = seen["answers"]["cut"]
    ready = read_ready(Response(503, "", {}, answers["/ready"]["body"].encode(), 0.0))
    verdict = judge(ACTIVE, Sample(HERE, ready, read_metrics(answers["/metrics"]["body"]), log=view), Rules())
    assert (verdict.state, verdict.cause, verdict.since) == (RECONNECTING, "edge_closed", view.gone_at)
    back = read_log(records(until(lines)))
    assert back.lost_at is None
    assert judge(ACTIVE, Sample(HERE, Ready(4), Metrics(8), log=back), Rules()).state == m.RUNNING


def outage(at, lasts=2.0, connections=4):
    """The lines of a cut and of the way back, as a real connector writes them."""
    ended = 'Serve tunnel error error="connection with edge closed"'
    for index in range(connections):
        yield at, f"2026-01-01T00:00:00Z INF Lost connection with the edge connIndex={index}"
        yield at, f"2026-01-01T00:00:00Z WRN {ended} connIndex={index} event=0 ip=127.0.0.{index + 1}"
        yield at, f"2026-01-01T00:00:00Z INF Retrying connection in up to 1s connIndex={index} event=0"
    for index in range(connections):
        yield at + 0.5, f'2026-01-01T00:00:00Z ERR Connection terminated error="EOF" connIndex={index}'
    for index in range(connections):
        yield (
            at + lasts + index * 0.2,
            f"2026-01-01T00:00:00Z INF Registered tunnel connection connIndex={index} connection=1e0f ip=127.0.0.1",
        )


def at_moment(cuts, now, **more):
    """What is made of a connector that was cut at these moments, seconds since the epoch."""
    lines = [*registrations(100.0), *(line for at in cuts for line in outage(at, **more))]
    seen = [(at, text) for at, text in lines if at <= now]
    alive: set[str] = set()
    for _at, text in seen:
        index = text.partition("connIndex=")[2][:1]
        alive = alive | {index} if "Registered" in text else alive - {index}
    registered = sum("Registered" in text for _at, text in seen)
    unit = ConnectorUnit(m.RUNNING, now - 100.0, True, now)
    sample = look(len(alive), registered)
    verdict = judge(unit, sample, Rules())
    if verdict.wants_log:
        verdict = judge(unit, replace(sample, log=read_log(seen, now=now)), Rules())
    return verdict


def registrations(at):
    return [(at, f"2026-01-01T00:00:00Z INF Registered tunnel connection connIndex={index}") for index in range(4)]


@pytest.mark.parametrize("every", [3.0, 7.0, 20.0, 50.0])
def test_what_flaps_does_so_at_every_look(every):
    """Whether all its connections, some or none are there at the moment of the look."""
    cuts = [1000.0 + index * every for index in range(6)]
    third = cuts[2]
    looks = [at_moment(cuts, third + index * 0.3) for index in range(int((cuts[-1] + 60.0 - third) / 0.3))]
    assert {(one.state, one.cause) for one in looks} == {(RECONNECTING, "flapping")}
    assert {one.since for one in looks} == {1000.0}
    assert all("all connections were lost" in one.reasons[0] and not one.hard for one in looks)
    later = at_moment(cuts, cuts[-1] + 61.0)
    assert (later.state, later.cause) == (m.RUNNING, None)


@pytest.mark.parametrize(
    ("cuts", "now", "state"),
    [
        ([1000.0, 1010.0], 1015.0, m.RUNNING),
        ([1000.0, 1300.0, 1600.0], 1605.0, m.RUNNING),
        ([1000.0, 1010.0, 1020.0], 1090.0, m.RUNNING),
        ([1000.0, 1010.0, 1020.0], 1025.0, RECONNECTING),
    ],
)
def test_a_few_outages_are_no_flapping(cuts, now, state):
    assert at_moment(cuts, now).state == state


@pytest.mark.parametrize("now", [1000.5, 1003.0, 1020.5, 1023.0, 1030.5, 1033.0])
def test_one_that_keeps_a_connection_does_not_flap(now):
    """Three of four come and go: the tunnel is served all the time."""
    cuts = [1000.0, 1010.0, 1020.0, 1030.0]
    assert at_moment(cuts, now, connections=3).state in (CONNECTED, m.RUNNING)


@pytest.mark.parametrize(
    ("protocol", "times", "edge_open", "cause"),
    [
        ("quic", 3, True, "protocol_blocked"),
        ("quic", 2, True, "edge_unreachable_udp"),
        ("quic", 3, False, "edge_unreachable_udp"),
        ("quic", 3, None, "edge_unreachable_udp"),
        ("auto", 9, True, "edge_unreachable_udp"),
    ],
)
def test_blocked_udp_is_hard_only_where_it_is_proved(protocol, times, edge_open, cause):
    line = 'T12:34:39Z0 ERR Failed to dial a quic connection error="failed to dial to edge with quic: timeout" ip=127.0.0.1'
    log = read_log(records([line] * times))
    assert log.edge == (("127.0.0.1", 7844),)
    verdict = judge(LONG, look(0, 0, log=log, edge_open=edge_open), Rules(protocol=protocol))
    assert verdict.cause == cause
    assert (verdict.state == m.ERROR) == (cause == "protocol_blocked")


def test_old_trouble_does_not_name_the_cause():
    old = records(['x2026-01-01 ERR Register tunnel error error="Unauthorized: no"'], at=0.0)
    new = records(['x2026-01-01 ERR Connection terminated error="connection with edge closed"'], at=900.0)
    assert judge(ACTIVE, look(0, 4, log=read_log(old + new)), Rules()).cause == "edge_closed"
    registered = records(["x2026-01-01 INF Registered tunnel connection connIndex=0"], at=1.0)
    assert judge(ACTIVE, look(0, 4, log=read_log(old + registered)), Rules()).cause is None


USED_UP = 'Connection terminated error="there are no free edge addresses left to resolve to" connIndex=0'
RESET = 'Unable to establish connection with Cloudflare edge error="TLS handshake with edge error: reset by peer"'


@pytest.mark.parametrize(
    ("lines", "state", "cause"),
    [
        ([USED_UP], RECONNECTING, None),
        ([RESET, USED_UP], RECONNECTING, "edge_unreachable_tcp"),
        (["You requested 4 HA connections but I can give you at most 0."], m.ERROR, "no_edge_address"),
    ],
)
def test_one_that_lives_tries_addresses_again_that_it_has_used_up(lines, state, cause):
    log = read_log(records([f"x2026-01-01 ERR {line}" for line in lines]))
    verdict = judge(ACTIVE, look(0, 4, log=log), Rules())
    assert (verdict.state, verdict.cause) == (state, cause)


def test_one_that_ends_for_want_of_an_address_has_none():
    facts = {"Id": "c.service", "InvocationID": "i1", "ActiveState": "failed", "SubState": "failed",
             "Result": "exit-code", "ExecMainCode": "1", "ExecMainStatus": "1"}  # fmt: skip
    found = diagnose(facts, [entry(f"x2026-01-01 ERR {USED_UP}")], rules=(*causes.RULES, *GENERIC_RULES)).primary
    assert (found.id, found.severity) == ("no_edge_address", "hard")


def test_hostile_log_lines_are_shown_harmless():
    line = 'x2026-01-01 ERR DialContext error \x1b[31m{{ lookup("x") }}<script> eyJ' + "A" * 500
    verdict = judge(STARTING, look(0, 0, log=read_log(records([line]))), Rules())
    assert verdict.cause == "edge_unreachable_tcp"
    assert not any(bad in " ".join(verdict.reasons) for bad in ("\x1b", "{{", "<s", "AAAA"))


@pytest.mark.parametrize(
    "raw", ["", "{", "{}", '{"message":1}', "[" * 3000, "{" * 3000, "\0", '{"message":"x","error":{}}']
)
def test_any_line_can_be_read(raw):
    assert read_line(1.0, raw).at == 1.0


def entry(message, *, pid="9", by_manager=False, **fields):
    known = {"_PID": "1" if by_manager else pid, "_TRANSPORT": "stdout", **fields}
    return Entry(
        10.0,
        10.0,
        "b",
        "i1",
        6,
        message,
        "cloudflared.service",
        "cloudflared",
        9,
        fields.get("MESSAGE_ID", ""),
        "",
        known,
    )


def cause_of_end(name, **properties):
    seen = recording(name)
    facts = {
        "Id": "cloudflared.service", "InvocationID": "i1", "ActiveState": "activating", "SubState": "auto-restart",
        "Result": "exit-code", "ExecMainCode": "1", "ExecMainStatus": str(seen["exit"]), "ExecMainPID": "9", **properties,
    }  # fmt: skip
    found = diagnose(facts, [entry(line) for line in seen["log"]], rules=(*causes.RULES, *GENERIC_RULES))
    return found.primary


@pytest.mark.parametrize(
    ("name", "cause", "severity"),
    [
        ("token_malformed", "token_malformed", "hard"),
        ("token_file_malformed", "token_malformed", "hard"),
        ("token_file_missing", "token_unreadable", "hard"),
        ("credentials_file_missing", "token_unreadable", "hard"),
        ("no_tunnel_named", "config_invalid", "hard"),
        ("config_invalid", "config_invalid", "hard"),
        ("metrics_address_invalid", "config_invalid", "hard"),
        ("metrics_port_taken", "address_in_use", "hard"),
        ("names_not_resolved", "dns", "soft"),
        ("edge_name_not_resolved", "dns", "soft"),
        ("edge_closes", "edge_closed", "soft"),
        ("registration_refused", "registration_refused", "soft"),
        ("registration_unanswered", "edge_silent", "soft"),
    ],
)
def test_why_a_real_connector_ended(name, cause, severity):
    found = cause_of_end(name)
    assert (found.id, found.severity) == (cause, severity), found
    assert found.evidence and found.next_step


@pytest.mark.parametrize("name", ["flag_on_wrong_level", "flag_unknown", "environment_not_a_number"])
def test_exit_0_at_once_is_an_error(name):
    """Under Type=notify systemd calls it a protocol error; cloudflared itself says 0."""
    assert recording(name)["exit"] == 0
    found = cause_of_end(name, Result="protocol")
    assert (found.id, found.severity) == ("unknown_flag", "hard")


def test_an_update_is_no_crash():
    facts = {"Id": "c.service", "InvocationID": "i1", "ActiveState": "failed", "SubState": "failed", "Result": "exit-code",
             "ExecMainCode": "1", "ExecMainStatus": "11", "Restart": "no"}  # fmt: skip
    found = diagnose(facts, [entry("INF cloudflared has been updated")], rules=(*causes.RULES, *GENERIC_RULES)).primary
    assert (found.id, found.severity) == ("auto_update", "soft")


def test_a_start_that_systemd_ended_names_what_the_log_knows():
    facts = {"Id": "c.service", "InvocationID": "i1", "ActiveState": "activating", "SubState": "auto-restart",
             "Result": "timeout", "ExecMainCode": "1", "ExecMainStatus": "0"}  # fmt: skip
    said = entry("c.service: start operation timed out. Terminating.", by_manager=True)
    rules = (*causes.RULES, *GENERIC_RULES)
    assert diagnose(facts, [said, entry("x INF hello")], rules=rules).primary.id == "start_timeout"
    lines = [entry(line) for line in until(recording("edge_refuses_tcp")["log"])]
    assert diagnose(facts, [*lines, said], rules=rules).primary.id == "edge_unreachable_tcp"


def test_a_cause_that_was_observed_comes_first():
    facts = {"Id": "c.service", "InvocationID": "i1", "ActiveState": "active", "Result": "success"}
    rule = causes.observed_rule("unauthorized", ("token file /etc/t",))
    found = diagnose(
        facts, [entry("x ERR something")], rules=(rule, *causes.RULES, *GENERIC_RULES), failing=True
    ).primary
    assert (found.id, found.severity, found.evidence) == ("unauthorized", "hard", ("token file /etc/t",))
    assert causes.observed_rule("nonsense", ()) is None


NOT_NOW = "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time"


@pytest.mark.parametrize(
    ("said", "first"),
    [
        (f"{NOT_NOW} 2020-01-01T00:00:00Z is before 2026-08-01T00:00:00Z", "check the clock of this host first"),
        (f"{NOT_NOW} 2026-08-01T00:00:00Z is after 2020-01-01T00:00:00Z", "something between here and the edge"),
        ("x509: certificate signed by unknown authority", "something between here and the edge"),
    ],
)
@pytest.mark.parametrize(
    "where",
    [
        'Unable to establish connection error="TLS handshake with edge error: ',
        'Failed to dial a quic connection error="failed to dial to edge with quic: CRYPTO_ERROR 0x12a (local): ',
    ],
    ids=["http2", "quic"],
)
def test_a_certificate_that_is_not_yet_valid_names_the_clock_first(where, said, first):
    """Of a connector that ended, and of one that lives."""
    line = f'x2026-01-01 ERR {where}{said}" connIndex=0'
    verdict = judge(STARTING, look(0, 0, log=read_log(records([line]))), Rules())
    assert (verdict.state, verdict.cause) == (m.ERROR, "edge_certificate")
    assert causes.observed_rule(verdict.cause, verdict.evidence).next_step.startswith(first)
    facts = {"Id": "c.service", "InvocationID": "i1", "ActiveState": "failed", "SubState": "failed",
             "Result": "exit-code", "ExecMainCode": "1", "ExecMainStatus": "1"}  # fmt: skip
    found = diagnose(facts, [entry(line)], rules=(*causes.RULES, *GENERIC_RULES)).primary
    assert found.id == "edge_certificate" and found.next_step.startswith(first)


def test_every_cause_has_words_and_a_class():
    assert set(words.PATTERNS) | {"protocol_blocked", "half_open", "edge_mute"} <= set(causes.BY_ID)
    assert set(causes.BY_ID) >= words.HARD
    for rule in causes.BY_ID.values():
        assert (rule.severity == "hard") == (rule.cause in words.HARD)
        assert rule.summary and rule.next_step


def test_patterns_take_linear_time():
    for pattern in words.PATTERNS.values():
        for text in ("a" * 20000, "error=" * 4000, 'error="' * 3000, "Tunnel credentials file " * 900):
            assert re.search(pattern, text[:20000]) is None


def test_every_recording_is_used():
    names = {name[:-5] for name in os.listdir(RECORDED) if name.endswith(".json")}
    with open(__file__, encoding="utf-8") as stream:
        text = stream.read()
    assert {name for name in names if f'"{name}"' not in text} == set()


@pytest.mark.parametrize(
    ("retries", "registered", "seconds"),
    [
        (5, True, 32 + 320 + 15),
        (5, False, 32 + 15),
        (1, True, 2 + 20 + 15),
        (0, True, 1 + 10 + 15),
        (30, True, 3600),
        (-1, False, 16),
    ],
)
def test_natural_budget(retries, registered, seconds):
    assert reconnect_grace(retries, registered) == seconds


@pytest.mark.parametrize(
    ("serving", "others", "refused"), [(0, None, False), (0, 0, False), (4, None, True), (4, 0, True), (1, 1, False)]
)
def test_the_last_healthy_replica_stays(serving, others, refused):
    block = last_replica(serving, others)
    assert (block is not None) == refused
    assert block is None or (block.guard == "last_replica" and block.hint)


@pytest.mark.parametrize(("carries", "refused"), [(False, False), (True, True), (None, True)])
def test_the_tunnel_of_this_run_is_not_cut(carries, refused):
    block = own_tunnel(carries, 7)
    assert (block is not None) == refused
    assert block is None or block.guard == "own_tunnel"
