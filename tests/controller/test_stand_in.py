# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in refuses what a real AWX refused, in its words."""

from __future__ import annotations

import time
import typing as t

import pytest
from awx_controller import recorded, validation
from awx_controller.launching import Ended, Launcher
from awx_controller.store import Store
from awx_controller.validation import Refused

# The surveys of the templates that the recordings are of.
TYPES = {"spec": [
    {"question_name": "T", "variable": "s_text", "type": "text", "required": True, "default": "", "min": 0, "max": 20},
    {"question_name": "P", "variable": "s_password", "type": "password", "required": True, "default": "", "min": 0, "max": 32},
    {"question_name": "I", "variable": "s_int", "type": "integer", "required": True, "default": 3, "min": 1, "max": 9},
    {"question_name": "C", "variable": "s_choice", "type": "multiplechoice", "required": True, "default": "a", "choices": ["a", "b"]},
    {"question_name": "M", "variable": "s_multi", "type": "multiselect", "required": False, "default": "a", "choices": ["a", "b", "c"]},
    {"question_name": "Y", "variable": "s_yes", "type": "multiplechoice", "required": False, "default": "yes", "choices": ["yes", "no"]},
]}  # fmt: skip
RECOVER = {"spec": [
    {"question_name": "U", "variable": "lifecycle_max_unhealthy", "type": "text", "required": True, "default": "50%", "min": 1, "max": 8},
    {"question_name": "S", "variable": "lifecycle_serial", "type": "integer", "required": True, "default": 1, "min": 1, "max": 50},
    {"question_name": "D", "variable": "lifecycle_recovery", "type": "multiplechoice", "required": True, "default": "reset_start",
     "choices": ["observe", "start", "reset_start", "restart"]},
]}  # fmt: skip
SURVEYS = {9: {"spec": []}, 14: RECOVER, 19: TYPES}


@pytest.fixture
def launcher() -> t.Iterator[Launcher]:
    made = Launcher(Store(), lambda _job, _store, _canceled: Ended("successful"))
    yield made
    made.join()


def template(launcher: Launcher, number: int) -> recorded.Data:
    found = launcher.store.add("job_templates", {"name": str(number), "survey_enabled": True, "extra_vars": "{}"})
    found.update(
        ask_limit_on_launch=True,
        ask_job_type_on_launch=True,
        ask_verbosity_on_launch=True,
        ask_diff_mode_on_launch=True,
    )
    launcher.store.surveys["job_templates", found["id"]] = SURVEYS[number]
    return found


REFUSED = [call for call in recorded.calls("launch_refused") if call["status"] == 400]


@pytest.mark.parametrize("call", REFUSED, ids=lambda call: str(call["request"]["body"])[:60])
def test_a_launch_is_refused_as_it_was(launcher: Launcher, call: recorded.Data) -> None:
    number = int(call["request"]["path"].split("/")[4])
    with pytest.raises(Refused) as refused:
        launcher.launch(template(launcher, number), call["request"]["body"])
    assert (refused.value.status, refused.value.body) == (400, call["response"])


def test_what_is_not_asked_for_is_ignored(launcher: Launcher) -> None:
    call = recorded.calls("launch_ignored_fields")[1]
    found = template(launcher, 9)
    made = launcher.launch(found, call["request"]["body"])
    assert made["ignored_fields"] == call["response"]["ignored_fields"]
    assert made["limit"] == "localhost"


@pytest.mark.parametrize("call", recorded.calls("survey_spec_refused"), ids=lambda call: str(call["response"])[:50])
def test_a_survey_is_refused_as_it_was(call: recorded.Data) -> None:
    if call["status"] == 200:
        validation.check_survey(call["request"]["body"])
        return
    with pytest.raises(Refused) as refused:
        validation.check_survey(call["request"]["body"])
    assert refused.value.body == call["response"]


@pytest.mark.parametrize(
    "call", recorded.calls("post_credential_type"), ids=lambda call: call["request"]["body"]["name"]
)
def test_a_credential_type_is_refused_as_it_was(call: recorded.Data) -> None:
    store = Store()
    if call["status"] == 201:
        made = store.create("credential_types", call["request"]["body"])
        assert {key: made[key] for key in call["request"]["body"]} == call["request"]["body"]
        return
    with pytest.raises(Refused) as refused:
        store.create("credential_types", call["request"]["body"])
    assert refused.value.body == call["response"]


def test_a_workflow_refuses_what_it_does_not_ask_for(launcher: Launcher) -> None:
    call = recorded.calls("workflow_launch")[-1]
    found = launcher.store.add("workflow_job_templates", {"name": "x"})
    with pytest.raises(Refused) as refused:
        launcher.launch_workflow(found, call["request"]["body"])
    assert (refused.value.status, refused.value.body) == (call["status"], call["response"])


@pytest.mark.parametrize("collection", [name for name in recorded.COLLECTIONS if recorded.fields(name)])
def test_a_new_object_has_the_fields_of_a_real_one(collection: str) -> None:
    made = recorded.new(collection, 7)
    left_out = {"job", "workflow_job", "ignored_fields"} if collection in ("jobs", "workflow_jobs") else set()
    assert set(made) == set(recorded.example(collection)) - left_out
    assert made["url"] == f"/api/v2/{collection}/7/"


class Steps:
    """A workflow plan -> approve -> canary -> rest -> report, with a way on for failures, whose jobs end as told."""

    def __init__(self, ends: dict[str, str]) -> None:
        self.launcher = Launcher(Store(), lambda job, _store, _canceled: Ended(ends.get(job["name"], "successful")))
        store = self.launcher.store
        self.template = store.add("workflow_job_templates", {"name": "w"})
        nodes = {}
        for name in ("plan", "approve", "canary", "rest", "report", "bad", "failed"):
            template = store.add("job_templates", {"name": name, "survey_enabled": False, "extra_vars": ""})
            node = store.add(
                "workflow_job_template_nodes", {"identifier": name, "workflow_job_template": self.template["id"]}
            )
            node.update(unified_job_template=template["id"], extra_data={})
            if name == "approve":
                store.make_approval(node["id"], {"name": "approve"})
            nodes[name] = node["id"]
        for before, event, after in (("plan", "success", "approve"), ("approve", "success", "canary"), ("canary", "success", "rest"),
                                     ("rest", "success", "report"), ("canary", "failure", "bad"), ("rest", "failure", "bad"),
                                     ("bad", "always", "failed")):  # fmt: skip
            store.associate("workflow_job_template_nodes", nodes[before], f"{event}_nodes", {"id": nodes[after]})

    def run(self, approve: bool) -> tuple[str, dict[str, str]]:
        job_id = self.launcher.launch_workflow(self.template, {})["id"]
        job = self.launcher.store.objects["workflow_jobs"][job_id]
        deadline = time.monotonic() + 30
        while not job["finished"]:
            assert time.monotonic() < deadline, job
            for approval in list(self.launcher.store.objects["workflow_approvals"].values()):
                if approval["status"] == "pending":
                    self.launcher.decide(approval, approve)
            time.sleep(0.01)
        return job["status"], {
            step["node"]["identifier"]: step["job"]["status"] for step in job["_nodes"].values() if step["job"]
        }


@pytest.mark.parametrize(
    ("ends", "approve", "status", "ran"),
    [
        ({}, True, "successful", ["plan", "approve", "canary", "rest", "report"]),
        ({"plan": "failed"}, True, "failed", ["plan"]),
        ({}, False, "failed", ["plan", "approve"]),
        ({"canary": "failed", "failed": "failed"}, True, "failed", ["plan", "approve", "canary", "bad", "failed"]),
        (
            {"rest": "canceled", "failed": "failed"},
            True,
            "failed",
            ["plan", "approve", "canary", "rest", "bad", "failed"],
        ),
        # What AWX takes for dealt with.
        ({"canary": "failed"}, True, "successful", ["plan", "approve", "canary", "bad", "failed"]),
    ],
)
def test_a_workflow_goes_the_way_of_how_its_jobs_end(
    ends: dict[str, str], approve: bool, status: str, ran: list[str]
) -> None:
    found, statuses = Steps(ends).run(approve)
    assert (found, list(statuses)) == (status, ran)
