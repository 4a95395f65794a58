# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan of a large fleet takes on the controller. Nothing here fails for being slow."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.tests.bench.conftest import HERE, Figures

ROUNDS = 3
HALF, WHOLE = 5_000, 10_000


def plan(hosts: int) -> dict[str, t.Any]:
    """Planned by a process of its own, whose memory holds the observations as well."""
    argv = [sys.executable, str(HERE / "plan_fleet.py"), str(hosts)]
    return dict(json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout))


@pytest.mark.timeout(600)
def test_plan_of_a_large_fleet(figures: Figures) -> None:
    half, whole = [], []
    for _round in range(ROUNDS):
        half.append(plan(HALF))
        whole.append(plan(WHOLE))
    took = statistics.median(one["seconds"] for one in whole)
    memory = max(one["bytes"] for one in whole) / 1e6
    what = f"plan for {WHOLE} hosts, {whole[0]['services']} services, {whole[0]['due']} in need"
    figures.add(what, f"{took:.1f} s of a core, {memory:.0f} MB", "<= 10 s, 1000 MB")
    figures.ratio(
        f"plan for {WHOLE} hosts / for {HALF}",
        [one["seconds"] for one in whole],
        [one["seconds"] for one in half],
        "<= 2.2",
    )
    assert whole[0]["due"] == 2 * half[0]["due"] == WHOLE / 10
