# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All parts of the edge together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import certificates
from .cloudflare_api import BASE, CloudflareApi
from .control import Control
from .diary import Diary
from .edge import Address, Edge
from .http1 import Request, Response, Server
from .registry import Registry
from .through import Forwards


@dataclass(frozen=True)
class Running:
    """An edge that is up, and where."""

    edge: Edge
    ca: Path
    api: Address

    def as_dict(self) -> dict[str, object]:
        listen = [f"{host}:{port}" for host, port in self.edge.addresses]
        return {"edge": listen, "api": "http://{}:{}".format(*self.api), "ca": str(self.ca)}


@contextlib.asynccontextmanager
async def running(
    addresses: Sequence[Address], api: Address, ca_folder: Path, *, diary: Path | None = None, location: str = "tst01"
) -> AsyncIterator[Running]:
    """Serve for the time of the block. OSError where a port is taken."""
    good, bad = certificates.make(ca_folder), certificates.make(ca_folder, "untrusted-")
    log = Diary(diary)
    edge = Edge(Registry(log, location=location), addresses, good.context(), bad.context())
    forwards, cloudflare = Forwards(edge), CloudflareApi(edge)
    control = Control(edge, forwards, cloudflare)

    async def answer(request: Request) -> Response:
        return await (cloudflare if request.path.startswith(BASE) else control)(request)

    server = Server(answer)
    try:
        await edge.start()
        await server.start(*api)
        log.write("up")
        yield Running(edge, good.ca, server.address)
    finally:
        server.stop()
        forwards.stop()
        await edge.stop()
        log.write("down")
        log.close()
