# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has to act one after the other, and that they do."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _play_lock
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._play_lock import in_turn, turn

TWO = ["n1", "n2"]


@pytest.mark.parametrize(
    ("arguments", "batch", "expected"),
    [
        ({"state": "restarted"}, TWO, True),
        ({"state": "stopped", "validator": None}, TWO, True),
        ({"state": "reset", "quorum_guard": "enforce", "validator": "yes"}, TWO, True),
        ({"state": "restarted"}, ["n1"], False),
        ({"state": "restarted"}, [], False),
        ({}, TWO, False),
        ({"state": "synced"}, TWO, False),
        ({"state": "restarted", "reservation": "me"}, TWO, False),
        ({"state": "restarted", "quorum_guard": "off"}, TWO, False),
        ({"state": "restarted", "quorum_guard": False}, TWO, False),
        ({"state": "restarted", "validator": False}, TWO, False),
        ({"state": "restarted", "quorum_lost": "restart_all"}, TWO, False),
    ],
)
def test_who_waits_for_a_turn(arguments, batch, expected):
    assert in_turn(arguments, batch) is expected


def test_one_after_the_other_however_it_ends(monkeypatch, tmp_path):
    """The second is told to wait, and goes on when the first has ended with an error."""
    monkeypatch.setattr(_play_lock.constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    waits, order = threading.Event(), []

    def second():
        with turn("x", waits.set):
            order.append("second")

    other = threading.Thread(target=second, daemon=True)
    with pytest.raises(KeyError), turn("x", lambda: order.append("nobody is before it")):
        other.start()
        assert waits.wait(10)
        order.append("first")
        raise KeyError
    other.join(10)
    assert order == ["first", "second"]
