# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of a neighbour's own kind are asked before anything stops it."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils import _kinds
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.neighbours import Neighbours
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.whole_host import whole_host
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import Observer
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import (
    Unit,
    VirtualClock,
    World,
)


class Validator(Kind):
    """A kind that is asked whether it may be stopped."""

    machine = _kinds.KINDS["besu"].machine

    def guards(self, step, observation):
        return (Refusal("quorum", f"{step.action} of {observation.unit} from {observation.state}", "wait"),)


@pytest.fixture
def host(monkeypatch):
    clock = VirtualClock()
    found = whole_host("system", clock)
    found.systemd = Systemd(World(clock, Unit("besu.service", active="active", sub="running", aliases=("n1.service",))))
    found.observer = Observer(found.systemd, clock, lambda unit, window: None)
    own = _kinds.KINDS["besu"]
    made = own._replace(make=lambda environment, params: Validator())
    monkeypatch.setattr(_kinds, "KINDS", {**_kinds.KINDS, "besu": made})
    return found


@pytest.mark.parametrize(
    "described, said",
    [
        ([{"name": "besu", "kind": "besu"}], "stop of besu.service from running"),
        (["api", {"name": "n1", "kind": "besu"}], "stop of besu.service from running"),
        ([{"name": "besu"}], None),
        (["besu"], None),
        ([{"name": "other", "kind": "besu"}], None),
        ([{"name": "besu", "kind": "besu", "scope": "user"}], None),
        ([{"name": "../x", "kind": "besu"}, {"name": 7, "kind": "besu"}], None),
        (["api", {"name": "besu", "kind": "besu", "bseu": {}}], "its own guards could not be asked: neighbours[1]"),
    ],
)
def test_objections(host, described, said):
    found = Neighbours(host, "system", described).objections("besu.service")
    assert (found and said in found[0].reason) if said else found == ()
