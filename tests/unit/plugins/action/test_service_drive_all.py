# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several services in one task: slices of a run on the host, lost connections, hosts that never end."""

from __future__ import annotations

import types
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.chainops.lifecycle.plugins.action import service_drive_all
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _host_action


class Clock:
    """The module time, without waiting."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Drive:
    """The action plugin with a host that answers from a list; the last answer again and again."""

    def __init__(self, monkeypatch, services, answers, check_mode=False, takes=10.0, **more):
        task = MagicMock(args={"services": services, **more}, async_val=0, module_defaults=[], check_mode=check_mode)
        task.no_log, task.timeout = False, 0
        task._parent._play._action_groups = {}
        loader = MagicMock()
        loader.action_loader.has_plugin.return_value = False
        self.plugin = service_drive_all.ActionModule(task, MagicMock(), MagicMock(), None, MagicMock(), loader)
        self.plugin._load_name = "chainops.lifecycle.service_drive_all"
        self.clock, self.answers, self.takes = Clock(), list(answers), takes
        self.asked, self.said = [], []
        monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
        monkeypatch.setattr(self.plugin, "_execute_module", self.execute)
        monkeypatch.setattr(self.plugin, "_low_level_execute_command", lambda *_a, **_k: {})
        monkeypatch.setattr(service_drive_all, "time", self.clock)
        monkeypatch.setattr(_host_action, "time", self.clock)
        monkeypatch.setattr(_host_action, "Display", lambda: types.SimpleNamespace(display=self.say, vvv=self.say))

    def say(self, text):
        self.said += text.splitlines()

    def execute(self, module_name, module_args, task_vars):
        if module_name != "chainops.lifecycle.service_drive_all":
            return {"reached": True, "changed": False}
        self.asked.append(module_args)
        self.clock.now += self.takes
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {"results": [answer[one["service"]["name"]] for one in module_args["services"]]}

    def run(self):
        return self.plugin.run(None, {"inventory_hostname": "h"})


WELL = {"begun": True, "reached": True, "changed": True, "state": "running", "duration": 3.0}
ON = {"begun": True, "waiting": True, "duration": 10.0}
NOT_YET = {"begun": False, "waiting": True}
TWO = [{"service": "a"}, {"service": {"name": "b", "wait_timeout": 50}}]


def test_a_slice_is_for_those_that_have_not_ended_with_the_time_that_they_have_left(monkeypatch):
    drive = Drive(monkeypatch, TWO, [{"a": WELL, "b": ON}, {"b": WELL}], parallel=2)
    found = drive.run()
    assert [(one["name"], one["reached"]) for one in found["results"]] == [("a", True), ("b", True)]
    first, second = drive.asked
    assert [one["service"]["name"] for one in first["services"]] == ["a", "b"] and first["parallel"] == 2
    (again,) = second["services"]
    assert (again["service"]["wait_timeout"], again["begun"], second["wait_id"]) == (40, True, first["wait_id"])
    assert [line.split()[1] for line in drive.said] == ["a:", "b:"] and found["changed"]


def test_a_lost_connection_costs_a_slice(monkeypatch):
    drive = Drive(monkeypatch, TWO, [AnsibleConnectionFailure("gone"), {"a": WELL, "b": WELL}])
    found = drive.run()
    assert all(one["reached"] for one in found["results"]) and "failed" not in found
    assert "the connection was lost, the recovery continues: gone" in drive.said[0]
    assert all(one["begun"] for one in drive.asked[1]["services"])


def test_a_host_that_does_not_come_back_ends_them_all(monkeypatch):
    drive = Drive(monkeypatch, TWO, [{"a": WELL, "b": ON}, AnsibleConnectionFailure("gone")])
    a, b = drive.run()["results"]
    assert a["reached"] and b["unreachable"] and b["failed"] and "gone" in b["msg"]


@pytest.mark.parametrize("answer", [ON, {**ON, "duration": 0.0}, NOT_YET])
def test_a_host_that_says_for_ever_that_it_is_at_work_is_left(monkeypatch, answer):
    drive = Drive(monkeypatch, TWO, [{"a": answer, "b": answer}], takes=0.0)
    found = drive.run()
    assert found["failed"] and all("did not report a result" in one["msg"] for one in found["results"])
    assert len(drive.asked) < 1000


def test_a_module_that_ends_without_results_fails_those_that_are_left(monkeypatch):
    drive = Drive(monkeypatch, TWO, [{"a": WELL, "b": ON}, {"b": WELL}])
    monkeypatch.setattr(drive.plugin, "_execute_module", lambda **_more: {"failed": True, "msg": "no Python"})
    assert [one["msg"] for one in drive.run()["results"]] == ["no Python", "no Python"]


def test_a_dry_run_is_one_piece_and_says_nothing(monkeypatch):
    services = [*TWO, {"service": {"name": "v", "kind": "besu"}}]
    drive = Drive(monkeypatch, services, [{"a": WELL, "b": WELL}], check_mode=True)
    assert [one["name"] for one in drive.run()["results"]] == ["a", "b", "v"]
    assert drive.said == [] and "wait_id" not in drive.asked[0]


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"service": {"name": "v", "kind": "besu"}}, "v is of kind besu"),
        ({"name": "a"}, "name is unknown"),
        ({"service": {"name": "a", "kind": "nginx"}}, r"services\[0\].service: value of kind"),
        ({}, "service is missing"),
    ],
)
def test_what_cannot_be_meant_is_refused(monkeypatch, service, said):
    with pytest.raises(AnsibleActionFail, match=said):
        Drive(monkeypatch, [service], [{}]).run()
