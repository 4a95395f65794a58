# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a launch to jobs and workflow jobs: what is asked, what is ignored or refused, and which node comes next."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
import traceback
import typing as t

from awx_controller import validation
from awx_controller.recorded import Data, fields
from awx_controller.store import Store, not_asked
from awx_controller.validation import Refused

# Field of a launch -> the prompt that has to be on.
_PROMPTS = {
    "inventory": "ask_inventory_on_launch",
    "limit": "ask_limit_on_launch",
    "job_type": "ask_job_type_on_launch",
    "verbosity": "ask_verbosity_on_launch",
    "diff_mode": "ask_diff_mode_on_launch",
    "job_tags": "ask_tags_on_launch",
    "skip_tags": "ask_skip_tags_on_launch",
    "scm_branch": "ask_scm_branch_on_launch",
    "forks": "ask_forks_on_launch",
    "timeout": "ask_timeout_on_launch",
    "job_slice_count": "ask_job_slice_count_on_launch",
}
ENDED = ("successful", "failed", "error", "canceled")


@dataclasses.dataclass(frozen=True)
class Ended:
    """How the run of a job ended."""

    status: str
    artifacts: Data = dataclasses.field(default_factory=dict)
    failed_hosts: tuple[str, ...] = ()
    stdout: str = ""
    hosts: tuple[str, ...] = ()


# Runs a job, and asks the function every now and then whether it was canceled.
Run = t.Callable[[Data, Store, t.Callable[[], bool]], Ended]


class Launcher:
    """Starts jobs and workflow jobs in threads."""

    def __init__(self, store: Store, run: Run) -> None:
        self.store, self._run = store, run
        self.outputs: dict[int, str] = {}
        self._canceled: set[int] = set()
        self._threads: list[threading.Thread] = []

    def launch(self, template: Data, body: Data) -> Data:
        """A job of a template. Raises Refused."""
        with self.store.lock:
            spec = self._spec(template)
            given = validation.read_variables(body.get("extra_vars"))
            asked = {question["variable"] for question in spec.get("spec", [])}
            wrong = self._wrong_prompts(body) or validation.answer_problems(spec, given)
            if isinstance(wrong, dict):
                raise Refused(400, wrong)
            if wrong:
                raise Refused(400, {"variables_needed_to_start": wrong})
            used = {name: body[name] for name, prompt in _PROMPTS.items() if name in body and template[prompt]}
            ignored = {name: body[name] for name, prompt in _PROMPTS.items() if name in body and not template[prompt]}
            extra = (
                given if template["ask_variables_on_launch"] else {name: given[name] for name in given if name in asked}
            )
            if len(extra) < len(given):
                ignored["extra_vars"] = {name: value for name, value in given.items() if name not in extra}
            job = self._make(template, {**used, "launch_type": "manual"}, extra, {})
            self._start(self._run_job, job)
            return {"job": job["id"], "ignored_fields": ignored} | job

    def _wrong_prompts(self, body: Data) -> dict[str, list[str]]:
        wrong = {}
        for name in body:
            field = fields("job_templates").get(name, {})
            if field.get("type") == "choice" and body[name] not in [choice for choice, _label in field["choices"]]:
                wrong[name] = [f'"{body[name]}" is not a valid choice.']
            elif name == "inventory" and self.store.find("inventories", body[name]) is None:
                wrong[name] = [f'Invalid pk "{body[name]}" - object does not exist.']
        return wrong

    def _spec(self, template: Data) -> Data:
        return self.store.surveys.get(("job_templates", template["id"]), {}) if template.get("survey_enabled") else {}

    def launch_fields(self, template: Data) -> Data:
        """What GET launch says."""
        spec = self._spec(template)
        needed = [question["variable"] for question in spec.get("spec", []) if question["required"]]
        prompts = {name: value for name, value in template.items() if name.startswith("ask_")}
        return {
            **prompts,
            "survey_enabled": template["survey_enabled"],
            "variables_needed_to_start": needed,
            "can_start_without_user_input": not needed and not any(prompts.values()),
        }

    def _make(self, template: Data, used: Data, extra: Data, artifacts: Data) -> Data:
        copied = {name: template[name] for name in ("name", "job_type", "inventory", "project", "playbook", "limit", "verbosity",
                                                    "diff_mode", "organization", "execution_environment")}  # fmt: skip
        variables = {**validation.read_variables(template["extra_vars"]), **extra, **artifacts}
        job = self.store.add("jobs", copied | used)
        job.update(job_template=template["id"], unified_job_template=template["id"], status="pending", artifacts={})
        job["extra_vars"] = json.dumps(variables)
        job["failed"] = False
        # Those of the template alone may be expressions; what came from outside is text that nobody templates.
        job["_own"] = sorted(set(validation.read_variables(template["extra_vars"])) - set(extra) - set(artifacts))
        for one in self.store.associations("job_templates", template["id"], "credentials"):
            self.store.associate("jobs", job["id"], "credentials", {"id": one["id"]})
        return job

    def relaunch(self, job: Data, body: Data) -> Data:
        """The job again, on all hosts or on those that AWX takes for failed. Raises Refused."""
        hosts = body.get("hosts", "all")
        if hosts not in ("all", "failed"):
            raise Refused(400, {"hosts": [f'"{hosts}" is not a valid choice.']})
        with self.store.lock:
            template = self.store.objects["job_templates"][job["job_template"]]
            again = self._make(template, {"job_type": job["job_type"], "limit": job["limit"]}, {}, {})
            again.update(extra_vars=job["extra_vars"], launch_type="relaunch")
            if hosts == "failed":
                again["limit"] = ",".join(job["_failed_hosts"])
            self._start(self._run_job, again)
            return again

    def cancel(self, job: Data) -> None:
        """Raises Refused where it has ended."""
        with self.store.lock:
            if job["status"] in ENDED:
                raise Refused(405, {"detail": 'Method "POST" not allowed.'})
            self._canceled.add(job["id"])

    def _start(self, target: t.Callable[[Data], None], job: Data) -> None:
        thread = threading.Thread(target=target, args=(job,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run_job(self, job: Data) -> None:
        job.update(status="running", started="now")
        try:
            ended = self._run(job, self.store, lambda: job["id"] in self._canceled)
        except Exception:
            ended = Ended("error", stdout=traceback.format_exc())
        self.outputs[job["id"]] = ended.stdout
        with self.store.lock:
            job["_failed_hosts"] = list(ended.failed_hosts)
            job["_hosts"] = list(ended.hosts)
            job.update(artifacts=ended.artifacts, failed=ended.status != "successful", status=ended.status)
            job.update(finished="now", event_processing_finished=True)

    def launch_workflow(self, template: Data, body: Data) -> Data:
        """A workflow job of a template. Raises Refused: what is not asked for is not ignored here."""
        with self.store.lock:
            wrong: dict[str, list[str]] = {}
            for name in ("limit", "inventory", "scm_branch"):
                if name in body and not template.get(f"ask_{name}_on_launch"):
                    wrong[name] = ["Field is not configured to prompt on launch."]
            given = validation.read_variables(body.get("extra_vars"))
            if given and not template["ask_variables_on_launch"]:
                wrong["extra_vars"] = [not_asked(given, "Workflow Job Template")]
            if wrong:
                raise Refused(400, wrong)
            job = self.store.add("workflow_jobs", {"name": template["name"], "workflow_job_template": template["id"]})
            job.update(
                status="running", failed=False, finished=None, extra_vars=json.dumps(given), limit=body.get("limit")
            )
            nodes = self.store.listed("workflow_job_template_nodes", {"workflow_job_template": str(template["id"])})
            job["_nodes"] = {node["id"]: {"node": node, "job": None, "do_not_run": False} for node in nodes}
            self._start(self._run_workflow, job)
            return {"workflow_job": job["id"], "ignored_fields": {}} | job

    def _run_workflow(self, job: Data) -> None:
        steps = job["_nodes"]
        while True:
            with self.store.lock:
                for number in steps:
                    if self._is_next(steps, number):
                        steps[number]["job"] = self._start_node(job, steps, number)
                if all(step["do_not_run"] or (step["job"] or {}).get("status") in ENDED for step in steps.values()):
                    break
            time.sleep(0.05)
        bad = [step for step in steps.values() if step["job"] and step["job"]["status"] != "successful"]
        unhandled = [step for step in bad if not step["node"]["failure_nodes"] and not step["node"]["always_nodes"]]
        with self.store.lock:
            said = "No error handling paths found, marking workflow as failed" if unhandled else ""
            job.update(failed=bool(unhandled), job_explanation=said, finished="now")
            job["status"] = "failed" if unhandled else "successful"

    def _is_next(self, steps: dict[int, Data], number: int) -> bool:
        """Whether the node starts now. Marks it where it never will."""
        step = steps[number]
        if step["job"] or step["do_not_run"]:
            return False
        before = [one for one in steps.values() if any(number in one["node"][f"{event}_nodes"] for event in _EVENTS)]
        if any(not one["do_not_run"] and (one["job"] or {}).get("status") not in ENDED for one in before):
            return False
        step["do_not_run"] = bool(before) and not any(_leads(one, number) for one in before)
        return not step["do_not_run"]

    def _start_node(self, workflow: Data, steps: dict[int, Data], number: int) -> Data:
        node = steps[number]["node"]
        template = self.store.unified(node["unified_job_template"])
        assert template is not None
        if template["id"] in self.store.objects["workflow_approval_templates"]:
            approval = self.store.add("workflow_approvals", {"name": template["name"], "status": "pending"})
            approval.update(unified_job_template=template["id"], failed=False, finished=None)
            return approval
        artifacts: Data = {}
        for one in steps.values():
            if one["job"] and _before(steps, number, one["node"]["id"]):
                artifacts |= one["job"].get("artifacts") or {}
        spec = self._spec(template)
        answers = {question["variable"]: question["default"] for question in spec.get("spec", [])} | node["extra_data"]
        used = {name: node[name] for name in ("limit", "job_type") if node[name] is not None}
        if workflow["limit"]:
            used["limit"] = workflow["limit"]
        answers |= json.loads(workflow["extra_vars"])
        job = self._make(template, used | {"launch_type": "workflow"}, answers, artifacts)
        self._start(self._run_job, job)
        return job

    def decide(self, approval: Data, approved: bool) -> None:
        """Raises Refused where somebody has."""
        with self.store.lock:
            if approval["status"] != "pending":
                raise Refused(400, {"error": "This workflow step has already been approved or denied."})
            approval.update(status="successful" if approved else "failed", failed=not approved, finished="now")

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)


_EVENTS = ("success", "failure", "always")


def _leads(step: Data, number: int) -> bool:
    if not step["job"]:
        return False
    event = "success" if step["job"]["status"] == "successful" else "failure"
    return number in step["node"][f"{event}_nodes"] or number in step["node"]["always_nodes"]


def _before(steps: dict[int, Data], number: int, other: int) -> bool:
    """Whether ``other`` comes before the node."""
    after = [one for event in _EVENTS for one in steps[other]["node"][f"{event}_nodes"]]
    return number in after or any(_before(steps, number, one) for one in after)
