# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys, hashes and headers: against published vectors and recorded blocks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import rlp
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.block import Block, hash_of, header_json
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.genesis import Genesis, parse
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.keccak import keccak256
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.metrics import java_double
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.secp256k1 import N, address, public_key
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.recorded import recording
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.votes import ValidatorSets


def _recorded_block(name: str, label: str) -> dict[str, Any]:
    body = recording(name)["surface"]["b1"][label]["body"]
    block: dict[str, Any] = json.loads(body)["result"]
    return block


def recorded_genesis() -> Genesis:
    """The genesis of the recorded network, rebuilt from its block 0."""
    block = _recorded_block("consensus_validator", "eth_getBlockByNumber 0x0 False")
    bft = {"epochlength": 30000, "blockperiodseconds": 2, "requesttimeoutseconds": 4}
    config = {"chainId": 1337, "berlinBlock": 0, "londonBlock": 0, "shanghaiTime": 0, "qbft": bft}
    return parse({"config": config, "gasLimit": block["gasLimit"], "extraData": block["extraData"]})


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        (b"\xcc", "eead6dbfc7340a56caedc044696a168870549a6a7f6f56961e84a54bd9970b8a"),
    ],
)
def test_keccak(data: bytes, digest: str) -> None:
    assert keccak256(data).hex() == digest


@pytest.mark.parametrize("size", [134, 135, 136, 137, 271, 272, 273])
def test_keccak_at_the_edges_of_its_block(size: int) -> None:
    """Each length gives its own digest, and padding never spills: prefixes differ too."""
    digests = {keccak256(b"\0" * length) for length in (size - 1, size, size + 1)}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("private", "expected"),
    [
        (1, "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"),
        (2, "0x2b5ad5c4795c026514f8317c7a215e218dccd6cf"),
        (int("8f2a55949038a9610f50fb23b5883af3b4ecb3c3bb792cbcefbd1542c692be63", 16),
         "0xfe3b557e8fb62b89f4916b721be55ceb828dbd73"),
        (int("c87509a1c067bbde78beb793e6fa76530b6382a4c0241e5e4a9ec0a0f44dc0d3", 16),
         "0x627306090abab3a6e1400e9345bc60c78a8bef57"),
    ],
)  # fmt: skip
def test_address_of_a_private_key(private: int, expected: str) -> None:
    assert address(public_key(private)) == expected


@pytest.mark.parametrize("private", [0, N, N + 1])
def test_numbers_that_are_no_private_key(private: int) -> None:
    with pytest.raises(ValueError, match="private key"):
        public_key(private)


def test_recorded_nodes_have_the_address_of_their_public_key() -> None:
    answers = recording("consensus_validator")["surface"]["b1"]
    node = json.loads(answers["admin_nodeInfo"]["body"])["result"]["id"]
    assert address(bytes.fromhex(node)) == recording("consensus_validator")["hosts"]["b1"]["address"]


@pytest.mark.parametrize("item", [b"", b"\x7f", b"\x80", b"a" * 55, b"a" * 56, b"a" * 300, [], [b"", [b"x"], []]])
def test_rlp_round_trip(item: object) -> None:
    assert rlp.decode(rlp.encode(item)) == item


@pytest.mark.parametrize("data", [b"", b"\x83ab", b"\xb8", b"\xc2a", b"ab"])
def test_rlp_that_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"RLP|cut off"):
        rlp.decode(data)


def test_genesis_block_is_the_recorded_one_in_every_field() -> None:
    genesis = recorded_genesis()
    expected = _recorded_block("consensus_validator", "eth_getBlockByNumber 0x0 False")
    made = header_json(genesis.block, genesis.validators, genesis.constants)
    assert made == expected
    assert list(made) == list(expected)


@pytest.mark.parametrize(
    ("name", "client"), [("consensus_validator", "26.8.0"), ("consensus_validator_v25_7", "25.7.0")]
)
def test_a_recorded_block_has_the_recorded_hash_and_fields(name: str, client: str) -> None:
    genesis = recorded_genesis()
    expected = _recorded_block(name, "eth_getBlockByNumber latest False")
    bare = Block(
        int(expected["number"], 16), "", expected["parentHash"], int(expected["timestamp"], 16), expected["miner"], 0,
        None, 3, client,
    )  # fmt: skip
    block = replace(bare, hash=hash_of(bare, genesis.validators, genesis.constants))
    made = header_json(block, genesis.validators, genesis.constants)
    differing = [key for key in expected if made.get(key) != expected[key]]
    # The seals in the extra data are signatures, which the stand-in does not make; all else is the same.
    assert differing == ["extraData"]
    assert list(made) == list(expected)
    ours, theirs = (rlp.decode(bytes.fromhex(text[2:])) for text in (str(made["extraData"]), expected["extraData"]))
    assert isinstance(ours, list) and isinstance(theirs, list)
    assert ours[:4] == theirs[:4]
    assert [len(s) for s in ours[4]] == [len(s) for s in theirs[4]]


def _voted(votes: list[tuple[str, str, bool]]) -> list[int]:
    """Sizes of the set after each vote (miner, subject, add)."""
    genesis = recorded_genesis()
    sets = ValidatorSets(genesis)
    sizes = []
    for number, (miner, subject, add) in enumerate(votes, 1):
        sets.add(Block(number, "", "", 0, miner, 0, (subject, add)))
        sizes.append(len(sets.next))
    return sizes


def test_votes_need_more_than_half_of_the_set() -> None:
    a, b, c, d = recorded_genesis().validators
    assert _voted([(a, d, False), (b, d, False), (c, d, False)]) == [4, 4, 3]
    assert _voted([(a, d, False), (a, d, False), (b, d, False)]) == [4, 4, 4], "one voter counts once"
    out_and_in = [(m, d, False) for m in (a, b, c)] + [(m, d, True) for m in (a, b)]
    assert _voted(out_and_in) == [4, 4, 3, 3, 4]


def test_votes_end_at_an_epoch() -> None:
    genesis = replace(recorded_genesis(), epoch_length=3)
    a, b, c, d = genesis.validators
    sets = ValidatorSets(genesis)
    for number, miner in enumerate((a, b, c), 1):
        sets.add(Block(number, "", "", 0, miner, 0, (d, False)))
    assert len(sets.next) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0"), (24, "24.0"), (9999999, "9999999.0"), (1795509026, "1.795509026E9"), (10000000, "1.0E7"),
        (9007199254740991, "9.007199254740991E15"), (1795508951.973, "1.795508951973E9"),
    ],
)  # fmt: skip
def test_numbers_in_metrics_are_javas(value: float, text: str) -> None:
    assert java_double(value) == text
