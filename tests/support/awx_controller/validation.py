# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX refuses, in its own words as they were recorded."""

from __future__ import annotations

import typing as t

import jinja2.sandbox
import yaml

from awx_controller import recorded
from awx_controller.recorded import Data

Find = t.Callable[[str, int], Data | None]
QUESTIONS = ("text", "textarea", "password", "multiplechoice", "multiselect", "integer", "float")
# Which collection the id in a field is of, where it is not named like it.
_OF = {
    "default_environment": "execution_environments",
    "execution_environment": "execution_environments",
    "inventory": "inventories",
    "signature_validation_credential": "credentials",
    "webhook_credential": "credentials",
}


class Refused(Exception):
    """The API answers with this status and body."""

    def __init__(self, status: int, body: t.Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


def collection_of(field: str) -> str:
    return _OF.get(field, f"{field}s")


def check_fields(collection: str, body: Data, find: Find, partly: bool) -> Data:
    """The fields of an object as AWX keeps them. Raises Refused; what is no field is left out in silence, as AWX does."""
    kept: Data = {}
    wrong: dict[str, list[str]] = {}
    for name, field in recorded.fields(collection).items():
        if name not in body:
            if field["required"] and not partly:
                wrong[name] = ["This field is required."]
            continue
        value = body[name]
        if value is None:
            value = field.get("default") if field["type"] in ("string", "choice", "json") else None
        problem = _problem(name, field, value, find) if value is not None else ""
        if problem:
            wrong[name] = [problem]
        kept[name] = value
    if wrong:
        raise Refused(400, wrong)
    return kept


def _problem(name: str, field: Data, value: t.Any, find: Find) -> str:
    kind = field["type"]
    if kind == "choice" and value not in [choice for choice, _label in field["choices"]]:
        # verbosity of a node is text in awx.awx
        return (
            ""
            if str(value) in [str(choice) for choice, _label in field["choices"]]
            else f'"{value}" is not a valid choice.'
        )
    if kind == "id" and name != "unified_job_template" and find(collection_of(name), value) is None:
        return f'Invalid pk "{value}" - object does not exist.'
    if kind == "integer" and (isinstance(value, bool) or not str(value).lstrip("-").isdigit()):
        return "A valid integer is required."
    if kind == "boolean" and not isinstance(value, bool):
        return "Must be a valid boolean."
    if kind == "string" and isinstance(value, (dict, list, bool)):
        return "Not a valid string."
    if kind == "string" and len(str(value)) > field.get("max_length", len(str(value))):
        return f"Ensure this field has no more than {field['max_length']} characters."
    return ""


def read_variables(given: t.Any) -> Data:
    """Extra variables, which may be text. Raises Refused."""
    if not isinstance(given, str):
        return dict(given or {})
    try:
        return dict(yaml.safe_load(given) or {})
    except yaml.YAMLError as exc:
        said = "error: Expecting value: line 1 column 1 (char 0)"
        raise Refused(400, {"extra_vars": [f"Cannot parse as JSON ({said}) or YAML (error: {exc})."]}) from None


def check_survey(body: Data) -> None:
    """Raises Refused where a survey is none."""
    if "spec" not in body:
        raise Refused(400, {"error": "Field 'spec' is missing from survey spec."})
    seen: set[str] = set()
    for number, question in enumerate(body["spec"]):
        problem = _question_problem(number, question, seen)
        if problem:
            raise Refused(400, {"error": problem})


def _question_problem(number: int, question: Data, seen: set[str]) -> str:
    for needed in ("question_name", "variable", "type", "required"):
        if needed not in question:
            return f"'{needed}' missing from survey question {number}"
    if question["type"] not in QUESTIONS:
        allowed = ", ".join(QUESTIONS)
        return f"'{question['type']}' in survey question {number} is not one of '{allowed}' allowed question types."
    if question["variable"] in seen:
        return f"'variable' '{question['variable']}' duplicated in survey question {number}."
    seen.add(question["variable"])
    default = question.get("default", "")
    if question["type"] == "integer" and default != "" and not _is_integer(default):
        return f"Default value {default} in survey question {number} expected to be integer."
    if question["type"] == "multiplechoice" and default not in ("", *_choices(question)):
        return "Default choice must be answered from the choices listed."
    return ""


def _is_integer(value: t.Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _choices(question: Data) -> list[str]:
    given = question.get("choices", "")
    return given.splitlines() if isinstance(given, str) else list(given)


def answer_problems(spec: Data, answers: Data) -> list[str]:
    """What is wrong with the answers to a survey. A default is the form's alone."""
    return [problem for question in spec.get("spec", []) for problem in _answer_problems(question, answers)]


def _answer_problems(question: Data, answers: Data) -> list[str]:
    name, kind = question["variable"], question["type"]
    if name not in answers:
        return [f"'{name}' value missing"] if question["required"] else []
    value = answers[name]
    size: t.Any = None
    if kind in ("text", "textarea", "password"):
        if not isinstance(value, str):
            return [f"Value {value} for '{name}' expected to be a string."]
        size = len(value)
    elif kind == "integer":
        if not _is_integer(value):
            return [f"Value {value} for '{name}' expected to be an integer."]
        size = value
    elif kind == "float":
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return [f"Value {value} for '{name}' expected to be a numeric type."]
        size = value
    elif kind == "multiselect":
        if not isinstance(value, list):
            return [f"'{name}' value is expected to be a list."]
    elif value not in _choices(question):
        return [f"Value {value} for '{name}' expected to be one of {_choices(question)}."]
    said = []
    if size is not None and question.get("min") not in (None, "") and size < int(question["min"]):
        said.append(f"'{name}' value {value} is too small (must be at least {question['min']}).")
    if size is not None and question.get("max") not in (None, "") and size > int(question["max"]):
        said.append(f"'{name}' value {value} is too large (must be no more than {question['max']}).")
    return said


def check_credential_type(body: Data) -> None:
    """Raises Refused where the inputs or the injectors of a credential type mean nothing."""
    known: Data = {"tower": {"filename": {}}}
    for field in body.get("inputs", {}).get("fields", []):
        for needed in ("id", "label"):
            if needed not in field:
                raise Refused(400, {"inputs": [f"'{needed}' is a required property"]})
        known[field["id"]] = "x"
    injectors = body.get("injectors", {})
    for name in injectors.get("file", {}):
        known["tower"]["filename"][name.partition(".")[2] or "template"] = "x"
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    for kind in injectors.values():
        for name, text in kind.items():
            if name.startswith("ANSIBLE_"):
                said = f"Environment variable {name} may affect Ansible configuration so its use is not allowed in credentials."
                raise Refused(400, {"injectors": [said]})
            try:
                environment.from_string(text).render(known)
            except jinja2.UndefinedError as exc:
                raise Refused(400, {"injectors": [f"{name} uses an undefined field ({exc})"]}) from None


def check_credential(inputs: Data, kind: Data) -> None:
    """Raises Refused where a credential has inputs that its type has not."""
    known = {field["id"] for field in kind["inputs"].get("fields", [])}
    for name in inputs:
        if known and name not in known:
            raise Refused(400, {"inputs": [f"Additional properties are not allowed ('{name}' was unexpected)"]})


# What a body may use; an empty job, as AWX tries bodies with.
STUB = {
    "job": {"id": 1, "name": "x", "status": "running", "limit": "", "artifacts": {}, "url": "", "job_explanation": ""},
    "job_friendly_name": "Job",
    "url": "https://awx.example/#/jobs/playbook/1",
    "job_metadata": "{}",
    "approval_status": "pending",
    "approval_node_name": "x",
    "workflow_url": "https://awx.example/#/jobs/workflow/1",
}


def render(body: str, known: Data) -> str:
    """A body of a notification as AWX renders it. Raises jinja2.UndefinedError."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    return environment.from_string(body).render(known)


def check_messages(messages: Data) -> None:
    """Raises Refused where a body uses what there is not."""
    for event, message in messages.items():
        bodies = [message] if event != "workflow_approval" else list((message or {}).values())
        for body in bodies:
            try:
                render((body or {}).get("body") or "", STUB)
            except jinja2.UndefinedError as exc:
                name = str(exc).rpartition(" ")[2].strip("'")
                said = [
                    f"Field '{name}' unavailable",
                    f"Webhook body for '{event}' is not valid. The following gave an error ({name}).",
                ]
                raise Refused(400, {"messages": said}) from None
