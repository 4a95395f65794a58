# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP side of JSON-RPC: host allowlist, authentication, batches, health endpoints."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

from . import auth
from .httpd import Request, Response
from .rpc import Methods, RpcError
from .view import View

_JSON = "application/json"
_FORBIDDEN = Response(403, b'{"message":"Host not authorized."}', "application/json; charset=utf-8")
_METHODS = ("GET", "POST", "OPTIONS", "HEAD", "DELETE")


def dump(value: object) -> bytes:
    """JSON as the real node writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


def _error(identity: object, code: int, message: str) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": message}}


_UNAUTHORIZED = (-40100, "Unauthorized")


def host_allowed(request: Request, allowed: Sequence[str]) -> bool:
    """Whether the client may ask under this host name."""
    return "*" in allowed or "all" in allowed or request.host in {host.lower() for host in allowed}


class RpcService:
    """Handles the requests to the JSON-RPC port."""

    def __init__(self, view: View, methods: Methods) -> None:
        self._view = view
        self._methods = methods
        self._opened = time.monotonic()
        options = view.options
        self._allowed = options.names("host-allowlist", ("localhost", "127.0.0.1"))
        self._free = options.names("rpc-http-api-methods-no-auth")
        self._batch_limit = options.number("rpc-http-max-batch-size", 1024)
        self._own: auth.OwnTokens | None = None
        self._outside: auth.OutsideTokens | None = None
        public_key = options.path("rpc-http-authentication-jwt-public-key-file")
        credentials = options.path("rpc-http-authentication-credentials-file")
        self._closed = options.flag("rpc-http-authentication-enabled")
        if self._closed and public_key is not None:
            self._outside = auth.OutsideTokens(public_key)
        elif self._closed and credentials is not None:
            self._own = auth.OwnTokens(auth.users_of(credentials))

    async def handle(self, request: Request) -> Response | None:
        """Answer, or ``None`` to leave the client waiting."""
        faults = self._view.faults.current
        if faults.hang or faults.oom:
            return None
        await asyncio.sleep(max(faults.rpc_delay, self._opened + faults.silent_start - time.monotonic(), 0.0))
        if not host_allowed(request, self._allowed):
            return _FORBIDDEN
        if faults.rpc_status is not None:
            return Response(faults.rpc_status)
        return self._route(request)

    def _route(self, request: Request) -> Response:
        if request.method not in _METHODS:
            return Response(405)
        if request.path == "/login" and request.method == "POST":
            return self._login(request)
        if request.method == "GET":
            return self._get(request)
        if request.path != "/":
            return _not_found()
        return self._post(request) if request.method == "POST" else Response(405)

    def _get(self, request: Request) -> Response:
        if request.path == "/":
            return Response(201)
        if request.path == "/liveness":
            return _health(True)
        if request.path != "/readiness":
            return _not_found()
        try:
            peers = int(request.query.get("minPeers", "1"))
            behind = int(request.query.get("maxBlocksBehind", "2"))
        except ValueError:
            return _health(False)
        return _health(self._view.ready(peers, behind))

    def _login(self, request: Request) -> Response:
        if self._own is None:
            return Response(400, reason="Authentication not enabled")
        try:
            fields = json.loads(request.body)
            name, password = str(fields["username"]), str(fields["password"])
        except (ValueError, KeyError, TypeError):
            return Response(400, b"Authentication failed: username and password are required.")
        try:
            token = self._own.login(name, password)
        except auth.Refused:
            return Response(401, b"Authentication failed: the username or password is incorrect.")
        return Response(200, dump({"token": token}), _JSON)

    def _post(self, request: Request) -> Response:
        try:
            document = json.loads(request.body)
        except ValueError:
            return Response(400, dump(_error(None, -32700, "Parse error")))
        if not isinstance(document, (dict, list)) or document == []:
            return Response(400, dump(_error(None, -32600, "Invalid Request")))
        permissions = self._permissions(request)
        if permissions is None and not self._all_free(document):
            return Response(401, dump(_error(None, *_UNAUTHORIZED)))
        if isinstance(document, dict):
            return self._single(document, permissions or ())
        if len(document) > self._batch_limit:
            text = "Number of requests exceeds max batch size"
            return Response(200, dump(_error(None, -32005, text)), _JSON)
        answers = [self._call(entry, permissions or ()) for entry in document]
        return Response(200, dump([a for a in answers if a is not None]), _JSON)

    def _permissions(self, request: Request) -> Sequence[str] | None:
        """What the request's token permits; ``None`` when there is none."""
        if not self._closed:
            return ("*:*",)
        header = request.headers.get("authorization", "")
        if not header.startswith("Bearer "):
            return None
        try:
            tokens = self._outside or self._own
            return tokens.permissions(header.removeprefix("Bearer ")) if tokens is not None else ()
        except auth.Refused:
            return ()

    def _all_free(self, document: object) -> bool:
        entries = document if isinstance(document, list) else [document]
        return all(isinstance(entry, dict) and entry.get("method") in self._free for entry in entries)

    def _single(self, entry: dict[str, object], permissions: Sequence[str]) -> Response:
        answer = self._call(entry, permissions)
        if answer is None:
            return Response(200, b"", _JSON)
        error = answer.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        status = {-40100: 401, -32600: 400}.get(code if isinstance(code, int) else 0, 200)
        return Response(status, dump(answer), _JSON)

    def _call(self, entry: object, permissions: Sequence[str]) -> dict[str, object] | None:
        if not isinstance(entry, dict):
            return _error(None, -32600, "Invalid Request")
        identity = entry.get("id")
        method = entry.get("method")
        if not isinstance(method, str):
            return _error(identity, -32600, "Invalid Request")
        parameters = entry.get("params")
        try:
            call = self._methods.find(method)  # before the token is looked at, as in Besu's JsonRpcExecutor
            if method not in self._free and not auth.permits(permissions, method):
                return _error(identity, *_UNAUTHORIZED)
            if "id" not in entry:
                return None
            result = call(parameters if isinstance(parameters, list) else ())
        except RpcError as error:
            return _error(identity, error.code, error.message)
        return {"jsonrpc": "2.0", "id": identity, "result": result}


def _health(up: bool) -> Response:
    text = '{\n  "status" : "%s"\n}' % ("UP" if up else "DOWN")
    return Response(200 if up else 503, text.encode())


def _not_found() -> Response:
    return Response(404, b"<html><body><h1>Resource not found</h1></body></html>", "text/html; charset=utf-8")
