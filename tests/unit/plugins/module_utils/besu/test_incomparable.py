# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of an old head, and nobody's height to compare it with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import NodeOptions, Reference, UnitStatus
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.besu.test_classify import (
    NOW,
    lines,
    look,
    tell,
    told,
)


def quiet(at=1000.0):
    """A look at a node that tells no heights of its peers (no ADMIN), of a chain that has was stalled for hours."""
    return replace(look(at=at, age=at + 6200.0), peers=None, bft=None)


def test_a_stall_without_heights_is_told_by_the_rounds():
    log = lines("x | RoundTimer | Moved to round 10 which will expire in 4,096 seconds", at=NOW + 900.0)
    verdict = tell(quiet(), quiet(1010.0), log=log)
    assert (verdict.state, verdict.cause, verdict.settled) == ("error", "chain_stalled", True)
    assert "round 10" in " ".join(verdict.reasons) and not verdict.futile
    assert not tell(quiet(), log=log).settled, "one look"
    assert told(quiet(), quiet(1010.0), unit=UnitStatus(since=990.0), log=log) == ("syncing", None)


@pytest.mark.parametrize(
    ("seconds", "more", "ends"),
    [
        (59.0, {}, False),
        (61.0, {}, True),
        (61.0, {"options": NodeOptions(stall_timeout=100.0)}, False),
        (61.0, {"unit": UnitStatus(since=1002.0)}, False),
        (61.0, {"log": lines("Header import progress 2.93%", at=NOW + 1030.0)}, False),
        (61.0, {"references": [Reference("r", 500)]}, False),
    ],
)
def test_a_wait_with_nothing_to_compare_with_ends_after_the_time_of_a_stall(seconds, more, ends):
    verdict = tell(quiet(), quiet(1000.0 + seconds), **more)
    assert bool(verdict.futile) is ends
    if ends:
        assert (verdict.state, verdict.cause, verdict.wants_log) == ("syncing", None, True)
        assert "ADMIN" in verdict.futile and "reference_urls" in verdict.futile
