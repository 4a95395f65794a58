# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as a person reads it."""

from __future__ import annotations

import shlex

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _outcomes, _several, _tables
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._recovery_plan import recovery_plan

EVIDENCE = "127.0.0.1:8080 held by python3 (pid 812)"
CAUSE = {"id": "address_in_use", "class": "hard", "summary": "an address is in use", "evidence": [EVIDENCE],
         "next_step": "stop what holds the port"}  # fmt: skip


def service(name="api", state="error", cause=None, **more):
    seen = {"name": name, "kind": "generic", "state": state, "reasons": [f"it is {state}"], "cause": None, **more}
    return seen | ({"diagnosis": {"causes": [cause]}} if cause else {})


def refused(guard, reason="no", hint="do this", name="api"):
    block = {"guard": guard, "reason": reason, "hint": hint}
    return {"reached": False, "changed": False, "before": service(name), "blocked_by": [block], "transitions": []}


def would(*triggers, name="api"):
    steps = [{"trigger": one, "action": f"systemctl {one}", "applied": False} for one in triggers]
    return {"reached": True, "changed": True, "before": service(name), "transitions": steps}


def plan(seen, foreseen=None, **options):
    fleet = {host: {"services": some} for host, some in seen.items()}
    return recovery_plan(fleet, {}, "100%", dry_runs=foreseen, **options)


def row(made, host):
    (found,) = [one for one in made["rows"] if one["host"] == host]
    return found


@pytest.mark.parametrize(
    ("foreseen", "verb", "guard"),
    [
        (would("start"), "start", ""),
        (would("restart"), "restart", ""),
        (would("reset", "start"), "reset and start", ""),
        (would(), "wait", ""),
        (refused("cause"), "refuse (cause)", "cause"),
        (refused("attempts"), "refuse (attempts)", "attempts"),
        ({"failed": True, "msg": "become: true is missing", "before": service()}, "refuse (error)", "error"),
    ],
)
def test_one_verb_a_row_as_the_dry_run_says(foreseen, verb, guard):
    made = plan({"a": [service(cause=CAUSE)]}, {"a": [foreseen]})
    assert (row(made, "a")["plan"], row(made, "a")["guard"]) == (verb, guard)


def test_what_was_dealt_with_is_said_in_the_right_tense():
    gone = "address_in_use was the cause at 2026-03-01 01:04:12 UTC; port 8080 is free now"
    made = plan({"a": [service(cause=CAUSE)]}, {"a": [{**would("reset", "start"), "resolved": gone}]})
    assert row(made, "a")["why"] == gone


def test_a_refusal_shows_the_evidence_and_one_command_for_this_run_only():
    made = plan({"a b": [service(cause=CAUSE)]}, {"a b": [refused("cause", "address_in_use: an address is in use")]})
    assert row(made, "a b")["why"] == f"address_in_use: {EVIDENCE}"
    (line,) = [line for line in made["lines"] if line.startswith("next for a b api: stop what holds the port; then: ")]
    words = shlex.split(line.split("; then: ")[1])
    assert words == ["ansible-playbook", "chainops.lifecycle.recover", "--limit", "a b", "-e",
                     '{"service_recovery_accept_causes": ["address_in_use"]}']  # fmt: skip


def test_other_guards_give_their_own_next_step():
    made = plan({"a": [service()]}, {"a": [refused("hold", "held by ann", "ask ann")]})
    assert "next for a api: ask ann" in made["lines"] and row(made, "a")["why"] == "held by ann"


def test_the_first_line_has_the_counts():
    seen = {"a": [service()], "b": [service("db"), service("ok", "running")], "c": [service("x", "unknown")]}
    made = plan(seen, {"a": [would("start")], "b": [refused("cause", name="db")]})
    assert made["lines"][0] == "2 of 4 services on 3 hosts need recovery: 1 to recover, 1 refused, 1 host unknown"
    assert plan({"a": [service()]})["lines"][0] == "1 of 1 service on 1 host needs recovery: 1 to recover"


def test_a_wrong_entry_costs_itself_only():
    seen = {"a": {"services": [service(), service("db", "running")]}}
    described = {"a": ["api", {"name": "web", "prots": 1}, "db", "db", "backup.timer"]}
    made = recovery_plan(seen, described, "100%")
    assert {one["service"]: one["verdict"] for one in made["rows"][:2]} == {"api": "needs_recovery", "db": "ok"}
    assert [(one["service"], one["verdict"]) for one in made["rows"][2:]] == [
        ("web", "unknown"), ("db", "unknown"), ("backup.timer", "unknown"),
    ]  # fmt: skip
    assert made["rows"][2]["why"] == "lifecycle_services[1]: prots is no option; did you mean probes?"
    assert "described twice" in made["rows"][3]["why"] and "timer unit" in made["rows"][4]["why"]


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_table_fits_the_width_and_keeps_both_ends(width):
    long = {**CAUSE, "evidence": ["x" * 150 + " THE END"]}
    made = plan({"a": [service(cause=long)]}, {"a": [would("start")]}, width=width)
    head = next(i for i, line in enumerate(made["lines"]) if line.startswith("HOST"))
    assert all(len(line) <= width for line in made["lines"][head : head + 3])
    # A narrow table leaves the reason to a line of its own.
    why = next(line for line in made["lines"][head:] if "THE END" in line)
    assert why.endswith("THE END") and "address_in_use" in why and why.startswith(("a ", "    "))


@pytest.mark.parametrize(("columns", "width"), [(0, 100), (80, 80), (120, 120)])
def test_the_width_of_a_line(columns, width):
    assert _tables.line_width(columns) == width


@pytest.mark.parametrize("width", range(1, 30))
def test_what_is_shortened_fits(width):
    assert len(_tables.shorten("unreachable: no route to host", width)) <= width


@pytest.mark.parametrize(("number", "said"), [(0, "0 hosts"), (1, "1 host"), (2, "2 hosts")])
def test_singular_and_plural(number, said):
    assert _tables.count(number, "host") == said


def test_a_reason_without_room_has_a_line_of_its_own():
    rows = [("HOST", "STATE", "WHY"), ("a" * 30, "error", "no_peers: no peers for 8 s"), ("b", "running", "-")]
    assert _tables.render(rows, 60)[1:] == [
        f"{'a' * 30}  error",
        "    no_peers: no peers for 8 s",
        f"b{' ' * 29}  running  -",
    ]


@pytest.mark.parametrize(
    "shown",
    [
        lambda text: _several.line("h", {"name": "api", "failed": True, "msg": text, "duration": 3}),
        lambda text: _outcomes.OutcomeEntry("h", "api", "generic", _outcomes.FAILED, text).as_dict()["reason"],
        lambda text: _tables.one_line(text, 80),
    ],
)
@pytest.mark.parametrize("middle", ["x" * 9000, "\x1b[31m\u202e{{" * 3000, "\n" * 700])
def test_a_long_text_keeps_its_end_which_has_the_reason(shown, middle):
    said = shown(f"it began with {middle} and that is why")
    assert len(said) <= 300 and "it began with" in said and "that is why" in said
    assert said.isprintable() and "{{" not in said
