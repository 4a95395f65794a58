# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real AWX 24.6.1 said of its objects: their fields, and how a new one looks."""

from __future__ import annotations

import functools
import json
import re
import typing as t
from pathlib import Path

RECORDINGS = Path(__file__).resolve().parents[2] / "recordings/awx"

Data = dict[str, t.Any]

# Collection -> the recording of its first POST that was accepted.
_MADE = {
    "organizations": "post_organization",
    "execution_environments": "post_execution_environment",
    "credential_types": "post_credential_type",
    "credentials": "post_credential",
    "projects": "post_project",
    "inventories": "post_inventory",
    "hosts": "post_host",
    "groups": "post_group",
    "notification_templates": "post_notification_template",
    "job_templates": "post_job_template",
    "workflow_job_templates": "post_workflow_job_template",
    "workflow_job_template_nodes": "post_workflow_node",
    "workflow_approval_templates": "post_workflow_node",
    "jobs": "launch_ok_job",
    "workflow_jobs": "workflow_launch",
    "workflow_approvals": "workflow_approval",
}
COLLECTIONS = tuple(_MADE)


def calls(name: str) -> list[Data]:
    """The calls of a recording: ``request``, ``status`` and ``response``."""
    found = json.loads((RECORDINGS / f"{name}.json").read_text())
    return list(found) if isinstance(found, list) else [found]


@functools.cache
def fields(collection: str) -> Data:
    """What OPTIONS says of the fields that a POST takes: name -> type, required, choices, default."""
    if not (RECORDINGS / f"options_{collection}.json").exists():
        return {}
    return dict(calls(f"options_{collection}")[0]["response"]["actions"]["POST"])


@functools.cache
def example(collection: str) -> Data:
    """A new object as the real one returned it."""
    for call in calls(_MADE[collection]):
        found = call["response"]
        if isinstance(found, dict) and re.match(f"/api/v2/{collection}/\\d+/$", str(found.get("url"))):
            return found
    raise LookupError(f"no recording has an object of {collection}")


def new(collection: str, number: int) -> Data:
    """A new object with this id: the fields and the links of the real one, and none of its values."""
    found = example(collection)
    made = {key: value for key, value in found.items() if key not in ("ignored_fields", "job", "workflow_job")}
    made |= {name: field.get("default") for name, field in fields(collection).items() if name in made}
    old, mine = f"/api/v2/{collection}/{found['id']}/", f"/api/v2/{collection}/{number}/"
    links = {key: link for key, link in found["related"].items() if isinstance(link, str) and link.startswith(old)}
    made.update(id=number, url=mine, related={key: mine + link[len(old) :] for key, link in links.items()})
    made["summary_fields"] = {}
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]
