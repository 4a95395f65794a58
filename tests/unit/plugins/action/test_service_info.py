# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a look at systemd is enough, and who words the errors."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from ansible.plugins.action import ActionBase

from ansible_collections.chainops.lifecycle.plugins.action import service_info

WELL = {"services": [{"state": "running"}]}
ILL = {"services": [{"state": "error"}]}
REFUSED = {"failed": True, "msg": "services[0].start_timeout: no float"}
FULL = {"services": ["all that there is"]}
BESU = {"name": "besu", "besu": {"rpc_url": "http://127.0.0.1:8545"}}


@pytest.mark.parametrize(
    "args, small, expected",
    [
        ({"services": ["a"]}, WELL, ["small"]),
        ({"services": ["a"]}, ILL, ["small"]),
        ({"services": ["a"], "diagnose": "errors"}, WELL, ["small"]),
        ({"services": ["a"], "diagnose": "errors"}, ILL, ["small", "full"]),
        ({"services": ["a"], "diagnose": "always"}, WELL, ["full"]),
        ({"services": [{**BESU, "kind": "besu"}]}, WELL, ["full"]),
        ({"services": [BESU]}, WELL, ["full"]),
        ({"services": [{"name": "a", "probes": [{"kind": "tcp", "port": 1}]}]}, WELL, ["full"]),
        ({"services": [{"name": "a", "start_timeout": "long"}]}, REFUSED, ["small", "full"]),
        ({"services": [{"name": "a"}], "history": "1h"}, WELL, ["full"]),
    ],
)
def test_what_is_sent(monkeypatch, args, small, expected):
    plugin = service_info.ActionModule(
        task=MagicMock(args=args, async_val=0),
        connection=MagicMock(),
        play_context=MagicMock(),
        loader=None,
        templar=None,
        shared_loader_obj=None,
    )
    ran = []

    def execute(module_name=None, _module_args=None, **_options):
        ran.append("full" if module_name is None else "small")
        return FULL if module_name is None else small

    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(plugin, "_execute_module", execute)
    result = plugin.run(None, {})
    assert (ran, result) == (expected, FULL if expected[-1] == "full" else small)
