# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet of any size returned for a report: for the tests of the page, and for its figures. No randomness."""

from __future__ import annotations

import typing as t

NOW = 1_780_000_000.0
DAY = 86400.0
SERVICES = ("api", "worker", "cache", "queue", "search")

Story = t.Sequence[tuple[float, str, str, str | None, str]]


def history(story: Story, *, first: str | None = "running", attempts: t.Sequence[t.Any] = (), **more: t.Any) -> t.Any:
    """A history of the last day. ``story``: hours since its beginning, state, trigger, cause, owner."""
    begin, before, changes = NOW - DAY, first or "unknown", []
    seconds: dict[str, float] = {}
    errors: dict[str, int] = {}
    last = 0.0
    for hours, state, trigger, cause, owner in story:
        seconds[before] = seconds.get(before, 0.0) + (hours - last) * 3600
        if state == "error" or (state == "restarting" and cause):
            errors[cause or "unknown"] = errors.get(cause or "unknown", 0) + 1
        changes.append(
            {
                "at": begin + hours * 3600,
                "from": before,
                "to": state,
                "trigger": trigger,
                "cause": cause,
                "owner": owner,
            }
        )
        before, last = state, hours
    seconds[before] = seconds.get(before, 0.0) + (24 - last) * 3600
    return {
        "begin": begin,
        "end": NOW,
        "first_state": first,
        "transitions": changes,
        "seconds": seconds,
        "changes": len(changes),
        "errors": errors,
        "longest_error": seconds.get("error", 0.0),
        "attempts": [
            {
                "at": begin + hours * 3600,
                "action": action,
                "owner": "ann",
                "from": "error",
                "cause": cause,
                "outcome": outcome,
            }
            for hours, action, cause, outcome in attempts
        ],
        "coverage": {"complete": True, "gaps": [], "boots": 1, "clock_steps": 0, "notes": [], **more},
    }


def observation(name: str, state: str, past: t.Any, **more: t.Any) -> dict[str, t.Any]:
    last = past["transitions"][-1]["at"] if past and past["transitions"] else NOW - 9 * DAY
    return {
        "name": name,
        "unit": f"{name}.service",
        "kind": "generic",
        "state": state,
        "base_state": state,
        "since": last,
        "age": NOW - last,
        "reasons": [f"ActiveState={state}"],
        "cause": None,
        "flags": [],
        "hold": None,
        "attempts": {"used": 0, "allowed": 3, "window": 3600.0, "next_in": 0.0},
        "history": past,
        **more,
    }


def failed(name: str, cause: str, summary: str, next_step: str, evidence: str, past: t.Any, **more: t.Any) -> t.Any:
    told = {
        "id": cause,
        "class": "hard",
        "category": "x",
        "summary": summary,
        "evidence": [evidence],
        "next_step": next_step,
    }
    return observation(
        name, "error", past, cause="exit_code", diagnosis={"causes": [told], "lines": [evidence]}, **more
    )


def small_fleet() -> tuple[dict[str, t.Any], dict[str, t.Any], dict[str, t.Any]]:
    """A fleet with one of everything: what service_info returned, the descriptions, and the look at its chain."""
    healthy = history([])
    crashed = history(
        [
            (9.2, "error", "service", "signal", ""),
            (9.6, "starting", "collection", None, "ann"),
            (9.61, "running", "service", None, ""),
        ],
        attempts=[(9.6, "restart", "killed", "verified")],
    )
    loop = [
        (11.0 + i / 120, "restarting" if i % 2 == 0 else "running", "service", "exit_code" if i % 2 == 0 else None, "")
        for i in range(160)
    ]
    looping = history(
        [
            *loop,
            (12.5, "error", "service", "start_limit", ""),
            (13.0, "starting", "collection", None, "ann"),
            (13.02, "error", "service", "exit_code", ""),
        ],
        attempts=[(13.0, "reset", "exit_code", "failed")],
    )
    gap = history(
        [],
        first=None,
        complete=False,
        gaps=[{"begin": NOW - DAY, "end": NOW - DAY / 2, "reason": "the journal does not reach back so far"}],
    )
    gap["transitions"] = [
        {"at": NOW - DAY / 2, "from": "unknown", "to": "running", "trigger": "operator", "cause": None, "owner": None}
    ]
    stopped = history(
        [
            (5.0, "stopping", "operator", None, ""),
            (5.02, "stopped", "service", None, ""),
            (7.5, "starting", "operator", None, ""),
            (7.53, "running", "service", None, ""),
        ]
    )
    held = history([(18.0, "stopping", "operator", None, ""), (18.01, "stopped", "operator", None, "")])
    besu = {
        "head": 184_223,
        "lag": 0,
        "peers": 3,
        "chain_id": 1337,
        "validator": True,
        "version": "besu/v26.8.0",
        "address": "0x" + "a1" * 20,
    }
    connector = {
        "connections": 4,
        "expected_connections": 4,
        "connector_id": "c0ffee",
        "tunnel_name": "shop",
        "tunnel_id": "11111111-2222-3333-4444-555555555555",
    }
    seen: dict[str, t.Any] = {
        "web1": {"services": [observation("api", "running", crashed), observation("cache", "running", healthy)]},
        "web2": {
            "services": [
                failed(
                    "api",
                    "address_in_use",
                    "an address that it wants to listen on is in use",
                    "stop what holds the port (ss -ltnp), or give one of the two another port",
                    "OSError: [Errno 98] Address already in use",
                    history([(21.0, "error", "service", "exit_code", "")]),
                    alerts=[
                        {
                            "id": "in_error",
                            "severity": "critical",
                            "summary": "it has been in error for more than 5 minutes",
                            "next_step": "ansible-playbook chainops.lifecycle.recover",
                            "since": NOW - 2.9 * 3600,
                        }
                    ],
                ),
                observation("cache", "running", stopped),
            ]
        },
        "web3": {
            "services": [
                failed(
                    "api",
                    "license_expired",
                    "the license of the program has expired",
                    "renew the license, then start it",
                    "license expired",
                    looping,
                ),
                observation(
                    "cache",
                    "stopped",
                    held,
                    hold={
                        "scope": "service",
                        "owner": "ben",
                        "reason": "disk is being replaced",
                        "since": NOW - 6 * 3600,
                        "expires": NOW + 3600,
                    },
                ),
            ]
        },
        "db1": {
            "services": [
                observation("postgres", "running", gap),
                observation(
                    "backup",
                    "stopped",
                    history(
                        [(1.0, "starting", "service", None, ""), (1.4, "stopped", "service", None, "")], first="stopped"
                    ),
                ),
            ]
        },
        "node1": {
            "services": [
                observation("besu", "consensus", healthy, kind="besu", base_state="running", besu=besu),
                observation(
                    "tunnel", "running", crashed, kind="cloudflared", base_state="running", cloudflared=connector
                ),
            ]
        },
        "node2": {
            "services": [
                observation(
                    "besu",
                    "syncing",
                    healthy,
                    kind="besu",
                    base_state="running",
                    besu={**besu, "lag": 412, "address": "0x" + "b2" * 20},
                ),
                observation(
                    "tunnel",
                    "error",
                    history([(23.5, "error", "service", "signal", "")]),
                    kind="cloudflared",
                    base_state="error",
                    cause="suspended",
                    cloudflared={**connector, "connections": 0},
                ),
            ]
        },
        "lost": {
            "unreachable": True,
            "msg": "Failed to connect to the host via ssh: connect to host lost port 22: No route to host",
        },
    }
    described: dict[str, t.Any] = {
        "web1": ["api", "cache"],
        "web2": ["api", "cache"],
        "web3": ["api", "cache"],
        "db1": ["postgres", {"name": "backup", "state": "stopped"}],
        "node1": [{"name": "besu", "kind": "besu"}, {"name": "tunnel", "kind": "cloudflared"}],
        "node2": [{"name": "besu", "kind": "besu"}, {"name": "tunnel", "kind": "cloudflared"}],
        "lost": ["api", "cache"],
    }
    look: dict[str, t.Any] = {
        "nodes": [
            {"name": "node1", "state": "consensus", "head": 184_223, "lag": 0, "peers": 3, "version": "besu/v26.8.0", "validator": True},
            {"name": "node2", "state": "syncing", "head": 183_811, "lag": 412, "peers": 2, "version": "besu/v26.8.0", "validator": True},
        ],
        "networks": [
            {
                "genesis": "0x" + "9" * 64, "chain_id": 1337, "nodes": ["node1", "node2"], "head": 184_223, "head_age": 1.6, "advances": True,
                "stalled": False, "validators": ["0x" + c * 40 for c in "abcd"], "quorum": 3,
                "taking_part": [{"address": "0x" + c * 40, "node": "n"} for c in "abc"],
                "missing": [{"address": "0x" + "d" * 40, "node": "node2", "why": "it syncs"}], "may_stop": 0, "which": [],
                "arithmetic": "3 of 4 validators active, quorum 3: none may be stopped", "reason": "the quorum would be lost",
            }
        ],
        "unobserved": [],
    }  # fmt: skip
    return seen, described, look


def big_fleet(services: int) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """A fleet with this many services, five on each host, with about six transitions each."""
    seen: dict[str, t.Any] = {}
    described: dict[str, t.Any] = {}
    for number in range(services // len(SERVICES)):
        host, rows = f"host{number:03}.example.net", []
        for place, name in enumerate(SERVICES):
            seed = number * len(SERVICES) + place
            story = []
            for turn in range(seed % 4):
                at = 2.0 + (seed * 7 + turn * 131) % 60 / 10 + turn * 6
                story += [
                    (at, "error", "service", ("exit_code", "signal", "out_of_memory")[seed % 3], ""),
                    (at + 0.3, "starting", "collection", None, "ann"),
                    (at + 0.32, "running", "service", None, ""),
                ]
            past = history(story, attempts=[(story[1][0], "restart", "exit_code", "verified")] if story else ())
            if seed % 37 == 0:
                past = history([*story, (23.0, "error", "service", "exit_code", "")])
                rows.append(
                    failed(name, "address_in_use", "an address is in use", "stop what holds the port", "OSError", past)
                )
            else:
                rows.append(observation(name, "running", past))
        seen[host], described[host] = {"services": rows}, list(SERVICES)
    return seen, described


HOSTILE = (
    "</title></script><script>alert(1)</script><img src=x onerror=alert(1)> \"'><svg onload=alert(1)> "
    "\x1b[31mred\x1b[0m \u202egnp.exe\u202c {{ 7 * 7 }} javascript:alert(1)"
)


def hostile_fleet() -> tuple[dict[str, t.Any], dict[str, t.Any], dict[str, t.Any]]:
    """A fleet whose every text is markup, control characters, or a megabyte."""
    bad = {
        **failed(
            HOSTILE,
            HOSTILE,
            HOSTILE,
            HOSTILE,
            HOSTILE + "x" * 1_000_000,
            history([(9.0, "error", "service", "signal", "")]),
        ),
        "state": HOSTILE,
        "kind": HOSTILE,
        "reasons": [HOSTILE],
        "flags": [HOSTILE],
    }
    bad["hold"] = {"owner": HOSTILE, "reason": HOSTILE, "since": NOW, "expires": None}
    bad["alerts"] = [dict.fromkeys(("id", "severity", "summary", "next_step", "runbook"), HOSTILE)]
    past = bad["history"]
    past["transitions"] += [
        {"at": NOW - 5, "from": HOSTILE, "to": HOSTILE, "trigger": HOSTILE, "cause": HOSTILE, "owner": HOSTILE}
    ]
    past["attempts"] = [{"at": NOW - 5, **dict.fromkeys(("action", "owner", "from", "cause", "outcome"), HOSTILE)}]
    past["errors"] = {HOSTILE: 3}
    past["coverage"].update(notes=[HOSTILE], gaps=[{"begin": NOW - 100, "end": NOW - 50, "reason": HOSTILE}])
    tunnel = observation(
        HOSTILE,
        "error",
        None,
        kind="cloudflared",
        cloudflared={"tunnel_name": HOSTILE, "tunnel_id": HOSTILE, "connections": 1, "connector_id": HOSTILE},
    )
    node = {"name": HOSTILE, "state": HOSTILE, "version": HOSTILE, "head": 1}
    network = {
        "nodes": [HOSTILE],
        "arithmetic": HOSTILE,
        "reason": HOSTILE,
        "validators": [HOSTILE],
        "missing": [{"address": HOSTILE, "why": HOSTILE}],
        "genesis": HOSTILE,
    }
    return (
        {HOSTILE: {"services": [bad, tunnel]}, "gone" + HOSTILE: {"unreachable": True, "msg": HOSTILE}},
        {},
        {"nodes": [node], "networks": [network], "unobserved": [HOSTILE]},
    )
