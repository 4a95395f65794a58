# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host: restarts a unit with the engine and prints, for each time, how long after it was active the engine returned."""

import json
import sys

sys.path.insert(0, "/opt/bench")

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry import options as _args
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive import make_request
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.explain import explain
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.whole_host import whole_host
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import run_command
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.actions import HostServices
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.engine import Engine
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import plain

unit, times = sys.argv[1], int(sys.argv[2])
defaults = {name: spec.get("default") for name, spec in {**_args.WATCH_OPTIONS, **_args.DRIVE_OPTIONS}.items()}
params = {**defaults, "name": unit, "state": "restarted", "stable_for": 0.0}
delays = []
for _time in range(times):
    host = whole_host("system")
    watched = host.watched(params, plain)
    tools = HostServices(host.systemd, host.ledger, host.clock, run_command)
    request = make_request(params, "bench", False)
    outcome = Engine(watched, request, host.observer, tools, lambda seen, w=watched, h=host: explain(h, w, seen)).run()
    returned = host.clock.monotonic()
    if outcome.failed:
        sys.exit(outcome.msg)
    delays.append(returned - outcome.after.facts.moment("ActiveEnter"))
print(json.dumps(delays))
