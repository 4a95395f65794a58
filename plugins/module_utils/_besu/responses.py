# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a Besu's answers, checked for type and size before they are believed. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Shapes as recorded of 25.7 and 26.8. What does not have the shape is None.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from functools import lru_cache

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.keccak import address_from_public_key
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import escape_control

_HEX = re.compile(r"0x[0-9a-fA-F]{1,64}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_VERSION = re.compile(r"/v(\d{1,4}\.\d{1,4}[\w.+-]{0,40})(?:/|$)")
# "practical byzantine fault tolerance", as every block of QBFT and IBFT has it (EIP-650).
_BFT_MIX = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"
_MAX_PEERS = 2000
# No chain has more blocks, and no clock more seconds.
_MOST = 2**63
_LEAST_SECONDS = 0.001


@dataclass(frozen=True)
class Block:
    """A block's header, as far as it matters."""

    number: int
    timestamp: int
    hash: str = ""
    miner: str = ""
    difficulty: int | None = None


@dataclass(frozen=True)
class Peer:
    """A connected peer. ``height`` None: it has not said yet. ``port``: that which it listens on for others."""

    address: str | None
    height: int | None
    version: str | None
    port: int | None = None


@dataclass(frozen=True)
class Syncing:
    """The object of eth_syncing. (False is None here, see ``NodeSample.said_in_sync``.)"""

    current: int
    highest: int


@dataclass(frozen=True)
class BftConfig:
    """The chain's consensus settings, in seconds, as admin_nodeInfo has them; None where not given."""

    group: str
    block_period: float | None = None
    empty_block_period: float | None = None
    request_timeout: float | None = None
    epoch: int | None = None


def get(value: t.Any, key: str) -> t.Any:
    return value.get(key) if isinstance(value, dict) else None


def hex_number(value: t.Any) -> int | None:
    """A quantity such as ``0x1a``; None for anything else."""
    return int(value, 16) if isinstance(value, str) and _HEX.fullmatch(value) else None


def count_of(value: t.Any) -> int | None:
    """A quantity that counts blocks, seconds or peers."""
    number = hex_number(value)
    return number if number is not None and number < _MOST else None


def hash_of(value: t.Any) -> str | None:
    return value.lower() if isinstance(value, str) and _HASH.fullmatch(value) else None


def decimal(value: t.Any) -> int | None:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else None


def block(value: t.Any) -> Block | None:
    """A block of eth_getBlockByNumber; None where a part that matters is missing."""
    number, timestamp = count_of(get(value, "number")), count_of(get(value, "timestamp"))
    if number is None or timestamp is None:
        return None
    miner = get(value, "miner")
    miner = miner.lower() if isinstance(miner, str) and _ADDRESS.fullmatch(miner) else ""
    # A block of BFT is one whatever its difficulty is.
    difficulty = None if hash_of(get(value, "mixHash")) == _BFT_MIX else hex_number(get(value, "difficulty"))
    return Block(number, timestamp, hash_of(get(value, "hash")) or "", miner, difficulty)


def peers(value: t.Any, bft: bool) -> tuple[Peer, ...] | None:
    """The peers of admin_peers. Before 26.4 a height is the difficulty less 1, where each block adds 1 (QBFT, IBFT)."""
    if not isinstance(value, list):
        return None
    return tuple(_peer(item, bft) for item in value[:_MAX_PEERS])


def _peer(item: t.Any, bft: bool) -> Peer:
    eth = get(get(item, "protocols"), "eth")
    height = get(eth, "latestBlock")
    if not isinstance(height, int) or isinstance(height, bool) or not 0 <= height < _MOST:
        difficulty = hex_number(get(eth, "difficulty"))
        # A peer that has just connected says 0: that is not a height.
        height = difficulty - 1 if bft and difficulty and difficulty < _MOST else None
    key = get(item, "id")
    port = hex_number(get(item, "port"))
    return Peer(
        address_of(key) if isinstance(key, str) else None,
        height,
        version_of(get(item, "name")),
        port if port is not None and 0 < port < 65536 else None,
    )


@lru_cache(maxsize=4096)
def address_of(key: str) -> str | None:
    return address_from_public_key(key)


def syncing_of(value: t.Any) -> Syncing | None:
    current, highest = count_of(get(value, "currentBlock")), count_of(get(value, "highestBlock"))
    if current is None or highest is None:
        return None
    return Syncing(current, highest)


def version_of(name: t.Any) -> str | None:
    """``26.8.0`` of ``besu/v26.8.0/linux-x86_64/openjdk-java-25``."""
    match = _VERSION.search(name[:300]) if isinstance(name, str) else None
    return match[1] if match else escape_control(name, 80) if isinstance(name, str) and name else None


def bft_config(node_info: t.Any) -> BftConfig | None:
    """The settings of QBFT or IBFT2. The names are those of admin_nodeInfo, or of a genesis file (small letters)."""
    config = get(get(get(node_info, "protocols"), "eth"), "config")
    for key, group in (("qbft", "qbft"), ("ibft2", "ibft")):
        found = get(config, key)
        if isinstance(found, dict):
            settings = {str(name).lower(): value for name, value in found.items()}
            return BftConfig(
                group,
                _seconds(settings, "blockperiodseconds", "blockperiodmilliseconds", "xblockperiodmilliseconds"),
                _seconds(settings, "emptyblockperiodseconds"),
                _seconds(settings, "requesttimeoutseconds"),
                int(_seconds(settings, "epochlength") or 0) or None,
            )
    return None


@dataclass(frozen=True)
class NonBftConfig:
    """A chain whose blocks no quorum agrees on. ``on_demand``: a block is made only where there is a transaction."""

    name: str
    block_period: float | None = None
    on_demand: bool = False


def non_bft_config(node_info: t.Any) -> NonBftConfig | None:
    """The settings of Clique, or of proof of work: with a fixed difficulty that is a network for development.

    The genesis files of mainnet and its test networks name proof of work as well: their blocks tell that they left it.
    """
    config = get(get(get(node_info, "protocols"), "eth"), "config")
    work = get(config, "ethash")
    if isinstance(work, dict):
        fixed = "fixeddifficulty" in {str(name).lower() for name in work}
        return NonBftConfig("development", on_demand=True) if fixed else NonBftConfig("proof-of-work")
    found = get(config, "clique")
    if not isinstance(found, dict):
        return None
    settings = {str(name).lower(): value for name, value in found.items()}
    period = _seconds(settings, "blockperiodseconds")
    return NonBftConfig("Clique", period, period is None or settings.get("createemptyblocks") is False)


def _seconds(settings: t.Mapping[str, t.Any], name: str, *milliseconds: str) -> float | None:
    for key, scale in (*((key, 0.001) for key in milliseconds), (name, 1.0), ("x" + name, 1.0)):
        value = settings.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
            continue
        if value * scale >= _LEAST_SECONDS:
            return value * scale
    return None


def addresses(value: t.Any) -> tuple[str, ...] | None:
    """A validator set. One without members is none: no chain has that."""
    if (
        not value
        or not isinstance(value, list)
        or not all(isinstance(item, str) and _ADDRESS.fullmatch(item) for item in value)
    ):
        return None
    return tuple(dict.fromkeys(item.lower() for item in value))


def signers(value: t.Any) -> dict[str, int] | None:
    """Address -> last proposed block, of those who proposed one."""
    if not isinstance(value, list):
        return None
    found: dict[str, int] = {}
    for item in value:
        address, count = get(item, "address"), count_of(get(item, "proposedBlockCount"))
        last = count_of(get(item, "lastProposedBlockNumber"))
        if isinstance(address, str) and _ADDRESS.fullmatch(address) and count and last:
            found[address.lower()] = last
    return found
