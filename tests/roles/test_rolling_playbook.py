# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook rolling_restart as a whole, with modules that only write down their options and answer as they are told."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.docs import common

HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
# A service that was restarted has a young process from then on.
SERVICE = """
done = os.path.join(folder, "restarted." + str(options.get("name")))
answer = answers["service " + str(options.get("name"))]
if answer.get("reached") and not module.check_mode:
    open(done, "w").close()
module.exit_json(**(answer if not module.check_mode or not answer["reached"] else dict(answer, transitions=[])))
"""
INFO = """
found = []
for one in options["services"]:
    name = one if isinstance(one, str) else one["name"]
    seen = dict(answers["seen " + name])
    if os.path.exists(os.path.join(folder, "restarted." + name)):
        seen.update(answers["after"])
    found.append(dict(seen, name=name))
module.exit_json(services=found)
"""
TUNNEL = """
free = options.get("reservation") != "nobody"
guard = "last_replica" if options.get("healthy_replicas") == 0 else "reservation"
block = {"guard": guard, "reason": "it is the last", "hint": "bring back another"}
if free and not module.check_mode:
    open(os.path.join(folder, "restarted." + options["name"]), "w").close()
module.exit_json(reached=free, changed=free, transitions=[], blocked_by=[] if free else [block], msg="" if free else "no")
"""
# What the hosts answer who are asked for a replica; these are told apart by what they are asked.
RESERVATION = """
open(os.path.join(folder, "reserved"), "a").write("asked" if module.check_mode else "reserved")
module.exit_json(changed=False, **answers["reservation"]["own" if options.get("own", True) else "other"])
"""
AFTER = {"stale": {"is_stale": False, "age": 1.0, "evidence": [], "unknown": []}}


def seen(age: float = 5000.0, stale: bool | None = False, **more: t.Any) -> dict[str, t.Any]:
    evidence = [{"kind": "config", "path": "/etc/x.toml", "reason": "it was changed", "changed": 1.0}] if stale else []
    return {
        "kind": "generic",
        "state": "running",
        "reasons": [],
        "hold": None,
        "cause": None,
        "unit_facts": {"active_state": "active", "sub_state": "running", "invocation_id": "aa"},
        "stale": {
            "is_stale": stale,
            "age": age,
            "evidence": evidence,
            "unknown": [] if stale is not None else ["x: y"],
        },
        "last_start": None,
        **more,
    }


def restarted() -> dict[str, t.Any]:
    step = {"trigger": "restart", "action": "systemctl restart", "applied": True}
    return {"reached": True, "changed": True, "before": seen(), "after": seen(1.0), "transitions": [step]}


def refused() -> dict[str, t.Any]:
    block = {"guard": "hold", "reason": "held by ann: she works on it", "hint": "ask ann"}
    return {"reached": False, "changed": False, "before": seen(), "after": seen(), "blocked_by": [block], "msg": "held"}


class Fleet:
    """Hosts with a service of their name each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[str, t.Any] = {"after": AFTER}
        self.hosts: dict[str, t.Any] = {}
        self.groups: dict[str, t.Any] = {}

    def add(self, name: str, observed: dict[str, t.Any], result: dict[str, t.Any], **entry: t.Any) -> None:
        self.hosts[name] = HERE | {"lifecycle_services": [{"name": name, **entry}]}
        self.answers |= {f"seen {name}": observed, f"service {name}": result}

    def play(self, *options: str, book: str = "chainops.lifecycle.rolling_restart", **given: t.Any) -> Run:
        (self.folder / "answers.json").write_text(json.dumps(self.answers))
        (self.folder / "asked").unlink(missing_ok=True)
        paths = {
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder),
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_SHOW_CUSTOM_STATS": "1",
        }
        (self.folder / "groups.yml").write_text(json.dumps({"all": {"children": self.groups}}))
        given_as = ("-i", "groups.yml", "-e", json.dumps({"rolling_restart_owner": "ann", **given}), *options)
        done = common.play(self.folder, book, self.hosts, *given_as, **paths)
        output = done.stdout + done.stderr
        stats = re.search(r"RUN: (.*)", output)
        left = json.loads(stats[1]) if stats else {}
        outcome = left.get("lifecycle_outcome", {})
        if outcome and importlib.util.find_spec("jsonschema"):  # not installed beside the oldest ansible-core
            schema = json.loads((common.ROOT / "docs/schemas/lifecycle_outcome.json").read_text())
            importlib.import_module("jsonschema").validate(outcome, schema)
        asked = common.asked_of_stubs(self.folder) if (self.folder / "asked").exists() else []
        return Run(done.returncode, output, outcome, asked, json.loads(left.get("lifecycle_plan", "{}")))


class Run(t.NamedTuple):
    code: int
    output: str
    outcome: dict[str, t.Any]
    every: list[dict[str, t.Any]]
    plan: dict[str, t.Any]

    def asked(self, module: str) -> list[dict[str, t.Any]]:
        return [one for one in self.every if one["module"] == module]

    @property
    def driven(self) -> list[dict[str, t.Any]]:
        return self.asked("service")

    @property
    def outcomes(self) -> dict[str, str]:
        return {entry["host"]: entry["outcome"] for entry in self.outcome["entries"]}

    @property
    def order(self) -> str:
        found = re.search(r"^Order: (.*)$", self.output, re.MULTILINE)
        return found[1] if found else ""


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    modules = dict.fromkeys(
        ("besu_network_info", "besu_node", "besu_reservation"),
        common.STUB + "module.exit_json(**answers.get(name, {}))\n",
    )
    modules |= {"cloudflared_tunnel": common.STUB + TUNNEL, "cloudflared_reservation": common.STUB + RESERVATION}
    modules |= {"service": common.STUB + SERVICE, "service_info": common.STUB + INFO}
    parts = ("roles", "playbooks", "plugins/filter")
    actions = ("service_drive", "check_variables", "host_outcome", "show_report")
    folder = common.replace_modules(tmp_path, modules, *parts, *(f"plugins/action/{one}.py" for one in actions))
    for one in actions:
        (folder / f"ansible_collections/chainops/lifecycle/plugins/modules/{one}.py").symlink_to(
            common.ROOT / f"plugins/modules/{one}.py"
        )
    return Fleet(folder)


def example() -> list[dict[str, t.Any]]:
    """The hook of the guide."""
    text = (common.ROOT / "docs/docsite/rst/guide_rolling_restarts.rst").read_text()
    (block,) = re.findall(r"^\.\. code-block:: yaml\n\n((?:  .*\n|\n)+)", text, re.MULTILINE)
    return t.cast("list[dict[str, t.Any]]", yaml.safe_load(block))


def hook(fleet: Fleet, name: str, *tasks: dict[str, t.Any]) -> str:
    (fleet.folder / name).write_text(yaml.safe_dump(list(tasks)))
    return str(fleet.folder / name)


def test_check_mode_prints_the_order_and_asks_nothing_but_dry_runs(fleet: Fleet) -> None:
    for name in "abc":
        fleet.add(name, seen(stale=name != "b"), refused() if name == "c" else restarted())
    run = fleet.play("--check", lifecycle_serial=2)
    assert run.outcomes == {"a": "planned", "b": "planned", "c": "refused"}, run.output
    assert run.order == "a, b | c" and "3 of 3 services on 3 hosts to restart" in run.output
    assert "config /etc/x.toml: it was changed" in run.output and "refuse (hold)" in run.output
    assert not list(fleet.folder.glob("restarted.*")) and "changed=1" not in run.output


def test_what_is_refused_is_passed_over_without_its_hooks_and_named_at_the_end(fleet: Fleet) -> None:
    fleet.add("a", seen(), refused())
    fleet.add("b", seen(), restarted())
    called = fleet.folder / "called"
    seen_by_hook = (
        "{{ rolling_restart_service.name }} {{ rolling_restart_state_before.state }} "
        "{{ rolling_restart_state_after.process_age | default('-') }}"
    )
    # The example of the guide, but for what it does with packages.
    package, *others = example()
    assert package.pop("ansible.builtin.package")["name"] == "{{ rolling_restart_service.name }}"
    upgrade = hook(
        fleet, "upgrade.yml", {**package, "ansible.builtin.shell": f"echo {seen_by_hook} >>{called}"}, *others
    )
    run = fleet.play(rolling_restart_before=upgrade, rolling_restart_after=[upgrade])
    assert run.outcomes == {"a": "refused", "b": "restarted"}, run.output
    assert run.code == 2 and "a: refused (hold): held by ann" in run.output
    assert "Upgrade the package of b" in run.output and '"msg": "upgraded from "' in run.output
    assert called.read_text().splitlines() == ["b running -", "b running 1.0"]
    assert (
        "hook before: upgrade.yml; systemctl restart; hook after: upgrade.yml" in run.output
        and "  was    running, process of 1 h 23 min" in run.output
    )
    assert [one["owner"] for one in run.driven if one.get("owner")][-1].startswith("ann rolling_restart 20")


GRANTS = {"granted": True, "observed": True, "healthy": [], "reason": ""}
STAYS = {**GRANTS, "healthy": ["b"]}
NO_REPLICA = {**GRANTS, "granted": False, "reason": "no connector here keeps the tunnel up: b: it is stopped"}
SILENT = {"granted": False, "msg": "no answer"}
BUSY = {"granted": False, "healthy": [], "reason": "x has it", "holder": {"owner": "x"}}


def add_connectors(fleet: Fleet, state_of_b: dict[str, t.Any], **reservation: dict[str, t.Any]) -> None:
    """A tunnel with a replica on each of two hosts."""
    about = {"connections": 4, "tunnel_id": "t1"}
    fleet.add("a", seen(kind="cloudflared", cloudflared=about), {}, kind="cloudflared")
    fleet.add("b", seen(kind="cloudflared", cloudflared=about) | state_of_b, {}, kind="cloudflared")
    fleet.answers["reservation"] = {"own": GRANTS, **reservation}


@pytest.mark.parametrize(("answer", "guard"), [(NO_REPLICA, "last_replica"), (SILENT, "reservation")])
@pytest.mark.parametrize("options", [("--check",), ()])
def test_the_last_replica_is_refused_in_check_mode_as_in_the_run(
    fleet: Fleet, options: t.Any, answer: dict[str, t.Any], guard: str
) -> None:
    add_connectors(fleet, {"state": "stopped", "unit_facts": {"active_state": "inactive"}}, other=answer)
    run = fleet.play(*options, lifecycle_max_unhealthy="100%")
    assert run.outcomes == {"a": "refused", "b": "refused"}, run.output
    (entry,) = [one for one in run.outcome["entries"] if one["host"] == "a"]
    assert entry["guard"] == guard
    assert entry["reason"] == f"it is the last; b: {answer.get('reason') or answer['msg']}"
    assert f"refuse ({guard})" in run.output and run.order == "a"
    assert not (fleet.folder / "restarted.a").exists()
    assert ("reserved" in (fleet.folder / "reserved").read_text()) is not bool(options)


@pytest.mark.parametrize("answer", [{"own": GRANTS, "other": STAYS}, {"own": BUSY, "other": STAYS}])
def test_replicas_that_are_restarted_one_after_the_other_are_not_refused(
    fleet: Fleet, answer: dict[str, t.Any]
) -> None:
    """Nor is one that another run has the right to for now: this run asks again at its turn."""
    add_connectors(fleet, {}, **answer)
    run = fleet.play("--check", lifecycle_serial=2)
    assert run.outcomes == {"a": "planned", "b": "planned"}, run.output
    assert run.order == "a | b" and "refuse (" not in run.output


def test_a_hook_is_not_called_for_the_last_replica(fleet: Fleet) -> None:
    """An upgrade would be left without its restart."""
    add_connectors(fleet, {"state": "stopped", "unit_facts": {"active_state": "inactive"}}, other=NO_REPLICA)
    called = fleet.folder / "called"
    upgrade = hook(fleet, "upgrade.yml", {"ansible.builtin.shell": f"echo called >>{called}"})
    run = fleet.play(rolling_restart_before=upgrade, lifecycle_max_unhealthy="100%")
    assert run.outcomes["a"] == "refused" and not called.exists(), run.output
    assert (fleet.folder / "reserved").read_text() == "asked" * 4, "by the plan and before the hook"


@pytest.mark.parametrize(
    ("answer", "refused"),
    [({"granted": True}, False), ({"granted": False, "reason": "the host was booted 5 s ago"}, True)],
)
def test_a_validator_whose_hosts_would_not_grant_it_is_refused_by_the_plan(
    fleet: Fleet, answer: dict[str, t.Any], refused: bool
) -> None:
    genesis, address = "0x" + "a" * 64, "0x" + "b" * 40
    network = {"genesis": genesis, "validators": [address], "head": 7, "advances": True, "arithmetic": "1 of 1"}
    block = {"guard": "reservation", "reason": "not reserved", "hint": "reserve it"}
    about = {"address": address, "genesis": genesis, "validator": True}
    fleet.add("v", seen(kind="besu", state="consensus", besu=about), {}, kind="besu")
    fleet.answers |= {
        "besu_network_info": {"networks": [network], "nodes": [{"name": "v/v", "address": address}]},
        "besu_reservation": answer,
        "besu_node": {"reached": not refused, "changed": not refused, "blocked_by": [block] if refused else []},
    }
    run = fleet.play("--check")
    assert run.outcomes == {"v": "refused" if refused else "planned"}, run.output
    assert [one["reservation"] for one in run.asked("besu_node") if "reservation" in one] == ["nobody"] * refused
    assert ("not reserved; v: the host was booted 5 s ago" in run.output) is refused


def test_a_group_of_the_inventory_with_the_name_of_that_of_the_run_is_not_restarted(fleet: Fleet) -> None:
    for name in "abc":
        fleet.add(name, seen(state="error" if name == "c" else "running"), restarted())
    fleet.groups["lifecycle_restart_1"] = {"hosts": dict.fromkeys("abc")}
    run = fleet.play(lifecycle_max_unhealthy=0)
    assert run.code == 2 and "has no attribute" not in run.output, run.output
    assert run.outcomes["c"] == "refused", run.output


def test_a_second_run_in_the_same_process_has_an_order_and_results_of_its_own(fleet: Fleet) -> None:
    for name in "abcd":
        fleet.add(name, seen(), restarted())
        fleet.hosts[name]["rack"] = "east" if name in "bc" else "west"
    fleet.answers["after"] = {}  # an old process, so that the second run finds the same
    imported = {"ansible.builtin.import_playbook": "chainops.lifecycle.rolling_restart"}
    apart = {"lifecycle_failure_domain": "rack", "lifecycle_serial": 2, "lifecycle_only_name": ["b", "c", "d"]}
    (fleet.folder / "site.yml").write_text(yaml.safe_dump([imported, {**imported, "vars": apart}]))
    run = fleet.play(book="site.yml")
    assert run.outcomes == dict.fromkeys("bcd", "restarted") and run.code == 0, run.output
    first, second = (part.split("PLAY [Summarize the results]", 1)[0] for part in run.output.split("PLAN\n")[1:])
    batch = "PLAY [Restart, a few hosts at a time]"
    assert "Order: a | b | c | d\n" in first and first.count(batch) == 4, run.output
    assert "Order: b | c, d\n" in second and second.count(batch) == 2, run.output


def test_only_what_is_stale_and_only_what_is_selected(fleet: Fleet) -> None:
    fleet.add("api1", seen(stale=True), restarted())
    fleet.add("api2", seen(stale=False), restarted())
    fleet.add("api3", seen(stale=None), restarted())
    fleet.add("web", seen(stale=True), restarted())
    run = fleet.play(lifecycle_only_stale="yes", lifecycle_only_name="api*")
    assert run.outcomes == {"api1": "restarted", "api3": "skipped"}, run.output
    assert run.outcome["counts"]["healthy"] == 1 and "not known whether it is stale: x: y" in run.output
    assert run.code == 0


def test_an_interrupted_run_goes_on_with_those_that_are_left(fleet: Fleet) -> None:
    """A hook fails, and the first run stops at that harm; the second restarts what the first did not."""
    fleet.add("a", seen(), restarted())
    fleet.add("b", seen(), restarted())
    fleet.add("c", seen(), restarted())
    bad = hook(
        fleet, "bad.yml", {"ansible.builtin.fail": {"msg": "down"}, "when": "rolling_restart_service.name == 'b'"}
    )
    fleet.answers["service b"] = restarted()
    first = fleet.play(rolling_restart_before=bad)
    assert first.outcomes == {"a": "restarted", "b": "failed", "c": "not_attempted"}, first.output
    assert "a hook failed, so that it was left as it is" in first.output and not (fleet.folder / "restarted.b").exists()
    run = re.search(r"^run (\S+), ", first.output, re.MULTILINE)
    assert run and f"Run it again to continue with the rest: -e lifecycle_restart_since={run[1]}" in first.output
    last = {"at": 1.0, "age": 60.0, "owner": f"ann rolling_restart {run[1]}", "outcome": "verified"}
    fleet.answers["after"] = {**AFTER, "stale": {**AFTER["stale"], "age": 0.0}, "last_start": last}
    second = fleet.play()
    assert second.order == "b | c" and f"continues run {run[1]}" in second.output, second.output
    assert second.outcomes == {"b": "restarted", "c": "restarted"}
    third = fleet.play(lifecycle_restart_since=run[1])
    assert third.outcomes == {} and third.code == 0 and "no service had to be restarted" in third.output


def test_what_was_approved_is_restarted_and_nothing_else(fleet: Fleet) -> None:
    file = fleet.folder / "plan.json"
    for name in "abc":
        facts = {"active_state": "active", "sub_state": "running", "invocation_id": name * 32}
        fleet.add(name, seen(unit_facts=facts), restarted())
    planned = fleet.play("--check", lifecycle_plan_file=str(file), lifecycle_serial=3)
    assert planned.plan and planned.plan == json.loads(file.read_text()), planned.output
    assert [act["host"] for act in planned.plan["acts"]] == ["a", "b", "c"]
    assert f"Plan {planned.plan['digest']}" in planned.output
    if importlib.util.find_spec("jsonschema"):
        schema = json.loads((common.ROOT / "docs/schemas/lifecycle_plan.json").read_text())
        importlib.import_module("jsonschema").validate(planned.plan, schema)

    fleet.answers["seen b"]["unit_facts"]["invocation_id"] = "f" * 32
    fleet.add("new", seen(), restarted())
    given = {"lifecycle_plan_approved": json.dumps(planned.plan), "lifecycle_plan_digest": planned.plan["digest"]}
    run = fleet.play("--limit", "a,b,new", **given)
    assert run.outcomes == {"a": "restarted", "b": "refused", "new": "refused"}, run.output
    assert {one["guard"] for one in run.outcome["entries"] if one["outcome"] == "refused"} == {"approved_plan"}
    assert f"Approved: plan {planned.plan['digest']}, 3 actions, 1 of them for hosts outside of this run" in run.output
    bound = [one for one in run.driven if "expected_invocation" in one]
    assert {(one["name"], one["expected_invocation"]) for one in bound} == {("a", "a" * 32)}
    assert bound[-1]["expected_state"] == ["running"] and run.code == 2
    again = fleet.play("--limit", "c", **given)
    assert again.outcomes == {"c": "restarted"} and again.code == 0, again.output


def test_who_is_not_healthy_is_not_restarted_and_too_many_stop_it(fleet: Fleet) -> None:
    fleet.add("a", seen(state="error", unit_facts={"active_state": "failed"}), restarted())
    fleet.add("b", seen(), restarted())
    fleet.add("c", seen(hold={"owner": "ann", "reason": "looks"}), restarted())
    run = fleet.play()
    assert run.outcomes == {"a": "refused", "b": "restarted", "c": "skipped"}, run.output
    assert [entry["guard"] for entry in run.outcome["entries"] if entry["host"] == "a"] == ["not_healthy"]
    strict = fleet.play("-e", '{"lifecycle_restart_since": "now"}', lifecycle_max_unhealthy=0)
    assert strict.outcomes["b"] == "refused" and strict.code == 2
    assert {e["guard"] for e in strict.outcome["entries"] if e["host"] == "b"} == {"max_unhealthy"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"lifecycle_only_name": "appi"},
            "lifecycle_only_name: no service of the run has name 'appi'; did you mean api",
        ),
        ({"rolling_restart_before": "hooks/up.yml"}, "rolling_restart_before: 'hooks/up.yml' is a relative path"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_service_is_touched(
    fleet: Fleet, given: dict[str, t.Any], said: str
) -> None:
    fleet.add("api", seen(), restarted())
    run = fleet.play(**given)
    assert run.code == 2 and said in run.output.replace("\n", " "), run.output
    assert run.driven == []
