# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run loads. Ansible ships source text, so that Python compiles on each run whatever the run imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import redact

# Where ``ansible_collections`` is; this process may find it by a hook of ansible-test, which another does not have.
ROOT = Path(redact.__file__).parents[6]
UTILS = "ansible_collections.chainops.lifecycle.plugins.module_utils."
# Each is needed for some services, or in trouble, and by none of these runs.
HEAVY = (
    "_besu.node",
    "_besu.quorum",
    "_cloudflared.connector",
    "_diagnosis.diagnose",
    "_diagnosis.resolved",
    "_host.http.client",
    "_host.staleness",
    "_lifecycle.history",
    "_lifecycle.timeline",
)
SCRIPT = """
import importlib, json, sys
importlib.import_module("ansible_collections.chainops.lifecycle.plugins.modules." + sys.argv[1])
print(json.dumps([name[len(sys.argv[2]):] for name in sys.modules if name.startswith(sys.argv[2])]))
"""


@pytest.mark.parametrize("module", ["service_info", "service_drive", "service_drive_all", "service", "service_hold"])
def test_an_ordinary_run_loads_no_other_kind_and_no_diagnosis(module: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    argv = [sys.executable, "-c", SCRIPT, module, UTILS]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60, env=environment)
    loaded = json.loads(done.stdout)
    assert "_host.systemd" in loaded or "_lifecycle.records" in loaded
    assert not set(HEAVY) & set(loaded)
