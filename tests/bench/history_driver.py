# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host: observes a unit with 24 hours of history, as service_info does, in turns with journalctl and grep.

Prints the seconds of each time as JSON.
"""

import json
import subprocess
import sys
import time

sys.path.insert(0, "/opt/bench")

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry import options
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info import service_row
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info_details import requested_details
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.whole_host import whole_host
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import plain

unit, times = sys.argv[1], int(sys.argv[2])
params = {name: spec.get("default") for name, spec in {**options.WATCH_OPTIONS, **options.DRIVE_OPTIONS}.items()}
params = {**params, "name": unit, "kind": "generic"}
details = requested_details({"history": "24h", "diagnose": "never"})


def observe() -> None:
    host = whole_host("system")
    watched = host.watched(params, plain)
    (seen,) = host.observer.observe_settled([watched])
    row = {**service_row(host, watched, seen, params), **details(host, watched, seen)}
    if not row["history"]["transitions"]:
        sys.exit(f"no history: {row['history']['coverage']}")


def grep() -> None:
    command = f"journalctl -u {unit} --since -24h --no-pager | grep -ci error"
    subprocess.run(command, shell=True, check=False, stdout=subprocess.DEVNULL)


found: dict[str, list[float]] = {"observe": [], "grep": []}
for _time in range(times):
    for name, act in (("observe", observe), ("grep", grep)):
        began = time.monotonic()
        act()
        found[name].append(time.monotonic() - began)
print(json.dumps(found))
