# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What extensions/awx applies keeps the rules that AWX taught."""

from __future__ import annotations

import json
import subprocess
import typing as t
from pathlib import Path

import jinja2
import pytest
import yaml
from awx_controller import recorded, validation

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _playbook_vars
from tests.controller.conftest import PROJECT
from tests.docs import common

AWX = common.ROOT / "extensions/awx"


class _Loader(yaml.SafeLoader):
    """Reads what is marked as text of others as text."""


_Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(t.cast("t.Any", node)))


def objects(name: str) -> dict[str, t.Any]:
    return dict(yaml.load((AWX / f"objects/{name}.yml").read_text(), Loader=_Loader))


TEMPLATES = {one["name"]: one for one in objects("job_templates")["lifecycle_awx_job_templates"]}
QUESTIONS = [
    pytest.param(one, id=f"{name}-{one['variable']}") for name in TEMPLATES for one in TEMPLATES[name]["questions"]
]
WORKFLOW = objects("workflow")["lifecycle_awx_workflow"]
NODES = {node["identifier"]: node for node in WORKFLOW["nodes"]}
MESSAGES = objects("notification_templates")
TYPES = {"text": str, "integer": int, "multiplechoice": str}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_required_and_has_a_default_of_its_type(question: dict[str, t.Any]) -> None:
    assert question["required"] is True
    # A flag is a number to isinstance, and no answer to a question for one.
    kinds = [kind for kind in (bool, int, float, str, list, dict) if isinstance(question["default"], kind)]
    assert kinds[:1] == [TYPES[question["type"]]]
    assert validation.answer_problems({"spec": [question]}, {question["variable"]: question["default"]}) == []
    validation.check_survey({"spec": [question]})


def options_of_roles() -> dict[str, t.Any]:
    return {name: option for role in common.ROLES
            for name, option in common.load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"].items()}  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_answer_is_one_that_the_playbooks_take(question: dict[str, t.Any]) -> None:
    name = question["variable"]
    answers = question.get("choices") or [question["default"]]
    if name in _playbook_vars.VARIABLES:
        for answer in answers:
            _playbook_vars.read_one(name, answer)
        return
    option = options_of_roles()[name]
    if option["type"] == "bool":
        assert set(answers) == {"yes", "no"}
    elif "choices" in option:
        assert set(answers) <= set(option["choices"])
    else:
        assert option["type"] in ("int", "float")
        assert question["type"] == "integer"


def test_no_survey_chooses_hosts() -> None:
    assert "lifecycle_target" not in [
        question["variable"] for one in TEMPLATES.values() for question in one["questions"]
    ]


@pytest.mark.parametrize(
    "kind", objects("credential_types")["lifecycle_awx_credential_types"], ids=lambda one: one["name"]
)
def test_a_secret_is_never_an_extra_variable(kind: dict[str, t.Any]) -> None:
    assert set(kind["injectors"]) <= {"env", "file"}
    validation.check_credential_type(kind)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_runs_a_playbook_of_the_project(name: str) -> None:
    assert (PROJECT / TEMPLATES[name]["playbook"]).is_file()


@pytest.mark.parametrize("path", sorted(PROJECT.glob("*.yml")), ids=lambda path: path.name)
def test_a_playbook_of_the_project_imports_one_of_ours(path: Path) -> None:
    names = [play["ansible.builtin.import_playbook"] for play in yaml.safe_load(path.read_text()) if len(play) == 2]
    assert set(names) <= {f"chainops.lifecycle.{one}" for one in common.PLAYBOOKS}
    assert names or path.name == "failed.yml"


@pytest.mark.parametrize("name", NODES)
def test_a_node_answers_every_question_of_its_template(name: str) -> None:
    node = NODES[name]
    if "approval" in node:
        return
    asked = {question["variable"] for question in TEMPLATES[node["template"]]["questions"]}
    answers = node.get("answers", {})
    if isinstance(answers, str):
        answers = objects("workflow")["lifecycle_awx_answers"] | (
            {"lifecycle_waves": ""} if "lifecycle_awx_waves" in answers else {}
        )
    assert set(answers) == asked


def test_a_failure_in_the_workflow_ends_it_as_failed() -> None:
    """AWX takes a failed node that leads on as dealt with."""
    for node in NODES.values():
        if node.get("failure") or node.get("always"):
            assert reaches_an_end_that_fails(node)


def reaches_an_end_that_fails(node: dict[str, t.Any]) -> bool:
    after = [*node.get("failure", []), *node.get("always", [])]
    if not after:
        return node.get("template") == "lifecycle failed"
    return all(reaches_an_end_that_fails(NODES[one]) for one in after)


def body_of(job: dict[str, t.Any]) -> dict[str, t.Any]:
    body = MESSAGES["lifecycle_awx_notification_body"]
    found = validation.render(body, {"job": job, "url": "https://awx.example/#/jobs/playbook/18"})
    return dict(json.loads(found))


def test_the_body_of_a_notification_says_how_it_ended_why_and_where() -> None:
    job = recorded.calls("job_failed")[0]["response"]
    entries = [{"host": "a1", "service": "api", "kind": "generic", "outcome": "refused", "reason": "disk_full: no space", "guard": "cause"},
               {"host": "a2", "service": "api", "kind": "generic", "outcome": "recovered", "reason": "running", "guard": None}]  # fmt: skip
    outcome = {
        "version": 1,
        "playbook": "recover",
        "check_mode": False,
        "counts": {"refused": 1, "recovered": 1},
        "entries": entries,
    }
    body = body_of(job | {"artifacts": {"lifecycle_outcome": outcome}})
    assert body["status"] == "failed"
    assert body["link"].endswith("/18")
    assert body["counts"]["refused"] == 1
    refused = next(entry for entry in body["entries"] if entry["outcome"] == "refused")
    assert refused["reason"] in body["text"]
    assert f"{refused['host']}/{refused['service']}: refused" in body["text"]


@pytest.mark.parametrize("artifacts", [{}, {"lifecycle_outcome": {}}, {"lifecycle_outcome": {"entries": [
    {"host": "a", "service": None, "outcome": "unknown", "reason": 'a "b" \\ {{ c }}\n'}]}}])  # fmt: skip
def test_the_body_of_a_notification_is_json_whatever_a_job_left(artifacts: dict[str, t.Any]) -> None:
    job = {"id": 1, "name": 'x"y', "status": "canceled", "artifacts": artifacts}
    assert body_of(job)["name"] == 'x"y'
    assert body_of({key: value for key, value in job.items() if key != "artifacts"})["entries"] == []


def test_awx_takes_the_body_of_the_notification() -> None:
    validation.check_messages({"error": {"body": MESSAGES["lifecycle_awx_notification_body"]}})
    assert list(MESSAGES["lifecycle_awx_notification_messages"]) == ["started", "success", "error", "workflow_approval"]
    with pytest.raises(jinja2.UndefinedError):
        validation.render("{{ job.nothing }}", validation.STUB)


def test_the_execution_environment_needs_nothing_but_ansible_core(tmp_path: Path) -> None:
    definition = AWX / "execution-environment.yml"
    command = ["ansible-builder", "create", "--file", str(definition), "--context", str(tmp_path / "context")]
    subprocess.run([*command, "--output-filename", "Containerfile"], check=True, capture_output=True, text=True)
    build = tmp_path / "context/_build"
    assert yaml.safe_load((build / "requirements.yml").read_text()) == {"collections": [{"name": "chainops.lifecycle"}]}
    assert not (build / "requirements.txt").exists()
    assert not (build / "bindep.txt").exists()
    assert "ARG EE_BASE_IMAGE=" in (tmp_path / "context/Containerfile").read_text()
    told = subprocess.run(["ansible-builder", "introspect", "--sanitize", str(common.ROOT / ".build/link")],
                          check=True, capture_output=True, text=True).stdout  # fmt: skip
    found = yaml.safe_load(told.split("---\n", 1)[1]) if "---\n" in told else {}
    assert {key: value for key, value in (found or {}).items() if value} == {}, told
