# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of a controller share: a fleet without hosts, whose modules keep the state of each service in a file, and
the controller to which extensions/awx is applied once.

With CONTROLLER_HOST it is a real one. That needs CONTROLLER_OAUTH_TOKEN, and LIFECYCLE_AWX_PROJECT_URL with the content of
extensions/awx/project, which its jobs can read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from awx_controller import jobs
from awx_controller.server import TOKEN, serve

from tests.docs import common

HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
PROJECT = common.ROOT / "extensions/awx/project"

# What a service is, and how a recovery of it ends: "error" recovers, "refused" is refused, "broken" stays in error. The
# name of a service has its kind before a dash, where it has one.
_STATES = """
import time
def path(name):
    return os.path.join(folder, "state-" + name)
def state_of(name):
    with open(path(name)) as stream:
        return stream.read().strip()
def keep(name, state):
    with open(path(name), "w") as stream:
        stream.write(state)
def row(name, state):
    shown = {"refused": "error", "broken": "error"}.get(state, state)
    begun = {"last_start": {"owner": "AWX job 1", "outcome": "open"}} if state == "starting" else {}
    return {"name": name, "kind": "generic", "state": shown, "reasons": [], "hold": None, "cause": None,
            "diagnosis": {"causes": []}, **begun}
"""
_INFO = """
names = [one if isinstance(one, str) else one["name"] for one in options["services"]]
module.exit_json(services=[row(one, state_of(one)) for one in names])
"""
_DRIVE = """
def drive(name, wanted="running"):
    before = state_of(name)
    with open(os.path.join(folder, "acted"), "a") as acted:
        acted.write(json.dumps([name, module.check_mode]) + chr(10))
    slow = os.path.join(folder, "slow-" + name)
    was = row(name, before)
    if before == "refused":
        block = {"guard": "cause", "reason": "disk_full: no space", "hint": "free some"}
        return dict(reached=False, changed=False, before=was, after=was, blocked_by=[block], transitions=[],
                    msg="disk_full: no space")
    step = {"trigger": "start", "action": "systemctl start", "applied": not module.check_mode}
    if before == "running" and wanted == "restarted":
        step = {"trigger": "restart", "action": "systemctl restart", "applied": not module.check_mode}
        return dict(reached=True, changed=True, before=was, after=was, transitions=[step])
    if before == "running":
        return dict(reached=True, changed=False, before=was, after=was, transitions=[])
    if module.check_mode:
        return dict(reached=True, changed=True, before=was, after=row(name, "running"), transitions=[step])
    if before == "starting":
        if not module.check_mode:
            keep(name, "running")
        step = {"trigger": "initialized", "action": "wait", "applied": not module.check_mode}
        return dict(reached=True, changed=False, before=was, after=row(name, "running"), transitions=[step])
    if before == "broken":
        return dict(reached=False, changed=True, before=was, after=was, transitions=[step], msg="did not come back")
    if os.path.exists(slow):
        os.remove(slow)
        keep(name, "starting")
        time.sleep(300)
    keep(name, "running")
    return dict(reached=True, changed=True, before=was, after=row(name, "running"), transitions=[step])
"""
_SERVICE = _DRIVE + "module.exit_json(**drive(options['name'], options.get('state')))\n"
_SEVERAL = (
    _DRIVE
    + """
results = [{"name": one["service"]["name"], "begun": True, **drive(one["service"]["name"])} for one in given["services"]]
module.exit_json(changed=any(one["changed"] for one in results), results=results)
"""
)
_FAULT = (
    _DRIVE
    + """
name, state = options["service"]["name"], options.get("state", "present")
if not module.check_mode and state == "present":
    keep(name, "error")
drill = {"fault": options.get("fault"), "outcome": "recovered", "detected_after": 1.0, "detected_as": "error",
         "recovered_after": 5.0, "lost": 5.0, "ended_by": "recovery" if options.get("acted") else "itself"}
module.exit_json(reached=True, changed=True, blocked_by=[], drill=drill)
"""
)
_WAITED = "module.exit_json(reached=True, changed=False, transitions=[], **answers.get(name, {}))\n"


class Fleet:
    """Hosts with a service each, of their name, and what the modules were asked."""

    def __init__(self, folder: Path) -> None:
        modules = {
            name: common.STUB + _STATES + text
            for name, text in (
                ("service", _SERVICE),
                ("service_drive_all", _SEVERAL),
                ("service_fault", _FAULT),
                ("service_info", _INFO),
            )
        }
        modules |= dict.fromkeys(_OTHERS, common.STUB + _WAITED)
        parts = ("roles", "playbooks", "plugins/filter", *(f"plugins/action/{one}.py" for one in _KEPT))
        common.replace_modules(folder, modules, *parts)
        for one in set(_KEPT) - set(modules):
            place = folder / f"ansible_collections/chainops/lifecycle/plugins/modules/{one}.py"
            place.symlink_to(common.ROOT / f"plugins/modules/{one}.py")
        (folder / "answers.json").write_text("{}")
        self.folder = folder
        self.environment = {"ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}

    def set(self, **states: str) -> None:
        for name in ("asked", "acted"):
            (self.folder / name).write_text("")
        for name, state in states.items():
            (self.folder / f"state-{name}").write_text(state)

    def slow(self, name: str) -> None:
        """The next start of this service never ends."""
        (self.folder / f"slow-{name}").touch()

    def state(self, name: str) -> str:
        return (self.folder / f"state-{name}").read_text()

    def acted_on(self, check: bool = True) -> list[str]:
        """The services that were driven, in their order; with ``check``, in check mode too."""
        lines = [json.loads(line) for line in (self.folder / "acted").read_text().splitlines()]
        return [name for name, in_check_mode in lines if check or not in_check_mode]

    @staticmethod
    def inventory(*names: str, **variables: t.Any) -> dict[str, t.Any]:
        return {"all": {"hosts": {name: HERE | {"lifecycle_services": [name]} for name in names}, "vars": variables}}


_KEPT = (
    "service_drive",
    "service_drive_all",
    "service_fault",
    "check_variables",
    "host_outcome",
    "show_report",
    "fleet_report",
)
_OTHERS = ("besu_network_info", "besu_node", "besu_reservation", "cloudflared_reservation", "cloudflared_tunnel")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "fleet")


SECRETS = ("CANARY-of-Besu", "CANARY-of-Cloudflare")
PATIENCE = 300


class Controller:
    """The API, as a client sees it."""

    def __init__(self, url: str, token: str, fleet: Fleet, folder: Path) -> None:
        self.url, self.token, self.fleet, self.folder = url, token, fleet, folder

    def call(self, method: str, path: str, body: t.Any = None) -> tuple[int, t.Any]:
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=60) as answer:
                text, status = answer.read(), answer.status
        except urllib.error.HTTPError as refused:
            text, status = refused.read(), refused.code
        return status, json.loads(text) if text else None

    def named(self, collection: str, name: str) -> t.Any:
        status, found = self.call("GET", f"/api/v2/{collection}/?name={name.replace(' ', '%20')}")
        assert (status, found["count"]) == (200, 1), (collection, name, found)
        return found["results"][0]

    def launch(self, collection: str, name: str, **body: t.Any) -> tuple[int, t.Any]:
        return self.call("POST", f"{self.named(collection, name)['url']}launch/", body)

    def ended(self, path: str) -> t.Any:
        """A job once it has ended."""
        return self.until(path, lambda job: job["finished"])

    def until(self, path: str, done: t.Callable[[t.Any], t.Any]) -> t.Any:
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.call("GET", path)[1]
            if done(found):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.3)

    def nodes(self, workflow_job: t.Any) -> dict[str, t.Any]:
        found = self.call("GET", f"{workflow_job['url']}workflow_nodes/")[1]["results"]
        return {node["identifier"]: node for node in found}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of Ansible, told where the controller is."""
        given = {"CONTROLLER_HOST": self.url, "CONTROLLER_OAUTH_TOKEN": self.token, "ANSIBLE_NOCOLOR": "1",
                 "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0"}  # fmt: skip
        return subprocess.run(command, cwd=self.folder, env={**os.environ, **given},
                              capture_output=True, text=True, check=False, timeout=900, stdin=subprocess.DEVNULL)  # fmt: skip

    def play(self, book: str, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run("ansible-playbook", book, *options)

    def apply(self) -> subprocess.CompletedProcess[str]:
        return self.play(str(common.ROOT / "extensions/awx/apply.yml"), "-e", "@mine.yml")


@pytest.fixture(scope="session")
def controller(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Controller]:
    folder = tmp_path_factory.mktemp("controller")
    fleet = Fleet(folder / "fleet")
    mine = {
        "lifecycle_awx_project_url": os.environ.get("LIFECYCLE_AWX_PROJECT_URL", PROJECT.as_uri()),
        "lifecycle_awx_webhook_url": "http://127.0.0.1:9/outcome",
        "lifecycle_awx_hosts": {name: HERE | {"lifecycle_services": [name]} for name in ("a1", "a2", "a3")},
        "lifecycle_awx_groups": {"canary": {"hosts": ["a1"]}},
        "lifecycle_awx_max_unhealthy": "100%",
        "lifecycle_awx_soak": "0",
        "lifecycle_awx_report_file": str(folder / "report.html"),
        "lifecycle_awx_credentials": [
            {"name": "Besu", "type": "Besu RPC password", "inputs": {"username": "ops", "password": SECRETS[0]}},
            {"name": "Cloudflare", "type": "Cloudflare API token", "inputs": {"token": SECRETS[1]}},
        ],
    }
    (folder / "mine.yml").write_text(yaml.safe_dump(mine))
    real = os.environ.get("CONTROLLER_HOST")
    if real:
        yield Controller(real, os.environ["CONTROLLER_OAUTH_TOKEN"], fleet, folder)
        return
    with serve(jobs.run(fleet.environment)) as (url, _api):
        yield Controller(url, TOKEN, fleet, folder)


@pytest.fixture(scope="session")
def applied(controller: Controller) -> Controller:
    done = controller.apply()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
    return controller
