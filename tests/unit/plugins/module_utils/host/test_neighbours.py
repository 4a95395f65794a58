# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which other units an act starts or stops, for tables of units."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import neighbours as n


class Units:
    """Units as ``systemctl show`` has them; counts the calls."""

    def __init__(self, **units):
        self.units = {f"{name}.service": properties for name, properties in units.items()}
        self.calls = 0

    def __call__(self, names):
        self.calls += 1
        base = {"LoadState": "loaded", "ActiveState": "active"}
        absent = {"LoadState": "not-found", "ActiveState": "inactive"}
        return {name: {**base, **self.units[name]} if name in self.units else absent for name in names}


def names(found):
    return [one.unit.replace(".service", "") for one in found]


DOWN, FAILED = {"ActiveState": "inactive"}, {"ActiveState": "failed"}


@pytest.mark.parametrize(
    "relation, on_stop, on_restart",
    [
        ("RequiredBy", ["api"], ["api"]),
        ("RequisiteOf", ["api"], ["api"]),
        ("BoundBy", ["api"], ["api"]),
        ("ConsistsOf", ["api"], ["api"]),
        ("PropagatesStopTo", ["api"], []),
        ("WantedBy", [], []),
        ("TriggeredBy", [], []),
        ("Before", [], []),
    ],
)
def test_stopped_with(relation, on_stop, on_restart):
    show = Units(db={relation: "api.service"}, api={})
    assert names(n.stopped_with("db.service", show, restart=False)) == on_stop
    assert names(n.stopped_with("db.service", show, restart=True)) == on_restart


@pytest.mark.parametrize("state", ["activating", "reloading", "deactivating", "active", "maintenance"])
def test_what_is_up_in_any_way_is_stopped(state):
    show = Units(db={"RequiredBy": "a.service"}, a={"ActiveState": state})
    assert names(n.stopped_with("db.service", show, restart=False)) == ["a"]


def test_what_is_down_is_not_stopped_but_what_depends_on_it_is():
    show = Units(db={"RequiredBy": "api.service"}, api={**DOWN, "BoundBy": "web.service"}, web={})
    (found,) = n.stopped_with("db.service", show, restart=True)
    assert (found.unit, found.relation, found.of) == ("web.service", "BoundBy", "api.service")


def test_a_circle_of_dependants_ends():
    show = Units(
        db={"RequiredBy": "api.service"},
        api={"RequiredBy": "db.service web.service"},
        web={"ConsistsOf": "api.service"},
    )
    assert names(n.stopped_with("db.service", show, restart=False)) == ["api", "web"]
    assert show.calls <= 4, "one call for each distance"


def test_started_with_goes_through_what_is_down():
    show = Units(
        web={**DOWN, "Requires": "api.service sysinit.target"},
        api={**FAILED, "BindsTo": "db.service up.service"},
        db=DOWN,
        up={"Requires": "deep.service"},
        deep=DOWN,
    )
    assert names(n.started_with("web.service", show)) == ["api", "db"]


def test_what_does_not_exist_is_not_started():
    assert n.started_with("web.service", Units(web={**DOWN, "Requires": "gone.service"})) == ()


@pytest.mark.parametrize("relation", ["Conflicts", "ConflictedBy"])
@pytest.mark.parametrize(
    "state, running", [("active", ["ntp"]), ("activating", ["ntp"]), ("inactive", []), ("failed", [])]
)
def test_in_conflict_from_both_sides(relation, state, running):
    show = Units(chrony={**DOWN, relation: "shutdown.target ntp.service"}, ntp={"ActiveState": state})
    assert names(n.in_conflict(["chrony.service"], show)) == running


def test_the_conflicts_of_what_is_started_besides_count():
    show = Units(web={**DOWN, "Requires": "api.service"}, api={**DOWN, "Conflicts": "old.service"}, old={})
    started = [one.unit for one in n.started_with("web.service", show)]
    (found,) = n.in_conflict(["web.service", *started], show)
    assert (found.unit, found.of) == ("old.service", "api.service")
