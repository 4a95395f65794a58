# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every host's process would load is loaded once, by the action plugins that roles and playbooks begin with."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
from ansible.plugins import loader
getattr(loader, "init_plugin_loader", lambda: None)()
loader.action_loader.get(sys.argv[1], class_only=True)
before = set(sys.modules)
loader.filter_loader.get("chainops.lifecycle.host_pattern")
loader.test_loader.get("failed")
print(json.dumps(sorted({"ansible_collections.chainops.lifecycle.plugins.filter.filters", *sys.modules} - before)))
"""


@pytest.mark.parametrize("action", ["check_variables", "service_info", "service_drive", "service_drive_all"])
def test_the_filters_are_there_once_the_action_plugin_is(action: str) -> None:
    argv = [sys.executable, "-c", SCRIPT, f"chainops.lifecycle.{action}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
