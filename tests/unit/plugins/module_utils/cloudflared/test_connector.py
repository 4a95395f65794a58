# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind: what it adds to an observation, when it acts or waits, what it refuses."""

from __future__ import annotations

import json
import os
import typing as t
from types import SimpleNamespace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.connector import CloudflaredKind
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.monitor import ConnectorMonitor
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.options import CONNECTOR_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.settings import Settings
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Entry, JournalRecords
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.log_states import Stretch
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Context, Limits, classify
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Environment
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.cloudflared.test_endpoints import reply
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.cloudflared.test_settings import (
    SECRET,
    TOKEN,
    TUNNEL,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.hostile import free_port, servers
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock

IDS = ("19dfd5eb-87fc-4f30-ad94-bc189e47f0bc", "29dfd5eb-87fc-4f30-ad94-bc189e47f0bc")
DEFAULTS = {name: spec.get("default") for name, spec in CONNECTOR_OPTIONS.items()}
UP = {
    "Id": "cloudflared.service",
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "Type": "notify",
    "MainPID": "7",
    "InvocationID": "one",
    "InactiveExitTimestampMonotonic": "900000000",
    "ActiveEnterTimestampMonotonic": "902000000",
    "StateChangeTimestampMonotonic": "902000000",
}
STARTING = {**UP, "ActiveState": "activating", "SubState": "start"}
ENDED = {
    **UP,
    "ActiveState": "activating",
    "SubState": "auto-restart",
    "MainPID": "0",
    "Result": "exit-code",
    "ExecMainCode": "1",
    "ExecMainStatus": "255",
    "ExecMainPID": "7",
    "InactiveEnterTimestampMonotonic": "903000000",
}


class World:
    """One host: a process 7 in a made-up /proc, a real metrics server, a journal, virtual time."""

    def __init__(self, tmp_path, start, **params):
        self.clock = VirtualClock()
        self.ready: t.Any = 4
        self.registered, self.version, self.identity, self.requests = 4, 1, IDS[0], None
        self.lines = []
        self.server = start(self._answer)
        self.proc = tmp_path / "proc"
        self.token = tmp_path / "token"
        self.token.write_text(TOKEN)
        os.utime(self.token, (1.0, 1.0))
        base = self.proc / "7"
        base.mkdir(parents=True)
        (base / "comm").write_text("cloudflared\n")
        (base / "cmdline").write_bytes(b"/usr/bin/cloudflared\0tunnel\0run\0")
        environ = {"TUNNEL_TOKEN_FILE": str(self.token), "TUNNEL_RETRIES": "1", "TUNNEL_GRACE_PERIOD": "3s"}
        (base / "environ").write_bytes(b"\0".join(f"{k}={v}".encode() for k, v in environ.items()) + b"\0")
        self.params = {**DEFAULTS, "metrics": f"127.0.0.1:{self.server.port}", "own_tunnel": False, **params}
        environment = Environment("c", self.clock, None, None, lambda: t.cast(t.Any, self))
        self.kind = CloudflaredKind(
            environment, self.params, ConnectorMonitor(self.params, self.clock, proc=str(self.proc))
        )

    def _answer(self, server, sock):
        while True:
            request = server.read_request(sock)
            if not request:
                return
            sock.sendall(self._body(request.split(b" ")[1]))

    def _body(self, path):
        if path == b"/ready":
            if self.ready is None:
                return reply("404", 404)
            data = {"status": 200 if self.ready else 503, "readyConnections": self.ready, "connectorId": self.identity}
            return reply(json.dumps(data), data["status"])
        if path == b"/metrics":
            name = "cloudflared_tunnel_tunnel_register_success"
            counted = "" if self.requests is None else f"cloudflared_tunnel_total_requests {self.requests}\n"
            return reply(
                f'{name}{{rpcName="registerConnection"}} {self.registered}\nprocess_start_time_seconds 1\n{counted}'
            )
        return reply(json.dumps({"version": self.version, "config": {}}))

    # What the kind uses of a journal.
    def manager_records(self, units, since):
        return JournalRecords(())

    def invocation(self, unit, invocation, **more):
        entries = [
            Entry(self.clock.wall() - 1.0, 0.0, "", invocation, 6, text, unit, "cloudflared", 7, "", "", {"_PID": "7"})
            if not isinstance(text, Entry)
            else text
            for text in self.lines
        ]
        return JournalRecords(tuple(entries))

    def see(self, properties=None, **context):
        facts = UnitFacts("cloudflared.service", UP if properties is None else properties)
        limits = Limits(thrash_restarts=5)
        seen = classify("c", facts, Context(self.clock.now, self.clock.wall(), limits=limits, **context), "cloudflared")
        return self.kind.classify(seen)

    def line(self, text):
        self.lines.append(f"2026-01-01T00:00:00Z ERR {text}")


@pytest.fixture
def make(tmp_path):
    with servers() as start:
        yield lambda **params: World(tmp_path, start, **params)


RESTART = m.Step(m.RUNNING, "restart", m.RESTARTING)
STOP = m.Step(m.RUNNING, "stop", m.STOPPING)
START = m.Step(m.STOPPED, "start", m.STARTING)


def test_running_says_all_that_is_known_and_no_secret(make):
    seen = make().see()
    about = seen.as_dict()["cloudflared"]
    assert (seen.state, seen.base_state, seen.cause) == ("running", "running", None)
    assert (about["tunnel_id"], about["connector_id"], about["connections"]) == (TUNNEL, IDS[0], 4)
    assert (about["retries"], about["grace_period"], about["reconnect_grace"]) == (1, 3.0, 37.0)
    assert about["metrics_found"] == "option metrics"
    assert TOKEN not in json.dumps(seen.as_dict()) and SECRET not in json.dumps(seen.as_dict())


def test_a_healthy_connector_costs_neither_journal_nor_metrics(make):
    world = make()
    world.invocation = None
    for _round in range(3):
        world.see()
        world.clock.sleep(1)
    asked = [request.split(b" ")[1] for request in world.server.requests]
    assert asked == [b"/ready", b"/metrics", b"/config", b"/ready", b"/ready"]


def test_what_it_has_now_tells_of_the_past_where_its_log_is_in_the_journal(make):
    world = make()
    silence = Stretch(0, 100, (), 0, False, True)
    logged = {**UP, "StandardOutput": "journal", "StandardError": "inherit"}
    for properties, state in ((logged, "running"), ({**logged, "StandardOutput": "null"}, "unknown")):
        seen = world.see(properties)
        assert world.kind.log_states(seen).states(silence) == [(0, state)]
    world.ready = 2
    assert world.kind.log_states(world.see(logged)).states(silence) == [(0, "connected")]


def test_reconnecting_waits_for_the_budget_then_is_overdue(make):
    world = make()
    world.see()
    world.ready = 0
    world.line('Serve tunnel error error="connection with edge closed" connIndex=0')
    seen = world.see()
    assert (seen.state, seen.cause) == ("reconnecting", "edge_closed")
    assert not world.kind.restart_is_due(seen, "reconnected")
    kept = world.invocation("cloudflared.service", "one")
    world.invocation = lambda *a, **k: kept
    world.clock.sleep(36.1)
    seen = world.see()
    assert seen.age == pytest.approx(37.1) and world.kind.restart_is_due(seen, "reconnected")
    assert not world.kind.restart_is_due(seen, "running") and not world.kind.restart_is_due(seen, "connected")
    assert world.kind.lasting_cause(seen, "reconnected") is None


def test_what_others_of_its_connections_lost_long_ago_does_not_count_against_the_budget(make):
    world = make()
    world.see()

    def line(ago, text):
        at = world.clock.wall() - ago
        world.lines.append(Entry(at, 0.0, "", "one", 6, f"2026-01-01T00:00:00Z {text}", "", "", 7, "", "", {}))

    line(50_000, "INF Starting tunnel")
    line(36_000, 'WRN Serve tunnel error error="connection with edge closed" connIndex=3')
    line(1, 'ERR Serve tunnel error error="connection with edge closed" connIndex=0')
    line(172_800, 'ERR Register tunnel error from server side error="Unauthorized: Failed to get tunnel" connIndex=3')
    world.ready = 0
    seen = world.see()
    assert (seen.state, seen.cause, seen.age) == ("reconnecting", "edge_closed", 1.0)
    assert not world.kind.restart_is_due(seen, "reconnected")
    world.ready = 3
    world.lines = world.lines[-1:]
    world.clock.sleep(3)
    seen = world.see()
    assert (seen.state, seen.cause, world.kind.lasting_cause(seen, "running")) == ("connected", None, None)


def test_no_restart_while_the_edge_cannot_be_reached(make):
    world = make(reconnect_grace=0.0)
    world.see()
    world.ready = 0
    world.line(f"DialContext error: dial tcp 127.0.0.1:{free_port()}: connect: connection refused")
    seen = world.see()
    assert (seen.state, seen.cause) == ("reconnecting", "edge_unreachable_tcp")
    assert seen.details["edge_reachable"] is False and not world.kind.restart_is_due(seen, "reconnected")
    world.lines = [f"x2026-01-01 ERR DialContext error: dial tcp 127.0.0.1:{world.server.port}: i/o timeout"]
    world.clock.sleep(10)
    seen = world.see()
    assert seen.details["edge_reachable"] is True and world.kind.restart_is_due(seen, "reconnected")


@pytest.mark.parametrize(("protocol", "overdue"), [("http2", False), ("auto", True), ("quic", True)])
def test_the_way_to_the_edge_is_tried_before_anything_says_that_it_is_cut(make, protocol, overdue):
    world = make(reconnect_grace=0.0)
    world.see()
    world.ready = 0
    told = f"TUNNEL_EDGE=127.0.0.1:{free_port()}\0TUNNEL_TRANSPORT_PROTOCOL={protocol}\0"
    (world.proc / "7" / "environ").write_bytes(told.encode())
    world.line('Serve tunnel error error="connection with edge closed" connIndex=0 event=0 ip=127.0.0.1')
    seen = world.see({**UP, "InvocationID": "two"})
    cause = "edge_unreachable_tcp" if protocol == "http2" else "edge_closed"
    assert (seen.cause, seen.details["edge_reachable"]) == (cause, False)
    world.clock.sleep(1.0)
    assert world.kind.restart_is_due(seen, "reconnected") == overdue


@pytest.mark.parametrize("variable", ["TUNNEL_TOKEN", "TUNNEL_TOKEN_FILE"])
def test_a_new_token_in_an_environment_file_is_noticed(make, variable):
    world = make()
    world.ready = world.registered = 0
    world.line('Register tunnel error from server side error="Unauthorized: Invalid tunnel secret" connIndex=0')
    given = TOKEN if variable == "TUNNEL_TOKEN" else str(world.token)
    (world.proc / "7" / "environ").write_bytes(f"{variable}={given}\0".encode())
    path = world.proc.parent / "a file"
    path.write_text("TUNNEL_TOKEN=another\n")
    os.utime(path, (1.0, 1.0))
    unit = {**STARTING, "EnvironmentFiles": f"/none (ignore_errors=yes) {path} (ignore_errors=no)"}
    assert world.see(unit).cause == "unauthorized"
    os.utime(path, (world.clock.wall(), world.clock.wall()))
    seen = world.see(unit)
    assert seen.cause == ("token_replaced" if variable == "TUNNEL_TOKEN" else "unauthorized")
    assert (str(path) in " ".join(seen.reasons)) == (variable == "TUNNEL_TOKEN")


def test_a_new_token_in_a_file_from_which_the_command_line_takes_it_is_noticed(make):
    world = make()
    world.ready = world.registered = 0
    world.line('Register tunnel error from server side error="Unauthorized: Invalid tunnel secret" connIndex=0')
    (world.proc / "7" / "cmdline").write_bytes(f"cloudflared\0tunnel\0run\0--token\0{TOKEN}\0".encode())
    path, unit = world.proc.parent / "env", world.proc.parent / "c.service"
    path.write_text("TOKEN=another\n")
    unit.write_text(f"[Service]\nEnvironmentFile={path}\nExecStart=cloudflared tunnel run --token ${{TOKEN}}\n")
    files = {"EnvironmentFiles": f"{path} (ignore_errors=no)", "FragmentPath": str(unit)}
    os.utime(path, (1.0, 1.0))
    assert world.see({**STARTING, **files}).cause == "unauthorized"
    assert str(path) in world.kind.causes()[0].next_step
    os.utime(path, (world.clock.wall(), world.clock.wall()))
    assert world.see({**STARTING, **files}).cause == "token_replaced"


@pytest.mark.parametrize(("edge_open", "overdue"), [(False, False), (True, True)])
def test_no_restart_while_neither_quic_nor_tcp_reaches_the_edge(make, edge_open, overdue):
    world = make(reconnect_grace=0.0)
    world.see()
    world.ready = 0
    port = world.server.port if edge_open else free_port()
    (world.proc / "7" / "environ").write_bytes(f"TUNNEL_EDGE=127.0.0.1:{port}\0".encode())
    world.line('Failed to dial a quic connection error="failed to dial to edge with quic: timeout" ip=127.0.0.1')
    seen = world.see({**UP, "InvocationID": "two"})
    assert (seen.cause, seen.details["edge_reachable"]) == ("edge_unreachable_udp", edge_open)
    world.clock.sleep(1.0)
    assert world.kind.restart_is_due(seen, "reconnected") == overdue


def test_without_a_journal_the_budget_begins_with_the_first_look(make):
    world = make()
    world.ready = 0
    seen = world.see()
    assert (seen.state, seen.age) == ("reconnecting", 0.0) and not world.kind.restart_is_due(seen, "reconnected")
    world.clock.sleep(38)
    assert world.kind.restart_is_due(world.see(), "reconnected")


def test_unauthorized_is_hopeless_until_the_token_file_changes(make):
    world = make()
    world.ready = world.registered = 0
    world.line('Register tunnel error from server side error="Unauthorized: Invalid tunnel secret" connIndex=0')
    seen = world.see(STARTING)
    assert (seen.state, seen.cause) == ("error", "unauthorized")
    cause = world.kind.lasting_cause(seen, "reconnected")
    assert (cause.id, cause.severity) == ("unauthorized", "hard") and cause.next_step
    assert not world.kind.restart_is_due(seen, "reconnected")
    rule = world.kind.causes()[0]
    assert (rule.cause, rule.severity) == ("unauthorized", "hard")
    os.utime(world.token, (world.clock.wall(), world.clock.wall()))
    seen = world.see(STARTING)
    assert (seen.state, seen.cause) == ("error", "token_replaced")
    assert world.kind.causes()[0].severity == "soft" and world.kind.lasting_cause(seen, "reconnected") is None


def test_a_new_process_is_asked_anew(make):
    world = make()
    world.see()
    world.ready, world.registered = 0, 0
    assert world.see({**STARTING, "InvocationID": "two"}).state == "connecting"


def test_hard_ends_are_errors_at_once(make):
    world = make()
    world.lines = ["Provided Tunnel token is not valid.", "See 'cloudflared tunnel run --help'."]
    seen = world.see(ENDED)
    assert (seen.state, seen.cause) == ("error", "token_malformed")
    world.lines = ['x2026-01-01 ERR Initiating shutdown error="connection with edge closed"']
    seen = world.see({**ENDED, "InvocationID": "two", "ExecMainStatus": "1"})
    assert (seen.state, seen.cause) == ("restarting", "edge_closed")
    loop = world.see({**ENDED, "InvocationID": "three", "ExecMainStatus": "1", "NRestarts": "9"})
    assert (loop.state, loop.cause) == ("error", "edge_closed") and "crash_loop" in loop.flags
    assert world.kind.grace_period(loop, "reconnected") == 1.0
    assert world.kind.grace_period(seen, "reconnected") is None


STOPPED = {
    **ENDED,
    "ActiveState": "inactive",
    "SubState": "dead",
    "Result": "success",
    "ExecMainStatus": "0",
    "Type": "simple",
}


def by_manager(text):
    return Entry(1.0, 0.0, "", "one", 6, text, "cloudflared.service", "systemd", 1, "", "", {"_PID": "1"})


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (["Incorrect Usage: flag provided but not defined: -metrics", "NAME:"], "unknown_flag"),
        ([by_manager("Started")], "unknown_flag"),
        ([by_manager("Started"), "x INF Starting tunnel"], None),
        ([by_manager("Started"), by_manager("Stopping it")], None),
        ([], None),
    ],
)
def test_exit_0_at_once_is_not_taken_for_a_stop(make, lines, cause):
    world = make()
    world.lines = lines
    seen = world.see(STOPPED)
    assert (seen.state, seen.cause) == ("stopped", cause)
    assert bool(world.kind.guards(START, seen)) == (cause is not None)
    world.params["accept_causes"] = ["unknown_flag"]
    assert not world.kind.guards(START, seen)


def test_a_long_run_that_ended_with_0_is_a_stop(make):
    world = make()
    world.lines = ["Incorrect Usage: flag provided but not defined: -metrics"]
    assert world.see({**STOPPED, "InactiveEnterTimestampMonotonic": "990000000"}).cause is None


@pytest.mark.parametrize(
    ("properties", "state", "cause"), [({}, "T", "suspended"), ({"FreezerState": "frozen"}, "S", "frozen")]
)
def test_one_that_is_there_and_does_not_run_is_still_the_connector_of_its_tunnel(make, properties, state, cause):
    world = make()
    seen = world.see({**UP, **properties}, process_state=state)
    assert (seen.state, seen.cause) == ("error", cause) and not world.server.requests
    about = seen.as_dict()["cloudflared"]
    assert (about["tunnel_id"], about["connections"], about["connector_id"]) == (TUNNEL, 0, None)
    assert TOKEN not in json.dumps(seen.as_dict()) and SECRET not in json.dumps(seen.as_dict())


def test_draining_is_not_overdue(make):
    world = make()
    stopping = {
        **UP,
        "ActiveState": "deactivating",
        "SubState": "stop-sigterm",
        "ActiveExitTimestampMonotonic": "995000000",
    }
    facts = UnitFacts("cloudflared.service", stopping)
    context = Context(world.clock.now, world.clock.wall(), limits=Limits(stop=1.0))
    assert classify("c", facts, context).cause == "stop_overdue"
    assert world.kind.classify(classify("c", facts, context, "cloudflared")).cause is None
    late = Context(world.clock.now + 10, world.clock.wall() + 10, limits=Limits(stop=1.0))
    assert world.kind.classify(classify("c", facts, late, "cloudflared")).cause == "stop_overdue"


@pytest.mark.parametrize(
    ("params", "step", "guards"),
    [
        ({}, RESTART, ["last_replica"]),
        ({"healthy_replicas": 0}, STOP, ["last_replica"]),
        ({"healthy_replicas": 1}, RESTART, []),
        ({"replica_guard": "off"}, RESTART, []),
        ({"healthy_replicas": 1, "own_tunnel": True}, RESTART, ["own_tunnel"]),
        ({"own_tunnel": True}, RESTART, ["last_replica", "own_tunnel"]),
        ({}, START, []),
        ({"healthy_replicas": 1, "reservation": "nobody"}, RESTART, ["reservation"]),
        ({"replica_guard": "off", "reservation": "nobody"}, RESTART, []),
        # Who asked the hosts of all replicas for a reservation knows why there is none.
        ({"healthy_replicas": 0, "reservation": "nobody"}, RESTART, ["last_replica"]),
    ],
)
def test_guards(make, params, step, guards):
    world = make(**params)
    assert [block.guard for block in world.kind.guards(step, world.see())] == guards


@pytest.mark.parametrize(("allowed", "guards"), [(False, ["quick_tunnel"]), (True, [])])
def test_a_quick_tunnel_keeps_its_name_unless_the_operator_says_otherwise(make, allowed, guards):
    world = make(may_change_name=allowed, own_tunnel=False)
    world.see()
    settings = Settings({"origin": "http://localhost:8080"}, {"origin": "argument"})
    world.kind._snapshot.settings = settings
    assert [block.guard for block in world.kind.guards(RESTART, world.see())] == guards
    assert settings.quick


def test_a_connector_without_connections_may_be_taken_offline(make):
    world = make()
    world.ready = 0
    assert world.kind.guards(RESTART, world.see()) == []


def test_proof_is_a_new_connector(make):
    world = make()
    before = world.see()
    assert "still the previous one" in world.kind.verify(before, before, "reconnected")
    world.identity = IDS[1]
    assert world.kind.verify(before, world.see({**UP, "InvocationID": "two"}), "reconnected") is None
    world.identity = "old"  # a version that does not tell
    old = world.see({**UP, "InvocationID": "three"})
    assert old.details["connector_id"] == "unsupported" and world.kind.verify(old, old, "reconnected") is None


def test_progress(make):
    world = make()
    assert dict(world.kind.progress(world.see(), "running") or {})["connections"] == 4
    assert world.kind.progress(world.see(STOPPED), "running") is None


def test_the_replicas_are_asked_after_the_check_of_the_next_start_which_may_take_long():
    order = []
    kind = CloudflaredKind.__new__(CloudflaredKind)
    kind._snapshot = SimpleNamespace(serves_nobody=False, ready=SimpleNamespace(connections=4), pid=1)
    kind._monitor = SimpleNamespace(carries_own_connection=lambda _snapshot: False)
    kind._broken_start = lambda *_given: order.append("next start")
    kind._keeps_serving = lambda *_given: order.append("replicas")
    seen = SimpleNamespace(cause=None, facts=None)
    assert kind.guards(m.Step(m.RUNNING, "restart", m.RESTARTING), seen) == []
    assert order == ["next start", "replicas"]
