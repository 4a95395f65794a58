# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metrics: the text of a real node, in which the values that tell the node's state are this node's."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from .httpd import Request, Response, Server
from .service import host_allowed
from .view import View

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SAMPLE = re.compile(r"^([a-z0-9_]+)(?:\{[^}]*\})? (\S+)$")


def java_double(value: float) -> str:
    """A number as Java prints a double."""
    number = float(value)
    if number == 0 or 1e-3 <= abs(number) < 1e7:
        return str(number)
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    rest = "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{digits[0]}.{rest}E{int(exponent) + len(digits) - 1}"


class Metrics:
    """Handles the requests to the metrics port."""

    def __init__(self, view: View, rpc: Server | None) -> None:
        self._view = view
        self._rpc = rpc
        data = Path(__file__).parent / "data"
        version = "26.8.0" if view.modern else "25.7.0"
        self._template = (data / f"metrics_{version}.txt").read_text(encoding="ascii")
        self._allowed = view.options.names("host-allowlist", ("localhost", "127.0.0.1"))

    def values(self) -> dict[str, float]:
        """The values that are this node's own."""
        view = self._view
        head = view.chain.head
        return {
            "timestamp": head.timestamp,
            "difficulty": head.number + 1,
            "in_sync": 1 if view.sync.status is None else 0,
            "best_known": view.sync.best_known(),
            "height": head.number,
            "peers": len(view.network.peers),
            "started": round(view.started, 3),
            "connections": self._rpc.active if self._rpc is not None else 0,
            "restarts_complete": view.sync.restarts["complete"],
            "restarts_error": view.sync.restarts["error"],
        }

    def text(self) -> str:
        """The whole page."""
        page = self._template
        for name, value in self.values().items():
            page = page.replace(f"@{name}@", java_double(value))
        ended = [
            f'besu_peers_disconnected_total{{disconnectReason="{reason}",initiator="{initiator}"}} {float(count)}\n'
            for (initiator, reason), count in sorted(self._view.network.disconnects.items())
        ]
        return page.replace("@disconnected@\n", "".join(ended))

    def debug(self) -> dict[str, dict[str, float]]:
        """The result of ``debug_metrics``: plain numbers by category."""
        result: dict[str, dict[str, float]] = {}
        for line in self.text().splitlines():
            match = _SAMPLE.match(line)
            if match is None or "{" in line:
                continue
            name = match[1].removeprefix("besu_")
            category, _underscore, rest = name.partition("_")
            result.setdefault(category, {})[rest] = float(match[2])
        return result

    async def handle(self, request: Request) -> Response | None:
        """Answer, or ``None`` to leave the client waiting."""
        if self._view.faults.current.hang or self._view.faults.current.oom:
            return None
        if not host_allowed(request, self._allowed):
            return Response(403)
        if request.path != "/metrics":
            return Response(404)
        return Response(200, self.text().encode(), _TYPE)
