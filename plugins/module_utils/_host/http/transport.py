# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections within a deadline: names, TCP, Unix sockets, TLS, and one closed set of errors.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Proxies named in the environment are ignored: what is asked here is the
service itself, mostly on the loopback.
"""

from __future__ import annotations

import errno
import re
import socket
import struct
import threading
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError

if t.TYPE_CHECKING:
    import ssl

# Every kind that an HttpError can have, and what it means.
ERROR_KINDS: dict[str, str] = {
    "bad_url": "the URL cannot be asked; nothing was sent",
    "bad_request": "the method, a header or a limit cannot be used; nothing was sent",
    "tls_settings": "a certificate, key or fingerprint given for TLS cannot be used; nothing was sent",
    "local": "this host could not connect: descriptors, memory, ports, permission, address family, or no TLS in Python",
    "dns": "the name does not resolve, or not in time",
    "unreachable": "no route to the address",
    "refused": "nothing listens there",
    "timeout_connect": "no connection in time",
    "tls": "the TLS handshake failed, or the certificate is not trusted",
    "reset": "the peer reset the connection, or closed it before its answer began",
    "timeout": "connected, but the whole answer did not arrive in time",
    "protocol": "the answer is not correct HTTP/1: status line, headers, length, or cut short",
    "encoding": "the body is encoded (compressed) although that was declined",
    "too_large": "the body is larger than the limit",
    "not_json": "the body is not JSON",
}

# From the error that says most to the one that says least, where a name has several addresses.
_TELLING = ("refused", "reset", "timeout_connect", "unreachable", "local")

_KIND_OF_ERRNO = {
    errno.ECONNREFUSED: "refused",
    errno.ENOENT: "refused",  # a Unix socket that no one has made yet
    errno.ECONNRESET: "reset",
    errno.ECONNABORTED: "reset",
    errno.EPIPE: "reset",
    errno.ENOTCONN: "reset",
    errno.ETIMEDOUT: "timeout_connect",
    errno.EAGAIN: "timeout_connect",  # a Unix socket whose queue is full
    errno.EHOSTUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ENETDOWN: "unreachable",
}


class HttpError(LifecycleError):
    """A request without a usable answer. ``kind`` is one of ERROR_KINDS.

    ``status`` is the HTTP status where one was read before it went wrong.
    """

    def __init__(self, kind: str, msg: str, *, status: int | None = None, **details: t.Any) -> None:
        super().__init__(msg, kind=kind, **details)
        self.kind = kind
        self.status = status


@dataclass(frozen=True)
class TlsSettings:
    """How a TLS peer is judged.

    ``ca_path`` (a file or a directory) replaces the system's authorities.
    ``fingerprint_sha256`` pins the peer's own certificate (hex, colons allowed):
    it is compared even with ``verify=False``, and without a ``ca_path`` it
    takes the place of authorities and names, as self-signed certificates need.
    ``server_hostname`` is the name to ask for and to check, if not the URL's.
    """

    verify: bool = True
    ca_path: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    fingerprint_sha256: str | None = None
    server_hostname: str | None = None


class Deadline:
    """A point in time (``time.monotonic``) up to which the network may take."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.started = time.monotonic()
        self.end = self.started + seconds

    def left(self) -> float:
        """The seconds left, 0 at the least."""
        return max(self.end - time.monotonic(), 0.0)

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def within(self, seconds: float | None) -> Deadline:
        """A deadline in ``seconds`` from now, but not later than this one."""
        return self if seconds is None else Deadline(min(seconds, self.left()))


def os_error(exc: OSError, what: str) -> HttpError:
    """The HttpError for an error of the operating system."""
    kind = _KIND_OF_ERRNO.get(exc.errno or 0, "local")
    return HttpError(kind, f"{what}: {ERROR_KINDS[kind]} ({exc.strerror or exc})")


_Address = tuple[int, t.Any]


class _Lookup:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.addresses: list[_Address] = []
        self.error: Exception | None = None


_lookups: dict[tuple[str, int], _Lookup] = {}
_lookups_lock = threading.Lock()


def _look_up(key: tuple[str, int], lookup: _Lookup) -> None:
    try:
        found = socket.getaddrinfo(*key, type=socket.SOCK_STREAM)
        lookup.addresses = [(family, address) for family, _type, _proto, _name, address in found]
    except (OSError, UnicodeError) as exc:
        lookup.error = exc
    finally:
        with _lookups_lock:
            _lookups.pop(key, None)
        lookup.done.set()


def resolve(host: str, port: int, deadline: Deadline) -> list[_Address]:
    """The addresses of ``host``; numbers and ``localhost`` without asking anyone.

    getaddrinfo takes no time-out and cannot be interrupted, so it runs in a
    daemon thread that is left behind when the time is up. Callers who ask
    for the same name meanwhile join that look-up, so that polling a name
    which hangs does not pile up threads.
    """
    if host.lower() == "localhost":  # always the loopback, RFC 6761 section 6.3
        return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port, 0, 0))]
    try:
        numeric = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [(family, address) for family, _type, _proto, _name, address in numeric]
    except (OSError, UnicodeError):
        pass  # a name
    key = (host, port)
    with _lookups_lock:
        lookup = _lookups.get(key)
        if lookup is None:
            lookup = _Lookup()
            try:
                threading.Thread(target=_look_up, args=(key, lookup), daemon=True).start()
            except RuntimeError as exc:
                raise HttpError("local", f"cannot resolve {host}: {exc}") from exc
            _lookups[key] = lookup
    if not lookup.done.wait(deadline.left()):
        raise HttpError("dns", f"the name {host} was not resolved within {deadline.seconds:.3g} s")
    if lookup.error is not None or not lookup.addresses:
        raise HttpError("dns", f"the name {host} does not resolve: {lookup.error or 'no address'}") from lookup.error
    return lookup.addresses


def _connect(family: int, address: t.Any, what: str, seconds: float) -> socket.socket:
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as exc:
        raise os_error(exc, what) from exc
    try:
        if seconds <= 0:
            raise socket.timeout()
        sock.settimeout(seconds)
        sock.connect(address)
        # Polling a free port of the ephemeral range now and then connects a socket to itself.
        if family != socket.AF_UNIX and sock.getsockname() == sock.getpeername():
            raise OSError(errno.ECONNREFUSED, "connected to itself")
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # End by a reset: a server that closes first would keep its port in TIME-WAIT, where a new start of it that
            # lacks SO_REUSEADDR fails with "address already in use".
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except socket.timeout as exc:
        sock.close()
        raise HttpError("timeout_connect", f"{what}: no connection within {seconds:.3g} s") from exc
    except OSError as exc:
        sock.close()
        raise os_error(exc, what) from exc
    return sock


def dial(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to a TCP port; each address of the name gets a fair share of the time."""
    addresses = resolve(host, port, deadline)
    what = f"{host} port {port}"
    errors: list[HttpError] = []
    for tried, (family, address) in enumerate(addresses):
        try:
            return _connect(family, address, what, deadline.left() / (len(addresses) - tried))
        except HttpError as exc:
            errors.append(exc)
    raise min(errors, key=lambda error: _TELLING.index(error.kind))


def dial_unix(path: str, deadline: Deadline) -> socket.socket:
    """Connect to a Unix stream socket."""
    if len(path.encode()) > 107:
        raise HttpError("bad_url", f"the path of the Unix socket has more than 107 bytes: {path[:120]}")
    return _connect(socket.AF_UNIX, path, path, deadline.left())


def _fingerprint(text: str) -> str:
    digest = re.sub(r"[:\s]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise HttpError("tls_settings", "the fingerprint is not a SHA-256 digest: 64 hexadecimal digits are needed")
    return digest


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """The context for ``settings``; an HttpError ``tls_settings`` names the file that cannot be used.

    Making one reads the authorities from disk (milliseconds, megabytes): keep it.
    """
    import os

    tls = import_ssl()
    context: ssl.SSLContext = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.minimum_version = tls.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if settings.fingerprint_sha256:
        _fingerprint(settings.fingerprint_sha256)
    if not settings.verify or (settings.fingerprint_sha256 and not settings.ca_path):
        context.check_hostname = False
        context.verify_mode = tls.CERT_NONE
    elif settings.ca_path is None:
        context.load_default_certs()
    else:
        ca_path = settings.ca_path
        try:
            if os.path.isdir(ca_path):
                context.load_verify_locations(capath=ca_path)
            else:
                context.load_verify_locations(cafile=ca_path)
        except (OSError, ValueError) as exc:
            raise HttpError("tls_settings", f"cannot use ca_path {ca_path}: {exc}") from exc
    if settings.client_cert:
        try:
            # Without a callback OpenSSL would ask for the password of the key on the terminal.
            context.load_cert_chain(settings.client_cert, settings.client_key, password=lambda: "")
        except (OSError, ValueError) as exc:
            files = " and ".join(filter(None, (settings.client_cert, settings.client_key)))
            raise HttpError("tls_settings", f"cannot use the client certificate {files}: {exc}") from exc
    elif settings.client_key:
        raise HttpError("tls_settings", "client_key is given without client_cert")
    return context


def import_ssl() -> t.Any:
    """The module ``ssl``. A Python that was built without OpenSSL has none: that costs what needs TLS, and no more."""
    try:
        import ssl
    except ImportError as exc:
        raise HttpError(
            "local", f"the Python of this host cannot do TLS ({exc}); install its OpenSSL, or set another interpreter"
        ) from exc
    return ssl


def tls_error(exc: Exception, host: str) -> HttpError:
    """The HttpError for a failure of TLS (``ssl.SSLError``)."""
    ssl = import_ssl()
    if isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return HttpError("reset", f"{host} closed the connection during TLS")
    if isinstance(exc, ssl.SSLCertVerificationError):
        return HttpError("tls", f"the certificate of {host} is not trusted: {exc.verify_message}")
    return HttpError("tls", f"no TLS with {host}: {getattr(exc, 'reason', None) or exc}")


def start_tls(
    sock: socket.socket, host: str, settings: TlsSettings, context: ssl.SSLContext, deadline: Deadline
) -> ssl.SSLSocket:
    """Shake hands and judge the peer. The socket is closed on failure."""
    import hashlib
    import hmac

    ssl = import_ssl()
    try:
        name = settings.server_hostname or host.split("%")[0].rstrip(".")
        wrapped = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
        sock = wrapped
        wrapped.settimeout(max(deadline.left(), 0.001))
        wrapped.do_handshake()  # its time-out is for the whole handshake
        if settings.fingerprint_sha256:
            found = hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest()
            if not hmac.compare_digest(found, _fingerprint(settings.fingerprint_sha256)):
                raise HttpError("tls", f"the certificate of {host} has the SHA-256 fingerprint {found}, not the pinned")
        return wrapped
    except HttpError:
        sock.close()
        raise
    except socket.timeout as exc:
        sock.close()
        raise HttpError("timeout", f"{host} did not finish TLS within {deadline.seconds:.3g} s") from exc
    except ssl.SSLError as exc:
        sock.close()
        raise tls_error(exc, host) from exc
    except (OSError, ValueError) as exc:
        sock.close()
        raise HttpError("reset", f"{host} closed the connection during TLS: {exc}") from exc
