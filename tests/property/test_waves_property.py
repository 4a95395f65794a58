# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds of the waves and batches of any fleet."""

from __future__ import annotations

import sys
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _waves as w

KEYS = st.builds(w.Key, st.sampled_from(["chain", "rack"]), st.sampled_from([None, "a", "b", "c", "d"]))
HOSTS = st.lists(st.tuples(st.lists(KEYS, max_size=3, unique=True), st.booleans()), max_size=40).map(
    lambda some: [w.WaveMember(f"h{number}", tuple(keys), last) for number, (keys, last) in enumerate(some)]
)
SHARES = st.integers(1, 100).map(lambda share: f"{share}%")
SIZES = st.lists(st.one_of(st.integers(1, 30), SHARES), max_size=w.MAX_SIZES)


def conflict(one: w.WaveMember, other: w.WaveMember) -> bool:
    return any(a.sort == b.sort and (None in (a.value, b.value) or a == b) for a in one.keys for b in other.keys)


def check(members: list[w.WaveMember], waves: list[w.Wave]) -> None:
    by_host = {member.host: member for member in members}
    placed = [host for wave in waves for batch in wave for host in batch]
    assert sorted(placed) == sorted(by_host), "everything in need is in exactly one batch"
    assert all(batch for wave in waves for batch in wave) and all(waves)
    for batch in (batch for wave in waves for batch in wave):
        assert not any(conflict(by_host[a], by_host[b]) for a, b in combinations(batch, 2))


@given(HOSTS, SIZES)
def test_waves(members: list[w.WaveMember], sizes: list[int | str]) -> None:
    waves = w.in_waves(members, sizes)
    check(members, waves)
    assert len(waves) <= len(sizes) + 1
    place = {member.host: number for number, member in enumerate(members)}
    ends = [max(place[host] for batch in wave for host in batch) for wave in waves]
    starts = [min(place[host] for batch in wave for host in batch) for wave in waves]
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False)), "no wave overtakes another"
    for wave in waves:
        where = {host: number for number, batch in enumerate(wave) for host in batch}
        mine = [member for member in members if member.host in where]
        for one, other in combinations(mine, 2):
            if one.last == other.last and conflict(one, other):
                assert where[one.host] < where[other.host], "those that exclude each other keep their order"
            if one.last != other.last:
                first, then = (other, one) if one.last else (one, other)
                assert where[first.host] < where[then.host], "those that are last go last"


@given(HOSTS)
def test_the_canary_goes_alone_and_first(members: list[w.WaveMember]) -> None:
    waves = w.in_waves(members, w.DEFAULT)
    assert waves[:1] == [[[one.host]] for one in members[:1]]


@given(HOSTS, st.one_of(st.integers(0, 9), SHARES, st.lists(st.integers(1, 9), max_size=3)))
def test_series(members: list[w.WaveMember], serial: object) -> None:
    batches = w.in_series(members, serial)
    check(members, [batches] if batches else [])
    assert [host for batch in batches for host in batch] == [one.host for one in members], "in their order"


@given(HOSTS, SIZES, st.data())
def test_the_order_does_not_depend_on_who_else_is_there_before(
    members: list[w.WaveMember], sizes: list[int | str], data: st.DataObject
) -> None:
    """Made twice, a plan is the same; and of what is left after a run the order is the same."""
    assert w.in_waves(members, sizes) == w.in_waves(list(members), list(sizes))
    left = [one for one in members if data.draw(st.booleans())]
    flat = [host for batch in w.in_series(left, 3) for host in batch]
    assert flat == [one.host for one in members if one in left]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 3))
def test_the_work_grows_with_the_fleet_and_not_with_its_square(seed: int) -> None:
    """Counted in calls, which are the same on any machine."""

    def calls(hosts: int) -> int:
        members = [
            w.WaveMember(f"h{n}", (w.Key("rack", f"r{(n + seed) % (hosts // 20)}"), w.Key("chain", f"c{n % 50}")))
            for n in range(hosts)
        ]
        counted = 0

        def count(*_event: object) -> None:
            nonlocal counted
            counted += 1

        sys.setprofile(count)
        try:
            w.in_waves(members, w.DEFAULT)
        finally:
            sys.setprofile(None)
        return counted

    assert calls(8000) < 4.4 * calls(2000)
