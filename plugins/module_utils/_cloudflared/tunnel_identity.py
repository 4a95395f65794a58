# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnel a connector belongs to, from its token or credentials. The secret in them never leaves this file.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Formats: connection/connection.go (TunnelToken, Credentials) of cloudflared;
precedence: ``tunnel run`` in cmd/cloudflared/tunnel/subcommands.go.
"""

from __future__ import annotations

import base64
import json
import os
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.settings import (
    Read,
    Settings,
    config_dirs,
    credential_sources,
    environment_of_files,
    token_variable,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import REDACTED, sanitize

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ACCOUNT = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)

_IN_ENVIRONMENT = frozenset(("TUNNEL_TOKEN", "TUNNEL_CRED_CONTENTS"))


@dataclass(frozen=True)
class Identity:
    """The tunnel's id and account, ``source`` (what told it, never its content), ``path`` of the file if it was one.

    ``problem``: ``token_unreadable``, ``token_malformed`` or ``unknown``, empty where the tunnel is known.
    """

    tunnel_id: str = ""
    account: str = ""
    name: str = ""
    source: str = ""
    path: str = ""
    problem: str = ""


def identify(settings: Settings, read: Read, home: str = "") -> Identity:
    """The tunnel that these settings name."""
    if settings.text("token"):
        return _of_token(settings.text("token"), settings.sources["token"], "")
    if settings.text("token_file"):
        path = settings.text("token_file")
        text = read(path)
        if text is None:
            return Identity(source="token file", path=path, problem="token_unreadable")
        return _of_token(text.strip(), "token file", path)
    found = Identity(source="none", problem="unknown")
    if settings.text("credentials"):
        found = _of_credentials(settings.text("credentials"), "credentials in the environment", "")
    else:
        path = settings.text("credentials_file") or _credentials_path(settings.tunnel, read, home)
        if path:
            text = read(path)
            unreadable = Identity(source="credentials file", path=path, problem="token_unreadable")
            found = unreadable if text is None else _of_credentials(text, "credentials file", path)
    if not found.tunnel_id and _UUID.fullmatch(settings.tunnel):
        return Identity(settings.tunnel.lower(), source="name of the tunnel", path=found.path, problem=found.problem)
    named = sanitize(settings.tunnel)
    # A token that was given in place of the name does not name a tunnel to cloudflared either.
    known = not _UUID.fullmatch(settings.tunnel) and REDACTED not in named
    return Identity(found.tunnel_id, found.account, named if known else "", found.source, found.path, found.problem)


def place_of(identity: Identity, properties: t.Mapping[str, str], user: bool = False) -> str:
    """Where a person finds the token or credentials of this unit, in words; empty where they are not known."""
    unit = properties.get("Id", "") or "the unit"
    if identity.path:
        sources = credential_sources(properties, user)
        source = sources.get(identity.path)
        return f"{source} (LoadCredential= of {unit})" if source else identity.path
    holding = variables_of(identity, properties, user)
    if holding:
        named = [path for path, variables in environment_of_files(properties, user) if holding & set(variables)]
        return named[-1] if named else f"Environment= of {unit}"
    if "argument" in identity.source:
        return f"the command line of {unit} (ExecStart=)"
    if "file" in identity.source:
        return "the configuration file of cloudflared"
    return ""


def variables_of(identity: Identity, properties: t.Mapping[str, str], user: bool = False) -> frozenset[str]:
    """The variables of the unit that may hold its token or credentials; none where these come from elsewhere."""
    if "environment" in identity.source:
        return _IN_ENVIRONMENT
    named = token_variable(properties, user) if "argument" in identity.source else ""
    return frozenset([named] if named else ())


def _credentials_path(tunnel: str, read: Read, home: str) -> str:
    if not _UUID.fullmatch(tunnel):
        return ""
    paths = [os.path.join(folder, f"{tunnel}.json") for folder in config_dirs(home)]
    return next((path for path in paths if read(path) is not None), "")


def _of_token(token: str, source: str, path: str) -> Identity:
    try:
        data = json.loads(base64.b64decode(token, validate=True).decode("utf-8"))
    except (ValueError, RecursionError):
        data = None
    return _identity(data, "t", "a", "s", source if path else f"token ({source})", path)


def _of_credentials(text: str, source: str, path: str) -> Identity:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    return _identity(data, "TunnelID", "AccountTag", "TunnelSecret", source, path)


def _identity(data: t.Any, tunnel: str, account: str, secret: str, source: str, path: str) -> Identity:
    malformed = Identity(source=source, path=path, problem="token_malformed")
    if not isinstance(data, dict) or not isinstance(data.get(secret), str) or not data[secret]:
        return malformed
    identity, owner = data.get(tunnel), data.get(account)
    if not isinstance(identity, str) or not _UUID.fullmatch(identity):
        return malformed
    known = isinstance(owner, str) and _ACCOUNT.fullmatch(owner)
    return Identity(identity.lower(), str(owner).lower() if known else "", "", source, path)
