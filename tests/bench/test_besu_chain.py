# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of decisions on a Besu network, from the models and the recordings: no hosts, and no clock but a virtual one."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.bench.conftest import Figures
from ansible_collections.chainops.lifecycle.tests.property import restart_all_model as together
from ansible_collections.chainops.lifecycle.tests.property.besu_chain_model import simulate
from ansible_collections.chainops.lifecycle.tests.property.besu_replay import Replay, mistakes

NETWORKS = 2000
SNAP_SYNC = ("sync_snap_from_scratch", "b7")
# The seconds for which a chain was stalled when its missing validators were started.
STALLS = (100, 3600)


@pytest.mark.parametrize(("members", "down"), [(4, 2), (7, 3)])
def test_restart_of_all(members: int, down: int, figures: Figures) -> None:
    run = together.Run(together.network(members, down), together.NEVER, together.TASKS)
    run.play()
    ours = together.by_restart(run)
    for stalled in STALLS:
        peer = together.natural_regain(members, down, stalled)
        what = f"{down} of {members} down for {stalled} s: restart_all / natural regain (model)"
        assert figures.ratio(what, [ours], [peer], "< 1, from starts to a block") < 1


def test_refusals_that_were_safe(figures: Figures) -> None:
    tally = simulate(NETWORKS)
    counts = tally.counts
    figures.add(f"{NETWORKS} simulated networks: quorums broken by us", str(len(tally.broken)), "0")
    share = counts["refused though safe"] / counts["allowed"]
    found = f"{share:.3f}  ({counts['refused though safe']} / {counts['allowed']})"
    figures.add("refusals that were safe / steps allowed", found, "<= 0.2")
    for reason, count in tally.refusals.most_common(3):
        figures.add(f"  refused though safe: {reason[:43]}", str(count), "")
    assert not tally.broken


def test_wrong_looks_in_a_snap_sync(figures: Figures) -> None:
    """The recording of a real one, at three paces, begun at each of its first looks."""
    seen, wrong = 0, 0
    for every in (1, 2, 3):
        for start in range(12):
            run = Replay(*SNAP_SYNC, every=every, start=start).run()
            seen += len(run)
            wrong += sum(1 for one in mistakes(*SNAP_SYNC, run) if not one.startswith("no sample"))
    figures.add("wrong looks in a recorded SNAP sync / looks", f"{wrong} / {seen}", "0")
    assert seen > 0


def test_mutations_that_survive(figures: Figures) -> None:
    """By the newest `make mutation` of this checkout, which takes hours."""
    report = Path(os.environ.get("RESULTS", "")).parent / "mutation" / "mutation.sqlite"
    if not report.is_file():
        pytest.skip("no report: make mutation")
    with sqlite3.connect(f"file:{report}?mode=ro", uri=True) as database:
        tested, survived = database.execute(
            "SELECT COUNT(*), COALESCE(SUM(test_outcome = 'SURVIVED'), 0) FROM work_results WHERE worker_outcome = 'NORMAL'"
        ).fetchone()
    figures.add("mutations that survive / tested, by the newest make mutation", f"{survived} / {tested}", "0 decisions")
    assert tested > 0
