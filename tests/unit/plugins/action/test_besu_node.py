# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a task runs the module in slices, and what it does with each."""

from __future__ import annotations

import signal
import time
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.chainops.lifecycle.plugins.action import besu_node
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _host_action

SEEN = {"before": {"state": "syncing"}, "diff": {"before": {"state": "syncing"}}, "changed": False}
WAITING = {**SEEN, "waiting": True, "reached": False, "state": "syncing", "after": {"reasons": ["far behind"]}}
REACHED = {**SEEN, "reached": True, "state": "running", "after": {"reasons": []}}


class Task:
    """A task and its host, of which each run of the module gives the next of ``answers``."""

    def __init__(self, monkeypatch, *answers, **task):
        self.answers = list(answers)
        self.runs: list = []
        self.said: list = []
        self.connection = MagicMock()
        given = {"async_val": 0, "check_mode": False, "timeout": 0, "no_log": False, **task}
        self.plugin = besu_node.ActionModule(
            task=MagicMock(args=given.pop("args", {"name": "besu", "state": "synced"}), **given),
            connection=self.connection,
            play_context=MagicMock(),
            loader=None,
            templar=None,
            shared_loader_obj=None,
        )
        monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
        monkeypatch.setattr(self.plugin, "_execute_module", self.execute)
        self.command = MagicMock()
        monkeypatch.setattr(self.plugin, "_low_level_execute_command", self.command)
        monkeypatch.setattr(_host_action.Display, "display", lambda _self, line: self.said.append(line))
        monkeypatch.setattr(besu_node.time, "sleep", lambda seconds: None)

    def execute(self, module_args=None, task_vars=None, wrap_async=False):
        self.runs.append((module_args, wrap_async))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    def run(self, *batch):
        return self.plugin.run(None, {"inventory_hostname": "n1", "ansible_play_batch": list(batch)})


@pytest.mark.parametrize(
    "task",
    [
        {"async_val": 100},
        {"check_mode": True},
        {"args": {"name": "besu", "state": "restarted"}},
        {"args": {"name": "besu", "state": "stopped"}},
        {"args": {"name": "besu", "state": "reset"}},
        {"args": {"name": "besu", "wait_timeout": 0}},
        {"args": {"name": "besu", "wait_timeout": "soon"}},
        {"args": {"name": "besu", "progress_interval": -1}},
        {"args": {"name": "besu", "wait_id": "mine"}},
    ],
)
def test_in_one_piece(monkeypatch, task):
    one = Task(monkeypatch, REACHED, **task)
    assert one.run() == REACHED
    assert one.runs == [(None, bool(task.get("async_val")))] and one.said == []


@pytest.mark.parametrize("state", [None, "running", "synced", "consensus"])
def test_slices_of_one_wait(monkeypatch, state):
    args = {"name": "besu", "wait_timeout": "90", **({"state": state} if state else {})}
    task = Task(monkeypatch, WAITING, WAITING, REACHED, args=args)
    result = task.run()
    assert result["reached"] and "waiting" not in result
    assert len({given["wait_id"] for given, _async in task.runs}) == 1
    assert all(0 < given["wait_timeout"] <= 90 for given, _async in task.runs)
    assert [line.partition(" (")[0] for line in task.said] == ["[n1] besu: syncing, far behind"] * 2
    task.connection.reset.assert_not_called()


def test_two_waits_know_nothing_of_each_other(monkeypatch):
    first, second = Task(monkeypatch, REACHED), Task(monkeypatch, REACHED)
    first.run()
    second.run()
    assert first.runs[0][0]["wait_id"] != second.runs[0][0]["wait_id"]


def test_a_lost_connection_is_made_anew(monkeypatch):
    task = Task(monkeypatch, AnsibleConnectionFailure("closed"), WAITING, AnsibleConnectionFailure("gone"), REACHED)
    task.connection.reset.side_effect = [None, AnsibleError("cannot")]
    assert task.run()["reached"]
    assert len(task.runs) == 4 and task.connection.reset.call_count == 2
    assert [line for line in task.said if "the connection was lost, the wait continues: gone" in line]


def test_a_connection_that_is_lost_at_the_end_is_unreachable(monkeypatch):
    task = Task(monkeypatch, AnsibleConnectionFailure("closed"), args={"name": "besu", "wait_timeout": 1})
    with pytest.raises(AnsibleConnectionFailure):
        task.run()


def test_a_host_that_is_not_there_is_not_waited_for(monkeypatch):
    task = Task(monkeypatch)
    task.command.side_effect = AnsibleConnectionFailure("no route")
    with pytest.raises(AnsibleConnectionFailure):
        task.run()
    assert task.runs == []


def test_a_silent_connection_is_given_up(monkeypatch):
    def silence():
        signal.pause()

    monkeypatch.setattr(besu_node, "GRACE", 0.01)
    task = Task(monkeypatch, silence, REACHED, args={"name": "besu", "progress_interval": 0.01})
    before = signal.getsignal(signal.SIGALRM)
    assert task.run()["reached"]
    assert "no answer in 0 s" in task.said[0]
    assert signal.getsignal(signal.SIGALRM) == before and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_silent_connection_is_given_up_whatever_tries_again(monkeypatch):
    """As the connection ssh does with its option reconnection_retries."""

    def retries():
        try:
            signal.pause()
        except Exception:
            pytest.fail("it was tried again")

    monkeypatch.setattr(besu_node, "GRACE", 0.01)
    task = Task(monkeypatch, retries, REACHED, args={"name": "besu", "progress_interval": 0.01})
    assert task.run()["reached"] and len(task.runs) == 2


def test_a_task_with_a_timeout_of_its_own_keeps_it(monkeypatch):
    signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        Task(monkeypatch, WAITING, REACHED, timeout=100).run()
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 90
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_nothing_is_said_where_nothing_may_be_logged(monkeypatch):
    task = Task(monkeypatch, WAITING, REACHED, no_log=True)
    task.run()
    assert task.said == []


def test_the_result_is_that_of_the_whole_wait(monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    task = Task(monkeypatch, {**WAITING, "changed": True}, REACHED)
    result = task.run()
    assert result["changed"] and result["before"] == {"state": "syncing"} and result["duration"] >= 10
