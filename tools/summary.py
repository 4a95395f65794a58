# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what came of a run of nox, test by test, and end with one line that counts.

    python -m tools.summary REPORT SESSION...    REPORT: what nox wrote; SESSION: each one that it had to run

A session without JUnit files is one check. Exits 0 only if something ran and nothing failed.
"""

from __future__ import annotations

import json
import re
import sys
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import junitparser

from tools import tree

CPU_FILE = "cpu_seconds"
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass
class Outcome:
    """What came of a session; ``problem`` is empty where it passed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    cpu: float | None = None  # seconds, of its commands; hosts run apart from these
    problem: str = ""
    skip_reason: str = ""
    failures: list[str] = field(default_factory=list)
    slowest: list[tuple[float, str]] = field(default_factory=list)

    @property
    def word(self) -> str:
        return "FAILED" if self.problem else "skipped" if self.skip_reason else "ok"


def outcome(name: str, told: t.Mapping[str, t.Any], build: Path) -> Outcome:
    """What nox told of a session and what it wrote itself, together."""
    one = Outcome(seconds=told["duration"])
    if told["result"] == "skipped":
        one.skipped, one.skip_reason = 1, told["reason"]
        return one
    used = build / "results" / name / CPU_FILE
    one.cpu = float(used.read_text()) if used.exists() else None
    files = sorted((build / "results" / name).glob("*.xml"))
    for file in files:
        count_junit(one, file)
    if name == "molecule":
        log = build / "logs" / "molecule.log"
        count_molecule(one, log.read_text() if log.exists() else "")
    elif not files and told["result"] == "success":
        one.passed = 1
    if one.failed or told["result"] != "success":
        one.problem = f"{one.failed} failed" if one.failed else told["reason"] or told["result"]
    elif not one.passed:
        one.problem = "ran nothing"
    if one.problem and not one.failed:
        one.failed = 1
    return one


def count_junit(one: Outcome, file: Path) -> None:
    """Add the test cases of a JUnit file."""
    root = junitparser.JUnitXml.fromfile(str(file))
    suites = [root] if isinstance(root, junitparser.TestSuite) else root
    for case in (case for suite in suites for case in suite):
        name = f"{case.classname}::{case.name}"
        one.slowest.append((case.time or 0.0, name))
        problems = [result for result in case.result if not isinstance(result, junitparser.Skipped)]
        if problems:
            one.failed += 1
            one.failures += [name, *(f"  {line}" for line in _ends(problems[0]))]
        elif case.is_skipped:
            one.skipped += 1
        else:
            one.passed += 1


def _ends(problem: t.Any, lines: int = 20) -> list[str]:
    """The first and the last lines of what pytest says of a failure: what a playbook printed is long, its end tells."""
    told = ANSI.sub("", problem.text or "").splitlines()
    reasons = [line[1:].strip() for line in told if line.startswith("E ")]
    said = [line[:200] for line in reasons or (problem.message or "").splitlines() if line.strip()]
    return said if len(said) <= lines + 1 else [said[0], "[...]", *said[-lines:]]


def count_molecule(one: Outcome, output: str) -> None:
    """Add one for each scenario in molecule's recap; ``default`` counts only where it failed."""
    recap = re.compile(r"^(\S+)\s*: actions=\s*\d+ +successful=\s*(\d+).*\bfailed=\s*(\d+)", re.MULTILINE)
    for name, successful, failed in recap.findall(ANSI.sub("", output)):
        if int(failed):
            one.failed += 1
            one.failures.append(name)
        elif name == "default":
            continue
        elif int(successful):
            one.passed += 1
        else:
            one.skipped += 1


def summarize(outcomes: t.Mapping[str, Outcome]) -> bool:
    """Print the table and the closing line; return whether all is well."""
    print(f"\n{'session':<22}{'result':<9}{'passed':>7}{'failed':>7}{'skipped':>8}{'seconds':>9}{'CPU':>8}")
    for name, one in outcomes.items():
        note = one.problem or one.skip_reason
        cpu = "-" if one.cpu is None else f"{one.cpu:.1f}"
        counts = f"{one.passed:>7}{one.failed:>7}{one.skipped:>8}{one.seconds:>9.1f}{cpu:>8}"
        print(f"{name:<22}{one.word:<9}{counts}{'  ' + note if note else ''}")
        for line in one.failures[:100]:
            print(f"{'':<22}{line}")
    timed = [(seconds, session, name) for session, one in outcomes.items() for seconds, name in one.slowest]
    if timed:
        print("\nslowest tests")
    for seconds, session, name in sorted(timed, reverse=True)[:20]:
        print(f"{seconds:>9.1f} s  {session}: {name}")
    passed = sum(one.passed for one in outcomes.values())
    failed = sum(one.failed for one in outcomes.values())
    skipped = sum(one.skipped for one in outcomes.values())
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return failed == 0 and passed > 0


def main(report: str, *sessions: str, build: Path = tree.BUILD) -> int:
    """Count the sessions; return the exit status."""
    path = Path(report)
    told = {one["name"]: one for one in json.loads(path.read_text())["sessions"]} if path.exists() else {}
    lost = {"result": "failed", "reason": "ended before it could tell how", "duration": 0.0}
    return 0 if summarize({name: outcome(name, told.get(name, lost), build) for name in sessions}) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
