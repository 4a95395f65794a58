# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTP/1.1 client for status endpoints that may lie, hang, drip or flood.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

``http.client`` is not used, for three reasons: its time-out is for each read,
so that a server that sends a byte now and then holds it for ever; it takes
wrong lengths and chunk sizes (``+5``, ``5_0``) that mean something else to
others; and it costs 15 ms and the whole of ``email`` at import, on every host.

Rules: one deadline for the whole answer, name look-up to last byte; no
redirects (a 3xx is an answer); no proxies; nothing is decompressed; at most
64 KiB and 256 fields of headers; at most ``max_bytes`` of body, for which a
request holds about twice that in memory for a moment.
"""

from __future__ import annotations

import re
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.message import (
    TOKEN,
    Response,
    Wire,
    read_answer,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.transport import (
    ERROR_KINDS,
    Deadline,
    HttpError,
    TlsSettings,
    dial,
    dial_unix,
    start_tls,
    tls_context,
)

if t.TYPE_CHECKING:
    import ssl

__all__ = ("ERROR_KINDS", "Connection", "HttpClient", "HttpError", "Response", "TlsSettings", "Url", "parse_url")

DEFAULT_MAX_BYTES = 1024 * 1024

_URL = re.compile(
    r"(?P<scheme>https?|http\+unix)://"
    r"(?:(?P<user>[^@/?#]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+(?:%[0-9A-Za-z_.%-]+)?\]|[0-9A-Za-z._~%!$&'()*+,;=-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?][^#]*)?(?:#.*)?",
    re.IGNORECASE,
)
_OWN_HEADERS = frozenset(("accept-encoding", "connection", "content-length", "transfer-encoding"))
_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))


@dataclass(frozen=True)
class Url:
    """A URL taken apart. ``userinfo`` is secret; ``safe`` is the URL without it and without its query."""

    scheme: str
    host: str
    port: int
    target: str
    userinfo: str
    unix_path: str

    @property
    def authority(self) -> str:
        host = self.host.split("%")[0]  # the zone of a link-local address is ours alone
        host = f"[{host}]" if ":" in host else host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    @property
    def safe(self) -> str:
        path, query, _rest = self.target.partition("?")
        where = f"unix:{self.unix_path}:" if self.unix_path else f"{self.scheme}://{self.authority}"
        return where + path + ("?..." if query else "")


def parse_url(text: str) -> Url:
    """Take apart ``http://``, ``https://`` or ``http+unix://%2Frun%2Fapp.sock/path``.

    :raises HttpError: ``bad_url``; its message does not repeat the URL, which may hold a password.
    """
    from urllib.parse import unquote

    if not text.isascii() or not text.isprintable() or " " in text:
        raise HttpError("bad_url", "the URL has spaces, control or non-ASCII characters; write them percent-encoded")
    match = _URL.fullmatch(text)
    if match is None:
        raise HttpError("bad_url", "not a URL that can be asked: http[s]://host[:port]/path or http+unix://... needed")
    scheme = match["scheme"].lower()
    port = int(match["port"]) if match["port"] else (443 if scheme == "https" else 80)
    if not 0 < port < 65536:
        raise HttpError("bad_url", f"the port of the URL is {port}; 1 to 65535 needed")
    target = match["target"] or "/"
    target = target if target.startswith("/") else "/" + target
    host = match["host"].strip("[]").replace("%25", "%")
    if scheme == "http+unix":
        path = unquote(match["host"])
        if not path.startswith("/") or not path.isprintable():
            raise HttpError("bad_url", "http+unix:// needs the absolute path of a socket, with its slashes as %2F")
        return Url(scheme, "localhost", 80, target, match["user"] or "", path)
    return Url(scheme, host, port, target, match["user"] or "", "")


def check_headers(headers: t.Mapping[str, str]) -> None:
    """:raises HttpError: ``bad_request`` names a header that cannot be sent; values are never repeated."""
    for name, value in headers.items():
        if not TOKEN.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise HttpError("bad_request", f"the header {name!r} is not a name, or one that the client sets itself")
        if not all(char == "\t" or (char.isprintable() and ord(char) < 256) for char in value):
            raise HttpError("bad_request", f"the value of the header {name} has characters that cannot be sent")


def _request(method: str, url: Url, target: str, headers: t.Mapping[str, str], body: bytes | None, keep: bool) -> bytes:
    if not TOKEN.fullmatch(method):
        raise HttpError("bad_request", "the method is not an HTTP token")
    if not target.startswith("/") or not target.isascii() or not target.isprintable() or " " in target:
        raise HttpError("bad_request", "the path must begin with / and be printable ASCII without spaces")
    fields = {"host": url.authority, "user-agent": "chainops.lifecycle", "accept": "*/*"}
    if url.userinfo:
        from base64 import b64encode
        from urllib.parse import unquote_to_bytes

        fields["authorization"] = "Basic " + b64encode(unquote_to_bytes(url.userinfo)).decode()
    check_headers(headers)
    fields.update((name.lower(), value.strip()) for name, value in headers.items())
    fields["accept-encoding"] = "identity"
    fields["connection"] = "keep-alive" if keep else "close"
    if body is not None or method in ("POST", "PUT", "PATCH"):
        fields["content-length"] = str(len(body or b""))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name.title()}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


class Connection:
    """One endpoint, asked again and again over one connection. Not for use by two threads at once.

    A connection that the peer closed at rest is replaced. When it breaks
    after the request was sent and before the answer began, the request is
    sent once more, if its method is idempotent or ``idempotent`` says so.
    """

    def __init__(self, client: HttpClient, url: str, tls: TlsSettings | None, keep: bool = True) -> None:
        self.url = parse_url(url)
        self._client = client
        self._tls = tls or TlsSettings()
        self._keep = keep
        self._wire: Wire | None = None

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def request(
        self,
        method: str,
        target: str | None = None,
        *,
        headers: t.Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float,
        connect_timeout: float | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        idempotent: bool | None = None,
    ) -> Response:
        """Ask for ``target`` (a path with query; the URL's own by default). See HttpClient.request."""
        if timeout <= 0 or (connect_timeout is not None and connect_timeout <= 0) or max_bytes < 0:
            raise HttpError("bad_request", "timeout and connect_timeout must be above 0, max_bytes 0 or more")
        deadline = Deadline(timeout)
        target = self.url.target if target is None else target
        data = _request(method, self.url, target, headers or {}, body, self._keep)
        again = method in _IDEMPOTENT if idempotent is None else idempotent
        if self._wire is not None and self._wire.stale():
            self.close()
        reused = self._wire is not None
        try:
            return self._exchange(data, method, deadline, connect_timeout, max_bytes)
        except HttpError as exc:
            if not (reused and again and exc.kind == "reset" and exc.status is None):
                raise
        return self._exchange(data, method, deadline, connect_timeout, max_bytes)

    def _exchange(
        self, data: bytes, method: str, deadline: Deadline, connect_timeout: float | None, max_bytes: int
    ) -> Response:
        wire = self._wire or self._open(deadline, connect_timeout)
        self._wire = None  # kept only after a complete answer
        wire.deadline, wire.status = deadline, None
        try:
            try:
                wire.send(data)
            except HttpError as exc:
                if exc.kind != "reset":
                    raise  # else the answer may be there already: a refusal that did not wait for the body
            response, keep = read_answer(wire, method, max_bytes)
        except BaseException:
            wire.close()
            raise
        if keep and self._keep:
            self._wire = wire
        else:
            wire.close()
        return response

    def _open(self, deadline: Deadline, connect_timeout: float | None) -> Wire:
        url = self.url
        # Bad TLS settings are told before anything is asked of the peer.
        context = self._client.context(self._tls) if url.scheme == "https" else None
        limit = deadline.within(connect_timeout)
        sock = dial_unix(url.unix_path, limit) if url.unix_path else dial(url.host, url.port, limit)
        if context is not None:
            sock = start_tls(sock, url.host, self._tls, context, deadline)
        return Wire(sock, url.unix_path or f"{url.host} port {url.port}")


class HttpClient:
    """Asks endpoints; threads may share it. It keeps the TLS contexts, so files are read once in its life."""

    def __init__(self) -> None:
        self._contexts: dict[TlsSettings, ssl.SSLContext] = {}

    def context(self, tls: TlsSettings) -> ssl.SSLContext:
        """The TLS context for these settings. Two threads may make it at once; one of them stays."""
        if tls not in self._contexts:
            self._contexts.setdefault(tls, tls_context(tls))
        return self._contexts[tls]

    def connection(self, url: str, *, tls: TlsSettings | None = None) -> Connection:
        """A connection to keep, for polling. Nothing is opened before the first request."""
        return Connection(self, url, tls)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: t.Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float,
        connect_timeout: float | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        tls: TlsSettings | None = None,
    ) -> Response:
        """Ask once and close.

        :param timeout: seconds for everything: name, connection, TLS, the last byte of the answer.
        :param connect_timeout: seconds for name and connection alone, within ``timeout``.
        :param max_bytes: of the body; more is ``too_large``, told from the length where one is sent.
        :raises HttpError: see ERROR_KINDS. A status of any number is a Response, not an error.
        """
        return Connection(self, url, tls, keep=False).request(
            method,
            headers=headers,
            body=body,
            timeout=timeout,
            connect_timeout=connect_timeout,
            max_bytes=max_bytes,
        )

    def connect(self, host: str, port: int, *, timeout: float) -> float:
        """Open a TCP connection, close it, and say how many seconds that took.

        :raises HttpError: as far as a connection can fail.
        """
        deadline = Deadline(timeout)
        dial(host, port, deadline).close()
        return time.monotonic() - deadline.started
