# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host: lets two controllers, or a controller and an operator, go for one unit at the same moment.

races_driver UNIT RACES RACES_WITH_OPERATOR SEED

Prints for each race what both said, how often the unit was started and what
became of systemd's jobs, as PID 1 tells it on its private D-Bus socket.
"""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import typing as t

from engine_on_host import Child, Fate, engine

Options = dict[str, t.Any]

# systemd lets a unit be started five times in ten seconds, and a race takes less than one.
_UP = 'systemctl reset-failed "$1" 2>/dev/null || true; systemctl start "$1"'
_FAIL = f'{_UP}; systemctl kill --signal=KILL "$1"; until systemctl is-failed -q "$1"; do :; done'
_DOWN = 'systemctl stop "$1"; systemctl reset-failed "$1" 2>/dev/null || true'
# What is done before, and what each of the two is asked for.
CONTROLLERS = (
    (_DOWN, {"state": "running"}, {"state": "running"}),
    (_UP, {"state": "restarted"}, {"state": "restarted"}),
    (_UP, {"state": "stopped"}, {"state": "restarted"}),
    (_FAIL, {"state": "running", "recovery": "reset_start"}, {"state": "running", "recovery": "restart"}),
)
OPERATOR = (
    (_UP, {"state": "restarted"}, "stop"),
    (_UP, {"state": "restarted"}, "restart"),
    (_UP, {"state": "stopped"}, "restart"),
    (_DOWN, {"state": "running"}, "stop"),
    (_DOWN, {"state": "running"}, "restart"),
)


class Jobs(threading.Thread):
    """Writes down what becomes of each job: (when, unit, result). PID 1 tells every private connection."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended: list[tuple[float, str, str]] = []
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect("/run/systemd/private")
        connection.sendall(b"\0AUTH EXTERNAL " + b"0".hex().encode() + b"\r\nBEGIN\r\n")
        self._stream = connection.makefile("rb")
        if not self._stream.readline().startswith(b"OK "):
            raise OSError("PID 1 did not accept us")

    def run(self) -> None:
        while True:  # the messages of the D-Bus specification: a fixed head, fields, padding, a body
            head = self._stream.read(16)
            if len(head) < 16:
                return
            length, _serial, fields_length = struct.unpack("<4xIII", head)
            fields = self._stream.read(fields_length + -(16 + fields_length) % 8)
            body = self._stream.read(length)
            if b"JobRemoved" in fields:
                self.ended.append((time.monotonic(), *_unit_and_result(body)))


def _unit_and_result(body: bytes) -> tuple[str, str]:
    """The last two strings of a uoss."""
    at, words = 4, []
    for _word in range(3):
        at += -at % 4
        size = struct.unpack_from("<I", body, at)[0]
        words.append(body[at + 4 : at + 4 + size].decode())
        at += 4 + size + 1
    return words[1], words[2]


def shell(script: str, unit: str) -> None:
    subprocess.run(["sh", "-euc", script, "sh", unit], check=True, capture_output=True, timeout=60)


def starts_of(unit: str) -> int:
    try:
        with open(f"/var/lib/faultd/{unit}.events", encoding="ascii") as stream:
            return sum(line.split()[2] == "start" for line in stream)
    except FileNotFoundError:
        return 0


class Race:
    """Two that begin at the same moment: whoever is ready waits until the gate opens."""

    def __init__(self, unit: str, jobs: Jobs) -> None:
        self._unit = unit
        self._jobs = jobs
        self._gate, self._opener = os.pipe()
        self._ready, self._tell = os.pipe()
        self._children: list[Child] = []

    def controller(self, owner: str, options: Options, delay: float = 0.0) -> None:
        self._children.append(Child(lambda: self._drive(owner, options, delay)))

    def operator(self, verb: str, delay: float = 0.0) -> None:
        self._children.append(Child(lambda: self._operate(verb, delay)))

    def run(self) -> dict[str, t.Any]:
        """Let them go; what came of it."""
        before, ended_before = starts_of(self._unit), len(self._jobs.ended)
        for _child in self._children:
            os.read(self._ready, 1)
        for end in (self._opener, self._gate, self._ready, self._tell):
            os.close(end)
        ends = [child.wait()[1] for child in self._children]
        time.sleep(0.05)  # for the last signal on the bus
        shown = subprocess.run(["systemctl", "is-active", self._unit], capture_output=True, check=False).stdout
        return {
            "ends": ends,
            "starts": starts_of(self._unit) - before,
            "jobs": [result for _when, unit, result in self._jobs.ended[ended_before:] if self._unit in unit],
            "shown": shown.decode().strip(),
        }

    def _wait(self, delay: float) -> float:
        os.close(self._opener)
        os.write(self._tell, b"x")
        os.read(self._gate, 1)
        time.sleep(delay)
        return time.monotonic()

    def _drive(self, owner: str, options: Options, delay: float) -> dict[str, t.Any]:
        fate = Fate()
        common = {"name": self._unit, "owner": owner, "attempt_backoff": 0.0, "max_attempts": 999, "wait_timeout": 15.0}
        made = engine({**common, **options}, fate)
        began = self._wait(delay)
        result = made.run().as_dict()
        acted = [moment for moment in fate.moments if moment.startswith("before systemctl")]
        told = {key: result.get(key) for key in ("reached", "changed", "state", "blocked_by", "msg")}
        return {**told, "owner": owner, "target": options["state"], "acted": acted, "span": [began, time.monotonic()]}

    def _operate(self, verb: str, delay: float) -> dict[str, t.Any]:
        began = self._wait(delay)
        done = subprocess.run(["systemctl", verb, self._unit], capture_output=True, text=True, check=False)
        return {"verb": verb, "rc": done.returncode, "said": done.stderr, "span": [began, time.monotonic()]}


def main() -> None:
    unit, races, with_operator = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(int(sys.argv[4]))
    os.makedirs("/etc/faultd", exist_ok=True)
    with open(f"/etc/faultd/{unit}.json", "w", encoding="ascii") as stream:
        json.dump({"before": 0.15}, stream)  # a start takes its time, so that the other one meets it
    jobs = Jobs()
    jobs.start()
    rows: dict[str, list[t.Any]] = {"controllers": [], "operator": []}
    for number in range(races):
        prepare, first, second = CONTROLLERS[number % len(CONTROLLERS)]
        shell(prepare, unit)
        race = Race(unit, jobs)
        race.controller("alice", first)
        race.controller("bob", second)
        rows["controllers"].append(race.run())
    for number in range(with_operator):
        prepare, options, verb = OPERATOR[number % len(OPERATOR)]
        shell(prepare, unit)
        race = Race(unit, jobs)
        race.controller("alice", options, chance.uniform(0, 0.1))
        race.operator(verb, chance.uniform(0, 0.3))
        rows["operator"].append(race.run())
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
