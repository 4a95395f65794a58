# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of the controller and what holds between them. Nothing here knows HTTP."""

from __future__ import annotations

import copy
import json
import re
import threading
import typing as t
from pathlib import Path
from urllib.parse import urlparse

from awx_controller import recorded, validation
from awx_controller.recorded import Data
from awx_controller.validation import Refused

# Association -> the collection of what is associated.
ASSOCIATIONS = {
    "credentials": "credentials",
    "galaxy_credentials": "credentials",
    "hosts": "hosts",
    "children": "groups",
    "instance_groups": "instance_groups",
    "labels": "labels",
    **{
        f"notification_templates_{event}": "notification_templates"
        for event in ("started", "success", "error", "approvals")
    },
    **{f"{event}_nodes": "workflow_job_template_nodes" for event in ("success", "failure", "always")},
}
# What makes two objects of a collection the same.
_IDENTITY = {
    "organizations": ("name",),
    "execution_environments": ("name",),
    "credential_types": ("name",),
    "credentials": ("organization", "name", "credential_type"),
    "hosts": ("name", "inventory"),
    "groups": ("name", "inventory"),
    "workflow_job_template_nodes": ("identifier", "workflow_job_template"),
}
_BY_ORGANIZATION = ("organization", "name")
_MODELS = {"job_templates": "JobTemplate", "workflow_job_templates": "WorkflowJobTemplate", "projects": "Project"}
_PLAYBOOK = re.compile(r"^\s*-?\s*['\"]?(?:hosts|(?:ansible\.builtin\.)?import_playbook|include):", re.MULTILINE)
SECRET = "$encrypted$"


class Store:
    """All objects, by collection and id. Every public method holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.objects: dict[str, dict[int, Data]] = {name: {} for name in recorded.COLLECTIONS}
        self.objects |= {"instance_groups": {}, "labels": {}, "project_updates": {}}
        self.associated: dict[tuple[str, int, str], list[int]] = {}
        self.surveys: dict[tuple[str, int], Data] = {}
        self.secrets: dict[int, Data] = {}  # of credentials, by their id
        self._numbers = 0
        # What a new AWX has.
        self.add("organizations", {"name": "Default"})
        machine = self.add("credential_types", {"name": "Machine", "kind": "ssh", "inputs": {"fields": _MACHINE}})
        galaxy = self.add("credential_types", {"name": "Ansible Galaxy/Automation Hub API Token", "kind": "galaxy"})
        for one in (machine, galaxy):
            one["managed"] = True
        self.add("credentials", {"name": "Ansible Galaxy", "credential_type": galaxy["id"], "inputs": {}})

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def find(self, collection: str, number: t.Any) -> Data | None:
        return self.objects.get(collection, {}).get(int(number)) if str(number).isdigit() else None

    def add(self, collection: str, values: Data) -> Data:
        """Keep a new object with these values; nothing is checked."""
        made = recorded.new(collection, self.number()) | values
        self.objects[collection][made["id"]] = made
        self._link(made)
        return made

    def create(self, collection: str, body: Data) -> Data:
        """A new object as a POST makes it. Raises Refused."""
        with self.lock:
            kept = validation.check_fields(collection, body, self.find, partly=False)
            if collection == "job_templates" and "organization" not in kept:
                kept["organization"] = (self.find("projects", body.get("project")) or {}).get("organization")
            self._check(collection, kept, None)
            made = self.add(collection, self._kept(collection, kept))
            self._keep_secrets(collection, made["id"], kept)
            if collection == "projects":
                self.update_project(made)
            return made

    def change(self, collection: str, number: int, body: Data) -> Data:
        """The object after a PATCH. Raises Refused."""
        with self.lock:
            found = self.objects[collection][number]
            kept = validation.check_fields(collection, body, self.find, partly=True)
            if collection == "workflow_approval_templates":
                kept = {name: body[name] for name in ("name", "description", "timeout") if name in body}
            self._check(collection, found | kept, number)
            self._keep_secrets(collection, number, kept)
            found.update(self._kept(collection, kept))
            self._link(found)
            return found

    def _check(self, collection: str, values: Data, number: int | None) -> None:
        identity = _IDENTITY.get(collection, _BY_ORGANIZATION)
        for other in self.objects[collection].values():
            if collection in ("workflow_approval_templates",) or other["id"] == number:
                continue
            if all(other.get(field) == values.get(field) for field in identity):
                raise Refused(400, {"__all__": [_already(collection, identity)]})
        if collection == "job_templates":
            self._check_job_template(values)
        elif collection == "workflow_job_template_nodes":
            template = self.unified(values.get("unified_job_template"))
            self._check_node(values.get("extra_data") or {}, template)
        elif collection == "credential_types":
            validation.check_credential_type(values)
        elif collection == "credentials":
            validation.check_credential(
                values.get("inputs") or {}, self.objects["credential_types"][values["credential_type"]]
            )
        elif collection == "notification_templates":
            validation.check_messages(values.get("messages") or {})

    def _check_job_template(self, values: Data) -> None:
        project = self.find("projects", values.get("project"))
        if project is None:
            raise Refused(400, {"project": ["Job Templates must have a project assigned."]})
        if values["playbook"] not in playbooks(project):
            raise Refused(400, {"playbook": ["Playbook not found for project."]})

    def _check_node(self, answers: Data, template: Data | None) -> None:
        if template is None or not answers:
            return
        spec = self.surveys.get(("job_templates", template["id"]), {}) if template.get("survey_enabled") else {}
        asked = {question["variable"] for question in spec.get("spec", [])}
        unknown = [] if template.get("ask_variables_on_launch") else sorted(set(answers) - asked)
        if unknown:
            raise Refused(400, {"extra_data": [not_asked(unknown, "Job Template")]})
        wrong = validation.answer_problems(
            {"spec": [q for q in spec.get("spec", []) if q["variable"] in answers]}, answers
        )
        if wrong:
            raise Refused(400, {"variables_needed_to_start": wrong})

    def _kept(self, collection: str, values: Data) -> Data:
        kept = copy.deepcopy(values)
        if collection == "credentials" and "inputs" in kept:
            kind = self.objects["credential_types"].get(kept.get("credential_type", -1), {"inputs": {}})
            secret = {field["id"] for field in kind["inputs"].get("fields", []) if field.get("secret")}
            kept["inputs"] = {name: SECRET if name in secret else value for name, value in kept["inputs"].items()}
        if collection == "notification_templates" and kept.get("messages") is not None:
            kept["messages"] = dict.fromkeys(("started", "success", "error", "workflow_approval")) | kept["messages"]
        return kept

    def _keep_secrets(self, collection: str, number: int, values: Data) -> None:
        if collection == "credentials":
            given = {name: value for name, value in (values.get("inputs") or {}).items() if value != SECRET}
            self.secrets[number] = self.secrets.get(number, {}) | given

    def _link(self, found: Data) -> None:
        for field, value in found.items():
            collection = validation.collection_of(field)
            if field == "unified_job_template":
                template = self.unified(value)
                if template is not None:
                    found["related"][field] = template["url"]
            elif collection in self.objects and isinstance(value, int) and value in self.objects[collection]:
                found["related"][field] = self.objects[collection][value]["url"]
                found["summary_fields"][field] = {"id": value, "name": self.objects[collection][value].get("name")}

    def unified(self, number: t.Any) -> Data | None:
        """The template of any kind with this id."""
        for collection in ("job_templates", "workflow_job_templates", "workflow_approval_templates", "projects"):
            found = self.find(collection, number)
            if found is not None:
                return found
        return None

    def listed(self, collection: str, query: t.Mapping[str, str]) -> list[Data]:
        """The objects that a query chooses, by id."""
        with self.lock:
            if collection == "unified_job_templates":
                every = [
                    one
                    for name in ("job_templates", "workflow_job_templates", "projects")
                    for one in self.objects[name].values()
                ]
            else:
                every = list(self.objects[collection].values())
            exact = {key: value.split(",") if key.endswith("__in") else [value]
                     for key, value in query.items() if not key.startswith("or__") and key != "page_size"}  # fmt: skip
            either = {key[4:]: value for key, value in query.items() if key.startswith("or__")}
            return [
                one
                for one in every
                if all(str(one.get(key.removesuffix("__in"))) in values for key, values in exact.items())
                and (not either or any(str(one.get(key)) == value for key, value in either.items()))
            ]

    def associations(self, collection: str, number: int, name: str) -> list[Data]:
        with self.lock:
            chosen = self.associated.get((collection, number, name), [])
            return [self.objects[ASSOCIATIONS[name]][one] for one in chosen]

    def associate(self, collection: str, number: int, name: str, body: Data) -> None:
        """Add or take away one. Raises Refused."""
        with self.lock:
            ids = self.associated.setdefault((collection, number, name), [])
            other = int(body["id"])
            if self.find(ASSOCIATIONS[name], other) is None:
                raise Refused(400, {"id": [f'Invalid pk "{other}" - object does not exist.']})
            if body.get("disassociate"):
                ids[:] = [one for one in ids if one != other]
            elif name.endswith("_nodes") and self._leads_to(other, number):
                raise Refused(400, {"Error": "Cycle detected."})
            elif other not in ids:
                ids.append(other)
            if name.endswith("_nodes"):
                self.objects[collection][number][name] = list(ids)

    def _leads_to(self, start: int, goal: int) -> bool:
        node = self.objects["workflow_job_template_nodes"][start]
        after = [other for event in ("success", "failure", "always") for other in node.get(f"{event}_nodes") or []]
        return start == goal or any(self._leads_to(other, goal) for other in after)

    def update_project(self, project: Data) -> None:
        """Take over what the repository has now: the update is over at once."""
        made: Data = {"id": self.number(), "status": "successful", "failed": False}
        made |= {"url": f"/api/v2/project_updates/{made['id']}/", "finished": "now", "event_processing_finished": True}
        self.objects["project_updates"][made["id"]] = made
        if not project_folder(project).is_dir():
            made |= {"status": "failed", "failed": True}
        project.update(status=made["status"], scm_revision="0" * 40)
        project["summary_fields"]["current_update"] = {"id": made["id"], "status": made["status"]}

    def set_survey(self, collection: str, number: int, body: Data) -> None:
        with self.lock:
            validation.check_survey(body)
            self.surveys[collection, number] = json.loads(json.dumps(body))

    def make_approval(self, number: int, body: Data) -> Data:
        """The approval of a node."""
        with self.lock:
            node = self.objects["workflow_job_template_nodes"][number]
            values = {
                "name": body["name"],
                "description": body.get("description", ""),
                "timeout": body.get("timeout", 0),
            }
            made = self.add("workflow_approval_templates", values)
            node["unified_job_template"] = made["id"]
            self._link(node)
            return made

    def delete(self, collection: str, number: int) -> None:
        with self.lock:
            del self.objects[collection][number]


_MACHINE = [
    {"id": "username", "label": "Username", "type": "string"},
    {"id": "password", "label": "Password", "type": "string", "secret": True},
    {"id": "ssh_key_data", "label": "SSH Private Key", "type": "string", "secret": True, "multiline": True},
]


def project_folder(project: Data) -> Path:
    """Where the playbooks of a project are: its URL is one of a folder here."""
    return Path(urlparse(project["scm_url"]).path)


def playbooks(project: Data) -> list[str]:
    """The playbooks that AWX finds in a project: by their text, not by their folder."""
    folder = project_folder(project)
    found = (path for path in folder.rglob("*.yml") if _PLAYBOOK.search(path.read_text()))
    return sorted(str(path.relative_to(folder)) for path in found)


def not_asked(names: t.Iterable[str], where: str) -> str:
    said = "Check the Prompt on Launch setting on the"
    return f"Variables {', '.join(names)} are not allowed on launch. {said} {where} to include Extra Variables."


def _already(collection: str, identity: tuple[str, ...]) -> str:
    if collection == "workflow_job_template_nodes":
        return "Workflow job template node with this Identifier and Workflow job template already exists."
    return f"{_MODELS.get(collection, collection)} with this ({', '.join(identity)}) combination already exists."
