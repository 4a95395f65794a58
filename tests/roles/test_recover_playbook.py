# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook recover as a whole: it runs with modules that only write down their options and answer as they are told."""

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
LOST = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
OUT = "it failed or was lost before, in the same run of ansible-playbook, which leaves it out from then on"
HANDLED = {"module": "service", "name": "reloaded"}
# What a run brings about is written down, for service_info to see: ``becomes`` is a dictionary from a service to its state.
ANSWER = """
host = given.get("name")
answer = answers.get(name + " " + str(options.get("name")), {})
if not module.check_mode:
    for service, state in answer.get("becomes", {}).items():
        with open(os.path.join(folder, "state of " + service), "w") as file:
            file.write(state)
module.exit_json(**answers.get(name + (" check" if module.check_mode else "") + " " + str(options.get("name")), answers.get(name, {})))
"""
CAUSE = {
    "id": "address_in_use",
    "class": "hard",
    "summary": "in use",
    "evidence": ["127.0.0.1:80 held by x (pid 7)"],
    "next_step": "stop x",
}


def seen(name: str, state: str = "error") -> dict[str, t.Any]:
    return {"name": name, "kind": "generic", "state": state, "reasons": [], "hold": None, "cause": None,
            "diagnosis": {"causes": [CAUSE]}}  # fmt: skip


def step(applied: bool) -> dict[str, t.Any]:
    return {"trigger": "start", "action": "systemctl start", "applied": applied}


INFO = """
def seen(one):
    name = one if isinstance(one, str) else one["name"]
    path = os.path.join(folder, "state of " + name)
    if os.path.exists(path):
        with open(path) as file:
            return dict(ROW, name=name, state=file.read())
    return dict(ROW, name=name, **answers.get("seen " + name, {}))
module.exit_json(services=[seen(one) for one in options["services"]])
"""


def good(name: str, applied: bool) -> dict[str, t.Any]:
    return {
        "becomes": {name: "running"},
        "reached": True,
        "changed": True,
        "before": seen(name),
        "after": seen(name, "running"),
        "transitions": [step(applied)],
    }


def refused(name: str) -> dict[str, t.Any]:
    block = {"guard": "cause", "reason": "address_in_use: in use", "hint": "stop x"}
    return {
        "reached": False,
        "changed": False,
        "before": seen(name),
        "after": seen(name),
        "blocked_by": [block],
        "transitions": [],
        "msg": "address_in_use",
    }


def harmed(name: str) -> dict[str, t.Any]:
    return {
        "reached": False,
        "changed": True,
        "before": seen(name),
        "after": seen(name),
        "transitions": [step(True)],
        "msg": "did not come back",
    }


class Run(t.NamedTuple):
    code: int
    output: str
    outcome: dict[str, t.Any]
    driven: list[str]
    plan: dict[str, t.Any] | None = None
    calls: list[dict[str, t.Any]] = []  # noqa: RUF012


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    modules = dict.fromkeys(("service", "service_info", "besu_network_info", "besu_node", "besu_reservation",
                             "cloudflared_reservation", "cloudflared_tunnel",
                             "cloudflare_tunnel_connector", "cloudflare_tunnel_info"), common.STUB + ANSWER)  # fmt: skip
    parts = ("roles", "playbooks", "plugins/filter")
    modules["service_drive_all"] = common.SEVERAL
    actions = ("service_drive", "service_drive_all", "check_variables", "host_outcome", "show_report")
    found = common.replace_modules(tmp_path, modules, *parts, *(f"plugins/action/{one}.py" for one in actions))
    for one in ("check_variables", "host_outcome", "show_report", "service_drive"):
        (found / f"ansible_collections/chainops/lifecycle/plugins/modules/{one}.py").symlink_to(
            common.ROOT / f"plugins/modules/{one}.py"
        )
    return found


def recover(
    folder: Path,
    answers: dict[str, dict[str, t.Any]],
    *options: str,
    others: t.Mapping[str, t.Any] | None = None,
    book: str = "chainops.lifecycle.recover",
    **given: t.Any,
) -> Run:
    """Recover a host for each answer, which has one service of its name. ``book``: what is played, of which recover is last.

    ``run`` is what a run returns, ``check`` a dry run; ``seen``, what is seen
    otherwise than an error; ``vars``, variables of the host. ``others``: what other modules answer.
    """
    told: dict[str, t.Any] = dict(others or {})
    hosts = {}
    for name, answer in answers.items():
        hosts[name] = HERE | {"lifecycle_services": [name]} | answer.get("vars", {})
        told[f"service {name}"], told[f"service check {name}"] = answer["run"], answer["check"]
        told[f"seen {name}"] = answer.get("seen", {})
    (folder / "answers.json").write_text(json.dumps(told))
    (folder / "asked").unlink(missing_ok=True)
    info = common.STUB + f"ROW = {seen('x')!r}\n" + INFO
    common.write_module(folder, "service_info", info)
    extra = json.dumps({"lifecycle_max_unhealthy": "100%", "lifecycle_soak": 0, **given})
    paths = {
        "ANSIBLE_COLLECTIONS_PATH": str(folder),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_SHOW_CUSTOM_STATS": "1",
    }
    done = common.play(folder, book, hosts, "-e", extra, *options, **paths)
    output = done.stdout + done.stderr
    assert "RUN: " in output, output
    stats = json.loads(output.split("RUN: ", 1)[1].split("\n\n", 1)[0])
    if "lifecycle_plan" in stats:
        stats["lifecycle_plan"] = json.loads(stats["lifecycle_plan"])
        assert stats["lifecycle_plan"]["digest"] == stats["lifecycle_plan_digest"]
    for name in ("lifecycle_outcome", "lifecycle_plan"):
        if name in stats and importlib.util.find_spec("jsonschema"):  # not installed beside the oldest ansible-core
            schema = json.loads((common.ROOT / f"docs/schemas/{name}.json").read_text())
            importlib.import_module("jsonschema").validate(stats[name], schema)
    asked = [one for one in common.asked_of_stubs(folder) if one["module"] == "service"]
    return Run(
        done.returncode,
        output,
        stats["lifecycle_outcome"],
        [one["name"] for one in asked],
        stats.get("lifecycle_plan"),
        asked,
    )


def service(run: t.Callable[[str], dict[str, t.Any]], name: str) -> dict[str, t.Any]:
    return {"run": run(name), "check": refused(name) if run is refused else good(name, False)}


def outcomes(run: Run) -> dict[str, str]:
    return {entry["host"]: entry["outcome"] for entry in run.outcome["entries"]}


def ok(name: str) -> dict[str, t.Any]:
    return good(name, True)


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_a_refusal_is_passed_over_and_named_at_the_end(folder: Path, options: tuple[str, ...]) -> None:
    answers = {"a": service(refused, "a"), "b": service(ok, "b"), "c": service(ok, "c")}
    run = recover(folder, answers, *options)
    well = "planned" if options else "recovered"
    assert outcomes(run) == {"a": "refused", "b": well, "c": well}, run.output
    assert run.code == 2 and "a: refused (cause)" in run.output
    plan = run.output.split("PLAN\n", 1)[1]
    assert "3 of 3 services on 3 hosts need recovery: 2 to recover, 1 refused" in plan
    assert "address_in_use: 127.0.0.1:80 held by x (pid 7)" in plan and "refuse (cause)" in plan
    recap = run.output.split("PLAY RECAP", 1)[1]
    blamed = [line.split()[0] for line in recap.splitlines() if "failed=1" in line]
    assert blamed == ["a"]


@pytest.mark.parametrize(("allowed", "expected"), [(0, "not_attempted"), (1, "recovered")])
def test_harm_stops_the_run_unless_that_is_allowed(folder: Path, allowed: int, expected: str) -> None:
    run = recover(folder, {"a": service(harmed, "a"), "b": service(ok, "b")}, lifecycle_max_failed=allowed)
    assert outcomes(run) == {"a": "failed", "b": expected}, run.output
    assert run.code == 2


def test_a_plan_that_is_refused_leaves_its_outcome(folder: Path) -> None:
    run = recover(folder, {"a": service(ok, "a"), "b": service(ok, "b")}, lifecycle_max_unhealthy="1")
    assert [(one["outcome"], one["guard"]) for one in run.outcome["entries"]] == [("refused", "max_unhealthy")] * 2
    assert run.code == 2 and sorted(run.driven) == ["a", "b"], "the dry runs only"


def unharmed(name: str, **more: t.Any) -> dict[str, t.Any]:
    """A host whose service is healthy."""
    return {"run": {}, "check": {}, "seen": {"state": "running", "diagnosis": {}}, **more}


def after_plan(run: Run) -> list[str]:
    """What was driven, without the dry runs."""
    return run.driven[len(set(run.driven)) :]


def test_waves_stop_where_a_host_that_was_healthy_falls_and_the_next_run_goes_on(folder: Path) -> None:
    racks = {name: {"vars": {"rack": name[0]}} for name in ("a1", "a2", "b1", "up")}
    answers = {name: service(ok, name) | racks[name] for name in ("a1", "a2", "b1")}
    answers["up"] = unharmed("up") | racks["up"]
    answers["a1"]["run"]["becomes"]["up"] = "error"
    given: dict[str, t.Any] = {"lifecycle_waves": "1, 100%", "lifecycle_failure_domain": "rack", "lifecycle_soak": "1s"}
    planned = recover(folder, answers, "--check", **given)
    assert "Wave 1 of 2: a1\nWave 2 of 2: a2, b1\n" in planned.output
    assert "After each wave but the last: 1 s, then the fleet is observed again" in planned.output
    stopped = recover(folder, answers, **given)
    assert outcomes(stopped) == {"a1": "recovered", "a2": "not_attempted", "b1": "not_attempted", "up": "failed"}
    assert "up up: FAILED, it was healthy before wave 1, and after it is error" in stopped.output
    assert stopped.code == 2 and after_plan(stopped) == ["a1"]
    (folder / "state of up").write_text("running")
    again = recover(folder, answers, **given)
    assert outcomes(again) == {"a2": "recovered", "b1": "recovered"}, again.output
    assert after_plan(again) == ["a2", "b1"] and again.code == 0


def site(folder: Path, *plays: dict[str, t.Any]) -> str:
    (folder / "site.yml").write_text(yaml.safe_dump(list(plays)))
    return "site.yml"


def test_a_second_run_in_the_same_process_begins_with_nothing_of_the_first(folder: Path) -> None:
    """In the first one a host falls and another is lost; before the second one the others fail again."""
    lost = [{"name": "Fix it", "ansible.builtin.command": "true", "vars": LOST}]
    (folder / "hook.yml").write_text(yaml.safe_dump(lost))
    answers = {name: service(ok, name) for name in ("a1", "a2", "a3", "lost")} | {"up": unharmed("up")}
    answers["a1"]["run"]["becomes"]["up"] = "error"
    answers["lost"]["vars"] = {"service_recovery_hooks": {"address_in_use": str(folder / "hook.yml")}}
    fails = f"for one in a1 a2 a3; do printf error >'{folder}/state of '$one; done"
    again = {"hosts": "a1", "gather_facts": False, "tasks": [{"ansible.builtin.shell": fails}]}
    imported = {"ansible.builtin.import_playbook": "chainops.lifecycle.recover"}
    book = site(folder, {**imported, "vars": {"lifecycle_max_failed": 2}}, again, imported)
    run = recover(folder, answers, book=book, lifecycle_waves="1, 100%", lifecycle_soak="1s")
    assert "up up: FAILED, it was healthy before wave 1" in run.output, run.output
    well = dict.fromkeys(("a1", "a2", "a3"), "recovered")
    assert outcomes(run) == well | {"lost": "unknown", "up": "unknown"}, run.output
    reasons = {entry["reason"] for entry in run.outcome["entries"] if entry["outcome"] == "unknown"}
    assert reasons == {OUT} and run.code != 0
    assert "duplicate" not in run.output, "as Ansible warns where a file has a key twice"


def test_a_plan_to_approve_is_that_of_the_playbook_that_made_it(folder: Path) -> None:
    """A fact of one playbook goes before a variable of the same name of another."""
    names = ("rolling_restart", "recover")
    first, second = ({"ansible.builtin.import_playbook": f"chainops.lifecycle.{one}"} for one in names)
    answers = {"a": service(ok, "a"), "up": unharmed("up")}
    run = recover(
        folder, answers, "--check", book=site(folder, {**first, "vars": {"lifecycle_only_name": "up"}}, second)
    )
    assert run.plan and run.plan["playbook"] == "recover", run.output
    assert [act["host"] for act in run.plan["acts"]] == ["a"]


def test_what_was_approved_is_done_and_nothing_else(folder: Path) -> None:
    file = folder / "plan.json"
    answers = {name: service(ok, name) for name in ("same", "changed", "well")}
    answers["same"]["seen"] = {"unit_facts": {"invocation_id": "a" * 32}}
    answers["new"] = unharmed("new")
    planned = recover(folder, answers, "--check", lifecycle_plan_file=str(file))
    assert planned.plan and planned.plan == json.loads(file.read_text())
    assert {act["host"] for act in planned.plan["acts"]} == {"same", "changed", "well"}
    assert f"Plan {planned.plan['digest']}" in planned.output and "held by x" not in file.read_text()

    (folder / "state of well").write_text("running")
    answers["changed"]["seen"] = {"state": "stopped"}
    answers["new"] = service(ok, "new")
    run = recover(folder, answers, lifecycle_plan_approved=str(file), lifecycle_plan_digest=planned.plan["digest"])
    assert outcomes(run) == {"same": "recovered", "changed": "refused", "new": "refused", "well": "self_recovered"}
    assert {one["guard"] for one in run.outcome["entries"] if one["outcome"] == "refused"} == {"approved_plan"}
    assert (
        "changed changed: left as it is, since the plan was approved its state was error and is stopped" in run.output
    )
    assert "new new: left as it is, it is not in the approved plan" in run.output and run.code == 2
    assert run.driven.count("same") == 2 and run.driven.count("changed") == run.driven.count("new") == 1
    (call,) = [one for one in run.calls if "expected_invocation" in one]
    assert (call["name"], call["expected_state"], call["expected_invocation"]) == ("same", ["error"], "a" * 32)


def test_a_plan_of_a_workflow_comes_as_data_and_binds_a_part_of_the_fleet(folder: Path) -> None:
    answers = {name: service(ok, name) for name in ("a", "b")}
    planned = recover(folder, answers, "--check")
    # As AWX hands the artifact of the node before to the next one, which may be about a part of the hosts.
    given: dict[str, t.Any] = {
        "lifecycle_plan": json.dumps(planned.plan),
        "lifecycle_plan_approved": "{{ lifecycle_plan }}",
    }
    run = recover(folder, answers, "--limit", "b", **given)
    assert outcomes(run) == {"b": "recovered"} and run.code == 0, run.output
    assert ", 2 actions, 1 of them for hosts outside of this run" in run.output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lifecycle_plan_approved": "/none.json"}, "lifecycle_plan_approved: '/none.json' is no file"),
        ({"lifecycle_plan_approved": '{"version": 2}'}, "version 2 is not 1"),
        ({"lifecycle_failure_domain": "rak"}, "no host with services has the variable 'rak'"),
        ({"lifecycle_waves": "0, 10%"}, "has a wave of no host"),
        ({"lifecycle_max_unhealty": 3}, "did you mean lifecycle_max_unhealthy?"),
        ({"lifecycle_target": "heer"}, "'heer' is neither a host nor a group; did you mean here"),
        ({"lifecycle_serial": "many"}, "lifecycle_serial: 'many'"),
        ({"lifecycle_services": []}, "No host has services"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_host_is_asked(
    folder: Path, given: dict[str, t.Any], said: str
) -> None:
    (folder / "answers.json").write_text("{}")
    hosts = {"here": HERE | {"lifecycle_services": ["api"]}}
    paths = {"ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}
    done = common.play(folder, "chainops.lifecycle.recover", hosts, "-e", json.dumps(given), **paths)
    assert done.returncode == 2 and said in done.stdout, done.stdout + done.stderr
    assert not (folder / "asked").exists()


@pytest.mark.parametrize("playbook", ["status", "besu_sync_wait", "tunnel_reconnect"])
def test_every_playbook_checks_its_variables_first(folder: Path, playbook: str) -> None:
    (folder / "answers.json").write_text("{}")
    hosts = {
        "here": HERE | {"lifecycle_services": [{"name": "b", "kind": "besu"}, {"name": "t", "kind": "cloudflared"}]}
    }
    paths = {"ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}
    for given, said in (
        ({"lifecycle_targt": "here"}, "did you mean lifecycle_target?"),
        ({"lifecycle_services": ["api"] if playbook != "status" else []}, "No host has services"),
    ):
        done = common.play(folder, f"chainops.lifecycle.{playbook}", hosts, "-e", json.dumps(given), **paths)
        assert done.returncode == 2 and said in done.stdout, done.stdout + done.stderr
    assert not (folder / "asked").exists()


@pytest.mark.parametrize("waves", ["1, 100%", "2, 100%"])
def test_a_host_that_is_lost_within_a_hook_stops_the_waves(folder: Path, waves: str) -> None:
    """It is none of the play any more, and what the hook has done to it nobody knows."""
    (folder / "hook.yml").write_text(
        yaml.safe_dump([{"name": "Fix it", "ansible.builtin.command": "true", "vars": LOST}])
    )
    answers = {name: service(ok, name) for name in ("a", "b", "c")}
    answers["a"]["vars"] = {"service_recovery_hooks": {"address_in_use": str(folder / "hook.yml")}}
    run = recover(folder, answers, lifecycle_waves=waves)
    second = "not_attempted" if waves.startswith("1") else "recovered"
    assert outcomes(run) == {"a": "failed", "b": second, "c": "not_attempted"}, run.output
    recap = run.output.split("PLAY RECAP", 1)[1]
    assert [line.split()[0] for line in recap.splitlines() if "unreachable=1" in line] == ["a"] and run.code != 0
    assert "failed=1" not in recap, "no host that is well is blamed"


def test_a_host_that_is_lost_within_a_hook_is_passed_over_by_later_looks(folder: Path) -> None:
    """It was looked at when the plan was made, and by no look since."""
    (folder / "hook.yml").write_text(
        yaml.safe_dump([{"name": "Fix it", "ansible.builtin.command": "true", "vars": LOST}])
    )
    answers = {name: service(ok, name) for name in ("a", "b")}
    answers["a"]["vars"] = {"service_recovery_hooks": {"address_in_use": str(folder / "hook.yml")}}
    run = recover(folder, answers, lifecycle_waves="1, 100%", lifecycle_max_failed=1, lifecycle_soak="1s")
    assert outcomes(run) == {"a": "failed", "b": "recovered"}, run.output


@pytest.mark.parametrize("waves", ["1, 100%", "100%"])
def test_what_a_hook_notifies_is_done_before_the_next_wave(folder: Path, waves: str) -> None:
    """Also where its host is well at the end of the run, which it leaves there."""
    own = folder / "roles/fix"
    (own / "tasks").mkdir(parents=True)
    (own / "handlers").mkdir()
    touched = {"name": "Tell", "ansible.builtin.command": "true", "notify": "Reload"}
    (own / "tasks/main.yml").write_text(yaml.safe_dump([touched]))
    written = {
        "ansible.builtin.lineinfile": {"path": str(folder / "asked"), "line": json.dumps(HANDLED), "create": True}
    }
    (own / "handlers/main.yml").write_text(yaml.safe_dump([{"name": "Reload", "throttle": 1, **written}]))
    hook = [{"name": "Fix it", "ansible.builtin.include_role": {"name": str(own)}}]
    (folder / "hook.yml").write_text(yaml.safe_dump(hook))
    answers = {name: service(ok, name) for name in ("a", "b")}
    answers["a"]["vars"] = {"service_recovery_hooks": {"address_in_use": str(folder / "hook.yml")}}
    run = recover(folder, answers, lifecycle_waves=waves)
    assert outcomes(run) == {"a": "recovered", "b": "recovered"} and run.code == 0, run.output
    assert "reloaded" in run.driven, run.output
    if waves.startswith("1,"):
        assert run.driven.index("reloaded") < len(run.driven) - 1, "before the second wave"


def test_how_often_a_connector_asks_does_not_depend_on_the_size_of_the_fleet(folder: Path) -> None:
    """Another run has the right to its tunnel, and each of the hosts of its turn may ask for it in between."""
    serves = {"kind": "cloudflared", "cloudflared": {"connections": 2, "tunnel_id": "t1"}}
    entry = {"name": "c", "kind": "cloudflared"}
    connector = {"run": {}, "check": {}, "seen": serves, "vars": {"lifecycle_services": [entry]}}
    answers = {"c": connector, **{name: unharmed(name) for name in ("u1", "u2", "u3", "u4")}}
    busy = {"granted": False, "healthy": [], "reason": "busy", "holder": {"owner": "other", "target": "x", "left": 9}}
    told = {"cloudflared_reservation": busy, "cloudflared_tunnel": refused("c")}
    run = recover(folder, answers, others=told, service_recovery_reserve_tries=1)
    asked = [one for one in common.asked_of_stubs(folder) if one["module"] == "cloudflared_reservation"]
    assert len(asked) == 3, run.output


def test_a_turn_costs_a_host_that_has_to_wait_a_single_task_beside_the_turn_itself(folder: Path) -> None:
    """Their number grows with the square of the fleet."""
    names = [f"h{number}" for number in range(4)]
    done: list[int] = []
    for serial in (2, 1):
        for state in folder.glob("state of *"):
            state.unlink()
        run = recover(folder, {name: service(ok, name) for name in names}, lifecycle_serial=serial)
        assert set(outcomes(run).values()) == {"recovered"} and run.code == 0, run.output
        recap = re.search(r"^h3 +: ok=(\d+)", run.output, re.MULTILINE)
        assert recap, run.output
        done.append(int(recap[1]))
    assert done[1] - done[0] <= 2 * 2, "two turns more"


def test_a_turn_prints_nothing_for_each_host_that_has_to_wait(folder: Path) -> None:
    """Lines would grow with the square of the fleet."""
    names = [f"h{number}" for number in range(6)]
    run = recover(folder, {name: service(ok, name) for name in names}, lifecycle_serial=1)
    assert set(outcomes(run).values()) == {"recovered"} and run.code == 0, run.output
    assert run.output.count("skipping: [") <= 2 * len(names) + 1, run.output


def test_how_often_the_description_of_a_host_is_read_does_not_grow_with_the_fleet(folder: Path) -> None:
    """Each host would read those of all, which costs a large fleet more than anything else."""
    reads: list[int] = []
    for number in (2, 5):
        names = [f"h{one}" for one in range(number)]
        answers = {name: unharmed(name) for name in names}
        noted = folder / f"read of {number}"
        for name in names:
            read = f"echo read >>'{noted}'; echo {name}"
            answers[name]["vars"] = {"lifecycle_services": f"{{{{ [lookup('ansible.builtin.pipe', {read!r})] }}}}"}
        run = recover(folder, answers)
        assert run.code == 0, run.output
        reads.append(noted.read_text().count("read") // number)
    assert reads[0] == reads[1]
