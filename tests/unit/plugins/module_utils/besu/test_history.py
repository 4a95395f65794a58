# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one run of a wait knows of a process is carried on to the next."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.history import (
    SampleHistory,
    append_sample,
    dump,
    restore,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import Block


def look(at: float, number: int, **more: t.Any) -> NodeSample:
    return NodeSample(at, 1.8e9 + at, "ok", head=Block(number, 0, f"0x{number:064x}", "0x"), **more)


def watched(*points: tuple[float, int], **more: t.Any) -> SampleHistory:
    track = None
    for at, number in points:
        track = append_sample(track, look(at, number, **more), "run")
    assert track is not None
    return track


def carry(track: SampleHistory, sample: NodeSample, invocation: str = "run") -> SampleHistory:
    kept = json.loads(json.dumps(dump(track)))
    return append_sample(restore(kept, sample, invocation), sample, invocation)


def test_the_rate_goes_on() -> None:
    track = carry(watched((100.0, 1000), (110.0, 2000)), look(112.0, 2200))
    assert track.rate == 100.0
    assert (track.first_number, track.answered_at) == (1000, 100.0)


def test_time_in_which_nobody_watched_counts_for_no_condition_but_a_head_that_is_the_same() -> None:
    """Peers may have come and gone meanwhile. A head cannot, but the process may have been frozen: 45 s count at most."""
    track = carry(watched((100.0, 5), (140.0, 5), peer_count=0), look(900.0, 5, peer_count=0))
    assert (track.head_since, track.alone_since) == (860.0 - 45.0, 860.0)
    track = carry(track, look(930.0, 5, peer_count=0))
    track = append_sample(track, look(950.0, 5, peer_count=0), "run")
    assert (track.head_since, track.alone_since) == (815.0, 890.0)


def test_a_head_that_advanced_while_nobody_watched_may_have_advanced_at_any_time_of_it() -> None:
    track = carry(watched((100.0, 5), (140.0, 5)), look(170.0, 9))
    assert (track.head_since, track.advanced_at) == (170.0, 140.0)
    track = append_sample(track, look(172.0, 10), "run")
    assert (track.head_since, track.advanced_at) == (172.0, 172.0)


def test_a_look_that_shows_progress_ends_it() -> None:
    assert carry(watched((100.0, 5), (140.0, 5)), look(150.0, 6)).head_since == 150.0


def test_another_process_has_nothing_to_go_on_from() -> None:
    track = carry(watched((100.0, 5), (140.0, 5)), look(150.0, 5), "another")
    assert (track.head_since, track.first_number, track.points) == (150.0, 5, ((150.0, 5),))


def test_one_look_is_still_one_look() -> None:
    """Two looks of this run have to agree before anything is told."""
    assert carry(watched((100.0, 5), (140.0, 5)), look(150.0, 6)).earlier is None


def test_nothing_carried() -> None:
    assert restore({}, look(1.0, 1), "run") is None
