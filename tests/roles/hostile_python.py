#!/usr/bin/env python3
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python of a compromised host: whatever module is sent, it answers what the attacker likes.

It is called by links whose names say how: WAY-FORM-TAG. WAY chooses the answer, FORM the template in its strings.
"""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

ME = Path(sys.argv[0])
WAY, FORM = ME.name.split("-")[:2]
MODULE = Path(sys.argv[-1]).name.replace("AnsiballZ_", "").replace(".py", "")
TUNNEL = "11111111-3c1d-4f5f-9c36-2f1f4a7d0c11"
GENESIS = "0x" + "a" * 64


def evil(tag: str) -> str:
    """A template that proves, by a file, that the controller has executed it."""
    call = f"lookup('ansible.builtin.pipe', 'touch {ME.parent}/proof-{ME.name}-{MODULE}-{tag}')"
    if FORM == "header":
        return f"#jinja2:variable_start_string:'[[',variable_end_string:']]'\n[[ {call} ]]"
    if FORM == "line":  # ansible-core reads the header of a single line, too
        return f"#jinja2:variable_start_string:'[[',variable_end_string:']]',x:[[ {call} ]]'"
    return f"evil {{{{ {call} }}}} {{% if {call} %}}{{% endif %}}"


def poisoned(value: t.Any, keep: t.Container[str], tag: str = "") -> t.Any:
    """``value`` with evil in every string but those under the keys ``keep``, which choose what the roles do."""
    if isinstance(value, dict):
        return {key: item if key in keep else poisoned(item, keep, f"{tag}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, keep, f"{tag}.{number}") for number, item in enumerate(value)]
    return evil(tag.strip(".")) if isinstance(value, str) else value


CAUSE = {
    "id": "config_parse_error",
    "class": "hard",
    "category": "x",
    "summary": "x",
    "next_step": "x",
    "evidence": ["x"],
}
DETAILS = {
    "besu": {
        "genesis": GENESIS,
        "address": "0x1",
        "validator": False,
        "head": 5,
        "lag": 1,
        "chain_id": 1,
        "stall": {"why": "x", "advice": "x", "missing": ["x"], "rounds": {"x": 1}, "round": 1, "natural": 2},
    },
    "cloudflared": {"tunnel_id": TUNNEL, "tunnel_name": "x", "connector_id": "x", "connections": 0},
}


def observation(name: str, kind: str, state: str) -> dict[str, t.Any]:
    return {
        "name": name,
        "unit": f"{name}.service",
        "kind": kind,
        "state": state,
        "scope": "system",
        "cause": "x",
        "age": 90.0,
        "since": 1.0,
        "reasons": ["x", "x"],
        "health": "x",
        "hold": None,
        "unit_facts": {"active_state": "failed", "sub_state": "x", "invocation_id": "x", "status_text": "x"},
        "attempts": {"used": 0, "allowed": 3, "window": 1.0, "next_in": 0.0},
        "diagnosis": {"causes": [CAUSE], "notes": ["x"], "evidence": ["x"]},
        **({kind: DETAILS[kind]} if kind in DETAILS else {}),
    }


def driven(name: str, kind: str, reached: bool) -> dict[str, t.Any]:
    seen = observation(name, kind, "error")
    return {
        "changed": True,
        "reached": reached,
        "failed": not reached,
        "msg": "x",
        "state": "running",
        "before": seen,
        "after": observation(name, kind, "running" if reached else "error"),
        "transitions": [{"from": "x", "to": "x", "trigger": "x", "action": "x", "applied": True}],
        "blocked_by": [] if reached else [{"guard": "x", "reason": "x", "hint": "x"}],
        "diagnosis": seen["diagnosis"],
        "diff": {"before": {"state": "x"}, "after": {"state": "x"}},
        "progress": {"imported": 1},
        "duration": 1.0,
        "handover": None,
        "chain": "x",
        "warnings": ["x"],
        "deprecations": [{"msg": "x", "version": "x"}],
    }


SERVICES = (("svc", "generic"), ("besu", "besu"), ("cloudflared", "cloudflared"))
KEPT = {"name", "kind", "state", "scope", "id", "active_state", "genesis", "tunnel_id", "class"}
KINDS = {"service": SERVICES[0], "besu_node": SERVICES[1], "cloudflared_tunnel": SERVICES[2]}


def answer() -> dict[str, t.Any]:
    if WAY == "failed":
        return {"failed": True, "msg": evil("msg"), "exception": evil("exception"), "changed": False}
    if WAY == "steers":
        facts = {"lifecycle_services": [{"name": evil("fact")}], "lifecycle_observed": evil("seen"), evil("key"): 1}
        return {
            "services": [observation(*one, "running") for one in SERVICES],
            "reached": True,
            "ansible_facts": facts,
            "ansible_stats": {"data": {"stolen": evil("stats")}, "per_host": False, "aggregate": False},
            "add_host": {"host_name": evil("host"), "groups": [evil("group")], "host_vars": {"x": evil("var")}},
        }
    if MODULE == "service_info":
        keep = {*KEPT} - ({"state", "id"} if WAY == "all" else set())
        return {"changed": False, "services": [poisoned(observation(*one, "error"), keep) for one in SERVICES]}
    if MODULE in KINDS:
        return t.cast("dict[str, t.Any]", poisoned(driven(*KINDS[MODULE], WAY != "refused"), {"name", "kind"}))
    if MODULE == "service_drive_all":
        result = {**driven("svc", "generic", WAY != "refused"), "begun": True}
        return t.cast("dict[str, t.Any]", poisoned({"changed": True, "results": [result]}, {"name", "kind"}))
    if MODULE == "besu_network_info":
        network = {"genesis": GENESIS, "validators": ["x"], "nodes": ["x"], "forks": [], "quorum": 1, "stalled": True}
        found = {"networks": [network], "nodes": [{"name": "x", "url": "x", "address": "x", "error": "x", "head": 1}]}
        return t.cast("dict[str, t.Any]", poisoned(found, {"genesis"}))
    return {
        "changed": True,
        "failed": WAY == "refused",
        "stdout": evil("out"),
        "stderr": evil("err"),
        "msg": evil("msg"),
    }


def main() -> int:
    """Answer as a module would, or as none would."""
    if WAY == "garbage":
        print(f"garbage {evil('stdout')}")
        print(evil("stderr"), file=sys.stderr)
        return 1
    if MODULE == "stat":
        print(json.dumps({"changed": False, "stat": {"exists": True, "path": evil("path"), "uid": 0, "gid": 0}}))
        return 0
    print(json.dumps(answer()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
