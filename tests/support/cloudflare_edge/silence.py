# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packets that arrive and are dropped in silence.

A socket filter that takes no byte of a packet makes the kernel drop it before TCP sees it: no acknowledgement, no
reset, as with a link that is dead. On a listening socket it drops the first packet of new connections, for all
senders or for some. It needs no privileges and touches no other socket.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Collection
from ipaddress import IPv4Address

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_IPV4_SOURCE = 0xFFF00000 + 12  # SKF_NET_OFF (-0x100000) and the field's place in the header
_KEEP = 0xFFFFFFFF
_MOST_SOURCES = 200


def _attach(sock: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code)
    # struct sock_fprog: a length and, aligned, the address of the steps.
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(buffer)))


def drop_all(sock: socket.socket) -> None:
    """Drop every packet that arrives at a socket."""
    _attach(sock, [(_RETURN, 0, 0, 0)])


def drop_from(sock: socket.socket, sources: Collection[str]) -> None:
    """Drop the packets of some IPv4 addresses. ValueError for more than 200 of them."""
    if len(sources) > _MOST_SOURCES:
        raise ValueError(f"{len(sources)} sources to drop; a filter holds {_MOST_SOURCES}")
    count = len(sources)
    steps = [(_LOAD_WORD, 0, 0, _IPV4_SOURCE)]
    for index, source in enumerate(sorted(sources)):
        steps.append((_JUMP_EQUAL, count - index, 0, int(IPv4Address(source))))
    _attach(sock, [*steps, (_RETURN, 0, 0, _KEEP), (_RETURN, 0, 0, 0)])


def let_through(sock: socket.socket) -> None:
    """Take the packets again."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except FileNotFoundError:
        return  # there was no filter
