# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an inventory entry becomes the options of the module of its kind."""

from __future__ import annotations

import typing as t
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.chainops.lifecycle.plugins.action import service_drive
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._service_entry import EntryError, module_call

MODULES = Path(service_drive.__file__).parents[1] / "modules"
GENERIC = "chainops.lifecycle.service"
BESU = "chainops.lifecycle.besu_node"
CONNECTOR = "chainops.lifecycle.cloudflared_tunnel"


def test_every_kind_has_a_module():
    modules = {kind.module for kind in KINDS.values()}
    assert modules <= {path.stem for path in MODULES.glob("*.py")} and len(modules) == len(KINDS)


@pytest.mark.parametrize(
    ("entry", "override", "defaults", "module", "options"),
    [
        ("api", {}, {}, GENERIC, {"name": "api"}),
        ("api", {"state": "restarted"}, {}, GENERIC, {"name": "api", "state": "restarted"}),
        ({"name": "api", "max_attempts": 5}, {}, {"max_attempts": 1}, GENERIC, {"name": "api", "max_attempts": 5}),
        (
            {"name": "api", "recovery": "never"},
            {"recovery": "restart"},
            {},
            GENERIC,
            {"name": "api", "recovery": "restart"},
        ),
        ({"name": "api"}, {}, {"recovery": "never"}, GENERIC, {"name": "api", "recovery": "never"}),
        (
            {"name": "api", "depends_on": ["db"], "known_good": {"/a": "/b"}, "kind": "generic"},
            {},
            {},
            GENERIC,
            {"name": "api"},
        ),
        (
            {"name": "besu", "kind": "besu", "state": "synced", "besu": {"chain_id": 7, "lag_blocks": 3}},
            {"chain_id": 8},
            {"lag_blocks": 9, "min_peers": 2},
            BESU,
            {"name": "besu", "state": "synced", "chain_id": 8, "lag_blocks": 3, "min_peers": 2},
        ),
        (
            {"name": "tunnel", "kind": "cloudflared", "cloudflared": {"min_connections": 2}, "besu": {}},
            {"state": "reconnected"},
            {},
            CONNECTOR,
            {"name": "tunnel", "state": "reconnected", "min_connections": 2},
        ),
    ],
)
def test_the_options_of_an_entry(entry, override, defaults, module, options):
    assert module_call(entry, override, defaults) == (module, options)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (7, "service: int found"),
        ({"kind": "generic"}, "service: missing required arguments: name"),
        ({"name": "api", "start_timout": 7}, "service: start_timout"),
        ({"name": "api", "kind": "nginx"}, "service: value of kind must be one of: generic, besu, cloudflared"),
        ({"name": "api", "besu": {"chain_id": 1}}, "service.besu: given for a service of kind generic"),
        ({"name": "b", "kind": "besu", "besu": {"chainid": 1}}, "service.besu: chainid"),
        ({"name": "api", "state": "synced"}, "service.state: synced is none of kind generic"),
    ],
)
def test_an_entry_that_means_nothing_names_its_option(entry, said):
    with pytest.raises(EntryError) as caught:
        module_call(entry, {}, {})
    assert said in str(caught.value)


class Drive:
    """The action plugin with the ways out of it replaced."""

    def __init__(self, monkeypatch, args, *, own_action=False, module_defaults=(), groups=None):
        self.loader = MagicMock()
        self.loader.action_loader.has_plugin.return_value = own_action
        self.loader.action_loader.get.return_value.run.return_value = {"by": "action"}
        task = MagicMock(args=args, async_val=0, module_defaults=list(module_defaults))
        task._parent._play._action_groups = groups or {}
        templar = MagicMock()
        templar.template.side_effect = lambda value: value
        self.plugin = service_drive.ActionModule(task, MagicMock(), MagicMock(), None, templar, self.loader)
        self.plugin._load_name = "chainops.lifecycle.service_drive"
        self.plugin._shared_loader_obj = self.loader
        self.ran: list[tuple[str, dict[str, t.Any]]] = []
        monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
        monkeypatch.setattr(self.plugin, "_execute_module", self.execute)

    def execute(self, module_name, module_args, task_vars):
        self.ran.append((module_name, module_args))
        return {"by": "module"}


def test_a_module_without_an_action_of_its_own_is_run_on_the_host(monkeypatch):
    drive = Drive(monkeypatch, {"service": {"name": "api"}, "override": {"owner": "me"}})
    assert drive.plugin.run(None, {}) == {"by": "module"}
    assert drive.ran == [(GENERIC, {"name": "api", "owner": "me"})]


def test_a_module_with_an_action_of_its_own_is_run_by_that(monkeypatch):
    drive = Drive(monkeypatch, {"service": {"name": "besu", "kind": "besu"}}, own_action=True)
    assert drive.plugin.run(None, {}) == {"by": "action"} and drive.ran == []
    task = drive.loader.action_loader.get.call_args.kwargs["task"]
    assert (task.action, task.args) == (BESU, {"name": "besu"})


def test_module_defaults_of_the_module_that_is_run_hold(monkeypatch):
    layers = [
        {GENERIC: {"owner": "a", "max_attempts": 2}},
        {"group/chainops.lifecycle.lifecycle": {"owner": "g", "scope": "user"}},
    ]
    groups = {GENERIC: ["chainops.lifecycle.lifecycle"]}
    drive = Drive(monkeypatch, {"service": {"name": "api", "max_attempts": 5}}, module_defaults=layers, groups=groups)
    drive.plugin.run(None, {})
    assert drive.ran == [(GENERIC, {"name": "api", "owner": "a", "scope": "user", "max_attempts": 5})]


def test_an_error_does_not_show_what_is_secret(monkeypatch):
    entry = {"name": "b", "kind": "besu", "besu": {"rpc_password": "hunter22", "chain_id": "hunter22"}}
    drive = Drive(monkeypatch, {"service": entry})
    with pytest.raises(AnsibleActionFail) as caught:
        drive.plugin.run(None, {})
    assert "chain_id" in str(caught.value) and "hunter22" not in str(caught.value)


@pytest.mark.parametrize("args", [{}, {"service": "api", "owner": "me"}, {"service": "api", "override": 7}])
def test_options_of_its_own_are_checked(monkeypatch, args):
    drive = Drive(monkeypatch, args)
    with pytest.raises(Exception, match=r"service|owner|override"):
        drive.plugin.run(None, {})
    assert drive.ran == []
