# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus text: the few values of a Besu that matter, from a body that may be anything. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Format: Prometheus exposition format 0.0.4. Category ``ethereum`` has no ``besu_`` prefix (BesuMetricCategory).
"""

from __future__ import annotations

import math
import re
import typing as t

HEIGHT = "ethereum_blockchain_height"
BEST_KNOWN = "ethereum_best_known_block_number"
PEERS = "ethereum_peer_count"
HEAD_TIMESTAMP = "besu_blockchain_chain_head_timestamp"
IN_SYNC = "besu_synchronizer_in_sync"
PROCESS_START = "process_start_time_seconds"
WANTED = frozenset((HEIGHT, BEST_KNOWN, PEERS, HEAD_TIMESTAMP, IN_SYNC, PROCESS_START))

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]{0,199})[ \t]+([0-9.eE+-]{1,40})(?:[ \t]+-?[0-9]{1,20})?[ \t]*$")
_MAX_LINES = 50000


def parse(text: str, wanted: t.Collection[str] = WANTED) -> dict[str, float]:
    """The samples without labels whose names are in ``wanted``; invalid lines and numbers are left out."""
    found: dict[str, float] = {}
    for line in text.split("\n", _MAX_LINES)[:_MAX_LINES]:
        if line[:1] in ("#", "") or line.partition(" ")[0] not in wanted:
            continue
        match = _LINE.match(line.rstrip("\r"))
        if match is None:
            continue
        try:
            value = float(match[2])
        except ValueError:
            continue
        if math.isfinite(value):
            found[match[1]] = value
    return found
