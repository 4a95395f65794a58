# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a host returns, the reports of the controller and the shape of their outcome hold."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _outcomes as o
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _recovery_plan, _reports, _results
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._sync_report import sync_summary
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tunnel_plan import tunnel_plan
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tunnel_report import tunnel_summary

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs/schemas/lifecycle_outcome.json").read_text())
RESULT_KEYS = (
    "name", "kind", "state", "reached", "changed", "failed", "unreachable", "msg", "observation", "before", "after", "hold",
    "transitions", "blocked_by", "diagnosis", "fixes", "duration", "chain", "progress", "handover", "cause", "reasons",
    "age", "unit_facts", "besu", "cloudflared", "action", "applied", "guard", "reason", "hint", "causes", "id", "stall",
    "evidence", "next_step", "outcome", "owner", "services", "genesis", "validator", "address", "rounds", "missing",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(RESULT_KEYS), inner, max_size=6),
    max_leaves=20,
)


def check(artifact):
    jsonschema.validate(json.loads(json.dumps(artifact)), SCHEMA)


@settings(deadline=None)  # the machine may be busy
@given(JSON, JSON)
def test_whatever_a_host_returns_the_reports_and_their_shape_hold(seen, result):
    """A wrong type costs its own row, and never the report."""
    observed = {"a": seen, "b": {"services": [seen, {"name": "api", "kind": "besu", "state": "error", "besu": seen}]}}
    plan = _recovery_plan.recovery_plan(observed, {"b": ["api", {"name": "db", "state": "stopped"}]}, "100%")
    results = {
        host: [result, {"name": "api", "blocked_by": [result], **(result if isinstance(result, dict) else {})}]
        for host in plan["due"]
    }
    check(o.artifact("recover", _reports.recovery_entries(results, plan), True))
    assert all(isinstance(line, str) for line in _reports.summary_lines(results, plan) + plan["lines"])
    assert all(isinstance(line, str) for line in _reports.status_lines(observed))
    check(sync_summary({"a/besu": result, "b/besu": seen})["outcome"])
    tunnels = tunnel_plan(
        {"a": {"services": [{"name": "t", "kind": "cloudflared", "state": "error", "cloudflared": seen}]}}
    )
    check(tunnel_summary(tunnels, {"a/t": result}, tunnels, result)["outcome"])


@settings(deadline=None)  # the machine may be busy
@given(JSON)
def test_any_value_reads_as_a_result(value):
    result = _results.ServiceResult.from_dict(value)
    assert o.outcome_of(result) in o.MEANING
