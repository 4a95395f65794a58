# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics program counts each transition once and lets no counter go back, whatever happens to it and its host."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import tempfile
import typing as t
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.tests.property.exporter_host import World, read, run, total

COUNTERS = ("_total",)


class Killed(BaseException):
    """The program was killed."""


# What changes a file, in the order in which the program does it.
EFFECTS = ("open", "fsync", "fchmod", "replace", "unlink")


def before_effect(monkeypatch: pytest.MonkeyPatch, number: int, act: t.Callable[[str], None]) -> None:
    """Call ``act`` before the effect of this number, counted from 0."""
    count = itertools.count()

    def wrapped(name: str) -> t.Callable[..., t.Any]:
        real = getattr(os, name)

        def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
            if next(count) == number:
                act(name)
            return real(*args, **kwargs)

        return call

    for name in EFFECTS:
        monkeypatch.setattr(os, name, wrapped(name))


def kill_at(world: World, folder: Path, number: int) -> bool:
    """Run the program in a process of its own, which SIGKILL ends before the effect of this number; whether it did."""
    child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as patch:
            before_effect(patch, number, lambda _name: os.kill(os.getpid(), signal.SIGKILL))
            run(world, folder)
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_killed_at_any_effect_it_neither_misses_a_transition_nor_counts_one_twice(tmp_path: Path) -> None:
    killed = 0
    for number in itertools.count():
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World()
        run(world, folder)
        world.monotonic += 10
        world.crash()
        world.restart_after_crash()
        world.monotonic += 10
        before = read(folder)
        was_killed = kill_at(world, folder, number)
        between = read(folder)
        assert all(between[key] >= value for key, value in before.items() if key[0].endswith("_total"))
        run(world, folder)
        assert total(folder, "chainops_service_errors_total", cause="signal") == 1, number
        assert total(folder, "chainops_service_transitions_total") == len(world.changes), number
        assert total(folder, "chainops_service_automatic_restarts_total") == 1, number
        if not was_killed:
            break
        killed += 1
    assert killed > 8


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_where_nothing_can_be_written_the_next_run_counts_it(tmp_path: Path, error: int) -> None:
    world = World()
    run(world, tmp_path)
    world.monotonic += 10
    world.crash(restarts=False)
    shown = read(tmp_path)
    for number in range(9):
        with pytest.MonkeyPatch.context() as patch:

            def refuse(name: str, code: int = error) -> None:
                raise OSError(code, os.strerror(code))

            before_effect(patch, number, refuse)
            try:
                run(world, tmp_path)
            except (LifecycleError, OSError):
                assert read(tmp_path) == shown
        shown = read(tmp_path)
    run(world, tmp_path)
    assert total(tmp_path, "chainops_service_errors_total") == 1
    assert not list(tmp_path.glob("*.new")), "a file that was begun is left"


def test_a_full_textfile_folder_is_counted_and_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    run(world, tmp_path)
    real = os.replace

    def replace(source: str, target: str) -> None:
        if target.endswith(".prom"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        assert run(world, tmp_path) == 1
    assert run(world, tmp_path) == 0
    assert total(tmp_path, "chainops_exporter_errors_total", step="output") == 1


def test_a_transition_while_it_looks_is_counted_once(tmp_path: Path) -> None:
    """The observation is older than the record: to compare them would undo the transition, and make it again."""
    world = World()
    run(world, tmp_path)
    world.monotonic += 30
    world.meanwhile = lambda: world.crash(restarts=False)
    run(world, tmp_path)
    world.meanwhile = lambda: None
    world.monotonic += 30
    run(world, tmp_path)
    assert total(tmp_path, "chainops_service_transitions_total") == 1
    assert total(tmp_path, "chainops_service_errors_total") == 1


def test_a_record_that_journald_has_not_written_yet_is_counted_once(tmp_path: Path) -> None:
    world = World()
    run(world, tmp_path)
    world.monotonic += 30
    world.stop()
    late, world.entries = world.entries, []
    run(world, tmp_path)
    world.entries = late
    world.monotonic += 30
    run(world, tmp_path)
    assert total(tmp_path, "chainops_service_transitions_total") == 2
    assert total(tmp_path, "chainops_service_transitions_total", trigger="unrecorded") == 0


def test_what_happens_in_the_first_run_is_counted(tmp_path: Path) -> None:
    world = World()
    world.meanwhile = lambda: world.crash(restarts=False)
    run(world, tmp_path)
    world.meanwhile = lambda: None
    world.monotonic += 30
    run(world, tmp_path)
    assert total(tmp_path, "chainops_service_errors_total") == 1


def test_a_journal_that_shows_two_boots_in_turns_is_read_boot_by_boot(tmp_path: Path) -> None:
    world = World()
    run(world, tmp_path)
    world.monotonic += 10
    world.stop()
    old = len(world.entries)
    world.reboot(5)
    world.start()
    new = world.entries[old:]
    world.entries[1:] = [new[0], *world.entries[1 : old - 1], new[1], world.entries[old - 1]]
    world.monotonic += 30
    run(world, tmp_path)
    assert total(tmp_path, "chainops_service_transitions_total", to="stopped") == 1
    assert total(tmp_path, "chainops_service_transitions_total") == len(world.changes)


def test_a_flood_of_records_is_caught_up_with(tmp_path: Path) -> None:
    world = World()
    run(world, tmp_path)
    crashes = 3000
    for _crash in range(crashes):
        world.monotonic += 0.1
        world.crash()
        world.restart_after_crash()
    counted = []
    for _run in range(3):
        world.monotonic += 30
        run(world, tmp_path)
        counted.append(total(tmp_path, "chainops_service_errors_total"))
    assert counted[0] < crashes and counted[-1] == crashes
    assert total(tmp_path, "chainops_service_transitions_total") == len(world.changes)


def test_a_journal_that_cannot_be_read_is_counted_and_read_later(tmp_path: Path) -> None:
    world = World()
    run(world, tmp_path)
    world.monotonic += 10
    world.crash()
    world.restart_after_crash()
    world.journal_fails = True
    assert run(world, tmp_path) == 1
    world.journal_fails = False
    world.monotonic += 30
    assert run(world, tmp_path) == 0
    assert total(tmp_path, "chainops_service_transitions_total") == len(world.changes)
    assert total(tmp_path, "chainops_exporter_errors_total", step="journal") == 1


@pytest.mark.parametrize("damage", ["", "{", "null", '{"version": 2}', '{"version": 1}', "[" * 100_000, "\x00" * 10])
def test_a_damaged_state_is_kept_and_reported(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    run(world, tmp_path)
    (tmp_path / "state.json").write_text(damage)
    assert run(world, tmp_path) == 1
    assert (tmp_path / "state.json.damaged").read_text() == damage
    assert "counters begin anew" in capsys.readouterr().err
    assert total(tmp_path, "chainops_exporter_errors_total", step="state") == 1
    assert run(world, tmp_path) == 0


def test_a_state_that_may_not_be_read_is_no_new_beginning(tmp_path: Path) -> None:
    world = World()
    run(world, tmp_path)
    (tmp_path / "state.json").rename(tmp_path / "kept")
    (tmp_path / "state.json").symlink_to(tmp_path / "kept")
    with pytest.raises(LifecycleError, match="symbolic link"):
        run(world, tmp_path)


def test_a_service_that_was_removed_is_forgotten(tmp_path: Path) -> None:
    world = World()
    run(world, tmp_path)
    run(world, tmp_path, services=[])
    assert total(tmp_path, "chainops_service_state") == 0 and b"api" not in (tmp_path / "state.json").read_bytes()


def test_the_files_are_closed_to_others_and_the_metrics_are_not(tmp_path: Path) -> None:
    run(World(), tmp_path)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"state.json": 0o600, "lock": 0o600, "chainops.prom": 0o644}


class Life(RuleBasedStateMachine):
    """A host, a service and a program, in any order of what may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = World()
        self.shown: dict[t.Any, float] = {}

    @initialize()
    def install(self) -> None:
        run(self.world, self.folder)
        self.world.changes.clear()

    def passes(self, seconds: float) -> None:
        self.world.monotonic += seconds

    @rule(seconds=st.floats(0.1, 100))
    def wait(self, seconds: float) -> None:
        self.passes(seconds)

    @rule(restarts=st.booleans(), pause=st.floats(0.1, 20))
    def crash(self, restarts: bool, pause: float) -> None:
        if self.world.state == "running":
            self.world.crash(restarts)
            self.passes(pause)

    @rule()
    def systemd_starts_it_again(self) -> None:
        if self.world.state == "restarting":
            self.world.restart_after_crash()

    @rule()
    def stop(self) -> None:
        if self.world.state == "running":
            self.world.stop()

    @rule()
    def start(self) -> None:
        if self.world.state in ("stopped", "error"):
            self.world.start()

    @rule(step=st.floats(-5000, 5000))
    def step_the_clock(self, step: float) -> None:
        self.world.offset += step

    @rule(down=st.floats(1, 500))
    def reboot(self, down: float) -> None:
        # Of a run that failed right before a reboot nobody knows whether it would have been started again.
        if self.world.state != "restarting":
            self.world.reboot(down)

    @rule()
    def rotate(self) -> None:
        """The journal forgets what was counted."""
        self.go()
        self.world.entries = self.world.entries[-1:] if len(self.world.entries) % 2 else []

    @rule()
    def go(self) -> None:
        run(self.world, self.folder)

    @rule(number=st.integers(0, 30))
    def killed(self, number: int) -> None:
        def end(_name: str) -> None:
            raise Killed

        with pytest.MonkeyPatch.context() as patch:
            before_effect(patch, number, end)
            try:
                run(self.world, self.folder)
            except Killed:
                pass

    @invariant()
    def no_counter_goes_back(self) -> None:
        if not (self.folder / "chainops.prom").exists():
            return
        now = read(self.folder)
        for key, value in self.shown.items():
            if key[0].endswith(COUNTERS):
                assert now.get(key, -1.0) >= value, key
        self.shown = now

    def teardown(self) -> None:
        try:
            self.passes(60)
            run(self.world, self.folder)
            self.no_counter_goes_back()
            truth = Counter(self.world.changes)
            for pair in {*truth, *self.counted()}:
                assert self.counted()[pair] == truth[pair], pair
            assert total(self.folder, "chainops_service_errors_total") == self.world.failures
            assert total(self.folder, "chainops_service_transitions_total", trigger="unrecorded") == 0
        finally:
            shutil.rmtree(self.folder)

    def counted(self) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for (name, labels), value in read(self.folder).items():
            if name == "chainops_service_transitions_total":
                has = dict(labels)
                found[has["from"], has["to"]] += int(value)
        return found


TestLife = Life.TestCase
# To make a failure smaller takes minutes, and the steps of one tell enough.
TestLife.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, phases=[Phase.explicit, Phase.generate]
)
