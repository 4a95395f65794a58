# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keccak-256 and addresses."""

from __future__ import annotations

import hashlib

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.keccak import (
    address_from_public_key,
    keccak256,
    sponge,
)

# Published digests of the original Keccak-256.
VECTORS = {
    b"": "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
    b"abc": "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
    b"hello": "1c8aff950685c2ed4bc3174f3472287b56d9517b9c948127319a09a7a36deac8",
    b"The quick brown fox jumps over the lazy dog": "4d741b6f1eb29cb2a9b9911c82f56fa8d73b04959d3d9d222895df6c0b28aa15",
}
# The public key of the private key 1 (the generator of secp256k1).
GENERATOR = (
    "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)


@pytest.mark.parametrize("data", VECTORS, ids=repr)
def test_published_digests(data):
    assert keccak256(data).hex() == VECTORS[data]


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 63, 134, 135, 136, 137, 271, 272, 273, 1000])
def test_the_same_sponge_with_the_padding_of_sha3_is_sha3(length):
    """Around every border of a block, against the standard library."""
    data = bytes((i * 37 + 11) % 256 for i in range(length))
    assert sponge(data, 6) == hashlib.sha3_256(data).digest()
    assert keccak256(data) != hashlib.sha3_256(data).digest()


@pytest.mark.parametrize("form", ["{}", "0x{}", "04{}", "0x04{}", "enode://{}@10.0.0.1:30303?discport=0"])
def test_address_of_a_public_key(form):
    assert address_from_public_key(form.format(GENERATOR)) == "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"


@pytest.mark.parametrize("text", ["", "0x", GENERATOR[:-1], GENERATOR + "0", "z" * 128, "enode://@10.0.0.1:30303"])
def test_no_address_of_anything_else(text):
    assert address_from_public_key(text) is None
