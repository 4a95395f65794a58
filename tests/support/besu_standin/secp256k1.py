# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Node identity: private key -> public key -> address on the curve secp256k1."""

from __future__ import annotations

from .keccak import keccak256

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
_Point = tuple[int, int] | None


def _add(p: _Point, q: _Point) -> _Point:
    if p is None:
        return q
    if q is None:
        return p
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0:
            return None
        slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, P) % P
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P) % P
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def public_key(private: int) -> bytes:
    """The 64 bytes X || Y of the public key. ``ValueError`` when the number is no private key."""
    if not 0 < private < N:
        raise ValueError("a private key is a number from 1 to the order of the curve less 1")
    result: _Point = None
    addend: _Point = _G
    while private:
        if private & 1:
            result = _add(result, addend)
        addend = _add(addend, addend)
        private >>= 1
    if result is None:
        raise ValueError("the point at infinity is no public key")
    return result[0].to_bytes(32, "big") + result[1].to_bytes(32, "big")


def address(public: bytes) -> str:
    """The address ``0x...`` of a 64-byte public key: the last 20 bytes of its Keccak-256."""
    return "0x" + keccak256(public)[12:].hex()


def compressed(public: bytes) -> bytes:
    """The 33-byte compressed form of a 64-byte public key."""
    return bytes([2 + (public[63] & 1)]) + public[:32]
