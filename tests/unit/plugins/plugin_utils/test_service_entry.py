# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which entries of many hosts are valid: each different one is validated once, and a wrong one each time."""

from __future__ import annotations

import copy
import datetime
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _service_entry as entries

NODE: dict[str, t.Any] = {
    "name": "besu",
    "kind": "besu",
    "besu": {"rpc_url": "http://127.0.0.1:8545", "rpc_password": "pa55"},
}


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[t.Any]:
    """What is validated from now on."""
    seen: list[t.Any] = []
    real = entries.describe

    def describe(given: t.Sequence[t.Any], kinds: t.Any) -> list[dict[str, t.Any]]:
        seen.extend(given)
        return real(given, kinds)

    monkeypatch.setattr(entries, "describe", describe)
    monkeypatch.setattr(entries, "_UNITS", {})
    return seen


def test_hosts_with_the_same_entries(validated: list[t.Any]) -> None:
    for _host in range(3):
        assert entries.split_entries(["api", dict(NODE)]) == (["api", NODE], [])
    assert validated == ["api", NODE]


def test_an_entry_that_was_changed_is_another_one(validated: list[t.Any]) -> None:
    node: dict[str, t.Any] = copy.deepcopy(NODE)
    assert entries.split_entries([node])[1] == []
    node["besu"]["rpc_uri"] = node["besu"].pop("rpc_url")
    ((name, problem),) = entries.split_entries([node])[1]
    assert name == "besu" and "rpc_uri is no option; did you mean rpc_url?" in problem


@pytest.mark.parametrize(
    "wrong", [{**NODE, "state": "wrong"}, {"name": "x", "wait_timeout": datetime.date(2026, 1, 2)}]
)
def test_a_wrong_entry_is_reported_for_each_host(wrong: dict[str, t.Any], validated: list[t.Any]) -> None:
    found = [entries.split_entries([wrong]) for _host in range(2)]
    assert found[0] == found[1] and found[0][0] == [] and found[0][1][0][0] == wrong["name"]
    assert validated == [wrong, wrong]


def test_a_service_that_is_described_twice_is_found_among_known_ones(validated: list[t.Any]) -> None:
    assert entries.split_entries(["api"])[1] == []
    assert [problem for _name, problem in entries.split_entries(["api", "api.service"])[1]] == [
        "lifecycle_services[1].name: api.service is described twice; give each service once"
    ]


def test_no_more_than_so_many_are_kept(validated: list[t.Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_MOST_UNITS", 2)
    for name in "abcabc":
        assert entries.split_entries([name]) == ([name], [])
        assert len(entries._UNITS) <= 2
