# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role service_recovery asks of the modules: it runs with modules that only write down their options."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.docs import common

SECRET = "Bearer of-nobody"
STEPS = [{"trigger": "reset", "action": "systemctl reset-failed"}, {"trigger": "start", "action": "systemctl start"}]
QUIET = {"service_recovery_fail": False, "service_recovery_report": False}
LIMITED = ("config_parse_error", "start_limit")
ANSWER = 'module.exit_json(**answers.get("{0} {1}".format(name, options.get("name")), answers[name]))\n'


class Played(t.NamedTuple):
    """What a run of the role has said, asked of the modules and kept."""

    output: str
    asked: list[dict[str, t.Any]]
    result: list[dict[str, t.Any]]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """The collection with other modules; returns the folder of a playbook."""
    modules = dict.fromkeys(
        ("service", "service_info", "show_report", "besu_node", "besu_network_info", "besu_reservation"),
        common.STUB + ANSWER,
    )
    modules["service_drive_all"] = common.SEVERAL
    actions = (f"plugins/action/{name}.py" for name in ("service_drive", "service_drive_all"))
    return common.replace_modules(tmp_path, modules, "roles", "plugins/filter", *actions)


def play(
    folder: Path,
    seen: dict[str, t.Any],
    service: dict[str, t.Any],
    *options: str,
    others: dict[str, t.Any] | None = None,
    **more: t.Any,
) -> Played:
    """Run the role for one service that was seen so. ``others``: what the modules answer for other services."""
    seen = {"name": service["name"], "kind": "generic", "cause": None, "reasons": [], "hold": None, **seen}
    driven = {"changed": True, "reached": True, "transitions": STEPS, "state": "running"}
    answers = {"service_info": {"services": [seen]}, "service": driven, "show_report": {}, **(others or {})}
    (folder / "answers.json").write_text(json.dumps(answers))
    role = {"name": "chainops.lifecycle.service_recovery"}
    kept = {"content": "{{ service_recovery_result | to_json }}", "dest": str(folder / "result.json")}
    here = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    book = {
        "hosts": "all",
        "gather_facts": False,
        "vars": {"service_recovery_services": [service], **QUIET, **more},
        "tasks": [
            {"include_role": role},
            {"copy": kept, "delegate_to": "localhost", "check_mode": False, "vars": here},
        ],
    }
    done = common.play_replaced(folder, book, {"here": here}, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return Played(done.stdout, common.asked_of_stubs(folder), json.loads((folder / "result.json").read_text()))


def failed(*causes: str) -> dict[str, t.Any]:
    return {
        "state": "error",
        "diagnosis": {"causes": [{"id": cause, "summary": "it fell", "evidence": []} for cause in causes]},
    }


def driven(played: Played) -> list[dict[str, t.Any]]:
    return [asked for asked in played.asked if asked["module"] == "service"]


@pytest.mark.parametrize(
    ("option", "fixes", "recovery", "fixed"),
    [
        ("-v", ["clear_start_limit"], "reset_start", ["start limit cleared"]),
        ("--check", ["clear_start_limit"], "reset_start", ["start limit cleared"]),
        ("-v", [], "restart", []),
    ],
)
def test_the_start_limit_is_cleared_by_the_recovery_itself(
    collection: Path, option: str, fixes: list[str], recovery: str, fixed: list[str]
) -> None:
    """Its guards and its attempts are for that, too; a dry run says what a run does."""
    service = {"name": "api", "recovery": "restart"}
    played = play(collection, failed(*LIMITED), service, option, service_recovery_fixes=fixes)
    (asked,) = driven(played)
    assert (asked["state"], asked["recovery"]) == ("running", recovery)
    assert played.result[0]["fixes"] == fixed


def test_what_a_stopped_service_depends_on_is_started_in_its_scope(collection: Path) -> None:
    """Nothing that the services are described with is shown by that."""
    probe = {"kind": "http", "url": "http://127.0.0.1:8080/", "headers": {"Authorization": SECRET}}
    service = {"name": "api", "scope": "user", "depends_on": ["db"], "probes": [probe]}
    played = play(collection, {"state": "stopped"}, service, "-v", service_recovery_fixes=["start_dependency"])
    assert [(asked["name"], asked["scope"]) for asked in driven(played)] == [("db", "user"), ("api", "user")]
    assert played.result[0]["fixes"] == ["started db"]
    assert driven(played)[1]["probes"] == [probe]
    assert "Keep the results" in played.output and SECRET not in played.output


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"changed": True, "reached": False, "failed": True, "msg": "db was started, and is error"}, "db was started"),
        ({"changed": False, "failed": True, "msg": "become: true is missing"}, "become: true is missing"),
    ],
)
def test_a_dependency_that_does_not_start_is_said_so_and_nothing_more_is_done(
    collection: Path, answer: dict[str, t.Any], why: str
) -> None:
    service = {"name": "api", "depends_on": ["db"]}
    fixes = ["start_dependency"]
    played = play(
        collection, {"state": "stopped"}, service, others={"service db": answer}, service_recovery_fixes=fixes
    )
    assert [asked["name"] for asked in driven(played)] == ["db"]
    (row,) = played.result
    assert (row["failed"], row["fixes"]) == (True, []) and why in row["msg"]


@pytest.mark.parametrize("missing", [True, False])
def test_a_missing_file_gets_the_owner_of_its_copy(collection: Path, missing: bool) -> None:
    """And one that is there keeps its own. Somebody who is not root owns all of them."""
    used, good = collection / "api.json", collection / "api.good"
    good.write_text("{}")
    good.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(good, 65534, 65534)
    if not missing:
        used.write_text("{")
    before = (good if missing else used).stat()
    service = {"name": "api", "known_good": {str(used): str(good)}}
    played = play(collection, failed("file_missing"), service, service_recovery_fixes=["restore_config"])
    assert played.result[0]["fixes"] == [f"restored {used}"]
    after = used.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, good.stat().st_mode)


def test_a_host_that_is_lost_within_a_fix_is_in_the_report(collection: Path) -> None:
    """A fix of the role's own: the known-good file is on a host that is lost after the hook."""
    lost = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    (collection / "hook.yml").write_text(yaml.safe_dump([{"name": "Cut the way to the host", "set_fact": lost}]))
    hooks = {"exit_code": str(collection / "hook.yml")}
    played = play(collection, failed("exit_code"), {"name": "api"}, service_recovery_hooks=hooks)
    assert driven(played) == []
    assert [(row["name"], row["failed"]) for row in played.result] == [("api", True)]
    assert "127.0.0.1" in played.result[0]["msg"]


@pytest.mark.parametrize("loses", ["itself", "another"])
def test_a_hook_of_which_a_task_did_not_run_is_not_done(collection: Path, loses: str) -> None:
    """Although the host is there again right afterwards, or the task ran for it on another one."""
    here = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    dead = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    way = {"vars": dead} if loses == "itself" else {"delegate_to": "dead"}
    hook = [{"name": "Fix it", "command": "true", **way}, {"name": "Go on", "command": "true"}]
    (collection / "hook.yml").write_text(yaml.safe_dump(hook))
    seen = {"name": "api", "kind": "generic", "cause": None, "reasons": [], "hold": None, **failed("exit_code")}
    driven = {"changed": True, "reached": True, "transitions": STEPS, "state": "running"}
    (collection / "answers.json").write_text(
        json.dumps({"service_info": {"services": [seen]}, "service": driven, "show_report": {}})
    )
    kept = {"content": "{{ hostvars.a.service_recovery_result | to_json }}", "dest": str(collection / "result.json")}
    book = {
        "hosts": "a,b",
        "gather_facts": False,
        "vars": {
            "service_recovery_services": "{{ ['api'] if inventory_hostname == 'a' else [] }}",
            "service_recovery_hooks": {"exit_code": str(collection / "hook.yml")},
            **QUIET,
        },
        "tasks": [
            {"include_role": {"name": "chainops.lifecycle.service_recovery"}, "when": "inventory_hostname == 'a'"},
            {"copy": kept, "when": "inventory_hostname == 'b'"},
        ],
    }
    done = common.play_replaced(collection, book, {"a": here, "b": here, "dead": dead})
    assert done.returncode == 4, done.stdout + done.stderr
    assert not [asked for asked in common.asked_of_stubs(collection) if asked["module"] == "service"]
    (row,) = json.loads((collection / "result.json").read_text())
    assert (row["name"], row["failed"], row["reached"], row["fixes"]) == ("api", True, False, [])
    assert row["msg"].endswith("hook.yml: the hook did not end; a host that it works on was lost")


GENESIS, ADDRESS = "0x" + "a" * 64, "0x" + "b" * 40


def play_validator(
    folder: Path, reservation: dict[str, t.Any], node: dict[str, t.Any], *options: str, **more: t.Any
) -> Played:
    """Recover a validator that runs and is the only one of its chain, on a host that answers ``reservation``."""
    network = {"genesis": GENESIS, "validators": [ADDRESS], "head": 7, "advances": True, "arithmetic": "1 of 1"}
    told = {
        "besu_network_info": {"networks": [network], "nodes": [{"name": "here/besu", "address": ADDRESS}]},
        "besu_reservation": reservation,
        "besu_node": node,
    }
    runs = {"active_state": "active", "sub_state": "running"}
    about = {"address": ADDRESS, "genesis": GENESIS, "validator": True}
    seen = {"kind": "besu", "besu": about, "unit_facts": runs, **failed("rpc_hangs")}
    return play(folder, seen, {"name": "besu", "kind": "besu"}, *options, others=told, **more)


def test_a_validator_whose_host_has_granted_to_another_run_asks_again_and_is_then_refused(collection: Path) -> None:
    """Each round asks by another name, and the module is called once, without a reservation."""
    busy = {"granted": False, "reason": "busy", "holder": {"owner": "other", "target": "x", "left": 9}}
    refused = {"reached": False, "changed": False, "msg": "no", "blocked_by": [{"guard": "reservation"}]}
    played = play_validator(collection, busy, refused, service_recovery_reserve_tries=2)
    asked = [one for one in played.asked if one["module"] == "besu_reservation"]
    assert len({one["owner"] for one in asked}) == len(asked) == 2, played.output
    (driven,) = [one for one in played.asked if one["module"] == "besu_node"]
    assert driven["reservation"] == "nobody"
    assert [row["msg"] for row in played.result] == ["no; here: busy"]


@pytest.mark.parametrize(("granted", "reservation"), [(True, None), (False, "nobody")])
def test_a_dry_run_refuses_what_no_host_would_grant(collection: Path, granted: bool, reservation: str | None) -> None:
    told = {"granted": granted, "reason": "" if granted else "the host was booted 5 s ago"}
    played = play_validator(collection, told, {"reached": False, "changed": False}, "--check")
    (driven,) = [one for one in played.asked if one["module"] == "besu_node"]
    assert driven.get("reservation") == reservation, played.output


def test_a_validator_acts_with_what_it_was_granted_and_gives_it_back(collection: Path) -> None:
    played = play_validator(collection, {"granted": True}, {"reached": True, "changed": True})
    granted, driven, released = [one for one in played.asked if one["module"] in ("besu_reservation", "besu_node")]
    assert driven["module"] == "besu_node" and driven["reservation"] == granted["owner"] == released["owner"]
    assert released["state"] == "absent" and "state" not in granted
