# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host: runs what the module cloudflared_tunnel runs, with its defaults; prints the result as JSON.

The argument is a JSON object of options; ``look`` instead of a state only observes, and with ``history`` tells of the
past; ``check`` is check mode.
"""

from __future__ import annotations

import json
import sys
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.kind import KIND
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.options import CONNECTOR_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.drive_connector import ConnectorRun
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.explain import explain
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info_details import requested_details
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.options import DRIVE_OPTIONS, WATCH_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.whole_host import whole_host
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError

DEFAULTS: dict[str, t.Any] = {
    **{name: spec.get("default") for name, spec in {**WATCH_OPTIONS, **DRIVE_OPTIONS, **CONNECTOR_OPTIONS}.items()},
    "name": "cloudflared",
    "own_tunnel_action": "hand_over",
    "probes": [],
    "attempt_backoff": 0.1,
    "max_attempts": 100,
}


def main() -> None:
    options = json.loads(sys.argv[1])
    check, window = options.pop("check", False), options.pop("history", "never")
    params = {**DEFAULTS, **options}
    try:
        if params["state"] == "look":
            host = whole_host("system")
            watched = host.watched(params, KIND.make)
            seen = host.observer.observe_settled([watched])[0]
            details = requested_details({"history": window, "diagnose": "never"})
            why = {"diagnosis": explain(host, watched, seen).as_dict()}
            result = {**seen.as_dict(), **why, **details(host, watched, seen)}
        else:
            outcome, handed = ConnectorRun(params, check).run_and_schedule_restart()
            result = {**outcome.as_dict(), "failed": outcome.failed, "handover": handed.as_dict() if handed else None}
    except LifecycleError as exc:
        result = {"failed": True, "msg": exc.msg, **exc.details}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
