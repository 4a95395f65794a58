# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a fleet: what it counts, what it shows as not known, and that its page is made of text and not of markup."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _report_data as d
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _report_history as h
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import neutralise
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_page import render_page
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_page import view as v
from ansible_collections.chainops.lifecycle.tests.unit.plugins.plugin_utils.report_fleet import (
    DAY,
    NOW,
    big_fleet,
    history,
    hostile_fleet,
    observation,
    small_fleet,
)

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/schemas/lifecycle_report.json").read_text())


def report(seen, described=None, look=None):
    return d.report_data(seen, described or {}, look or {}, DAY, NOW + 4)


def read(story, **more):
    found, problem = h.read_service_history(history(story, **more), "generic", DAY)
    assert found is not None, problem
    return found


def service(past, state="running", **more):
    return report({"a": {"services": [observation("api", state, past, **more)]}}, {"a": ["api"]})


class Page(html.parser.HTMLParser):
    """The elements of a page, with their attributes and the text in them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


# --- incidents ---

CRASH = (9.0, "error", "service", "signal", "")
RUN = (9.52, "running", "service", None, "")


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        pytest.param([], [], id="nothing happened"),
        pytest.param([CRASH], [("open", "signal", None, None)], id="it is not over"),
        pytest.param(
            [CRASH, (9.5, "starting", "collection", None, "ann"), RUN],
            [("running", "signal", "collection", 1872.0)],
            id="this collection made it run again",
        ),
        pytest.param(
            [CRASH, (9.5, "starting", "operator", None, ""), RUN],
            [("running", "signal", "operator", 1872.0)],
            id="an operator did",
        ),
        pytest.param(
            [(9.0, "restarting", "service", "exit_code", ""), (9.5, "running", "service", None, "")],
            [("running", "exit_code", "service", 1800.0)],
            id="systemd did",
        ),
        pytest.param(
            [
                (9.0, "restarting", "service", "exit_code", ""),
                (9.01, "running", "service", None, ""),
                (9.02, "restarting", "service", "exit_code", ""),
                (9.04, "running", "service", None, ""),
            ],
            [("running", "exit_code", "service", 144.0)],
            id="a run of 36 s does not end a crash loop",
        ),
        pytest.param(
            [(9.0, "stopping", "operator", None, ""), (9.01, "restarting", "operator", None, ""), RUN],
            [],
            id="a restart on purpose is no incident",
        ),
        pytest.param(
            [CRASH, (9.5, "stopped", "operator", None, "")],
            [("stopped", "signal", None, None)],
            id="somebody gave it up",
        ),
        pytest.param(
            [CRASH, (9.5, "unknown", "unrecorded", None, "")],
            [("not_known", "signal", None, None)],
            id="nobody knows how it ended",
        ),
        pytest.param(
            [CRASH, (9.5, "unknown", "log", None, ""), (9.51, "running", "log", None, "")],
            [("running", "signal", "service", 1836.0)],
            id="its log tells after a moment that it runs",
        ),
        pytest.param(
            [CRASH, (23.999, "running", "collection", None, "ann")],
            [("running", "signal", "collection", 53996.4)],
            id="it has just come back",
        ),
        pytest.param(
            [
                CRASH,
                (9.01, "running", "service", None, ""),
                (9.02, "error", "service", "signal", ""),
                (23.999, "running", "service", None, ""),
            ],
            [("open", "signal", None, None)],
            id="a run of a crash loop at the end of the window ends nothing",
        ),
    ],
)
def test_an_incident_lasts_until_the_service_has_run_for_a_minute(story, expected):
    found = [(one.ended, one.cause, one.by, one.seconds) for one in read(story).incidents()]
    assert [one[:3] for one in found] == [one[:3] for one in expected]
    assert [one[3] for one in found] == pytest.approx([one[3] for one in expected])


def test_an_incident_that_began_before_the_window_has_no_length():
    (one,) = read([(9.0, "running", "operator", None, "")], first="error").incidents()
    assert (one.ended, one.seconds) == ("running", None)


def test_a_gap_ends_an_incident_as_not_known():
    gap = {"begin": NOW - DAY / 2, "end": NOW - DAY / 4, "reason": "the journal lost messages"}
    found = read([CRASH, (23.0, "running", "service", None, "")], gaps=[gap]).incidents()
    assert [one.ended for one in found] == ["not_known", "running"]


# --- numbers ---


def test_availability_is_of_the_time_that_is_known():
    gap = {"begin": NOW - DAY, "end": NOW - DAY / 2, "reason": "the journal does not reach back so far"}
    found = service(history([(18.0, "error", "service", "signal", "")], gaps=[gap]))["services"][0]["history"]
    assert found["known"] == DAY / 2 and found["availability"] == 0.5
    assert found["seconds"]["unrecorded"] == DAY / 2


@pytest.mark.parametrize("desired", ["stopped", "succeeded"])
def test_a_service_that_need_not_run_says_nothing_of_availability(desired):
    data = report(
        {"a": {"services": [observation("job", "stopped", history([], first="stopped"))]}},
        {"a": [{"name": "job", "state": desired}]},
    )
    assert data["summary"]["availability"] is None


def test_the_headline_numbers_add_up():
    data = report(*small_fleet())
    summary = data["summary"]
    assert summary["services"] == len(data["services"]) == 14
    assert sum(summary["verdicts"].values()) == sum(summary["states"].values()) == 14
    assert summary["errors"] == sum(summary["errors_by_cause"].values())
    assert summary["recoveries"] == sum(summary["recovered_by"].values())
    assert (summary["attempts"], summary["attempts_verified"]) == (3, 2)
    assert (summary["hosts"], summary["hosts_not_observed"], summary["alerts"], summary["holds"]) == (7, 1, 1, 1)


@pytest.mark.parametrize(
    ("share", "shown"),
    [(1.0, "100 %"), (0.99999, "99.99 %"), (0.5, "50 %"), (0.0, "0 %"), (None, "–"), (0.0290, "2.9 %")],
)
def test_a_share_is_never_rounded_up_to_all(share, shown):
    assert v.percent(share) == shown


# --- what is not known ---


def test_hosts_that_were_not_reached_are_gaps_with_their_services():
    data = report(*small_fleet())
    lost = [one for one in data["services"] if one["host"] == "lost"]
    assert [one["service"] for one in lost] == ["api", "cache"]
    assert all(one["history"] is None and "No route to host" in one["history_problem"] for one in lost)
    page = render_page(data)
    assert page.count("no history: unreachable: connect to host lost port 22: No route to host") == 2


@pytest.mark.parametrize(
    ("past", "problem"),
    [
        (None, "the host returned no history"),
        ({"begin": NOW - 60, "end": NOW}, "the host returned a history of another window"),
        ({"begin": float("nan"), "end": NOW}, "the host returned a history of another window"),
        ({"begin": -DAY, "end": 0}, "the host returned a history of another window"),
        ({"begin": 10**400, "end": 10**400}, "the host returned a history of another window"),
    ],
)
def test_what_cannot_be_a_history_of_the_window_is_none(past, problem):
    found = service({"transitions": [], **past} if past else None)["services"][0]
    assert found["history"] is None and found["history_problem"] == problem


def test_more_transitions_than_are_read_are_a_gap_and_not_a_state():
    story = [
        (20 + i / 10000, "error" if i % 2 else "running", "service", "signal" if i % 2 else None, "")
        for i in range(1, h.MAX_TRANSITIONS + 100)
    ]
    found = service(history(story))["services"][0]["history"]
    assert len(found["transitions"]) == h.MAX_TRANSITIONS
    assert (
        found["gaps"][0]["reason"] == "only the last 5000 transitions are shown" and found["spans"][0]["state"] is None
    )


def test_a_clock_that_is_ahead_is_named_and_moves_nothing():
    past = history([(12.0, "error", "service", "signal", "")])
    for time in ("begin", "end"):
        past[time] += 3600
    past["transitions"][0]["at"] += 3600
    data = service(past, "error")
    assert data["hosts"][0]["clock_offset"] == pytest.approx(3596)
    assert [part["x"] for part in v.page_view(data)["services"][0]["segments"]] == ["0.00", "50.00"]
    assert "The clock of" in render_page(data)


# --- the drawing ---


def test_no_failure_is_too_short_to_be_seen():
    data = service(history([(12.0, "error", "service", "signal", ""), (12.001, "running", "service", None, "")]))
    parts = v.page_view(data)["services"][0]["segments"]
    assert [part["state"] for part in parts] == ["running", "error", "running"]
    assert parts[1]["title"] == "error, 2026-05-28 08:26:40 to 08:26:43 (3 s)"


def test_a_crash_loop_is_one_stretch_that_says_how_often():
    story = [
        (12 + i / 720, "restarting" if i % 2 else "running", "service", "exit_code" if i % 2 else None, "")
        for i in range(1, 1001)
    ]
    (before, loop, after) = v.page_view(service(history(story)))["services"][0]["segments"]
    assert (before["state"], loop["state"], after["state"]) == ("running", "restarting", "running")
    assert loop["title"].startswith("500 times restarting, ")


def test_the_stretches_of_a_timeline_cover_the_window():
    for one in v.page_view(report(*small_fleet()))["services"]:
        assert float(one["segments"][0]["x"]) == 0
        assert sum(float(part["width"]) for part in one["segments"]) == pytest.approx(100, abs=0.1)


def test_states_differ_without_colour():
    style = (Path(v.__file__).parent / "page.css").read_text()
    filled = dict(re.findall(r"\.t-(\w+) \{ fill: ([^;]+);", style))
    shapes = {(filled[state], y, height) for state, words, y, height in v.page_view(report({}))["legend"]}
    patterns = [one for one in shapes if one[0].startswith("url(")]
    plain = {(y, height) for fill, y, height in shapes if not fill.startswith("url(")}
    assert len(patterns) == 6 and len(plain) == 2


def test_services_of_few_hosts_share_a_column():
    seen = {
        f"h{i:02}": {
            "services": [observation("api", "running", history([])), observation(f"own{i}", "running", history([]))]
        }
        for i in range(20)
    }
    matrix = v.page_view(report(seen))["matrix"]
    assert matrix["columns"] == ["api"] and [one["label"] for one in matrix["rows"][3]["other"]] == ["own3"]


def test_a_fleet_without_services_has_a_page():
    assert "lifecycle_services" in render_page(report({"a": {"services": []}}))


DRILL = {
    "at": NOW - 3600,
    "fault": "port_taken",
    "owner": "ann",
    "undo_at": NOW - 3000,
    "invocation": "0a",
    "head": None,
    "outcome": "recovered",
    "detected_after": 2.5,
    "detected_as": "error",
    "recovered_after": 95.0,
    "lost": 92.5,
    "blocks": None,
}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        pytest.param([], [], id="none"),
        pytest.param(
            [DRILL], [("api", "port taken", "ann", "recovered", "2 s", "1 min 35 s", "1 min 32 s")], id="one that ended"
        ),
        pytest.param(
            [DRILL, {**DRILL, "at": NOW - 60, "outcome": "open", "recovered_after": None, "lost": 3, "blocks": 7}],
            [
                ("api", "port taken", "ann", "open", "2 s", "–", "3 s, 7 blocks"),
                ("api", "port taken", "ann", "recovered", "2 s", "1 min 35 s", "1 min 32 s"),
            ],
            id="the last one first",
        ),
        pytest.param(
            [{"at": "x", "outcome": "<b>", "fault": 3}, 7],
            [("api", "not known", "–", "not known", "–", "–", "–")],
            id="what is no drill",
        ),
        pytest.param("all of them", [], id="no list"),
        pytest.param(None, [], id="unreadable"),
    ],
)
def test_the_drills_of_the_window_are_a_part_of_the_report(given, shown):
    data = service(history([]), drills=given)
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(json.loads(json.dumps(data, allow_nan=False)), SCHEMA)
    assert data["summary"]["drills"] == len(shown)
    rows = v.page_view(data)["drills"]
    names = ("service", "fault", "owner", "outcome", "detected", "recovered", "lost")
    assert [tuple(row[name] for name in names) for row in rows] == shown
    assert ("<h2>Drills</h2>" in render_page(data)) == bool(shown)


# --- the page ---


@pytest.mark.parametrize("neutralised", [True, False])
def test_text_of_hosts_makes_no_element_and_no_attribute(neutralised):
    """Autoescape alone holds, too: what came from hosts is neutralised before, in which nothing here relies on."""
    given = hostile_fleet()
    page = render_page(report(*(neutralise(given) if neutralised else given)))
    calm = Page(render_page(report(*small_fleet())))
    found = Page(page)
    assert {tag for tag, _attrs in found.elements} <= {tag for tag, _attrs in calm.elements}
    assert [tag for tag, _attrs in found.elements].count("script") == 1
    names = {name for _tag, attrs in found.elements for name in attrs}
    assert names <= {name for _tag, attrs in calm.elements for name in attrs}
    assert not [name for name in names if name.startswith("on") or name in ("style", "src", "srcset", "action")]
    assert {attrs["href"][0] for _tag, attrs in found.elements if "href" in attrs} == {"#"}
    assert any("alert(1)" in text for text in found.texts)
    if neutralised:
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", page)


def test_a_megabyte_of_text_is_cut():
    assert len(render_page(report(*hostile_fleet()))) < 200_000


def test_the_page_allows_its_own_code_alone_and_asks_for_nothing():
    page = render_page(report(*small_fleet()))
    (policy,) = [
        attrs["content"] for _tag, attrs in Page(page).elements if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
    assert not re.search(r"""(?:src|href)=["'](?!#)|@import|url\((?!#)""", page)


def test_a_page_of_a_thousand_services_is_small():
    assert len(render_page(report(*big_fleet(1000))).encode()) < 5_000_000


def test_the_data_has_the_documented_shape():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["version"]["const"] == d.VERSION
    for fleet in (small_fleet(), hostile_fleet(), ({}, {}), ({"a": None}, {"a": ["api"]})):
        jsonschema.validate(json.loads(json.dumps(report(*fleet), allow_nan=False)), SCHEMA)


def test_a_terminal_is_told_where_the_report_is():
    data = report(*small_fleet())
    lines = d.report_lines(data, "/x/report.html", 184_300, False)
    assert lines[0].startswith("14 services on 7 hosts, the last 24 h: availability ")
    assert lines[1:] == ["not observed: lost", "wrote /x/report.html (184 kB)"]
    assert d.report_lines(data, "/x", 1, True)[-1].startswith("would write /x")


def test_one_that_runs_now_with_some_and_now_with_all_connections_has_recovered():
    changing = [(9.5 + n / 100, ("connected", "running")[n % 2], "log", None, "") for n in range(20)]
    found, problem = h.read_service_history(history([CRASH, *changing]), "cloudflared", DAY)
    assert [(one.ended, one.seconds) for one in found.incidents()] == [("running", 1800.0)], problem


def test_the_states_of_a_kind_are_named_and_drawn_as_their_base_state():
    story = [
        (6.0, "connected", "log", None, ""),
        (9.0, "reconnecting", "log", None, ""),
        (9.5, "connected", "log", None, ""),
        (9.6, "running", "log", None, ""),
    ]
    seen = {"a": {"services": [observation("tunnel", "running", history(story), kind="cloudflared")]}}
    data = report(seen, {"a": [{"name": "tunnel", "kind": "cloudflared"}]})
    (one,) = v.page_view(data)["services"]
    assert [(part["state"], part["title"].partition(", 2")[0]) for part in one["segments"]] == [
        ("running", "running, connected"),
        ("restarting", "reconnecting"),
        ("running", "connected, running"),
    ]
    assert [incident["ended"] for incident in data["services"][0]["history"]["incidents"]] == ["running"]
    assert {row["by"] for row in one["transitions"]} == {"the service, as its log tells"}
    key = {state: words for state, words, _y, _height in v.page_view(data)["legend"]}
    assert (key["running"], key["restarting"]) == ("running (connected)", "restarting (reconnecting)")
    page = render_page(data)
    assert "starting (connecting)" in page and "reconnecting 30 min" in " ".join(one["time_in"][-1])


def test_the_key_has_the_states_of_the_kinds_that_there_are():
    assert {words for _state, words, *_rest in v.page_view(report(*small_fleet()))["legend"]} >= {
        "running (synced, consensus, connected)",
        "starting (syncing, connecting)",
    }
    plain = v.page_view(service(history([])))["legend"]
    assert [words for _state, words, *_rest in plain] == [words for _state, words in v.LEGEND]
