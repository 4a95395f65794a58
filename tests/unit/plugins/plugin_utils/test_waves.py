# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts in waves and batches: tables. tests/property/test_waves_property.py has what holds of all of them."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _waves as w
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError


def members(*given):
    """A member for each text: its host, and after a colon its domain; ``?`` is one that is not known, ``!`` is last."""
    found = []
    for text in given:
        host, _colon, domain = text.partition(":")
        keys = (w.Key("rack", None if domain == "?" else domain),) if domain else ()
        found.append(w.WaveMember(host.rstrip("!"), keys, host.endswith("!")))
    return found


@pytest.mark.parametrize(
    ("hosts", "sizes", "waves"),
    [
        (0, [1], []),
        (1, w.DEFAULT, [1]),
        (2, w.DEFAULT, [1, 1]),
        (4, w.DEFAULT, [1, 1, 2]),
        (20, w.DEFAULT, [1, 2, 10, 7]),
        (100, w.DEFAULT, [1, 10, 50, 39]),
        (5, [], [5]),
        (5, ["100%"], [5]),
        (5, [2], [2, 3]),
        (5, [3, 3, 3], [3, 2]),
        (5, ["1%"], [1, 4]),
        (5, [" 2 "], [2, 3]),
    ],
)
def test_sizes(hosts, sizes, waves):
    made = w.in_waves(members(*(f"h{number}" for number in range(hosts))), sizes)
    assert [sum(map(len, wave)) for wave in made] == waves
    assert all(len(wave) == 1 for wave in made), "what shares nothing goes side by side"


@pytest.mark.parametrize(
    ("given", "batches"),
    [
        (["a:1", "b:2", "c:1", "d:2"], [["a", "b"], ["c", "d"]]),
        (["a:1", "b:1", "c", "d:2"], [["a", "c", "d"], ["b"]]),
        (["a:1", "b:?", "c:2"], [["a"], ["b"], ["c"]]),
        (["a:?", "b:?"], [["a"], ["b"]]),
        (["a!", "b", "c!:1", "d:1"], [["b", "d"], ["a", "c"]]),
        (["a!:1", "b!:1"], [["a"], ["b"]]),
        ([], []),
    ],
)
def test_batches_of_a_wave(given, batches):
    assert w.in_batches(members(*given)) == batches


@pytest.mark.parametrize(
    ("given", "serial", "sizes"),
    [
        (["a"] * 5, 2, [2, 2, 1]),
        (["a"] * 10, "30%", [3, 3, 3, 1]),
        (["a"] * 7, [1, 2, "50%"], [1, 2, 3, 1]),
        (["a"] * 4, "100%", [4]),
        (["a"] * 4, 0, [4]),
        (["a"] * 4, [], [1, 1, 1, 1]),
        (["a:1"] * 3, 5, [1, 1, 1]),
        (["a", "b:1", "c:1", "d"], 5, [2, 2]),
        (["a:1", "b:?", "c:2"], 5, [1, 1, 1]),
        ([], 1, []),
    ],
)
def test_how_many_at_a_time(given, serial, sizes):
    made = w.in_series(members(*given), serial)
    assert [len(batch) for batch in made] == sizes
    assert [host for batch in made for host in batch] == [one.partition(":")[0] for one in given], "the order is kept"


@pytest.mark.parametrize("size", ["many", 0, "0%", "101%", -1, "1.5"])
def test_a_size_that_means_nothing_is_refused(size):
    with pytest.raises(FleetError, match="waves: "):
        w.in_waves(members("a"), [size])
