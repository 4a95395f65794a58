# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON-RPC over HTTP to one Besu: batches, log-in, and an outcome of a closed set for every call.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

What a node cannot be asked says nothing about the node: see OUTCOMES of rpc_answers.
Behaviour as recorded of Besu 25.7 and 26.8: a method whose group is off is
-32604, with or without a valid token, one that is not permitted -40100 (in a batch each by itself), a host
that is not on the allowlist 403 on every path, a call that takes more than
30 s 504; tokens of /login last 300 s and die with the process.
"""

from __future__ import annotations

import json
import re
import time
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.rpc_answers import (
    OF_STATUS,
    Call,
    RpcAnswer,
    answers_of,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import (
    HttpClient,
    HttpError,
    TlsSettings,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize

_OF_HTTP_ERROR = {
    "refused": "refused",
    "reset": "reset",
    "timeout": "hang",
    "timeout_connect": "unreachable",
    "dns": "unreachable",
    "unreachable": "unreachable",
    "local": "unreachable",
    "tls": "tls",
}
_LOOPBACK = ("127.", "localhost", "::1")
_TOKEN = re.compile(r"[!-~]{1,16384}")
_TOKEN_AGE = 270.0
_MAX_BYTES = 8 * 1024 * 1024


class RpcClient:
    """Asks one endpoint. Keeps its connection and its token; not for two threads at once. ``requests``: HTTP so far.

    :param token: a JWT made elsewhere; ``username`` and ``password`` are for /login. All secret.
    :param timeout: seconds for one whole answer. :param connect_timeout: seconds for the connection, within it.
    """

    def __init__(
        self,
        http: HttpClient,
        url: str,
        *,
        tls: TlsSettings | None = None,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        timeout: float = 5.0,
        connect_timeout: float = 2.0,
        max_bytes: int = _MAX_BYTES,
        monotonic: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = http.connection(url, tls=tls)
        self.url = self._connection.url
        self._path = self.url.target.partition("?")[0].rstrip("/")
        self._login_data = {"username": username, "password": password or ""} if username else None
        self._token = token
        self._token_since: float | None = None
        self._served: set[str] = set()
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._max_bytes = max_bytes
        self._monotonic = monotonic
        self.requests = 0

    def close(self) -> None:
        self._connection.close()

    def batch(self, calls: t.Sequence[Call]) -> list[RpcAnswer]:
        """One HTTP request for all ``calls``; one or two more where a log-in is due.

        :raises HttpError: for wrong options only (URL, certificate files); what the peer does is an outcome.
        """
        if self._login_data and (self._token is None or self._old_token()):
            refused = self._login()
            if refused:
                return [refused] * len(calls)
        answers = self._post(calls)
        if self._login_data and self._died(calls, answers):
            refused = self._login()  # the token ended, or the node was restarted
            return [refused] * len(calls) if refused else self._post(calls)
        return answers

    def _died(self, calls: t.Sequence[Call], answers: t.Sequence[RpcAnswer]) -> bool:
        """Whether the token is no token any more. Methods that are off, or that need no token, answer without one."""
        by_method = list(zip((method for method, _params in calls), (answer.outcome for answer in answers)))
        denied = {method for method, outcome in by_method if outcome == "unauthorized"}
        served = {method for method, outcome in by_method if outcome in ("ok", "rpc_error")}
        died = bool(denied) and (not served or bool(denied & self._served))
        self._served |= served
        return died

    def get(self, path: str, max_bytes: int | None = None) -> tuple[str, int, str]:
        """GET the URL's own path with ``path`` behind it: outcome, HTTP status (0: none) and body."""
        try:
            response = self._request("GET", path, None, max_bytes)
        except HttpError as exc:
            return self._outcome(exc), exc.status or 0, ""
        return OF_STATUS.get(response.status, "ok"), response.status, response.text

    def _post(self, calls: t.Sequence[Call]) -> list[RpcAnswer]:
        wanted = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in enumerate(calls)
        ]
        try:
            response = self._request("POST", None, json.dumps(wanted).encode())
        except HttpError as exc:
            return [RpcAnswer(self._outcome(exc), message=sanitize(exc.msg, 200))] * len(calls)
        return answers_of(response.status, response.body, len(calls))

    def _request(self, method: str, path: str | None, body: bytes | None, max_bytes: int | None = None) -> t.Any:
        headers = {"content-type": "application/json"} if body is not None else {}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        self.requests += 1
        return self._connection.request(
            method,
            None if path is None else (self._path + path) or "/",
            headers=headers,
            body=body,
            timeout=self._timeout,
            connect_timeout=min(self._connect_timeout, self._timeout),
            max_bytes=max_bytes or self._max_bytes,
            idempotent=True,
        )

    def _outcome(self, exc: HttpError) -> str:
        if exc.kind in ("bad_url", "bad_request", "tls_settings"):
            raise exc  # wrong options, told to the one who gave them
        # A stopped process fills the queue of its port: on the loopback no connection means that nobody accepts.
        if exc.kind == "timeout_connect" and self.url.host.startswith(_LOOPBACK):
            return "hang"
        return _OF_HTTP_ERROR.get(exc.kind, "protocol")

    def _old_token(self) -> bool:
        return self._token_since is None or self._monotonic() - self._token_since > _TOKEN_AGE

    def _login(self) -> RpcAnswer | None:
        """Get a token. Returns the error, if any."""
        self._token, self._served = None, set()
        try:
            response = self._request("POST", "/login", json.dumps(self._login_data).encode(), 65536)
            if response.status == 200:
                token = response.json()["token"]
                if not _TOKEN.fullmatch(token):
                    return RpcAnswer("protocol", message="/login answered with a token that no header can have")
                self._token, self._token_since = token, self._monotonic()
                return None
        except HttpError as exc:
            return RpcAnswer(self._outcome(exc), message=sanitize(exc.msg, 200))
        except (KeyError, TypeError):
            return RpcAnswer("protocol", message="/login answered without a token")
        if response.status == 400:
            return RpcAnswer(
                "unauthorized", message="/login: the node has no log-in by user name; give a token, or neither"
            )
        if response.status in (401, 403):
            return RpcAnswer(OF_STATUS[response.status], message=sanitize(f"/login: {response.text}", 200))
        return RpcAnswer("protocol", message=f"/login answered with HTTP status {response.status}")
