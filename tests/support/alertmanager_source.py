# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for the event source ansible.eda.alertmanager, which no package registry has: the same options and events.

As there, each alert of a message is an event ``{alert, meta}``, with the host, without its port, in ``meta.hosts``.
ansible-rulebook runs it in its own environment.
"""

from __future__ import annotations

import asyncio
import typing as t

from aiohttp import web


async def main(queue: asyncio.Queue[t.Any], args: dict[str, t.Any]) -> None:
    """Listen until the rulebook ends."""

    def part(found: t.Any, path: str) -> t.Any:
        for key in path.split(args["data_path_separator"]):
            found = found[key] if isinstance(found, dict) and key in found else None
        return found

    async def receive(request: web.Request) -> web.Response:
        message = await request.json()
        meta = {"endpoint": request.match_info["endpoint"], "headers": dict(request.headers)}
        if not args.get("skip_original_data"):
            await queue.put({"payload": message, "meta": meta})
        for alert in part(message, args["data_alerts_path"]) or []:
            host = part(alert, args["data_host_path"])
            hosts = [host.split(":")[0]] if host is not None else []
            await queue.put({"alert": alert, "meta": {**meta, "hosts": hosts}})
        return web.Response(status=202, text="Received")

    app = web.Application()
    app.add_routes([web.post("/{endpoint}", receive)])
    runner = web.AppRunner(app)
    await runner.setup()
    # The real one hands host and port on as they are, too.
    await web.TCPSite(runner, args["host"], args["port"]).start()
    try:
        await asyncio.Future()
    finally:
        await runner.cleanup()
