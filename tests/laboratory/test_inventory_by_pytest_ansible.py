# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory's inventory serves pytest-ansible: its fixtures reach every host.

Apart from the other tests, because they run without pytest-ansible: its loader
hides the collection from tests that import it.
"""

from __future__ import annotations

import typing as t

import pytest

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.tests.lab import Fleet


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_pytest_ansible_reaches_every_host(fleet: Fleet, ansible_adhoc: t.Any) -> None:
    hosts = ansible_adhoc(inventory=str(fleet.inventory), host_pattern="all")
    answers = hosts.all.ping()
    assert {name: answer["ping"] for name, answer in answers.contacted.items()} == dict.fromkeys(fleet.hosts, "pong")
