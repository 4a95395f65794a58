# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wait that several runs of the engine make one after the other."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.lifecycle.test_engine import (
    UNIT,
    Bench,
    guards,
    started,
    steps,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import Unit


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, Unit(UNIT, start_takes=25.0))


def slices(bench, target="running", timeout=120.0, **options):
    """All runs of one wait."""
    ends = bench.clock.now + timeout
    seen: list = []
    while not seen or seen[-1].waiting:
        seen.append(
            bench.run(target, wait_id="w", slice_length=10.0, wait_timeout=max(ends - bench.clock.now, 0), **options)
        )
        bench.clock.sleep(1.0)
    return seen


def test_one_start_however_many_slices(bench):
    seen = slices(bench)
    assert [outcome.waiting for outcome in seen] == [True, True, False]
    assert bench.verbs == ["start"]
    assert all(outcome.changed and not outcome.failed for outcome in seen)
    assert steps(seen[-1]) == [("stopped", "start", "starting"), ("starting", "initialized", "running")]
    assert seen[-1].transitions[1].duration == pytest.approx(25.0, abs=1.0)
    assert [attempt.outcome for attempt in bench.ledger.attempts(UNIT)] == ["verified"]
    assert seen[0].as_dict()["waiting"] is True and seen[0].as_dict()["reached"] is False
    assert "waiting" not in seen[-1].as_dict()


def test_a_start_that_fails_in_a_later_slice_is_not_made_again(bench):
    bench.unit.start_fails = True
    seen = slices(bench)
    assert seen[-1].failed and "was started, and is error" in seen[-1].msg
    assert bench.verbs == ["start"]
    assert [attempt.outcome for attempt in bench.ledger.attempts(UNIT)] == ["failed"]


def test_what_a_lost_slice_has_done_is_known(bench):
    """Its result never came, so that the next run is made as if it had not been."""
    bench.unit.start_fails = True
    bench.run(wait_id="w", slice_length=40.0)
    again = bench.run(wait_id="w", slice_length=40.0)
    assert again.failed and again.changed and bench.verbs == ["start"]


def test_another_wait_begins_anew(bench):
    bench.unit.start_fails = True
    slices(bench)
    bench.unit.start_fails = False
    outcome = bench.run(wait_id="another", slice_length=60.0, recovery="restart", attempt_backoff=0)
    assert not outcome.failed and bench.verbs == ["start", "start"]
    assert len(steps(outcome)) == 2


def test_the_time_is_that_of_the_whole_wait(bench):
    bench.unit.start_takes = 500.0
    seen = slices(bench, timeout=35.0)
    assert seen[-1].failed and "waited 3" in seen[-1].msg
    assert [attempt.outcome for attempt in bench.ledger.attempts(UNIT)] == ["failed"]


def test_a_back_off_may_last_several_slices(bench):
    bench.unit.start_takes, bench.unit.start_fails = 0.2, True
    bench.run()
    bench.unit.start_fails = False
    bench.world.verbs.clear()
    seen = slices(bench, attempt_backoff=30.0, recovery="restart")
    assert not seen[-1].failed and bench.verbs == ["start"]
    assert len(seen) == 3


def test_a_wait_for_what_is_there_has_one_slice(bench):
    bench.unit.start_takes = 0.2
    started(bench)
    seen = slices(bench)
    assert (len(seen), seen[0].changed, bench.verbs) == (1, False, [])


def test_what_is_left_must_be_readable(bench):
    bench.run(wait_id="w", slice_length=10.0)
    (path,) = [p for p in bench.wait_files() if p.suffix == ".json"]
    path.write_text("{")
    with pytest.raises(Exception, match="is no record of this collection"):
        bench.run(wait_id="w", slice_length=10.0)


def test_a_refusal_ends_it(bench):
    bench.unit.load = "masked"
    seen = slices(bench)
    assert len(seen) == 1 and seen[0].failed and guards(seen[0])


def test_a_kind_hands_on_what_it_has_seen(bench, monkeypatch):
    resumed: list = []
    monkeypatch.setattr(Kind, "save_state", lambda self: {"head": len(resumed)})
    monkeypatch.setattr(Kind, "restore_state", lambda self, kept: resumed.append(dict(kept)))
    slices(bench)
    assert resumed == [{}, {"head": 1}, {"head": 2}]
