# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers to JSON-RPC calls, and the closed set of outcomes that a call can have. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize

OUTCOMES: dict[str, str] = {
    "ok": "answered",
    "not_enabled": "the method's API group is not in --rpc-http-api",
    "unknown_method": "this version has no such method",
    "unauthorized": "no valid token, or the token does not permit the method",
    "host_not_allowed": "the name used is not in --host-allowlist",
    "timeout_504": "Besu gave up on the call after its own time limit",
    "refused": "nothing listens there",
    "reset": "the connection was closed before an answer",
    "hang": "the port accepts, no answer comes in time",
    "unreachable": "the address cannot be reached or resolved from here",
    "tls": "the TLS handshake failed, or the certificate is not trusted",
    "rpc_error": "the method answered with an error",
    "protocol": "the answer is no JSON-RPC answer to what was asked",
}
# The port answered, but not about the node.
CANNOT_OBSERVE = frozenset(("unauthorized", "host_not_allowed", "timeout_504", "unreachable", "tls", "protocol"))
OF_STATUS = {401: "unauthorized", 403: "host_not_allowed", 504: "timeout_504"}
# JSON-RPC 2.0 and Besu's limits: the request was not executed.
NOT_EXECUTED = frozenset((-32700, -32600, -32602, -32005))
_OF_CODE = {-32604: "not_enabled", -32601: "unknown_method", -40100: "unauthorized"}


class RpcAnswer(t.NamedTuple):
    """The outcome of one call. ``result`` if it is ok; ``code`` of a JSON-RPC error; ``message`` is safe to show."""

    outcome: str
    result: t.Any = None
    code: int | None = None
    message: str = ""


Call = tuple[str, t.Sequence[t.Any]]


def answer_of(reply: t.Any) -> RpcAnswer:
    """The answer in one JSON-RPC response object."""
    if not isinstance(reply, dict):
        return RpcAnswer("protocol", message="no JSON-RPC object")
    error = reply.get("error")
    if error is not None:
        code = error.get("code") if isinstance(error, dict) else None
        code = code if isinstance(code, int) and not isinstance(code, bool) else None
        if code in _OF_CODE:
            return RpcAnswer(_OF_CODE[code], None, code)
        text = error.get("message", "") if isinstance(error, dict) else error
        return RpcAnswer("rpc_error", None, code, sanitize(str(text), 200))
    if "result" not in reply:
        return RpcAnswer("protocol", message="neither result nor error")
    return RpcAnswer("ok", reply["result"])


def answers_of(status: int, body: bytes, count: int) -> list[RpcAnswer]:
    """The answers to a batch of ``count`` calls with the ids 0 to count - 1."""
    if status in OF_STATUS:
        return [RpcAnswer(OF_STATUS[status], message=f"HTTP status {status}")] * count
    try:
        replies = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return [RpcAnswer("protocol", message=f"HTTP status {status}, and no JSON")] * count
    if isinstance(replies, dict):
        return [_of_batch(answer_of(replies))] * count
    found: dict[int, RpcAnswer] = {}
    for reply in replies if isinstance(replies, list) else ():
        number = reply.get("id") if isinstance(reply, dict) else None
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < count or number in found:
            return [RpcAnswer("protocol", message="an id that was not asked for")] * count
        found[number] = answer_of(reply)
    return [found.get(number, RpcAnswer("protocol", message="no answer to this call")) for number in range(count)]


def _of_batch(whole: RpcAnswer) -> RpcAnswer:
    """The answer to each call, where one object answers all: what was refused as a whole tells nothing of the node."""
    if whole.outcome == "ok":
        return RpcAnswer("protocol", message="one answer to a batch")
    if whole.outcome == "rpc_error":
        return RpcAnswer("protocol", None, whole.code, f"the batch was refused: {whole.message}")
    return whole


class RpcEndpoint(t.Protocol):
    """An endpoint to ask: RpcClient, or a substitute."""

    def batch(self, calls: t.Sequence[Call]) -> list[RpcAnswer]:
        """One answer for each call, in their order."""

    def get(self, path: str) -> tuple[str, int, str]:
        """Outcome, HTTP status (0: none) and body."""
