# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services a rolling restart restarts, in which order, and where it goes on."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _approved_plan as a
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _playbook_vars as v
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _rolling_plan as r
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError

NOW = 1_795_952_400.0
GENESIS = "0x" + "ab" * 32
OTHER = "0x" + "cd" * 32
SETTINGS = v.read({})


def seen(name, kind="generic", state="running", age=86400.0, stale=False, made=None, **more):
    evidence = [{"kind": "library", "path": "/x", "reason": "it was replaced"}] if stale else []
    last = made and {"owner": f"ann rolling_restart {made[0]}", "age": made[1], "at": 0.0, "outcome": "verified"}
    return {
        "name": name,
        "kind": kind,
        "state": state,
        "unit_facts": {"active_state": "failed" if state == "error" else "active", "sub_state": "running"},
        "stale": {"is_stale": stale, "age": age, "evidence": evidence, "unknown": []},
        "last_start": last,
        **more,
    }


def besu(version="26.8.0", genesis=GENESIS, validator=True, **more):
    details = {"genesis": genesis, "chain_id": 1337, "validator": validator, "version": version}
    return seen("besu", "besu", "consensus" if validator else "running", besu=details, **more)


def connector(tunnel="t-1", **more):
    details = {"tunnel_id": tunnel, "tunnel_name": f"name of {tunnel}", "version": "2026.6.1", "connections": 4}
    return seen("cloudflared", "cloudflared", cloudflared=details, **more)


def plan(fleet, described=None, foreseen=None, **settings):
    known = {host: {"services": services} for host, services in fleet.items() if services is not None}
    lost = {host: {"unreachable": True, "msg": "no route"} for host, services in fleet.items() if services is None}
    entries = {
        host: [{"name": one["name"], "kind": one["kind"]} for one in services or ()] for host, services in fleet.items()
    }
    entries |= described or {}
    return r.rolling_plan({**known, **lost}, entries, {**SETTINGS, **settings}, NOW, foreseen)


def verdicts(made):
    return {f"{row['host']}/{row['label']}": row["verdict"] for row in made["rows"]}


def test_a_validator_that_is_down_is_one_of_the_chain_that_its_description_names():
    down = seen("besu", "besu", "error")
    entry = {"name": "besu", "kind": "besu", "besu": {"genesis_hash": GENESIS}}
    made = plan({"v1": [besu()], "v2": [down]}, {"v1": [entry], "v2": [entry]}, lifecycle_only_chain=[GENESIS])
    assert set(verdicts(made)) == {"v1/besu", "v2/besu"}


def test_a_service_is_selected_by_its_own_description_in_whichever_order_they_were_observed():
    entries = [
        {"name": name, "kind": "besu", "besu": {"genesis_hash": genesis}}
        for name, genesis in (("first", GENESIS), ("second", OTHER))
    ]
    down = [seen(name, "besu", "error") for name in ("second", "first")]
    made = plan({"v1": down}, {"v1": entries}, lifecycle_only_chain=[GENESIS])
    assert set(verdicts(made)) == {"v1/first"}


FLEET = {
    "v1": [besu()],
    "v2": [besu("25.7.0")],
    "x1": [besu(genesis=OTHER)],
    "r1": [besu(validator=False)],
    "t1": [connector(), seen("api")],
    "t2": [connector()],
    "t3": [connector("t-2")],
    "w1": [seen("web"), seen("worker", stale=True)],
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"v1", "v2", "x1", "r1", "t1", "t2", "t3", "w1"}),
        ({"lifecycle_only_kind": ["besu"]}, {"v1", "v2", "x1", "r1"}),
        ({"lifecycle_only_kind": ["generic", "cloudflared"]}, {"t1", "t2", "t3", "w1"}),
        ({"lifecycle_only_chain": [GENESIS.upper().replace("X", "x")]}, {"v1", "v2", "r1"}),
        ({"lifecycle_only_chain": ["0xcdcdcd"]}, {"x1"}),
        ({"lifecycle_only_chain": ["1337"]}, {"v1", "v2", "x1", "r1"}),
        ({"lifecycle_only_tunnel": ["t-2"]}, {"t3"}),
        ({"lifecycle_only_tunnel": ["name of t-1"]}, {"t1", "t2"}),
        ({"lifecycle_only_name": ["w*", "api"]}, {"t1", "w1"}),
        ({"lifecycle_only_name": ["besu"], "lifecycle_only_chain": [OTHER]}, {"x1"}),
        ({"lifecycle_only_stale": True}, {"w1"}),
    ],
)
def test_the_selection(given, expected):
    assert set(plan(FLEET, **given)["hosts"]) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lifecycle_only_name": ["wbe"]}, "has name 'wbe'; did you mean web?"),
        ({"lifecycle_only_chain": ["0x123456"]}, "has chain '0x123456'; there are 0xabab"),
        ({"lifecycle_only_tunnel": ["t-9"]}, "has tunnel 't-9'"),
        ({"lifecycle_only_name": ["web"], "lifecycle_only_kind": ["besu"]}, "together select no service"),
    ],
)
def test_a_selection_of_nothing_is_refused(given, said):
    with pytest.raises(FleetError, match=said):
        plan(FLEET, **given)


def test_the_order_and_how_many_at_a_time():
    """Plain hosts by lifecycle_serial, replicas of one tunnel apart, validators last and one at a time."""
    made = plan(FLEET, lifecycle_serial=[4])
    batches = r.split(made["hosts"], made["batches"])
    assert batches == [["r1", "w1", "t1"], ["t2", "t3", "v1"], ["v2"], ["x1"]]
    assert "Order: r1, w1, t1 | t2, t3, v1 | v2 | x1" in made["lines"]


def test_hosts_of_one_failure_domain_are_kept_apart():
    fleet = {host: [seen("web")] for host in "abcd"}
    domains = {"a": {"rack": ["1"]}, "b": {"rack": ["1"]}, "c": {"rack": ["2"]}, "d": {"rack": ["3"]}}
    look = {host: {"services": services} for host, services in fleet.items()}
    made = r.rolling_plan(
        look, {host: ["web"] for host in fleet}, {**SETTINGS, "lifecycle_serial": [3]}, NOW, domains=domains
    )
    assert r.split(made["hosts"], made["batches"]) == [["a"], ["b", "c", "d"]]


def test_mixed_versions_are_told_apart_and_nothing_is_refused():
    made = plan(FLEET)
    assert "Versions in 0xababababab: 25.7.0 on v2; 26.8.0 on v1, r1" in made["lines"]
    assert made["refusal"] == "" and set(verdicts(made).values()) == {r.DUE}


def test_who_is_left_alone_and_why():
    held = seen("api", hold={"owner": "ann", "reason": "looks"})
    fleet = {
        "a": [seen("api", state="error")],
        "b": [held],
        "c": [seen("api")],
        "d": None,
        "e": [seen("api", state="starting")],
        "f": [seen("api", state="stopped", unit_facts={"active_state": "inactive"})],
        "g": [seen("api", stale=None)],
        "h": [besu(cause="chain_stalled") | {"state": "error"}],
    }
    described = {"d": ["api"], "f": [{"name": "api", "state": "stopped"}]}
    made = plan(fleet, described, lifecycle_max_unhealthy="100%", lifecycle_only_stale=False)
    assert verdicts(made) == {
        "a/api": "needs_recovery", "b/api": "held", "c/api": "due", "d/-": "unknown", "e/api": "transitioning",
        "f/api": "not_meant", "g/api": "due", "h/besu": "chain_stalled",
    }  # fmt: skip
    stale = plan(fleet, described, lifecycle_max_unhealthy="100%", lifecycle_only_stale=True)
    assert verdicts(stale)["c/api"] == "fresh" and verdicts(stale)["g/api"] == "not_meant"


def test_too_many_that_are_not_healthy_stop_it_before_it_begins():
    fleet = {"a": [seen("api", state="error")], "b": [seen("api")], "c": None}
    made = plan(fleet, {"c": ["api"]}, lifecycle_max_unhealthy=1)
    assert (made["hosts"], made["batches"], made["guard"]) == ([], [], "max_unhealthy")
    assert made["refusal"].startswith("2 of 3 hosts have services of the selection that are not healthy")
    assert plan({"a": [seen("api", state="error")]}, lifecycle_max_unhealthy=0)["refusal"] == "", "nothing is due"


RUN = r.run_name(NOW - 600)


def begun(fleet, **settings):
    made = plan(fleet, **settings)
    return made["run"], made["continues"], set(made["hosts"])


@pytest.mark.parametrize(
    ("fleet", "settings", "expected"),
    [
        pytest.param({"a": [seen("x", age=5)], "b": [seen("x")]}, {}, (r.run_name(NOW), False, {"a", "b"}), id="new"),
        pytest.param(
            {"a": [seen("x", age=300, made=(RUN, 300))], "b": [seen("x")]}, {}, (RUN, True, {"b"}), id="interrupted"
        ),
        pytest.param(
            {"a": [seen("x", age=300, made=(RUN, 300))], "b": [seen("x", age=200, made=(RUN, 200))]},
            {},
            (r.run_name(NOW), False, {"a", "b"}),
            id="complete, so that another one is meant",
        ),
        pytest.param(
            {"a": [seen("x", age=300, made=(RUN, 3601))], "b": [seen("x")]},
            {},
            (r.run_name(NOW), False, {"a", "b"}),
            id="too long ago",
        ),
        pytest.param(
            {"a": [seen("x", age=300, made=(RUN, 300))], "b": [seen("x", age=100)]},
            {"lifecycle_restart_since": "now"},
            (r.run_name(NOW), False, {"a", "b"}),
            id="now",
        ),
        pytest.param(
            {"a": [seen("x", age=300)], "b": [seen("x", age=900)]},
            {"lifecycle_restart_since": NOW - 600},
            (RUN, True, {"b"}),
            id="a moment that was given, whoever restarted it",
        ),
        pytest.param(
            {"a": [seen("x", age=300, stale=True, made=(RUN, 300))], "b": [seen("x")]},
            {},
            (RUN, True, {"a", "b"}),
            id="restarted, and changed on disk again",
        ),
        pytest.param(
            {"a": [seen("x", age=300, made=(RUN, 300))], "b": [seen("x", hold={"owner": "ann", "reason": "r"})]},
            {},
            (r.run_name(NOW), False, {"a"}),
            id="who is held does not keep a run open",
        ),
        pytest.param(
            {"a": [seen("x", age=300, made=(RUN, 300))], "b": [seen("x")], "c": [seen("x", stale=True)]},
            {"lifecycle_only_stale": True},
            (RUN, True, {"c"}),
            id="of what is stale one is left",
        ),
        pytest.param(
            {"a": [seen("x", age=300, made=(RUN, 300))], "b": [seen("x")]},
            {"lifecycle_only_stale": True},
            (r.run_name(NOW), False, set()),
            id="of what is stale none is left",
        ),
        pytest.param(
            {"a": [seen("x", age=300, made=("20991231T000000Z", 1))], "b": [seen("x")]},
            {},
            (r.run_name(NOW), False, {"a", "b"}),
            id="a name from the future",
        ),
    ],
)
def test_where_it_goes_on(fleet, settings, expected):
    assert begun(fleet, **settings) == expected


@pytest.mark.parametrize("age", [300.0, 900.0, None])
def test_a_host_cannot_choose_what_becomes_of_others(age):
    """What it returns instead of a record is no record."""
    bad = {"owner": ["rolling_restart"], "age": "soon"}
    made = plan({"a": [seen("x") | {"last_start": bad, "stale": {"is_stale": "no", "age": age}}], "b": [seen("x")]})
    assert set(made["hosts"]) == {"a", "b"} and not made["continues"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("20261129T114000Z", 1795952400.0),
        ("2026-11-29T12:40:00+01:00", 1795952400.0),
        ("2026-11-29T11:40:00z", 1795952400.0),
        ("2026-11-29 11:40:00+00:00", 1795952400.0),
        (1795952400, 1795952400.0),
        ("1795952400.5", 1795952400.5),
        (" now ", "now"),
    ],
)
def test_a_moment_may_be_given_in_several_ways(given, expected):
    assert v.read_one("lifecycle_restart_since", given) == expected


@pytest.mark.parametrize("given", ["2026-11-29T11:40:00", "yesterday", True, "20261399T114000Z", "12", [1]])
def test_what_is_no_moment_is_refused(given):
    with pytest.raises(FleetError, match=r"lifecycle_restart_since: .* is neither a run nor a moment"):
        v.read_one("lifecycle_restart_since", given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/srv/up.yml, acme.ops.upgrade", ["/srv/up.yml", "acme.ops.upgrade"]),
        ('["/srv/up.yaml"]', ["/srv/up.yaml"]),
        (["upgrade"], ["upgrade"]),
    ],
)
def test_hooks_are_files_and_roles(given, expected):
    assert v.read_one("rolling_restart_before", given) == expected


def test_what_the_guards_said_of_a_service_is_in_its_row():
    refusal = {"guard": "hold", "reason": "held by ann", "hint": "service_hold"}
    foreseen = {"a": [{r.ASKED: "api", "reached": False, "blocked_by": [refusal]}, {r.ASKED: "web", "reached": True}]}
    found = plan({"a": [seen("api"), seen("web")]}, foreseen=foreseen)
    assert [(row["service"], row["guard"], row["why"]) for row in found["rows"] if row["guard"]] == [
        ("api", "hold", "held by ann")
    ]


def test_an_answer_that_could_not_be_had_is_an_error_of_its_service():
    lost = {r.ASKED: "api", "unreachable": True, "msg": "no route"}
    (row,) = plan({"a": [seen("api")]}, foreseen={"a": [lost]})["rows"]
    assert (row["guard"], row["why"]) == ("error", "unreachable: no route")


@pytest.mark.parametrize("given", ["up.yml", "../up.yml", "acme.ops", "a b", "{{ x }}"])
def test_what_is_no_hook_is_refused(given):
    with pytest.raises(FleetError, match=r"rolling_restart_before: "):
        v.read_one("rolling_restart_before", given)


def test_a_service_to_restart_is_described_as_restarted_and_keeps_the_rest():
    entry = {"name": "besu", "kind": "besu", "state": "consensus", "expected_state": ["consensus"], "wait_timeout": 60}
    (one,) = r.services_to_restart({"services": [besu()]}, [entry])
    assert one["entry"] == {
        "daemon_reload": True,
        "name": "besu",
        "kind": "besu",
        "state": "restarted",
        "wait_timeout": 60,
    }
    assert (one["takes_offline"], one["takes_part"], one["refusal"]) == (True, True, "")
    (reader,) = r.services_to_restart({"services": [besu(validator=False)]}, [{**entry, "state": "running"}])
    assert (reader["takes_offline"], reader["takes_part"]) == (False, False)
    assert not one["serves"]


def test_one_that_fell_ill_after_the_plan_is_refused_and_one_that_is_not_named_is_left_out():
    services = {"services": [seen("api", state="error"), seen("web")]}
    (one,) = r.services_to_restart(services, ["api", "web"], "api")
    assert one["refusal"] == "it is error (needs_recovery): only a healthy service is restarted"
    assert [one["label"] for one in r.services_to_restart(services, ["api", "web"])] == ["web"]
    with pytest.raises(FleetError, match="rolling_restart_labels: 'x' is no service of this host"):
        r.services_to_restart(services, ["api", "web"], ["x"])


def at(invocation, state="running", **more):
    return [seen("api", state=state, **more) | {"unit_facts": {"active_state": "active", "invocation_id": invocation}}]


def approved_of(fleet, **settings):
    made = plan(fleet, **settings)
    document = a.restart_document(made, {**SETTINGS, **settings}, NOW)
    known = {"now": NOW + 5, "max_age": 3600.0, "hosts": set(fleet), "settings": {**SETTINGS, **settings}}
    return document, a.read_approved(document, **known, playbook=a.RESTART)


def carry_out(fleet, approved, now=NOW + 60, **settings):
    described = {host: [one["name"] for one in services] for host, services in fleet.items()}
    observed = {host: {"services": services} for host, services in fleet.items()}
    return r.rolling_plan(observed, described, {**SETTINGS, **settings}, now, approved=approved)


def test_a_plan_to_approve_has_each_restart_with_what_it_rests_on():
    document, approved = approved_of({"v1": [besu()], "h1": at("1" * 32), "h2": at("2" * 32)}, lifecycle_serial=2)
    assert [(act["host"], act["wave"], act["batch"]) for act in document["acts"]] == [
        ("h1", 1, 1), ("h2", 1, 1), ("v1", 1, 2),
    ]  # fmt: skip
    assert document["acts"][0] == {
        "wave": 1, "batch": 1, "host": "h1", "service": "api", "scope": "system", "kind": "generic", "state": "running",
        "invocation": "1" * 32, "cause": "", "act": "restart",
    }  # fmt: skip
    assert (document["playbook"], document["run"]) == ("rolling_restart", r.run_name(NOW))
    assert approved.run == document["run"] and approved.digest == document["digest"]


def test_what_is_refused_already_is_not_approved():
    block = {r.ASKED: "api", "reached": False, "blocked_by": [{"guard": "hold", "reason": "held"}], "transitions": []}
    made = plan({"h1": at("1" * 32), "h2": at("2" * 32)}, foreseen={"h1": [block]})
    assert [act["host"] for act in a.restart_document(made, SETTINGS, NOW)["acts"]] == ["h2"]


def test_what_was_approved_is_restarted_in_its_order_and_nothing_else():
    names = ("same", "again", "new", "other", "gone")
    before = {host: at(f"{number}" * 32) for number, host in enumerate(names) if host != "new"}
    _document, approved = approved_of(before, lifecycle_serial="100%")
    now = {**before, "again": at("f" * 32, age=7200.0), "new": at("e" * 32), "other": at("3" * 32, state="error")}
    now["gone"] = [seen("web")]
    made = carry_out(now, approved)
    assert (made["hosts"], made["batches"]) == (["same"], [1])
    assert made["expected"] == {"same": {"api": {"expected_state": ["running"], "expected_invocation": "0" * 32}}}
    said = {f"{row['host']}/{row['service']}": (row["guard"], row["why"]) for row in made["rows"]}
    assert said["again/api"] == (
        "approved_plan",
        f"since the plan was approved its invocation was {'1' * 32} and is {'f' * 32}",
    )
    assert said["new/api"] == said["gone/web"] == ("approved_plan", "it is not in the approved plan")
    assert said["other/api"][0] == "not_healthy"
    assert said["gone/api"][0] == "approved_plan" and "no longer a service of the run" in said["gone/api"][1]
    assert made["lines"][0] == f"Approved: plan {approved.digest}, 4 actions"


def test_an_approved_plan_that_was_interrupted_goes_on_with_the_rest():
    before = {host: at(host[-1] * 32) for host in ("h1", "h2", "h3")}
    _document, approved = approved_of(before)
    done = at("f" * 32, age=30.0, made=(approved.run, 30.0))
    made = carry_out({**before, "h1": done}, approved)
    assert (made["hosts"], made["continues"], verdicts(made)["h1/api"]) == (["h2", "h3"], True, "done")


def test_a_batch_that_was_approved_is_split_where_two_must_not_be_restarted_at_once():
    before = {"h1": [connector("t-1")], "h2": [connector("t-2")]}
    _document, approved = approved_of(before, lifecycle_serial=2)
    made = carry_out({**before, "h2": [connector("t-1")]}, approved, lifecycle_serial=2)
    assert (made["hosts"], made["batches"]) == (["h1", "h2"], [1, 1])


@pytest.mark.parametrize(
    ("change", "settings", "playbook", "said"),
    [
        ({}, {"lifecycle_only_name": ["db"]}, "rolling_restart", "it was made with lifecycle_only_name=[]"),
        ({}, {"rolling_restart_before": ["/x.yml"]}, "rolling_restart", "it was made with rolling_restart_before=[]"),
        ({}, {}, "recover", "a plan of the playbook 'rolling_restart', not of recover"),
        ({"run": "yesterday"}, {}, "rolling_restart", "run is no name of a run"),
        ({"run": 7}, {}, "rolling_restart", "run is no name of a run"),
    ],
)
def test_a_plan_of_other_restarts_is_refused(change, settings, playbook, said):
    document, _approved = approved_of({"h1": at("1" * 32)})
    document |= change
    document["digest"] = a.digest(document)
    known = {"now": NOW, "max_age": 3600.0, "hosts": {"h1"}, "settings": {**SETTINGS, **settings}, "playbook": playbook}
    with pytest.raises(FleetError) as refused:
        a.read_approved(document, **known)
    assert said in str(refused.value)


def test_a_restart_is_bound_to_what_was_approved():
    bound = {"expected_state": ["running"], "expected_invocation": "1" * 32}
    described = [{"name": "api", "expected_state": ["error"]}]
    (found,) = r.services_to_restart({"services": at("1" * 32)}, described, ["api"], None, {"api": bound})
    assert {key: found["entry"][key] for key in bound} == bound
    (free,) = r.services_to_restart({"services": at("1" * 32)}, described, ["api"])
    assert not set(bound) & set(free["entry"])
