# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""extensions/awx applied to a controller, and used there."""

from __future__ import annotations

import json
import re
import shlex
import typing as t

import pytest
import yaml
from awx_controller import recorded

from tests.controller.conftest import PATIENCE, SECRETS, Controller
from tests.docs import common


def test_a_second_run_changes_nothing(applied: Controller) -> None:
    done = applied.apply()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0 " in done.stdout
    assert "changed:" not in done.stdout


def test_what_is_missing_in_the_settings_is_named(controller: Controller) -> None:
    done = controller.play(str(common.ROOT / "extensions/awx/apply.yml"))
    assert done.returncode != 0
    assert "lifecycle_awx_project_url: ''" in done.stdout


def test_a_job_is_launched_by_awx_awx(applied: Controller) -> None:
    applied.fleet.set(a1="running", a2="running", a3="error")
    book = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"awx.awx.job_launch": {
        "name": "lifecycle status", "limit": "a1,a3", "extra_vars": {"lifecycle_diagnose": "errors"}, "wait": True,
        "interval": 0.5, "timeout": PATIENCE}, "register": "launched"},
        {"ansible.builtin.debug": {"msg": "JOB {{ launched.id }} {{ launched.status }}"}}]}]  # fmt: skip
    (applied.folder / "launch.yml").write_text(yaml.safe_dump(book))
    done = applied.play("launch.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    number = done.stdout.split("JOB ")[1].split()[0]
    shown = applied.call("GET", f"/api/v2/jobs/{number}/stdout/?format=json")[1]["content"]
    assert "STATUS" in shown
    assert not [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({}, "'lifecycle_diagnose' value missing"),
        (
            {"lifecycle_diagnose": "all"},
            "Value all for 'lifecycle_diagnose' expected to be one of ['never', 'errors', 'always'].",
        ),
    ],
)
def test_a_survey_refuses_what_it_does_not_know(applied: Controller, answers: dict[str, str], said: str) -> None:
    status, body = applied.launch("job_templates", "lifecycle status", extra_vars=answers)
    assert (status, body) == (400, {"variables_needed_to_start": [said]})


def test_nothing_goes_past_the_survey(applied: Controller) -> None:
    applied.fleet.set(a1="running", a2="running", a3="running")
    answers = {"lifecycle_diagnose": "errors", "lifecycle_target": "a1", "other": 1}
    status, made = applied.launch("job_templates", "lifecycle status", extra_vars=answers)
    assert status == 201
    assert made["ignored_fields"] == {"extra_vars": {"lifecycle_target": "a1", "other": 1}}
    assert json.loads(applied.ended(made["url"])["extra_vars"]) == {"lifecycle_diagnose": "errors"}


def test_the_workflow_takes_neither_a_limit_nor_variables(applied: Controller) -> None:
    recording = recorded.calls("workflow_launch")[-1]
    status, said = applied.launch(
        "workflow_job_templates", "lifecycle guarded recovery", **recording["request"]["body"]
    )
    assert (status, said) == (recording["status"], recording["response"])


def by_guide(controller: Controller, module: str, number: int = 1) -> str:
    """Run the command of the guide with this module, for the workflow job with this number."""
    guide = (common.ROOT / "docs/docsite/rst/guide_awx.rst").read_text()
    command = next(line[4:] for line in guide.splitlines() if line.startswith("  $ ") and f" {module} " in line)
    done = controller.run(*shlex.split(command.replace("job_id=1", f"job_id={number}")))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_workflow_of_the_guide_recovers_the_canary_and_then_the_rest(applied: Controller) -> None:
    applied.fleet.set(a1="error", a2="error", a3="running")
    number = int(re.findall(r'"id": (\d+)', by_guide(applied, "awx.awx.workflow_launch"))[0])
    url = f"/api/v2/workflow_jobs/{number}/"
    applied.until(url, lambda job: job["finished"] or applied.nodes(job)["approve"]["job"])
    assert applied.fleet.acted_on(check=False) == []
    by_guide(applied, "awx.awx.workflow_approval", number)
    by_guide(applied, "awx.awx.job_wait", number)
    workflow = applied.call("GET", url)[1]
    nodes = applied.nodes(workflow)
    assert workflow["status"] == "successful"
    assert {name: status_of(node) for name, node in nodes.items()} == {
        "plan": "successful", "approve": "successful", "canary": "successful", "rest": "successful",
        "report": "successful", "report a failure": "not run", "failed": "not run"}  # fmt: skip
    jobs_of = {name: applied.call("GET", nodes[name]["related"]["job"])[1] for name in ("plan", "canary", "rest")}
    ends = {name: job["artifacts"]["lifecycle_outcome"] for name, job in jobs_of.items()}
    assert [(end["check_mode"], {entry["host"]: entry["outcome"] for entry in end["entries"]}) for end in ends.values()] == [
        (True, {"a1": "planned", "a2": "planned"}), (False, {"a1": "recovered"}), (False, {"a1": "self_recovered", "a2": "recovered"})]  # fmt: skip
    assert (jobs_of["canary"]["limit"], jobs_of["rest"]["limit"]) == ("canary", "")
    assert applied.fleet.acted_on(check=False) == ["a1", "a2"]
    assert "<!doctype html>" in (applied.folder / "report.html").read_text().lower()


def test_a_rolling_restart_is_launched_with_the_answers_of_its_survey(applied: Controller) -> None:
    applied.fleet.set(a1="running", a2="running", a3="running")
    template = applied.named("job_templates", "lifecycle rolling restart")
    survey = applied.call("GET", f"{template['url']}survey_spec/")[1]["spec"]
    answers = {question["variable"]: question["default"] for question in survey}
    restart = {**answers, "lifecycle_only_stale": "no", "lifecycle_only_name": "a1, a2"}
    status, made = applied.launch("job_templates", template["name"], extra_vars=restart)
    assert (status, made["ignored_fields"]) == (201, {})
    ended = applied.ended(made["url"])
    assert ended["status"] == "successful", applied.call("GET", f"{made['url']}stdout/?format=json")[1]["content"]
    assert ended["artifacts"]["lifecycle_outcome"]["counts"]["restarted"] == 2
    assert applied.fleet.acted_on(check=False) == ["a1", "a2"]


def guarded(controller: Controller, decision: str) -> tuple[t.Any, dict[str, t.Any]]:
    """The workflow, decided on once it asks."""
    status, workflow = controller.launch("workflow_job_templates", "lifecycle guarded recovery")
    assert status == 201
    controller.until(workflow["url"], lambda job: job["finished"] or controller.nodes(job)["approve"]["job"])
    assert controller.fleet.acted_on(check=False) == []
    approval = controller.nodes(workflow)["approve"]["related"]["job"]
    assert controller.call("POST", f"{approval}{decision}/", {})[0] == 204
    assert controller.call("POST", f"{approval}{decision}/", {})[0] == 400
    return controller.ended(workflow["url"]), controller.nodes(workflow)


def status_of(node: t.Any) -> str:
    return str(node["summary_fields"]["job"]["status"]) if node["job"] else "not run"


def test_a_canary_that_is_not_recovered_saves_the_rest_and_fails_the_workflow(applied: Controller) -> None:
    applied.fleet.set(a1="broken", a2="error", a3="running")
    workflow, nodes = guarded(applied, "approve")
    assert workflow["status"] == "failed"
    assert {name: status_of(node) for name, node in nodes.items()} == {
        "plan": "successful", "approve": "successful", "canary": "failed", "rest": "not run",
        "report": "not run", "report a failure": "successful", "failed": "failed"}  # fmt: skip
    assert applied.fleet.acted_on(check=False) == ["a1"]
    shown = applied.call("GET", f"{nodes['failed']['related']['job']}stdout/?format=json")[1]["content"]
    assert "did not come back" in shown


def test_nothing_is_done_where_it_is_denied(applied: Controller) -> None:
    applied.fleet.set(a1="error", a2="error", a3="running")
    workflow, nodes = guarded(applied, "deny")
    assert workflow["status"] == "failed"
    assert status_of(nodes["canary"]) == "not run"
    assert applied.fleet.acted_on(check=False) == []


def test_a_relaunch_on_failed_hosts_looks_at_those_that_failed(applied: Controller) -> None:
    applied.fleet.set(a1="error", a2="refused", a3="error")
    answers = {"lifecycle_max_unhealthy": "100%", "lifecycle_waves": "1, 10%, 50%", "lifecycle_soak": "0", "lifecycle_max_failed": "0",
               "lifecycle_recovery": "reset_start"}  # fmt: skip
    status, made = applied.launch("job_templates", "lifecycle recover", extra_vars=answers)
    assert status == 201
    assert applied.ended(made["url"])["status"] == "failed"
    applied.fleet.set(a2="error")
    status, again = applied.call("POST", f"{made['url']}relaunch/", {"hosts": "failed"})
    assert (status, again["limit"]) == (201, "a2")
    assert applied.ended(again["url"])["status"] == "successful"
    assert applied.fleet.acted_on(check=False) == ["a2"]
