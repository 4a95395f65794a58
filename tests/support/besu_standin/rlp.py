# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RLP, the serialisation of Ethereum, and the extra data of QBFT headers."""

from __future__ import annotations

from collections.abc import Sequence


def _length(size: int, offset: int) -> bytes:
    if size < 56:
        return bytes([offset + size])
    raw = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(raw)]) + raw


def encode(item: object) -> bytes:
    """RLP of bytes, of a number (big endian, no leading zeros) or of a sequence of those."""
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, (bytes, bytearray)):
        data = bytes(item)
        return data if len(data) == 1 and data[0] < 0x80 else _length(len(data), 0x80) + data
    if isinstance(item, (list, tuple)):
        payload = b"".join(encode(part) for part in item)
        return _length(len(payload), 0xC0) + payload
    raise TypeError(f"RLP knows bytes, numbers and lists, not {type(item).__name__}")


def decode(data: bytes) -> object:
    """The item that ``data`` is the RLP of: bytes or nested lists of bytes. ``ValueError`` when it is none."""
    item, rest = _decode(data)
    if rest:
        raise ValueError(f"{len(rest)} bytes follow the RLP item")
    return item


def _take(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise ValueError("the RLP item is cut off")
    return data[:size], data[size:]


def _decode(data: bytes) -> tuple[object, bytes]:
    head, rest = _take(data, 1)
    first = head[0]
    if first < 0x80:
        return head, rest
    base = 0x80 if first < 0xC0 else 0xC0
    size = first - base
    if size > 55:
        raw, rest = _take(rest, size - 55)
        size = int.from_bytes(raw, "big")
    payload, rest = _take(rest, size)
    if base == 0x80:
        return payload, rest
    items = []
    while payload:
        item, payload = _decode(payload)
        items.append(item)
    return items, rest


def address_bytes(address: str) -> bytes:
    """The 20 bytes of ``0x...``."""
    return bytes.fromhex(address.removeprefix("0x"))


def extra_data(
    vanity: bytes, validators: Sequence[str], vote: tuple[str, bool] | None, round_: int, seals: Sequence[bytes]
) -> bytes:
    """QBFT extra data: vanity, validators, vote (add = 0xff, drop = 0x00), round, seals."""
    ballot: list[bytes] = [] if vote is None else [address_bytes(vote[0]), b"\xff" if vote[1] else b"\x00"]
    return encode([vanity, [address_bytes(v) for v in validators], ballot, round_, list(seals)])


def validators_of(extra: bytes) -> list[str]:
    """The validators in QBFT extra data."""
    fields = decode(extra)
    if not isinstance(fields, list) or len(fields) != 5 or not isinstance(fields[1], list):
        raise ValueError("this is no QBFT extra data")
    return ["0x" + bytes(v).hex() for v in fields[1] if isinstance(v, bytes)]


def extra_data_ibft2(
    vanity: bytes, validators: Sequence[str], vote: tuple[str, bool] | None, round_: int, seals: Sequence[bytes]
) -> bytes:
    """IBFT 2.0 extra data: as QBFT's, but no vote is an empty string and the round always four bytes."""
    ballot: object = b"" if vote is None else [address_bytes(vote[0]), b"\xff" if vote[1] else b"\x00"]
    return encode([vanity, [address_bytes(v) for v in validators], ballot, round_.to_bytes(4, "big"), list(seals)])
