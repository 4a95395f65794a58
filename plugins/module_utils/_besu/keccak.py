# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keccak-256 as Ethereum uses it, and the address that follows from a public key. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

``hashlib.sha3_256`` is not this function: NIST changed the padding (0x06 for
0x01) when Keccak became SHA-3. Permutation: FIPS 202, Keccak-f[1600].
"""

from __future__ import annotations

import re

_MASK = (1 << 64) - 1
_RATE = 136
_PUBLIC_KEY = re.compile(r"(?:0x)?(?:04)?([0-9a-fA-F]{128})")


def _round_constants() -> tuple[int, ...]:
    """From the linear feedback shift register of FIPS 202, 3.2.5."""
    constants, register = [], 1
    for _round in range(24):
        constant = 0
        for bit in range(7):
            if register & 1:
                constant |= 1 << ((1 << bit) - 1)
            register <<= 1
            if register & 0x100:
                register ^= 0x171
        constants.append(constant)
    return tuple(constants)


def _rotations() -> tuple[tuple[int, int], ...]:
    """For each step of the walk rho+pi over the lanes: which lane comes next, and how far its value is turned."""
    steps, x, y = [], 1, 0
    for step in range(24):
        x, y = y, (2 * x + 3 * y) % 5
        steps.append((x + 5 * y, (step + 1) * (step + 2) // 2 % 64))
    return tuple(steps)


_CONSTANTS = _round_constants()
_ROTATIONS = _rotations()


def _turn(lane: int, by: int) -> int:
    return ((lane << by) | (lane >> (64 - by))) & _MASK


def _permute(a: list[int]) -> None:
    for constant in _CONSTANTS:
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        d = [c[(x + 4) % 5] ^ _turn(c[(x + 1) % 5], 1) for x in range(5)]
        for i in range(25):
            a[i] ^= d[i % 5]
        carried = a[1]
        for lane, by in _ROTATIONS:
            carried, a[lane] = a[lane], _turn(carried, by)
        for y in range(0, 25, 5):
            row = a[y : y + 5]
            for x in range(5):
                a[y + x] = row[x] ^ (~row[(x + 1) % 5] & _MASK & row[(x + 2) % 5])
        a[0] ^= constant


def sponge(data: bytes, suffix: int) -> bytes:
    """32 bytes of the sponge with capacity 512. ``suffix``: 1 for Keccak, 6 for SHA-3."""
    padded = bytearray(data + bytes((suffix,)) + b"\x00" * (-(len(data) + 1) % _RATE))
    padded[-1] |= 0x80
    state = [0] * 25
    for start in range(0, len(padded), _RATE):
        for lane in range(_RATE // 8):
            at = start + 8 * lane
            state[lane] ^= int.from_bytes(padded[at : at + 8], "little")
        _permute(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


def keccak256(data: bytes) -> bytes:
    """The 32 bytes of Keccak-256 over ``data``."""
    return sponge(data, 1)


def address_from_public_key(key: str) -> str | None:
    """The address (0x, lower case) of a node's public key in hexadecimal, or of its enode URL; None for others."""
    if key.startswith("enode://"):
        key = key[8:].split("@")[0]
    match = _PUBLIC_KEY.fullmatch(key)
    return "0x" + keccak256(bytes.fromhex(match[1]))[-20:].hex() if match else None
