# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks under ansible-runner, as the jobs of a controller run."""

from __future__ import annotations

import importlib
import json
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from awx_controller import jobs

from tests.controller.conftest import HERE, PROJECT, Fleet
from tests.docs import common

# As a survey gives them: text, whatever they mean.
ANSWERS = {
    "lifecycle_max_unhealthy": "100%",
    "lifecycle_waves": "1, 10%, 50%",
    "lifecycle_soak": "0",
    "lifecycle_max_failed": "0",
    "lifecycle_recovery": "reset_start",
}
SECRET = "CANARY-of-a-credential"


def run(fleet: Fleet, place: Path, playbook: str, hosts: dict[str, t.Any], *options: str, **more: t.Any) -> jobs.Played:
    answers = more.pop("answers", ANSWERS)
    return jobs.play(place, PROJECT, playbook, hosts, answers, *options, environment=fleet.environment, **more)


def outcomes(played: jobs.Played) -> dict[str, str]:
    found = played.artifacts["lifecycle_outcome"]
    schema = json.loads((common.ROOT / "docs/schemas/lifecycle_outcome.json").read_text())
    importlib.import_module("jsonschema").validate(found, schema)
    return {entry["host"]: entry["outcome"] for entry in found["entries"]}


def test_recover_takes_answers_of_a_survey_and_a_limit(fleet: Fleet, tmp_path: Path) -> None:
    fleet.set(a="error", b="error", c="error")
    played = run(fleet, tmp_path / "job", "recover.yml", fleet.inventory("a", "b", "c"), "--limit=b,c")
    assert played.status == "successful", played.stdout
    assert outcomes(played) == {"b": "recovered", "c": "recovered"}
    assert (fleet.state("a"), fleet.state("b"), fleet.state("c")) == ("error", "running", "running")


def test_check_mode_plans_and_does_nothing(fleet: Fleet, tmp_path: Path) -> None:
    fleet.set(a="error", b="running")
    played = run(fleet, tmp_path / "job", "recover.yml", fleet.inventory("a", "b"), "--check")
    assert played.status == "successful", played.stdout
    assert outcomes(played) == {"a": "planned"}
    assert fleet.state("a") == "error"


def test_a_plan_is_carried_out_as_it_was_approved(fleet: Fleet, tmp_path: Path) -> None:
    """A node of a workflow gets the artifacts of those before it as variables, which ansible-core reads as YAML."""
    fleet.set(a="error", b="error", c="running")
    hosts = fleet.inventory("a", "b", "c")
    planned = run(fleet, tmp_path / "plan", "recover.yml", hosts, "--check")
    assert planned.status == "successful", planned.stdout
    assert planned.artifacts["lifecycle_plan_digest"] in planned.stdout
    fleet.set(c="error")
    handed_on = {**ANSWERS, **planned.artifacts, "lifecycle_plan_approved": planned.artifacts["lifecycle_plan"]}
    canary = run(fleet, tmp_path / "canary", "recover.yml", hosts, "--limit=a", answers=handed_on)
    assert canary.status == "successful", canary.stdout
    rest = run(fleet, tmp_path / "rest", "recover.yml", hosts, answers=handed_on)
    assert outcomes(rest) == {"a": "self_recovered", "b": "recovered", "c": "refused"}, rest.stdout
    assert fleet.acted_on(check=False) == ["a", "b"]


def test_the_failed_hosts_of_a_job_are_those_that_a_relaunch_has_to_look_at(fleet: Fleet, tmp_path: Path) -> None:
    fleet.set(a="error", b="refused", c="error")
    hosts = fleet.inventory("a", "b", "c")
    played = run(fleet, tmp_path / "first", "recover.yml", hosts)
    assert played.status == "failed"
    assert played.failed_hosts == ("b",)
    assert outcomes(played) == {"a": "recovered", "b": "refused", "c": "recovered"}
    fleet.set(b="error")
    again = run(fleet, tmp_path / "second", "recover.yml", hosts, f"--limit={','.join(played.failed_hosts)}")
    assert again.status == "successful", again.stdout
    assert outcomes(again) == {"b": "recovered"}


def test_an_unreachable_host_is_a_failed_one(fleet: Fleet, tmp_path: Path) -> None:
    fleet.set(a="error", b="error")
    hosts = fleet.inventory("a", "b")
    hosts["all"]["hosts"]["b"] |= {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    played = run(fleet, tmp_path / "job", "recover.yml", hosts)
    assert played.status == "failed"
    assert played.failed_hosts == ("b",)
    assert outcomes(played) == {"a": "recovered", "b": "unknown"}


def test_status_takes_answers_and_leaves_everything(fleet: Fleet, tmp_path: Path) -> None:
    fleet.set(a="error", b="running")
    hosts = fleet.inventory("a", "b")
    played = run(fleet, tmp_path / "job", "status.yml", hosts, answers={"lifecycle_diagnose": "always"})
    assert played.status == "successful", played.stdout
    assert fleet.acted_on() == []
    assert "STATUS" in played.stdout


RESTART = {
    "lifecycle_only_kind": "generic, besu, cloudflared",
    "lifecycle_only_name": "a*, b",
    "lifecycle_only_stale": "no",
    "lifecycle_serial": "1",
    "lifecycle_max_unhealthy": "50%",
    "lifecycle_max_failed": "0",
}


def test_rolling_restart_takes_answers_of_a_survey_and_a_limit(fleet: Fleet, tmp_path: Path) -> None:
    fleet.set(a1="running", a2="running", b="running", c="running")
    hosts = fleet.inventory("a1", "a2", "b", "c")
    planned = run(fleet, tmp_path / "plan", "rolling_restart.yml", hosts, "--check", answers=RESTART)
    assert planned.status == "successful", planned.stdout
    assert outcomes(planned) == dict.fromkeys(("a1", "a2", "b"), "planned")
    assert fleet.acted_on(check=False) == []
    played = run(fleet, tmp_path / "job", "rolling_restart.yml", hosts, "--limit=a2,b,c", answers=RESTART)
    assert played.status == "successful", played.stdout
    assert outcomes(played) == {"a2": "restarted", "b": "restarted"}
    assert fleet.acted_on(check=False) == ["a2", "b"]


def test_a_plan_of_restarts_is_carried_out_as_it_was_approved(fleet: Fleet, tmp_path: Path) -> None:
    fleet.set(a1="running", a2="running", b="error", c="running")
    hosts = fleet.inventory("a1", "a2", "b", "c")
    planned = run(fleet, tmp_path / "plan", "rolling_restart.yml", hosts, "--check", answers=RESTART)
    assert planned.artifacts["lifecycle_plan_digest"] in planned.stdout
    fleet.set(b="running")
    handed_on = {**RESTART, **planned.artifacts, "lifecycle_plan_approved": planned.artifacts["lifecycle_plan"]}
    played = run(fleet, tmp_path / "job", "rolling_restart.yml", hosts, answers=handed_on)
    assert outcomes(played) == {"a1": "restarted", "a2": "restarted", "b": "refused"}, played.stdout
    assert "it is not in the approved plan" in played.stdout
    assert fleet.acted_on(check=False) == ["a1", "a2"]


DRILL = {
    "lifecycle_drill_service": "a/a",
    "lifecycle_drill_fault": "killed",
    "lifecycle_drill_path": "/srv/data",
    "lifecycle_drill_port": 8545,
    "lifecycle_drill_undo_after": 300,
    "lifecycle_drill_detect_within": 60,
    "lifecycle_recovery": "reset_start",
}


def test_a_drill_takes_answers_of_a_survey_and_refuses_a_limit(fleet: Fleet, tmp_path: Path) -> None:
    fleet.set(a="running", b="running")
    hosts = fleet.inventory("a", "b")
    hosts["all"]["hosts"]["a"]["lifecycle_services"] = [{"name": "a", "drill": True}]
    planned = run(fleet, tmp_path / "plan", "drill.yml", hosts, "--check", answers=DRILL)
    assert (planned.status, outcomes(planned)) == ("successful", {"a": "planned"}), planned.stdout
    assert fleet.state("a") == "running"
    refused = run(fleet, tmp_path / "limit", "drill.yml", hosts, "--limit=a", answers=DRILL)
    assert (refused.status, refused.failed_hosts) == ("failed", ("a",)) and "run it without --limit" in refused.stdout
    played = run(fleet, tmp_path / "job", "drill.yml", hosts, answers=DRILL)
    assert (played.status, outcomes(played)) == ("successful", {"a": "recovered"}), played.stdout
    assert "healthy again after 5.0 s by recovery" in played.stdout and fleet.acted_on(check=False) == ["a"]


def test_a_report_takes_answers_and_writes_its_file(fleet: Fleet, tmp_path: Path) -> None:
    fleet.set(a="error", b="running")
    answers = {"lifecycle_report_window": "24h", "lifecycle_report_format": "json", "lifecycle_diagnose": "errors",
               "lifecycle_report_file": str(tmp_path / "report.json")}  # fmt: skip
    played = run(fleet, tmp_path / "job", "report.yml", fleet.inventory("a", "b"), answers=answers)
    assert played.status == "successful", played.stdout
    assert json.loads((tmp_path / "report.json").read_text())["summary"]["services"] == 2
    assert fleet.acted_on() == []


def test_a_misspelt_answer_fails_before_any_host_is_asked(fleet: Fleet, tmp_path: Path) -> None:
    fleet.set(a="error")
    answers = ANSWERS | {"lifecycle_waves": "some"}
    played = run(fleet, tmp_path / "job", "recover.yml", fleet.inventory("a"), answers=answers)
    assert played.status == "failed"
    assert "lifecycle_waves: 'some'" in played.stdout
    assert (fleet.folder / "asked").read_text() == ""


def test_a_canceled_job_is_gone_on_with(fleet: Fleet, tmp_path: Path) -> None:
    fleet.set(a="error", b="error")
    fleet.slow("b")
    hosts = fleet.inventory("a", "b")
    stop = threading.Event()
    ended: list[jobs.Played] = []
    job = threading.Thread(
        target=lambda: ended.append(run(fleet, tmp_path / "first", "recover.yml", hosts, canceled=stop.is_set))
    )
    job.start()
    deadline = time.monotonic() + 120
    while fleet.state("b") != "starting" and time.monotonic() < deadline and job.is_alive():
        time.sleep(0.1)
    stop.set()
    job.join(60)
    assert ended and ended[0].status == "canceled"
    assert ended[0].artifacts == {}
    assert (fleet.state("a"), fleet.state("b")) == ("running", "starting")
    (fleet.folder / "acted").write_text("")
    again = run(fleet, tmp_path / "second", "recover.yml", hosts)
    assert again.status == "successful", again.stdout
    assert "its start was begun by AWX job 1" in again.stdout
    assert outcomes(again) == {"b": "self_recovered"} and fleet.state("b") == "running"
    assert fleet.acted_on(check=False) == ["b"], "the start is waited for, and no other one is made"


def test_a_host_costs_few_bytes(fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {}
    for count in (2, 10):
        names = [f"h{number}" for number in range(count)]
        fleet.set(**dict.fromkeys(names, "running"))
        place = tmp_path / f"job-{count}"
        played = run(fleet, place, "recover.yml", fleet.inventory(*names))
        assert played.status == "successful", played.stdout
        sizes[count] = sum(path.stat().st_size for path in place.glob("artifacts/*/job_events/*.json"))
    each = (sizes[10] - sizes[2]) // 8
    with capsys.disabled():
        print(f"\nevents of recover with nothing in need: {sizes[2]} bytes for 2 hosts, {each} bytes for each more")
    assert each < 40_000


@pytest.mark.parametrize("playbook", ["status.yml", "recover.yml", "besu_sync_wait.yml", "tunnel_reconnect.yml"])
def test_no_event_holds_a_secret(tmp_path: Path, playbook: str) -> None:
    """With the modules of the collection itself, on units that are not there."""
    besu = {"name": "lifecycle-none-besu", "kind": "besu", "besu": {"rpc_username": "ops",
            "rpc_password": "{{ lookup('ansible.builtin.env', 'BESU_RPC_PASSWORD') }}", "single_node": True}}  # fmt: skip
    tunnel = {"name": "lifecycle-none-tunnel", "kind": "cloudflared"}
    hosts = {"all": {"hosts": {"a": HERE | {"lifecycle_services": [besu, tunnel]}}}}
    answers = {"status.yml": {"lifecycle_diagnose": "always"}, "recover.yml": ANSWERS,
               "besu_sync_wait.yml": {"besu_sync_wait_timeout": "2", "besu_sync_wait_state": "synced"},
               "tunnel_reconnect.yml": {"tunnel_reconnect_wait_timeout": "2", "tunnel_reconnect_forget_ghosts": "no"}}  # fmt: skip
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(common.ROOT / ".build/link"), "BESU_RPC_PASSWORD": SECRET,
                   "CLOUDFLARE_API_TOKEN": SECRET}  # fmt: skip
    played = jobs.play(tmp_path, PROJECT, playbook, hosts, answers[playbook], "-vvv", environment=environment)
    assert "lifecycle-none" in played.text, played.stdout
    assert SECRET not in played.text


def test_slices_of_a_job_refuse_what_they_cannot_keep_and_do_the_rest(fleet: Fleet, tmp_path: Path) -> None:
    """Two runs at once, each with an inventory of its part alone, as AWX slices a job."""
    fleet.set(**dict.fromkeys("abcd", "error"))
    parts = {"first": ("a", "b"), "second": ("c", "d")}
    racks = {"a": "east", "b": "west", "c": "east", "d": "west"}

    def slices(name: str, **more: str) -> list[jobs.Played]:
        def one(part: str) -> jobs.Played:
            hosts = fleet.inventory(*parts[part])
            for host, given in hosts["all"]["hosts"].items():
                given["rack"] = racks[host]
            return run(fleet, tmp_path / f"{name}-{part}", "recover.yml", hosts, answers={**ANSWERS, **more})

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(one, parts))

    for played in slices("racks", lifecycle_failure_domain="rack", lifecycle_hosts="4"):
        assert played.status == "failed"
        assert "has 2 of 4 hosts (lifecycle_hosts)" in played.stdout
    for name, told in (("untold", {"awx_workflow_job_id": "24"}), ("again", {"awx_job_launch_type": "relaunch"})):
        for played in slices(name, lifecycle_failure_domain="rack", **told):
            assert played.status == "failed" and "give lifecycle_hosts" in played.stdout, played.stdout
    assert fleet.acted_on() == []
    first, second = slices("plain", lifecycle_hosts="4")
    assert (outcomes(first), outcomes(second)) == (dict.fromkeys("ab", "recovered"), dict.fromkeys("cd", "recovered"))
    assert sorted(fleet.acted_on(check=False)) == ["a", "b", "c", "d"]


def test_the_events_of_a_host_with_four_services_in_need_are_few_and_short(fleet: Fleet, tmp_path: Path) -> None:
    """What AWX stores, counts and shows: each event has more than 1 kB of its own before it says anything."""
    names = ("a", "b", "c", "d")
    fleet.set(**dict.fromkeys(names, "error"))
    hosts = {"all": {"hosts": {"here": HERE | {"lifecycle_services": list(names)}}}}
    played = run(fleet, tmp_path / "job", "recover.yml", hosts)
    assert played.status == "successful", played.stdout
    size = sum(len(json.dumps(event)) for event in played.events)
    print(f"{len(played.events)} events, {size} bytes")
    assert len(played.events) <= 38 and size <= 50_000
