# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which unit a hold is for."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.hold import apply
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Records
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import (
    Unit,
    VirtualClock,
    World,
)


@pytest.mark.parametrize(
    "name, scope, silent",
    [
        ("mariadb", "mariadb.service", False),
        ("mysql", "mariadb.service", False),
        ("gone@1", "gone@1.service", False),
        ("mysql", "mysql.service", True),
        (None, "_host", False),
    ],
)
def test_a_hold_is_for_the_unit_and_not_for_one_of_its_names(tmp_path, name, scope, silent):
    clock = VirtualClock()
    world = World(clock, Unit("mariadb.service", aliases=("mysql.service",)))
    world.broken = silent
    ledger = Records(clock, str(tmp_path), str(tmp_path))
    options = {"name": name, "owner": "ann", "reason": "a copy is running", "expires_in": None}

    def ask(state):
        return apply(ledger, Systemd(world), clock, {**options, "state": state}, False)

    assert ask("present")["hold"]["scope"] == scope
    assert ledger.hold(scope) is not None
    assert ask("absent")["changed"] and ledger.hold(scope) is None
