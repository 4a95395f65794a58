# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attempts, holds and the lock."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import (
    Attempt,
    Hold,
    Records,
    budget,
    settled_attempts,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock

UNIT = "x.service"


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def ledger(clock, tmp_path):
    return Records(clock, str(tmp_path / "state"), str(tmp_path / "run"))


def attempt(at, recovery=True, outcome="verified", action="start"):
    return Attempt(at=at, action=action, recovery=recovery, before="", outcome=outcome)


def spent(attempts, wall=1000.0, allowed=3, window=3600.0, backoff=10.0, good_since=None):
    found = budget(attempts, wall=wall, allowed=allowed, window=window, backoff=backoff, good_since=good_since)
    return found.used, found.wait


@pytest.mark.parametrize(
    "attempts, options, expected",
    [
        ([], {}, (0, 0.0)),
        ([attempt(990)], {}, (1, 0.0)),
        ([attempt(995)], {}, (1, 5.0)),
        ([attempt(900), attempt(995)], {}, (2, 15.0)),
        ([attempt(995)], {"backoff": 0}, (1, 0.0)),
        # the third is the last: when does the first fall out of the window
        ([attempt(100), attempt(900), attempt(990)], {}, (3, 2700.0)),
        ([attempt(100), attempt(900), attempt(990)], {"window": 500}, (2, 10.0)),
        # a start that was asked for and worked is no attempt to recover
        ([attempt(995, recovery=False)], {}, (0, 0.0)),
        ([attempt(995, recovery=False, outcome="failed")], {}, (1, 5.0)),
        ([attempt(995, recovery=False, outcome="open")], {}, (1, 5.0)),
        # good running forgets what was before
        ([attempt(100), attempt(995)], {"good_since": 500}, (1, 5.0)),
        # the clock was set back: the record counts as made now, and not for ever
        ([attempt(9999)], {}, (1, 10.0)),
    ],
)
def test_the_budget(attempts, options, expected):
    assert spent(attempts, **options) == expected


@pytest.mark.parametrize(
    "outcome, left, running, used",
    [
        # active for an hour: good running only where it runs well
        ("verified", 0, True, 0),
        ("verified", 0, False, 1),
        ("failed", 0, True, 0),
        # it runs no more: the attempt that made the run tells
        ("verified", 4600, False, 0),
        ("failed", 4600, False, 1),
        ("verified", 1300, False, 1),
    ],
)
def test_being_active_does_not_reset_the_attempts(ledger, clock, outcome, left, running, used):
    ledger.begin(UNIT, attempt(clock.wall(), outcome=outcome))
    ledger.begin(UNIT, attempt(clock.wall(), outcome="refused"))
    clock.sleep(3700)
    options = {"allowed": 3, "window": 86400.0, "backoff": 0.0, "reset_attempts_after": 600.0}
    assert ledger.budget(UNIT, 1001.0, float(left), running, **options).used == used


def test_attempts_survive_and_are_bounded(ledger):
    for number in range(80):
        ledger.begin(UNIT, attempt(float(number), outcome="open"))
        ledger.finish(UNIT, "failed")
    rows = ledger.attempts(UNIT)
    assert len(rows) == 50 and rows[-1].at == 79 and rows[-1].outcome == "failed"


def test_a_reset_and_its_start_are_one_attempt(ledger):
    ledger.begin(UNIT, attempt(1, outcome="open", action="reset"))
    assert settled_attempts(ledger.attempts(UNIT)) == ()
    ledger.begin(UNIT, attempt(2, outcome="open"))
    assert [row.action for row in ledger.attempts(UNIT)] == ["start"]
    ledger.begin(UNIT, attempt(3, outcome="open"))
    assert len(ledger.attempts(UNIT)) == 2, "a start that never ended is an attempt of its own"


def test_finish_touches_only_an_open_attempt(ledger):
    ledger.begin(UNIT, attempt(1, outcome="verified"))
    ledger.finish(UNIT, "failed")
    assert ledger.attempts(UNIT)[-1].outcome == "verified"


ROW = {"at": 1.0, "action": "start", "recovery": True, "before": ""}
DEEP = "[" * 100_000
ODD = [
    {"at": "x"},
    {"at": float("nan")},
    {"at": True},
    {"recovery": "no"},
    {"cause": 5},
    {"more": 1},
    {"before": None},
    {"took_along": [1]},
]


@pytest.mark.parametrize("row", ODD, ids=str)
def test_an_attempt_of_wrong_types_is_an_error_that_names_the_file(ledger, tmp_path, row):
    path = tmp_path / "state" / "attempts" / f"{UNIT}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([{**ROW, **row}]))
    with pytest.raises(LifecycleError, match=f"{path} is no record of this collection .*move it away"):
        ledger.attempts(UNIT)
    assert json.loads(path.read_text()), "nothing is lost"


@pytest.mark.parametrize("expires", ['"x"', "NaN", "true", "[]"])
def test_a_hold_of_wrong_types_is_an_error_and_no_leave_to_act(ledger, tmp_path, expires):
    path = tmp_path / "state" / "holds" / f"{UNIT}.json"
    path.parent.mkdir(parents=True)
    path.write_text(f'{{"scope": "x", "owner": "o", "reason": "r", "since": 1, "expires": {expires}}}')
    with pytest.raises(LifecycleError, match=str(path)):
        ledger.hold(UNIT)


def test_an_attempt_from_the_future_grows_old_from_when_it_was_read_first(ledger, clock):
    ledger.begin(UNIT, attempt(clock.wall() + 400 * 86400, outcome="failed"))
    options = {"allowed": 1, "window": 3600.0, "backoff": 10.0, "reset_attempts_after": 600.0}
    assert ledger.budget(UNIT, 0.0, 0.0, False, **options).wait == 3600.0
    clock.sleep(3000)
    assert ledger.budget(UNIT, 0.0, 0.0, False, **options).wait == 600.0
    clock.sleep(601)
    assert ledger.budget(UNIT, 0.0, 0.0, False, **options).used == 0


def test_who_may_only_read_takes_an_attempt_from_the_future_as_made_now(ledger, clock, monkeypatch):
    ledger.begin(UNIT, attempt(clock.wall() + 86400))

    def read_only(*_args):
        raise LifecycleError("no")

    monkeypatch.setattr(ledger, "_write", read_only)
    assert [row.at for row in ledger.attempts(UNIT)] == [clock.wall()]


def test_a_full_run_is_one_error_and_the_lock_is_free(ledger, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(LifecycleError, match=f"cannot write {tmp_path}/run/{UNIT}.lock: No space left.*free some"):
            ledger.lock(UNIT, "ann").acquire()
    assert ledger.lock(UNIT, "bob").acquire() is None


@pytest.mark.parametrize("text", ["7", "[]", '{"id": "w"}', '{"id": "w", "left": 5}', DEEP], ids=lambda text: text[:20])
def test_a_wait_that_is_none_is_an_error_that_names_the_file(ledger, tmp_path, text):
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "run" / f"{UNIT}.wait.json").write_text(text)
    with pytest.raises(LifecycleError, match=f"{UNIT}.wait.json is no record"):
        ledger.load_wait(UNIT, "w")


@pytest.mark.parametrize("text", ["", "{", "[1,", "\x00", '[{"at": 1}]', "[1]", "7", DEEP], ids=lambda text: text[:20])
def test_a_damaged_record_is_an_error_and_no_fresh_budget(ledger, tmp_path, text):
    path = tmp_path / "state" / "attempts" / f"{UNIT}.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(LifecycleError, match=str(path)):
        ledger.attempts(UNIT)


@pytest.mark.parametrize("text", ["{", "[1]", '{"owner": "ann"}', "7"])
def test_a_damaged_hold_is_an_error_and_no_leave_to_act(ledger, tmp_path, text):
    path = tmp_path / "state" / "holds" / "_host.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(LifecycleError, match=str(path)):
        ledger.hold(UNIT)


def test_holds(ledger, clock):
    assert ledger.hold(UNIT) is None
    ledger.set_hold(Hold(UNIT, "ann", "disk", clock.wall(), clock.wall() + 60))
    assert ledger.hold(UNIT).owner == "ann"
    assert ledger.hold("other.service") is None
    clock.sleep(61)
    assert ledger.hold(UNIT) is None and ledger.stored_hold(UNIT) is not None
    ledger.set_hold(Hold("_host", "bob", "reboot", clock.wall()))
    assert ledger.hold("other.service").owner == "bob", "the host's hold is for every service"
    ledger.clear_hold("_host")
    ledger.clear_hold("_host")
    assert ledger.hold("other.service") is None


def test_a_hold_on_the_whole_host_is_for_the_services_of_users_too(ledger, clock, tmp_path):
    public = str(tmp_path / "hold")
    ledger = Records(clock, str(tmp_path / "state"), str(tmp_path / "run"), public)
    of_user = Records(clock, str(tmp_path / "home"), str(tmp_path / "run"), public, user=True)
    assert of_user.hold(UNIT) is None
    ledger.set_hold(Hold(UNIT, "ann", "disk", clock.wall()))
    assert of_user.hold(UNIT) is None, "that is a unit of the system"
    ledger.set_hold(Hold("_host", "bob", "reboot", clock.wall(), clock.wall() + 60))
    assert os.stat(public).st_mode & 0o777 == 0o644, "they may not read the records"
    assert of_user.hold(UNIT).owner == "bob" and of_user.stored_hold("_host") is None
    clock.sleep(61)
    assert of_user.hold(UNIT) is None


def test_the_lock_is_ours_alone(ledger, clock):
    first, second = ledger.lock(UNIT, "ann"), ledger.lock(UNIT, "bob")
    assert first.acquire() is None
    clock.sleep(7)
    said = second.acquire()
    assert "ann" in said and "7 s" in said and str(os.getpid()) in said
    first.release()
    assert second.acquire() is None
    second.release()
    assert ledger.lock("other.service", "bob").acquire() is None


@pytest.mark.parametrize("stale", ["", '{"owner": "dead", "pid": 99999999, "monotonic": 1.0}'])
def test_who_has_just_taken_the_lock_is_waited_for_to_say_its_name(ledger, clock, tmp_path, stale):
    lock = ledger.lock(UNIT, "ann")
    assert lock.acquire() is None
    path = tmp_path / "run" / f"{UNIT}.lock"
    record, waited = path.read_text(), []
    path.write_text(stale)

    class Slow(VirtualClock):
        def sleep(self, seconds):
            waited.append(seconds)
            if len(waited) == 3:
                path.write_text(record)

    other = Records(Slow(), str(tmp_path / "state"), str(tmp_path / "run")).lock(UNIT, "bob")
    assert other.acquire().startswith("ann (pid ")
    assert len(waited) == 3
    path.write_text(stale)
    assert other.acquire() == "another controller that does not say who it is"
    lock.release()
    assert other.acquire() is None


def test_a_refused_attempt_counts_for_nothing():
    assert spent([attempt(995, outcome="refused"), attempt(100, recovery=False, outcome="failed")]) == (1, 0.0)


def test_the_lock_is_free_when_its_holder_is_killed(ledger, tmp_path):
    child = subprocess.Popen(
        [
            sys.executable, "-c",
            "import fcntl, os, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True);"
            "time.sleep(60)", str(tmp_path / "run" / f"{UNIT}.lock"),
        ],
        stdout=subprocess.PIPE,
    ) if (tmp_path / "run").mkdir() is None else None  # fmt: skip
    child.stdout.readline()
    assert ledger.lock(UNIT, "ann").acquire() is not None
    child.send_signal(signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 5
    while ledger.lock(UNIT, "ann").acquire() is not None:
        assert time.monotonic() < deadline
