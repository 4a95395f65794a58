# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The genesis file: block 0, chain configuration, and the timing of consensus."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from . import rlp
from .block import EMPTY_ROOT, ZERO_ADDRESS, ZERO_HASH, Block, HeaderConstants, hash_of
from .failures import StartFailure
from .keccak import keccak256

# What admin_nodeInfo shows of a chain's settings: neither transitions nor the period of empty blocks.
_BFT_NAMES = {
    "epochlength": "epochLength",
    "blockperiodseconds": "blockPeriodSeconds",
    "requesttimeoutseconds": "requestTimeoutSeconds",
}
# Of a chain whose blocks come from consensus clients, as mainnet: what stands for the block period.
ENGINE, SLOT = "engine", 12
_FORKS = (
    ("pragueTime", "Prague"),
    ("cancunTime", "Cancun"),
    ("shanghaiTime", "Shanghai"),
    ("londonBlock", "London"),
    ("berlinBlock", "Berlin"),
    ("istanbulBlock", "Istanbul"),
)


@dataclass(frozen=True)
class Genesis:
    """What a node takes from its genesis file. Periods and time-outs in seconds, as the file says."""

    block: Block
    constants: HeaderConstants
    chain_id: int
    validators: tuple[str, ...]
    consensus: str
    config: dict[str, object]
    block_period: int
    request_timeout: int
    epoch_length: int
    active_fork: str
    periods: tuple[tuple[int, int], ...] = field(default=())
    empty_block_period: int = 0

    def period_at(self, number: int) -> int:
        """The block period that holds for block ``number``, transitions regarded."""
        period = self.block_period
        for start, seconds in self.periods:
            if number >= start:
                period = seconds
        return period

    def interval_at(self, number: int) -> int:
        """The time from block ``number`` less 1 to it: there are no transactions, so empty blocks' period holds."""
        return max(self.period_at(number), self.empty_block_period)


def _malformed(error: Exception) -> StartFailure:
    if isinstance(error, json.JSONDecodeError):
        # Besu's parser words it for each kind of mistake; its class, the place and the rest of the text are these.
        return StartFailure(
            "Unable to load genesis file. com.fasterxml.jackson.core.io.JsonEOFException: Unexpected end-of-input: "
            "was expecting closing '\"' for name\n"
            " at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); "
            f"line: {error.lineno}, column: {error.colno}]"
        )
    return StartFailure(f"Unable to load genesis file. {error}")


def load(path: Path) -> Genesis:
    """Read a genesis file. ``StartFailure`` in Besu's words when it is missing or no genesis file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return parse(document)
    except FileNotFoundError:
        raise StartFailure(
            f"Unable to load genesis file. java.io.FileNotFoundException: {path} (No such file or directory)"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise _malformed(error) from error


def _number(value: object) -> int:
    return int(value, 0) if isinstance(value, str) else int(str(value))


def parse(document: dict[str, object]) -> Genesis:
    """Make a ``Genesis`` of the file's JSON. ``ValueError``, ``KeyError`` or ``TypeError`` when it is none."""
    config = dict(document["config"])  # type: ignore[call-overload]
    merged = "terminalTotalDifficulty" in config
    consensus = ENGINE if merged else "ibft2" if "ibft2" in config else "qbft"
    known = (*_BFT_NAMES, "emptyblockperiodseconds")
    bft = {
        str(k).lower(): _number(v)
        for k, v in dict({} if merged else config[consensus]).items()
        if str(k).lower() in known
    }
    extra = bytes.fromhex(str(document["extraData"]).removeprefix("0x"))
    transitions = dict(config.get("transitions", {})).get(consensus, [])
    periods = tuple(
        sorted((int(t["block"]), int(t["blockperiodseconds"])) for t in transitions if "blockperiodseconds" in t)
    )
    constants = _constants(document, config, extra, consensus)
    timestamp = _number(document.get("timestamp", "0x0"))
    miner = str(document.get("coinbase", ZERO_ADDRESS))
    bare = Block(0, "", str(document.get("parentHash", ZERO_HASH)), timestamp, miner)
    block = Block(0, hash_of(bare, (), constants), bare.parent, timestamp, miner)
    # As of Besu's own genesis files, proof of work is named and the end of it is not shown.
    shown = {k: v for k, v in config.items() if k not in ("transitions", "terminalTotalDifficulty", consensus)}
    if not merged:
        shown[consensus] = {_BFT_NAMES[name]: value for name in _BFT_NAMES if (value := bft.get(name)) is not None}
    return Genesis(
        block=block,
        constants=constants,
        chain_id=_number(config["chainId"]),
        validators=() if merged else tuple(rlp.validators_of(extra)),
        consensus=consensus,
        config=shown,
        block_period=SLOT if merged else bft.get("blockperiodseconds", 1),
        request_timeout=bft.get("requesttimeoutseconds", 1),
        epoch_length=bft.get("epochlength", 30000),
        active_fork=next((name for key, name in _FORKS if key in config), "Frontier"),
        periods=periods,
        empty_block_period=bft.get("emptyblockperiodseconds", 0),
    )


def _constants(document: dict[str, object], config: dict[str, object], extra: bytes, consensus: str) -> HeaderConstants:
    alloc = document.get("alloc") or {}
    # The stand-in keeps no state: accounts only make the root, and so the genesis hash, another one.
    root = "0x" + keccak256(json.dumps(alloc, sort_keys=True).encode()).hex() if alloc else EMPTY_ROOT
    return HeaderConstants(
        gas_limit=_number(document["gasLimit"]),
        state_root=root,
        base_fee=_number(document.get("baseFeePerGas", "0x3b9aca00")),
        genesis_extra=extra,
        genesis_mix_hash=str(document.get("mixHash", ZERO_HASH)),
        withdrawals="shanghaiTime" in config,
        ibft2=consensus == "ibft2",
        merged=consensus == ENGINE,
    )
