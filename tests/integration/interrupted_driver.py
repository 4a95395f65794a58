# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host: runs the engine to its end, killed at each of its effects in turn, and then once more undisturbed.

Prints for each case what the second run said and what the host shows after it.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
import signal
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass

from engine_on_host import Fate, engine, in_child

# MESSAGE_ID of systemd (sd-messages.h): "Starting", "Started". Type=simple has the second only.
STARTS = ("7d4958e842da4a758f6c1cdc7b36dcc5", "39f53479d3a045ac8e11786248231fbf")
RECORDS = "/var/lib/chainops-lifecycle"
RUN = "/run/chainops-lifecycle"
COMMON = {"state": "running", "attempt_backoff": 0.1, "max_attempts": 3, "wait_timeout": 20.0, "stable_for": 0.0}


@dataclass(frozen=True)
class Scenario:
    """How the unit is brought where the run begins, what is asked of the engine there, and how many starts may come."""

    name: str
    unit: str
    prepare: str
    starts: int
    options: dict[str, t.Any]


_FAILED = 'systemctl start "$1"; systemctl kill --signal=KILL "$1"; until systemctl is-failed -q "$1"; do :; done'
_LOOP = """
echo '{"start_exit": 1}' >/etc/faultd/fault-always.json
systemctl start "$1"
until [ "$(systemctl show -P NRestarts "$1")" -ge 2 ]; do sleep 0.05; done
"""
_UP = 'systemctl start "$1"'
_FORCE = {"state": "stopped", "force_stop": True, "stop_timeout": 0.1}
SCENARIOS = (
    Scenario("start", "fault-java", "true", 1, {"state": "running"}),
    Scenario("restart", "fault-java", _UP, 2, {"state": "restarted"}),  # each of the two runs is asked for one
    Scenario("stop", "fault-java", _UP, 0, {"state": "stopped"}),
    Scenario("recover", "fault-java", _FAILED, 1, {"state": "running", "recovery": "restart"}),
    Scenario("reset and start", "fault-java", _FAILED, 1, {"state": "running", "recovery": "reset_start"}),
    Scenario("reset", "fault-java", _FAILED, 0, {"state": "reset"}),
    # One of the starts is systemd's own: the loop goes on until it is ended.
    Scenario("end a crash loop", "fault-always", _LOOP, 2, {"recovery": "reset_start", "thrash_restarts": 2}),
    Scenario("stop by force", "fault-stubborn", _UP, 0, _FORCE),
    Scenario("end what is left", "fault-leftover", _UP, 0, _FORCE),
)
_CLEAN = """
rm -f /etc/faultd/*.json
systemctl kill --signal=KILL "$1" 2>/dev/null || true
systemctl stop "$1" 2>/dev/null || true
systemctl reset-failed "$1" 2>/dev/null || true
"""


def shell(script: str, unit: str) -> None:
    subprocess.run(["sh", "-euc", script, "sh", unit], check=True, capture_output=True, timeout=60)


def main() -> None:
    os.makedirs("/etc/faultd", exist_ok=True)
    chosen = [s for s in SCENARIOS if s.name in sys.argv[1:]] or SCENARIOS
    cases = [case for scenario in chosen for case in cases_of(scenario)]
    count_starts(cases)
    print(json.dumps(cases))


def cases_of(scenario: Scenario) -> list[dict[str, t.Any]]:
    cases: list[dict[str, t.Any]] = []
    while not cases or cases[-1]["killed"]:
        cases.append(one_case(scenario, len(cases) + 1))
    return cases


def one_case(scenario: Scenario, deadly: int) -> dict[str, t.Any]:
    unit = f"{scenario.unit}.service"
    shell(_CLEAN, unit)
    for path in files():
        os.unlink(path)
    shell(scenario.prepare, unit)
    shell("rm -f /etc/faultd/*.json", unit)
    subprocess.run(["journalctl", "--sync"], check=True)  # which dates a line by when it came
    began = time.monotonic()
    options = {**COMMON, "name": scenario.unit, **scenario.options}

    def run(doomed: int) -> dict[str, t.Any]:
        fate = Fate(doomed)
        outcome = engine(options, fate).run()
        return {"result": outcome.as_dict(), "moments": fate.moments}

    status, first = in_child(lambda: run(deadly))
    _status, second = in_child(lambda: run(0))
    shown = subprocess.run(
        ["systemctl", "show", "-p", "ActiveState,SubState,InvocationID,Job", unit], capture_output=True, check=True
    ).stdout.decode()
    return {
        "scenario": scenario.name,
        "unit": unit,
        "deadly": deadly,
        "killed": status == -signal.SIGKILL,
        "status": status,
        "moments": first and first["moments"],
        "first": first and first["result"],
        "second": second
        and {k: second["result"][k] for k in ("reached", "changed", "state", "attempts", "blocked_by")},
        "msg": second and second["result"].get("msg"),
        "shown": dict(line.split("=", 1) for line in shown.splitlines()),
        "may_start": scenario.starts,
        "locks": [path for path in glob.glob(f"{RUN}/*.lock") if is_locked(path)],
        "records": read_records(),
        "window": [began, time.monotonic()],
    }


def files() -> list[str]:
    folders = (os.path.join(RECORDS, "attempts"), os.path.join(RECORDS, "holds"))
    return [os.path.join(folder, name) for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)]


def read_records() -> dict[str, t.Any]:
    """Every file that the ledger left: what it holds as JSON, or why it is not JSON."""
    found: dict[str, t.Any] = {}
    for path in files():
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        try:
            found[os.path.basename(path)] = json.loads(text)
        except ValueError as exc:
            found[os.path.basename(path)] = f"not JSON: {exc}: {text!r}"
    return found


def is_locked(path: str) -> bool:
    with open(path, "rb+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def count_starts(cases: list[dict[str, t.Any]]) -> None:
    """Add to each case the invocations that the journal saw begin in its time, from its first run on."""
    argv = ["journalctl", "-b", "-o", "json", "--no-pager", "-q", "_PID=1", *(f"MESSAGE_ID={i}" for i in STARTS)]
    subprocess.run(["journalctl", "--sync"], check=True)
    said = subprocess.run(argv, capture_output=True, check=True).stdout.decode()
    rows = [json.loads(line) for line in said.splitlines()]
    for case in cases:
        first, last = case["window"]
        case["starts"] = sorted(
            {
                row["INVOCATION_ID"]
                for row in rows
                if row.get("UNIT") == case["unit"] and first <= int(row["__MONOTONIC_TIMESTAMP"]) / 1e6 <= last
            }
        )


if __name__ == "__main__":
    main()
