# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook recover as a whole: it runs with modules that only write down their options and answer as they are told."""

from __future__ import annotations

import importlib
import importlib.util
import json
import typing as t
from pathlib import Path

import pytest

from tests.docs import common

HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
ANSWER = """
host = given.get("name")
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


def good(name: str, applied: bool) -> dict[str, t.Any]:
    return {
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    modules = dict.fromkeys(("service", "service_info", "besu_network_info", "besu_node", "besu_reservation",
                             "cloudflared_reservation", "cloudflared_tunnel"), common.STUB + ANSWER)  # fmt: skip
    parts = ("roles", "playbooks", "plugins/filter")
    actions = ("service_drive", "check_variables", "host_outcome", "show_report")
    found = common.replace_modules(tmp_path, modules, *parts, *(f"plugins/action/{one}.py" for one in actions))
    for one in ("check_variables", "host_outcome", "show_report", "service_drive"):
        (found / f"ansible_collections/chainops/lifecycle/plugins/modules/{one}.py").symlink_to(
            common.ROOT / f"plugins/modules/{one}.py"
        )
    return found


def recover(folder: Path, answers: dict[str, dict[str, t.Any]], *options: str, **given: t.Any) -> Run:
    """Recover a host for each answer, which has one service of its name: ``run`` is what a run returns, ``check`` a dry run."""
    told: dict[str, t.Any] = {}
    hosts = {}
    for name, answer in answers.items():
        hosts[name] = HERE | {"lifecycle_services": [name]}
        told[f"service {name}"], told[f"service check {name}"] = answer["run"], answer["check"]
    (folder / "answers.json").write_text(json.dumps(told))
    row = repr(seen("x"))
    info = common.STUB + f'module.exit_json(services=[dict({row}, name=one) for one in options["services"]])\n'
    (folder / "ansible_collections/chainops/lifecycle/plugins/modules/service_info.py").write_text(
        "\n".join(common.HEADER) + info
    )
    extra = json.dumps({"lifecycle_max_unhealthy": "100%", **given})
    paths = {
        "ANSIBLE_COLLECTIONS_PATH": str(folder),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_SHOW_CUSTOM_STATS": "1",
    }
    done = common.play(folder, "chainops.lifecycle.recover", hosts, "-e", extra, *options, **paths)
    output = done.stdout + done.stderr
    assert "RUN: " in output, output
    outcome = json.loads(output.split("RUN: ", 1)[1].split("\n\n", 1)[0])["lifecycle_outcome"]
    if importlib.util.find_spec("jsonschema"):  # not installed beside the oldest ansible-core
        schema = json.loads((common.ROOT / "docs/schemas/lifecycle_outcome.json").read_text())
        importlib.import_module("jsonschema").validate(outcome, schema)
    asked = [one["name"] for one in common.asked_of_stubs(folder) if one["module"] == "service"]
    return Run(done.returncode, output, outcome, asked)


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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lifecycle_max_unhealty": 3}, "did you mean lifecycle_max_unhealthy?"),
        ({"lifecycle_target": "heer"}, "'heer' is neither a host nor a group; did you mean here"),
        ({"lifecycle_serial": "many"}, "lifecycle_serial: 'many'"),
        ({"lifecycle_services": []}, "No host has services"),
    ],
)
@pytest.mark.parametrize("playbook", ["status", "recover"])
def test_what_cannot_be_meant_is_refused_before_a_host_is_asked(
    folder: Path, playbook: str, given: dict[str, t.Any], said: str
) -> None:
    (folder / "answers.json").write_text("{}")
    hosts = {"here": HERE | {"lifecycle_services": ["api"]}}
    paths = {"ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}
    done = common.play(folder, f"chainops.lifecycle.{playbook}", hosts, "-e", json.dumps(given), **paths)
    assert done.returncode == 2 and said in done.stdout, done.stdout + done.stderr
    assert not (folder / "asked").exists()
