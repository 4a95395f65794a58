# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the playbooks, as inventories, -e and surveys of AWX give them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _playbook_vars as v
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError


@pytest.mark.parametrize("name", list(v.VARIABLES))
@pytest.mark.parametrize("blank", [None, "", "  "])
def test_blank_and_null_are_not_given(name, blank):
    assert v.read({name: blank})[name] == v.VARIABLES[name].default


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("lifecycle_serial", 2, [2]),
        ("lifecycle_serial", "2", [2]),
        ("lifecycle_serial", 2.0, [2]),
        ("lifecycle_serial", "30%", ["30%"]),
        ("lifecycle_serial", "1, 2, 50%", [1, 2, "50%"]),
        ("lifecycle_serial", '[1, "50%"]', [1, "50%"]),
        ("lifecycle_waves", "1, 10%, 50%", [1, "10%", "50%"]),
        ("lifecycle_waves", "[1, 2]", [1, 2]),
        ("lifecycle_waves", "25%", ["25%"]),
        ("lifecycle_soak", "0", 0.0),
        ("lifecycle_soak", 2.5, 2.5),
        ("lifecycle_soak", "5 min", 300.0),
        ("lifecycle_soak", "5m", 300.0),
        ("lifecycle_report_window", "90m", "90m"),
        ("lifecycle_report_window", "90min", "90min"),
        ("lifecycle_plan_max_age", "2h", 7200.0),
        ("lifecycle_failure_domain", "rack", ["rack"]),
        ("lifecycle_failure_domain", "zone, rack", ["zone", "rack"]),
        ("lifecycle_plan_approved", "/srv/plan.json", "/srv/plan.json"),
        ("lifecycle_plan_approved", '{"version": 1}', {"version": 1}),
        ("lifecycle_plan_approved", {"version": 1}, {"version": 1}),
        ("lifecycle_max_unhealthy", 50, 50),
        ("lifecycle_max_unhealthy", " 50% ", "50%"),
        ("lifecycle_max_failed", "1", 1),
        ("lifecycle_quorum_lost", "restart_all", "restart_all"),
        ("lifecycle_quorum_lost_timeout", "600", 600.0),
        ("lifecycle_own_tunnel", "no", False),
        ("lifecycle_own_tunnel", "True", True),
        ("lifecycle_own_tunnel", True, True),
        ("lifecycle_network_interval", "1.5", 1.5),
        ("service_recovery_accept_causes", "address_in_use", ["address_in_use"]),
        ("service_recovery_accept_causes", "address_in_use, disk_full", ["address_in_use", "disk_full"]),
        ("service_recovery_accept_causes", '["address_in_use"]', ["address_in_use"]),
        ("service_recovery_fixes", ["restore_config"], ["restore_config"]),
        ("service_recovery_hooks", '{"disk_full": "/x.yml"}', {"disk_full": "/x.yml"}),
        ("service_recovery_reserve_tries", "5", 5),
        ("service_recovery_reserve", "false", False),
    ],
)
def test_text_typed_values_and_json_mean_the_same(name, given, value):
    assert v.read({name: given})[name] == value


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("lifecycle_serial", "many", "neither a number of hosts nor a percentage"),
        ("lifecycle_serial", True, "neither a number"),
        ("lifecycle_waves", "0, 10%", "has a wave of no host"),
        ("lifecycle_waves", "1, 0%", "has a wave of no host"),
        ("lifecycle_waves", "1,2,3,4,5", "give at most 4, the last wave is the rest"),
        ("lifecycle_soak", "soon", "no length of time"),
        ("lifecycle_soak", -1, "no length of time"),
        ("lifecycle_soak", "5mi", "no length of time"),
        ("lifecycle_plan_max_age", True, "no length of time"),
        ("lifecycle_plan_approved", "{", "no JSON"),
        ("lifecycle_plan_approved", [1], "is a list"),
        ("lifecycle_max_unhealthy", "101%", "neither a number"),
        ("lifecycle_max_unhealthy", -1, "neither a number"),
        ("lifecycle_quorum_lost", "restart", "did you mean restart_all"),
        ("lifecycle_quorum_lost_timeout", "soon", "give seconds"),
        ("lifecycle_recovery", "reset", "give never or restart or reset_start"),
        ("lifecycle_diagnose", True, "is unknown"),
        ("lifecycle_own_tunnel", "perhaps", "neither yes nor no"),
        ("lifecycle_network_interval", "soon", "no length of time"),
        ("service_recovery_fixes", "restore_confg", "did you mean restore_config"),
        ("service_recovery_hooks", "[1]", "no dictionary"),
        ("service_recovery_hooks", "{", "no JSON"),
        ("service_recovery_reserve_tries", "1.5", "no whole number"),
        ("service_recovery_accept_causes", {"a": 1}, "give a list"),
    ],
)
def test_a_value_that_means_nothing_names_the_variable(name, given, said):
    with pytest.raises(FleetError) as caught:
        v.read({name: given})
    assert str(caught.value).startswith(f"{name}: {given!r} ") and said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("lifecycle_max_unhealty", "lifecycle_max_unhealthy"),
        ("lifecycle_service", "lifecycle_services"),
        ("lifecycle_targets", "lifecycle_target"),
        ("service_recovery_accept_cause", "service_recovery_accept_causes"),
        ("lifecycle_services_web", None),
        ("lifecycle_services", None),
        ("lifecycle_plan", None),
        ("lifecycle_plan_aproved", "lifecycle_plan_approved"),
        ("lifecycle_wave", "lifecycle_waves"),
        ("lifecycle_failure_domains", "lifecycle_failure_domain"),
        ("lifecycle_of_our_own_things", None),
        ("ansible_host", None),
    ],
)
def test_a_misspelt_variable_is_named_with_the_right_one(name, near):
    assert v.misspelt([name, "ansible_user"]) == ({name: near} if near else {})


def test_every_option_of_the_role_is_known():
    spec = yaml.safe_load(
        (Path(__file__).resolve().parents[4] / "roles/service_recovery/meta/argument_specs.yml").read_text()
    )
    options = spec["argument_specs"]["main"]["options"]
    assert set(options) <= {*v.VARIABLES, "service_recovery_services"}
    defaults = {
        name: option["default"] for name, option in options.items() if name in v.VARIABLES and "default" in option
    }
    assert {name: v.VARIABLES[name].default for name in defaults} == defaults


GROUPS = {"all": ["a1", "a2", "b1"], "web": ["a1", "a2"], "db": ["b1"], "ungrouped": []}


@pytest.mark.parametrize(
    ("target", "pattern"),
    [
        (None, "all"),
        (" ", "all"),
        ([], "all"),
        ("web:!web3", "web:!web3"),
        ("web1, web2", "web1,web2"),
        (["web1", "web2"], "web1,web2"),
        ('["web1", "web2"]', "web1,web2"),
        (50, "50"),
        ("[ab]web", "[ab]web"),
        ("web[1:3]", "web[1:3]"),
        ("~web(1|2)", "~web(1|2)"),
    ],
)
def test_what_names_the_hosts_of_a_run_is_one_pattern(target, pattern):
    assert v.host_pattern(target) == pattern


@pytest.mark.parametrize(
    ("target", "within", "hosts"),
    [
        ("all", ["a1", "b1"], ["a1", "b1"]),
        ("web", ["a1", "a2", "b1"], ["a1", "a2"]),
        ("web:db", ["a1", "a2", "b1"], ["a1", "a2", "b1"]),
        ("all,!db", ["a1", "b1"], ["a1"]),
        ("web:&db", ["a1", "b1"], []),
        ("a?", ["a1", "b1"], ["a1"]),
        ("w*", ["a1", "b1"], ["a1"]),
        ("db", ["a1"], []),
        ("~b.*", ["a1", "b1"], ["a1", "b1"]),
    ],
)
def test_the_hosts_of_a_pattern(target, within, hosts):
    assert v.matching(target, within, GROUPS) == hosts


@pytest.mark.parametrize(
    ("target", "within", "said"),
    [
        ("web", ["a1"], ""),
        ("wbe", ["a1"], "'wbe' is neither a host nor a group; did you mean web"),
        ("nothing-like-it", ["a1"], "'nothing-like-it' is neither a host nor a group"),
        ("db", ["a1"], "'db' matches no host within --limit a1"),
        ("all,!web", ["a1"], "matches no host"),
        ("None", ["a1"], "'None' is neither"),
    ],
)
def test_a_target_that_matches_nobody_is_named(target, within, said):
    problem = v.unmatched(target, v.matching(target, within, GROUPS), GROUPS, "a1")
    assert said in problem and bool(problem) is bool(said)


def test_failure_domains_of_hosts():
    hosts = {"a": {"rack": "r1", "zone": ["z1", "z2"]}, "b": {"rack": 7, "zone": "z1, z3"}, "c": {"rack": " "}}
    assert v.failure_domains(["rack", "zone"], hosts) == {
        "a": {"rack": ["r1"], "zone": ["z1", "z2"]},
        "b": {"rack": ["7"], "zone": ["z1", "z3"]},
        "c": {"rack": [], "zone": []},
    }
    assert v.failure_domains([], hosts) == {"a": {}, "b": {}, "c": {}}
    with pytest.raises(FleetError, match="no host with services has the variable 'rak'"):
        v.failure_domains(["rak"], hosts)
    with pytest.raises(FleetError, match="rack of a is a dictionary"):
        v.failure_domains(["rack"], {"a": {"rack": {"x": 1}}})


@pytest.mark.parametrize(
    ("variables", "hosts", "whole", "refused"),
    [
        (["rack"], 4, 8, True),
        (["rack"], 8, 8, False),
        (["rack"], 9, 8, False),
        (["rack"], 4, None, False),
        ([], 4, 8, False),
    ],
)
def test_a_slice_cannot_keep_failure_domains_apart(variables, hosts, whole, refused):
    if not refused:
        v.check_slice(variables, hosts, whole)
        return
    with pytest.raises(FleetError, match=r"has 4 of 8 hosts \(lifecycle_hosts\).*same rack"):
        v.check_slice(variables, hosts, whole)


# The extra variables that AWX 24.6.1 gives a job, by both of its prefixes.
JOB = {"job_id": 24, "job_launch_type": "manual", "job_template_id": 9, "job_template_name": "recover"}
OF_WORKFLOW = {"workflow_job_id": 23, "workflow_job_name": "recover", "workflow_job_launch_type": "manual"}


@pytest.mark.parametrize("prefixes", [("awx", "tower"), ("awx",), ("tower",)])
@pytest.mark.parametrize(
    ("given", "doubt"),
    [
        ({}, ""),
        (JOB, ""),
        (JOB | {"job_launch_type": "scheduled", "schedule_id": 3}, ""),
        # A slice, and a node of any other workflow: nothing tells one from the other.
        (JOB | OF_WORKFLOW | {"job_launch_type": "workflow"}, "one of a workflow"),
        # A slice that is launched again is none of the workflow any more, and has the same hosts as before.
        (JOB | {"job_launch_type": "relaunch"}, "one that was launched again"),
    ],
)
def test_what_tells_that_a_job_may_be_a_slice(prefixes, given, doubt):
    known = {f"{prefix}_{name}": value for prefix in prefixes for name, value in given.items()}
    assert v.slice_doubt(known) == doubt


@pytest.mark.parametrize(
    ("variables", "whole", "doubt", "refused"),
    [
        (["rack"], None, "one of a workflow", True),
        (["rack"], None, "one that was launched again", True),
        (["rack"], 4, "one of a workflow", False),
        (["rack"], None, "", False),
        ([], None, "one of a workflow", False),
    ],
)
def test_a_job_that_may_be_a_slice_says_which_variable_would_tell(variables, whole, doubt, refused):
    if not refused:
        v.check_slice(variables, 4, whole, doubt)
        return
    with pytest.raises(FleetError, match=rf"this job is {doubt} and may be a slice.*same rack.*give lifecycle_hosts"):
        v.check_slice(variables, 4, whole, doubt)
