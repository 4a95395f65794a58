# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios as tables: steps that one play makes on every host, and what each must say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Host
from ansible_collections.chainops.lifecycle.tests.support.lab.faults import install_fault_units

HERE = Path(__file__).parent
WORDS = "/opt/words.sh"
_MODULES = {
    "sh": "ansible.builtin.raw",  # costs the host no Python
    "service": "chainops.lifecycle.service",
    "hold": "chainops.lifecycle.service_hold",
    "info": "chainops.lifecycle.service_info",
}
_DEFAULTS = {"service": {"attempt_backoff": 0, "wait_timeout": 20}, "hold": {}, "info": {}}
# The words that scripts of the tables use.
_SCRIPT = """
export SYSTEMD_PAGER=cat SYSTEMD_COLORS=0  # raw has a terminal
fresh() {
    for unit; do
        thaw "$unit"
        systemctl kill --signal=KILL "$unit" 2>/dev/null || :
        systemctl stop "$unit" 2>/dev/null || :
        systemctl reset-failed "$unit" 2>/dev/null || :
        rm -f "/etc/faultd/$unit.json" "/run/faultd/$unit".* "/var/lib/faultd/$unit.events"
        rm -f "/var/lib/chainops-lifecycle/attempts/$unit.service.json"
    done
}
thaw() { [ "$(systemctl show -P FreezerState "$1")" = running ] || systemctl thaw "$1"; }
becomes() {  # UNIT PROPERTY VALUE
    for _ in $(seq 600); do
        [ "$(systemctl show -P "$2" "$1")" = "$3" ] && return
        sleep 0.05
    done
    echo "$1 has $2=$(systemctl show -P "$2" "$1"), not $3"
    exit 9
}
up() { fresh "$1"; systemctl start "$1"; }
failed() { up "$1"; systemctl kill --signal=KILL "$1"; becomes "$1" ActiveState failed; }
behave() { mkdir -p /etc/faultd; echo "$2" >"/etc/faultd/$1.json"; }  # UNIT SETTINGS
starts() { cat "/var/lib/faultd/$1.events" 2>/dev/null | grep -c ' start$' || :; }
is() { systemctl show -P ActiveState "$1"; }
"""

Result = dict[str, t.Any]
Expected = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Step:
    """One task and what must come of it; see ``differences`` for the keys of ``expected``."""

    module: str
    options: t.Mapping[str, t.Any]
    expected: Expected
    check: bool = False
    user: str = ""


@dataclass(frozen=True)
class Scenario:
    """Steps in their order. ``once``: on one of the hosts only, as systemd has no part in what is tested."""

    name: str
    steps: tuple[Step, ...]
    once: bool = False


def scenario(name: str, *steps: Step, once: bool = False) -> Scenario:
    return Scenario(name, steps, once)


def sh(script: str, stdout: str | None = None) -> Step:
    return Step("sh", {"script": f". {WORDS}; {script}"}, {"stdout": stdout})


def service(name: str, expected: Expected, *, check: bool = False, user: str = "", **options: t.Any) -> Step:
    return Step("service", {**_DEFAULTS["service"], "name": name, **options}, expected, check, user)


def hold(expected: Expected, *, check: bool = False, **options: t.Any) -> Step:
    return Step("hold", options, expected, check)


def done(state: str, **more: t.Any) -> Expected:
    """Something was done, and the target was reached."""
    return {"failed": False, "reached": True, "changed": True, "state": state, "guards": [], **more}


def same(state: str, **more: t.Any) -> Expected:
    """It was so already, or came by itself."""
    return {"failed": False, "reached": True, "changed": False, "state": state, "did": [], **more}


def refused(guard: str, state: str, **more: t.Any) -> Expected:
    """A guard forbade it and nothing was done."""
    return {"failed": True, "reached": False, "changed": False, "state": state, "guard": guard, "did": [], **more}


def planned(*triggers: str, **more: t.Any) -> Expected:
    """Check mode: what would be done."""
    return {"failed": False, "reached": True, "plan": list(triggers), "changed": True, **more}


def equip(host: Host, kinds: t.Iterable[str]) -> None:
    install_fault_units(host, kinds)
    host.push_text(WORDS, _SCRIPT)


def play(fleet: Fleet, scenarios: t.Sequence[Scenario], folder: Path) -> dict[tuple[str, str, int], Result]:
    """Make all steps of all scenarios in one play on the hosts: (suite, scenario, step) -> result."""
    names = list(fleet.hosts)
    tasks, expected = [], 0
    for turn, s in enumerate(scenarios):
        chosen = [names[turn % len(names)]] if s.once else names
        tasks += [_task(s, number, step, chosen) for number, step in enumerate(s.steps)]
        expected += len(s.steps) * len(chosen)
    book = [{"hosts": "all", "gather_facts": False, "strategy": "free", "tasks": tasks}]
    (folder / "play.yml").write_text(json.dumps(book))
    results = folder / "results"
    environment = {
        **os.environ,
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "write_results",
        "LIFECYCLE_RESULTS": str(results),
    }
    argv = ["ansible-playbook", "-i", str(fleet.inventory), str(folder / "play.yml")]
    ended = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    assert results.exists(), ended.stdout + ended.stderr
    found: dict[tuple[str, str, int], Result] = {}
    for line in results.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name, _hash, number = row["task"].rpartition(" #")
        found[fleet[row["host"]].suite, name, int(number)] = row["result"]
    assert len(found) == expected, ended.stdout[-5000:] + ended.stderr
    return found


def _task(of: Scenario, number: int, step: Step, hosts: list[str]) -> dict[str, t.Any]:
    task = {
        "name": f"{of.name} #{number}",
        _MODULES[step.module]: dict(step.options),
        "register": f"step_{number}",
        "ignore_errors": True,
        "timeout": 120,
        "when": f"inventory_hostname in {hosts}",
    }
    if step.module == "sh":
        task |= {_MODULES["sh"]: step.options["script"], "args": {"executable": "/bin/bash"}}
    if step.check:
        task["check_mode"] = True
    if step.user:
        task |= {"become": True, "become_user": step.user}
    return task


def faults_of(of: Scenario, results: t.Mapping[tuple[str, str, int], Result]) -> list[str]:
    """What is not as the scenario has it, on each host where it was played."""
    suites = sorted({suite for suite, name, _number in results if name == of.name})
    return [
        f"{suite}, step {number}: {what} ({results[suite, of.name, number].get('msg')})"
        for suite in suites or ["nowhere"]
        for number, step in enumerate(of.steps)
        for what in differences(step, results[suite, of.name, number])
    ]


def differences(step: Step, result: Result) -> list[str]:
    """Where a result is not what the step expects."""
    found = []
    for key, wanted in step.expected.items():
        if wanted is None:
            continue
        got = _VIEWS[key](result) if key in _VIEWS else result.get(key)
        right = bool(re.search(wanted, got)) if key in ("says", "warned") else got == wanted
        if not right:
            found.append(f"{key}: {got!r} instead of {wanted!r}")
    if step.module == "sh" and result.get("rc") != 0:
        found.append(f"the script ended with {result.get('rc')}: {result.get('stdout')} {result.get('stderr')}")
    return found


def _words(result: Result) -> str:
    blocks = [f"{block['reason']}; {block['hint']}" for block in result.get("blocked_by", [])]
    return " | ".join([str(result.get("msg", "")), *blocks, str(result.get("exception", ""))])


def _invocation(result: Result) -> str:
    old, new = (result[when]["unit_facts"].get("invocation_id", "") for when in ("before", "after"))
    return "same" if old == new else "new"


_VIEWS: dict[str, t.Callable[[Result], t.Any]] = {
    "failed": lambda r: bool(r.get("failed")),
    "stdout": lambda r: r.get("stdout", "").replace("\r", "").strip(),
    "guards": lambda r: [block["guard"] for block in r.get("blocked_by", [])],
    "guard": lambda r: next((block["guard"] for block in r.get("blocked_by", [])), None),
    "says": _words,
    "from": lambda r: r.get("before", {}).get("state"),
    "from_cause": lambda r: r.get("before", {}).get("cause"),
    "cause": lambda r: r.get("after", {}).get("cause"),
    "did": lambda r: [s["action"] for s in r.get("transitions", []) if s["applied"] and s["action"] != "none"],
    "plan": lambda r: [s["trigger"] for s in r.get("transitions", []) if not s["applied"] and s["action"] != "wait"],
    "invocation": _invocation,
    "attempts_used": lambda r: r.get("attempts", {}).get("used"),
    "warned": lambda r: " ".join(r.get("warnings", [])),
    "why": lambda r: next((cause["id"] for cause in (r.get("diagnosis") or {}).get("causes", [])), None),
}
