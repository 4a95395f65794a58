# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cap'n Proto messages, unpacked, as far as the tunnel's registration needs them.

Written from the encoding's public specification. A message is one or more segments of eight-byte words; a struct
is some words of data followed by some pointers. Reading takes hostile input: every offset is checked and
``CapnpError`` raised for what lies outside the message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

WORD = 8
MAX_SEGMENTS = 64
MAX_MESSAGE = 1 << 20  # bytes; a registration has well under 1 KiB

_STRUCT, _LIST, _FAR, _CAPABILITY = range(4)
_ELEMENT_BYTE, _ELEMENT_POINTER, _ELEMENT_COMPOSITE = 2, 6, 7


class CapnpError(ValueError):
    """What was received is no message of the expected shape."""


@dataclass(frozen=True)
class StructBuilder:
    """A struct in a message that is being built; ``data`` and ``pointers`` are word positions."""

    message: MessageBuilder
    data: int
    pointers: int

    def set(self, offset: int, kind: str, value: int) -> None:
        """Write a number (``kind`` as in the module struct) at a byte offset of the data section."""
        struct.pack_into("<" + kind, self.message.words, self.data * WORD + offset, value)

    def child(self, pointer: int, data: int, pointers: int) -> StructBuilder:
        """A new struct of ``data`` words and ``pointers`` pointers."""
        return self.message.new_struct(self.pointers + pointer, data, pointers)

    def blob(self, pointer: int, value: bytes) -> None:
        at = self.pointers + pointer
        target = self.message.allocate(-(-len(value) // WORD))
        self.message.words[target * WORD : target * WORD + len(value)] = value
        self.message.point(at, _LIST, target, _ELEMENT_BYTE | len(value) << 3)

    def text(self, pointer: int, value: str) -> None:
        self.blob(pointer, value.encode() + b"\0")

    def capability(self, pointer: int, index: int) -> None:
        """Point to entry ``index`` of the payload's table of capabilities."""
        struct.pack_into("<II", self.message.words, (self.pointers + pointer) * WORD, _CAPABILITY, index)

    def one_element_list(self, pointer: int, data: int, pointers: int) -> StructBuilder:
        """A list of one struct; gives that struct."""
        tag = self.message.allocate(1 + data + pointers)
        struct.pack_into("<IHH", self.message.words, tag * WORD, 1 << 2 | _STRUCT, data, pointers)
        self.message.point(self.pointers + pointer, _LIST, tag, _ELEMENT_COMPOSITE | (data + pointers) << 3)
        return StructBuilder(self.message, tag + 1, tag + 1 + data)


class MessageBuilder:
    """A message of one segment."""

    def __init__(self) -> None:
        self.words = bytearray(WORD)

    def allocate(self, count: int) -> int:
        """Room for ``count`` words; the position of the first."""
        at = len(self.words) // WORD
        self.words += bytes(count * WORD)
        return at

    def point(self, at: int, kind: int, target: int, upper: int) -> None:
        """Write the pointer word at ``at``: its kind, where it leads and its upper half."""
        offset = (target - at - 1) & 0x3FFFFFFF
        struct.pack_into("<II", self.words, at * WORD, offset << 2 | kind, upper)

    def new_struct(self, at: int, data: int, pointers: int) -> StructBuilder:
        # A struct without a size points to itself, so that it differs from a null pointer.
        target = self.allocate(data + pointers) if data + pointers else at
        self.point(at, _STRUCT, target, data | pointers << 16)
        return StructBuilder(self, target, target + data)

    def root(self, data: int, pointers: int) -> StructBuilder:
        return self.new_struct(0, data, pointers)

    def frame(self) -> bytes:
        """The message as it goes over a stream."""
        return struct.pack("<II", 0, len(self.words) // WORD) + bytes(self.words)


@dataclass(frozen=True)
class StructReader:
    """A struct of a received message. A missing field reads as zero, as the encoding wants it."""

    message: Message
    segment: int
    start: int
    data_words: int
    pointer_count: int

    def number(self, offset: int, kind: str) -> int:
        """A number of the data section, at a byte offset."""
        if offset + struct.calcsize("<" + kind) > self.data_words * WORD:
            return 0
        return int(struct.unpack_from("<" + kind, self.message.segments[self.segment], self.start * WORD + offset)[0])

    def flag(self, bit: int) -> bool:
        return bool(self.number(bit // 8, "B") >> bit % 8 & 1)

    def _pointer(self, index: int) -> tuple[int, int] | None:
        return (self.segment, self.start + self.data_words + index) if index < self.pointer_count else None

    def child(self, pointer: int) -> StructReader:
        """The struct at a pointer; an empty one where there is none."""
        at = self._pointer(pointer)
        return self.message.struct_at(*at) if at else StructReader(self.message, 0, 0, 0, 0)

    def blob(self, pointer: int) -> bytes:
        at = self._pointer(pointer)
        return self.message.blob_at(*at) if at else b""

    def text(self, pointer: int) -> str:
        return self.blob(pointer).rstrip(b"\0").decode("utf-8", "replace")

    def texts(self, pointer: int) -> list[str]:
        """A list of texts."""
        at = self._pointer(pointer)
        return self.message.texts_at(*at) if at else []


class Message:
    """A received message."""

    def __init__(self, segments: list[bytes]) -> None:
        self.segments = segments

    def root(self) -> StructReader:
        return self.struct_at(0, 0)

    def _word(self, segment: int, at: int) -> int:
        if not 0 <= segment < len(self.segments) or not 0 <= at * WORD <= len(self.segments[segment]) - WORD:
            raise CapnpError(f"pointer outside the message: segment {segment}, word {at}")
        return int(struct.unpack_from("<Q", self.segments[segment], at * WORD)[0])

    def _span(self, segment: int, at: int, words: int) -> None:
        if at < 0 or (at + words) * WORD > len(self.segments[segment]):
            raise CapnpError(f"object outside the message: segment {segment}, word {at}, {words} words")

    def _resolve(self, segment: int, at: int) -> tuple[int, int, int]:
        """Segment and first word of what a pointer leads to, and the pointer itself (0 for null)."""
        pointer = self._word(segment, at)
        if pointer & 3 == _FAR:
            segment, at, double = pointer >> 32, pointer >> 3 & 0x1FFFFFFF, pointer >> 2 & 1
            landing = self._word(segment, at)
            if double:
                tag = self._word(segment, at + 1)
                return landing >> 32, landing >> 3 & 0x1FFFFFFF, tag
            pointer = landing
        offset = (pointer & 0xFFFFFFFF) >> 2
        if offset & 1 << 29:
            offset -= 1 << 30
        return segment, at + 1 + offset, pointer

    def struct_at(self, segment: int, at: int) -> StructReader:
        segment, start, pointer = self._resolve(segment, at)
        if pointer == 0:
            return StructReader(self, 0, 0, 0, 0)
        if pointer & 3 != _STRUCT:
            raise CapnpError(f"a struct was expected, pointer {pointer:#018x} found")
        data, pointers = pointer >> 32 & 0xFFFF, pointer >> 48
        self._span(segment, start, data + pointers)
        return StructReader(self, segment, start, data, pointers)

    def _list_at(self, segment: int, at: int, element: int) -> tuple[int, int, int]:
        segment, start, pointer = self._resolve(segment, at)
        if pointer == 0:
            return 0, 0, 0
        if pointer & 3 != _LIST or pointer >> 32 & 7 != element:
            raise CapnpError(f"a list of kind {element} was expected, pointer {pointer:#018x} found")
        count = pointer >> 35
        self._span(segment, start, count if element == _ELEMENT_POINTER else -(-count // WORD))
        return segment, start, count

    def blob_at(self, segment: int, at: int) -> bytes:
        segment, start, count = self._list_at(segment, at, _ELEMENT_BYTE)
        return self.segments[segment][start * WORD : start * WORD + count] if count else b""

    def texts_at(self, segment: int, at: int) -> list[str]:
        segment, start, count = self._list_at(segment, at, _ELEMENT_POINTER)
        found = [self.blob_at(segment, start + index) for index in range(count)]
        return [text.rstrip(b"\0").decode("utf-8", "replace") for text in found]


class Deframer:
    """Takes a stream's bytes as they come and gives whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        self._buffer += data
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> Message | None:
        if len(self._buffer) < 4:
            return None
        count = int(struct.unpack_from("<I", self._buffer)[0]) + 1
        if count > MAX_SEGMENTS:
            raise CapnpError(f"message of {count} segments")
        start = -(-(4 + 4 * count) // WORD) * WORD
        if len(self._buffer) < start:
            return None
        sizes = [size * WORD for size in struct.unpack_from(f"<{count}I", self._buffer, 4)]
        if sum(sizes) > MAX_MESSAGE:
            raise CapnpError(f"message of {sum(sizes)} bytes")
        if len(self._buffer) < start + sum(sizes):
            return None
        segments = []
        for size in sizes:
            segments.append(bytes(self._buffer[start : start + size]))
            start += size
        del self._buffer[:start]
        return Message(segments)
