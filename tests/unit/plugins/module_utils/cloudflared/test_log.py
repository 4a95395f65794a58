# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Since when connections are missing, and which trouble is of now, under each log level."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.backoff import longest_silence
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log import read_log

NOW = 1_000_000.0
START = (900_000.0, "INF Starting tunnel")
HOURS = 36_000.0


def back(ago):
    return (ago, "INF Registered tunnel connection connIndex=0")


def loss(ago, level="ERR", index=0):
    return (ago, f'{level} Serve tunnel error error="connection with edge closed" connIndex={index}')


def log(*lines, silence=600.0):
    """``lines``: seconds before now, level and words."""
    return read_log([(NOW - ago, f"2026-01-01T00:00:00Z {text}") for ago, text in lines], 7844, NOW, silence)


@pytest.mark.parametrize(
    ("lines", "lost", "gone"),
    [
        # All levels: a registration ends a loss, and only that does.
        ([START, loss(50), loss(2)], 50, 50),
        ([START, loss(5000), loss(2)], 5000, 5000),
        ([START, loss(5000)], 5000, 5000),
        ([START, loss(5000), back(4000), loss(2)], 2, 2),
        ([START, loss(5000), back(4000)], None, None),
        # One connection is missing for hours, the others for seconds: a warning says that some are left.
        ([START, loss(HOURS, "WRN", 3), loss(2)], HOURS, 2),
        ([START, loss(HOURS, "WRN", 3), loss(300, "WRN", 3), loss(3, "WRN", 0), loss(2), loss(1)], HOURS, 2),
        ([START, loss(HOURS, "WRN", 3), loss(3, "WRN", 0)], HOURS, 3),
        ([START, (9, "INF Lost connection with the edge connIndex=0")], 9, 9),
        # Warnings and errors only: what ended is not told, and silence parts two outages.
        ([loss(172_800), loss(1)], 1, 1),
        ([loss(900), loss(400), loss(1)], 900, 900),
        ([loss(172_800, "WRN"), loss(3, "WRN"), loss(1)], 3, 1),
        ([loss(172_800)], None, None),
        ([], None, None),
    ],
)
def test_since_when(lines, lost, gone):
    view = log(*lines)
    ago = [None if at is None else NOW - at for at in (view.lost_at, view.gone_at)]
    assert ago == [lost, gone]


def test_silence_is_as_long_as_the_connector_may_be_silent():
    assert log(loss(1500), loss(1), silence=longest_silence(5)).lost_at == NOW - 1
    assert log(loss(1500), loss(1), silence=longest_silence(8)).lost_at == NOW - 1500


def test_trouble_of_yesterday_is_none_of_today():
    refused = 'ERR Register tunnel error from server side error="Unauthorized: Failed to get tunnel" connIndex=0'
    assert [line.at for line in log((86_400.0, refused), (30.0, refused)).trouble] == [NOW - 30.0]
    assert log((86_400.0, refused)).trouble == ()
