# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolling restarts of random fleets, that are interrupted anywhere and run again: each is restarted exactly once."""

from __future__ import annotations

import typing as t

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _playbook_vars as v
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _rolling_plan as r

BEGAN = 1_795_952_400.0


class Service:
    """A service of a host; ``started``: of its process, in seconds since the epoch."""

    def __init__(self, name: str, kind: str, group: str, votes: bool, ill: bool) -> None:
        self.name, self.kind, self.group, self.votes, self.ill = name, kind, group, votes, ill
        self.started = BEGAN - 86400.0
        self.run = ""
        self.restarts = 0

    def seen(self, now: float) -> dict[str, t.Any]:
        details: dict[str, t.Any] = {"tunnel_id": self.group, "genesis": self.group, "validator": self.votes}
        owner = {"owner": f"ann rolling_restart {self.run}", "age": now - self.started} if self.run else None
        return {
            "name": self.name,
            "kind": self.kind,
            "state": "error" if self.ill else "running",
            "unit_facts": {"active_state": "failed" if self.ill else "active", "sub_state": "running"},
            "stale": {"is_stale": False, "age": now - self.started, "evidence": [], "unknown": []},
            "last_start": owner,
            self.kind: details,
        }


kinds = st.sampled_from(["generic", "besu", "cloudflared"])
services = st.builds(
    Service,
    st.just("s"),
    kinds,
    st.sampled_from(["0xaaaaaa", "0xbbbbbb"]),
    st.booleans(),
    st.sampled_from([False, False, False, True]),
)
fleets = st.lists(st.lists(services, min_size=1, max_size=3), min_size=1, max_size=8)
serials = st.sampled_from([[1], [2], ["30%"], [1, "50%"], ["100%"]])


def observed(hosts: dict[str, list[Service]], now: float) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    for mine in hosts.values():
        for number, one in enumerate(mine):
            one.name = f"s{number}"
    look = {host: {"services": [one.seen(now) for one in mine]} for host, mine in hosts.items()}
    return look, {host: [{"name": one.name, "kind": one.kind} for one in mine] for host, mine in hosts.items()}


def check_batch(batch: list[str], hosts: dict[str, list[Service]], plan: dict[str, t.Any]) -> None:
    """One validator at a time, and never two replicas of one tunnel."""
    due = [(host, one) for host in batch for one in hosts[host] if one.name in plan["services"][host]]
    voters = {host for host, one in due if one.votes and one.kind == "besu"}
    assert len(voters) <= 1
    replicas = {(host, one.group) for host, one in due if one.kind == "cloudflared"}
    assert len(replicas) == len({group for _host, group in replicas})


def restart(batch: list[str], hosts: dict[str, list[Service]], plan: dict[str, t.Any], now: float) -> None:
    """What the run does to a batch."""
    for host in batch:
        for one in hosts[host]:
            if one.name in plan["services"][host]:
                one.started, one.run, one.restarts = now, plan["run"], one.restarts + 1


@settings(deadline=None, max_examples=60)
@given(fleets, serials, st.lists(st.integers(0, 5), max_size=4))
def test_interrupted_runs_restart_each_healthy_service_once(
    fleet: list[list[Service]], serial: list[t.Any], cuts: list[int]
) -> None:
    hosts = {f"h{number}": mine for number, mine in enumerate(fleet)}
    variables = {**v.read({}), "lifecycle_serial": serial, "lifecycle_max_unhealthy": "100%"}
    services = [one for mine in hosts.values() for one in mine]
    healthy = [one for one in services if not one.ill]
    now, run = BEGAN, ""
    for cut in [*cuts, 10_000]:
        plan = r.rolling_plan(*observed(hosts, now), variables, now)
        batches = r.split(plan["hosts"], plan["batches"])
        assert [host for batch in batches for host in batch] == plan["hosts"]
        assert not run or (plan["run"] == run and plan["continues"])
        for batch in batches:
            check_batch(batch, hosts, plan)
        for batch in batches[:cut]:
            now += 30
            restart(batch, hosts, plan, now)
        now += 60
        run = plan["run"] if any(one.restarts for one in healthy) else ""
        if all(one.restarts for one in healthy):
            break
    assert [one.restarts for one in services] == [0 if one.ill else 1 for one in services]
