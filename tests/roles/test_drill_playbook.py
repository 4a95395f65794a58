# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook drill as a whole, with modules that only write down their options and answer as they are told."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.options import CONNECTOR_OPTIONS
from tests.docs import common

HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
# The folder holds the state of each service. The fault and what ends it change it.
INFO = """
def seen(one):
    name = one if isinstance(one, str) else one["name"]
    path = os.path.join(folder, "state of " + name)
    row = {"name": name, "kind": "generic", "state": "running", "reasons": [], "hold": None, "cause": None,
           "unit_facts": {"active_state": "active", "sub_state": "running", "main_pid": 7, "invocation_id": "aa"}}
    row.update(answers.get("seen", {}).get(name, {}))
    if os.path.exists(path):
        row.update(state=open(path).read(), diagnosis={"causes": []})
    return row
module.exit_json(services=[seen(one) for one in options["services"]])
"""
FAULT = """
def becomes(state):
    if not module.check_mode:
        open(os.path.join(folder, "state of " + options["service"]["name"]), "w").write(state)
state = options.get("state", "present")
answer = dict(answers[state])
if state == "present" and answer["reached"]:
    becomes(answer.pop("becomes", "error"))
if state == "lifted":
    open(os.path.join(folder, "lifted"), "w").close()
if state == "absent" and answer["reached"]:
    becomes("running")
module.exit_json(**answer)
"""
# A recovery that reaches its end only once the fault is lifted, where the answers say so.
RECOVERY = """
def recovered(one):
    name, lifted = one["service"]["name"], os.path.exists(os.path.join(folder, "lifted"))
    found = {"name": name, "begun": True, "changed": True, "reached": True, "transitions": [], "blocked_by": []}
    if answers["needs_lift"] and not lifted:
        block = {"guard": "cause", "reason": "address_in_use: in use", "hint": "stop x"}
        return {**found, "changed": False, "reached": False, "blocked_by": [block], "msg": "in use"}
    open(os.path.join(folder, "state of " + name), "w").write("running")
    return found
with open(os.path.join(folder, "asked"), "a") as asked:
    asked.write(json.dumps({"module": "recovery", "names": [one["service"]["name"] for one in given["services"]]}) + chr(10))
module.exit_json(results=[recovered(one) for one in options["services"]])
"""
RESERVATION = """
told = answers.get("reservation", {})
module.exit_json(changed=False, **told.get("a" if options.get("own") else "b", {}))
"""
DRILL = {
    "at": 1.0,
    "fault": "killed",
    "outcome": "recovered",
    "detected_after": 1.5,
    "detected_as": "error (signal)",
    "recovered_after": 9.0,
    "lost": 9.0,
    "blocks": 12,
}
GIVEN = {"lifecycle_drill_service": "a/a", "lifecycle_drill_fault": "killed"}


class Run(t.NamedTuple):
    code: int
    output: str
    outcome: dict[str, t.Any]
    asked: list[dict[str, t.Any]]

    @property
    def outcomes(self) -> dict[str, str]:
        return {entry["host"]: entry["outcome"] for entry in self.outcome["entries"]}

    @property
    def acts(self) -> list[str]:
        """What was asked of the modules that act, in its order."""
        states = [
            one.get("state", one.get("fault", "")) if one["module"] == "service_fault" else "recover"
            for one in self.asked
            if one["module"] in ("service_fault", "recovery")
        ]
        return list(states)


class Fleet:
    """Three hosts with a service of their name each, that of the first one marked for drills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.book = "chainops.lifecycle.drill"
        self.answers: dict[str, t.Any] = {
            "needs_lift": False,
            "present": {"reached": True, "changed": True, "blocked_by": [], "drill": {**DRILL, "outcome": "open"}},
            "lifted": {"reached": True, "changed": True, "blocked_by": []},
            "absent": {"reached": True, "changed": True, "blocked_by": [], "drill": DRILL},
        }
        self.hosts: dict[str, t.Any] = {
            name: HERE | {"lifecycle_services": [{"name": name, **({"drill": True} if name == "a" else {})}]}
            for name in "abc"
        }

        self.groups: dict[str, t.Any] = {}

    def set_reservation(self, told: dict[str, t.Any]) -> None:
        """What the hosts answer who are asked for a replica; these are told apart by what they are asked."""
        self.answers["reservation"] = told

    def set_state(self, service: str, state: str) -> None:
        (self.folder / f"state of {service}").write_text(state)

    def play(self, *options: str, **given: t.Any) -> Run:
        (self.folder / "answers.json").write_text(json.dumps(self.answers))
        (self.folder / "asked").unlink(missing_ok=True)
        paths = {
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder),
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_SHOW_CUSTOM_STATS": "1",
        }
        variables = {name: value for name, value in {**GIVEN, **given}.items() if value is not None}
        given_as = ("-e", json.dumps(variables), *options)
        (self.folder / "groups.yml").write_text(json.dumps({"all": {"children": self.groups}}))
        given_as = ("-i", "groups.yml", *given_as)
        done = common.play(self.folder, self.book, self.hosts, *given_as, **paths)
        output = done.stdout + done.stderr
        stats = re.search(r"RUN: (.*)", output)
        outcome = json.loads(stats[1])["lifecycle_outcome"] if stats else {}
        if outcome and importlib.util.find_spec("jsonschema"):  # not installed beside the oldest ansible-core
            schema = json.loads((common.ROOT / "docs/schemas/lifecycle_outcome.json").read_text())
            importlib.import_module("jsonschema").validate(outcome, schema)
        asked = common.asked_of_stubs(self.folder) if (self.folder / "asked").exists() else []
        return Run(done.returncode, output, outcome, asked)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    none = (
        "besu_network_info",
        "besu_reservation",
        "cloudflared_reservation",
        "besu_node",
        "cloudflared_tunnel",
        "service",
    )
    modules = dict.fromkeys(none, common.STUB + "module.exit_json()\n")
    modules["cloudflared_reservation"] = common.STUB + RESERVATION
    modules |= {
        "service_info": common.STUB + INFO,
        "service_fault": common.STUB + FAULT,
        "service_drive_all": common.STUB + RECOVERY,
    }
    parts = ("roles", "playbooks", "plugins/filter")
    actions = ("service_drive", "check_variables", "host_outcome", "show_report", "service_fault")
    folder = common.replace_modules(tmp_path, modules, *parts, *(f"plugins/action/{one}.py" for one in actions))
    for one in ("service_drive", "check_variables", "host_outcome", "show_report"):
        (folder / f"ansible_collections/chainops/lifecycle/plugins/modules/{one}.py").symlink_to(
            common.ROOT / f"plugins/modules/{one}.py"
        )
    return Fleet(folder)


def test_a_fault_is_made_recovered_and_measured(fleet: Fleet) -> None:
    run = fleet.play(lifecycle_drill_undo_after="2min")
    assert run.code == 0 and run.acts == ["killed", "recover", "absent"], run.output
    assert run.outcomes == {"a": "recovered"} and run.outcome["counts"]["healthy"] == 2
    assert not re.search(r"skipping: \[[bc]\]", run.output), "a line for each host that it is not about"
    (fault,) = [one for one in run.asked if one.get("fault")]
    assert fault["undo_after"] == 120 and fault["service"]["drill"] is True
    assert "a a: RECOVERED" in run.output and "the host undoes it after 120 s" in run.output
    assert "shown after 1.5 s as error (signal), healthy again after 9.0 s, 9.0 s lost, 12 blocks" in run.output


def test_a_connector_is_drilled_with_the_options_of_its_entry(fleet: Fleet) -> None:
    """The module refuses what is an option of cloudflared_tunnel alone."""
    fleet.hosts["a"]["lifecycle_services"] = [
        {"name": "a", "kind": "cloudflared", "drill": True, "cloudflared": {"edge_lost": ["z"]}}
    ]
    run = fleet.play(lifecycle_drill_fault="edge_cut")
    (fault,) = [one for one in run.asked if one.get("fault")]
    assert fault["service"]["cloudflared"]["edge_lost"] == ["z"], run.output
    assert set(fault["service"]["cloudflared"]) <= set(CONNECTOR_OPTIONS) and fault["service"]["drill"] is True


def test_a_fault_that_recovery_may_not_end_is_taken_away_first(fleet: Fleet) -> None:
    fleet.answers["needs_lift"] = True
    run = fleet.play(lifecycle_drill_fault="port_taken", lifecycle_drill_port="8080")
    assert run.code == 0 and run.acts == ["port_taken", "recover", "lifted", "recover", "absent"], run.output
    assert "recovery: not reached (cause): address_in_use: in use" in run.output
    assert "recovery without the fault: reached" in run.output and run.outcomes == {"a": "recovered"}


def test_check_mode_asks_the_guards_and_makes_nothing(fleet: Fleet) -> None:
    run = fleet.play("--check")
    assert run.code == 0 and run.acts == ["killed"] and run.outcomes == {"a": "planned"}, run.output
    assert not list(fleet.folder.glob("state of *")) and "changed=0" in run.output


def test_a_refusal_of_the_guards_ends_it(fleet: Fleet) -> None:
    block = {"guard": "quorum", "reason": "3 of 4 take part", "hint": "bring back who is missing first"}
    fleet.answers["present"] = {"reached": False, "failed": True, "blocked_by": [block], "msg": "no fault was made"}
    run = fleet.play()
    assert run.code == 2 and run.acts == ["killed"] and run.outcomes == {"a": "refused"}, run.output
    assert re.search(r"^a +: .* failed=1 ", run.output, re.MULTILINE) and "skipping: [b]" not in run.output
    assert run.outcome["entries"][0]["guard"] == "quorum" and "next   bring back who is missing first" in run.output


SERVES = {"state": "running", "cloudflared": {"connections": 4, "tunnel_id": "t1"}}
NO_REPLICA = {
    "granted": False,
    "observed": True,
    "healthy": [],
    "reason": "no connector here keeps the tunnel up: c: it is stopped",
}


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_the_last_replica_is_named_as_such_in_check_mode_and_in_the_run(fleet: Fleet, options: t.Any) -> None:
    fleet.set_reservation({"a": {"granted": True, "observed": True, "healthy": [], "reason": ""}, "b": NO_REPLICA})
    entry = {"name": "a", "kind": "cloudflared", "drill": True}
    fleet.hosts["a"]["lifecycle_services"] = [entry]
    fleet.hosts["b"]["lifecycle_services"] = [{**entry, "name": "b"}]
    fleet.answers["seen"] = {"a": {"kind": "cloudflared", **SERVES}, "b": {"kind": "cloudflared", **SERVES}}
    block = {"guard": "last_replica", "reason": "it is the last", "hint": "bring back another"}
    fleet.answers["present"] = {"reached": False, "failed": True, "blocked_by": [block], "msg": "no fault was made"}
    run = fleet.play(*options, lifecycle_drill_fault="edge_cut")
    (fault,) = [one for one in run.asked if one.get("fault")]
    own = fault["service"]["cloudflared"]
    assert (own["reservation"], own["healthy_replicas"]) == ("nobody", 0), run.output
    assert (
        "why    last_replica: it is the last; b: no connector here keeps the tunnel up: c: it is stopped" in run.output
    )
    assert run.outcome["entries"][0]["guard"] == "last_replica"


def test_a_right_that_another_run_has_is_no_last_replica(fleet: Fleet) -> None:
    busy = {"granted": False, "healthy": [], "reason": "x has it", "holder": {"owner": "x"}}
    fleet.set_reservation({"a": busy})
    fleet.hosts["a"]["lifecycle_services"] = [{"name": "a", "kind": "cloudflared", "drill": True}]
    fleet.answers["seen"] = {"a": {"kind": "cloudflared", **SERVES}}
    run = fleet.play(
        lifecycle_drill_fault="edge_cut", service_recovery_reserve_tries=1, __service_reservation_connector_tries=1
    )
    own = next(one for one in run.asked if one.get("fault"))["service"]["cloudflared"]
    assert own["reservation"] == "nobody" and "healthy_replicas" not in own, run.output


def test_what_nobody_would_notice_has_failed(fleet: Fleet) -> None:
    fleet.answers["present"]["becomes"] = "running"
    fleet.answers["absent"]["drill"] = {**DRILL, "detected_after": None}
    run = fleet.play()
    assert run.code == 2 and run.acts == ["killed", "absent"], run.output
    assert run.outcomes == {"a": "failed"} and "did not show the fault" in run.output


def test_what_is_not_well_at_the_end_has_failed(fleet: Fleet) -> None:
    fleet.answers["absent"] = {"reached": False, "failed": True, "blocked_by": [], "drill": DRILL, "msg": "it is error"}
    run = fleet.play()
    assert run.code == 2 and run.outcomes == {"a": "failed"} and "it is error" in run.output, run.output


@pytest.mark.parametrize(
    "given, options, said",
    [
        ({"lifecycle_drill_service": "b/b"}, (), "not marked with drill: true; marked are a/a"),
        ({}, ("--limit", "a"), "the run does not observe b, c"),
    ],
)
def test_who_is_not_meant_is_not_drilled(fleet: Fleet, given: dict[str, str], options: t.Any, said: str) -> None:
    run = fleet.play(*options, **given)
    assert run.code == 2 and run.acts == [] and said in run.output, run.output
    assert "refused" in run.outcomes.values()


def test_a_fleet_that_is_not_healthy_is_left_alone(fleet: Fleet) -> None:
    fleet.set_state("c", "error")
    run = fleet.play()
    assert run.code == 2 and run.acts == [] and "c/c is error" in run.output, run.output
    assert run.outcomes == {"a": "refused", "c": "not_attempted"}


@pytest.mark.parametrize(
    "given, said",
    [
        ({"lifecycle_drill_service": ""}, "lifecycle_drill_service: not given; name a service"),
        ({"lifecycle_drill_fault": "kiled"}, "did you mean killed; give"),
        ({"lifecycle_drill_fault": "disk_full"}, "lifecycle_drill_path: not given"),
        ({"lifecycle_drill_undo_after": "1s"}, "lifecycle_drill_undo_after: '1s' is not from 30 to 3600 s"),
        ({"lifecycle_drill_service": "z/a"}, "'z' is no host of this run; services that are marked for drills: a/a"),
    ],
)
def test_a_variable_that_means_nothing_is_named(fleet: Fleet, given: dict[str, str], said: str) -> None:
    run = fleet.play(**given)
    assert run.code == 2 and said in run.output.replace("\\", ""), run.output
    assert run.acts == []


def test_a_group_of_the_inventory_with_the_name_of_that_of_the_run_is_not_drilled(fleet: Fleet) -> None:
    fleet.groups["lifecycle_drill"] = {"hosts": {"b": None, "a": None}}
    fleet.hosts["a"]["lifecycle_services"] = fleet.hosts["b"]["lifecycle_services"] = [{"name": "x", "drill": True}]
    run = fleet.play(lifecycle_drill_service="a/x")
    assert run.code == 0 and run.acts == ["killed", "recover", "absent"], run.output
    assert run.outcomes == {"a": "recovered"}
    fleet.set_state("c", "error")
    run = fleet.play(lifecycle_drill_service="a/x")
    assert run.code == 2 and run.acts == [] and run.outcomes == {"a": "refused", "c": "not_attempted"}, run.output


def test_a_drill_that_is_refused_is_not_told_as_an_earlier_one_of_the_same_run(fleet: Fleet) -> None:
    fleet.hosts["a"]["lifecycle_services"].append({"name": "x"})
    books = [
        {"import_playbook": "chainops.lifecycle.drill", "vars": {"lifecycle_drill_service": service}}
        for service in ("a/a", "a/x")
    ]
    (fleet.folder / "drills.yml").write_text(json.dumps(books))
    fleet.book = "drills.yml"
    run = fleet.play(lifecycle_drill_service=None)
    assert run.code == 2 and run.acts == ["killed", "recover", "absent"], run.output
    last = run.output.rpartition("a x: REFUSED")[2]
    assert run.outcomes == {"a": "refused"} and "not marked" in last and "shown after" not in last, run.output
