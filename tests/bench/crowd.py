# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers on every loopback address as one Besu does (its URL is the argument), and never on 127.2.0.0/16.

Prints its port. The same question within half a second gets the same answer, so that a thousand cost the node one.
"""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request

KEPT = 0.5
answers: dict[bytes, tuple[float, bytes]] = {}


def ask(question: bytes) -> bytes:
    request = urllib.request.Request(sys.argv[1], question, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as response:
        return bytes(response.read())


async def answer(question: bytes) -> bytes:
    asked, kept = answers.get(question, (0.0, b""))
    if time.monotonic() - asked > KEPT:
        kept = await asyncio.to_thread(ask, question)
        answers[question] = (time.monotonic(), kept)
    return kept


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    silent = writer.get_extra_info("sockname")[0].startswith("127.2.")
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
            )
            question = await reader.readexactly(length)
            if silent:
                await asyncio.sleep(3600)
            body = await answer(question)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # it was closed at the other end
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "0.0.0.0", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
