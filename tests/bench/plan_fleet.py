# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the recovery of a generated fleet of ``argv[1]`` hosts with three services each.

Prints the seconds of processor time of the plan alone, the peak of the process's memory in bytes, and how many hosts are in need.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import typing as t

from ansible_collections.chainops.lifecycle.plugins.filter.filters import FilterModule
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _playbook_vars

CAUSE = {
    "id": "oom", "class": "soft", "summary": "the kernel killed it because memory ran out", "next_step": "give it more",
    "evidence": [f"kernel: Out of memory: Killed process {number} (java)" for number in range(3)],
}  # fmt: skip


def observation(name: str, kind: str, number: int, due: bool, **details: t.Any) -> dict[str, t.Any]:
    """One service as service_info returns it, with about as much text."""
    return {
        "name": name,
        "unit": f"{name}.service",
        "kind": kind,
        "state": "error" if due else "running",
        "base_state": "error" if due else "running",
        "since": 1_700_000_000.5,
        "age": 1234.5,
        "reasons": ["ActiveState=failed SubState=failed Result=signal", "probe http[0]: refused (x3)"],
        "cause": "oom" if due else None,
        "hold": None,
        "flags": [],
        "unit_facts": {
            "active_state": "failed" if due else "active",
            "sub_state": "failed" if due else "running",
            "invocation_id": f"{number:032x}",
            "main_pid": number,
            "n_restarts": 0,
            "fragment_path": f"/etc/systemd/system/{name}.service",
        },
        "diagnosis": {"causes": [CAUSE] if due else [], "lines": [f"line {one} of the journal" for one in range(8)]},
        "history": {"starts": 3, "errors": 1, "transitions": [{"from": "running", "to": "error", "at": 1.5}] * 4},
        "alerts": [],
        kind: details,
    }  # fmt: skip


def fleet(hosts: int) -> tuple[dict[str, t.Any], dict[str, t.Any], dict[str, t.Any]]:
    """What every host returned, its services, and the failure domains: a host in ten has all three in need."""
    seen, described, domains = {}, {}, {}
    for number in range(hosts):
        due = number % 10 == 3
        chain = {"genesis": f"0x{number // 40:064x}", "validator": number % 10 == 3, "address": f"0x{number:040x}"}
        seen[f"host{number:05}"] = {
            "services": [
                observation("api", "generic", number, due),
                observation("besu", "besu", number, due, **chain),
                observation("cloudflared", "cloudflared", number, due, tunnel_id=f"tunnel-{number // 3}"),
            ]
        }
        described[f"host{number:05}"] = [
            "api",
            {"name": "besu", "kind": "besu", "besu": {"rpc_url": "http://127.0.0.1:8545"}},
            {"name": "cloudflared", "kind": "cloudflared"},
        ]
        domains[f"host{number:05}"] = {"rack": [f"rack{number // 40}"], "zone": [f"zone{number % 97}"]}
    return seen, described, domains


def main(hosts: int) -> dict[str, float]:
    seen, described, domains = fleet(hosts)
    filters = FilterModule().filters()
    make, keep = filters["recovery_plan"], filters["plan_document"]
    began = time.process_time()
    plan = make(seen, described, "100%", domains=domains, soak=10.0)
    keep(plan, _playbook_vars.read({}))
    took = time.process_time() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": took, "bytes": memory, "due": len(plan["due"]), "services": len(plan["rows"])}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
