# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host: syncs its node anew and waits for it with the engine; prints how long after it was level that returned.

Arguments: the URL of a node that has the chain, and how many times. A loop that asks every five seconds does the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import typing as t
import urllib.request

sys.path.insert(0, "/opt/bench")

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.kind import KIND
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.options import NODE_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry import options as _args
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive import ServiceRun

OWN, OTHER = "http://127.0.0.1:8545", sys.argv[1]
BODY = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}).encode()
TOLERANCE = 2
RUNBOOK = 5.0


def height(url: str) -> int:
    try:
        request = urllib.request.Request(url, BODY, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=2) as response:
            return int(json.load(response)["result"], 16)
    except OSError:
        return -1


def level() -> bool:
    """Not at block 0, where there is nothing to be level with yet."""
    own = height(OWN)
    return own > 0 and height(OTHER) - own <= TOLERANCE


def watch(pause: float, seen: list[float]) -> None:
    while not level():
        time.sleep(pause)
    seen.append(time.monotonic())


def params() -> dict[str, t.Any]:
    specs = {**_args.WATCH_OPTIONS, **_args.DRIVE_OPTIONS, **NODE_OPTIONS}
    given = {"name": "besu", "state": "synced", "reference_urls": [OTHER], "wait_timeout": 120.0}
    return {**{name: spec.get("default") for name, spec in specs.items()}, **given}


def one_sync() -> dict[str, float]:
    script = "systemctl stop besu; systemctl reset-failed besu; rm -rf /var/lib/besu/*; systemctl start besu"
    subprocess.run(["sh", "-c", script], check=False, capture_output=True)
    exact: list[float] = []
    runbook: list[float] = []
    threads = [threading.Thread(target=watch, args=pair) for pair in ((0.02, exact), (RUNBOOK, runbook))]
    for thread in threads:
        thread.start()
    drive = ServiceRun(params(), KIND.make, False)
    kind: t.Any = drive.watched.kind
    reader, looks = kind._read, []

    def look(before: t.Any) -> t.Any:
        looks.append(1)
        return reader(before)

    kind._read = look
    began = time.monotonic()
    outcome = drive.run()
    returned = time.monotonic()
    for thread in threads:
        thread.join()
    if outcome.failed:
        sys.exit(outcome.msg)
    return {
        "engine": returned - exact[0],
        "runbook": runbook[0] - exact[0],
        "waited": returned - began,
        "looks": len(looks),
        "requests": reader.requests,
    }


print(json.dumps([one_sync() for _time in range(int(sys.argv[2]))]))
