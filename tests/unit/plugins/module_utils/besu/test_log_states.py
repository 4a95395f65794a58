# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lines of a Besu prove of its past, as a real one writes them."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log_states import NodeLogStates
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.log_states import Stretch

HASH = "0x6eb1d02c9180395e2af2378712d2defb70e7208ab9dc426e6a3d457ab1dba488"


def line(at: float, logger: str, message: str, thread: str = "main") -> tuple[float, str]:
    return at, f"2026-11-24 08:30:{at:06.3f}+00:00 | {thread} | INFO  | {logger} | {message}"


def colours(at: float, logger: str, message: str) -> tuple[float, str]:
    off = "\x1b[m\x1b[2m | \x1b[m"
    return (
        at,
        f"\x1b[m\x1b[2m2026-11-24 08:30:10.212+0000{off}main{off}\x1b[32mINFO {off}{logger}{off}\x1b[32m{message}",
    )


def as_json(at: float, logger: str, message: str) -> tuple[float, str]:
    return at, f'{{"level":"INFO","thread":"main","class":"{logger}","message":"{message}","throwable":""}}'


def imported(at: float, number: int) -> tuple[float, str]:
    """By what a peer sends, as every node does."""
    said = f"Imported empty block #{number:,} / 0 tx / 0 om / 0 (0.0%) gas / ({HASH}) in 0.007s. Peers: 3"
    return line(at, "PersistBlockTask", said, "EthScheduler-Workers-6")


def agreed(at: float, number: int, verb: str = "Imported") -> tuple[float, str]:
    """By its own consensus."""
    said = f"{verb} empty block #{number:,} / 0 tx / 0 pending / 0 (0.0%) gas / ({HASH})"
    return line(at, "QbftBesuControllerBuilder", said, "BftProcessorExecutor-QBFT-0")


def produced(at: float, number: int) -> tuple[float, str]:
    return agreed(at, number, "Produced")


def synced(at: float, number: int) -> tuple[float, str]:
    return line(at, "FullImportBlockStep", f"Import reached block {number} ({HASH}), - Mg/s, Peers: 3")


START = (line(1, "Besu", "Starting Besu"), line(4, "Runner", "Ethereum main loop is up."))
OUT_OF_SYNC = line(5, "TransactionPoolFactory", "Node out of sync, disabling transaction handling")
BEHIND = "Stopping BFT mining coordinator while we are syncing"
LOOKS = line(
    6, "FullSyncTargetManager", "Unable to find sync target. Waiting for 5 peers minimum. Currently checking 0"
)

ROWS: dict[str, tuple[tuple[tuple[float, str], ...], bool, list[tuple[float, str]]]] = {
    "a node that comes back": ((*START, imported(5, 31), imported(7, 32)), True, [(0, "starting"), (5, "running")]),
    "a validator that comes back": (
        (*START, imported(5, 31), agreed(7, 32), produced(9, 33), agreed(11, 34)),
        True,
        [(0, "starting"), (5, "running"), (9, "consensus")],
    ),
    "a full sync": (
        (*START, OUT_OF_SYNC, synced(12, 200), synced(14, 1400), imported(22, 1581)),
        True,
        [(0, "starting"), (5, "syncing"), (22, "running")],
    ),
    "it says that it is in sync, and has done nothing": (
        (*START, line(5, "TransactionPoolFactory", "Node is in sync, enabling transaction handling"), LOOKS),
        True,
        [(0, "starting"), (14, "unknown")],
    ),
    "no block for a minute": (
        (imported(1, 5), imported(100, 6)), False, [(0, "unknown"), (1, "running"), (61, "unknown"), (100, "running")],
    ),
    "rounds without a block tell who is cut off as little as who stalls": (
        (produced(1, 5), *(line(n, "RoundTimer", f"Moved to round {n} which will expire in 16 seconds") for n in (9, 30))),
        False,
        [(0, "unknown"), (1, "consensus"), (61, "unknown")],
    ),
    "a validator that falls behind for a moment": (
        (produced(1, 5), line(3, "BftMiningCoordinator", BEHIND), imported(5, 9), produced(7, 10)),
        False,
        [(0, "unknown"), (1, "consensus"), (3, "syncing"), (5, "running"), (7, "consensus")],
    ),
    "one that was voted out": (
        (produced(1, 4), produced(9, 8), *(imported(9 + n, 8 + n) for n in range(1, 12))),
        False,
        [(0, "unknown"), (1, "consensus"), (19, "running")],
    ),
    "a block that it holds invalid": (
        (synced(1, 200), line(2, "MainnetBlockValidator", "Invalid block 201 (0x2fc3): Optional[...]"),
         line(3, "BftMiningCoordinator", BEHIND), synced(9, 400)),
        False,
        [(0, "unknown"), (1, "syncing"), (2, "unknown"), (9, "syncing")],
    ),
    "a process of which systemd's record is missing": (
        (produced(1, 5), *(line(9 + at, "Besu", "Starting Besu") for at in (0,))), False,
        [(0, "unknown"), (1, "consensus"), (9, "starting")],
    ),
    "an execution client": (
        (line(1, "AbstractEngineNewPayload", "Imported #21,000,000 (0x6eb1d0.....dba488)|  150 tx|  16 ws"),), False,
        [(0, "unknown"), (1, "running")],
    ),
    "colours": ((colours(1, "QbftBesuControllerBuilder", "Produced #1,234 / 3 tx"),), False, [(0, "unknown"), (1, "consensus")]),
    "json": ((as_json(1, "FullImportBlockStep", f"Import reached block 400 ({HASH})"),), False, [(0, "unknown"), (1, "syncing")]),
    "words of another": (
        (line(1, "EthPeer", "it said: Produced block #5"), line(2, "Besu", "Failed, not Starting Besu")), False,
        [(0, "unknown")],
    ),
    "a line of a megabyte": ((line(1, "X", "Imported #" * 100_000), (2, "Imported #" + "9" * 100_000)), False, [(0, "unknown")]),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_states(name: str) -> None:
    lines, fresh, states = ROWS[name]
    assert NodeLogStates().states(Stretch(0, 130, lines, 0, fresh, True))[: len(states)] == states, name


def test_a_slow_chain_may_be_silent_for_longer() -> None:
    lines: t.Any = (imported(1, 5), imported(100, 6))
    assert NodeLogStates(120.0).states(Stretch(0, 130, lines, 0, False, True)) == [(0, "unknown"), (1, "running")]
