# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary counts what happened, and fails where nothing did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import summary
from tools.summary import Outcome

CASES = {
    "passed": "<testcase classname='a' name='x'/>",
    "failed": "<testcase classname='a' name='x'><failure message='no'/><error message='and its end'/></testcase>",
    "error": "<testcase classname='a' name='x'><error message='no'/></testcase>",
    "skipped": "<testcase classname='a' name='x'><skipped message='not here'/></testcase>",
}

RECAP = """
SCENARIO RECAP
default                   : actions=5  successful=4  disabled=0  skipped=1  missing=0  failed=0
hold                      : actions=5  successful=5  disabled=0  skipped=0  missing=0  failed=0
\x1b[31mrecover\x1b[0m    : actions=5  successful=3  disabled=0  skipped=1  missing=0  failed=1
nothing                   : actions=5  successful=0  disabled=0  skipped=5  missing=0  failed=0
default                   : actions=1  successful=1  disabled=0  skipped=0  missing=0  failed=0
"""


def junit(*cases: str) -> str:
    return f"<testsuites><testsuite>{''.join(CASES.get(case, case) for case in cases)}</testsuite></testsuites>"


def outcome(tmp_path: Path, text: str = "", result: str = "success", reason: str | None = None) -> Outcome:
    """What the summary makes of a session with this JUnit file and this result of nox."""
    folder = tmp_path / "results" / "x"
    folder.mkdir(parents=True, exist_ok=True)
    if text:
        (folder / "a.xml").write_text(text)
    return summary.outcome("x", {"result": result, "reason": reason, "duration": 1.0}, tmp_path)


@pytest.mark.parametrize(
    ("cases", "result", "reason", "passed", "failed", "problem"),
    [
        (None, "success", None, 1, 0, ""),
        (None, "failed", None, 0, 1, "failed"),
        (None, "aborted", "ended at its limit of 3 s", 0, 1, "ended at its limit of 3 s"),
        ([], "success", None, 0, 1, "ran nothing"),
        (["skipped"], "success", None, 0, 1, "ran nothing"),
        (["passed"], "success", None, 1, 0, ""),
        (["passed"], "failed", None, 1, 1, "failed"),
        (["passed", "failed", "error"], "failed", None, 1, 2, "2 failed"),
        (["passed", "failed"], "success", None, 1, 1, "1 failed"),
    ],
)
def test_a_session_passes_only_if_it_did_something(
    cases: list[str] | None, result: str, reason: str | None, passed: int, failed: int, problem: str, tmp_path: Path
) -> None:
    one = outcome(tmp_path, "" if cases is None else junit(*cases), result, reason)
    assert (one.passed, one.failed, one.problem) == (passed, failed, problem)


def test_a_session_that_was_skipped_says_why(tmp_path: Path) -> None:
    one = outcome(tmp_path, result="skipped", reason="no hosts")
    assert (one.passed, one.failed, one.skipped, one.word, one.skip_reason) == (0, 0, 1, "skipped", "no hosts")


def test_failed_tests_are_named_with_their_reason(tmp_path: Path) -> None:
    one = outcome(tmp_path, junit("passed", "failed", "error", "skipped"))
    assert (one.passed, one.failed, one.skipped) == (1, 2, 1)
    assert one.failures == ["a::x", "  no", "a::x", "  no"]


def test_a_single_suite_is_counted_too(tmp_path: Path) -> None:
    assert outcome(tmp_path, f"<testsuite>{CASES['passed']}</testsuite>").passed == 1


def test_of_a_long_failure_the_end_is_told(tmp_path: Path) -> None:
    said = "".join(f"E     line {number}&#10;" for number in range(50))
    case = f'<testcase classname="a" name="x"><failure message="line 0">def test():&#10;{said}a.py:3: Error</failure>'
    one = outcome(tmp_path, junit(f"{case}</testcase>"))
    assert one.failures == ["a::x", "  line 0", "  [...]", *(f"  line {number}" for number in range(30, 50))]


def test_the_slowest_tests_are_named_across_sessions(capsys: pytest.CaptureFixture[str]) -> None:
    fast = Outcome(passed=30, slowest=[(seconds / 10, f"a::t{seconds}") for seconds in range(30)])
    assert summary.summarize({"x": fast, "y": Outcome(passed=1, slowest=[(1.25, "b::t")])})
    told = [line.split() for line in capsys.readouterr().out.partition("slowest tests\n")[2].splitlines()[:20]]
    assert told[0] == ["2.9", "s", "x:", "a::t29"] and len(told) == 20
    assert ["1.2", "s", "y:", "b::t"] in told


def test_scenarios_are_counted(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    told = {"result": "failed", "reason": None, "duration": 1.0}
    assert summary.outcome("molecule", told, tmp_path).failed == 1  # there is no log
    (tmp_path / "logs" / "molecule.log").write_text(RECAP)
    one = summary.outcome("molecule", told, tmp_path)
    assert (one.passed, one.failed, one.skipped, one.failures) == (1, 1, 1, ["recover"])
    (tmp_path / "logs" / "molecule.log").write_text("")
    assert summary.outcome("molecule", {**told, "result": "success"}, tmp_path).problem == "ran nothing"


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
    assert summary.summarize(outcomes) is good
    assert capsys.readouterr().out.splitlines()[-1] == line


def test_a_session_that_nox_does_not_tell_of_has_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    assert summary.main(str(report), "a", build=tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"
    report.write_text(json.dumps({"sessions": [{"name": "a", "result": "success", "reason": None, "duration": 2.0}]}))
    assert summary.main(str(report), "a", build=tmp_path) == 0
    assert summary.main(str(report), "a", "b", build=tmp_path) == 1
    told = capsys.readouterr().out
    assert "ended before it could tell how" in told and told.endswith("\n1 passed, 1 failed, 0 skipped\n")


def test_the_cpu_time_of_a_session_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(tmp_path, junit("passed")).cpu is None
    (tmp_path / "results/x/cpu_seconds").write_text("12.5\n")
    used = outcome(tmp_path, junit("passed"))
    assert used.cpu == 12.5
    assert summary.summarize({"x": used, "y": Outcome(passed=1, seconds=2.0)})
    table = [line.split() for line in capsys.readouterr().out.splitlines()[1:4]]
    assert table[0][-2:] == ["seconds", "CPU"] and table[1][-2:] == ["1.0", "12.5"] and table[2][-2:] == ["2.0", "-"]
