# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waves on real hosts: what was approved is done, a canary that does not last stops the run, the next run goes on."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet

from .recovery_runs import deployed, recover

pytestmark = pytest.mark.long

UNIT = """[Service]
ExecStart=/bin/sh -c '[ ! -e /run/wave-falls ] || { sleep 4; exit 3; }; exec sleep infinity'
"""
FAIL = "systemctl start wave && systemctl kill --signal=SIGKILL wave; until systemctl is-failed -q wave; do sleep 0.1; done"


@pytest.fixture(scope="module")
def hosts(fleet: Fleet) -> t.Iterator[Fleet]:
    """On each host the service ``wave``, which has been killed."""
    if len(fleet.hosts) < 3:
        pytest.skip("waves need three hosts, and CHAINOPS_LAB_SUITES chooses fewer")
    with deployed(fleet, "wave", UNIT, FAIL):
        yield fleet


def is_active(fleet: Fleet) -> set[str]:
    said = fleet.each(lambda host: host.run("systemctl", "is-active", "wave", check=False).stdout.strip())
    return {name for name, state in said.items() if state == "active"}


def test_waves(hosts: Fleet, tmp_path: Path) -> None:
    first, *others = hosts.hosts
    waves = {
        "lifecycle_services": [{"name": "wave", "stable_for": 1}],
        "lifecycle_waves": [1],
        "lifecycle_soak": "8s",
    }

    planned = recover(hosts, tmp_path, "--check", lifecycle_plan_file=str(tmp_path / "plan.json"), **waves)
    assert set(planned.outcomes.values()) == {"planned"} and planned.code == 0, planned.output
    assert f"Wave 1 of 2: {first}\nWave 2 of 2: {', '.join(others)}\n" in planned.output
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert [act["host"] for act in plan["acts"]] == [first, *others]
    assert all(re.fullmatch("[0-9a-f]{32}", act["invocation"]) for act in plan["acts"])

    # The canary comes up, and falls while the wave soaks. On the last host somebody has been at work since the approval.
    hosts[first].sh("touch /run/wave-falls")
    hosts[others[-1]].sh(FAIL)
    approved = {"lifecycle_plan_approved": str(tmp_path / "plan.json"), "lifecycle_plan_digest": plan["digest"]}
    stopped = recover(hosts, tmp_path, **approved, **waves)
    assert stopped.code == 2
    expected = {first: "failed", **dict.fromkeys(others, "not_attempted"), others[-1]: "refused"}
    assert stopped.outcomes == expected, stopped.output
    assert f"{first} wave: FAILED, it was recovered, and after wave 1 it is error" in stopped.output
    assert "since the plan was approved its invocation was" in stopped.output
    assert is_active(hosts) == set()

    hosts[first].sh("rm /run/wave-falls")
    fixed = recover(hosts, tmp_path, **{**waves, "lifecycle_soak": 1})
    assert fixed.outcomes == dict.fromkeys(hosts.hosts, "recovered") and fixed.code == 0, fixed.output
    assert is_active(hosts) == set(hosts.hosts)
