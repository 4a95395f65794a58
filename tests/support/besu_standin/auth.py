# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Authentication of JSON-RPC: /login, tokens of this process, tokens of an outside issuer."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import hmac
import json
import secrets
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

LIFETIME = 300
_SIGNATURE_SIZE = 256
_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")


class Refused(Exception):
    """The token is no good."""


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True)
class User:
    """One user of the credentials file."""

    name: str
    hash: str
    permissions: tuple[str, ...]


def users_of(path: Path) -> dict[str, User]:
    """The users in a credentials file (``[Users.NAME]``, ``password`` a bcrypt hash, ``permissions``)."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        name: User(name, str(entry["password"]), tuple(str(p) for p in entry.get("permissions", ())))
        for name, entry in document.get("Users", {}).items()
    }


def password_matches(password: str, expected: str) -> bool:
    """Compare with a bcrypt hash, by the C library's ``crypt``."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    made = library.crypt(password.encode(), expected.replace("$2y$", "$2b$", 1).encode())
    if not made or not made.startswith(b"$2"):
        return False
    return hmac.compare_digest(made[4:], expected.encode()[4:])


class OwnTokens:
    """Tokens that this process gave out; they die with it.

    The signature has the size of an RSA signature. Nobody but this process can check it, as with the real node,
    which keeps its key pair to itself.
    """

    def __init__(self, users: dict[str, User], clock: Callable[[], float] = time.time) -> None:
        self._users = users
        self._clock = clock
        self._secret = secrets.token_bytes(32)

    def _sign(self, text: str) -> bytes:
        stream = b""
        while len(stream) < _SIGNATURE_SIZE:
            block = hmac.new(self._secret, f"{len(stream)}.{text}".encode(), hashlib.sha256)
            stream += block.digest()
        return stream[:_SIGNATURE_SIZE]

    def login(self, name: str, password: str) -> str:
        """A new token. ``Refused`` when user or password are wrong."""
        user = self._users.get(name)
        if user is None or not password_matches(password, user.hash):
            raise Refused
        now = int(self._clock())
        claims = {"permissions": list(user.permissions), "username": name, "iat": now, "exp": now + LIFETIME}
        header = {"typ": "JWT", "alg": "RS256"}
        text = ".".join(_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        return f"{text}.{_encode(self._sign(text))}"

    def permissions(self, token: str) -> Sequence[str]:
        """What the token permits. ``Refused`` when it permits nothing."""
        text, _dot, signature = token.rpartition(".")
        try:
            genuine = hmac.compare_digest(_decode(signature), self._sign(text))
        except ValueError:
            raise Refused from None
        if not genuine:
            raise Refused
        return _claimed(text, self._clock())


def _claimed(text: str, now: float) -> Sequence[str]:
    """The permissions in header and claims that are known to be genuine; an expiry is required."""
    try:
        claims = json.loads(_decode(text.split(".")[1]))
        expiry = float(claims["exp"])
    except (ValueError, KeyError, IndexError, TypeError):
        raise Refused from None
    if expiry <= now:
        raise Refused
    permissions = claims.get("permissions", [])
    return [str(p) for p in permissions] if isinstance(permissions, list) else []


def _der(data: bytes) -> tuple[int, bytes, bytes]:
    tag, size, rest = data[0], data[1], data[2:]
    if size & 0x80:
        count = size & 0x7F
        size, rest = int.from_bytes(rest[:count], "big"), rest[count:]
    return tag, rest[:size], rest[size:]


def rsa_public_key(pem: str) -> tuple[int, int]:
    """Modulus and exponent of a PEM ``PUBLIC KEY``."""
    body = "".join(line for line in pem.splitlines() if line and not line.startswith("-----"))
    _tag, outer, _rest = _der(base64.b64decode(body))
    _tag, _algorithm, bits = _der(outer)
    _tag, key, _rest = _der(bits)
    _tag, numbers, _rest = _der(key[1:])
    _tag, modulus, rest = _der(numbers)
    _tag, exponent, _rest = _der(rest)
    return int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")


class OutsideTokens:
    """Tokens of an issuer whose public key is configured (RS256)."""

    def __init__(self, public_key: Path) -> None:
        self._modulus, self._exponent = rsa_public_key(public_key.read_text(encoding="ascii"))

    def permissions(self, token: str) -> Sequence[str]:
        """What the token permits. ``Refused`` when it permits nothing."""
        text, _dot, encoded = token.rpartition(".")
        try:
            header = json.loads(_decode(text.split(".")[0]))
            signature = int.from_bytes(_decode(encoded), "big")
        except (ValueError, IndexError):
            raise Refused from None
        size = (self._modulus.bit_length() + 7) // 8
        digest = _SHA256_PREFIX + hashlib.sha256(text.encode()).digest()
        expected = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
        if header.get("alg") != "RS256" or signature >= self._modulus:
            raise Refused
        if pow(signature, self._exponent, self._modulus).to_bytes(size, "big") != expected:
            raise Refused
        return _claimed(text, time.time())


def permits(permissions: Sequence[str], method: str) -> bool:
    """Whether permissions such as ``eth:*`` allow a method such as ``eth_syncing``."""
    group, _underscore, name = method.partition("_")
    return any(p in ("*:*", f"{group}:*", f"{group}:{name}") for p in permissions)
