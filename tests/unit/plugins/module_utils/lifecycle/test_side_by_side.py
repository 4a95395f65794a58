# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services wait for which, and that what waits for nothing is done at the same time."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import side_by_side as s


def world(**units):
    """A systemd that knows these units; ``a={"Requires": "b.service"}``."""
    known = {f"{name}.service": relations for name, relations in units.items()}
    return lambda asked: {unit: known.get(unit, {}) for unit in asked}


def waits(order, guarded=(), depends=None, **units):
    members = [s.Member(f"{name}.service", tuple((depends or {}).get(name, ()))) for name in order]
    found = s.waits_for(members, world(**units), [f"{name}.service" for name in guarded])
    return {name: "".join(order[one] for one in sorted(found[place])) for place, name in enumerate(order)}


@pytest.mark.parametrize(
    ("relations", "expected"),
    [
        ({}, {"a": "", "b": ""}),
        ({"a": {"Requires": "b.service"}, "b": {"RequiredBy": "a.service"}}, {"a": "b", "b": ""}),
        ({"b": {"Requires": "a.service"}, "a": {"RequiredBy": "b.service"}}, {"a": "", "b": "a"}),
        ({"a": {"BindsTo": "b.service"}}, {"a": "b", "b": ""}),
        ({"a": {"Requisite": "b.service"}}, {"a": "b", "b": ""}),
        ({"a": {"PartOf": "b.service"}}, {"a": "b", "b": ""}),
        ({"a": {"After": "b.service"}}, {"a": "b", "b": ""}),
        ({"b": {"After": "a.service network.target"}}, {"a": "", "b": "a"}),
        # Through others that are not among them.
        ({"a": {"Requires": "x.service"}, "x": {"Requires": "b.service"}}, {"a": "b", "b": ""}),
        ({"a": {"RequiredBy": "x.service"}, "x": {"RequiredBy": "b.service"}}, {"a": "", "b": "a"}),
        # From either side, and in a circle: in their order.
        ({"a": {"Conflicts": "b.service"}}, {"a": "", "b": "a"}),
        ({"a": {"ConflictedBy": "b.service"}}, {"a": "", "b": "a"}),
        ({"a": {"Requires": "b.service"}, "b": {"Requires": "a.service"}}, {"a": "", "b": "a"}),
        # Both would stop the same unit.
        ({"a": {"RequiredBy": "x.service"}, "b": {"RequiredBy": "x.service"}}, {"a": "", "b": "a"}),
        ({"a": {"Conflicts": "x.service"}, "b": {"Conflicts": "x.service"}}, {"a": "", "b": "a"}),
        ({"a": {"Requires": "y.service"}, "y": {"Conflicts": "b.service"}}, {"a": "", "b": "a"}),
        # What everything has in common tells nothing.
        ({"a": {"Requires": "system.slice -.mount", "Conflicts": "shutdown.target"},
          "b": {"Requires": "system.slice -.mount", "Conflicts": "shutdown.target"}}, {"a": "", "b": ""}),
        ({"a": {"Requires": "x.service"}, "b": {"Requires": "x.service"}}, {"a": "", "b": ""}),
    ],
)  # fmt: skip
def test_two_services(relations, expected):
    assert waits("ab", **relations) == expected


def test_what_a_description_depends_on_goes_first():
    assert waits("abc", depends={"a": ["c.service"]}) == {"a": "c", "b": "", "c": ""}


def test_no_two_acts_take_along_what_has_guards_of_its_own():
    """Each guard would see the other validator still up."""
    relations = {name: {"RequiredBy": f"{neighbour}.service"} for name, neighbour in (("a", "v"), ("b", "w"))}
    assert waits("abc", guarded="vw", **relations) == {"a": "", "b": "a", "c": ""}
    assert waits("abc", guarded="v", **relations) == {"a": "", "b": "", "c": ""}


def test_each_unit_is_asked_for_once():
    asked: list = []

    def show(units):
        asked.extend(units)
        return {unit: {"Requires": "x.service"} for unit in units}

    s.waits_for([s.Member("a.service"), s.Member("b.service")], show)
    assert len(asked) == len(set(asked))


def run(waits_for, work, parallel=4, may_begin=lambda one: True, ended=lambda result: True):
    return s.run_side_by_side([frozenset(some) for some in waits_for], work, ended, parallel, may_begin)


def test_independent_ones_are_at_work_at_the_same_time():
    """Each ends only once all of them have begun."""
    together = threading.Barrier(3, timeout=20)
    assert run([(), (), ()], lambda one: together.wait() >= 0) == {0: True, 1: True, 2: True}


def test_no_more_than_are_allowed():
    now, most, lock, pair = [0], [0], threading.Lock(), threading.Barrier(2, timeout=20)

    def work(_one):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        pair.wait()
        with lock:
            now[0] -= 1

    run([()] * 6, work, parallel=2)
    assert most == [2]


def test_who_waits_begins_after_the_end_of_the_others():
    ended: list = []
    run([(1, 2), (), (1,)], ended.append)
    assert ended == [1, 2, 0]


def test_who_may_not_begin_is_left_out_and_so_is_who_waits_for_it():
    assert run([(), (0,), ()], lambda one: one, may_begin=lambda one: one != 0) == {2: 2}
    assert run([(), (0,)], lambda one: one, ended=lambda result: result != 0) == {0: 0}


def test_without_knowledge_they_go_one_by_one():
    assert s.one_by_one(3) == [frozenset(), {0}, {0, 1}]
