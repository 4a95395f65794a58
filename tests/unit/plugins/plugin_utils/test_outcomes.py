# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all playbooks leave of a run has one shape, that of the documented schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _outcomes as o

# Beside the oldest ansible-core it is not installed.
jsonschema = pytest.importorskip("jsonschema")

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/schemas/lifecycle_outcome.json").read_text())


def check(artifact):
    jsonschema.validate(json.loads(json.dumps(artifact)), SCHEMA)


def test_the_schema_is_one_and_knows_every_outcome():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["version"]["const"] == o.SCHEMA_VERSION
    assert SCHEMA["properties"]["counts"]["required"] == list(o.MEANING)
    assert SCHEMA["$defs"]["entry"]["properties"]["outcome"]["enum"] == [
        name for name in o.MEANING if name != o.HEALTHY
    ]


def test_healthy_services_are_counted_and_have_no_entry():
    entries = [o.OutcomeEntry("a", "api", "generic", o.HEALTHY), o.OutcomeEntry("b", "", "", o.UNKNOWN, "no route")]
    found = o.artifact("recover", entries)
    check(found)
    assert found["counts"]["healthy"] == 1
    assert found["entries"] == [
        {"host": "b", "service": None, "kind": None, "outcome": "unknown", "reason": "no route", "guard": None}
    ]


def test_a_reason_is_short_and_without_control_characters():
    (entry,) = o.artifact("recover", [o.OutcomeEntry("a", "x", "generic", o.FAILED, "\x1b[31m" + "long " * 200)])[
        "entries"
    ]
    assert len(entry["reason"]) <= 300 and "\x1b" not in entry["reason"]


@pytest.mark.parametrize("outcome", list(o.MEANING))
def test_a_person_reads_an_outcome_without_underscores(outcome):
    assert "_" not in o.counted([o.OutcomeEntry("a", "x", "generic", outcome)])
