# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The address that a failing call names in a line of a log. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Most numbers after a colon in a log are no ports: times (``12:22:41``), places
in sources (``main.rs:53:22``, ``Main.java:25``), versions. A number counts
where what is before it is an address, or where the line calls it a port.
"""

from __future__ import annotations

import re
import typing as t

_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IPV4 = rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}"
_IPV6 = r"\[[0-9A-Fa-f:.%\w]{2,60}\]|(?<![\w:.])(?:0:){7}[01]|(?<![\w:.])::(?:ffff:[\d.]{7,15}|1)?"
_ANY = r"(?<![\w*])\*|\blocalhost"
# A name is an address only behind a word that says so; alone it may be a file of a program's source.
_CALL = r"(?:\b(?:listen|bind|bound|address|addr|host|server|on|to|tcp[46]?|udp[46]?)\b[ =:\"'(]{1,4}|://)"
_SOURCE = (
    r"(?:rs|go|py|js|mjs|cjs|ts|java|kt|scala|c|cc|cpp|h|hpp|rb|php|erl|ex|cs|clj|lua|pl|sh|conf|cfg|ya?ml|toml|ini)"
)
_NAME = rf"{_CALL}(?![\w.-]{{0,80}}\.{_SOURCE}:)[A-Za-z](?:[\w-]|\.(?=\w)){{0,80}}"
_END = r"(?![\d:.]\d|\d|:\d)"
_ADDRESS = re.compile(rf"(?:{_IPV4}|{_IPV6}|{_ANY}|{_NAME}):(\d{{1,5}}){_END}", re.IGNORECASE)
# ``:8080`` without a host: at the beginning of a word, and no part of a time.
_BARE = re.compile(r"(?:^|(?<=[\s\"'=(,])):(\d{1,5})(?!\d|[:.,]\d)")
_TUPLE = re.compile(r"""\(['"][\w.:*%-]{0,60}['"], ?(\d{1,5})(?:, ?\d{1,10}){0,2}\)""")
_PORT_WORD = re.compile(
    r"""\bports?\b(?:\(s\))?(?: number)?(?: is)?['"]?\s?[:=]?\s?[\['"]{0,3}"""
    r"""(\d{1,5}(?:, ?\d{1,5}){0,8})(?![\d.:]\d|\d)""",
    re.IGNORECASE,
)
# What makes a line one about an address in use, in the words of the libraries of every language.
_IN_USE = re.compile(
    r"already (?:in use|allocated|running|bound)|\bin use\b|EADDRINUSE|BindException|AddrInUse", re.IGNORECASE
)


def ports_of(line: str) -> tuple[int, ...]:
    """The ports of the address that the failing call in one line names, the one nearest to the failure where several
    addresses are named."""
    named = [match for pattern in (_ADDRESS, _BARE, _TUPLE) for match in pattern.finditer(line)]
    named += list(_PORT_WORD.finditer(line))
    found = [(match.start(1), tuple(_valid(match.group(1)))) for match in named]
    found = [(at, ports) for at, ports in found if ports]
    if not found:
        return ()
    calls = [match.start() for match in _IN_USE.finditer(line)] or [len(line)]
    return min(found, key=lambda item: min(abs(item[0] - at) for at in calls))[1]


def _valid(text: str) -> t.Iterator[int]:
    return (number for number in map(int, re.findall(r"\d+", text)) if 0 < number < 65536)


def ports_in(lines: t.Iterable[str]) -> tuple[int, ...]:
    """The ports that lines about an address in use name."""
    return tuple(dict.fromkeys(port for line in lines for port in ports_of(line)))
