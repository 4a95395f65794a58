# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus text, true and hostile."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import metrics

RECORDED = """# HELP ethereum_blockchain_height The current height of the canonical chain
# TYPE ethereum_blockchain_height gauge
ethereum_blockchain_height 1411.0
# HELP ethereum_best_known_block_number The estimated highest block available
ethereum_best_known_block_number 1.795512291E9
ethereum_peer_count 4.0 1795512291000
besu_peers_peer_count_by_client{client="Besu",} 4.0
process_start_time_seconds 1.795512276182E9
"""


def test_recorded_lines():
    assert metrics.parse(RECORDED) == {
        metrics.HEIGHT: 1411.0,
        metrics.BEST_KNOWN: 1795512291.0,
        metrics.PEERS: 4.0,
        metrics.PROCESS_START: 1795512276.182,
    }


@pytest.mark.parametrize(
    "line",
    [
        "",
        "#",
        "ethereum_blockchain_height",
        "ethereum_blockchain_height ",
        "ethereum_blockchain_height x",
        "ethereum_blockchain_height 1-2",
        "ethereum_blockchain_height 1 2 3",
        'ethereum_blockchain_height{a="b"} 1',
        "ethereum_blockchain_height " + "9" * 100,
        " ethereum_blockchain_height 1",
    ],
)
def test_what_is_no_sample_is_left_out(line):
    assert metrics.parse(line + "\nethereum_peer_count 1\n") == {metrics.PEERS: 1.0}


def test_a_flood_of_lines_is_read_in_part():
    assert metrics.parse("a 1\n" * 60000 + "ethereum_peer_count 1\n") == {}
