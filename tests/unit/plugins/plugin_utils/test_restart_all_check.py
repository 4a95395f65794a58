# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the validators of a chain can be restarted at the same time."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.filter.filters import FilterModule

FILTERS = FilterModule().filters()
turns, services_to_recover = FILTERS["restart_all_check"], FILTERS["services_to_recover"]


def stalled(name="besu", chain=1337, described=None, state="error", **told):
    """A Besu whose chain is stalled, or with another ``state`` one that is down: label and all as the role gets it."""
    facts = {"validator": True, "chain_id": chain, **told}
    seen = {"name": name, "kind": "besu", "state": state, "cause": "chain_stalled", "besu": facts}
    (entry,) = services_to_recover([seen], [{"name": name, "kind": "besu", "besu": described or {}}], True)
    return entry


def down(name="besu", **described):
    return stalled(name, None, described, "stopped", validator=None)


def fleet(count, *entries):
    return {f"h{number}": list(entries or [stalled()]) for number in range(1, count + 1)}


@pytest.mark.parametrize(("hosts", "forks"), [(4, 5), (5, 5), (8, 8)])
def test_enough_forks(hosts, forks):
    assert turns(fleet(hosts), forks) == {"by_name": False, "reason": "", "hint": "", "turns": []}


def test_too_few_forks_are_refused_with_the_number_that_is_needed():
    told = turns(fleet(8), 5)
    assert "8 validators" in told["reason"] and "Ansible has 5 forks" in told["reason"]
    assert "--forks 8" in told["hint"]


def test_one_that_is_down_needs_a_fork_and_one_that_is_no_validator_does_not():
    assert "6 validators" in turns(fleet(5) | {"down": [down()]}, 5)["reason"]
    others = {"rpc": [stalled(validator=False)], "dead": [down(validator=False)], "well": []}
    assert not turns(fleet(5) | others, 5)["reason"]


def test_where_hosts_have_one_each_the_names_do_not_matter():
    hosts = {f"h{number}": [stalled(f"besu-{number}")] for number in range(1, 5)}
    assert turns(hosts, 5) == {"by_name": False, "reason": "", "hint": "", "turns": []}


def test_two_chains_on_the_same_hosts_have_their_turns_by_name():
    both = [stalled("besu-a", 1), stalled("besu-b", 2)]
    assert turns(fleet(5, *both), 5) == {"by_name": True, "reason": "", "hint": "", "turns": []}
    assert "--forks 5" in turns(fleet(5, *both), 4)["hint"]


def test_two_validators_of_a_chain_on_one_host_are_refused():
    hosts = fleet(3, stalled("besu-1")) | {"two": [stalled("besu-1"), down("besu-2", chain_id=1337)]}
    told = turns(hosts, 5)
    assert told["reason"].startswith("two has 2 validators of chain 1337 (besu-1, besu-2)")
    assert "systemctl restart on all their hosts" in told["hint"]


def test_a_validator_and_a_node_that_is_none_are_not_two():
    both = [stalled("besu"), stalled("besu-rpc", validator=False)]
    assert turns(fleet(4, *both), 5) == {"by_name": True, "reason": "", "hint": "", "turns": []}


def test_several_names_where_a_host_has_more_than_one_chain_are_refused():
    hosts = {
        "h1": [stalled("besu-a", 1), stalled("besu-b", 2)],
        "h2": [stalled("node", 1)],
        "h3": [stalled("besu-b", 2)],
    }
    told = turns(hosts, 5)
    assert "chain 1 have several names (besu-a on h1, node on h2)" in told["reason"]
    assert told["hint"].startswith("give these units the same name on all hosts")


def test_nothing_to_restart():
    assert turns({"h1": []}, 5) == {"by_name": False, "reason": "", "hint": "", "turns": []}


def test_the_turns_of_a_host_are_its_services():
    both = {"h1": [stalled("besu-a", 1), stalled("besu-b", 2)], "h2": [stalled("besu-a", 1)]}
    assert turns(both, 5, "h1")["turns"] == ["besu-a", "besu-b"]
    assert turns({"h1": [stalled("besu")]}, 5, "h1")["turns"] == ["the only one of its host"]
    assert turns({"h1": [stalled("besu")]}, 5, "h2")["turns"] == []
