# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step runner counts what happened, and fails where nothing did."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.docs.common import ROOT, load
from tools import run_steps
from tools.run_steps import Outcome, Step

JUNIT = """<testsuites><testsuite>
<testcase classname="a" name="one"/>
<testcase classname="a" name="two"><failure message="no"/><error message="and its end"/></testcase>
<testcase classname="a" name="three"><error message="no"/></testcase>
<testcase classname="a" name="four"><skipped message="not here"/></testcase>
</testsuite></testsuites>"""

RECAP = """
SCENARIO RECAP
default                   : actions=5  successful=4  disabled=0  skipped=1  missing=0  failed=0
hold                      : actions=5  successful=5  disabled=0  skipped=0  missing=0  failed=0
\x1b[31mrecover\x1b[0m    : actions=5  successful=3  disabled=0  skipped=1  missing=0  failed=1
nothing                   : actions=5  successful=0  disabled=0  skipped=5  missing=0  failed=0
default                   : actions=1  successful=1  disabled=0  skipped=0  missing=0  failed=0
"""


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_steps, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(run_steps, "LOGS", tmp_path)
    monkeypatch.delenv("CI", raising=False)


def step(run: str, **fields: str | float) -> Step:
    values: dict[str, object] = {"name": "x", "family": "f", "venv": "core", "run": run, **fields}
    return Step(**values)  # type: ignore[arg-type]


def test_junit_files_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(JUNIT)
    outcome = Outcome()
    run_steps.count_junit(outcome, tmp_path)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 2, 1)
    assert outcome.failures == ["a::two", "  no", "a::three", "  no"]


def test_of_a_long_failure_the_end_is_told(tmp_path: Path) -> None:
    said = "".join(f"E     line {number}&#10;" for number in range(50))
    case = f'<testcase classname="a" name="x"><failure message="line 0">def test():&#10;{said}a.py:3: Error</failure>'
    (tmp_path / "a.xml").write_text(f"<t>{case}</testcase></t>")
    outcome = Outcome()
    run_steps.count_junit(outcome, tmp_path)
    assert outcome.failures == ["a::x", "  line 0", "  [...]", *(f"  line {number}" for number in range(30, 50))]


def test_the_slowest_tests_are_named_across_steps(capsys: pytest.CaptureFixture[str]) -> None:
    fast = Outcome(passed=30, slowest=[(seconds / 10, f"a::t{seconds}") for seconds in range(30)])
    assert run_steps.summarize({"x": fast, "y": Outcome(passed=1, slowest=[(1.25, "b::t")])})
    told = [line.split() for line in capsys.readouterr().out.partition("slowest tests\n")[2].splitlines()[:20]]
    assert told[0] == ["2.9", "s", "x:", "a::t29"] and len(told) == 20
    assert ["1.2", "s", "y:", "b::t"] in told


def test_scenarios_are_counted() -> None:
    outcome = Outcome()
    run_steps.count_molecule(outcome, RECAP)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 1, 1)
    assert outcome.failures == ["recover"]


@pytest.mark.parametrize(
    ("run", "counts", "passed", "failed", "problem"),
    [
        ("true", "exit", 1, 0, ""),
        ("false", "exit", 0, 1, "1 failed"),
        ("true", "junit", 0, 1, "ran nothing"),
        ("true", "molecule", 0, 1, "ran nothing"),
        ("exit 5", "junit", 0, 1, "ended with status 5"),
        ("echo '<t><testcase/></t>' > $RESULTS/a.xml", "junit", 1, 0, ""),
        ("echo '<t><testcase/></t>' > $RESULTS/a.xml; exit 3", "junit", 1, 1, "ended with status 3"),
        ("echo '<t><testcase><skipped/></testcase></t>' > $RESULTS/a.xml", "junit", 0, 1, "ran nothing"),
        ("false | true", "exit", 0, 1, "1 failed"),
    ],
)
def test_a_step_passes_only_if_it_did_something(run: str, counts: str, passed: int, failed: int, problem: str) -> None:
    outcome = run_steps.run_step(step(run, counts=counts), live=False)
    assert (outcome.passed, outcome.failed, outcome.problem) == (passed, failed, problem)


def test_the_cpu_time_of_a_step_is_that_of_all_its_processes() -> None:
    spins = "bash -c 'python3 -c \"import time; [0 for _ in iter(time.process_time, 0) if _ > 1 and exit()]\"'"
    assert 0.5 < run_steps.run_step(step(spins), live=False).cpu < 10
    assert run_steps.run_step(step("true"), live=False).cpu < 0.5


def test_old_results_do_not_count() -> None:
    run_steps.run_step(step("echo '<t><testcase/></t>' > $RESULTS/a.xml", counts="junit"), live=False)
    assert run_steps.run_step(step("true", counts="junit"), live=False).problem == "ran nothing"


def test_a_step_ends_with_all_it_started_when_its_time_is_up(tmp_path: Path) -> None:
    began = time.monotonic()
    outcome = run_steps.run_step(step(f"sleep 60 & echo $! > {tmp_path}/pid; wait", timeout=3), live=False)
    assert outcome.problem == "1 failed after its limit of 3 s"
    assert time.monotonic() - began < 20
    pid = int((tmp_path / "pid").read_text())
    # Its end was sent and not waited for.
    while not _ended(pid):
        assert time.monotonic() - began < 20
        time.sleep(0.05)


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_what_ignores_a_polite_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_steps, "GRACE", 1)
    deaf = f"(trap '' TERM; echo ready > {tmp_path}/ready; while :; do sleep 0.1; done) & wait"
    began = time.monotonic()
    outcome = run_steps.run_step(step(deaf, timeout=2), live=False)
    assert (tmp_path / "ready").exists()
    assert outcome.failed == 1
    assert time.monotonic() - began < 20


def test_a_machine_that_cannot_run_a_step_skips_it_but_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_steps, "unmet", lambda need: f"no {need}" if need else "")
    lab = step("true", needs="laboratory")
    assert (run_steps.run_step(lab, live=False).skipped, run_steps.run_step(lab, live=False).problem) == (1, "")
    monkeypatch.setenv("CI", "true")
    assert run_steps.run_step(lab, live=False).problem == "cannot run here: no laboratory"
    assert run_steps.run_step(step("true", needs="python3.9"), live=False).skip_reason == "no python3.9"


@pytest.mark.parametrize(
    ("waiting", "running", "chosen"),
    [
        ([], [], ""),
        ("abc", "", "ab"),  # two cores
        ("abc", "x", "a"),
        ("abc", "xy", ""),
        ("hqqah", "", "hqqa"),  # as `make test` begins on two cores
        ("ah", "ha", "h"),
        ("haq", "", "haq"),
        ("haaq", "", "haq"),  # what is small fills the room that is left
        ("W", "", "W"),  # more than there is: by itself
        ("W", "q", ""),
        ("aZ", "", "a"),  # alone
        ("Z", "q", ""),
        ("aZ", "Z", ""),
        ("Z", "", "Z"),
    ],
)
def test_steps_share_the_cores(waiting: str, running: str, chosen: str) -> None:
    cores = {"q": 0.25, "h": 0.5, "W": 5.0}
    steps = [
        [step("true", name=name, cores=cores.get(name, 1.0), alone=name == "Z") for name in row]
        for row in (waiting, running)
    ]
    assert "".join(one.name[0] for one in run_steps.startable(steps[0], steps[1], 2.0)) == chosen


def test_every_step_runs_once_and_is_told_in_the_order_of_the_file() -> None:
    names = ["slow", "alone", "quick", "late"]
    steps = [
        step("sleep 0.3" if name == "slow" else "true", name=name, cores=0.5, alone=name == "alone") for name in names
    ]
    outcomes = run_steps.run_all(steps, cores=1)
    assert list(outcomes) == names
    assert [one.word for one in outcomes.values()] == ["ok"] * 4


@pytest.mark.parametrize(
    ("outcomes", "line", "good"),
    [
        ({"a": Outcome(passed=3), "b": Outcome(passed=1, skipped=2)}, "4 passed, 0 failed, 2 skipped", True),
        ({"a": Outcome(passed=3), "b": Outcome(failed=1, problem="no")}, "3 passed, 1 failed, 0 skipped", False),
        ({"a": Outcome(skipped=1, skip_reason="no")}, "0 passed, 0 failed, 1 skipped", False),
        ({}, "0 passed, 0 failed, 0 skipped", False),
    ],
)
def test_the_closing_line(
    outcomes: dict[str, Outcome], line: str, good: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_steps.summarize(outcomes) is good
    assert capsys.readouterr().out.splitlines()[-1] == line


def test_every_step_is_a_part_of_make_with_pinned_tools() -> None:
    steps = run_steps.load_steps()
    makefile = (ROOT / "Makefile").read_text()
    parts = re.search(r"^PARTS := (.*)$", makefile, re.MULTILINE)
    assert parts
    assert {one.family for one in steps} == set(parts.group(1).split())
    for one in steps:
        venvs = re.search(rf"^VENV_{one.family} := (.*)$", makefile, re.MULTILINE)
        assert venvs and one.venv in venvs.group(1).split(), one.name
        pins = (ROOT / f"requirements/{one.venv}.txt").read_text().splitlines()
        assert all("==" in pin for pin in pins if pin and not pin.startswith("#"))


def test_pre_commit_runs_what_the_lint_step_runs() -> None:
    hooks = [hook for repo in load(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    lint = {one.name for one in run_steps.load_steps() if one.family == "lint"}
    assert {hook["entry"] for hook in hooks} == {f"make --no-print-directory lint STEP={name}" for name in lint}


def test_the_workflow_runs_each_part_of_make_test_and_the_long_scenarios_once() -> None:
    rows = load(".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]["parts"]
    parts = [part for row in rows for part in row.split()]
    assert sorted(parts) == sorted({"long", *(one.family for one in run_steps.load_steps() if one.tests)})
    assert len(rows) == 4


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        (["all"], {"ruff", "unit", "laboratory"}),
        (["quick"], {"ruff", "unit"}),
        (["lint"], {"ruff"}),
        (["unit", "bench"], {"unit", "bench"}),
        (["nothing"], set()),
    ],
)
def test_steps_are_chosen_by_family_and_by_name(asked: list[str], chosen: set[str]) -> None:
    steps = [one for one in run_steps.load_steps() if one.name in ("ruff", "unit", "laboratory", "bench")]
    assert {one.name for one in steps if run_steps.is_asked_for(one, asked)} == chosen
