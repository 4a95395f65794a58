# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a recovery, and what the controller makes of Besu networks."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _approved_plan, _besu_networks, _recovery_plan
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError

GENESIS = "0x" + "a" * 64
UP = {"active_state": "active", "sub_state": "running"}
DOWN = {"active_state": "inactive", "sub_state": "dead"}
STALL = {
    "why": "block 3 is 67 s old; 2 of 4 seen, quorum 3",
    "missing": ["0x3", "0x4"],
    "rounds": {"0x1": 5},
    "round": 5,
    "natural": None,
    "advice": "start the missing validators first",
}


def besu(state="error", facts=None, cause="unresponsive", **told):
    return {
        "services": [
            {
                "name": "besu",
                "kind": "besu",
                "state": state,
                "unit_facts": facts or UP,
                "cause": cause,
                "reasons": ["x"],
            }
            | ({"besu": told} if told else {})
        ]
    }


def generic(state="error", facts=None):
    return {
        "services": [{"name": "api", "kind": "generic", "state": state, "unit_facts": facts or DOWN, "reasons": ["x"]}]
    }


def stalled(address):
    return besu(cause="chain_stalled", validator=True, address=address, genesis=GENESIS, stall=STALL)


def plan(seen, **options):
    pacing = {name: options.pop(name) for name in ("serial", "waves", "domains", "soak") if name in options}
    return _recovery_plan.recovery_plan(
        seen, {host: [] for host in seen}, "100%", pacing=_recovery_plan.Pacing(**pacing), **options
    )


def test_down_comes_first_and_validators_last():
    seen = {
        "validator": besu(validator=True),
        "unknown": besu(),
        "other": besu(validator=False),
        "down": besu("stopped", DOWN, None),
        "api": generic(),
    }
    made = plan(seen, serial=3)
    assert made["hosts"] == ["down", "api", "other", "validator", "unknown"]
    assert made["batches"] == [3, 1, 1], "of the two nodes that may vote nobody knows the chain"
    assert made["waves"] == [{"hosts": made["hosts"], "batches": [3, 1, 1], "observe_after": False}]


ACTIVATING = {"active_state": "activating", "sub_state": "start"}


def begun(outcome):
    found = generic("starting", ACTIVATING)
    found["services"][0]["last_start"] = {"at": 1.0, "age": 9.0, "owner": "AWX job 35", "outcome": outcome}
    return found


def test_a_start_that_a_run_began_and_saw_no_end_of_is_waited_for():
    seen = {"a": begun("open"), "b": begun("failed"), "c": generic("starting", ACTIVATING)}
    step = {"trigger": "initialized", "action": "wait"}
    made = plan(seen, dry_runs={"a": [{"name": "api", "reached": True, "changed": False, "transitions": [step]}]})
    assert made["hosts"] == ["a"]
    assert [row["verdict"] for row in made["rows"]] == ["needs_recovery", "transitioning", "transitioning"]
    assert {row["plan"] for row in made["rows"]} == {"wait"}
    assert "its start was begun by AWX job 35, which saw no end of it" in "\n".join(made["lines"])


def test_what_was_approved_is_no_start_under_way():
    made = plan({"a": begun("open")}, approved=_approved_plan.ApprovedPlan((), "sha256:0"))
    assert made["hosts"] == [] and made["rows"][0]["verdict"] == "transitioning"


def test_a_serial_that_means_nothing_is_refused():
    with pytest.raises(FleetError, match="serial: 'many'"):
        plan({"a": generic()}, serial="many")
    with pytest.raises(FleetError, match="quorum_lost: 'yes'"):
        plan({"a": generic()}, quorum_lost="yes")


def test_by_default_one_goes_first_and_the_rest_in_growing_waves():
    made = plan({f"h{number:02}": generic() for number in range(20)}, soak=5)
    assert [len(wave["hosts"]) for wave in made["waves"]] == [1, 2, 10, 7]
    assert [wave["observe_after"] for wave in made["waves"]] == [True, True, True, False]
    assert made["waves"][0]["hosts"] == ["h00"] and made["hosts"] == sorted(made["hosts"])
    assert "Wave 1 of 4: h00" in made["lines"] and "Wave 2 of 4: h01, h02" in made["lines"]
    assert "After each wave but the last: 5 s, then the fleet is observed again" in made["lines"]
    assert [(turn["title"][:30], turn["tasks"], turn["wave"]) for turn in made["turns"]][:3] == [
        ("Wave 1 of 4: h00", "recover_last", 1),
        ("Observe the fleet after wave 1", "observe_again", 1),
        ("Wave 2 of 4: h01, h02", "recover_last", 2),
    ]
    assert made["turn_hosts"][:2] == [["h00"], sorted(made["hosts"])]
    assert [turn["tasks"] for turn in made["turns"]][-2:] == ["observe_again", "recover_last"]


def test_the_titles_of_turns_do_not_grow_with_the_fleet():
    """Each host of a run returns the titles of all turns."""
    made = plan({f"h{number:03}": generic() for number in range(200)}, waves=[1, "10%"], soak=5.0)
    assert max(len(str(turn)) for turn in made["turns"]) < 180
    assert made["turns"][-1]["title"].endswith("h027, h028 and 171 more")


def test_where_it_is_the_turn_of_all_hosts_nobody_is_passed_over():
    assert [turn["tasks"] for turn in plan({"a": generic()})["turns"]] == ["recover_host"]


def test_a_turn_goes_by_the_look_right_before_it_where_one_task_drives_all_of_its_services():
    def turns(*hosts, **options):
        made = plan(dict(zip("abc", hosts, strict=False)), has_fixes=False, waves=[1, "100%"], soak=5, **options)
        return [(turn["tasks"], turn["on_host"]) for turn in made["turns"]]

    assert turns(generic()) == [("recover_at_once", "recover_at_once")]
    assert turns(generic("running", UP), generic()) == [("recover_last", "recover_at_once")]
    first, look, last = turns(generic(), generic())
    assert (first, look[0]) == (("recover_last", "recover_at_once"), "observe_again")
    assert last == ("recover_last", "recover_at_once")
    in_series = plan({name: generic() for name in "abc"}, has_fixes=False, waves=[2], soak=5, serial=1)["turns"]
    assert [turn["on_host"] for turn in in_series] == ["recover_at_once", "recover_host", "recover_host"]
    assert turns(besu("stopped", DOWN, None)) == [("recover_host", "recover_host")]
    assert turns(generic("stopped"), besu("error", DOWN))[0] == ("recover_last", "recover_at_once")
    assert turns(stalled("0x1"), quorum_lost="restart_all") == [("recover_host", "recover_host")]


def test_one_that_is_known_to_be_refused_is_no_canary():
    block = {"reached": False, "blocked_by": [{"guard": "cause", "reason": "no"}], "transitions": []}
    foreseen = {"a": [{**block, "name": "api"}], "b": [{"name": "api", "reached": True, "transitions": []}]}
    assert plan({"a": generic(), "b": generic()}, dry_runs=foreseen)["hosts"] == ["b", "a"]


def test_nodes_of_two_chains_go_side_by_side_and_those_of_one_do_not():
    def node(chain):
        return besu(validator=True, genesis="0x" + chain * 64)

    made = plan({"a1": node("a"), "a2": node("a"), "b1": node("b"), "b2": node("b")}, serial=4)
    assert (made["hosts"], made["batches"]) == (["a1", "a2", "b1", "b2"], [1, 2, 1])
    made = plan({"a1": node("a"), "a2": node("a"), "b1": node("b"), "b2": node("b")}, waves=["100%"])
    assert (made["hosts"], made["batches"]) == (["a1", "b1", "a2", "b2"], [2, 2])


def test_the_chain_of_a_node_that_is_down_is_what_the_inventory_says():
    seen = {"a": besu("stopped", DOWN, None), "b": besu("stopped", DOWN, None)}
    described = {host: [{"name": "besu", "kind": "besu", "besu": {"genesis_hash": "0x" + host * 64}}] for host in seen}
    pacing = _recovery_plan.Pacing(waves=["100%"])
    assert _recovery_plan.recovery_plan(seen, described, "100%", pacing=pacing)["batches"] == [2]
    assert plan(seen, waves=["100%"])["batches"] == [1, 1]


def test_connectors_of_one_tunnel_go_one_after_the_other():
    def connector(tunnel):
        seen = {"name": "cloudflared", "kind": "cloudflared", "state": "error", "unit_facts": UP, "reasons": ["x"]}
        return {"services": [seen | {"cloudflared": {"tunnel_id": tunnel}}]}

    made = plan({"a": connector("t1"), "b": connector("t1"), "c": connector("t2")}, waves=["100%"])
    assert (made["hosts"], made["batches"]) == (["a", "c", "b"], [2, 1])


RACKS = {host: {"rack": [host[0]]} for host in ("a1", "a2", "b1", "b2")}


def test_never_two_of_a_failure_domain_unless_all_of_it_is_down():
    up = {"name": "db", "kind": "generic", "state": "running", "unit_facts": UP, "reasons": ["x"]}
    seen = {host: generic() for host in RACKS}
    seen["b2"]["services"].append(up)
    made = plan(seen, waves=["100%"], domains=RACKS)
    assert (made["hosts"], made["batches"]) == (["a1", "a2", "b1", "b2"], [3, 1])


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"a3": {"rack": ["a"]}, "b3": {"rack": ["b"]}}, "hosts that this run leaves alone may be up"),
        ({"c": {"rack": []}}, "one whose rack is not known may be in any, and up"),
    ],
)
def test_a_failure_domain_of_which_not_all_is_seen_counts_as_up(more, why):
    made = plan({host: generic() for host in RACKS}, waves=["100%"], domains={**RACKS, **more})
    assert (made["hosts"], made["batches"]) == (["a1", "b1", "a2", "b2"], [2, 2]), why


def test_a_host_that_names_no_failure_domain_goes_alone():
    domains = {"a1": {"rack": ["a"]}, "x": {"rack": []}, "b1": {"rack": ["b"]}, "up": {"rack": ["a", "b"]}}
    made = plan({"a1": generic(), "x": generic(), "b1": generic()}, waves=["100%"], domains=domains)
    assert (made["hosts"], made["batches"]) == (["a1", "x", "b1"], [1, 1, 1])


def test_a_stalled_chain_is_refused_with_its_arithmetic():
    seen = {"b1": stalled("0x1"), "b2": stalled("0x2"), "b3": besu("stopped", DOWN, None), "web": generic()}
    made = plan(seen)
    assert made["hosts"] == [] and made["restart_all"] == []
    assert "2 of 4 seen, quorum 3" in made["refusal"] and "lifecycle_quorum_lost=restart_all" in made["refusal"]
    assert "  missing 0x3 (one of b3)" in made["lines"]
    assert "  rounds: b1 in 5" in made["lines"]


def test_asked_for_it_the_whole_chain_is_set_apart():
    seen = {"b1": stalled("0x1"), "b2": stalled("0x2"), "b3": besu("stopped", DOWN, None), "web": generic()}
    made = plan(seen, quorum_lost="restart_all")
    assert (made["restart_all"], made["hosts"], made["refusal"]) == (["b1", "b2", "b3"], ["web"], "")


def test_one_that_calls_the_chain_stalled_while_it_goes_on_is_in_need_itself():
    look = {"networks": [network()]}
    made = plan({"b1": stalled("0x1"), "b2": besu("consensus", UP, None)}, network_info=look)
    assert (made["hosts"], made["refusal"]) == (["b1"], "")


def test_the_last_validator_of_a_chain_has_no_peers():
    last = besu(cause="no_peers", validator=True, address="0x1", genesis=GENESIS, stall=STALL)
    seen = {"b1": last, "b2": besu("stopped", DOWN, None)}
    look = {"networks": [network(advances=False, stalled=True)]}
    assert plan(seen, network_info=look)["refusal"]
    assert plan(seen, network_info=look, quorum_lost="restart_all")["restart_all"] == ["b1", "b2"]
    assert plan(seen, network_info={"networks": [network()]})["hosts"] == ["b2", "b1"]


def network(**changed):
    told = {
        "genesis": GENESIS,
        "chain_id": 7,
        "head": 9,
        "head_age": 1.0,
        "advances": True,
        "stalled": False,
        "quorum": 3,
        "validators": ["0x1", "0x2", "0x3", "0x4"],
        "arithmetic": "3 of 4 take part",
        "may_stop": 0,
        "which": [],
        "reason": "only as many take part as the quorum needs",
        "missing": [{"address": "0x4", "node": None, "why": "proposed none"}],
    }
    return {**told, **changed}


def service(url=None, **options):
    return [{"name": "besu", "kind": "besu", "besu": ({"rpc_url": url} if url else {}) | options}, "api"]


DESCRIBED = {
    "a": service("http://a:8545", chain_id=7),
    "b": service("http://b:8545", rpc_username="u"),
    "local": service(),
    "else": service("http://else:8545", chain_id=8),
    "web": ["api"],
}


def test_the_endpoints_of_an_inventory():
    found = _besu_networks.endpoints(DESCRIBED)
    assert [(one["name"], one["url"]) for one in found] == [(n, f"http://{n}:8545") for n in ("a", "b", "else")]
    assert found[1]["rpc_username"] == "u"


def test_the_endpoints_seen_from_one_host():
    seen = {"local": besu(chain_id=7)}
    found = _besu_networks.endpoints(DESCRIBED, seen, "local", "besu")
    assert [one["name"] for one in found] == ["local", "a", "b"]
    assert found[0]["url"] == "http://127.0.0.1:8545"
    assert [one["name"] for one in _besu_networks.endpoints(DESCRIBED, {}, "else", "besu")] == ["else", "b"]


TWO = {
    **{f"a{i}": service(f"http://a{i}:8545") for i in (1, 2)},
    **{f"b{i}": service(f"http://b{i}:8545") for i in (1, 2)},
}
ID_OF = {"a1": 1, "a2": 1, "b1": 2, "b2": 2}


def looked(*hosts):
    """What besu_network_info returned, where only ``hosts`` answered."""
    return {"nodes": [{"name": name} | ({"chain_id": ID_OF[name]} if name in hosts else {}) for name in TWO]}


@pytest.mark.parametrize(
    ("seen", "network_info", "others", "references"),
    [
        ({}, {}, ["a2", "b1", "b2"], ["a2", "b1", "b2"]),  # nothing tells of a second chain
        ({}, looked("b1", "b2"), ["a2", "b1", "b2"], ["a2", "b1", "b2"]),
        ({}, looked("a1", "a2", "b1", "b2"), ["a2"], ["a2"]),
        (
            {},
            looked("a1", "b1"),
            ["a2", "b2"],
            ["a2", "b2"],
        ),  # one that does not answer may be any of those who are missed
        ({"a1": besu(chain_id=1)}, looked("b1", "b2"), ["a2"], ["a2"]),
        ({}, looked("a2", "b1", "b2"), ["a2", "b1", "b2"], []),
        ({"b1": besu(chain_id=2), "a2": besu(chain_id=1)}, {"skipped": True}, ["a2", "b1", "b2"], []),
    ],
)
def test_the_endpoints_of_an_inventory_of_two_chains(seen, network_info, others, references):
    for certain, names in ((False, others), (True, references)):
        found = _besu_networks.endpoints(TWO, seen, "a1", "besu", network_info, certain)
        assert [one["name"] for one in found] == ["a1", *names]


def test_the_options_tell_the_chain_whoever_answers():
    described = {**TWO, "a1": service("http://a1:8545", chain_id=1), "local": service(chain_id=3)}
    found = _besu_networks.endpoints(described, {}, "a1", "besu", looked("a2", "b1"), True)
    assert [one["name"] for one in found] == ["a1", "a2", "b2"]
    found = _besu_networks.endpoints({**TWO, "local": service(chain_id=3)}, {}, "a1", "besu", looked("b1", "b2"), True)
    assert [one["name"] for one in found] == ["a1"], "a chain whose nodes nobody else can reach is one as well"


def test_two_networks_with_one_chain_id_are_kept_apart_by_block_0():
    """Whatever tells it: the hosts, the look at the network, or the options."""

    def told(**genesis):
        return {
            host: {"services": [{"name": "besu", "besu": {"chain_id": 1337, **({"genesis": hash_} if hash_ else {})}}]}
            for host, hash_ in genesis.items()
        }

    everyone = {"a1": "0xaa", "a2": "0xAA", "b1": "0xbb", "b2": "0xbb"}
    for certain in (False, True):
        found = _besu_networks.endpoints(TWO, told(**everyone), "a1", "besu", {}, certain)
        assert [one["name"] for one in found] == ["a1", "a2"]
    one_is_down = _besu_networks.endpoints(TWO, told(**{**everyone, "b2": None}), "a1", "besu", {}, True)
    assert [one["name"] for one in one_is_down] == ["a1", "a2"], "it may be of either"
    own_is_not_known = _besu_networks.endpoints(TWO, told(**{**everyone, "a1": None}), "a1", "besu", {}, True)
    assert [one["name"] for one in own_is_not_known] == ["a1"]


@pytest.mark.parametrize(
    ("url", "can"),
    [
        ("http://10.0.0.1:8545", True),
        ("http://node.example:8545", True),
        ("http://127.0.0.2:8545", False),
        ("http://[::1]:8545", False),
        ("http://0.0.0.0:8545", False),
        ("http://localhost:8545", False),
        ("", False),
    ],
)
def test_what_other_hosts_can_reach(url, can):
    assert _besu_networks.reachable(url) == can


def look(*told):
    nodes = [{"name": name, "address": address} if address else {"name": name} for name, address in told]
    return {"nodes": nodes, "networks": [network()], "unobserved": []}


def test_whom_to_ask_for_a_reservation():
    seen = look(("b2", "0x2"), ("b1", "0x1"), ("b3", "0x3"), ("http://far", "0x4"), ("other", "0x9"))
    found = _besu_networks.reservation(seen, "b2", GENESIS, "0x2")
    assert found["needed"] == 3 and found["network"] == GENESIS
    assert [one["host"] for one in found["holders"]] == ["b2", "b1", "b3"]


def test_one_that_does_not_tell_its_address_is_the_one_that_is_left():
    seen = look(("b2", None), ("b1", "0x1"), ("b3", "0x3"), ("b4", "0x4"))
    assert _besu_networks.reservation(seen, "b2", None, None)["address"] == "0x2"
    assert _besu_networks.reservation(look(("b2", None), ("b1", "0x1")), "b2", None, None)["needed"] == 0


def test_two_validators_on_one_host_count_as_two():
    seen = look(("h1/besu", "0x1"), ("h1/besu2", "0x2"), ("h2", "0x3"))
    assert _besu_networks.reservation(seen, "h1", GENESIS, "0x2")["holders"] == [
        {"host": "h1", "validators": 2},
        {"host": "h2", "validators": 1},
    ]


@pytest.mark.parametrize(("more", "how"), [({}, "advances"), ({"advances": False}, "was not observed to advance"),
                                           ({"advances": False, "stalled": True}, "STALLED")])  # fmt: skip
def test_the_lines_of_a_network_on_whose_blocks_no_quorum_decides(more, how):
    alone = network(has_quorum=False, quorum=0, validators=[], arithmetic="?", reason="no quorum guard applies", **more)
    assert _besu_networks.network_lines({"networks": [alone]}) == [
        f"Chain 7 {how} at block 9, 1 s old", "  no quorum guard applies",
    ]  # fmt: skip


def test_the_lines_of_a_network():
    assert _besu_networks.network_lines({"networks": [network()], "unobserved": ["b4"]}) == [
        "Chain 7 advances at block 9, 1 s old: 3 of 4 take part",
        "  0 more may stop (only as many take part as the quorum needs)",
        "  missing 0x4 (one of b4): proposed none",
        "  not asked, as they did not answer: b4",
    ]
    still = network(advances=False, stalled=True, head_age=80.0)
    assert _besu_networks.network_lines({"networks": [still]}) == [
        "Chain 7 STALLED at block 9, 80 s old: quorum is 3 of 4 validators"
    ]
