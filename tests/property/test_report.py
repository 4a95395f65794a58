# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever hosts return, the report can be made, has the documented shape, and its page has no element of theirs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import neutralise
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_data import report_data
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_history import read_service_history
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_page import render_page
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_page.view import page_view

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs/schemas/lifecycle_report.json").read_text())
NOW, WINDOW = 1_780_000_000.0, 3600.0
KEYS = (
    "name", "kind", "state", "age", "since", "reasons", "cause", "flags", "hold", "attempts", "alerts", "diagnosis", "causes",
    "history", "begin", "end", "first_state", "transitions", "at", "from", "to", "trigger", "owner", "coverage", "gaps", "reason",
    "notes", "errors", "besu", "cloudflared", "connections", "tunnel_id", "connector_id", "services", "msg", "unreachable",
    "evidence", "id", "outcome", "networks", "nodes", "head", "lag", "missing", "validators", "validator", "quorum", "expires",
)  # fmt: skip
TEXT = st.text(max_size=20) | st.sampled_from(
    ["<b onclick=x>", "\"'><script>", "running", "error", "besu", "cloudflared"]
)
NUMBER = st.integers() | st.floats() | st.floats(NOW - WINDOW, NOW) | st.just(10**400)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=25,
)
MOMENT = st.floats(NOW - WINDOW, NOW)
STATE = st.sampled_from(["running", "error", "restarting", "stopped", "starting", "stopping", "unknown", "syncing"])
CHANGE = st.fixed_dictionaries(
    {"at": MOMENT, "from": STATE, "to": STATE, "trigger": st.sampled_from(["service", "operator", "collection"])},
    optional={"cause": TEXT, "owner": TEXT},
)
GAP = st.fixed_dictionaries({"begin": MOMENT, "end": MOMENT, "reason": TEXT})
HISTORY = st.fixed_dictionaries(
    {
        "begin": st.just(NOW - WINDOW),
        "end": st.just(NOW),
        "first_state": STATE | st.none(),
        "transitions": st.lists(CHANGE, max_size=12),
        "coverage": st.fixed_dictionaries({"gaps": st.lists(GAP, max_size=3)}),
    }
)


@settings(deadline=None)  # the machine may be busy
@given(JSON, JSON, HISTORY | JSON, JSON)
def test_whatever_hosts_return_the_report_holds(result, row, past, look):
    rows = [row, {**(row if isinstance(row, dict) else {}), "name": "api", "kind": "cloudflared", "history": past}]
    seen = {"a": result, "b": {"services": rows}}
    for told in (seen, neutralise(seen)):
        data = report_data(told, {"b": ["api", {"name": "db", "state": "stopped"}], "a": ["api"]}, look, WINDOW, NOW)
        jsonschema.validate(json.loads(json.dumps(data, allow_nan=False)), SCHEMA)
        page = render_page(data)
        assert page.count("<script") == 1 and not re.search(r"<b onclick|\"'><", page)


@settings(deadline=None)  # the machine may be busy
@given(HISTORY)
def test_the_time_of_a_window_is_told_once(past):
    """Spans follow each other from its beginning to its end, the timeline covers it, and incidents lie in it in order."""
    found, problem = read_service_history(past, "generic", WINDOW)
    assert found is not None, problem
    ends = [found.begin, *(span.end for span in found.spans)]
    assert [span.begin for span in found.spans] == ends[:-1] and ends[-1] == found.end
    incidents = found.incidents()
    limits = [moment for one in incidents for moment in (one.begin, one.end if one.end is not None else found.end)]
    assert limits == sorted(limits) and all(found.begin <= moment <= found.end for moment in limits)
    assert [one.ended for one in incidents[:-1]].count("open") == 0
    service = {"name": "api", "state": "running", "history": past}
    data = report_data({"a": {"services": [service]}}, {}, None, WINDOW, NOW)
    parts = page_view(data)["services"][0]["segments"]
    assert sum(float(part["width"]) for part in parts) == abs(sum(float(part["width"]) for part in parts))
    assert abs(sum(float(part["width"]) for part in parts) - 100) < 1
    shown = {part["state"] for part in parts}
    failed = {span.base for span in found.spans if span.base == "error"}
    assert failed <= shown, "a failure is never covered by something else"
