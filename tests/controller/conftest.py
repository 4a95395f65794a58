# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of a controller share. The modules of a fleet without hosts keep the state of each service in a file."""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

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
    return {"name": name, "kind": "generic", "state": shown, "reasons": [], "hold": None, "cause": None,
            "diagnosis": {"causes": []}}
"""
_INFO = """
names = [one if isinstance(one, str) else one["name"] for one in options["services"]]
module.exit_json(services=[row(one, state_of(one)) for one in names])
"""
_DRIVE = """
def drive(name):
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
    if before == "running":
        return dict(reached=True, changed=False, before=was, after=was, transitions=[])
    if module.check_mode:
        return dict(reached=True, changed=True, before=was, after=row(name, "running"), transitions=[step])
    if before == "broken":
        return dict(reached=False, changed=True, before=was, after=was, transitions=[step], msg="did not come back")
    if os.path.exists(slow):
        os.remove(slow)
        keep(name, "starting")
        time.sleep(300)
    keep(name, "running")
    return dict(reached=True, changed=True, before=was, after=row(name, "running"), transitions=[step])
"""
_SERVICE = _DRIVE + "module.exit_json(**drive(options['name']))\n"
_SEVERAL = (
    _DRIVE
    + """
results = [{"name": one["service"]["name"], "begun": True, **drive(one["service"]["name"])} for one in given["services"]]
module.exit_json(changed=any(one["changed"] for one in results), results=results)
"""
)
_WAITED = "module.exit_json(reached=True, changed=False, transitions=[], **answers.get(name, {}))\n"


class Fleet:
    """Hosts with a service each, of their name, and what the modules were asked."""

    def __init__(self, folder: Path) -> None:
        modules = {
            name: common.STUB + _STATES + text
            for name, text in (("service", _SERVICE), ("service_drive_all", _SEVERAL), ("service_info", _INFO))
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


_KEPT = ("service_drive", "service_drive_all", "check_variables", "host_outcome", "show_report")
_OTHERS = ("besu_network_info", "besu_node", "besu_reservation", "cloudflared_reservation", "cloudflared_tunnel")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "fleet")
