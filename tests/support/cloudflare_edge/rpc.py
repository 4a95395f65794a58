# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The calls a connector makes on its control stream, and the edge's answers.

Two-party Cap'n Proto RPC. The connector is the client: it asks for the bootstrap capability and calls
``registerConnection``, ``unregisterConnection`` and ``updateLocalConfiguration`` on it.
"""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass, field

from .capnp import Message, MessageBuilder, StructBuilder, StructReader

REGISTRATION_SERVER = 0xF71695EC7FE85497  # the interface's id in the published schema


class Kind(enum.IntEnum):
    """Tags of an RPC message."""

    CALL = 2
    RETURN = 3
    BOOTSTRAP = 8


class Method(enum.IntEnum):
    """Methods of the interface."""

    REGISTER = 0
    UNREGISTER = 1
    LOCAL_CONFIGURATION = 2


@dataclass(frozen=True)
class Bootstrap:
    question: int


@dataclass(frozen=True)
class Register:
    """A connector's wish to have this connection registered."""

    question: int
    account: str
    secret: bytes = field(repr=False)
    tunnel: str
    connector: str
    conn_index: int
    version: str
    arch: str
    features: tuple[str, ...]
    previous_attempts: int
    replace_existing: bool


@dataclass(frozen=True)
class Unregister:
    question: int


@dataclass(frozen=True)
class LocalConfiguration:
    """The configuration of a tunnel that is managed on its host, as JSON."""

    question: int
    config: bytes


@dataclass(frozen=True)
class UnknownCall:
    question: int
    interface: int
    method: int


Request = Bootstrap | Register | Unregister | LocalConfiguration | UnknownCall


def _identifier(raw: bytes) -> str:
    return str(uuid.UUID(bytes=raw)) if len(raw) == 16 else ""


def _register(question: int, arguments: StructReader) -> Register:
    auth, options = arguments.child(0), arguments.child(2)
    client = options.child(0)
    return Register(
        question=question,
        account=auth.text(0),
        secret=auth.blob(1),
        tunnel=_identifier(arguments.blob(1)),
        connector=_identifier(client.blob(0)),
        conn_index=arguments.number(0, "B"),
        version=client.text(2),
        arch=client.text(3),
        features=tuple(client.texts(1)),
        previous_attempts=options.number(2, "B"),
        replace_existing=options.flag(0),
    )


def parse(message: Message) -> Request | None:
    """What a message asks; None where it asks nothing (finish, release, abort). CapnpError where it is malformed."""
    root = message.root()
    kind, body = root.number(0, "H"), root.child(0)
    question = body.number(0, "I")
    if kind == Kind.BOOTSTRAP:
        return Bootstrap(question)
    if kind != Kind.CALL:
        return None
    interface, method = body.number(8, "Q"), body.number(4, "H")
    arguments = body.child(1).child(0)
    if interface == REGISTRATION_SERVER and method == Method.REGISTER:
        return _register(question, arguments)
    if interface == REGISTRATION_SERVER and method == Method.UNREGISTER:
        return Unregister(question)
    if interface == REGISTRATION_SERVER and method == Method.LOCAL_CONFIGURATION:
        return LocalConfiguration(question, arguments.blob(0))
    return UnknownCall(question, interface, method)


_RESULTS, _EXCEPTION = 0, 1
_KEEP_CAPABILITIES = 1


def _return(question: int, tag: int) -> tuple[MessageBuilder, StructBuilder]:
    message = MessageBuilder()
    root = message.root(1, 1)
    root.set(0, "H", Kind.RETURN)
    body = root.child(0, 2, 1)
    body.set(0, "I", question)
    body.set(4, "B", _KEEP_CAPABILITIES)
    body.set(6, "H", tag)
    return message, body


def _results(question: int) -> tuple[MessageBuilder, StructBuilder]:
    message, body = _return(question, _RESULTS)
    return message, body.child(0, 0, 2)


def answer_bootstrap(question: int) -> bytes:
    """Give the connector the capability (export 0) on which it makes its calls."""
    sender_hosted = 1
    message, payload = _results(question)
    payload.capability(0, 0)
    descriptor = payload.one_element_list(1, 1, 1)
    descriptor.set(0, "H", sender_hosted)
    return message.frame()


def answer_empty(question: int) -> bytes:
    message, payload = _results(question)
    payload.child(0, 0, 0)
    return message.frame()


def answer_unimplemented(question: int, reason: str) -> bytes:
    unimplemented = 3
    message, body = _return(question, _EXCEPTION)
    exception = body.child(0, 1, 2)
    exception.set(4, "H", unimplemented)
    exception.text(0, reason)
    return message.frame()


def answer_registered(question: int, connection: uuid.UUID, location: str, remotely_managed: bool) -> bytes:
    message, payload = _results(question)
    response = payload.child(0, 0, 1).child(0, 1, 1)
    response.set(0, "H", 1)
    details = response.child(0, 1, 2)
    details.set(0, "B", remotely_managed)
    details.blob(0, connection.bytes)
    details.text(1, location)
    return message.frame()


def answer_refused(question: int, cause: str, retry: bool, retry_after: float = 0.0) -> bytes:
    """``retry_after`` in seconds."""
    message, payload = _results(question)
    response = payload.child(0, 0, 1).child(0, 1, 1)
    error = response.child(0, 2, 1)
    error.set(0, "q", round(retry_after * 1e9))
    error.set(8, "B", retry)
    error.text(0, cause)
    return message.frame()
