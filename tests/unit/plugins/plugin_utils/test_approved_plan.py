# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as data, what is refused of one that is given, and what of it is left."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _approved_plan as a
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _playbook_vars, _reports
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._recovery_plan import Pacing, recovery_plan

NOW = 1_800_000_000.5
SECRET = "hunter2"
SETTINGS = _playbook_vars.read({})
DOWN = {"active_state": "failed", "sub_state": "failed"}
UP = {"active_state": "active", "sub_state": "running"}
GENESIS = "0x" + "a" * 64


def service(name="api", state="error", invocation="1" * 32, cause="oom", **more):
    diagnosis = {"causes": [{"id": cause, "class": "soft", "evidence": [f"password={SECRET}"]}] if cause else []}
    facts = {**DOWN, "invocation_id": invocation}
    return {"name": name, "kind": "generic", "state": state, "unit_facts": facts, "diagnosis": diagnosis,
            "reasons": [SECRET], **more}  # fmt: skip


def make(seen, approved=None, **options):
    fleet = {host: {"services": some} for host, some in seen.items()}
    described = {host: [one["name"] for one in some] for host, some in seen.items()}
    return recovery_plan(fleet, described, "100%", approved=approved, pacing=Pacing(soak=5), **options)


def document(seen, **options):
    return a.plan_document(make(seen, **options), SETTINGS, NOW)


def read(given, **changed):
    known = {"now": NOW + 5, "max_age": 3600.0, "hosts": {"h1", "h2", "h3"}, "settings": SETTINGS, **changed}
    return a.read_approved(given, **known)


FLEET = {"h1": [service()], "h2": [service(), service("db", "running", cause="")], "h3": [service(state="stopped")]}


def test_a_plan_has_each_act_with_what_it_rests_on_in_order():
    made = document(FLEET)
    assert [(one["host"], one["wave"], one["batch"]) for one in made["acts"]] == [
        ("h3", 1, 1),
        ("h1", 2, 1),
        ("h2", 3, 1),
    ]
    assert made["acts"][1] == {
        "wave": 2, "batch": 1, "host": "h1", "service": "api", "scope": "system", "kind": "generic", "state": "error",
        "invocation": "1" * 32, "cause": "oom", "act": "recover",
    }  # fmt: skip
    assert SECRET not in json.dumps(made)
    assert a.document_lines(made, 3600.0)[0] == f"Plan {made['digest']}"


def test_what_a_guard_is_known_to_refuse_is_no_act():
    block = {"name": "api", "reached": False, "blocked_by": [{"guard": "hold", "reason": "held"}], "transitions": []}
    assert document({"h1": [service()]}, dry_runs={"h1": [block]})["acts"] == []


def test_the_digest_is_that_of_the_content_in_any_order():
    made = document(FLEET)
    turned = {key: made[key] for key in reversed(made)}
    assert a.digest(turned) == made["digest"] == a.digest(json.loads(json.dumps(made)))


def test_a_plan_is_read_as_it_was_made():
    made = document(FLEET)
    plan = read(json.loads(json.dumps(made)), expected_digest=made["digest"])
    assert [act.host for act in plan.acts] == ["h3", "h1", "h2"] and plan.digest == made["digest"]
    again = make(FLEET, plan)
    assert again["waves"] == make(FLEET)["waves"], "the order and the batches are those that were approved"
    assert again["lines"][0] == f"Approved: plan {made['digest']}, 3 actions"


def changed(**parts):
    """A plan with other parts, and the digest of these."""
    made = {**document(FLEET), **parts}
    return {**made, "digest": a.digest(made)}


def with_act(**parts):
    acts = copy.deepcopy(document(FLEET)["acts"])
    acts[0].update(parts)
    return changed(acts=acts)


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ({}, {}, "version none is not 1"),
        ("text", {}, "version none is not 1"),
        (changed(version=2), {}, "version 2 is not 1"),
        (changed(version=True), {}, "version True is not 1"),
        (changed(playbook="drill"), {}, "a plan of the playbook 'drill'"),
        ({**document(FLEET), "acts": []}, {}, "it was changed since it was made"),
        ({**document(FLEET), "digest": None}, {}, "it was changed since it was made"),
        ({**document(FLEET), "acts": {1}}, {}, "not a plan in JSON"),
        (document(FLEET), {"now": NOW + 3700}, "it is 1 h 1 min old, more than lifecycle_plan_max_age allows (1 h)"),
        (document(FLEET), {"now": NOW - 3700}, "it was made 1 h 1 min in the future"),
        (changed(created="today"), {}, "created is no time in seconds"),
        (document(FLEET), {"hosts": {"h1"}}, "the inventory has no host h3, h2: it is a plan of another fleet"),
        (document(FLEET), {"settings": SETTINGS | {"lifecycle_recovery": "never"}}, "lifecycle_recovery='reset_start'"),
        (document(FLEET), {"expected_digest": "sha256:" + "0" * 64}, "lifecycle_plan_digest: sha256:00"),
        (changed(acts="none"), {}, "acts is no list"),
        (changed(acts=[1]), {}, "acts[0].host is no text"),
        (with_act(state="{{ 7 * 7 }}"), {}, "acts[0].state is no text"),
        (with_act(cause=None), {}, "acts[0].cause is no text"),
        (with_act(wave=-1), {}, "acts[0].wave is no whole number"),
        (with_act(batch=True), {}, "acts[0].batch is no whole number"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused_with_the_reason(given, options, said):
    with pytest.raises(FleetError) as caught:
        read(given, **options)
    assert said in str(caught.value) and str(caught.value).startswith("lifecycle_plan_")


def row(made, host, name="api"):
    (found,) = [one for one in made["rows"] if (one["host"], one["service"]) == (host, name)]
    return found


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (service(state="stopped"), "its state was error and is stopped"),
        (service(invocation="2" * 32), f"its invocation was {'1' * 32} and is {'2' * 32}"),
        (service(invocation=""), f"its invocation was {'1' * 32} and is none"),
        (service(cause="disk_full"), "its cause was oom and is disk_full"),
        (service(cause=""), "its cause was oom and is none"),
    ],
)
def test_what_has_changed_since_is_left_and_named(now, why):
    plan = read(document({"h1": [service()], "h2": [service()]}))
    made = make({"h1": [now], "h2": [service()]}, plan)
    assert made["hosts"] == ["h2"] and list(made["acts"]) == ["h2"]
    assert row(made, "h1")["plan"] == "leave (approved_plan)" and why in row(made, "h1")["why"]
    done = [{"name": "api", "reached": True, "changed": True, "after": service(state="running")}]
    (left,) = [entry for entry in _reports.recovery_entries({"h2": done}, made) if entry.host == "h1"]
    assert (left.outcome, left.guard) == ("refused", "approved_plan")


def test_another_act_is_a_change():
    def foreseen(trigger):
        steps = [{"trigger": trigger, "action": f"systemctl {trigger}", "applied": False}]
        return {"h1": [{"name": "api", "reached": True, "changed": True, "transitions": steps}]}

    plan = read(document({"h1": [service()]}, dry_runs=foreseen("start")))
    assert make({"h1": [service()]}, plan, dry_runs=foreseen("start"))["hosts"] == ["h1"]
    made = make({"h1": [service()]}, plan, dry_runs=foreseen("restart"))
    assert made["hosts"] == [] and "its plan was start and is restart" in row(made, "h1")["why"]


def test_a_guard_that_refuses_now_has_its_word_at_the_turn_of_the_service():
    plan = read(document({"h1": [service()]}))
    block = {"name": "api", "reached": False, "blocked_by": [{"guard": "hold", "reason": "held"}], "transitions": []}
    made = make({"h1": [service()]}, plan, dry_runs={"h1": [block]})
    assert made["hosts"] == ["h1"] and row(made, "h1")["guard"] == "hold"


def test_a_guard_that_refuses_for_now_does_not_widen_what_was_approved():
    """It may allow the act at the turn of the service: from a state that nobody has approved."""
    plan = read(document({"h1": [service(state="stopped")]}))
    block = {
        "name": "api",
        "reached": False,
        "blocked_by": [{"guard": "attempts", "reason": "wait"}],
        "transitions": [],
    }
    made = make({"h1": [service(invocation="2" * 32)]}, plan, dry_runs={"h1": [block]})
    assert made["hosts"] == [] and "its state was stopped and is error" in row(made, "h1")["why"]


def test_of_a_host_what_is_new_is_left_and_does_not_count_as_recovered():
    plan = read(document({"h1": [service()]}))
    made = make({"h1": [service(), service("db")]}, plan)
    assert [one["service"] for one in made["acts"]["h1"]] == ["api"]
    done = {"h1": [{"name": "api", "reached": True, "changed": True, "after": service(state="running")}]}
    entries = {entry.service: entry.outcome for entry in _reports.recovery_entries(done, made)}
    assert entries == {"api": "recovered", "db": "refused"}


def test_what_is_well_or_not_described_any_more_is_named():
    plan = read(document({"h1": [service(), service("db")], "h2": [service()]}))
    made = make({"h1": [service(state="running", cause="")]}, plan)
    assert [(one["host"], one["service"], one["outcome"]) for one in made["obsolete"]] == [
        ("h1", "api", "self_recovered"),
        ("h1", "db", "refused"),
    ]
    assert made["lines"][0].endswith("3 actions, 1 of them for hosts outside of this run")
    assert make({"h1": []}, plan)["obsolete"][0]["outcome"] == "refused"


def test_what_must_not_be_offline_together_is_asked_again():
    def node(state, **told):
        told = {"validator": True, **told}
        facts = {**UP, "invocation_id": "1" * 32}
        return [{"name": "besu", "kind": "besu", "state": state, "unit_facts": facts, "cause": "x", "besu": told}]

    two_chains = {"h1": node("error", genesis="0xa"), "h2": node("error", genesis="0xb")}
    plan = read(a.plan_document(recovery_plan({h: {"services": s} for h, s in two_chains.items()}, {}, "100%",
                                              pacing=Pacing(waves=["100%"])), SETTINGS, NOW))  # fmt: skip
    assert make(two_chains, plan)["batches"] == [2]
    one_chain = {"h1": node("error", genesis="0xa"), "h2": node("error", genesis="0xa")}
    assert make(one_chain, plan)["batches"] == [1, 1]


STALL = {"why": "2 of 4 seen", "missing": ["0x3"], "rounds": {}, "round": 5, "natural": None, "advice": "start them"}


def validator(address, invocation="1" * 32):
    told = {"validator": True, "address": address, "genesis": GENESIS, "stall": STALL}
    facts = {**UP, "invocation_id": invocation}
    return [
        {"name": "besu", "kind": "besu", "state": "error", "cause": "chain_stalled", "unit_facts": facts, "besu": told}
    ]


def test_the_restart_of_a_chain_is_one_act():
    chain = {"h1": validator("0x1"), "h2": validator("0x2")}
    made = document(chain, quorum_lost="restart_all")
    assert [(one["wave"], one["act"]) for one in made["acts"]] == [(0, "restart all")] * 2
    plan = read(made)
    assert make(chain, plan, quorum_lost="restart_all")["restart_all"] == ["h1", "h2"]
    other = make({**chain, "h2": validator("0x2", "2" * 32)}, plan, quorum_lost="restart_all")
    assert other["restart_all"] == [] and other["hosts"] == []
    assert {row(other, host, "besu")["guard"] for host in chain} == {"approved_plan"}


def test_services_are_bound_to_what_their_acts_rest_on():
    acts = make({"h1": [service(), service("db")]}, read(document({"h1": [service(), service("db")]})))["acts"]["h1"]
    described = ["api", {"name": "db", "stop_timeout": 9}, {"name": "db", "scope": "user"}, "new"]
    expected = {"expected_state": ["error"], "expected_invocation": "1" * 32}
    assert a.approved_services(described, acts) == [
        {"name": "api", **expected},
        {"name": "db", "stop_timeout": 9, **expected},
    ]
    assert a.approved_services(["besu"], [{"service": "besu", "scope": "system", "plan": "restart all"}]) == [
        {"name": "besu"}
    ]


def starting(owner="AWX job 7", outcome="open"):
    facts = {"active_state": "activating", "sub_state": "start", "invocation_id": "2" * 32}
    begun = {"owner": owner, "outcome": outcome}
    return {**service(), "state": "starting", "unit_facts": facts, "diagnosis": {}, "last_start": begun}


@pytest.mark.parametrize("planned", [FLEET["h1"], [starting()]])
def test_a_start_that_a_canceled_run_has_begun_is_waited_for_where_an_act_was_approved(planned):
    """The job that was canceled is launched again, or a plan was made meanwhile."""
    plan = read(document({**FLEET, "h1": planned}))
    made = make({**FLEET, "h1": [starting()]}, plan)
    assert sorted(made["hosts"]) == ["h1", "h2", "h3"] and made["obsolete"] == []
    (bound,) = a.approved_services(["api"], made["acts"]["h1"])
    assert (bound["expected_state"], bound["expected_invocation"]) == (["starting"], "2" * 32)


@pytest.mark.parametrize("now", [starting(outcome="verified"), {**starting(), "name": "other"}])
def test_a_start_of_somebody_else_is_left_alone(now):
    made = make({**FLEET, "h1": [now]}, read(document(FLEET)))
    assert "h1" not in made["hosts"]
    assert [row["verdict"] for row in made["rows"] if row["host"] == "h1"] == ["transitioning"]
