# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every session has its place in make, in pre-commit and in the workflow, and a session ends with all it started."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from tests.docs.common import ROOT, load

NOX = str(ROOT / ".venvs/nox/bin/python")
NOT_A_PART = {"long", "bench", "mutation"}
HELPERS = {"venvs", "lock", "lint", "matrix-generator"}

pytestmark = pytest.mark.skipif(not Path(NOX).exists(), reason="tools/nox makes the environment of nox")


def parts() -> dict[str, list[str]]:
    """The sessions of each part, as make reads them."""
    text = "include Makefile\nshow-%:\n\t@echo $($*)\n"

    def show(name: str) -> list[str]:
        make = ["make", "--silent", "--file=-", f"show-{name}"]
        return subprocess.run(make, cwd=ROOT, input=text, check=True, capture_output=True, text=True).stdout.split()

    return {name: show(name) for name in [*show("PARTS"), "test", "test-quick"]}


def nox(*arguments: str, folder: Path = ROOT, **options: t.Any) -> subprocess.CompletedProcess[str]:
    command = [NOX, "-m", "nox", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **options)


def test_every_session_is_a_part_of_make_once() -> None:
    listed = set(re.findall(r"^[-*] (\S+) ->", nox("--list").stdout, re.MULTILINE))
    made = parts()
    test, quick = made.pop("test"), made.pop("test-quick")
    sessions = [session for part in made.values() for session in part]
    assert sorted(sessions) == sorted(listed - HELPERS)
    assert sorted(test) == sorted(session for part in made if part not in NOT_A_PART for session in made[part])
    assert {*quick} == {*made["lint"], "unit"} - {"ansible-lint", "workflow"}


def test_the_tools_are_pinned() -> None:
    for source in (ROOT / "requirements").glob("*.in"):
        pins = source.with_suffix(".txt").read_text().splitlines()
        assert all("==" in pin for pin in pins if pin and not pin.startswith("#")), source


def test_pre_commit_runs_what_make_lint_runs() -> None:
    hooks = [hook for repo in load(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert [hook["entry"] for hook in hooks] == [f"tools/nox --session {name}" for name in parts()["lint"]]


def test_the_workflow_runs_each_part_of_make_test_and_the_long_scenarios_once() -> None:
    rows = load(".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]["parts"]
    ran = [part for row in rows for part in row.split()]
    assert sorted(ran) == sorted({"long", *parts()} - (NOT_A_PART - {"long"}) - {"test", "test-quick"})
    assert len(rows) == 4


# ---- what noxfile.py does with a command

NOXFILE = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
import noxfile
noxfile.venv = lambda *_: Path("/usr")
noxfile.tree.BUILD = Path(__file__).parent

@noxfile.check("one")
def one(session):
    noxfile.run(session, "core", *session.posargs[1:], limit=int(session.posargs[0]))

@noxfile.check("wants")
def wants(session):
    noxfile.need(session, "no such thing")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "noxfile.py").write_text(NOXFILE.format(root=str(ROOT)))
    (tmp_path / "antsibull-nox.toml").write_text("")
    return tmp_path


def result(folder: Path, *arguments: str, session: str = "one", **environment: str) -> dict[str, t.Any]:
    env = {name: value for name, value in os.environ.items() if name != "CI"} | environment
    report = folder / "report.json"
    done = nox("--report", str(report), "--session", session, "--", *arguments, folder=folder, env=env)
    told = t.cast("dict[str, t.Any]", json.loads(report.read_text())["sessions"][0])
    assert done.returncode == (0 if told["result"] in ("success", "skipped") else 1)
    return told


def test_a_command_passes_or_fails(folder: Path) -> None:
    assert result(folder, "9", "true")["result"] == "success"
    assert result(folder, "9", "false")["result"] == "failed"


def test_a_machine_that_lacks_something_skips_the_session_but_ci_fails(folder: Path) -> None:
    assert result(folder, session="wants")["result"] == "skipped"
    told = result(folder, session="wants", CI="true")
    assert (told["result"], told["reason"]) == ("aborted", "cannot run here: no such thing")


def test_a_command_ends_with_all_it_started_when_its_time_is_up(folder: Path) -> None:
    told = result(folder, "2", "sh", "-c", f"sleep 60 & echo $! >{folder}/pid; wait")
    assert told["reason"] == "ended at its limit of 2 s"
    wait_for_end(int((folder / "pid").read_text()))


@pytest.mark.parametrize(("parallel", "sent"), [("1", signal.SIGTERM), ("2", signal.SIGTERM), ("2", signal.SIGINT)])
def test_whoever_ends_nox_ends_what_it_started(folder: Path, parallel: str, sent: signal.Signals) -> None:
    script = f"sleep 60 & echo $! >{folder}/pid.new; mv {folder}/pid.new {folder}/pid; wait"
    command = [NOX, "-m", "nox", "--parallel", parallel, "--session", "one", "--", "60", "sh", "-c", script]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        began = time.monotonic()
        while not (folder / "pid").exists():
            assert time.monotonic() - began < 60 and process.poll() is None
            time.sleep(0.05)
        process.send_signal(sent)
        assert process.wait(timeout=60) != 0
    wait_for_end(int((folder / "pid").read_text()))


def wait_for_end(pid: int) -> None:
    began = time.monotonic()
    while not ended(pid):
        assert time.monotonic() - began < 20
        time.sleep(0.05)


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_summary_comes_after_sessions_that_failed() -> None:
    recipe = re.search(r"^test test-quick \$\(PARTS\):\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe and [line.strip()[0] for line in recipe.group(1).splitlines()] == ["@", "-", "@"]
