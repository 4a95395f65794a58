# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host: fires random operations at units, and writes down what we say of them beside what systemd says.

accuracy_driver SEED OPERATIONS UNIT...

What we say comes from the code that service_info runs. What systemd says is
read by a reader of its own, which shares nothing with it. Both note the
moments between which they looked; both are printed at the end.
"""

from __future__ import annotations

import glob
import json
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from bus_reader import Bus

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.options import WATCH_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Journal
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import run_command
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.history import Present, build_history
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Limits
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import plain
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import Boot

PAUSE, POLL = 0.1, 0.02
VERBS = {
    "start": ["start", "--no-block"],
    "stop": ["stop", "--no-block"],
    "restart": ["restart", "--no-block"],
    "reset": ["reset-failed"],
    "kill": ["kill", "--signal=SIGKILL"],
    "term": ["kill", "--signal=SIGTERM"],
    "hup": ["kill", "--signal=SIGHUP"],
    "segv": ["kill", "--signal=SIGSEGV"],
    "freeze": ["kill", "--signal=SIGSTOP"],
    "thaw": ["kill", "--signal=SIGCONT"],
    "mask": ["mask", "--runtime"],
    "unmask": ["unmask", "--runtime"],
    "reload": ["daemon-reload"],
}
# systemd answers nobody while it reloads, as it does when it masks: what it did meanwhile cannot be judged.
WEIGHTS = {"start": 8, "restart": 5, "stop": 5, "reset": 3, "thaw": 3, "mask": 0.4, "unmask": 0.4, "reload": 0.3}


def say(units: list[str], over: threading.Event, rows: list[list[object]]) -> None:
    """What we say, again and again."""
    host = HostContext("system")
    options = {name: spec.get("default") for name, spec in WATCH_OPTIONS.items()}
    watched = [host.watched({**options, "name": unit}, plain) for unit in units]
    assert watched[0].limits == Limits()
    while not over.is_set():
        began = time.monotonic()
        seen = host.observer.observe(watched)
        ended = time.monotonic()
        rows.append([began, ended, [[o.state, o.cause] for o in seen]])
        time.sleep(PAUSE)


def poll(units: list[str], told: Connection) -> None:
    """What systemd says, again and again until something comes. First in line for a core: a gap tells nothing."""
    os.setpriority(os.PRIO_PROCESS, 0, -15)
    bus = Bus()
    names = [f"{unit}.service" for unit in units]
    rows: list[list[object]] = []
    while not told.poll(POLL):
        began = time.monotonic()
        found = bus.states(names)
        rows.append([began, time.monotonic(), [[*words, held(unit)] for unit, words in zip(units, found, strict=True)]])
    told.send(rows)


def held(unit: str) -> bool:
    """Whether a process of the unit is stopped by a signal."""
    for path in glob.glob(f"/sys/fs/cgroup/system.slice/{unit}.service") or glob.glob(
        f"/sys/fs/cgroup/system.slice/*/{unit}.service"
    ):
        try:
            with open(f"{path}/cgroup.procs", encoding="ascii") as stream:
                pids = stream.read().split()
            for pid in pids:
                with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
                    if stream.read().rpartition(")")[2].split()[0] == "T":
                        return True
        except OSError:
            continue  # it ended while we looked
    return False


def operate(units: list[str], chance: random.Random, count: int, resets: list[list[object]]) -> dict[str, int]:
    """Fire ``count`` operations; how many of each. ``resets`` gets what systemd does not log: moment and unit."""
    done = dict.fromkeys(VERBS, 0)
    masked: set[str] = set()
    names = list(VERBS)
    weights = [WEIGHTS.get(name, 1) for name in names]
    for _number in range(count):
        verb, unit = chance.choices(names, weights)[0], chance.choice(units)
        if verb == "unmask" and masked:
            unit = chance.choice(sorted(masked))
        (masked.add if verb == "mask" else masked.discard if verb == "unmask" else len)(unit)
        argv = ["systemctl", *VERBS[verb], *([] if verb == "reload" else [f"{unit}.service"])]
        if verb == "reset":
            resets.append([time.monotonic(), unit])
        subprocess.run(argv, capture_output=True, check=False)
        done[verb] += 1
        time.sleep(chance.expovariate(1 / 0.02))
    return done


def decode(units: list[str], began: float, looks: list[list[object]]) -> dict[str, list[list[object]]]:
    """What the journal tells afterwards: for each unit the state at the beginning and each change, by CLOCK_MONOTONIC."""
    journal = Journal(run_command)
    boots = [Boot(*boot) for boot in journal.boots()]
    offset = time.time() - time.monotonic()
    found: dict[str, list[list[object]]] = {}
    for unit in units:
        argv = ["systemctl", "show", "--property=Restart", "--value", unit]
        shown = subprocess.run(argv, capture_output=True, text=True, check=True)
        restarts = shown.stdout.strip() != "no"
        records = journal.history_records(f"{unit}.service")
        last = looks[-1][2][units.index(unit)][0]  # type: ignore[index]
        history = build_history(
            records.entries,
            (),
            begin=began + offset,
            present=Present(str(last), None, time.time()),
            boots=boots,
            restarts=restarts,
            notes=records.notes,
        )
        changes = [[change.at - offset, change.after, change.trigger] for change in history.transitions]
        found[unit] = [[began, history.first, ""], *changes]
    return found


def main() -> None:
    seed, count, units = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    over = threading.Event()
    ours: list[list[object]] = []
    resets: list[list[object]] = []
    ask, told = multiprocessing.Pipe()
    poller = multiprocessing.Process(target=poll, args=(units, told))
    poller.start()
    watcher = threading.Thread(target=say, args=(units, over, ours))
    watcher.start()
    try:
        done = operate(units, random.Random(seed), count, resets)
    finally:
        over.set()
        watcher.join()
        ask.send("over")
        theirs = ask.recv()
        poller.join()
    # journald takes a moment to store what was logged last.
    subprocess.run(["journalctl", "--sync"], check=True)
    told = decode(units, float(ours[0][0]), ours)
    print(
        json.dumps(
            {"units": units, "ours": ours, "theirs": theirs, "operations": done, "history": told, "resets": resets}
        )
    )


if __name__ == "__main__":
    main()
