# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role tunnel_reconnect asks of the modules: it runs with modules that only write down their options."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.docs import common

TUNNEL, OLD, NEW = (f"{digit * 8}-3c1d-4f5f-9c36-2f1f4a7d0c11" for digit in "123")
ACCOUNT = "0" * 32
GUIDE = Path(__file__).parents[2] / "docs/docsite/rst/guide_tunnels.rst"
HERE = {
    "ansible_connection": "local",
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    "ansible_become": False,
}
MODULES = (
    "service_info",
    "cloudflared_tunnel",
    "cloudflared_reservation",
    "cloudflare_tunnel_info",
    "cloudflare_tunnel_connector",
    "show_report",
)


def seen(state: str, connector: str, name: str = "cloudflared", tunnel: str = TUNNEL) -> dict[str, t.Any]:
    about = {"tunnel_id": tunnel, "connector_id": connector, "connections": 4, "expected_connections": 4}
    return {"name": name, "kind": "cloudflared", "state": state, "reasons": [], "age": 600.0, "cloudflared": about}


ANSWERS: dict[str, t.Any] = {
    "service_info": {"services": [seen("reconnecting", OLD)]},
    "cloudflared_tunnel": {
        "changed": True,
        "reached": True,
        "before": seen("reconnecting", OLD),
        "after": seen("running", NEW),
    },
    "cloudflare_tunnel_info": {
        "tunnels": [{"id": TUNNEL, "name": "web", "status": "healthy", "healthy_connectors": 1, "ghosts": [OLD]}],
        "lost": [],
        "lost_hosts": [],
    },
    "cloudflare_tunnel_connector": {"changed": True},
    "cloudflared_reservation": {"granted": True, "healthy": ["cloudflared"], "reason": ""},
    "show_report": {},
}


# An answer may have a list for each service: what is said of it at first, next, and from then on.
TURNS = """
found = answers[name]
turns = found.get(options.get("name"))
with open(os.path.join(folder, "asked")) as asked:
    times = sum(json.loads(line).get("name") == options.get("name") for line in asked)
module.exit_json(**(found if turns is None else turns[min(times, len(turns)) - 1]))
"""


class Played(t.NamedTuple):
    """What a run of the role has printed, and asked of the modules."""

    output: str
    asked: list[dict[str, t.Any]]

    def of(self, module: str) -> list[dict[str, t.Any]]:
        return [asked for asked in self.asked if asked["module"] == module]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """The collection with other modules; returns the folder of a playbook."""
    modules = dict.fromkeys(MODULES, common.STUB + TURNS.lstrip("\n"))
    # So that root, too, becomes root by the means that the inventory says.
    config = "[privilege_escalation]\nbecome_allow_same_user = true\n"
    parts = ("roles", "plugins/filter", "plugins/action/service_drive.py")
    return common.replace_modules(tmp_path, modules, *parts, config=config)


def play(
    folder: Path, *options: str, every: t.Mapping[str, t.Any], answers: t.Mapping[str, t.Any], code: int = 0
) -> Played:
    """Run the role on one host; ``every``: variables of the inventory's group ``all``; ``code``: how it has to end."""
    (folder / "answers.json").write_text(json.dumps({**ANSWERS, **answers}))
    (folder / "group_vars").mkdir()
    services = {"lifecycle_services": [{"name": "cloudflared", "kind": "cloudflared"}]}
    (folder / "group_vars/all.yml").write_text(yaml.safe_dump({**services, **every}))
    book = {
        "hosts": "all",
        "gather_facts": False,
        "roles": [{"role": "chainops.lifecycle.tunnel_reconnect", "vars": {"tunnel_reconnect_fail": False}}],
    }
    done = common.play_replaced(folder, book, {"here": HERE}, *options)
    assert done.returncode == code, done.stdout + done.stderr
    return Played(done.stdout, common.asked_of_stubs(folder) if (folder / "asked").exists() else [])


def test_the_edge_is_asked_as_the_user_who_runs_ansible(collection: Path) -> None:
    """An inventory that says ``ansible_become`` for all hosts says it for the controller too, which may have no sudo."""
    every = {
        "ansible_become": True,
        "ansible_become_exe": "/nonexistent/sudo",
        "tunnel_reconnect_account_id": ACCOUNT,
        "tunnel_reconnect_forget_ghosts": True,
        "tunnel_reconnect_api_deadline": 90,
    }
    played = play(collection, every=every, answers={})
    assert [asked["tunnels"] for asked in played.of("cloudflare_tunnel_info")] == [[TUNNEL]] * 2
    assert [asked["connector_id"] for asked in played.of("cloudflare_tunnel_connector")] == [OLD]
    asked = [*played.of("cloudflare_tunnel_info"), *played.of("cloudflare_tunnel_connector")]
    assert [(float(one["timeout"]), float(one["deadline"])) for one in asked] == [(15.0, 90.0)] * 3


def test_after_a_hand_over_the_host_does_the_rest_when_the_way_is_back(collection: Path) -> None:
    """Its connection is about to be cut, and with it whatever else runs through it."""
    names = ("first", "second", "third")
    fell = [seen("reconnecting", OLD, name, name) for name in names]
    back = {"changed": True, "reached": True, "before": fell[0], "after": seen("running", NEW)}
    handed = {**back, "handover": {"outcome": "pending"}}
    verified = {**back, "changed": False, "handover": {"outcome": "verified"}}
    answers = {
        "service_info": {"services": fell},
        "cloudflared_tunnel": {"first": [handed, verified], "second": [back], "third": [back]},
    }
    entry = {"kind": "cloudflared", "expected_state": ["reconnecting"], "diagnose": True}
    every = {"lifecycle_services": [{"name": name, **entry} for name in names], "tunnel_reconnect_back_timeout": 5}
    asked = play(collection, every=every, answers=answers).of("cloudflared_tunnel")
    assert [one["name"] for one in asked] == ["first", "first", "second", "third"]
    assert all(one["expected_state"] == ["reconnecting"] and one["diagnose"] for one in asked)


def test_what_was_left_to_the_host_before_holds_nothing_up(collection: Path) -> None:
    """The result of the loop before this one is not that of an item."""
    fell = [seen("reconnecting", OLD, name, TUNNEL) for name in ("first", "second")]
    back = {"changed": True, "reached": True, "before": fell[0], "after": seen("running", NEW)}
    every = {"lifecycle_services": [{"name": name, "kind": "cloudflared"} for name in ("first", "second")]}
    answers = {"service_info": {"services": fell}, "cloudflared_tunnel": {"first": [back], "second": [back]}}
    asked = play(collection, every=every, answers=answers).of("cloudflared_tunnel")
    assert [one["name"] for one in asked] == ["first", "second"]


def test_an_account_id_that_is_left_as_the_guide_has_it_is_refused_before_anything_is_asked(collection: Path) -> None:
    placeholder = "PUT-YOUR-ACCOUNT-ID-HERE"
    assert f'tunnel_reconnect_account_id: "{placeholder}"' in GUIDE.read_text(encoding="utf-8")
    played = play(collection, every={"tunnel_reconnect_account_id": placeholder}, answers={}, code=2)
    assert f"tunnel_reconnect_account_id: {placeholder} is not the id of an account" in " ".join(played.output.split())
    assert played.asked == []


@pytest.mark.parametrize("number", [0, 12345678901234567890123456789012])
def test_an_account_id_that_yaml_takes_for_a_number_is_refused_with_a_word(collection: Path, number: int) -> None:
    played = play(collection, every={"tunnel_reconnect_account_id": number}, answers={}, code=2)
    said = " ".join(played.output.split())
    assert f"tunnel_reconnect_account_id: {number} is not the id of an account" in said and "in quotes" in said
    assert played.asked == []


def test_what_serves_is_taken_offline_on_a_reservation_only(collection: Path) -> None:
    """Its own host grants and has a replica that stays; the connector has some connections and fewer than it needs."""
    played = play(collection, every={}, answers={})
    asked, released = played.of("cloudflared_reservation")
    (drive,) = played.of("cloudflared_tunnel")
    assert asked["own"] and asked["target"] == "here/cloudflared" and asked["tunnel"] == TUNNEL
    assert drive["reservation"] == asked["owner"] == released["owner"]
    assert asked["owner"].startswith("ansible ") and asked["owner"].endswith(" for here/cloudflared")
    assert released["state"] == "absent"


def test_without_a_grant_the_module_is_told_that_nobody_has_one(collection: Path) -> None:
    refusal = {"guard": "reservation", "reason": "no grant", "hint": "x"}
    answers = {
        "cloudflared_reservation": {"granted": True, "observed": True, "healthy": [], "reason": ""},
        "cloudflared_tunnel": {"reached": False, "changed": False, "msg": "not done", "blocked_by": [refusal]},
    }
    played = play(collection, every={}, answers=answers)
    assert [(one["reservation"], one["healthy_replicas"]) for one in played.of("cloudflared_tunnel")] == [("nobody", 0)]
    assert [one.get("state") for one in played.of("cloudflared_reservation")] == [None, "absent"]
    assert "no other host of the inventory has a connector of its tunnel in its lifecycle_services" in json.dumps(
        played.of("show_report")
    )


def test_what_another_run_works_on_is_tried_again(collection: Path) -> None:
    busy = {"granted": False, "healthy": [], "reason": "b has the right", "holder": {"owner": "b"}}
    answers = {"cloudflared_reservation": busy}
    played = play(collection, every={"tunnel_reconnect_reserve_tries": 2}, answers=answers)
    assert len(played.of("cloudflared_reservation")) == 2
    (drive,) = played.of("cloudflared_tunnel")
    assert drive["reservation"] == "nobody" and drive.get("healthy_replicas") is None, "the other run may leave one"


def test_a_grant_that_ended_while_the_connector_was_given_its_time_is_asked_for_anew(collection: Path) -> None:
    """It has some connections, so that it may not be restarted without a grant, and 367 seconds to get the others."""
    ended = {"guard": "reservation", "reason": "its grant ends in 0 s, 60 s are needed: reserve again", "hint": "x"}
    refused = {"reached": False, "changed": False, "msg": "not done", "blocked_by": [ended], "failed": True}
    back = ANSWERS["cloudflared_tunnel"]
    played = play(collection, every={}, answers={"cloudflared_tunnel": {"cloudflared": [refused, back]}})
    assert [one.get("state", "present") for one in played.of("cloudflared_reservation")] == ["present", "absent"] * 2
    first, second = played.of("cloudflared_tunnel")
    assert first["reservation"] != second["reservation"]


def test_a_grant_that_is_too_short_each_time_ends_refused(collection: Path) -> None:
    ended = {"guard": "reservation", "reason": "no grant is in force on this host", "hint": "x"}
    refused = {"reached": False, "changed": False, "msg": "not done", "blocked_by": [ended], "failed": True}
    answers = {"cloudflared_tunnel": refused}
    played = play(collection, every={"tunnel_reconnect_reserve_tries": 2}, answers=answers)
    assert len(played.of("cloudflared_tunnel")) == 2
    assert "REFUSED" in json.dumps(played.of("show_report"))


def test_an_unguarded_connector_needs_no_reservation(collection: Path) -> None:
    entry = {"name": "cloudflared", "kind": "cloudflared", "cloudflared": {"replica_guard": "off"}}
    played = play(collection, every={"lifecycle_services": [entry]}, answers={})
    assert played.of("cloudflared_reservation") == []
    assert len(played.of("cloudflared_tunnel")) == 1


def test_a_dry_run_reserves_nothing_and_counts_who_would_grant(collection: Path) -> None:
    played = play(collection, "--check", every={}, answers={})
    (drive,) = played.of("cloudflared_tunnel")
    assert drive["healthy_replicas"] == 1 and drive.get("reservation") is None
