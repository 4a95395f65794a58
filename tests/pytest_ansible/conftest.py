# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This computer as the host of tests that run Ansible in their own process.

Ansible has to be the one who loads the collection there, or it does not find
its modules: nothing of it is imported before.
"""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

import pytest
from ansible.plugins.loader import init_plugin_loader


@pytest.fixture(scope="session")
def plugin_loader() -> None:
    init_plugin_loader()


@pytest.fixture
def localhost(plugin_loader: None, ansible_adhoc: t.Any, tmp_path: Path) -> t.Any:
    """Calls modules on this computer."""
    inventory = tmp_path / "inventory"
    inventory.write_text(f"here ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    return ansible_adhoc(inventory=str(inventory), host_pattern="all").all
