# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Blocks: what a node stores of them, and the header that JSON-RPC shows."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from . import rlp
from .keccak import keccak256

EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
EMPTY_UNCLES = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
BFT_MIX_HASH = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"
ZERO_HASH = "0x" + "0" * 64
ZERO_ADDRESS = "0x" + "0" * 40
NO_BLOOM = "0x" + "0" * 512

Vote = tuple[str, bool]


@dataclass(frozen=True)
class Block:
    """What differs from one block to the next. ``vote``: (address, True to add) by the proposer."""

    number: int
    hash: str
    parent: str
    timestamp: int
    miner: str
    round: int = 0
    vote: Vote | None = None
    sealers: int = 0
    client: str = "26.8.0"

    def wire(self) -> list[object]:
        """As a JSON list, for the disk and for peers."""
        vote = list(self.vote) if self.vote else None
        return [
            self.number, self.hash, self.parent, self.timestamp, self.miner, self.round, vote, self.sealers, self.client
        ]  # fmt: skip

    @classmethod
    def from_wire(cls, fields: object) -> Block:
        """The block of a JSON list. ``ValueError`` when it is none."""
        if not isinstance(fields, list) or len(fields) != 9:
            raise ValueError("this is no block")
        number, hash_, parent, timestamp, miner, round_, vote, sealers, client = fields
        ballot = (str(vote[0]), bool(vote[1])) if vote else None
        return cls(
            int(number), str(hash_), str(parent), int(timestamp), str(miner), int(round_), ballot, int(sealers),
            str(client),
        )  # fmt: skip


@dataclass(frozen=True)
class HeaderConstants:
    """Header fields that a chain keeps from its genesis on."""

    gas_limit: int
    state_root: str
    base_fee: int
    genesis_extra: bytes
    genesis_mix_hash: str
    withdrawals: bool
    ibft2: bool = False
    merged: bool = False


@functools.lru_cache(maxsize=4096)
def base_fee_at(number: int, start: int) -> int:
    """The base fee of an empty block: an eighth less than its parent's, as long as there is an eighth."""
    fee = start
    for _unused in range(number):
        if fee // 8 == 0:
            break
        fee -= fee // 8
    return fee


def vanity_of(client: str) -> bytes:
    """Besu writes its name and version to the end of the 32 bytes of vanity data."""
    return f"besu {client}".encode().rjust(32, b"\0")


def seal(block_hash: str, validator: str) -> bytes:
    """65 bytes that stand for a committed seal. They are no signature."""
    digest = hashlib.sha512(f"{block_hash}{validator}".encode()).digest()
    return digest + bytes([digest[0] & 1])


def extra_data_of(block: Block, validators: Sequence[str], constants: HeaderConstants, sealed: bool) -> bytes:
    """The header's extra data; not ``sealed`` as it is hashed: without seals and round."""
    if block.number == 0:
        return constants.genesis_extra
    if constants.merged:
        return f"besu {block.client}".encode()
    seals = [seal(block.hash, v) for v in validators[: block.sealers]] if sealed else []
    round_ = block.round if sealed else 0
    vanity = vanity_of(block.client)
    if constants.ibft2:
        return rlp.extra_data_ibft2(vanity, validators, block.vote, round_, seals)
    return rlp.extra_data(vanity, validators, block.vote, round_, seals)


def _shanghai(block: Block, constants: HeaderConstants) -> bool:
    """Before 26.1 the proposer of a BFT block left the withdrawals out."""
    return constants.withdrawals and (block.number == 0 or int(block.client.split(".")[0]) >= 26)


def _fields(block: Block, constants: HeaderConstants, extra: bytes) -> list[object]:
    raw = rlp.address_bytes
    fields: list[object] = [
        raw(block.parent), raw(EMPTY_UNCLES), raw(block.miner), raw(constants.state_root), raw(EMPTY_ROOT),
        raw(EMPTY_ROOT), bytes(256), _difficulty(block, constants), block.number, constants.gas_limit, 0, block.timestamp, extra,
        raw(mix_hash_of(block, constants)), bytes(8), base_fee_at(block.number, constants.base_fee),
    ]  # fmt: skip
    return [*fields, raw(EMPTY_ROOT)] if _shanghai(block, constants) else fields


def _difficulty(block: Block, constants: HeaderConstants) -> int:
    """Blocks of a consensus client have none."""
    return 0 if constants.merged and block.number > 0 else 1


def mix_hash_of(block: Block, constants: HeaderConstants) -> str:
    """BFT blocks carry a fixed mix hash, those of a consensus client a random one; block 0 what the genesis file says."""
    if constants.merged and block.number > 0:
        return "0x" + hashlib.sha256(block.parent.encode()).hexdigest()
    return constants.genesis_mix_hash if block.number == 0 else BFT_MIX_HASH


def hash_of(block: Block, validators: Sequence[str], constants: HeaderConstants) -> str:
    """The hash by which the chain knows the block."""
    extra = extra_data_of(block, validators, constants, sealed=False)
    return "0x" + keccak256(rlp.encode(_fields(block, constants, extra))).hex()


def header_json(block: Block, validators: Sequence[str], constants: HeaderConstants) -> dict[str, object]:
    """The block as ``eth_getBlockByNumber`` shows it."""
    extra = extra_data_of(block, validators, constants, sealed=True)
    shanghai = _shanghai(block, constants)
    body: list[object] = [_fields(block, constants, extra), [], [], []] if shanghai else [
        _fields(block, constants, extra), [], []
    ]  # fmt: skip
    shown: dict[str, object] = {
        "number": hex(block.number),
        "hash": block.hash,
        "mixHash": mix_hash_of(block, constants),
        "parentHash": block.parent,
        "nonce": "0x" + "0" * 16,
        "sha3Uncles": EMPTY_UNCLES,
        "logsBloom": NO_BLOOM,
        "transactionsRoot": EMPTY_ROOT,
        "stateRoot": constants.state_root,
        "receiptsRoot": EMPTY_ROOT,
        "miner": block.miner,
        "difficulty": hex(_difficulty(block, constants)),
        "totalDifficulty": hex(1 if constants.merged else block.number + 1),
        "extraData": "0x" + extra.hex(),
        "baseFeePerGas": hex(base_fee_at(block.number, constants.base_fee)),
        "size": hex(len(rlp.encode(body))),
        "gasLimit": hex(constants.gas_limit),
        "gasUsed": "0x0",
        "timestamp": hex(block.timestamp),
        "uncles": [],
        "transactions": [],
    }
    return {**shown, "withdrawalsRoot": EMPTY_ROOT, "withdrawals": []} if shanghai else shown
