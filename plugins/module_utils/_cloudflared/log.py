# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the log of a connector: its last attempts, and since when it has failed. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Formats: console lines (``TIME INF message key=value``) and JSON lines of cloudflared (logger/*.go).
"""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass

_CONSOLE = re.compile(r"\S{10,40} (DBG|INF|WRN|ERR|FTL) (.*)", re.DOTALL)
_LEVELS = {"debug": "DBG", "info": "INF", "warn": "WRN", "error": "ERR", "fatal": "FTL"}
_DIALLED = re.compile(r"dial tcp (\[[0-9A-Fa-f:.]+\]|[0-9.]+):([0-9]{1,5})")
_EDGE_IP = re.compile(r"\bip=([0-9A-Fa-f:.]+)")
AT_MOST = re.compile(r"requested \d+ HA connections but I can give you at most (\d{1,3})")
LOSSES = (
    "Lost connection with the edge",
    "Unregistered tunnel connection",
    "Serve tunnel error",
    "Retrying connection in",
    "Connection terminated",
)
CONNECTION = re.compile(r"\bconnIndex=([0-9]{1,3})\b")
_MAX_TEXT = 2000
_MAX_TROUBLE = 50


@dataclass(frozen=True)
class ConnectorLogLine:
    """One line: seconds since the epoch, level (DBG to FTL, or empty), words with ``error=`` and ``ip=``."""

    at: float
    level: str
    text: str


@dataclass(frozen=True)
class ConnectorLog:
    """What the log of one run says.

    ``trouble``: warnings and errors since the last registration, the newest
    last; ``lost_at``: the first loss after it, or None; ``gone_at``: since when
    no connection at all is left, if none is; ``edge``: the edge addresses that
    these lines name, the newest first; ``outages``: each moment at which the
    last connection was lost, the newest last.
    """

    registered_at: float | None = None
    lost_at: float | None = None
    gone_at: float | None = None
    trouble: tuple[ConnectorLogLine, ...] = ()
    at_most: int | None = None
    edge: tuple[tuple[str, int], ...] = ()
    outages: tuple[float, ...] = ()


def read_line(at: float, raw: str) -> ConnectorLogLine:
    """One record of the journal as a line, whichever of the two formats it is in."""
    raw = raw[:_MAX_TEXT]
    if raw.startswith("{"):
        try:
            data = json.loads(raw)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict) and isinstance(data.get("message"), str):
            extra = "".join(
                f' {key}="{data[key]}"' if key == "error" else f" {key}={data[key]}"
                for key in ("error", "connIndex", "ip")
                if key in data
            )
            return ConnectorLogLine(at, _LEVELS.get(str(data.get("level")), ""), data["message"] + extra)
    match = _CONSOLE.match(raw)
    return ConnectorLogLine(at, match[1], match[2]) if match else ConnectorLogLine(at, "", raw)


def registers(text: str) -> bool:
    """Whether a line reports a registered connection, in the wording of today or of 2022."""
    return text.startswith("Registered tunnel connection") or re.match(r"Connection \S+ registered", text) is not None


class _Losses:
    """Since when connections are missing.

    A loss is logged as an error where no connection is left, as a warning
    where one is. Under a log level of warn or higher no registration is seen,
    so that only silence parts two outages.
    """

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self.newest: float | None = None
        self.first: float | None = None
        self.gone: float | None = None
        self.held: float | None = None
        self.registered = False

    def end(self) -> None:
        self.newest = self.first = self.gone = self.held = None

    def add(self, line: ConnectorLogLine) -> None:
        self.expire(line.at)
        self.newest = line.at
        if self.first is None:
            self.first = line.at
        if line.level == "WRN":
            self.held, self.gone = line.at, None
        elif line.level == "ERR" and self.gone is None:
            self.gone = line.at

    def expire(self, now: float) -> None:
        if not self.registered and self.newest is not None and now - self.newest > self._silence:
            self.end()


class _Outages:
    """When the last of the connections was lost that had registered."""

    def __init__(self) -> None:
        self._live: set[str] = set()
        self.times: list[float] = []

    def registered(self, line: ConnectorLogLine) -> None:
        self._live.update(CONNECTION.findall(line.text)[:1])

    def lost(self, line: ConnectorLogLine) -> None:
        gone = CONNECTION.findall(line.text)[-1:]
        if self._live.intersection(gone):
            self._live.difference_update(gone)
            if not self._live:
                self.times.append(line.at)


def read_log(
    records: t.Iterable[tuple[float, str]], port: int = 7844, now: float = 0.0, silence: float = 600.0
) -> ConnectorLog:
    """The view of records (seconds since the epoch, message) of one run, oldest first.

    ``port``: that of the edge, for lines that name an address without one;
    ``now``: when they were read; ``silence``: seconds without a word after which a trouble is over.
    """
    registered_at: float | None = None
    losses, outages = _Losses(silence), _Outages()
    at_most: int | None = None
    trouble: list[ConnectorLogLine] = []
    edge: dict[tuple[str, int], None] = {}
    for at, raw in records:
        line = read_line(at, raw)
        losses.registered = losses.registered or line.level in ("INF", "DBG")
        found = AT_MOST.search(line.text)
        if found:
            at_most = int(found[1])
        if registers(line.text):
            registered_at = at
            outages.registered(line)
            losses.end()
            trouble.clear()
            continue
        if line.text.startswith(LOSSES):
            losses.add(line)
            outages.lost(line)
        if line.level in ("WRN", "ERR", "FTL", ""):
            trouble.append(line)
            for address in _addresses(line.text, port):
                edge.pop(address, None)
                edge[address] = None
    losses.expire(now)
    gone_at = next((at for at in (losses.gone, losses.held, losses.first) if at is not None), None)
    fresh = tuple(line for line in trouble if now - line.at <= silence)[-_MAX_TROUBLE:]
    newest = tuple(edge)[-8:][::-1]
    return ConnectorLog(registered_at, losses.first, gone_at, fresh, at_most, newest, tuple(outages.times))


def _addresses(text: str, port: int) -> list[tuple[str, int]]:
    """The edge addresses that a line of trouble names."""
    found = [(ip.strip("[]"), int(number)) for ip, number in _DIALLED.findall(text) if 0 < int(number) < 65536]
    return found or [(ip, port) for ip in _EDGE_IP.findall(text)]
