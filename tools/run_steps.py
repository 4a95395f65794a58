# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the steps of tools/steps.toml, show what they say, and end with one line that counts.

    python -m tools.run_steps all         every step of `make test`
    python -m tools.run_steps quick       those that need no hosts and little time
    python -m tools.run_steps lint ruff   the steps of these families, or of these names

Steps run side by side as far as the cores go, and the others run on where one failed. Exits 0 only if something ran and
nothing failed.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
import typing as t
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tools import tree

ROOT = tree.ROOT
RESULTS = tree.BUILD / "results"
LOGS = tree.BUILD / "logs"
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
SYSTEM_PATH = ":/usr/sbin:/sbin"  # a user's PATH can lack them
GRACE = 60  # seconds that a step which must end gets to clean up, for example to stop its hosts

_print_lock = threading.Lock()
_running: dict[str, subprocess.Popen[str]] = {}


@dataclass(frozen=True)
class Step:
    """One entry of steps.toml, which says what each field means."""

    name: str
    family: str
    venv: str
    run: str
    cores: float = 1.0
    alone: bool = False
    tests: bool = True
    quick: bool = False
    tree: str = "repo"
    counts: str = "exit"
    junit: str = ""
    needs: str = ""
    home: str = ""
    timeout: int = 600


@dataclass
class Outcome:
    """What came of a step; ``problem`` is empty where it passed. ``cpu``: seconds of all processes that it awaited."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    problem: str = ""
    skip_reason: str = ""
    failures: list[str] = field(default_factory=list)
    slowest: list[tuple[float, str]] = field(default_factory=list)

    @property
    def word(self) -> str:
        return "FAILED" if self.problem else "skipped" if self.skip_reason else "ok"


def load_steps(path: Path = ROOT / "tools" / "steps.toml") -> list[Step]:
    """Read the steps; an unknown field or a name that comes twice is an error."""
    steps = [Step(**entry) for entry in tomllib.loads(path.read_text())["step"]]
    names = [step.name for step in steps]
    if len(set(names)) != len(names):
        raise SystemExit(f"{path}: a step's name comes twice")
    return steps


@functools.cache
def find_python(version: str) -> str | None:
    """The path of a Python of this version that runs, or None."""
    found = subprocess.run([ROOT / "tools/find-python", version], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


@functools.cache
def python_version(python: Path) -> str:
    """Its version as X.Y."""
    command = [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def unmet(need: str) -> str:
    """Why this machine lacks ``need``, in words; empty if it has it."""
    if need.startswith("python"):
        return "" if find_python(need.removeprefix("python")) else f"no {need} that runs was found"
    if need == "laboratory":
        env = {**os.environ, "PATH": os.environ["PATH"] + SYSTEM_PATH}
        check = subprocess.run(
            [ROOT / "tests/support/lab/lab", "check"], capture_output=True, text=True, check=False, env=env
        )
        return "" if check.returncode == 0 else "; ".join((check.stdout + check.stderr).splitlines())
    if need == "chromium":
        return "" if shutil.which("chromium") else "there is no chromium: apt-get install chromium"
    if need:
        raise SystemExit(f"tools/steps.toml: nothing knows how to look for {need}")
    return ""


def environment(step: Step, results: Path, base: Path) -> dict[str, str]:
    """The environment of a step: its tools first in PATH, the collection importable from ``base``."""
    venv = ROOT / ".venvs" / step.venv
    pythons = tree.BUILD / "pythons"
    pythons.mkdir(parents=True, exist_ok=True)
    target = find_python("3.9")
    if target and not (pythons / "python3.9").exists():
        (pythons / "python3.9").symlink_to(target)
    version = python_version(venv / "bin/python")
    env = dict(os.environ)
    for name in ("VIRTUAL_ENV", "PYTHONHOME", "ANSIBLE_CONFIG", "PYENV_VERSION"):
        env.pop(name, None)
    env.update(
        PATH=f"{venv / 'bin'}:{pythons}:{env['PATH']}{SYSTEM_PATH}",
        PYTHONPATH=str(base),
        ANSIBLE_COLLECTIONS_PATH=str(base),
        ANSIBLE_HOME=str(ROOT / ".cache" / "ansible"),
        RESULTS=str(results),
        VENV_PYTHON=version,
        LC_ALL="C.UTF-8",
        PYTHONUNBUFFERED="1",
    )
    if not sys.stdout.isatty():
        env.update(NO_COLOR="1", PY_COLORS="0", ANSIBLE_NOCOLOR="1")
    if step.home == "own":
        env["HOME"] = str(tree.home())
        env.pop("PYTHONPATH")  # ansible-test sets its own
    return env


def run_step(step: Step, live: bool) -> Outcome:
    """Run one step to its end and count what it did."""
    began = time.monotonic()
    reason = unmet(step.needs)
    if reason:
        return _cannot_run(step, reason)
    results = RESULTS / step.name
    folder, base = ROOT, tree.link()
    if step.tree == "copy":
        folder = tree.copy(step.name)
        base = folder.parents[2]
    found = folder / step.junit if step.junit else results
    results.mkdir(parents=True, exist_ok=True)
    for stale in [*found.glob("*.xml"), results / "times"]:
        stale.unlink(missing_ok=True)
    rc, output = _execute(step, folder, environment(step, results, base), live)
    outcome = Outcome(seconds=time.monotonic() - began, cpu=_cpu_seconds(results / "times"))
    late = f" after its limit of {step.timeout} s" if outcome.seconds >= step.timeout else ""
    if step.counts == "junit":
        count_junit(outcome, found)
    elif step.counts == "molecule":
        count_molecule(outcome, output)
    else:
        outcome.passed, outcome.failed = (1, 0) if rc == 0 else (0, 1)
    if outcome.failed or rc != 0:
        outcome.problem = f"{outcome.failed} failed" if outcome.failed else f"ended with status {rc}"
        outcome.problem += late
    elif not outcome.passed:
        outcome.problem = "ran nothing"
    if outcome.problem and not outcome.failed:
        outcome.failed = 1
    return outcome


def _cannot_run(step: Step, reason: str) -> Outcome:
    # CI exists to run these tests: there a machine that cannot is a failure, elsewhere it is news.
    if os.environ.get("CI") and step.needs in ("laboratory", "chromium"):
        return Outcome(failed=1, problem=f"cannot run here: {reason}")
    return Outcome(skipped=1, skip_reason=reason)


def _execute(step: Step, folder: Path, env: dict[str, str], live: bool) -> tuple[int, str]:
    """Run the step's shell text in a process group of its own; return its status and output."""
    lines: list[str] = []
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", f'trap "times >$RESULTS/times" EXIT\n{step.run}'],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    _running[step.name] = process
    timer = threading.Timer(step.timeout, _end, [process])
    timer.start()
    with process, (LOGS / f"{step.name}.log").open("w") as log:
        for line in t.cast(t.IO[str], process.stdout):
            lines.append(line)
            log.write(line)
            if live:
                print(line, end="", flush=True)
    timer.cancel()
    del _running[step.name]
    output = "".join(lines)
    if not live:
        with _print_lock:
            print(f"\n==== {step.name}: {step.run}\n{output}", end="", flush=True)
    return process.returncode, output


def _cpu_seconds(file: Path) -> float:
    """The sum of what bash's ``times`` says of itself and of its children; 0 where it was ended before it could."""
    said = file.read_text() if file.exists() else ""
    return sum(60 * int(minutes) + float(seconds) for minutes, seconds in re.findall(r"(\d+)m([\d.]+)s", said))


def _end(process: subprocess.Popen[str]) -> None:
    """Ask a step's whole process group to end, and insist after a while."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        sent = time.monotonic()
        try:
            os.killpg(process.pid, signum)
            while time.monotonic() < sent + GRACE:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.1)
        except ProcessLookupError:
            return


def count_junit(outcome: Outcome, folder: Path) -> None:
    """Add the test cases of the JUnit files in ``folder``."""
    for file in sorted(folder.glob("*.xml")):
        for case in ElementTree.parse(file).iter("testcase"):
            name = f"{case.get('classname')}::{case.get('name')}"
            outcome.slowest.append((float(case.get("time") or 0), name))
            problems = [*case.iter("failure"), *case.iter("error")]
            if problems:
                outcome.failed += 1
                outcome.failures.append(name)
                outcome.failures += [f"  {line}" for line in _ends(problems[0])]
            elif case.find("skipped") is not None:
                outcome.skipped += 1
            else:
                outcome.passed += 1


def _ends(problem: ElementTree.Element, lines: int = 20) -> list[str]:
    """The first and the last lines of what pytest says of a failure: what a playbook printed is long, its end tells."""
    told = ANSI.sub("", problem.text or "").splitlines()
    reasons = [line[1:].strip() for line in told if line.startswith("E ")]
    said = [line[:200] for line in reasons or problem.get("message", "").splitlines() if line.strip()]
    return said if len(said) <= lines + 1 else [said[0], "[...]", *said[-lines:]]


def count_molecule(outcome: Outcome, output: str) -> None:
    """Add one for each scenario in molecule's recap; ``default`` counts only where it failed."""
    recap = re.compile(r"^(\S+)\s*: actions=\s*\d+ +successful=\s*(\d+).*\bfailed=\s*(\d+)", re.MULTILINE)
    for name, successful, failed in recap.findall(ANSI.sub("", output)):
        if int(failed):
            outcome.failed += 1
            outcome.failures.append(name)
        elif name == "default":
            continue
        elif int(successful):
            outcome.passed += 1
        else:
            outcome.skipped += 1


def run_all(steps: list[Step], cores: float | None = None) -> dict[str, Outcome]:
    """Run the steps, each as soon as there are cores for it; those that have to be ``alone`` come last."""
    capacity = float(cores or os.cpu_count() or 1)
    live = len(steps) == 1
    waiting = sorted(steps, key=lambda step: step.alone)
    running: dict[Future[Outcome], Step] = {}
    outcomes: dict[str, Outcome] = {}
    pool = ThreadPoolExecutor(max_workers=max(len(steps), 1))
    try:
        while waiting or running:
            for step in startable(waiting, list(running.values()), capacity):
                print(f"==== {step.name}: started", flush=True)
                waiting.remove(step)
                running[pool.submit(run_step, step, live)] = step
            done, _others = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                step = running.pop(future)
                outcomes[step.name] = one = future.result()
                print(f"==== {step.name}: {one.word} after {one.seconds:.0f} s", flush=True)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(_running.values()):
            _end(process)
        raise
    finally:
        pool.shutdown()
    return {step.name: outcomes[step.name] for step in steps}


def startable(waiting: list[Step], running: list[Step], capacity: float) -> list[Step]:
    """Those of ``waiting`` for which there is room beside ``running``, in their order; one at least if nothing runs."""
    chosen: list[Step] = []
    for step in waiting:
        beside = [*running, *chosen]
        if any(one.alone for one in beside) or (step.alone and beside):
            continue
        if not beside or sum(one.cores for one in beside) + step.cores <= capacity:
            chosen.append(step)
    return chosen


def summarize(outcomes: dict[str, Outcome]) -> bool:
    """Print the table and the closing line; return whether all is well."""
    print(f"\n{'step':<22}{'result':<9}{'passed':>7}{'failed':>7}{'skipped':>8}{'seconds':>9}{'cpu':>8}")
    for name, one in outcomes.items():
        note = one.problem or one.skip_reason
        counts = f"{one.passed:>7}{one.failed:>7}{one.skipped:>8}{one.seconds:>9.1f}{one.cpu:>8.0f}"
        print(f"{name:<22}{one.word:<9}{counts}{'  ' + note if note else ''}")
        for line in one.failures[:100]:
            print(f"{'':<22}{line}")
    _print_slowest(outcomes)
    passed = sum(one.passed for one in outcomes.values())
    failed = sum(one.failed for one in outcomes.values())
    skipped = sum(one.skipped for one in outcomes.values())
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return failed == 0 and passed > 0


def _print_slowest(outcomes: dict[str, Outcome], tests: int = 20) -> None:
    """The tests that took the longest, of all steps."""
    timed = [(seconds, step, name) for step, one in outcomes.items() for seconds, name in one.slowest]
    if timed:
        print("\nslowest tests")
    for seconds, step, name in sorted(timed, reverse=True)[:tests]:
        print(f"{seconds:>9.1f} s  {step}: {name}")


def is_asked_for(step: Step, arguments: t.Collection[str]) -> bool:
    return (
        ("all" in arguments and step.tests)
        or ("quick" in arguments and step.quick)
        or bool({step.family, step.name} & {*arguments})
    )


def main(arguments: list[str]) -> int:
    """Run what is asked for; return the exit status."""
    steps = load_steps()
    families = {step.family for step in steps}
    unknown = set(arguments) - families - {"all", "quick"} - {step.name for step in steps}
    if unknown or not arguments:
        print(
            f"usage: run_steps.py all | quick | FAMILY... | STEP...   families: {' '.join(sorted(families))}",
            file=sys.stderr,
        )
        return 2
    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), lambda *_: sys.exit(143))
    LOGS.mkdir(parents=True, exist_ok=True)
    tree.link()
    chosen = [step for step in steps if is_asked_for(step, arguments)]
    return 0 if summarize(run_all(chosen)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
