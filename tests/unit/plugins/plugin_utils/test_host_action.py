# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an action plugin lets through of its host, and for how long it waits for it."""

from __future__ import annotations

import re
import signal
import time
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _host_action
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_action import (
    GRACE,
    LIMIT,
    HostAction,
    harmless,
    time_limit,
)


def action(monkeypatch: pytest.MonkeyPatch, answer, **task) -> HostAction:
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(ActionBase, "_execute_module", answer)
    monkeypatch.setattr(ActionBase, "_low_level_execute_command", answer)
    given = {"async_val": 0, "timeout": 0, "args": {"wait_timeout": 1}, **task}
    return HostAction(
        task=MagicMock(**given),
        connection=MagicMock(),
        play_context=MagicMock(),
        loader=None,
        templar=None,
        shared_loader_obj=None,
    )


def test_a_result_is_neutralised_and_steers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {
        "msg": "{{ x }}",
        "ansible_facts": {"lifecycle_services": ["evil"], "discovered_interpreter_python": "/usr/bin/python3.11"},
        "ansible_stats": {"data": {"lifecycle_outcome": "all well"}},
        "add_host": {"host_name": "evil", "groups": ["lifecycle_recover"]},
        "add_group": "evil",
    }
    seen = action(monkeypatch, lambda self, **_kwargs: answer).run(None, {})
    assert seen == {"msg": "{ { x } }", "ansible_facts": {"discovered_interpreter_python": "/usr/bin/python3.11"}}


def test_an_interpreter_that_is_no_path_is_dropped() -> None:
    assert harmless({"ansible_facts": {"discovered_interpreter_python": "/bin/sh -c id"}}) == {}
    assert harmless({"ansible_facts": "discovered_interpreter_python"}) == {}


def test_the_words_of_a_lost_connection_are_neutralised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self, *_args, **_kwargs):
        raise AnsibleConnectionFailure("banner {{ x }}")

    plugin = action(monkeypatch, fails)
    for ask in (plugin.run, lambda *_args: plugin._low_level_execute_command("true")):
        with pytest.raises(AnsibleConnectionFailure, match=re.escape("banner { { x } }")):
            ask(None, {})


def test_a_host_that_is_lost_in_mid_run_ends_the_task_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where what waits for it catches every Exception, as the connection ssh does to try again."""

    def silent(self, **_kwargs):
        try:
            signal.pause()
        except Exception:
            pytest.fail("it was tried again")

    monkeypatch.setattr(_host_action, "GRACE", 0.0)
    began = time.monotonic()
    with pytest.raises(AnsibleConnectionFailure, match="no answer in 1 s: the host was lost"):
        action(monkeypatch, silent).run(None, {})
    assert 0.9 < time.monotonic() - began < 5
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("task", [{"timeout": 5}, {"async_val": 100}])
def test_the_limit_of_the_task_itself_goes_first(task: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    def armed(self, **_kwargs):
        return {"timer": signal.getitimer(signal.ITIMER_REAL)[0]}

    assert action(monkeypatch, armed, **task).run(None, {}) == {"timer": 0.0}
    assert action(monkeypatch, armed).run(None, {})["timer"] > GRACE


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        ({}, LIMIT),
        ({"wait_timeout": 60}, 60 + GRACE),
        ({"wait_timeout": "60", "stable_for": 30}, 90 + GRACE),
        ({"wait_timeout": "soon"}, GRACE),
    ],
)
def test_the_limit_leaves_the_module_its_own_wait(arguments: dict, limit: float) -> None:
    assert time_limit(arguments) == limit
