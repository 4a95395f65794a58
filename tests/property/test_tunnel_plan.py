# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever was seen of a fleet: one turn for each tunnel, everybody in need has one, nobody else does."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import CLOUDFLARED
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tunnel_plan import tunnel_plan
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tunnel_report import tunnel_summary

STATES = st.sampled_from(sorted(CLOUDFLARED.states))
TUNNELS = st.sampled_from(["web", "api", None])
IDS = st.sampled_from(["c1", "c2", "c3", None, "unsupported"])
CONNECTORS = st.fixed_dictionaries(
    {
        "state": STATES,
        "tunnel": TUNNELS,
        "connector_id": IDS,
        "age": st.sampled_from([None, 1.0, 61.0]),
        "hold": st.booleans(),
    }
)
UNSEEN = st.sampled_from([None, False, {"unreachable": True}, {"failed": True, "msg": "x"}, {"skipped": True}])
HOSTS = st.dictionaries(
    st.sampled_from("abcdef"), st.one_of(UNSEEN, st.lists(CONNECTORS, max_size=3)), min_size=1, max_size=6
)
EDGES = st.none() | st.fixed_dictionaries(
    {
        "lost": st.lists(st.sampled_from(["c1", "c2"])),
        "tunnels": st.lists(
            st.fixed_dictionaries(
                {
                    "id": st.sampled_from(["web", "api"]),
                    "strangers": st.lists(st.sampled_from(["c1", "c2", "x"]), max_size=2),
                }
            )
        ),
    }
)


def seen_by(hosts: dict[str, Any]) -> dict[str, Any]:
    return {
        host: {"services": [service(number, about) for number, about in enumerate(found)]}
        if isinstance(found, list)
        else found
        for host, found in hosts.items()
    }


def service(number: int, about: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"cloudflared-{number}",
        "kind": "cloudflared",
        "state": about["state"],
        "age": about["age"],
        "hold": {"owner": "o", "reason": "r"} if about["hold"] else None,
        "reasons": ["because"],
        "cloudflared": {"tunnel_id": about["tunnel"], "connector_id": about["connector_id"]},
    }


def check_elsewhere(first: dict[str, Any], edge: dict[str, Any] | None) -> None:
    """Connectors of the edge that no host of the run has."""
    ours = {one["connector_id"] for tunnel in first["tunnels"] for one in tunnel["connectors"]}
    for tunnel in first["tunnels"]:
        views = [view["strangers"] for view in (edge or {}).get("tunnels", ()) if view["id"] == tunnel["id"]]
        assert tunnel["elsewhere"] in [len([one for one in view if one not in ours]) for view in views or [[]]]


def check_turn(turn: dict[str, Any], first: dict[str, Any]) -> None:
    tunnel = next(one for one in first["tunnels"] if one["id"] == turn["tunnel"])
    others = [one for one in tunnel["connectors"] if one["key"] != turn["key"]]
    healthy = [one for one in others if one["state"] in ("connected", "running") and one["verdict"] == "healthy"]
    assert turn["healthy_replicas"] == len(healthy) + tunnel["elsewhere"]
    assert not turn["edge_lost"] or tunnel["id"] in first["ids"]


def check_summary(first: dict[str, Any], edge: dict[str, Any] | None) -> None:
    """Every connector is counted once, and who is not healthy is named."""
    found = tunnel_summary(first, {}, first, edge)
    shown = [one for tunnel in first["tunnels"] for one in tunnel["connectors"]]
    assert sum(found["outcome"]["counts"].values()) == len(shown)
    named = {f"{one['host']}/{one['service'] or '-'}" for one in found["outcome"]["entries"]}
    assert {one["key"] for one in shown if one["verdict"] != "healthy"} <= named <= {one["key"] for one in shown}
    assert set(first["due"]) | set(first["unknown"]) <= set(found["failed"])


@settings(max_examples=300, deadline=None)
@given(HOSTS, EDGES)
def test_turns(hosts: dict[str, Any], edge: dict[str, Any] | None) -> None:
    seen = seen_by(hosts)
    first = tunnel_plan(seen, None, edge)
    check_elsewhere(first, edge)
    done: list[str] = []
    for _round in range(first["rounds"]):
        turns = tunnel_plan(seen, None, edge, done)["next"]
        assert turns
        assert len({turn["tunnel"] for turn in turns}) == len(turns)
        for turn in turns:
            check_turn(turn, first)
        done += [turn["key"] for turn in turns]
    assert tunnel_plan(seen, None, edge, done)["next"] == []
    assert sorted(done) == sorted(first["due"])
    check_summary(first, edge)
