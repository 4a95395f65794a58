# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for tests that run Ansible in their own process.

Ansible has to be the one who loads the collection there, or it does not find
its modules: nothing of it is imported before.
"""

from __future__ import annotations

import os
import typing as t

import pytest
from ansible.plugins.loader import init_plugin_loader

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet


@pytest.fixture(scope="session")
def fleet() -> t.Iterator[Fleet]:
    """One host for each version of systemd."""
    init_plugin_loader()
    from ansible_collections.chainops.lifecycle.tests.support.lab import SUITES, Fleet, Group, problems

    missing = problems()
    if missing:
        pytest.skip("the laboratory cannot run here: " + "; ".join(map(str, missing)))
    with Fleet(f"pytest-ansible-{os.getpid()}", [Group(suite, 1, suite) for suite in SUITES]) as fleet:
        yield fleet
