# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log messages of a connector that name a cause, and the causes that no restart fixes. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

From logs of cloudflared 2026.6.0 made for real, and its source (supervisor/,
connection/, cmd/cloudflared/). The patterns fit console and JSON lines alike.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize

_METRICS = "Error opening metrics server listener"
_IN_USE = "address already in use"
# The connection went away while it registered: the edge has not refused anything.
_CLOSED = r"rpc: connection closed|EOF|context canceled|connection reset|broken pipe|use of closed"
# cloudflared logs this wherever it may not ping, which no tunnel needs.
HARMLESS = r"ping_group_range|ICMP proxy feature is disabled|is not between ping group|receive buffer size"
# What fails in it was reached: over TCP, and over UDP, where TLS is a part of quic.
EDGE_HANDSHAKE = r"(?:TLS handshake with edge error|failed to dial to edge with quic)"
# The one that says most first: a line belongs to the first cause that it fits.
PATTERNS: t.Mapping[str, str] = {
    "unauthorized": r"""error"?[=:]\s?\\?"Unauthorized""",
    "token_unreadable": r"Failed to read token file|Tunnel credentials file .{0,300}doesn't exist"
    r"|error reading tunnel credentials|Cannot determine default origin certificate",
    "token_malformed": r"Provided Tunnel token is not valid|Invalid JSON when parsing (?:tunnel )?credentials"
    r"|Could not (?:decode|parse) .{0,40}(?:token|credentials)",
    "unknown_flag": r"Incorrect Usage[:.] flag provided but not defined",
    "address_in_use": rf"{_METRICS}.{{0,300}}{_IN_USE}|{_IN_USE}.{{0,300}}{_METRICS}",
    "no_edge_address": r"I can give you at most 0\b|no free edge addresses left to resolve",
    "dns": r"Could not lookup srv records|failed to resolve any edge address"
    r"|edge discovery: failed to resolve to TCP address",
    "config_invalid": r"error parsing YAML in config file|Couldn't start tunnel|requires the ID or name of the tunnel"
    rf"|The last ingress rule must match|{_METRICS}",
    "edge_certificate": rf"{EDGE_HANDSHAKE}.{{0,200}}(?:x509|certificate)",
    "edge_unreachable_tcp": r"DialContext error|TLS handshake with edge error",
    "edge_unreachable_udp": r"Failed to dial a quic connection|failed to dial to edge with quic",
    "edge_silent": r"(?=.*Register tunnel error from server side).*context deadline exceeded",
    "registration_refused": rf"Register tunnel error from server side(?!.{{0,20}}(?:{_CLOSED}))",
    "duplicate_connection": r"already connected to this server",
    "edge_closed": rf"Register tunnel error from server side.{{0,20}}(?:{_CLOSED})"
    r"|connection with edge closed|no recent network activity|failed to accept QUIC stream",
}
# Whatever is done to the connector, it fails again until a person, or the token's file, changes something.
HARD = frozenset(
    "unauthorized token_unreadable token_malformed unknown_flag address_in_use no_edge_address config_invalid "
    "edge_certificate protocol_blocked".split()
)
# What a connector that lives may say of itself.
_OF_THE_RUNNING = (
    "unauthorized",
    "no_edge_address",
    "dns",
    "edge_certificate",
    "edge_unreachable_tcp",
    "edge_unreachable_udp",
    "edge_silent",
    "registration_refused",
    "duplicate_connection",
    "edge_closed",
)
_UNINFORMATIVE = ("edge_closed", "duplicate_connection")
# One that ends for want of an address has none; one that lives has tried all that it had, and tries them again.
_WHILE_RUNNING = {**PATTERNS, "no_edge_address": r"I can give you at most 0\b"}


def _cause_in(text: str) -> str:
    return next((cause for cause in _OF_THE_RUNNING if re.search(_WHILE_RUNNING[cause], text)), "")


def live_cause(texts: t.Sequence[str]) -> tuple[str, tuple[str, ...]] | None:
    """The cause that the newest telling line of a live connector names, and the lines that say so, oldest first."""
    named = [(_cause_in(text), text) for text in texts]
    reported = [cause for cause, _text in named if cause]
    if not reported:
        return None
    # Every loss is followed by a line that says only that; what says why counts.
    last = ([cause for cause in reported if cause not in _UNINFORMATIVE] or reported)[-1]
    return last, tuple(sanitize(text, 300) for cause, text in named if cause == last)
