# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The codec and the calls on it, without a connector."""

from __future__ import annotations

import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge import rpc
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.capnp import (
    MAX_SEGMENTS,
    CapnpError,
    Deframer,
    Message,
    MessageBuilder,
)


def register_call(tunnel: bytes, connector: bytes, index: int, version: str = "1") -> bytes:
    """A call as a connector makes it."""
    message = MessageBuilder()
    root = message.root(1, 1)
    root.set(0, "H", rpc.Kind.CALL)
    call = root.child(0, 3, 3)
    call.set(0, "I", 7)
    call.set(4, "H", rpc.Method.REGISTER)
    call.set(8, "Q", rpc.REGISTRATION_SERVER)
    arguments = call.child(1, 0, 2).child(0, 1, 3)
    arguments.set(0, "B", index)
    auth = arguments.child(0, 0, 2)
    auth.text(0, "account")
    auth.blob(1, b"secret")
    arguments.blob(1, tunnel)
    options = arguments.child(2, 1, 2)
    options.set(2, "B", 3)
    client = options.child(0, 0, 4)
    client.blob(0, connector)
    client.text(2, version)
    client.text(3, "linux_amd64")
    return message.frame()


TUNNEL, CONNECTOR = uuid.UUID(int=1), uuid.UUID(int=2)


@given(st.integers(1, 40), st.text(max_size=40), st.integers(0, 255))
def test_a_registration_survives_any_fragmentation(size: int, version: str, index: int) -> None:
    version = version.replace("\0", "")
    frames = register_call(TUNNEL.bytes, CONNECTOR.bytes, index, version) * 2
    deframer = Deframer()
    found = []
    for start in range(0, len(frames), size):
        found += [rpc.parse(message) for message in deframer.feed(frames[start : start + size])]
    assert len(found) == 2
    wish = found[1]
    assert isinstance(wish, rpc.Register)
    assert (wish.question, wish.tunnel, wish.connector, wish.conn_index) == (7, str(TUNNEL), str(CONNECTOR), index)
    assert (wish.account, wish.secret, wish.version, wish.previous_attempts) == ("account", b"secret", version, 3)
    assert "secret" not in repr(wish)


@given(st.binary(max_size=400), st.integers(0, 400), st.binary(min_size=1, max_size=16))
def test_hostile_messages_end_in_an_error_or_in_nothing(noise: bytes, place: int, patch: bytes) -> None:
    good = register_call(TUNNEL.bytes, CONNECTOR.bytes, 0)
    for frames in (noise, good[:place] + patch + good[place + len(patch) :]):
        try:
            for message in Deframer().feed(frames):
                rpc.parse(message)
        except CapnpError:
            continue


@pytest.mark.parametrize("head", [struct.pack("<I", MAX_SEGMENTS), struct.pack("<II", 0, 1 << 28)])
def test_messages_without_measure_are_refused_before_they_are_read(head: bytes) -> None:
    with pytest.raises(CapnpError):
        list(Deframer().feed(head))


def test_far_pointers() -> None:
    """The encoder of the connector splits long messages into segments."""
    text = b"in the other segment\0".ljust(24, b"\0")
    landing = struct.pack("<II", 0 << 2 | 1, 2 | 21 << 3)
    far = struct.pack("<II", 0 << 3 | 2, 1)
    message = Message([struct.pack("<II", 0, 1 << 16) + far, landing + text])
    assert message.root().text(0) == "in the other segment"
    # Doubly far: the landing pad says where, and what is there.
    pad = struct.pack("<II", 0 << 3 | 2, 1) + struct.pack("<II", 1, 2 | 21 << 3)
    far = struct.pack("<II", 0 << 3 | 4 | 2, 2)
    message = Message([struct.pack("<II", 0, 1 << 16) + far, text, pad])
    assert message.root().text(0) == "in the other segment"


@pytest.mark.parametrize("tunnel", [b"", b"short", b"x" * 17])
def test_a_tunnel_without_a_right_id_has_none(tunnel: bytes) -> None:
    (message,) = Deframer().feed(register_call(tunnel, CONNECTOR.bytes, 0))
    wish = rpc.parse(message)
    assert isinstance(wish, rpc.Register)
    assert wish.tunnel == ""


def _result(frame: bytes) -> tuple[int, Message]:
    (message,) = Deframer().feed(frame)
    root = message.root()
    assert root.number(0, "H") == rpc.Kind.RETURN
    return root.child(0).number(0, "I"), message


def test_answers() -> None:
    number, message = _result(rpc.answer_registered(9, TUNNEL, "tst01", True))
    response = message.root().child(0).child(0).child(0).child(0)
    assert (number, response.number(0, "H")) == (9, 1)
    details = response.child(0)
    assert (details.blob(0), details.text(1), details.flag(0)) == (TUNNEL.bytes, "tst01", True)
    number, message = _result(rpc.answer_refused(9, "EDUPCONN", True, 1.5))
    error = message.root().child(0).child(0).child(0).child(0).child(0)
    assert (error.text(0), error.number(0, "q"), error.flag(64)) == ("EDUPCONN", 1_500_000_000, True)
    _unused, message = _result(rpc.answer_unimplemented(9, "no"))
    assert (message.root().child(0).number(6, "H"), message.root().child(0).child(0).text(0)) == (1, "no")
